/// A moment or a span of simulated time, in whole nanoseconds.
///
/// Integers keep a simulation exact: the same additions give the same clock on every machine.
public typealias Ticks = Int64

extension Ticks {
    /// Nanoseconds in a second.
    public static let perSecond: Ticks = 1_000_000_000
    /// Nanoseconds in a millisecond.
    public static let perMillisecond: Ticks = 1_000_000

    /// Nearest tick to a time in seconds. Saturates beyond ±292 years; `seconds` must not be NaN.
    public init(seconds: Double) {
        let scaled = (seconds * 1e9).rounded()
        self = scaled >= 9.2e18 ? .max : scaled <= -9.2e18 ? .min : Int64(scaled)
    }

    /// This span in seconds.
    public var seconds: Double { Double(self) / 1e9 }

    /// This span in milliseconds.
    public var milliseconds: Double { Double(self) / 1e6 }
}
