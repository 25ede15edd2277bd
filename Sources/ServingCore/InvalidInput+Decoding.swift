extension InvalidInput {
    /// What a `Decoder` found wrong, with the path of the key at fault (`config.block_size`, `requests[3].id`).
    package init(_ error: DecodingError, source: String?, line: Int? = nil) {
        func path(_ keys: [any CodingKey]) -> String? {
            var text = ""
            for key in keys {
                if let index = key.intValue {
                    text += "[\(index)]"
                } else {
                    text += (text.isEmpty ? "" : ".") + key.stringValue
                }
            }
            return text.isEmpty ? nil : text
        }
        switch error {
        case .keyNotFound(let key, let context):
            self.init(source: source, line: line, field: path(context.codingPath + [key]), "is missing")
        case .valueNotFound(_, let context):
            self.init(source: source, line: line, field: path(context.codingPath), "is null or missing")
        case .typeMismatch(let type, let context):
            self.init(
                source: source, line: line, field: path(context.codingPath), "has the wrong type",
                accepted: Self.name(of: type))
        case .dataCorrupted(let context):
            let field = path(context.codingPath)
            self.init(
                source: source, line: line, field: field,
                field == nil ? "is not valid JSON" : "is damaged: \(context.debugDescription)")
        @unknown default:
            self.init(source: source, line: line, "cannot be read")
        }
    }

    private static func name(of type: any Any.Type) -> String {
        switch type {
        case is Int.Type: "a whole number"
        case is Double.Type: "a number"
        case is String.Type: "a string"
        case is Bool.Type: "true or false"
        default: "an array or object"
        }
    }
}
