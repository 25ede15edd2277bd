/// A moment or a span of simulated time, in whole nanoseconds.
///
/// Integers keep a simulation exact: the same additions give the same clock on every machine.
public typealias Ticks = Int64

extension Ticks {
    /// Nanoseconds in a second.
    @inlinable public static var perSecond: Ticks { 1_000_000_000 }
    /// Nanoseconds in a millisecond.
    @inlinable public static var perMillisecond: Ticks { 1_000_000 }

    /// Nearest tick to a time in seconds. Saturates beyond ±292 years; `seconds` must not be NaN.
    @inlinable
    public init(seconds: Double) {
        let scaled = seconds * 1e9
        guard scaled > -0x1p52, scaled < 0x1p52 else {
            self = scaled >= 9.2e18 ? .max : scaled <= -9.2e18 ? .min : Int64(scaled.rounded())
            return
        }
        // `rounded()` is a call where the instruction set has no rounding; the rest of a cut is exact.
        let whole = Int64(scaled)
        let rest = scaled - Double(whole)
        self = rest >= 0.5 ? whole + 1 : rest <= -0.5 ? whole - 1 : whole
    }

    /// This span in seconds.
    @inlinable public var seconds: Double { Double(self) / 1e9 }

    /// This span in milliseconds.
    @inlinable public var milliseconds: Double { Double(self) / 1e6 }
}
