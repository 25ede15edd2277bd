import ServingCore
import Testing

@testable import Workload

@Suite struct `Recurring prompts` {
    private func list(_ count: Int, distinctLengths: Int, _ seed: UInt64) -> [Int32] {
        var stream = RandomStream(seed: seed, purpose: "lengths")
        return (0..<count).map { _ in Int32(500 + Int(stream.uniform() * Double(distinctLengths))) }
    }

    @Test(arguments: [7, 50, 100, 333])
    func `are told apart by the period of their lengths`(_ period: Int) {
        let prompts = list(period, distinctLengths: 20, 1)
        let lengths = (0..<3000).map { prompts[$0 % period] }
        #expect(RecurringPrompts.period(of: lengths) == period)
        let numbers = RecurringPrompts.numbers(lengths: lengths)
        #expect(Set(numbers).count == period)
        #expect(numbers.indices.allSatisfy { numbers[$0] == Int32($0 % period) })
    }

    @Test func `keep their numbers when requests overtake each other`() {
        let prompts = list(100, distinctLengths: 30, 2)
        var order = (0..<5000).map { $0 % 100 }
        var stream = RandomStream(seed: 3, purpose: "overtaking")
        for index in order.indices.dropLast() where stream.uniform() < 0.01 {
            order.swapAt(index, index + 1)
        }
        let numbers = RecurringPrompts.numbers(lengths: order.map { prompts[$0] })
        #expect(Set(numbers).count <= 105)
        // Whatever the numbers are: equal prompts nearly always have equal ones.
        let pairs = (100..<5000).filter { order[$0] == order[$0 - 100] }
        #expect(Double(pairs.count { numbers[$0] == numbers[$0 - 100] }) > 0.97 * Double(pairs.count))
    }

    @Test func `without a period are those of equal length`() {
        let lengths = list(2000, distinctLengths: 300, 4)
        #expect(RecurringPrompts.period(of: lengths) == nil)
        let numbers = RecurringPrompts.numbers(lengths: lengths)
        #expect(Set(numbers).count == Set(lengths).count)
        for index in 1..<2000 {
            let first = lengths.firstIndex(of: lengths[index])!
            #expect(numbers[index] == numbers[first])
        }
    }

    @Test func `of one length are one prompt, and few or no requests are no harm`() {
        #expect(Set(RecurringPrompts.numbers(lengths: [Int32](repeating: 64, count: 500))).count == 1)
        #expect(RecurringPrompts.numbers(lengths: []) == [])
        #expect(RecurringPrompts.numbers(lengths: [5]) == [0])
        #expect(RecurringPrompts.numbers(lengths: [5, 6, 5]) == [0, 1, 0])
    }
}
