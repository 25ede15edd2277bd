import Catalog
import Scenarios
import ServingCore

/// One point of a sweep.
public struct SweepConfiguration: Sendable, Equatable {
    /// Its number, from 0; the same in every shard.
    public var index: Int
    /// The value of each axis, in the order of the axes.
    public var labels: [ConfigValue]
    /// What it sets in the base scenario.
    public var assignments: [Axis.Assignment]
}

/// All configurations of a sweep, numbered.
public struct ConfigurationSpace: Sendable {
    /// More than a sweep can have.
    static let mostConfigurations = 1_000_000
    /// Draws for one sample before conditions are called impossible.
    private static let triesPerSample = 1000

    /// The configurations in order.
    public private(set) var configurations: [SweepConfiguration] = []
    /// Combinations of values that conditions exclude.
    public private(set) var excluded = 0

    /// Lists the configurations of a specification.
    /// - Throws: `InvalidInput` when there are too many, or none, naming the condition that leaves none.
    public init(_ specification: SweepSpecification) throws {
        if let sampling = specification.sampling {
            try sample(sampling, specification)
        } else {
            try listAll(specification)
        }
        guard !configurations.isEmpty else { throw Self.empty(specification) }
    }

    private static func empty(_ specification: SweepSpecification) -> InvalidInput {
        let conditions = specification.conditions.map(\.text).joined(separator: "; ")
        return InvalidInput(
            source: specification.source, field: "conditions", value: conditions,
            "leave no configuration: the grid is empty", accepted: "conditions that hold together somewhere")
    }

    private mutating func listAll(_ specification: SweepSpecification) throws {
        var total = 1
        for axis in specification.axes {
            let (product, overflow) = total.multipliedReportingOverflow(by: axis.values.count)
            guard !overflow, product <= 100 * Self.mostConfigurations else {
                throw Self.tooMany(specification)
            }
            total = product
        }
        var places = [Int](repeating: 0, count: specification.axes.count)
        for _ in 0..<total {
            let values = zip(specification.axes, places).map { $0.values[$1] }
            if try keep(values, specification) {
                append(values)
                guard configurations.count <= Self.mostConfigurations else {
                    throw Self.tooMany(specification)
                }
            } else {
                excluded += 1
            }
            for axis in places.indices.reversed() {
                places[axis] += 1
                if places[axis] < specification.axes[axis].values.count { break }
                places[axis] = 0
            }
        }
    }

    private static func tooMany(_ specification: SweepSpecification) -> InvalidInput {
        InvalidInput(
            source: specification.source, field: "axes", "make too many configurations",
            accepted: "at most \(mostConfigurations); sample: {count: N} draws some of them")
    }

    private mutating func sample(_ sampling: Sampling, _ specification: SweepSpecification) throws {
        var seen: Set<String> = []
        let streams = specification.axes.indices.map { axis in
            RandomStream(seed: sampling.seed, purpose: "sweep.sample", index: UInt64(axis))
        }
        if sampling.method == .latinHypercube {
            var orders = streams.map { Self.shuffled(sampling.count, $0) }
            for (axis, stream) in streams.enumerated() {
                // Where in its stratum each sample lies, drawn after the order.
                var jitter = stream
                jitter.counter = 1 << 40
                for place in orders[axis].indices {
                    orders[axis][place] = (orders[axis][place] + jitter.uniform()) / Double(sampling.count)
                }
            }
            for place in 0..<sampling.count {
                let values = specification.axes.indices.map {
                    specification.axes[$0].value(at: orders[$0][place])
                }
                try add(values, specification, &seen)
            }
            return
        }
        var draws = streams
        var misses = 0
        while configurations.count < sampling.count, misses < Self.triesPerSample {
            let before = configurations.count
            let values = specification.axes.indices.map {
                specification.axes[$0].value(at: draws[$0].uniform())
            }
            try add(values, specification, &seen)
            misses = configurations.count > before ? 0 : misses + 1
        }
    }

    private mutating func add(
        _ values: [Axis.Value], _ specification: SweepSpecification, _ seen: inout Set<String>
    ) throws {
        guard seen.insert(values.map(\.label.json).joined(separator: "\n")).inserted else { return }
        if try keep(values, specification) { append(values) } else { excluded += 1 }
    }

    private func keep(_ values: [Axis.Value], _ specification: SweepSpecification) throws -> Bool {
        if specification.conditions.isEmpty { return true }
        var scenario = specification.base
        for value in values {
            for assignment in value.assignments { try scenario.set(assignment.field, to: assignment.value) }
        }
        do {
            return try specification.conditions.allSatisfy { try $0.holds(for: scenario) }
        } catch var error as InvalidInput {
            error.source = specification.source
            throw error
        }
    }

    private mutating func append(_ values: [Axis.Value]) {
        configurations.append(
            SweepConfiguration(
                index: configurations.count, labels: values.map(\.label),
                assignments: values.flatMap(\.assignments)))
    }

    /// The numbers below `count` in a random order (Fisher and Yates).
    private static func shuffled(_ count: Int, _ stream: RandomStream) -> [Double] {
        var stream = stream
        var order = (0..<count).map(Double.init)
        for place in stride(from: count - 1, to: 0, by: -1) {
            order.swapAt(place, Int(stream.uniform() * Double(place + 1)))
        }
        return order
    }
}
