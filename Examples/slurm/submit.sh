#!/bin/bash
# submit.sh SPEC.yaml RESULTS [PARTS]: a sweep as an array of PARTS jobs (8 unless said), then a job that joins them.
# Prints the number of the joining job: when it has ended, RESULTS/results.csv is there.
set -euo pipefail
if (($# < 2)); then
    echo "usage: submit.sh SPEC.yaml RESULTS [PARTS]" >&2
    exit 64
fi
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
specification=$(realpath "$1")
mkdir -p "$2"
results=$(realpath "$2")
parts=${3:-8}

array=$(sbatch --parsable --array="1-$parts" --output="$results/part-%a.log" \
    "$here/sweep.sbatch" "$specification" "$results")
folders=$(seq -f "$results/part-%.0f" -s ' ' 1 "$parts")
sbatch --parsable --dependency="afterok:$array" --job-name=stepcast-merge --output="$results/merge.log" \
    --wrap="${STEPCAST:-stepcast} sweep merge $folders --output $results || [ \$? = 1 ]"
