import Catalog
import ServingCore
import Testing

@testable import Sweep

@Suite struct SpecificationTests {
    @Test func `axes keep the order of the file and the last one varies fastest`() throws {
        let space = try ConfigurationSpace(
            specification("axes:\n  tensor-parallel-size: [1, 2]\n  max_num_seqs: [16, 32, 64]"))
        #expect(space.configurations.map(\.index) == Array(0..<6))
        #expect(space.configurations[0].labels == [.integer(1), .integer(16)])
        #expect(space.configurations[1].labels == [.integer(1), .integer(32)])
        #expect(space.configurations[3].labels == [.integer(2), .integer(16)])
        #expect(space.configurations[0].assignments[1].field == "max-num-seqs")
    }

    @Test func `ranges are linear or logarithmic, whole where a field asks for it`() throws {
        let sweep = try specification(
            """
            axes:
              request-rate: {from: 1, to: 16, count: 5, scale: log}
              max-num-seqs: {from: 10, to: 100, count: 4, scale: log}
              gpu-memory-utilization: {from: 0.8, to: 0.9, step: 0.05}
            """)
        let rates = sweep.axes[0].values.map(\.label)
        #expect(rates.count == 5)
        for (label, expected) in zip(rates, [1.0, 2, 4, 8, 16]) {
            let value: Double? =
                if case .integer(let whole) = label { Double(whole) } else if case .number(let number) = label
                { number } else { nil }
            #expect(abs((value ?? 0) - expected) < 1e-9)
        }
        #expect(sweep.axes[1].values.map(\.label) == [10, 22, 46, 100].map { .integer($0) })
        #expect(sweep.axes[2].values.count == 3)
    }

    @Test func `fields that change together are one axis`() throws {
        let sweep = try specification(
            """
            axes:
              placement:
                - {tp: 2, replicas: 1}
                - {tensor_parallel_size: 1, replicas: 2}
            """)
        #expect(
            sweep.axes[0].values.map(\.label) == [
                .string("replicas=1 tensor-parallel-size=2"), .string("replicas=2 tensor-parallel-size=1"),
            ])
    }

    @Test(arguments: [
        ("tensor-parallel-size * replicas == 8", 2), ("gpus <= 4", 6), ("not tensor-parallel-size > 2", 6),
        ("tensor-parallel-size in [2, 4] and replicas != 1", 4), ("replicas == 1 or tp == 4", 5),
        ("1 < replicas <= 4 and gpu == \"h100-sxm\"", 6), ("(replicas + 1) % 2 == 0", 3),
        ("-replicas < -3", 3),
    ])
    func `conditions choose combinations`(condition: String, count: Int) throws {
        let space = try ConfigurationSpace(
            specification(
                "axes:\n  tensor-parallel-size: [1, 2, 4]\n  replicas: [1, 2, 4]\nconditions: ['\(condition)']"
            ))
        #expect(space.configurations.count == count)
        #expect(space.excluded == 9 - count)
    }

    @Test func `samples fall into every stratum, once`() throws {
        let space = try ConfigurationSpace(
            specification(
                """
                axes:
                  gpu-memory-utilization: {from: 0.5, to: 0.9}
                  max-num-seqs: {from: 1, to: 1000, scale: log}
                sample: {method: latin-hypercube, count: 40, seed: 3}
                """))
        #expect(space.configurations.count == 40)
        let strata = space.configurations.map { configuration -> Int in
            guard case .number(let value) = configuration.labels[0] else { return -1 }
            return Int((value - 0.5) / 0.4 * 40)
        }
        #expect(Set(strata).count == 40)
        for configuration in space.configurations {
            guard case .integer(let seqs) = configuration.labels[1] else {
                Issue.record("batch sizes are whole")
                continue
            }
            #expect((1...1000).contains(seqs))
        }
        let random = try ConfigurationSpace(
            specification(
                "axes:\n  max-num-seqs: [1, 2, 3, 4, 5]\n  tp: [1, 2]\nsample: {count: 6}\nconditions: [tp == 1 or max-num-seqs < 4]"
            ))
        #expect(random.configurations.count == 6)
        #expect(Set(random.configurations.map { "\($0.labels)" }).count == 6)
    }

    @Test(arguments: [
        ("axes: {max-num-sqs: [1, 2]}", "axes.max-num-sqs: is not a known name; did you mean max-num-seqs?"),
        ("axes: {max-num-seqs: []}", "the grid is empty"),
        ("axes: {tp: [1, 2]}\nconditions: [tp > 2]", "the grid is empty"),
        ("axes: {tp: [1, 2]}\nconditions: [tensor-parallel-siz == 2]", "did you mean tensor-parallel-size?"),
        ("axes: {tp: [1, 2]}\nconditions: [max-num-seqs == 2]", "has no value in the scenario"),
        ("axes: {tp: [1, 2]}\nconditions: ['tp == ']", "ends too early"),
        ("constraints: [p99_ttft_ms <= 100, p99_ttft_ms >= 200]", "contradicts p99_ttft_ms <= 100"),
        ("constraints: [p99_ttft_ms <= 100, median_ttft_ms >= 200]", "contradicts p99_ttft_ms <= 100"),
        ("constraints: {p99_ttft_ms: -5}", "can never hold"),
        ("constraints: [p99_tftt_ms <= 100]", "did you mean p99_ttft_ms?"),
        ("objective: output_throughput_per_gpus", "did you mean output_throughput_per_gpu?"),
        ("objective: minimize cost_per_hour", "needs prices"),
        ("objective: request_goodput", "needs limits"), ("objektive: x", "did you mean objective?"),
        ("search: {method: highest-rate}", "without limits every rate holds"),
        ("search: highest-rat", "did you mean highest-rate?"),
        (
            "axes: {request-rate: [1]}\nsearch: highest-rate\nconstraints: [p99_ttft_ms <= 5]",
            "is what the search varies"
        ),
        ("axes: {request-rate: {from: 1, to: 5}}", "is a range without steps"),
        ("axes: {request-rate: {from: 5, to: 1, step: 1}}", "the smaller one first"),
        ("axes: {tp: [1], tensor_parallel_size: [2]}", "is set by the axis tp, too"),
        ("axes: {tp: [1, 1]}", "is given twice"),
        ("prices: {h100-sxn: 2}", "did you mean h100-sxm?"),
        (
            "axes: {workload: [{load: {type: poisson, request_rat: 1}, num_prompts: 5, input_len: 5, output_len: 5}]}",
            "request_rate"
        ),
        (
            "axes: {seed: {from: 1, to: 20000, step: 1}, num-prompts: {from: 1, to: 20000, step: 1}}",
            "too many"
        ),
    ])
    func `what cannot be used is said with its name and what is accepted`(rest: String, message: String) {
        let said = complaint(rest)
        #expect(said.contains(message), "\(said)")
        #expect(said.hasPrefix("sweep.yaml"), "\(said)")
        #expect(!said.contains("\n"))
    }

    @Test func `an unknown name in the base is refused too`() {
        do {
            _ = try SweepSpecification(yaml: "base: {modle: x}", source: "s.yaml")
            Issue.record("accepted")
        } catch {
            #expect("\(error)".contains("base.modle: is not a known name; did you mean model?"))
        }
    }

    @Test func `limits read as they are written in other tools`() throws {
        let sweep = try specification(
            "constraints: {p99_ttft_ms: '<=500', output_throughput: 10, median_tpot_ms: 50}\nsearch: highest-rate"
        )
        #expect(
            sweep.constraints.map(\.text) == [
                "median_tpot_ms <= 50", "output_throughput >= 10", "p99_ttft_ms <= 500",
            ])
        #expect(sweep.objective.text == "maximize max_request_rate")
    }

    @Test func `a specification says the same when it is written out whole`() throws {
        let sweep = try specification(
            "axes:\n  tp: [2, 1]\n  max-num-seqs: {from: 8, to: 16, step: 8}\nconditions: [tp < 4]\nobjective: p99_ttft_ms"
        )
        let again = try SweepSpecification(yaml: sweep.selfContained, source: "sweep.yaml")
        #expect(again.selfContained == sweep.selfContained)
        #expect(again.canonicalText == sweep.canonicalText)
    }
}
