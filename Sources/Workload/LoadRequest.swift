import ServingCore

/// What `vllm bench serve`'s flags say about a load, over and above the workload or trace itself. Nil leaves a part as
/// it is.
public struct LoadRequest: Equatable, Sendable {
    /// Requests per second; infinity sends all at once.
    public var requestRate: Double?
    /// Shape of the gamma distribution of gaps; infinity makes them alike.
    public var burstiness: Double?
    /// Requests that the client keeps in flight at most.
    public var maxConcurrency: Int?
    /// Requests to send.
    public var numPrompts: Int?
    /// The same under the name that fits a trace; the smaller counts.
    public var limit: Int?
    /// Multiplies the rate.
    public var rateScale: Double?

    /// Nothing changed.
    public init() {}

    /// The requests of a workload or trace file under these flags.
    /// - Parameter trace: further options, if the file is a trace.
    /// - Throws: `InvalidInput`.
    public func stream(
        contentsOf path: String, trace options: TraceOptions = TraceOptions(), seed: UInt64
    ) throws -> RequestStream {
        try check()
        return try stream(
            LoadSource(contentsOf: path, options: applied(to: options)), trace: options, seed: seed)
    }

    /// Trace options with what these flags change about them.
    public func applied(to options: TraceOptions) -> TraceOptions {
        var options = options
        options.limit = fewest(options.limit)
        options.maxConcurrency = maxConcurrency ?? options.maxConcurrency
        options.rateScale *= rateScale ?? 1
        return options
    }

    /// The requests of a source that was read under `applied(to: options)`.
    /// - Throws: `InvalidInput`.
    public func stream(_ source: LoadSource, trace options: TraceOptions, seed: UInt64) throws
        -> RequestStream
    {
        try check()
        var options = applied(to: options)
        let replacesArrivals = requestRate != nil || burstiness != nil
        switch source.content {
        case .specification(var specification, let warnings):
            guard replacesArrivals else {
                try specification.apply(options)
                return RequestStream(specification, seed: seed, warnings: warnings)
            }
            // The number of requests first, because gaps are stretched to it; the scale last, to the new rate.
            let scale = options.rateScale
            options.rateScale = 1
            try specification.apply(options)
            try specification.apply(requestRate: requestRate, burstiness: burstiness)
            specification.arrivals.scaleRate(by: scale)
            return RequestStream(specification, seed: seed, warnings: warnings)
        case .folder(let folder):
            guard !replacesArrivals else {
                throw InvalidInput(
                    .usage, field: requestRate != nil ? "--request-rate" : "--burstiness",
                    "doesn't go with a ServeGen folder", accepted: "--rate-scale")
            }
            return RequestStream(folder, options: options, seed: seed)
        case .trace(var trace):
            guard replacesArrivals else { return RequestStream(trace) }
            guard let requestRate else {
                throw InvalidInput(
                    .usage, field: "--burstiness", "needs --request-rate with a trace",
                    accepted: "both, or neither to keep the trace's own times")
            }
            try trace.replaceArrivals(
                requestRate: requestRate * (rateScale ?? 1), burstiness: burstiness ?? 1, seed: seed)
            return RequestStream(trace)
        }
    }

    /// The requests of a specification under these flags.
    /// - Parameter source: what messages call it.
    /// - Throws: `InvalidInput`.
    public func stream(specification yaml: String, source: String, seed: UInt64) throws -> RequestStream {
        try check()
        var options = TraceOptions()
        options.limit = fewest(nil)
        options.maxConcurrency = maxConcurrency
        options.rateScale = rateScale ?? 1
        var warnings: [String] = []
        var specification = try WorkloadSpecification(yaml: yaml, source: source, warnings: &warnings)
        try specification.apply(options)
        try specification.apply(requestRate: requestRate, burstiness: burstiness)
        return RequestStream(specification, seed: seed, warnings: warnings)
    }

    /// The load of `vllm bench serve --dataset-name random`.
    /// - Throws: `InvalidInput` that names the flag out of range.
    public func randomStream(
        inputLength: Int, outputLength: Int, rangeRatio: Double, prefixLength: Int, seed: UInt64
    ) throws(InvalidInput) -> RequestStream {
        try check()
        var specification = try WorkloadSpecification.random(
            inputLength: inputLength, outputLength: outputLength, rangeRatio: rangeRatio,
            prefixLength: prefixLength,
            requestRate: requestRate ?? .infinity, burstiness: burstiness ?? 1,
            numPrompts: fewest(nil) ?? 1000,
            maxConcurrency: maxConcurrency)
        if let rateScale { specification.arrivals.scaleRate(by: rateScale) }
        return RequestStream(specification, seed: seed)
    }

    private func fewest(_ other: Int?) -> Int? { [numPrompts, limit, other].compactMap { $0 }.min() }

    private func check() throws(InvalidInput) {
        if let numPrompts {
            try ValueRange.whole(numPrompts, "--num-prompts", from: 1, to: ValueRange.mostRequests)
        }
        if let limit { try ValueRange.whole(limit, "--limit", from: 1, to: ValueRange.mostRequests) }
        if let maxConcurrency { try ValueRange.whole(maxConcurrency, "--max-concurrency", from: 1) }
        if let rateScale, !(rateScale >= 1e-6 && rateScale <= 1e6) {
            throw InvalidInput(
                .usage, field: "--rate-scale", value: "\(rateScale)", "is out of range",
                accepted: "a number from 1e-6 to 1e6")
        }
    }
}

extension RequestTrace {
    /// Gives the requests, in their order, new arrival times, as `vllm bench serve` does with a data set's prompts.
    /// - Throws: `InvalidInput` that names the flag out of range.
    public mutating func replaceArrivals(
        requestRate: Double, burstiness: Double = 1, seed: UInt64
    ) throws(InvalidInput) {
        var specification = WorkloadSpecification()
        try specification.apply(requestRate: requestRate, burstiness: burstiness, numPrompts: count)
        var generator = ArrivalGenerator(
            specification.arrivals, count: count,
            stream: RandomStream(seed: seed, purpose: "workload.arrivals"))
        for index in arrivals.indices {
            let seconds = generator.next() ?? 0
            guard seconds <= RequestStream.latestArrival else {
                throw InvalidInput(
                    .usage, field: "--request-rate", value: "\(requestRate)",
                    "is too low for \(count) requests",
                    accepted: "arrivals within \(RequestStream.latestArrival) s")
            }
            arrivals[index] = Ticks(seconds: seconds)
        }
    }
}
