/// Something a person gave that cannot be used, said in one line.
///
/// Every module throws this for bad input; the command line prints `description` and exits with the status
/// that belongs to `kind`. The message names where (file, line or field), what was found and what is accepted.
public struct InvalidInput: Error, Equatable, Sendable, CustomStringConvertible {
    /// What sort of failure this is; it decides the exit status.
    public enum Kind: Sendable, Equatable {
        /// The command line contradicts itself or names an unknown option value (status 64).
        case usage
        /// A file or a value in it is wrong (status 65).
        case badData
        /// A file or a named model, GPU, workload or oracle does not exist (status 66).
        case noSuchInput
        /// An output could not be written (status 74).
        case cannotWrite
    }

    /// What sort of failure this is.
    public var kind: Kind
    /// File or option the value came from, if known.
    public var source: String?
    /// Line in `source`, counted from 1, if it has lines.
    public var line: Int?
    /// Field, key or flag at fault.
    public var field: String?
    /// The value as it was given.
    public var value: String?
    /// What is wrong, as a clause: `is not a number`.
    public var problem: String
    /// What would be accepted, as a noun phrase: `a number of at least 0`.
    public var accepted: String?

    /// Describes a bad input; leave out what does not apply.
    public init(
        _ kind: Kind = .badData, source: String? = nil, line: Int? = nil, field: String? = nil,
        value: String? = nil, _ problem: String, accepted: String? = nil
    ) {
        self.kind = kind
        self.source = source
        self.line = line
        self.field = field
        self.value = value
        self.problem = problem
        self.accepted = accepted
    }

    /// The whole message on one line, such as
    /// `trace.csv:17: prompt_tokens: "-3" is negative (accepted: a whole number of at least 1)`.
    public var description: String {
        var text = ""
        if let source {
            text += source
            if let line { text += ":\(line)" }
            text += ": "
        } else if let line {
            text += "line \(line): "
        }
        if let field { text += "\(field): " }
        if let value { text += "\"\(value)\" " }
        text += problem
        if let accepted { text += " (accepted: \(accepted))" }
        return text
    }
}
