/// Numbers in names and messages.
enum NumberText {
    /// The shortest text that reads back the same, without a fraction where there is none.
    static func short(_ value: Double) -> String {
        if let whole = Int(exactly: value), abs(value) < 1e15 { return "\(whole)" }
        return "\(value)"
    }
}
