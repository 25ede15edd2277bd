import ByteStreams
import ServingCore

/// vLLM's log: the lines of `--enable-logging-iteration-details` and what it says about the deployment.
struct IterationLog {
    /// One iteration.
    struct Iteration: Equatable {
        var index: Int64
        var contextRequests: Int32
        var contextTokens: Int32
        var generationRequests: Int32
        var generationTokens: Int32
        /// As logged, two decimals.
        var elapsedMilliseconds: Double
        /// Share of KV blocks in use; not a number when the line does not say.
        var kvUsage: Double
        /// Second of the log's clock, -1 when the line has none.
        var second: Int32
        /// Whether a warm-up's end was logged behind it.
        var isWarmUp = false
        var engine: Int16
    }

    var iterations: [Iteration] = []
    var configuration = TraceConfiguration()
    /// Tokens that the KV cache holds, from the log.
    var kvCacheTokens: Int64?
    var malformed = 0
    var isTruncated = false
    /// Iterations before the prefix cache was reset, as servers do when they have warmed up.
    private var warmUpIterations = 0

    /// Reads a log.
    /// - Throws: `InvalidInput` when it cannot be read or is damaged.
    init(path: String) throws { try self.init(lines: LineReader(path: path)) }

    init(lines: consuming LineReader) throws {
        var lines = lines
        while try lines.next() {
            lines.line.withUnsafeBytes { read($0) }
        }
        isTruncated = lines.isTruncated
        for index in 0..<warmUpIterations { iterations[index].isWarmUp = true }
    }

    private mutating func read(_ line: UnsafeRawBufferPointer) {
        if let start = line.position(of: "Iteration(") {
            if let iteration = Iteration(line, from: start) {
                iterations.append(iteration)
            } else {
                malformed += 1
            }
            return
        }
        // Everything else is rare and short.
        guard line.count < 65536 else { return }
        if line.position(of: "Successfully reset prefix cache") != nil {
            warmUpIterations = iterations.count
        }
        if let value = line.number(after: "KV cache size: ") { kvCacheTokens = value }
        if let value = line.number(after: "Using max model len ") {
            configuration.maxModelLen = Int(exactly: value)
        }
        if let value = line.number(after: "max_num_batched_tokens=") {
            configuration.maxNumBatchedTokens = Int(exactly: value)
            configuration.chunkedPrefill = true
        }
        if line.position(of: "Asynchronous scheduling is enabled") != nil {
            configuration.asyncScheduling = true
        }
        if line.position(of: "Asynchronous scheduling is disabled") != nil {
            configuration.asyncScheduling = false
        }
        if line.position(of: "Initializing a V1 LLM engine") != nil { readEngine(line) }
    }

    private mutating func readEngine(_ line: UnsafeRawBufferPointer) {
        if let version = line.text(after: "LLM engine (v", until: [UInt8(ascii: ")")]) {
            configuration.engineVersion = version
        }
        let ends: [UInt8] = [UInt8(ascii: ","), UInt8(ascii: ")")]
        if let size = line.number(after: "tensor_parallel_size="), size > 0, size < 65536 {
            configuration.tensorParallelSize = Int(size)
        }
        if let size = line.number(after: "data_parallel_size="), size > 0, size < 65536 {
            configuration.dataParallelSize = Int(size)
        }
        if let model = line.text(after: "config: model='", until: [UInt8(ascii: "'")]), model != "PATH",
            !model.hasPrefix("/")
        {
            configuration.model = model
        }
        if let value = line.text(after: "enable_prefix_caching=", until: ends) {
            configuration.prefixCaching = value == "True"
        }
        if let value = line.text(after: "enable_chunked_prefill=", until: ends) {
            configuration.chunkedPrefill = value == "True"
        }
        if let value = line.text(after: "enforce_eager=", until: ends) {
            configuration.enforceEager = value == "True"
        }
        if let value = line.text(after: ", dtype=", until: ends) {
            configuration.weightFormat = TraceConfiguration.shortFormat(value)
        }
    }

    /// The share of its busiest seconds that the iterations of a log account for.
    ///
    /// A server under load executes almost all the time. With the in-process executor the timer of the log starts
    /// when execution has finished, so that even a busy second adds up to a few hundredths.
    struct Coverage: Equatable {
        /// Busy share of the busiest tenth of seconds, 0 to 1 and a little.
        var busiest = 0.0
        /// Seconds looked at; 0 when the lines carry no time of day.
        var seconds = 0
        /// Median elapsed time, ms.
        var median = 0.0

        /// Whether the elapsed times may serve as a target. Without times of day, medians below a millisecond are
        /// taken for those of an engine that does not wait for the model.
        var containsExecution: Bool { seconds > 0 ? busiest >= 0.5 : median >= 1 }
    }

    /// Adds up the elapsed times of every second.
    var coverage: Coverage {
        var sums: [Double] = []
        var elapsed: [Double] = []
        var index = 0
        while index < iterations.count {
            let second = iterations[index].second
            var sum = 0.0
            while index < iterations.count, iterations[index].second == second {
                if !iterations[index].isWarmUp {
                    sum += iterations[index].elapsedMilliseconds / 1000
                    elapsed.append(iterations[index].elapsedMilliseconds)
                }
                index += 1
            }
            if second >= 0 { sums.append(sum) }
        }
        elapsed.sort()
        let median = elapsed.isEmpty ? 0 : elapsed[elapsed.count / 2]
        // The first and the last second are not whole.
        if sums.count > 2 { sums = Array(sums[1..<sums.count - 1]) }
        guard !sums.isEmpty else { return Coverage(median: median) }
        sums.sort(by: >)
        let top = sums.prefix(max(1, sums.count / 10))
        return Coverage(busiest: top.reduce(0, +) / Double(top.count), seconds: sums.count, median: median)
    }
}

extension IterationLog.Iteration {
    /// Reads `Iteration(<i>): <n> context requests, <t> context tokens, …`.
    fileprivate init?(_ line: UnsafeRawBufferPointer, from start: Int) {
        let text = UnsafeRawBufferPointer(rebasing: line[start...])
        guard let index = text.number(after: "Iteration("),
            let contextRequests = text.number(before: " context requests"),
            let contextTokens = text.number(before: " context tokens"),
            let generationRequests = text.number(before: " generation requests"),
            let generationTokens = text.number(before: " generation tokens"),
            let elapsed = text.real(after: "elapsed time: ", before: " ms"),
            contextRequests <= Int32.max, contextTokens <= Int32.max, generationRequests <= Int32.max,
            generationTokens <= Int32.max
        else { return nil }
        self.index = index
        self.contextRequests = Int32(contextRequests)
        self.contextTokens = Int32(contextTokens)
        self.generationRequests = Int32(generationRequests)
        self.generationTokens = Int32(generationTokens)
        elapsedMilliseconds = elapsed
        kvUsage = text.real(after: "KV cache usage: ", before: "%").map { $0 / 100 } ?? .nan
        let head = UnsafeRawBufferPointer(rebasing: line[..<start])
        second = head.clockSecond
        engine = Int16(clamping: head.number(after: "Engine ") ?? 0)
    }
}

extension UnsafeRawBufferPointer {
    /// Where a text first stands.
    func position(of text: StaticString) -> Int? {
        let length = text.utf8CodeUnitCount
        guard count >= length, length > 0 else { return nil }
        let first = text.utf8Start[0]
        var start = 0
        while start <= count - length {
            if self[start] == first {
                var index = 1
                while index < length, self[start + index] == text.utf8Start[index] { index += 1 }
                if index == length { return start }
            }
            start += 1
        }
        return nil
    }

    /// The whole number behind a text, thousands separated by commas or not.
    func number(after text: StaticString) -> Int64? {
        guard let place = position(of: text) else { return nil }
        return digits(from: place + text.utf8CodeUnitCount)
    }

    /// The whole number in front of a text.
    func number(before text: StaticString) -> Int64? {
        guard let place = position(of: text) else { return nil }
        var start = place
        while start > 0, self[start - 1] &- 0x30 <= 9 { start -= 1 }
        return start < place ? digits(from: start) : nil
    }

    private func digits(from start: Int) -> Int64? {
        var value: Int64 = 0
        var place = start
        var seen = 0
        while place < count {
            let digit = self[place] &- 0x30
            if digit <= 9 {
                if seen == 18 { return nil }
                value = value * 10 + Int64(digit)
                seen += 1
            } else if !(self[place] == UInt8(ascii: ",") && seen > 0 && place + 1 < count
                && self[place + 1] &- 0x30 <= 9)
            {
                break
            }
            place += 1
        }
        return seen > 0 ? value : nil
    }

    /// The finite number of at least 0 between two texts.
    func real(after text: StaticString, before end: StaticString) -> Double? {
        guard let place = position(of: text) else { return nil }
        let start = place + text.utf8CodeUnitCount
        var stop = start
        while stop < count, self[stop] &- 0x30 <= 9 || self[stop] == UInt8(ascii: ".") { stop += 1 }
        guard stop > start, UnsafeRawBufferPointer(rebasing: self[stop...]).position(of: end) == 0,
            let value = parseDouble(
                RawSpan(_unsafeBytes: UnsafeRawBufferPointer(rebasing: self[start..<stop])))
        else { return nil }
        return value
    }

    /// The text behind another, up to one of some bytes.
    func text(after text: StaticString, until ends: [UInt8]) -> String? {
        guard let place = position(of: text) else { return nil }
        let start = place + text.utf8CodeUnitCount
        var stop = start
        while stop < count, !ends.contains(self[stop]) { stop += 1 }
        return stop < count ? String(decoding: self[start..<stop], as: UTF8.self) : nil
    }

    /// The time of day of a log line's `hh:mm:ss`, in seconds; -1 when there is none.
    var clockSecond: Int32 {
        guard count >= 8 else { return -1 }
        for start in 0...(count - 8)
        where self[start + 2] == UInt8(ascii: ":") && self[start + 5] == UInt8(ascii: ":") {
            var second: Int32 = 0
            var isTime = true
            for (offset, weight) in [(0, 36000), (1, 3600), (3, 600), (4, 60), (6, 10), (7, 1)]
                as [(Int, Int32)]
            {
                let digit = self[start + offset] &- 0x30
                if digit > 9 { isTime = false }
                second += Int32(digit & 15) * weight
            }
            if isTime { return second }
        }
        return -1
    }
}
