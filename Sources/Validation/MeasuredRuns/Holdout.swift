import ServingCore

/// Which requests of a measured run a fit may not see. The whole run is simulated either way.
public enum Holdout: String, Sendable, CaseIterable {
    /// The odd minutes of each load stage, counted from 0.
    case minutes
    /// Every second request, the second first.
    case requests

    /// Whether a request is held out.
    /// - Parameters:
    ///   - index: number of the request in order of sending.
    ///   - seconds: when it was sent, after the first request of the run.
    ///   - stages: lengths of the load stages in seconds; without any, the run is one stage.
    public func holdsOut(index: Int, seconds: Double, stages: [Double]) -> Bool {
        switch self {
        case .requests: return index % 2 == 1
        case .minutes:
            var start = 0.0
            for length in stages.dropLast() {
                guard seconds >= start + length else { break }
                start += length
            }
            let minute = ((seconds - start) / 60).rounded(.down)
            return minute.truncatingRemainder(dividingBy: 2) == 1
        }
    }

    /// What is held out, in words.
    public var description: String {
        switch self {
        case .minutes: "the odd minutes of each load stage"
        case .requests: "every second request"
        }
    }
}
