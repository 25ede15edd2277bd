import LinearAlgebra

/// Configurations as points in the plane that shows most of their differences, coloured by specialist.
public enum ClusterMap {
    /// Colours of specialists, over and over.
    private static let colours = [
        "#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bbbbbb", "#000000",
    ]

    /// An SVG picture; the title of a point names its configuration.
    public static func svg(_ places: [EnsembleReport.Place]) -> String {
        var canvas = SVGCanvas(
            title: "Configurations by specialist", x: "first principal component",
            y: "second principal component")
        guard !places.isEmpty else { return canvas.text }
        func range(_ value: (EnsembleReport.Place) -> Double) -> (low: Double, span: Double) {
            let values = places.map(value)
            let low = values.min() ?? 0
            let span = (values.max() ?? 0) - low
            return span > 0 ? (low - 0.05 * span, 1.1 * span) : (low - 0.5, 1)
        }
        let x = range { $0.x }
        let y = range { $0.y }
        for place in places {
            canvas.dot(
                (place.x - x.low) / x.span, (place.y - y.low) / y.span, radius: 4,
                colour: colours[place.specialist % colours.count],
                title: "\(place.configuration): specialist \(place.specialist + 1)")
        }
        return canvas.text
    }

    /// Places of points along their first two principal components; the sign is such that the largest share is positive.
    static func places(_ points: [[Double]]) -> [(x: Double, y: Double)] {
        guard let width = points.first?.count, width > 0 else { return points.map { _ in (0, 0) } }
        var moments = SquareMatrix(size: width)
        for p in points {
            for i in 0..<width { for j in 0..<width { moments[i, j] += p[i] * p[j] } }
        }
        guard let eigen = SymmetricEigen(moments) else { return points.map { _ in (0, 0) } }
        func axis(_ k: Int) -> [Double] {
            guard k >= 0 else { return [Double](repeating: 0, count: width) }
            let v = (0..<width).map { eigen.vectors[$0, k] }
            let largest = v.indices.max { abs(v[$0]) < abs(v[$1]) - 1e-9 } ?? 0
            return v[largest] < 0 ? v.map { -$0 } : v
        }
        let first = axis(width - 1)
        let second = axis(width - 2)
        return points.map { p in
            (
                zip(p, first).reduce(0) { $0 + $1.0 * $1.1 }, zip(p, second).reduce(0) { $0 + $1.0 * $1.1 }
            )
        }
    }
}
