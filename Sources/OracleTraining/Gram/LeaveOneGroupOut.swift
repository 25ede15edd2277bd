/// Statistics of all groups but one, for every group, without touching rows again.
///
/// The others are merged, never subtracted from the total: subtraction cancels where one group dominates.
public struct LeaveOneGroupOut: Sendable {
    /// Statistics of everything before each group, and of everything from each group on.
    private let before: [GramBlock]
    private let after: [GramBlock]

    /// Prepares the folds of some groups with the same columns.
    /// - Complexity: O(groups x columns^2).
    /// - Precondition: at least one group.
    public init(_ groups: [GramBlock]) {
        precondition(!groups.isEmpty)
        let empty = GramBlock(columns: groups[0].columns)
        var before = [empty]
        for group in groups {
            var next = before[before.count - 1]
            next.merge(group)
            before.append(next)
        }
        var after = [empty]
        for group in groups.reversed() {
            var next = group
            next.merge(after[after.count - 1])
            after.append(next)
        }
        self.before = before
        self.after = after.reversed()
    }

    /// Statistics of all groups but the one at `index`.
    public func without(_ index: Int) -> GramBlock {
        var result = before[index]
        result.merge(after[index + 1])
        return result
    }

    /// Statistics of all groups.
    public var all: GramBlock { before[before.count - 1] }
}
