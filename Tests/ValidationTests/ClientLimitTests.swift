import Foundation
import Testing

@testable import Validation

@Suite struct `A client's limit of requests in flight` {
    /// 200 requests of 10 s each, sent every `gap` seconds or when one of 20 slots is free.
    private func share(gap: Double, limit: String) throws -> Double? {
        let folder = try TemporaryFolder()
        var csv = "arrival_s,prompt_tokens,output_tokens_recorded,succeeded,ttft_s,e2e_s\n"
        var sent: [Double] = []
        for index in 0..<200 {
            let free = index < 20 ? 0 : sent[index - 20] + 10
            sent.append(max(Double(index) * gap, free))
            csv += "\(sent[index]),100,50,1,0.1,10\n"
        }
        try folder.write("a.csv", csv)
        try folder.write(
            "index.json",
            """
            [{"name": "a", "model": "llama-3.1-8b", "gpu": "h100-sxm", "engine": "vllm 0.23", "overloaded": false\(limit)}]
            """)
        let entry = try #require(MeasuredRunEntry.read(folder: folder.path).first)
        return try MeasuredRun(entry, folder: folder.path).shareSentAtClientLimit
    }

    @Test func `shows where sends waited for a slot`() throws {
        // Twice as many as 20 slots take: all but the first 20 wait.
        #expect(try #require(try share(gap: 0.25, limit: #", "max_concurrency": 20"#)) >= 0.9)
        // Half as many: none does.
        #expect(try share(gap: 1, limit: #", "max_concurrency": 20"#) == 0)
        #expect(try share(gap: 0.25, limit: "") == nil)
        #expect(try share(gap: 0.25, limit: #", "max_concurrency": 1"#) == nil)
    }
}
