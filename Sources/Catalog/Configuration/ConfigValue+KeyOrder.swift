import ServingCore
import Yams

extension ConfigValue {
    /// Names of the members of a mapping inside a YAML text, in the order of the text.
    ///
    /// `ConfigValue` itself forgets the order, which matters where names are told to a person again.
    /// - Parameter path: names that lead to the mapping; empty for the document itself.
    /// - Returns: nothing when there is no mapping at that place, or the text is not YAML.
    public static func memberNames(yaml text: String, at path: [String] = []) -> [String] {
        guard var node = try? Yams.compose(yaml: text) else { return [] }
        for name in path {
            guard case .mapping(let mapping) = node,
                let member = mapping.first(where: { $0.key.string == name })
            else { return [] }
            node = member.value
        }
        guard case .mapping(let mapping) = node else { return [] }
        return mapping.compactMap(\.key.string)
    }
}
