/// Which prompt each request of a trace sent, where only lengths were recorded and prompts are known to recur.
///
/// Load generators go through a list of prompts again and again, so lengths recur with the list's period. Prompts of
/// one list may be equally long and yet differ: taking equal lengths for equal prompts finds in the cache what the
/// engine had to compute, all through the first pass.
enum RecurringPrompts {
    /// Longest list that is looked for.
    static let longestPeriod = 1024
    /// Requests that are compared to find the period.
    private static let sample = 4096
    /// Share of requests whose length must recur.
    private static let leastShare = 0.9
    /// How far two clients' requests may overtake each other.
    private static let overtaking = 8

    /// Numbers of prompts: equal numbers stand for the same prompt. Without a period, prompts of equal length are taken
    /// for the same.
    /// - Complexity: O(requests + sample x longest period).
    static func numbers(lengths: [Int32]) -> [Int32] {
        let period = period(of: lengths)
        var numbers: [Int32] = []
        numbers.reserveCapacity(lengths.count)
        var latest: [Int32: Int32] = [:]
        var distinct: Int32 = 0
        for index in lengths.indices {
            let length = lengths[index]
            var number = latest[length]
            if let period {
                if index < period {
                    number = nil
                } else if let place = sameLength(lengths, near: index - period, before: index, length) {
                    number = numbers[place]
                }
            }
            if number == nil {
                number = distinct
                distinct += 1
            }
            latest[length] = number
            numbers.append(number!)
        }
        return numbers
    }

    /// Length of the list of prompts; nil if lengths don't recur.
    static func period(of lengths: [Int32]) -> Int? {
        let count = min(lengths.count, sample)
        let longest = min(longestPeriod, count / 3)
        guard longest >= 1 else { return nil }
        let shares = lengths.withUnsafeBufferPointer { lengths in
            (1...longest).map { lag in
                var equal = 0
                for index in lag..<count where lengths[index] == lengths[index - lag] { equal += 1 }
                return Double(equal) / Double(count - lag)
            }
        }
        guard let best = shares.max(), best >= leastShare else { return nil }
        // Multiples of the period do about as well as the period itself.
        return shares.firstIndex { $0 >= best - 0.02 }.map { $0 + 1 }
    }

    private static func sameLength(_ lengths: [Int32], near place: Int, before end: Int, _ length: Int32)
        -> Int?
    {
        for distance in 0...overtaking {
            for candidate in [place + distance, place - distance]
            where candidate >= 0 && candidate < end && lengths[candidate] == length {
                return candidate
            }
        }
        return nil
    }
}
