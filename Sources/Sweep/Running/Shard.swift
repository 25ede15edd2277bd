import ServingCore

/// One of several parts of a sweep, each for a machine: `2/4` is the second of four.
public struct Shard: Sendable, Equatable, CustomStringConvertible {
    /// Which, from 1.
    public let number: Int
    /// Of how many.
    public let count: Int

    /// All of it.
    public static let whole = Shard(number: 1, count: 1)

    private init(number: Int, count: Int) {
        self.number = number
        self.count = count
    }

    /// As it is written.
    public var description: String { "\(number)/\(count)" }

    /// Reads `i/n` with i from 1 to n.
    /// - Throws: `InvalidInput` of kind `usage`.
    public init(parsing text: String) throws {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, let number = Int(parts[0]), let count = Int(parts[1]), number >= 1,
            number <= count,
            count <= ConfigurationSpace.mostConfigurations
        else {
            throw InvalidInput(
                .usage, field: "--shard", value: text, "is not a part of a sweep",
                accepted: "I/N with I from 1 to N, such as 2/4")
        }
        self.number = number
        self.count = count
    }

    /// Whether a configuration belongs to it.
    ///
    /// Configurations that compete with each other (`groups` of successive halving) are never parted.
    func holds(_ index: Int, groups: Int?) -> Bool {
        (groups.map { index % $0 } ?? index) % count == number - 1
    }
}
