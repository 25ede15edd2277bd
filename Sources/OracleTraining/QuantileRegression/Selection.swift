/// The value that would stand at `rank` (from 0) if `values` were sorted; reorders them. O(n) on average.
func selectInPlace(_ values: inout [Double], rank: Int) -> Double {
    values.withUnsafeMutableBufferPointer { b in
        var low = 0
        var high = b.count - 1
        while low < high {
            let first = b[low]
            let middle = b[(low + high) / 2]
            let last = b[high]
            let pivot = max(min(first, middle), min(max(first, middle), last))
            var i = low
            var j = high
            while i <= j {
                while b[i] < pivot { i += 1 }
                while b[j] > pivot { j -= 1 }
                if i <= j {
                    b.swapAt(i, j)
                    i += 1
                    j -= 1
                }
            }
            if rank <= j {
                high = j
            } else if rank >= i {
                low = i
            } else {
                return b[rank]
            }
        }
        return b[low]
    }
}
