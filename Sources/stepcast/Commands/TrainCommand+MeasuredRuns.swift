import ArgumentParser
import Catalog
import LatencyOracle
import OracleTraining
import Scenarios
import Validation

/// What `train` learns from requests measured on whole runs.
extension TrainCommand {
    /// Learns the time of the API server from runs that were not overloaded.
    func addServingTime(
        _ artifact: inout OracleArtifact, _ report: inout TrainingReport, _ folder: String,
        _ shipped: ShippedFiles
    ) throws {
        let oracle = try StepTimeOracle(artifact: artifact)
        let found = try measuredRuns(folder, shipped, overloaded: false).compactMap { run in
            let samples = try ServingTimeSamples(run, base: Scenario(), oracle: oracle, shipped: shipped)
            return samples.seconds.isEmpty ? nil : (name: run.entry.name, samples: samples)
        }
        guard
            let fit = ServingTimeFit.fit(
                found.map { (seconds: $0.samples.seconds, requestsAhead: $0.samples.requestsAhead) })
        else { return }
        artifact.arrival = fit.arrival
        artifact.post = fit.post
        let fixed = (fit.arrival.constant + fit.post.constant) * 1000
        let each = (fit.post.perRunningRequest ?? 0) * 1e6
        let names = found.map(\.name).joined(separator: ", ")
        report.alpha =
            (report.alpha ?? [])
            + ["API server: \(fixed) ms and \(each) us per request running, from first tokens of \(names)"]
    }

    /// Learns what requests that wait cost from runs that were overloaded.
    func addQueueCost(
        _ artifact: inout OracleArtifact, _ report: inout TrainingReport, _ folder: String,
        _ shipped: ShippedFiles
    ) throws {
        let oracle = try StepTimeOracle(artifact: artifact)
        let found = try measuredRuns(folder, shipped, overloaded: true).compactMap { run in
            try QueueCost.Run(run, base: Scenario(), oracle: oracle, shipped: shipped).map {
                (name: run.entry.name, run: $0)
            }
        }
        guard let share = QueueCost.fit(found.map(\.run)), share > 0 else { return }
        artifact.setQueueCost(share)
        let names = found.map(\.name).joined(separator: ", ")
        report.alpha =
            (report.alpha ?? []) + [
                "Requests waiting: \(share * 100) % of the time to read a rank's weights a step for each of the first \(StepTerm.mostQueuedRequests), from request times of \(names)"
            ]
    }

    /// The runs of a folder that `--runs-matching` names, of models that `--exclude` does not.
    private func measuredRuns(_ folder: String, _ shipped: ShippedFiles, overloaded: Bool) throws
        -> [MeasuredRun]
    {
        let catalog = ModelCatalog(shipped)
        return try MeasuredRunEntry.read(folder: folder).compactMap { entry in
            guard entry.overloaded == overloaded else { return nil }
            if let runsMatching, !entry.name.contains(runsMatching) { return nil }
            let model = try catalog.architecture(entry.model).name
            if input.exclude.contains(where: { model.contains($0) || entry.model.contains($0) }) {
                return nil
            }
            return try MeasuredRun(entry, folder: folder)
        }
    }
}
