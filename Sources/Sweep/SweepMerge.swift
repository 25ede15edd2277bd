import Catalog
import ServingCore

extension SweepRun {
    /// Joins the folders of all shards of a sweep, each complete, into results that are the same as those of one run.
    /// - Parameters:
    ///   - shards: folders that `run(into:)` wrote, in any order.
    ///   - folder: where to write the results; nil writes none.
    /// - Throws: `InvalidInput` when a shard is missing, doubled, unfinished, or of another sweep.
    public static func merge(_ shards: [String], into folder: String?, shipped: ShippedFiles) throws
        -> SweepResults
    {
        guard let first = shards.first else {
            throw InvalidInput(.usage, field: "merge", "has no folders", accepted: "a folder for each shard")
        }
        return try SweepRun(heldBy: first, shipped: shipped).merged(shards, into: folder)
    }

    private func merged(_ shards: [String], into folder: String?) throws -> SweepResults {
        var seen: [Int: String] = [:]
        var count: Int?
        var all: [SweepOutcome] = []
        for path in shards {
            let place = SweepFolder(path: path)
            let manifest = try place.readManifest()
            guard manifest.fingerprint == fingerprint else {
                throw InvalidInput(
                    source: path, "holds another sweep: \(manifest.name) (\(manifest.fingerprint))",
                    accepted: "shards of \(specification.name) (\(fingerprint))")
            }
            if let count, count != manifest.shard.count {
                throw InvalidInput(
                    source: path, "holds shard \(manifest.shard), but others are of \(count) shards")
            }
            count = manifest.shard.count
            if let other = seen[manifest.shard.number] {
                throw InvalidInput(source: path, "holds shard \(manifest.shard), which \(other) holds, too")
            }
            seen[manifest.shard.number] = path
            guard let runs = manifest.finishedRuns else {
                throw InvalidInput(
                    source: path, "holds shard \(manifest.shard), which is not finished",
                    accepted: "the same command run again, to its end")
            }
            let journal = try place.readJournal()
            guard journal.count == runs else {
                throw InvalidInput(
                    source: path, "has \(journal.count) finished runs in its journal, not \(runs)",
                    accepted: "the same command run again")
            }
            all += journal
        }
        let missing = (1...(count ?? 1)).filter { seen[$0] == nil }
        guard missing.isEmpty else {
            let names = missing.prefix(10).map { "\($0)/\(count ?? 1)" }.joined(separator: ", ")
            throw InvalidInput(
                source: shards.first, "and the others lack shard \(names)\(missing.count > 10 ? ", …" : "")",
                accepted: "a folder for each of the \(count ?? 1) shards")
        }
        let runs = all.filter { $0.draw == nil }
        let outcomes = try proven(runs)
        // Whoever leads the sweep leads its shard, but not the other way round.
        let reruns = try provenReruns(all, of: leaders(outcomes))
        guard let folder else { return try SweepResults(self, outcomes: outcomes, reruns: reruns) }
        let place = SweepFolder(path: folder)
        try place.claim(for: manifest)
        return try finish(place, journal: runs + reruns, outcomes, reruns: reruns)
    }

    /// The leaders' reruns, of which none is missing.
    private func provenReruns(_ all: [SweepOutcome], of leaders: [Int]) throws -> [SweepOutcome] {
        let reruns = all.filter { $0.draw != nil && leaders.contains($0.index) }
        let draws = specification.oracleDraws
        for leader in leaders where reruns.count(where: { $0.index == leader }) != draws {
            throw InvalidInput(
                field: "configuration \(leader)", "lacks reruns with other oracles",
                accepted: "\(draws) of them")
        }
        return reruns
    }

    /// The last outcome of each configuration, of which none is missing and none doubled.
    private func proven(_ outcomes: [SweepOutcome]) throws -> [SweepOutcome] {
        var latest: [Int: SweepOutcome] = [:]
        for outcome in outcomes.sorted(by: { ($0.round, $0.index) < ($1.round, $1.index) }) {
            if let other = latest[outcome.index], other.round == outcome.round {
                throw InvalidInput(field: "configuration \(outcome.index)", "is in two shards")
            }
            latest[outcome.index] = outcome
        }
        let missing = space.configurations.filter { latest[$0.index] == nil }.map(\.index)
        guard missing.isEmpty else {
            throw InvalidInput(
                field: "configuration \(missing[0])",
                "and \(missing.count - 1) others are in no shard", accepted: "every configuration once")
        }
        guard latest.count == space.configurations.count else {
            throw InvalidInput(field: "configurations", "are more than the sweep has")
        }
        return latest.values.sorted { $0.index < $1.index }
    }
}
