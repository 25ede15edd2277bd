import ByteStreams
import Catalog
import Reports
import ServingCore

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Where a sweep's results are: `sweep.json` says which sweep and which part of it, `journal.jsonl` has a line for every
/// finished configuration, written when it finishes; the other files are made from these two.
struct SweepFolder: Sendable {
    /// What `sweep.json` says.
    struct Manifest: Equatable, Sendable {
        var name: String
        var fingerprint: String
        /// Folder that paths of the specification are relative to.
        var folder: String
        var specification: String
        var shard: Shard
        var configurations: Int
        /// Lines of the journal once everything has finished; nil before.
        var finishedRuns: Int?
    }

    let path: String
    var manifestPath: String { path + "/sweep.json" }
    var journalPath: String { path + "/journal.jsonl" }

    /// Makes the folder if it isn't there, and checks that it holds this sweep and no other.
    /// - Throws: `InvalidInput` of kind `cannotWrite`, or when it holds another sweep.
    func claim(for manifest: Manifest) throws {
        try Self.makeFolder(path)
        guard Self.exists(manifestPath) else {
            if Self.exists(journalPath) {
                throw InvalidInput(
                    source: path, "holds a journal but no sweep.json, so nobody knows what sweep it is of",
                    accepted: "another folder")
            }
            return try write(manifest)
        }
        let there = try readManifest()
        guard there.fingerprint == manifest.fingerprint else {
            throw InvalidInput(
                source: path,
                "holds the results of another sweep: \(there.name) (\(there.fingerprint)), not \(manifest.name) (\(manifest.fingerprint))",
                accepted: "another folder, or the specification, inputs and release of before")
        }
        guard there.shard == manifest.shard else {
            throw InvalidInput(
                source: path, "holds shard \(there.shard) of this sweep, not \(manifest.shard)",
                accepted: "a folder for each shard")
        }
    }

    func write(_ manifest: Manifest) throws {
        try JSONValue.object([
            ("stepcast", .string(stepcastVersion)), ("name", .string(manifest.name)),
            ("fingerprint", .string(manifest.fingerprint)), ("folder", .string(manifest.folder)),
            ("specification", .string(manifest.specification)), ("shard", .string("\(manifest.shard)")),
            ("configurations", .integer(manifest.configurations)),
            ("finished_runs", JSONValue(manifest.finishedRuns)),
        ]).write(to: manifestPath)
    }

    /// Reads `sweep.json`.
    /// - Throws: `InvalidInput` when the folder holds no sweep.
    func readManifest() throws -> Manifest {
        guard Self.exists(manifestPath) else {
            throw InvalidInput(
                .noSuchInput, source: path, "holds no sweep", accepted: "a folder that stepcast sweep wrote")
        }
        let value = try ConfigValue.parse(
            json: readWholeFile(manifestPath, limit: 1 << 20), source: manifestPath)
        guard case .object(let members) = value, case .string(let name)? = members["name"],
            case .string(let fingerprint)? = members["fingerprint"],
            case .string(let folder)? = members["folder"],
            case .string(let specification)? = members["specification"],
            case .string(let shard)? = members["shard"],
            case .integer(let configurations)? = members["configurations"]
        else { throw InvalidInput(source: manifestPath, "is damaged") }
        var finishedRuns: Int?
        if case .integer(let count)? = members["finished_runs"] { finishedRuns = count }
        return Manifest(
            name: name, fingerprint: fingerprint, folder: folder, specification: specification,
            shard: try Shard(parsing: shard), configurations: configurations,
            finishedRuns: finishedRuns)
    }

    /// The outcomes in the journal, in the order in which they were written. A last line without its end, left by a crash,
    /// doesn't count.
    /// - Throws: `InvalidInput` naming a damaged line.
    func readJournal() throws -> [SweepOutcome] {
        guard Self.exists(journalPath) else { return [] }
        let bytes = try readWholeFile(journalPath)
        var outcomes: [SweepOutcome] = []
        var line = 0
        var start = 0
        while let end = bytes[start...].firstIndex(of: UInt8(ascii: "\n")) {
            line += 1
            let value = try? ConfigValue.parse(json: Array(bytes[start..<end]), source: journalPath)
            guard let value, let outcome = SweepOutcome(journal: value) else {
                throw InvalidInput(
                    source: journalPath, line: line, "is damaged", accepted: "a folder from the start")
            }
            outcomes.append(outcome)
            start = end + 1
        }
        return outcomes
    }

    /// Puts the journal in order once it is complete, so that the same sweep leaves the same bytes.
    func writeJournal(_ outcomes: [SweepOutcome]) throws {
        var file = try WholeFileWriter(path: journalPath)
        for outcome in outcomes.sorted(by: {
            ($0.draw ?? -1, $0.round, $0.index) < ($1.draw ?? -1, $1.round, $1.index)
        }) {
            file.append(text: outcome.journalLine + "\n")
        }
        try file.finish()
    }

    static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    static func isFile(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
    }

    /// Makes a folder and those above it.
    static func makeFolder(_ path: String) throws {
        var status = stat()
        if stat(path, &status) == 0 {
            guard status.st_mode & S_IFMT == S_IFDIR else {
                throw InvalidInput(.cannotWrite, source: path, "is a file", accepted: "a folder")
            }
            return
        }
        if let slash = path.lastIndex(of: "/"), slash != path.startIndex {
            let above = String(path[..<slash])
            if !above.isEmpty, !exists(above) { try makeFolder(above) }
        }
        if mkdir(path, 0o777) != 0, errno != EEXIST {
            throw InvalidInput(
                .cannotWrite, source: path, "cannot be made: \(String(cString: strerror(errno)))")
        }
    }
}
