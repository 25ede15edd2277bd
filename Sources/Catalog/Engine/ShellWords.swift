import ServingCore

/// Splits a command line as a POSIX shell would: quotes, backslashes, backslash-newline, comments.
///
/// Expansion of variables and commands isn't done: such text stays as it is. The words end at the first operator that
/// ends a command (`;`, `&`, `|`, `<`, `>`).
/// - Throws: `InvalidInput(.usage)` for a quote that isn't closed.
func shellWords(_ line: String) throws -> [String] {
    var words: [String] = []
    var word = ""
    var hasWord = false
    var characters = Array(line.replacingCarriageReturns())[...]
    func finish() {
        if hasWord { words.append(word) }
        word = ""
        hasWord = false
    }
    while let character = characters.popFirst() {
        switch character {
        case "\\":
            guard let next = characters.popFirst() else { break }
            if next == "\n" { break }
            word.append(next)
            hasWord = true
        case "'":
            hasWord = true
            guard let end = characters.firstIndex(of: "'") else { throw unclosed("'") }
            word.append(contentsOf: characters[..<end])
            characters = characters[(end + 1)...]
        case "\"":
            hasWord = true
            var closed = false
            while let inner = characters.popFirst() {
                if inner == "\"" {
                    closed = true
                    break
                }
                if inner == "\\", let next = characters.first {
                    characters.removeFirst()
                    if next == "\n" { continue }
                    if !"\"\\$`".contains(next) { word.append("\\") }
                    word.append(next)
                } else {
                    word.append(inner)
                }
            }
            if !closed { throw unclosed("\"") }
        case "#" where !hasWord:
            while let next = characters.first, next != "\n" {
                _ = next
                characters.removeFirst()
            }
        case ";", "&", "|", "<", ">":
            // `2>` redirects; the digit belongs to the operator.
            if hasWord, word.allSatisfy(\.isNumber), character == ">" || character == "<" { hasWord = false }
            finish()
            return words
        case _ where character.isWhitespace: finish()
        default:
            word.append(character)
            hasWord = true
        }
    }
    finish()
    return words

    func unclosed(_ quote: Character) -> InvalidInput {
        InvalidInput(.usage, field: "vllm serve", "has a quote \(quote) that isn't closed")
    }
}

extension String {
    /// With `\n` for `\r\n`, which Swift holds for one character.
    fileprivate func replacingCarriageReturns() -> String {
        String(map { $0 == "\r\n" ? "\n" : $0 })
    }
}
