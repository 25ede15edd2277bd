/// Interior-point solution of the check-loss problem by its dual (Portnoy & Koenker 1997): the way out when pivoting stalls.
enum FrischNewton {
    /// Coefficients (padded) that minimise the summed loss of `block` plus `linear . beta`, to a relative gap of about 1e-12.
    static func solve(_ block: LossRows, positions: [Int], linear: [Double]) -> [Double] {
        let n = block.count
        let p = positions.count
        let rows = (0..<n).map { i in positions.map { block.rows.elements(i)[$0] } }
        let upper = (0..<n).map { block.above[$0] + block.below[$0] }
        // Variables x = dual value + slope below, between 0 and `upper`; A x = b with A the transposed rows.
        var b = positions.map { linear[$0] }
        for i in 0..<n {
            for j in 0..<p { b[j] += block.below[i] * rows[i][j] }
        }
        let cost = (0..<n).map { -block.y[$0] }
        func normalMatrix(_ q: [Double]) -> SmallCholesky {
            var m = [Double](repeating: 0, count: p * p)
            for i in 0..<n where q[i] > 0 {
                for j in 0..<p {
                    let v = q[i] * rows[i][j]
                    for k in 0...j { m[j * p + k] += v * rows[i][k] }
                }
            }
            for j in 0..<p { for k in 0..<j { m[k * p + j] = m[j * p + k] } }
            return SmallCholesky(m, size: p, ridge: 1e-14)
        }
        func times(_ v: [Double]) -> [Double] {
            rows.map { row in
                var sum = 0.0
                for j in 0..<p { sum += row[j] * v[j] }
                return sum
            }
        }
        func transposed(_ v: [Double]) -> [Double] {
            var out = [Double](repeating: 0, count: p)
            for i in 0..<n { for j in 0..<p { out[j] += v[i] * rows[i][j] } }
            return out
        }
        var x = (0..<n).map { max(block.below[$0], 1e-3 * upper[$0]) }
        var s = (0..<n).map { max(upper[$0] - x[$0], 1e-3 * upper[$0]) }
        let ones = upper.map { $0 > 0 ? 1.0 : 0.0 }
        var dual = normalMatrix(ones).solve(transposed((0..<n).map { ones[$0] * cost[$0] }))
        let fitted = times(dual)
        var typical = 0.0
        for i in 0..<n { typical += abs(cost[i] - fitted[i]) }
        typical = max(typical / Double(max(n, 1)), 1e-12)
        var z = [Double](repeating: 0, count: n)
        var w = z
        for i in 0..<n {
            let r = cost[i] - fitted[i]
            z[i] = max(r, 0) + 1e-2 * typical
            w[i] = z[i] - r
        }
        for _ in 0..<120 {
            var gap = 0.0
            var scale = 1e-300
            for i in 0..<n where upper[i] > 0 {
                gap += x[i] * z[i] + s[i] * w[i]
                scale += abs(cost[i]) * upper[i]
            }
            let covered = transposed(x)
            let primal = (0..<p).map { b[$0] - covered[$0] }
            if gap <= 1e-13 * scale { break }
            var q = [Double](repeating: 0, count: n)
            for i in 0..<n where upper[i] > 0 { q[i] = 1 / (z[i] / x[i] + w[i] / s[i]) }
            let factor = normalMatrix(q)
            func direction(_ xi: [Double]) -> (dy: [Double], dx: [Double]) {
                let rhs = transposed((0..<n).map { q[$0] * (z[$0] - w[$0] - xi[$0]) })
                let dy = factor.solve((0..<p).map { primal[$0] + rhs[$0] })
                let along = times(dy)
                return (dy, (0..<n).map { q[$0] * (along[$0] - (z[$0] - w[$0]) + xi[$0]) })
            }
            func steps(_ dx: [Double], _ dz: [Double], _ dw: [Double]) -> (Double, Double) {
                var primalStep = 1e20
                var dualStep = 1e20
                for i in 0..<n where upper[i] > 0 {
                    if dx[i] < 0 { primalStep = min(primalStep, -x[i] / dx[i]) }
                    if dx[i] > 0 { primalStep = min(primalStep, s[i] / dx[i]) }
                    if dz[i] < 0 { dualStep = min(dualStep, -z[i] / dz[i]) }
                    if dw[i] < 0 { dualStep = min(dualStep, -w[i] / dw[i]) }
                }
                return (min(1, 0.9995 * primalStep), min(1, 0.9995 * dualStep))
            }
            let none = [Double](repeating: 0, count: n)
            let predictor = direction(none)
            var dz = none
            var dw = none
            for i in 0..<n where upper[i] > 0 {
                dz[i] = -z[i] - z[i] * predictor.dx[i] / x[i]
                dw[i] = -w[i] + w[i] * predictor.dx[i] / s[i]
            }
            var (fp, fd) = steps(predictor.dx, dz, dw)
            var dx = predictor.dx
            var dy = predictor.dy
            if min(fp, fd) < 1 {
                var after = 0.0
                for i in 0..<n where upper[i] > 0 {
                    after += (x[i] + fp * dx[i]) * (z[i] + fd * dz[i])
                    after += (s[i] - fp * dx[i]) * (w[i] + fd * dw[i])
                }
                let ratio = after / gap
                let mu = gap * ratio * ratio * ratio / Double(2 * n)
                var xi = none
                for i in 0..<n where upper[i] > 0 {
                    xi[i] = (mu - dx[i] * dz[i]) / x[i] - (mu + dx[i] * dw[i]) / s[i]
                }
                let corrector = direction(xi)
                for i in 0..<n where upper[i] > 0 {
                    let newZ = (mu - dx[i] * dz[i]) / x[i] - z[i] - z[i] * corrector.dx[i] / x[i]
                    let newW = (mu + dx[i] * dw[i]) / s[i] - w[i] + w[i] * corrector.dx[i] / s[i]
                    dz[i] = newZ
                    dw[i] = newW
                }
                dx = corrector.dx
                dy = corrector.dy
                (fp, fd) = steps(dx, dz, dw)
            }
            for i in 0..<n where upper[i] > 0 {
                x[i] += fp * dx[i]
                s[i] -= fp * dx[i]
                z[i] += fd * dz[i]
                w[i] += fd * dw[i]
            }
            for j in 0..<p { dual[j] += fd * dy[j] }
            guard dual.allSatisfy(\.isFinite) else { break }
        }
        var beta = [Double](repeating: 0, count: 4 * block.rows.quads)
        for (k, j) in positions.enumerated() { beta[j] = dual[k].isFinite ? -dual[k] : 0 }
        return beta
    }
}
