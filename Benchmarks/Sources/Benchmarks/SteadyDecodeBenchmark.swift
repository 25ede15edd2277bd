import Engine
import LatencyOracle
import ServingCore
import Simulation
import Workload

/// What a step costs when nothing happens but that every running request gets its token, by how many there are.
///
/// The first table's blocks are the requests' own and only counted. In the second every block is registered in the
/// prefix cache when it is full, since a later turn may ask for it: that is the dearest crossing of a block boundary.
let steadyDecodeBenchmark = Benchmark(name: "steady-decode", subject: "cost per step against batch size") {
    let sizes = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]
    let costs = try sizes.map { try stepCost(requests: $0, isFindable: false) }
    let findable = try sizes.map { try stepCost(requests: $0, isFindable: true) }
    let most = max(costs.max() ?? 1, findable.max() ?? 1)
    for (title, costs) in [("blocks only counted", costs), ("every block registered", findable)] {
        print("  ns per step, \(title)")
        for (size, cost) in zip(sizes, costs) {
            let bar = String(repeating: "#", count: Int((60 * cost / most).rounded()))
            let figure = String(Int(cost.rounded()))
            print("  \(padded(String(size), 5)) \(padded(figure, 5)) \(bar)")
        }
    }
    let (small, large) = (sizes.firstIndex(of: 16)!, sizes.firstIndex(of: 1024)!)
    // Per step 16 requests cross one block boundary, 1,024 cross 64.
    let crossing = (findable[large] - findable[small]) / 63
    return [
        Measurement(subject: "16 running", value: costs[small], unit: "ns per step"),
        Measurement(subject: "1,024 running", value: costs[large], unit: "ns per step"),
        Measurement(subject: "1,024 against 16", value: costs[large] / costs[small], unit: "x", target: 1.5),
        Measurement(
            subject: "crossing of a block that is only counted", value: (costs[large] - costs[small]) / 63,
            unit: "ns", target: 10),
        Measurement(
            subject: "crossing of a block that is registered", value: crossing, unit: "ns", target: 10),
        Measurement(
            subject: "a generated block when the next turn asks for it", value: deferredBlockCost(),
            unit: "ns",
            target: 10),
    ]
}

private func padded(_ text: String, _ width: Int) -> String {
    String(repeating: " ", count: max(0, width - text.count)) + text
}

/// Nanoseconds of a step with `requests` requests that all decode and whose blocks fill up at different steps.
private func stepCost(requests: Int, isFindable: Bool) throws -> Double {
    func seconds(outputTokens: Int) throws -> (seconds: Double, steps: Int) {
        var scheduler = SchedulerConfiguration(
            maxNumBatchedTokens: 1 << 17, maxNumSeqs: 1024, numBlocks: 1 << 24, maxModelLen: 1 << 18)
        scheduler.schedulerReserveFullISL = false
        let configuration = SimulationConfiguration(
            scheduler: scheduler, oracle: try StepTimeOracle.roofline.compile(for: RandomScenarios.facts()))
        var load = WorkloadSpecification()
        load.numPrompts = requests
        var kind = RequestClass()
        kind.inputLength = Distribution(.uniform(low: 17, high: 32))
        kind.outputLength = .constant(outputTokens)
        if isFindable {
            var turns = MultiTurn()
            turns.turns = .constant(2)
            turns.thinkTime = Distribution(.constant(1e8), minimum: 0, maximum: 1e9)
            kind.multiTurn = turns
        }
        load.classes = [kind]
        let stream = RequestStream(load, seed: 1)
        var steps = 0
        let cost = try leastProcessorSeconds(repeats: 40) {
            var configuration = configuration
            configuration.horizon = Ticks(seconds: 1e7)
            var run = try SimulationRun(configuration, requests: stream)
            while try run.advance(events: 1 << 20) {}
            steps = run.finish().steps
        }
        return (cost, steps)
    }
    // The difference of a long and a short run leaves out what is done once.
    let short = try seconds(outputTokens: 2_000)
    let long = try seconds(outputTokens: 32_000)
    return (long.seconds - short.seconds) / Double(long.steps - short.steps) * 1e9
}
