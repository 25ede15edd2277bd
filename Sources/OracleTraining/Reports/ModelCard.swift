import LatencyOracle

/// The page beside an artifact that says what it is good for.
public enum ModelCard {
    /// Markdown.
    public static func markdown(_ artifact: OracleArtifact, _ report: TrainingReport) -> String {
        var lines = ["# \(artifact.name)", "", artifact.summary + ".", "", "## Data"]
        lines.append("\(report.data.rows) rows, hash `\(report.data.hash)`.")
        lines += [
            "", "| configuration | rows | shortest step, ms | longest step, ms |",
            "| --- | --- | --- | --- |",
        ]
        for configuration in report.data.configurations {
            lines.append(
                "| \(configuration.name) | \(configuration.rows) | "
                    + "\(NumberText.fixed(1000 * configuration.minimumSeconds, 2)) | "
                    + "\(NumberText.fixed(1000 * configuration.maximumSeconds, 2)) |")
        }
        if !report.data.dropped.isEmpty {
            lines += [
                "",
                "Left out: " + report.data.dropped.map { "\($0.rows) x \($0.reason)" }.joined(separator: "; ")
                    + ".",
            ]
        }
        lines += ["", "## Method", report.method + "."]
        lines += grounds(artifact)
        if let alpha = report.alpha { lines += ["", "## Outside engine steps"] + alpha.map { "- " + $0 } }
        lines += ["", "## Error on rows held out"]
        for table in report.validation {
            lines += [
                "", "### \(table.name)", "",
                "| group | rows | MAPE % | median % | bias % | CRPS % | P10-P90 covers % | width % |",
                "| --- | --- | --- | --- | --- | --- | --- | --- |",
            ]
            for line in table.groups + [table.overall] {
                let s = line.test
                let numbers = [s.mape, s.medianAPE, s.bias, s.relativeCRPS, s.coverage, s.width].map {
                    NumberText.percent($0)
                }
                lines.append("| \(line.group) | \(s.rows) | \(numbers.joined(separator: " | ")) |")
            }
        }
        if report.validation.isEmpty { lines.append("Nothing was held out: the error is not known.") }
        lines += [
            "", "## Features", "", "| feature | coefficient | std | weight | dropped because |",
            "| --- | --- | --- | --- | --- |",
        ]
        for line in report.features {
            lines.append(
                "| \(line.feature) | \(line.coefficient.map(NumberText.significant) ?? "") | "
                    + "\(line.std.map(NumberText.significant) ?? "") | "
                    + "\(line.effectiveWeight.map { NumberText.fixed($0, 3) } ?? "") | \(line.dropped ?? "") |"
            )
        }
        if let parts = report.specialised {
            lines += ["", "Models of their own: " + parts.map(\.scope).joined(separator: ", ") + "."]
        }
        lines += [
            "", "## Domain",
            "Steps whose candidate features lie in these ranges, up to the leverage of training rows.",
        ]
        if let domain = artifact.step.domain {
            lines += ["", "| feature | from | to |", "| --- | --- | --- |"]
            for (i, feature) in domain.features.enumerated() {
                lines.append(
                    "| \(feature) | \(NumberText.significant(domain.minimum[i])) | "
                        + "\(NumberText.significant(domain.maximum[i])) |")
            }
        }
        lines += ["", "## Known limits"]
        lines += limits(artifact, report).map { "- " + $0 }
        return lines.joined(separator: "\n") + "\n"
    }

    /// What each part was learned from, and how far deployments deviate from it.
    private static func grounds(_ artifact: OracleArtifact) -> [String] {
        let parts =
            (artifact.step.specialised ?? []).map { ($0.scope.description, $0.model) }
            + [("any other deployment", artifact.step)]
        guard parts.contains(where: { $0.1.basis != nil }) else { return [] }
        var lines = [
            "", "## What it rests on",
            "Deviations are standard deviations over models left out of training; of measured deployments over runs; of deployments",
            "with kernel times of their own over rows or layouts left out, and of engines from kernels.",
            "", "| deployments | learned from | deviate by, % | and, ms |", "| --- | --- | --- | --- |",
        ]
        for (scope, model) in parts {
            let scale = model.discrepancy.map { NumberText.percent($0.scaleStd) } ?? ""
            let offset = model.discrepancy.map { NumberText.fixed(1000 * $0.offsetStd, 2) } ?? ""
            lines.append("| \(scope) | \(model.basis ?? "") | \(scale) | \(offset) |")
        }
        return lines
    }

    private static func limits(_ artifact: OracleArtifact, _ report: TrainingReport) -> [String] {
        var limits: [String] = []
        let configurations = report.data.configurations.count
        if configurations < 3 {
            limits.append(
                "Trained on \(configurations) configuration\(configurations == 1 ? "" : "s"): how far others deviate is not known."
            )
        }
        if artifact.step.coefficients.contains(where: { $0.value < 0 && $0.feature != "constant" }) {
            limits.append(
                "Some coefficients are negative: predictions beyond the training range may fall as work grows."
            )
        }
        if !report.validation.contains(where: { $0.name.hasPrefix("leave one") }) {
            limits.append("Not validated on a model, accelerator or configuration left out.")
        }
        if artifact.arrival == nil { limits.append("Says nothing of API work before a request is queued.") }
        if artifact.post == nil {
            limits.append("Says nothing of the time between the last step and the client.")
        }
        return limits
    }
}
