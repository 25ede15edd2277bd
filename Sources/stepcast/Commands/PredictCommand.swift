import ArgumentParser
import ByteStreams
import Catalog
import Foundation
import LatencyOracle
import OracleTraining
import ServingCore
import StepTraces

/// `stepcast predict`: one prediction per described step.
struct PredictCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "predict",
        abstract: "Predict the duration of steps described in a CSV file.",
        discussion: """
            Columns of the file: num_prefill_reqs, prefill_tokens, prefill_context (tokens computed before, summed \
            over prefills), num_decode_reqs, decode_context_tokens_total; and where known running, waiting, \
            kv_blocks_used, kv_blocks_total, blocks_to_offload, blocks_to_restore. The deployment comes from the \
            flags. Written to standard output: mean_s, std_s, p10_s, p50_s, p90_s, in_domain.
            """)

    @OptionGroup var oracle: OracleOption
    @OptionGroup(title: "Deployment") var engine: EngineOptions

    @Option(help: "CSV file of steps.")
    var steps: String

    func run() throws {
        let shipped = try ShippedFiles.locate()
        let facts = try engine.deployment(shipped: shipped).facts()
        let compiled = try oracle.load(shipped).compile(for: facts)
        var table = try StepDescriptionReader(path: steps)
        print("mean_s,std_s,p10_s,p50_s,p90_s,in_domain")
        var state = StepState()
        while try table.next(&state) {
            let values = [
                compiled.stepSeconds(state), compiled.standardDeviation(state),
                compiled.predictiveQuantile(state, probability: 0.1),
                compiled.predictiveQuantile(state, probability: 0.5),
                compiled.predictiveQuantile(state, probability: 0.9),
            ]
            let inside = compiled.hasDomain ? (compiled.isInDomain(state) ? "1" : "0") : ""
            print(values.map { "\($0)" }.joined(separator: ",") + "," + inside)
        }
    }
}
