/// A counter-based stream of random numbers: number `i` of a stream depends only on the seed, the purpose and `i`.
///
/// One stream per purpose (arrivals, lengths, step noise, …) keeps results the same when another purpose draws
/// more or fewer numbers, and lets a skipped draw change nothing. The mixer is SplitMix64's finaliser applied
/// twice to key and counter (Steele, Lea & Flood, OOPSLA 2014; constants of Stafford's variant 13).
public struct RandomStream: RandomNumberGenerator, Sendable {
    /// Mixed from the seed and the purpose.
    public let key: UInt64
    /// Index of the next number.
    public var counter: UInt64 = 0

    /// The stream of a purpose under a seed; different purposes are independent.
    public init(seed: UInt64, purpose: String, index: UInt64 = 0) {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325  // FNV-1a
        for byte in purpose.utf8 { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }
        key = Self.mix(
            Self.mix(seed &+ 0x9e37_79b9_7f4a_7c15) ^ Self.mix(hash &+ index &* 0xd134_2543_de82_ef95))
    }

    /// The number at `index`, without moving the stream.
    public func word(at index: UInt64) -> UInt64 {
        Self.mix(key ^ Self.mix(index &* 0x9e37_79b9_7f4a_7c15 &+ key))
    }

    /// The next 64 random bits.
    public mutating func next() -> UInt64 {
        defer { counter &+= 1 }
        return word(at: counter)
    }

    /// A number in [0, 1) with 53 random bits.
    public mutating func uniform() -> Double { Double(next() >> 11) * 0x1p-53 }

    /// A number in (0, 1], safe to take the logarithm of.
    public mutating func positiveUniform() -> Double { Double((next() >> 11) + 1) * 0x1p-53 }

    private static func mix(_ value: UInt64) -> UInt64 {
        var z = value
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
