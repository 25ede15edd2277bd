import Catalog
import Scenarios
import ServingCore
import Simulation
import Testing

@Suite struct RouterTests {
    private func prepared(_ change: (inout Scenario) -> Void) throws -> PreparedScenario {
        var scenario = Scenario()
        scenario.engine.model = "llama-3.1-8b"
        scenario.gpu = "h100-sxm"
        scenario.loadRequest.numPrompts = 400
        scenario.loadRequest.requestRate = 20
        change(&scenario)
        var prepared = try scenario.prepare(shipped: shipped)
        prepared.configuration.scheduler.checksInvariants = false
        return prepared
    }

    private func records(_ prepared: PreparedScenario) throws -> (SimulationResult, [RequestRecord]) {
        var prepared = prepared
        prepared.configuration.collectsRecords = true
        var run = try prepared.makeRun()
        while try run.advance(events: 1 << 16) {}
        let result = run.finish()
        return (prepared.describe(result), run.takeRecords())
    }

    @Test(arguments: RoutingPolicy.allCases, [2, 3, 5])
    func `every request ends once, on a replica that exists, whatever the router`(
        policy: RoutingPolicy, replicas: Int
    ) throws {
        for load in ["rag", "agents", "burst"] {
            let (result, records) = try records(
                prepared {
                    $0.load = .workload(load)
                    $0.loadRequest.numPrompts = 60
                    $0.replicas = replicas
                    $0.router = policy
                    $0.clientTimeout = load == "burst" ? 2 : nil
                })
            #expect(records.map(\.index).sorted() == Array(0..<result.requests))
            #expect(records.allSatisfy { (0..<replicas).contains($0.engine) })
            let metrics = result.metrics
            #expect(metrics.completed + metrics.failed == result.requests)
            #expect(result.accelerators == replicas)
        }
    }

    @Test func `round robin deals requests out in turn`() throws {
        let (_, records) = try records(prepared { $0.replicas = 3 })
        for record in records { #expect(record.engine == record.index % 3) }
    }

    @Test func `one replica is the deployment itself`() throws {
        let alone = try prepared { _ in }.run()
        let one = try prepared {
            $0.replicas = 1
            $0.router = .prefixAffinity
        }.run()
        #expect(one.metrics == alone.metrics)
    }

    @Test func `prefix affinity beats round robin where prompts share their beginnings`() throws {
        func run(_ policy: RoutingPolicy) throws -> SimulationResult {
            try prepared {
                $0.load = .workload("rag")
                $0.loadRequest.numPrompts = 1500
                $0.loadRequest.requestRate = 30
                $0.replicas = 2
                $0.router = policy
            }.run()
        }
        let (affinity, roundRobin) = (try run(.prefixAffinity), try run(.roundRobin))
        #expect(affinity.metrics.completed == 1500)
        #expect(roundRobin.metrics.completed == 1500)
        #expect(affinity.prefixCacheHitRate > roundRobin.prefixCacheHitRate * 1.1)
        #expect(affinity.metrics.ttft.mean.value < roundRobin.metrics.ttft.mean.value)
        #expect(affinity.metrics.e2el.mean.value < roundRobin.metrics.e2el.mean.value)
    }

    @Test func `looking at the load beats dealing out in turn when requests differ much`() throws {
        func wait(_ policy: RoutingPolicy) throws -> Double {
            try prepared {
                $0.load = .workload("chat")
                $0.loadRequest.numPrompts = 1500
                $0.loadRequest.requestRate = 60
                $0.engine.maxNumSeqs = 48
                $0.replicas = 4
                $0.router = policy
            }.run().metrics.meanQueueTime
        }
        let turn = try wait(.roundRobin)
        #expect(try wait(.leastLoaded) < turn)
        #expect(try wait(.powerOfTwoChoices) < turn)
    }

    @Test func `data-parallel engines share the requests of their replica`() throws {
        let (result, records) = try records(
            prepared {
                $0.engine.dataParallelSize = 2
                $0.replicas = 2
            })
        #expect(result.engines == 4 && result.accelerators == 4)
        for record in records { #expect(record.engine / 2 == record.index % 2) }
        #expect(Set(records.map(\.engine)) == [0, 1, 2, 3])
    }

    @Test func `data-parallel engines of a mixture of experts step together, without KV offload`() throws {
        func experts(_ change: (inout Scenario) -> Void) throws -> PreparedScenario {
            try prepared {
                $0.engine.model = "qwen3-30b-a3b"
                $0.engine.dataParallelSize = 2
                $0.engine.enableExpertParallel = true
                change(&$0)
            }
        }
        let (result, records) = try records(experts { $0.replicas = 2 })
        #expect(result.engines == 4 && result.accelerators == 4)
        #expect(records.count == result.requests && records.allSatisfy { $0.status == .completed })
        #expect(throws: InvalidInput.self) {
            _ = try experts { $0.engine.kvOffloadingSize = 8 }
        }
    }

    @Test func `an unknown router is refused with the nearest name, and so are too many replicas`() throws {
        #expect(throws: InvalidInput.self) { try RoutingPolicy(parsing: "round-robbin") }
        do { _ = try RoutingPolicy(parsing: "prefix-afinity") } catch {
            #expect("\(error)".contains("did you mean prefix-affinity?"))
        }
        #expect(try RoutingPolicy(parsing: "least_loaded") == .leastLoaded)
        #expect(throws: InvalidInput.self) { _ = try prepared { $0.replicas = 0 } }
        #expect(throws: InvalidInput.self) { _ = try prepared { $0.replicas = 1_000_000_000_000 } }
    }
}
