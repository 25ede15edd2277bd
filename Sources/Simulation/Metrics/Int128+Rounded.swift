extension Int128 {
    /// The nearest `Double`. The standard library's own conversion takes some 3,000 instructions; almost all values
    /// fit into 64 bits.
    @inline(__always)
    var rounded: Double {
        if let small = Int64(exactly: self) { return Double(small) }
        return Double(self)
    }
}
