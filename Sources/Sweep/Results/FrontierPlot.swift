import Reports

extension SweepResults {
    /// The frontier as a picture: every configuration's tokens/s/user against its tokens/s/GPU, as
    /// `vllm bench sweep plot_pareto` draws it.
    var frontierSVG: String {
        let (width, height, left, bottom, margin) = (720.0, 480.0, 80.0, 60.0, 24.0)
        let points = outcomes.compactMap { outcome -> (index: Int, x: Double, y: Double)? in
            guard outcome.isFinal, let x = outcome.values["output_throughput_per_user"],
                let y = outcome.values["output_throughput_per_gpu"]
            else { return nil }
            return (outcome.index, x, y)
        }
        let (xTicks, yTicks) = (
            ticks(upTo: points.map(\.x).max() ?? 1), ticks(upTo: points.map(\.y).max() ?? 1)
        )
        func place(_ x: Double, _ y: Double) -> (x: String, y: String) {
            let across = left + (width - left - margin) * x / xTicks.last!
            let down = height - bottom - (height - bottom - margin) * y / yTicks.last!
            return (fixed(across, decimals: 1), fixed(down, decimals: 1))
        }
        var text = """
            <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 480" font-family="sans-serif" font-size="12">
            <rect width="720" height="480" fill="white"/>

            """
        for tick in xTicks {
            let (x, y) = place(tick, 0)
            let top = place(tick, yTicks.last!).y
            text += "<line x1=\"\(x)\" y1=\"\(y)\" x2=\"\(x)\" y2=\"\(top)\" stroke=\"#ddd\"/>\n"
            text +=
                "<text x=\"\(x)\" y=\"\(fixed(height - bottom + 18, decimals: 1))\" text-anchor=\"middle\">"
            text += "\(NumberText.short(tick))</text>\n"
        }
        for tick in yTicks {
            let (x, y) = place(0, tick)
            let right = place(xTicks.last!, tick).x
            text += "<line x1=\"\(x)\" y1=\"\(y)\" x2=\"\(right)\" y2=\"\(y)\" stroke=\"#ddd\"/>\n"
            text += "<text x=\"\(fixed(left - 8, decimals: 1))\" y=\"\(y)\" text-anchor=\"end\">"
            text += "\(NumberText.short(tick))</text>\n"
        }
        text += "<text x=\"380\" y=\"464\" text-anchor=\"middle\">output tokens/s/user</text>\n"
        text +=
            "<text x=\"16\" y=\"220\" text-anchor=\"middle\" transform=\"rotate(-90 16 220)\">output tokens/s/GPU</text>\n"
        let onFrontier = Set(frontier)
        for point in points {
            let (x, y) = place(point.x, point.y)
            let isOn = onFrontier.contains(point.index)
            text +=
                "<circle cx=\"\(x)\" cy=\"\(y)\" r=\"\(isOn ? 4 : 2.5)\" fill=\"\(isOn ? "#c22" : "#79b")\">"
            text += "<title>#\(point.index)</title></circle>\n"
        }
        let line = frontier.compactMap { index in points.first { $0.index == index } }
            .map { place($0.x, $0.y) }.map { "\($0.x),\($0.y)" }.joined(separator: " ")
        return text
            + "<polyline points=\"\(line)\" fill=\"none\" stroke=\"#c22\" stroke-width=\"1.5\"/>\n</svg>\n"
    }

    /// Four to ten round numbers from 0 to at least `most`.
    private func ticks(upTo most: Double) -> [Double] {
        guard most > 0, most.isFinite else { return [0, 1] }
        var step = 1.0
        while most / step > 10 { step *= 10 }
        while most / step < 1 { step /= 10 }
        if most / step <= 2 { step /= 5 } else if most / step <= 5 { step /= 2 }
        let count = Int((most / step).rounded(.up))
        return (0...max(1, count)).map { Double($0) * step }
    }
}
