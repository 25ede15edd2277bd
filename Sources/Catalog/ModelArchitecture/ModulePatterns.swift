/// Patterns that name modules: a path or a part of one in whole components, with `*` wildcards, or `re:` and a
/// regular expression for the whole path.
struct ModulePatterns: Sendable, Equatable {
    fileprivate var exact: Set<String> = []
    fileprivate var globs: [[String]] = []
    private var expressions: [String] = []

    init(_ patterns: [String]) {
        for pattern in patterns {
            // Multimodal checkpoints prefix the decoder's modules; here there is only the decoder.
            var name = Substring(pattern)
            if name.hasPrefix("re:") {
                expressions.append(String(name.dropFirst(3)))
                continue
            }
            for prefix in ["language_model.", "model.language_model."] where name.hasPrefix(prefix) {
                name = name.dropFirst(prefix.count)
            }
            if name.contains("*") {
                globs.append(name.split(separator: ".").map(String.init))
            } else if !name.isEmpty {
                exact.insert(String(name))
            }
        }
    }

    /// The patterns made ready to match many modules.
    func matcher() -> Matcher {
        Matcher(patterns: self, expressions: expressions.compactMap { try? Regex($0) })
    }

    /// Patterns with their regular expressions compiled; one that doesn't compile matches nothing.
    struct Matcher {
        fileprivate let patterns: ModulePatterns
        fileprivate let expressions: [Regex<AnyRegexOutput>]

        /// Whether any pattern names the module at a path such as `model.layers.3.self_attn.q_proj`, or something that
        /// contains it.
        func matches(_ module: String) -> Bool {
            let parts = module.split(separator: ".").map(String.init)
            for start in parts.indices {
                var run = ""
                for end in start..<parts.count {
                    run += end == start ? parts[end] : "." + parts[end]
                    if patterns.exact.contains(run) { return true }
                }
            }
            for glob in patterns.globs where glob.count <= parts.count {
                for start in 0...(parts.count - glob.count)
                where glob.indices.allSatisfy({ ModulePatterns.matches(parts[start + $0], glob[$0]) }) {
                    return true
                }
            }
            return expressions.contains { expression in
                ((try? expression.prefixMatch(in: module)) ?? nil) != nil
            }
        }
    }

    /// Whether `text` matches a component with at most a few `*`.
    fileprivate static func matches(_ text: String, _ pattern: String) -> Bool {
        guard pattern.contains("*") else { return text == pattern }
        let pieces = pattern.split(separator: "*", omittingEmptySubsequences: false)
        var rest = Substring(text)
        for (index, piece) in pieces.enumerated() {
            if index == 0 {
                guard rest.hasPrefix(piece) else { return false }
                rest = rest.dropFirst(piece.count)
            } else if index == pieces.count - 1 {
                return rest.hasSuffix(piece)
            } else if !piece.isEmpty {
                guard let found = rest.range(of: piece) else { return false }
                rest = rest[found.upperBound...]
            }
        }
        return true
    }
}

extension Substring {
    fileprivate func range(of piece: Substring) -> Range<Index>? {
        var start = startIndex
        while start <= endIndex {
            if self[start...].hasPrefix(piece) { return start..<index(start, offsetBy: piece.count) }
            if start == endIndex { break }
            start = index(after: start)
        }
        return nil
    }
}
