# Sourced by ./stepcast and ./test: makes sure that what the build needs is there. Says everything on standard error.

# Installs the system libraries whose headers are missing.
install_system_packages() {
    local package missing=()
    if ! command -v dpkg-query >/dev/null; then
        # Not Debian: trust what is there, the compiler will name what is not.
        return 0
    fi
    for package in libopenblas-dev libzstd-dev; do
        # shellcheck disable=SC2016
        [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
    done
    ((${#missing[@]})) || return 0

    local as_root=()
    if ((EUID != 0)); then
        if ! command -v sudo >/dev/null; then
            echo "stepcast: missing packages: ${missing[*]}; as root run: apt-get install ${missing[*]}" >&2
            return 69
        fi
        as_root=(sudo)
    fi
    echo "stepcast: installing ${missing[*]}" >&2
    local install=(env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}")
    if ! "${as_root[@]}" "${install[@]}" >&2; then
        # The package lists of a fresh machine may be empty or old.
        { "${as_root[@]}" apt-get update -q && "${as_root[@]}" "${install[@]}"; } >&2 || {
            echo "stepcast: could not install ${missing[*]}; install them and try again" >&2
            return 69
        }
    fi
}

# Fails with a clear message where there is no Swift.
require_swift() {
    command -v swift >/dev/null || {
        echo "stepcast: needs Swift 6.2 or later, and there is no swift on the path (https://swift.org/install)" >&2
        return 69
    }
}
