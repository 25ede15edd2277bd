import ByteStreams
import ServingCore
import Yams

/// What a `Distribution` stands for, which decides the range of its values.
struct DistributionPurpose {
    let minimum: Double
    let maximum: Double
    let accepted: String

    /// New tokens of a prompt or a generated answer.
    static let tokens = DistributionPurpose(
        minimum: 1, maximum: Double(Int32.max), accepted: "tokens from 1 to 2147483647")
    /// Tokens of a prefix, which may be missing.
    static let prefixTokens = DistributionPurpose(
        minimum: 0, maximum: Double(Int32.max), accepted: "tokens from 0 to 2147483647")
    /// Turns of a conversation.
    static let turns = DistributionPurpose(minimum: 1, maximum: 65_535, accepted: "turns from 1 to 65535")
    /// A span of time.
    static let seconds = DistributionPurpose(minimum: 0, maximum: 1e9, accepted: "seconds from 0 to 1e9")
}

extension YAMLFields {
    private static let keysByType: [String: [String]] = [
        "constant": ["value"],
        "uniform": ["min", "max"],
        "normal": ["mean", "std_dev", "min", "max"],
        "lognormal": ["mean", "std_dev", "median", "mu", "sigma", "min", "max"],
        "exponential": ["mean", "min", "max"],
        "pareto": ["scale", "shape", "min", "max"],
        "empirical": ["values", "weights", "file", "column", "min", "max"],
        "quantiles": ["quantiles", "min", "max"],
    ]
    private static let types = [
        "constant", "uniform", "normal", "lognormal", "exponential", "pareto", "empirical", "quantiles",
    ]

    /// A distribution: a number (always that), or a mapping with `type` and its parameters.
    /// - Parameter also: further keys, such as inference-perf's, that are allowed and say nothing here.
    func distribution(
        _ key: String, _ purpose: DistributionPurpose, also: [String] = []
    ) throws -> Distribution? {
        guard let node = node(key) else { return nil }
        if node.scalar != nil {
            let value = try requiredNumber(
                key, in: purpose.minimum...purpose.maximum, accepted: purpose.accepted)
            return Distribution(
                .constant(value), minimum: purpose.minimum, maximum: purpose.maximum)
        }
        let fields = try YAMLFields(node, path: full(key), source: source)
        // inference-perf leaves the type out and means a normal distribution.
        let type = try fields.choice("type", of: Self.types) ?? (fields.has("std_dev") ? "normal" : nil)
        guard let type else {
            throw fields.failure("type", "is missing", accepted: Self.types.joined(separator: ", "))
        }
        try fields.check(known: ["type"] + (Self.keysByType[type] ?? []) + also)
        let shape = try fields.shape(type, purpose)
        var low = purpose.minimum
        var high = purpose.maximum
        if type != "uniform", type != "constant" {
            low = try fields.number("min", in: low...high, accepted: purpose.accepted) ?? low
            high =
                try fields.number("max", in: low...high, accepted: "\(purpose.accepted), not below min")
                ?? high
        }
        return Distribution(shape, minimum: low, maximum: high)
    }

    private func shape(_ type: String, _ purpose: DistributionPurpose) throws -> Distribution.Shape {
        let range = purpose.minimum...purpose.maximum
        let positive = Double.leastNormalMagnitude...1e12
        let aboveZero = "a number above 0"
        switch type {
        case "constant":
            return .constant(try requiredNumber("value", in: range, accepted: purpose.accepted))
        case "uniform":
            let low = try requiredNumber("min", in: range, accepted: purpose.accepted)
            let high = try requiredNumber(
                "max", in: low...purpose.maximum, accepted: "\(purpose.accepted), not below min")
            return .uniform(low: low, high: high)
        case "normal":
            return .normal(
                mean: try requiredNumber("mean", in: -1e12...1e12, accepted: "a number"),
                standardDeviation: try number("std_dev", in: 0...1e12, accepted: "a number of at least 0")
                    ?? 0)
        case "lognormal": return try logNormal()
        case "exponential":
            return .exponential(mean: try requiredNumber("mean", in: positive, accepted: aboveZero))
        case "pareto":
            return .pareto(
                scale: try requiredNumber("scale", in: positive, accepted: aboveZero),
                shape: try requiredNumber("shape", in: 0.01...1e6, accepted: "a number from 0.01 to 1e6"))
        case "quantiles": return try quantiles(purpose)
        default: return try empirical(purpose)
        }
    }

    /// By the logarithm (`mu`, `sigma`), the median (`median`, `sigma`) or the lengths themselves (`mean`, `std_dev`).
    private func logNormal() throws -> Distribution.Shape {
        let positive = Double.leastNormalMagnitude...1e12
        if has("mean") || has("std_dev") {
            for other in ["mu", "median", "sigma"] where has(other) {
                throw failure(other, "doesn't go with mean and std_dev", accepted: "mean and std_dev alone")
            }
            let mean = try requiredNumber("mean", in: positive, accepted: "a number above 0")
            let deviation = try requiredNumber("std_dev", in: 0...1e12, accepted: "a number of at least 0")
            let ratio = deviation / mean
            let variance = ContinuousSampling.logarithm(1 + ratio * ratio)
            return .logNormal(
                mu: ContinuousSampling.logarithm(mean) - variance / 2, sigma: variance.squareRoot())
        }
        let sigma = try requiredNumber("sigma", in: 0...100, accepted: "a number from 0 to 100")
        if has("median") {
            if has("mu") { throw failure("mu", "doesn't go with median", accepted: "one of the two") }
            let median = try requiredNumber("median", in: positive, accepted: "a number above 0")
            return .logNormal(mu: ContinuousSampling.logarithm(median), sigma: sigma)
        }
        return .logNormal(
            mu: try requiredNumber("mu", in: -100...100, accepted: "a number from -100 to 100"), sigma: sigma)
    }

    /// `quantiles: {0: 3, 0.5: 120, 1: 4000}`.
    private func quantiles(_ purpose: DistributionPurpose) throws -> Distribution.Shape {
        guard let fields = try fields("quantiles") else {
            throw failure("quantiles", "is missing", accepted: "probability: value pairs from 0 to 1")
        }
        let pairs = try fields.numberPairs().sorted { $0.key < $1.key }
        guard pairs.count >= 2, pairs[0].key == 0, pairs[pairs.count - 1].key == 1 else {
            throw fields.failure(
                "doesn't reach from probability 0 to 1", accepted: "values at 0, at 1 and between")
        }
        for (pair, next) in zip(pairs, pairs.dropFirst()) where next.value < pair.value {
            throw fields.failure(
                "falls from \(pair.value) at \(pair.key) to \(next.value) at \(next.key)",
                accepted: "values that never fall")
        }
        for pair in pairs where pair.value < purpose.minimum || pair.value > purpose.maximum {
            throw fields.failure("holds \(pair.value), which is out of range", accepted: purpose.accepted)
        }
        return .quantiles(probabilities: pairs.map(\.key), values: pairs.map(\.value))
    }

    /// `values` with optional `weights`, or a column of a CSV file beside the specification.
    private func empirical(_ purpose: DistributionPurpose) throws -> Distribution.Shape {
        let range = purpose.minimum...purpose.maximum
        if let file = try string("file") {
            for other in ["values", "weights"] where has(other) {
                throw failure(
                    other, "doesn't go with file", accepted: "file and column, or values and weights")
            }
            guard let column = try string("column") else {
                throw failure("column", "is missing", accepted: "a column of \(file)")
            }
            return try Self.column(column, of: resolve(file), range, purpose.accepted)
        }
        if has("column") { throw failure("column", "needs a file", accepted: "file and column") }
        guard let values = try numbers("values", in: range, accepted: purpose.accepted), !values.isEmpty
        else {
            throw failure("values", "is missing or empty", accepted: "a list of \(purpose.accepted)")
        }
        let weights =
            try numbers("weights", in: 0...1e300, accepted: "a number of at least 0")
            ?? [Double](repeating: 1, count: values.count)
        guard weights.count == values.count else {
            throw failure(
                "weights", "has \(weights.count) entries", accepted: "\(values.count), one for each of values"
            )
        }
        guard weights.contains(where: { $0 > 0 }) else {
            throw failure("weights", "are all zero", accepted: "at least one weight above 0")
        }
        return .empirical(values: values, weights: weights)
    }

    /// A path relative to the folder of the specification.
    private func resolve(_ file: String) -> String {
        guard !file.hasPrefix("/"), let slash = source.lastIndex(of: "/") else { return file }
        return String(source[...slash]) + file
    }

    private static func column(
        _ name: String, of path: String, _ range: ClosedRange<Double>, _ accepted: String
    ) throws -> Distribution.Shape {
        var rows = try CSVReader(path: path)
        let column = try rows.column(name)
        var counts: [Double: Double] = [:]
        while try rows.next() {
            let value = try rows.double(column)
            guard range.contains(value) else {
                throw rows.failure(column, value < 0 ? "is negative" : "is out of range", accepted: accepted)
            }
            counts[value, default: 0] += 1
        }
        guard !counts.isEmpty else {
            throw InvalidInput(source: path, "has no rows", accepted: "at least one row")
        }
        let values = counts.keys.sorted()
        return .empirical(values: values, weights: values.map { counts[$0] ?? 0 })
    }
}
