import ServingCore
import Testing

@testable import Workload

/// Inputs with bytes changed, removed and repeated are read or refused, never trapped on.
@Suite struct DamageTests {
    private static let samples: [String] = [
        "arrival_s,prompt_tokens,output_tokens_recorded,succeeded\n0.0,5,7,1\n1.5,0,0,0\n2.5,3,0,1\n1.0,9,9,1\n",
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.9799600,4808,10\n2023-11-16 18:17:04.0319600,3180,8\n",
        "{\"timestamp\": 0, \"input_length\": 1200, \"output_length\": 5, \"hash_ids\": [0, 1, 2]}\n{\"timestamp\": 9, \"input_length\": 600, \"output_length\": 5, \"hash_ids\": [0, 3]}\n",
        "{\"chat_id\": 1, \"parent_chat_id\": -1, \"timestamp\": 1.5, \"input_length\": 20, \"output_length\": 10, \"turn\": 1, \"hash_ids\": [1,2]}\n",
        RequestStreamTests.rich,
        SpecificationTests.profile,
        "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n5,ChatGPT,100,10,110,Conversation log\n",
        "load: {bursts: {rate: 50, on: 1, off: 9}}\nduration: 20\ninput_len: {type: pareto, scale: 9, shape: 2}\noutput_len: {type: quantiles, quantiles: {0: 1, 1: 50}}\n",
        "load: {request_rate: 5, diurnal: {amplitude: 1, period: 60}}\nnum_prompts: 50\ninput_len: {type: empirical, values: [1, 2]}\noutput_len: {type: normal, mean: 5, std_dev: 2}\nshared_prefix: {num_groups: 3, prefix_len: 9, num_prompts_per_group: 2, popularity: round_robin}\n",
    ]

    @Test(arguments: samples.indices)
    func `mutated inputs never trap`(sample: Int) throws {
        let folder = try TemporaryFolder()
        defer { folder.remove() }
        let original = Array(Self.samples[sample].utf8)
        var stream = RandomStream(seed: UInt64(sample), purpose: "mutation")
        let interesting = Array("0123456789-+.eE,:{}[]\"'\n\t #&*|>%@~x\0\u{FF}".utf8)
        var readable = 0
        for round in 0..<400 {
            var bytes = original
            for _ in 0...Int(stream.next() % 4) where !bytes.isEmpty {
                let place = Int(stream.next() % UInt64(bytes.count))
                switch stream.next() % 5 {
                case 0: bytes[place] = UInt8(truncatingIfNeeded: stream.next())
                case 1: bytes.remove(at: place)
                case 2: bytes.insert(interesting[Int(stream.next() % UInt64(interesting.count))], at: place)
                case 3: bytes.removeSubrange(place...)
                default:
                    let end = min(bytes.count, place + Int(stream.next() % 40))
                    bytes.insert(contentsOf: bytes[place..<end], at: place)
                }
            }
            let path = try folder.write(bytes, as: "m\(round)")
            var request = IncomingRequest()
            do {
                var requests = try RequestStream(contentsOf: path, seed: 1)
                var last: Ticks = 0
                for _ in 0..<200 {
                    guard try requests.next(&request) else { break }
                    readable += 1
                    #expect(request.arrival >= last && request.promptTokens >= 1 && request.outputTokens >= 1)
                    #expect(request.sharedSegments.reduce(0) { $0 + $1.tokens } <= request.promptTokens)
                    last = request.arrival
                    var turn = request
                    while turn.session >= 0,
                        requests.followUp(session: turn.session, finishedAt: turn.arrival, &turn)
                    {}
                }
            } catch let error as InvalidInput {
                #expect(!error.description.contains("\n"))
            }
        }
        #expect(readable > 0)
    }
}
