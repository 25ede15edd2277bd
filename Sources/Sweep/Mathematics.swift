#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// `base` to the power of `exponent`.
func power(_ base: Double, _ exponent: Double) -> Double { pow(base, exponent) }

/// Natural logarithm.
func logarithm(_ value: Double) -> Double { log(value) }
