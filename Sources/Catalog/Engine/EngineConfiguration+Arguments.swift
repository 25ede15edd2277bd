import ServingCore

extension EngineConfiguration {
    /// vLLM's full name, with dashes, of an argument written in any form (`tp`, `max_num_seqs`, `--max-num-seqs`); nil
    /// when vLLM has none such.
    public static func argumentName(_ name: String) -> String? {
        let plain = String(name.drop { $0 == "-" }.map { $0 == "-" ? "_" : $0 })
        let canonical = EngineFlag.abbreviations[plain] ?? plain
        guard EngineFlag.named(canonical) != nil else { return nil }
        return String(canonical.map { $0 == "_" ? "-" : $0 })
    }

    /// One of vLLM's arguments as the words of a shell's command line, quoted where a shell asks for it:
    /// `--max-num-seqs 64`, `--no-enable-prefix-caching`.
    /// - Parameters:
    ///   - name: with dashes, as `argumentName` gives it.
    ///   - value: as a scenario has it; null gives nothing.
    public static func commandLine(_ name: String, _ value: ConfigValue) -> [String] {
        let flag = "--" + name
        let isSwitch =
            EngineFlag.named(String(name.map { $0 == "-" ? "_" : $0 }))?.arity == EngineFlag.Arity.none
        switch value {
        case .null: return []
        case .bool(let isOn): return [isOn ? flag : "--no-" + name]
        case .string("true") where isSwitch: return [flag]
        case .string("false") where isSwitch: return ["--no-" + name]
        case .array(let items): return [flag] + items.map { shellQuoted(word($0)) }
        default: return [flag, shellQuoted(word(value))]
        }
    }

    private static func word(_ value: ConfigValue) -> String {
        if case .string(let text) = value { return text }
        return value.json
    }

    /// A word that a POSIX shell reads as it stands.
    public static func shellQuoted(_ word: String) -> String {
        let plain = word.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"):
                true
            default: "-_./:=,+@%".utf8.contains(byte)
            }
        }
        if plain, !word.isEmpty { return word }
        return "'" + word.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''")
            + "'"
    }
}
