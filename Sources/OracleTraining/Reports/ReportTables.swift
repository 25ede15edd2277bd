/// A training report as text for a terminal.
public enum ReportTables {
    /// The whole report.
    public static func text(_ report: TrainingReport) -> String {
        var lines = [report.method, "\(report.data.rows) rows, data \(report.data.hash)"]
        for dropped in report.data.dropped { lines.append("left out: \(dropped.rows) x \(dropped.reason)") }
        for score in report.likelihoods ?? [] {
            lines.append(
                "\(score.likelihood): held-out CRPS \(NumberText.percent(score.relativeCRPS, 2)) % of the time"
            )
        }
        for table in report.validation {
            lines += ["", table.name]
            lines += validation(table)
            if let coverage = table.meanRunCoverage, let runs = table.runs {
                lines.append(
                    "P10-P90 covers \(NumberText.percent(coverage)) % in the mean over \(runs.count) runs")
            }
        }
        if let alpha = report.alpha { lines += ["", "latencies outside engine steps"] + alpha }
        if let ensemble = report.ensemble { lines += EnsembleTables.text(ensemble) }
        lines += ["", "features of the model of all rows" + (report.ensemble == nil ? "" : " (P50)")]
        lines += features(report.features)
        for part in report.specialised ?? [] {
            let kept = part.features.filter { $0.coefficient != nil }.count
            lines.append("\(part.scope): \(kept) of \(part.features.count) features")
        }
        return lines.joined(separator: "\n")
    }

    /// Scores per group: train, test and baseline side by side, percentages.
    public static func validation(_ table: TrainingReport.ValidationTable) -> [String] {
        var rows = [
            [
                "group", "rows", "MAPE", "median", "train MAPE", "median", "NNLS MAPE", "median", "bias",
                "CRPS",
                "coverage", "90 % interval", "width",
            ]
        ]
        for line in Self.layouts(table) + table.groups + [table.overall] {
            let test = line.test
            rows.append([
                line.group, "\(test.rows)", NumberText.percent(test.mape), NumberText.percent(test.medianAPE),
                line.train.map { NumberText.percent($0.mape) } ?? "-",
                line.train.map { NumberText.percent($0.medianAPE) } ?? "-",
                line.baseline.map { NumberText.percent($0.mape) } ?? "-",
                line.baseline.map { NumberText.percent($0.medianAPE) } ?? "-",
                NumberText.percent(test.bias), NumberText.percent(test.relativeCRPS),
                NumberText.percent(test.coverage),
                [test.coverageInterval.lowerBound, test.coverageInterval.upperBound].map {
                    NumberText.percent($0, 0)
                }.joined(separator: "-"),
                NumberText.percent(test.width),
            ])
        }
        return aligned(rows)
    }

    /// Parallel layouts that have several rows in the table of groups.
    private static func layouts(_ table: TrainingReport.ValidationTable)
        -> [TrainingReport.ValidationTable.Line]
    {
        (table.layouts ?? []).filter { layout in
            !table.groups.contains { $0.test.rows == layout.test.rows && $0.test.mape == layout.test.mape }
        }
    }

    private static func features(_ lines: [TrainingReport.FeatureLine]) -> [String] {
        var rows = [["feature", "coefficient", "std", "weight", "dropped because"]]
        for line in lines {
            rows.append([
                line.feature, line.coefficient.map(NumberText.significant) ?? "-",
                line.std.map(NumberText.significant) ?? "-",
                line.effectiveWeight.map { NumberText.fixed($0, 3) } ?? "-", line.dropped ?? "",
            ])
        }
        return aligned(rows)
    }

    /// Columns as wide as their widest cell; the first to the left, the others to the right.
    static func aligned(_ rows: [[String]]) -> [String] {
        let columns = rows.map(\.count).max() ?? 0
        let widths = (0..<columns).map { c in rows.map { c < $0.count ? $0[c].count : 0 }.max() ?? 0 }
        return rows.map { row in
            var line = ""
            for (c, cell) in row.enumerated() {
                let space = String(repeating: " ", count: widths[c] - cell.count)
                line += c == 0 ? cell + space : "  " + space + cell
            }
            while line.last == " " { line.removeLast() }
            return line
        }
    }
}
