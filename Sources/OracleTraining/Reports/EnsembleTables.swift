/// The part of a training report that says how configurations were grouped and intervals calibrated, as text.
enum EnsembleTables {
    static func text(_ report: EnsembleReport) -> [String] {
        var lines = ["", "form: \(report.form)" + (report.certified ? ", quantiles proved optimal" : "")]
        lines += forms(report)
        if report.specialists.count > 1 {
            let parts = report.specialists.enumerated().map { "\($0 + 1): \($1.joined(separator: ", "))" }
            lines += ["specialists, told apart by \(report.entries.joined(separator: ", "))"] + parts
        }
        lines += embedding(report)
        lines += penalty(report)
        if let intervals = report.intervals {
            lines += ["", "intervals on the rows held out"] + table(intervals)
        }
        if let corrections = report.corrections {
            lines += ["", "what each correction of the design buys"] + ladder(corrections)
        }
        return lines
    }

    private static func forms(_ report: EnsembleReport) -> [String] {
        let screened = report.screened ?? []
        guard !report.compared.isEmpty || !screened.isEmpty else { return [] }
        var rows = [["on configurations left out", "pinball %", "median error %", "screening %"]]
        let names =
            screened.map(\.form)
            + report.compared.map(\.form).filter { name in
                !screened.contains { $0.form == name }
            }
        for name in names {
            let exact = report.compared.first { $0.form == name }
            let rough = screened.first { $0.form == name }
            rows.append([
                name, exact.map { NumberText.percent($0.pinball, 2) } ?? "-",
                exact.map { NumberText.percent($0.medianError) } ?? "-",
                rough.map { NumberText.percent($0.pinball, 2) } ?? "-",
            ])
        }
        return ReportTables.aligned(rows)
    }

    private static func embedding(_ report: EnsembleReport) -> [String] {
        var lines: [String] = []
        if let silhouette = report.silhouette {
            lines.append("silhouette of the grouping: \(NumberText.fixed(silhouette, 2))")
        }
        if let correlation = report.mantelCorrelation, let p = report.mantelPValue {
            lines.append(
                "distance of configurations against difference in measured times (Mantel): "
                    + "rank correlation \(NumberText.fixed(correlation, 2)), p \(NumberText.fixed(p, 3))")
        }
        if let groups = report.startGroups, let share = report.shareOfStartsAtBest,
            let agreement = report.agreementOfStarts
        {
            lines.append(
                "k-means into \(groups): \(NumberText.percent(share, 0)) % of the starts end at the best division, "
                    + "the others agree with it to an adjusted Rand index of \(NumberText.fixed(agreement, 2))"
            )
        }
        return lines
    }

    private static func penalty(_ report: EnsembleReport) -> [String] {
        guard let path = report.penaltyPath else { return [] }
        var rows = [["L1 penalty", "held-out pinball, ms"]]
        for step in path {
            rows.append([
                NumberText.significant(step.penalty) + (step.chosen ? " (chosen)" : ""),
                NumberText.significant(1000 * step.heldOutLoss),
            ])
        }
        return [""] + ReportTables.aligned(rows)
    }

    /// Methods side by side.
    static func table(_ scores: [IntervalScore]) -> [String] {
        var rows = [
            ["method", "rows", "pinball %", "median error %", "covers %", "95 % interval", "width %"]
        ]
        for score in scores {
            rows.append([
                score.method, "\(score.rows)", NumberText.percent(score.pinball, 2),
                NumberText.percent(score.medianError), NumberText.percent(score.coverage),
                score.coverageInterval.map { NumberText.percent($0) }.joined(separator: "-"),
                NumberText.percent(score.width),
            ])
        }
        return ReportTables.aligned(rows)
    }

    private static func ladder(_ corrections: [EnsembleReport.Correction]) -> [String] {
        var rows = [
            [
                "each with all above it", "later time: pinball %", "median error %", "covers %",
                "left out: pinball %",
            ]
        ]
        for correction in corrections {
            rows.append([
                correction.correction, NumberText.percent(correction.later.pinball, 2),
                NumberText.percent(correction.later.medianError),
                NumberText.percent(correction.later.coverage),
                correction.leftOutPinball.map { NumberText.percent($0, 2) } ?? "-",
            ])
        }
        return ReportTables.aligned(rows)
    }
}
