#if canImport(Glibc)
    import Glibc
#else
    import Foundation
#endif

/// Predicted against measured step times, both axes logarithmic.
public enum ScatterPlot {
    /// At most this many points are drawn, evenly spread over the rows.
    static let mostPoints = 2_000

    /// An SVG picture.
    public static func svg(_ steps: [ScoredStep]) -> String {
        let points = steps.filter { $0.measured > 0 && $0.predicted > 0 }
        var canvas = SVGCanvas(
            title: "Predicted against measured step time", x: "measured, ms", y: "predicted, ms")
        guard !points.isEmpty else { return canvas.text }
        let values = points.flatMap { [log10(1000 * $0.measured), log10(1000 * $0.predicted)] }
        let low = (values.min() ?? 0) - 0.05
        let high = (values.max() ?? 1) + 0.05
        for decade in Int(low.rounded(.down))...Int(high.rounded(.up)) {
            for factor in [1.0, 2, 5] {
                let value = Double(decade) + log10(factor)
                guard value >= low, value <= high else { continue }
                canvas.tick(
                    at: (value - low) / (high - low), NumberText.significant(factor * pow(10, Double(decade)))
                )
            }
        }
        canvas.line((0, 0), (1, 1), "#888")
        let stride = max(1, points.count / mostPoints)
        for index in Swift.stride(from: 0, to: points.count, by: stride) {
            let point = points[index]
            canvas.dot(
                (log10(1000 * point.measured) - low) / (high - low),
                (log10(1000 * point.predicted) - low) / (high - low))
        }
        return canvas.text
    }
}

/// How often measurements fall below the predictive P10 and P90, and between, along the size of the step.
public enum CalibrationPlot {
    /// An SVG picture: coverage of P10-P90 by decile of the predicted time; 80 % is right.
    public static func svg(_ steps: [ScoredStep]) -> String {
        var canvas = SVGCanvas(
            title: "Coverage of P10-P90 by predicted time", x: "decile of predicted step time",
            y: "share covered, %")
        for share in stride(from: 0, through: 100, by: 20) {
            canvas.tick(at: Double(share) / 100, "\(share)", horizontal: false)
        }
        canvas.line((0, 0.8), (1, 0.8), "#888")
        let sorted = steps.sorted {
            $0.predicted != $1.predicted ? $0.predicted < $1.predicted : $0.row < $1.row
        }
        var last: (Double, Double)?
        for decile in 0..<10 where sorted.count >= 10 {
            let part = sorted[sorted.count * decile / 10..<sorted.count * (decile + 1) / 10]
            let covered = Double(part.count(where: { $0.isCovered })) / Double(max(1, part.count))
            let place = ((Double(decile) + 0.5) / 10, covered)
            canvas.tick(at: place.0, "\(decile + 1)", vertical: false)
            canvas.dot(place.0, place.1, radius: 4)
            if let last { canvas.line(last, place, "#2266aa") }
            last = place
        }
        return canvas.text
    }
}

/// A square plot area with axes; coordinates from 0 to 1.
struct SVGCanvas {
    private var body = ""
    private let title: String
    private let xLabel: String
    private let yLabel: String

    init(title: String, x: String, y: String) {
        self.title = title
        xLabel = x
        yLabel = y
    }

    private func x(_ value: Double) -> String { NumberText.fixed(70 + 420 * value, 1) }
    private func y(_ value: Double) -> String { NumberText.fixed(460 - 420 * value, 1) }

    mutating func tick(at place: Double, _ label: String, horizontal: Bool = true, vertical: Bool = true) {
        if horizontal {
            body += "<text x=\"\(x(place))\" y=\"478\" text-anchor=\"middle\">\(label)</text>\n"
        }
        if vertical { body += "<text x=\"64\" y=\"\(y(place))\" text-anchor=\"end\">\(label)</text>\n" }
    }

    mutating func tick(at place: Double, _ label: String, vertical: Bool) {
        tick(at: place, label, horizontal: true, vertical: vertical)
    }

    mutating func line(_ from: (Double, Double), _ to: (Double, Double), _ colour: String) {
        body +=
            "<line x1=\"\(x(from.0))\" y1=\"\(y(from.1))\" x2=\"\(x(to.0))\" y2=\"\(y(to.1))\" stroke=\"\(colour)\"/>\n"
    }

    mutating func dot(
        _ px: Double, _ py: Double, radius: Double = 1.5, colour: String = "#2266aa", title: String? = nil
    ) {
        let start =
            "<circle cx=\"\(x(px))\" cy=\"\(y(py))\" r=\"\(NumberText.fixed(radius, 1))\" fill=\"\(colour)\" fill-opacity=\"0.6\""
        body += title.map { "\(start)><title>\(Self.escaped($0))</title></circle>\n" } ?? start + "/>\n"
    }

    /// Text without what XML takes for markup.
    private static func escaped(_ text: String) -> String {
        text.reduce(into: "") { result, character in
            switch character {
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "&": result += "&amp;"
            default: result.append(character)
            }
        }
    }

    var text: String {
        """
        <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 520 520" font-family="sans-serif" font-size="12">
        <rect width="520" height="520" fill="white"/>
        <text x="280" y="24" text-anchor="middle" font-size="14">\(title)</text>
        <rect x="70" y="40" width="420" height="420" fill="none" stroke="#333"/>
        \(body)<text x="280" y="505" text-anchor="middle">\(xLabel)</text>
        <text x="18" y="250" text-anchor="middle" transform="rotate(-90 18 250)">\(yLabel)</text>
        </svg>

        """
    }
}
