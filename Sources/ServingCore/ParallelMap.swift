import Dispatch
import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Cores that parallel work may use.
public let availableCores = max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))))

/// The results of `body` for 0 up to `count`, in order, computed by at most `threads` threads at a time.
///
/// Each thread takes the next index when it is free, so the order of work depends on the threads and the results do
/// not. After a failure no further index is begun.
/// - Throws: the error of the smallest index that failed.
public func parallelMap<Result: Sendable>(
    _ count: Int, threads: Int = availableCores, _ body: @Sendable (Int) throws -> Result
) throws -> [Result] {
    guard threads > 1, count > 1 else { return try (0..<max(0, count)).map(body) }
    let next = Atomic<Int>(0)
    let collected = Mutex<(results: [Result?], failure: (index: Int, error: any Error)?)>(
        (Array(repeating: nil, count: count), nil))
    DispatchQueue.concurrentPerform(iterations: min(threads, count)) { _ in
        while true {
            let index = next.wrappingAdd(1, ordering: .relaxed).oldValue
            guard index < count else { return }
            do {
                let result = try body(index)
                collected.withLock { $0.results[index] = result }
            } catch {
                collected.withLock {
                    if $0.failure.map({ index < $0.index }) ?? true { $0.failure = (index, error) }
                }
                next.store(count, ordering: .relaxed)
                return
            }
        }
    }
    return try collected.withLock { state in
        if let failure = state.failure { throw failure.error }
        return state.results.map { $0! }
    }
}
