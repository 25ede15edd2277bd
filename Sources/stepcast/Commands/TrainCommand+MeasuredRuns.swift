import ArgumentParser
import Catalog
import LatencyOracle
import OracleTraining
import Scenarios
import Validation

/// What `train` learns from requests measured on whole runs.
extension TrainCommand {
    /// Learns from the requests of a folder's runs what no step tells; a note for the report on each thing learned.
    func learn(_ artifact: inout OracleArtifact, fromRunsIn folder: String, _ shipped: ShippedFiles) throws
        -> [String]
    {
        // The API server's time is what first tokens take beyond their simulation, queue and all.
        let queue = try learnQueueCost(
            &artifact, from: measuredRuns(folder, shipped, overloaded: true), shipped)
        let server = try learnServingTime(
            &artifact, from: measuredRuns(folder, shipped, overloaded: false), shipped)
        return [queue, server].compactMap { $0 }
    }

    private func learnServingTime(
        _ artifact: inout OracleArtifact, from runs: [MeasuredRun], _ shipped: ShippedFiles
    ) throws -> String? {
        let oracle = try StepTimeOracle(artifact: artifact)
        let found = try runs.compactMap { run in
            let samples = try ServingTimeSamples(run, base: Scenario(), oracle: oracle, shipped: shipped)
            return samples.seconds.isEmpty ? nil : (name: run.entry.name, samples: samples)
        }
        guard
            let fit = ServingTimeFit.fit(
                found.map { (seconds: $0.samples.seconds, requestsAhead: $0.samples.requestsAhead) })
        else { return nil }
        artifact.arrival = fit.arrival
        artifact.post = fit.post
        let fixed = (fit.arrival.constant + fit.post.constant) * 1000
        let each = (fit.post.perRunningRequest ?? 0) * 1e6
        let names = found.map(\.name).joined(separator: ", ")
        return "API server: \(fixed) ms and \(each) us per request running, from first tokens of \(names)"
    }

    private func learnQueueCost(
        _ artifact: inout OracleArtifact, from runs: [MeasuredRun], _ shipped: ShippedFiles
    ) throws -> String? {
        let oracle = try StepTimeOracle(artifact: artifact)
        let found = try runs.compactMap { run in
            try QueueCost.Run(run, base: Scenario(), oracle: oracle, shipped: shipped).map {
                (name: run.entry.name, run: $0)
            }
        }
        guard let share = QueueCost.fit(found.map(\.run)), share > 0 else { return nil }
        artifact.setQueueCost(share)
        return
            "Requests waiting: \(share * 100) % of the time to read a rank's weights a step for each of the first "
            + "\(StepTerm.mostQueuedRequests), from request times of \(found.map(\.name).joined(separator: ", "))"
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
