/// Breaking ties by moving the observations a little, the same way each time.
extension CheckLossSimplex {
    mutating func perturbObservations(round: Int) {
        var saved: [[Double]] = []
        let magnitude = 1e-7 / Double(1 << (2 * round))
        for (b, block) in blocks.enumerated() {
            saved.append(Array(UnsafeBufferPointer(start: block.y, count: block.count)))
            for i in 0..<block.count {
                // A fixed scramble of the row's place: same input, same path.
                var z = UInt64(truncatingIfNeeded: i &+ 1) &* 0x9e37_79b9_7f4a_7c15
                z ^= UInt64(b &+ 1 &+ 977 &* round) &* 0xbf58_476d_1ce4_e5b9
                z = (z ^ (z >> 29)) &* 0x94d0_49bb_1331_11eb
                z ^= z >> 32
                block.y[i] += magnitude * (0.5 + Double(z >> 11) * 0x1p-53)
            }
        }
        perturbed = saved
    }

    mutating func restoreObservations() {
        guard let saved = perturbed else { return }
        for (b, values) in saved.enumerated() {
            for (i, value) in values.enumerated() { blocks[b].y[i] = value }
        }
        perturbed = nil
    }
}
