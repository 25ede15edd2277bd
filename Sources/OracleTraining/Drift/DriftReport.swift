import LatencyOracle
import ServingCore

/// What watching an oracle along the runs of a data set found.
public struct DriftReport: Codable, Sendable {
    /// Fewest reference rows.
    public static let leastReference = DriftMonitor.leastReference

    /// One run of one deployment.
    public struct Run: Codable, Sendable {
        /// Deployment.
        public var configuration: String
        /// Number of the run in the data.
        public var run: Int
        /// Rows.
        public var rows: Int
        /// Rows taken as normal; 0 when the run was too short to watch.
        public var referenceRows: Int
        /// Median relative error of the reference: what the oracle was off by from the start.
        public var referenceBias: Double
        /// Row of the run, from 0, at which the first detector alarmed.
        public var firstAlarm: Int?
        /// First alarm of each detector.
        public var alarms: [Alarm]
        /// Stability index of the relative error and of the batch's make-up, second half against reference; a
        /// convention, not a test: above 0.25 calls for a look.
        public var stability: [String: Double]

        /// The run in one line.
        public var text: String {
            let head = "\(configuration) run \(run): \(rows) rows"
            guard referenceRows > 0 else { return head + ", too short to watch" }
            let bias = "off by \((referenceBias * 1000).rounded() / 10) % in the reference"
            guard let firstAlarm else { return "\(head), no drift (\(bias))" }
            let list = alarms.map { "\($0.detector) at \($0.row)" }.joined(separator: "; ")
            return "\(head), drifted at row \(firstAlarm) (\(list); \(bias))"
        }
    }

    /// A detector's first alarm.
    public struct Alarm: Codable, Sendable {
        /// Detector.
        public var detector: String
        /// Row of the run.
        public var row: Int
    }

    /// Runs in the order of the data.
    public var runs: [Run]

    /// Whether any run drifted.
    public var drifted: Bool { runs.contains { $0.firstAlarm != nil } }

    /// Watches every run; a run with at least twice the least reference is watched with what it can spare.
    /// - Throws: `InvalidInput` when the oracle does not fit the deployments, or no run is long enough.
    public init(oracle: StepTimeOracle, data: StepDataSet, reference: Int) throws {
        var order: [Int] = []
        var members: [Int: [Int]] = [:]
        for i in 0..<data.count {
            if members[data.run[i]] == nil { order.append(data.run[i]) }
            members[data.run[i], default: []].append(i)
        }
        runs = []
        for run in order {
            let rows = members[run] ?? []
            guard let first = rows.first else { continue }
            let group = data.groups[data.group[first]]
            let compiled = try oracle.compile(for: group.facts)
            var residuals: [Double] = []
            residuals.reserveCapacity(rows.count)
            for i in rows {
                let predicted = max(compiled.stepSeconds(data.states[i]), 1e-9)
                residuals.append(data.seconds[i] / predicted - 1)
            }
            let length = min(reference, rows.count / 2)
            guard length >= Self.leastReference else {
                runs.append(
                    Run(
                        configuration: group.name, run: run, rows: rows.count, referenceRows: 0,
                        referenceBias: 0, firstAlarm: nil, alarms: [], stability: [:]))
                continue
            }
            var monitor = try DriftMonitor(reference: Array(residuals[..<length]))
            for value in residuals[length...] { monitor.add(value) }
            let half = max(length, rows.count / 2)
            func stability(_ value: (Int) -> Double) -> Double {
                DistributionShift.populationStabilityIndex(
                    reference: (0..<length).map(value), current: (half..<rows.count).map(value))
            }
            runs.append(
                Run(
                    configuration: group.name, run: run, rows: rows.count, referenceRows: length,
                    referenceBias: residuals[..<length].sorted()[length / 2], firstAlarm: monitor.firstAlarm,
                    alarms: monitor.alarms.map { Alarm(detector: $0.detector.rawValue, row: $0.row) },
                    stability: [
                        "relative_error": stability { residuals[$0] },
                        "prefill_tokens": stability { Double(data.states[rows[$0]].prefillTokens) },
                        "decode_requests": stability { Double(data.states[rows[$0]].decodeRequests) },
                        "decode_context_tokens": stability {
                            Double(data.states[rows[$0]].decodeContextTokens)
                        },
                    ]))
        }
        guard runs.contains(where: { $0.referenceRows > 0 }) else {
            throw InvalidInput(
                .badData, field: "traces", "hold no run long enough to watch",
                accepted: "at least \(2 * Self.leastReference) steps in a run")
        }
    }
}
