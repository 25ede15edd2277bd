import Testing

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// The root folder of the package.
let packageRoot = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(3).joined(
    separator: "/")

/// The text of a file of the package.
func contents(_ path: String) throws -> String {
    String(decoding: try Data(contentsOf: URL(filePath: packageRoot + "/" + path)), as: UTF8.self)
}

/// The table of targets in docs/architecture.md against what the sources really import.
@Suite struct ImportDirectionTests {
    struct Row: Equatable {
        var target: String
        var imports: [String]
    }

    /// Rows of the table under "Targets": name, what it imports, what it holds.
    static func documentedTargets() throws -> [Row] {
        let lines = try contents("docs/architecture.md").split(separator: "\n")
        let section = lines.drop { $0 != "## Targets" }.dropFirst().prefix { !$0.hasPrefix("## ") }
        return section.filter { $0.hasPrefix("| `") }.map { line in
            let cells = line.split(separator: "|", omittingEmptySubsequences: false).map { cell in
                cell.split(separator: "`", omittingEmptySubsequences: false).enumerated()
                    .filter { $0.offset % 2 == 1 }.map { String($0.element) }
            }
            return Row(target: cells[1][0], imports: cells[2])
        }
    }

    static func sourceFolders() throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: packageRoot + "/Sources").sorted()
    }

    @Test func `every target has a row and every row a target`() throws {
        #expect(try Self.documentedTargets().map(\.target).sorted() == Self.sourceFolders())
    }

    @Test func `a target is documented to import only targets above it`() throws {
        var above: [String] = []
        for row in try Self.documentedTargets() {
            for name in row.imports { #expect(above.contains(name), "\(row.target) imports \(name)") }
            above.append(row.target)
        }
    }

    @Test func `sources import the targets that the table allows and no others`() throws {
        let rows = try Self.documentedTargets()
        let targets = rows.map(\.target)
        for row in rows {
            var used: Set<String> = []
            let folder = packageRoot + "/Sources/" + row.target
            for path in try FileManager.default.subpathsOfDirectory(atPath: folder)
            where path.hasSuffix(".swift") {
                for line in try contents("Sources/\(row.target)/\(path)").split(separator: "\n") {
                    let words = line.split(separator: " ")
                    guard let place = words.firstIndex(of: "import"), place + 1 < words.count,
                        words[..<place].allSatisfy({
                            ["public", "package", "internal", "@testable"].contains($0)
                        })
                    else { continue }
                    let name = words[words.count - 1].split(separator: ".")[0]
                    if targets.contains(String(name)) { used.insert(String(name)) }
                }
            }
            let forbidden = used.subtracting(row.imports).sorted()
            #expect(
                forbidden.isEmpty,
                "\(row.target) imports \(forbidden), which docs/architecture.md does not allow")
        }
    }

    @Test func `the manifest declares the same directions`() throws {
        let rows = try Self.documentedTargets()
        let targets = rows.map(\.target)
        let manifest = try contents("Package.swift")
        for row in rows {
            guard
                let start = manifest.range(
                    of: "name: \"\(row.target)\"", after: ".target(", or: ".executableTarget(")
            else { continue }
            let rest = manifest[start.upperBound...]
            let end = rest.range(of: "swiftSettings")?.lowerBound ?? rest.endIndex
            let declared = targets.filter { rest[..<end].contains("\"\($0)\"") }
            let forbidden = declared.filter { !row.imports.contains($0) }
            #expect(forbidden.isEmpty, "Package.swift lets \(row.target) import \(forbidden)")
        }
    }

    @Test func `only LinearAlgebra imports OpenBLAS, and only ByteStreams zstd`() throws {
        for row in try Self.documentedTargets() {
            #expect(row.imports.contains("COpenBLAS") == (row.target == "LinearAlgebra"))
            #expect(row.imports.contains("CZstd") == (row.target == "ByteStreams"))
        }
    }
}

extension String {
    /// The first occurrence of `text` that follows one of two openings, with only space between.
    fileprivate func range(of text: String, after first: String, or second: String) -> Range<String.Index>? {
        var rest = startIndex..<endIndex
        while let found = self[rest].range(of: text) {
            var before = self[..<found.lowerBound]
            while before.last?.isWhitespace == true { before.removeLast() }
            if before.hasSuffix(first) || before.hasSuffix(second) { return found }
            rest = found.upperBound..<endIndex
        }
        return nil
    }
}
