import ServingCore
import Testing

@Suite struct ParallelMapTests {
    @Test(arguments: [1, 2, 7, 100]) func `results stand in the order of their indices`(threads: Int) throws {
        #expect(try parallelMap(50, threads: threads) { $0 * $0 } == (0..<50).map { $0 * $0 })
        #expect(try parallelMap(0, threads: threads) { $0 } == [])
    }

    @Test(arguments: [1, 4]) func `an error is thrown on`(threads: Int) {
        #expect(throws: InvalidInput.self) {
            try parallelMap(20, threads: threads) { index in
                if index >= 3 { throw InvalidInput(.badData, "number \(index)") }
                return index
            }
        }
    }
}
