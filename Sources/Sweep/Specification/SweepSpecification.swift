import Catalog
import Scenarios
import ServingCore

/// A sweep as a person states it: a scenario, what is varied in it, and what makes one configuration better than another.
public struct SweepSpecification: Sendable {
    /// Short name, for reports.
    public var name: String
    /// One line about it.
    public var description: String
    /// File, for messages.
    public var source: String
    /// Folder of the file, with a slash at its end; paths in it are relative to it.
    public var folder: String
    /// The same in YAML, without other files for the base or prices.
    public var selfContained: String
    /// What all configurations have in common.
    public var base: ScenarioFile
    /// What differs, in the order of the file; the last one varies fastest.
    public var axes: [Axis]
    /// What must hold between fields.
    public var conditions: [Condition]
    /// How configurations are drawn; nil takes all of them.
    public var sampling: Sampling?
    /// How they are gone through.
    public var search: Search
    /// What the best one has most or least of.
    public var objective: Objective
    /// What it must hold.
    public var constraints: [Constraint]
    /// Price of an accelerator per hour by its name, in the person's currency.
    public var prices: [String: Double]
    /// Requests per second that `gpus_for_target_rate` asks for.
    public var targetRate: Double?

    /// Other oracles that the leaders are run again with: the base's `uncertainty`.
    public var oracleDraws: Int {
        guard case .integer(let count)? = base.value(at: "uncertainty") else { return 0 }
        return min(max(count, 0), Scenario.mostUncertaintyReruns)
    }

    /// Percentiles that the runs report.
    public var percentiles: [Double] {
        var wanted: Set<Double> = [50, 90, 95, 99]
        for metric in constraints.map(\.metric) + [objective.metric] {
            if case .percentile(let percent)? = metric.latency?.statistic { wanted.insert(percent) }
        }
        return wanted.sorted()
    }

    /// Text that is the same for the same sweep: everything that changes a result, nothing else.
    var canonicalText: String {
        var lines = ["base " + base.tree.json]
        for axis in axes {
            let values = axis.values.map { value in
                value.label.json + value.assignments.map { " \($0.field)=\($0.value.json)" }.joined()
            }
            let range = axis.continuous.map { " \($0)" } ?? ""
            lines.append("axis \(axis.name) \(values.joined(separator: " | "))\(range)")
        }
        lines += conditions.map { "condition " + $0.text }
        lines.append("sampling \(sampling.map { "\($0)" } ?? "all")")
        lines.append("search \(search)")
        lines.append("objective " + objective.text)
        lines += constraints.map { "constraint " + $0.text }
        lines += prices.sorted { $0.key < $1.key }.map { "price \($0.key) \($0.value)" }
        lines.append("target \(targetRate.map { "\($0)" } ?? "none")")
        return lines.joined(separator: "\n")
    }
}
