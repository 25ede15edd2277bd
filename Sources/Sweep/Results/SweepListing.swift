import Catalog
import Reports

extension SweepRun {
    /// The configurations of the shard, a row each, and how many combinations conditions leave out.
    public var listing: String {
        var table = TextTable([.init("#", .right)] + specification.axes.map { .init($0.name, .right) })
        for configuration in configurations {
            let cells = configuration.labels.map { label in
                if case .string(let text) = label { text } else { label.json }
            }
            table.add(["\(configuration.index)"] + cells)
        }
        let left =
            space.excluded > 0 ? ", \(grouped(space.excluded)) combinations left out by conditions" : ""
        return table.text + "\(grouped(configurations.count)) configurations\(left)\n"
    }
}
