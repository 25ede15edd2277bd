import ServingCore
import Testing

@testable import Workload

@Suite struct ArrivalTests {
    private func requests(_ arrivals: ArrivalProcess, count: Int? = 20_000, seed: UInt64 = 1) throws
        -> [IncomingRequest]
    {
        var specification = WorkloadSpecification()
        specification.arrivals = arrivals
        specification.numPrompts = count
        return try drain(RequestStream(specification, seed: seed))
    }

    @Test(arguments: [
        (ArrivalProcess.Gaps.constant, 0.0), (.poisson, 1.0), (.gamma(shape: 0.25), 2.0),
        (.gamma(shape: 4), 0.5),
        (.weibull(shape: 0.5), 5.0.squareRoot()), (.weibull(shape: 2), 0.5227),
    ])
    func `gaps have the mean rate and the coefficient of variation of their process`(
        gapsOf: ArrivalProcess.Gaps, expected: Double
    ) throws {
        let all = try requests(ArrivalProcess(gaps: gapsOf, rate: .steady(8)), count: 40_000)
        let drawn = gaps(all)
        // Standard error of a mean of 40,000 gaps with this variation, times five.
        #expect(abs(mean(drawn) * 8 - 1) < 5 * max(expected, 0.01) / 200)
        #expect(abs(variation(drawn) - expected) < 0.06 * max(1, expected * expected))
    }

    @Test(arguments: [ArrivalProcess.Gaps.poisson, .gamma(shape: 0.3), .weibull(shape: 0.7)])
    func `normalised gaps end exactly when the rate says`(gapsOf: ArrivalProcess.Gaps) throws {
        let all = try requests(
            ArrivalProcess(gaps: gapsOf, rate: .steady(4), normalized: true), count: 1000, seed: 7)
        #expect(all.count == 1000)
        #expect(abs(all[999].arrival.seconds - 250) < 1e-6)
    }

    @Test func `an infinite rate sends everything at time zero`() throws {
        let all = try requests(ArrivalProcess(rate: .infinite), count: 50)
        #expect(all.count == 50)
        #expect(all.allSatisfy { $0.arrival == 0 })
    }

    @Test func `constant stages send rate times duration in each stage`() throws {
        let all = try requests(
            ArrivalProcess(
                gaps: .constant,
                rate: .stages([
                    .init(rate: 5, duration: 600), .init(rate: 0, duration: 60),
                    .init(rate: 10, duration: 600),
                ])), count: nil)
        #expect(all.count == 9000)
        #expect(all.filter { $0.arrival.seconds < 600 }.count == 3000)
        #expect(all.filter { $0.arrival.seconds >= 600 && $0.arrival.seconds < 660 }.isEmpty)
        #expect(all[1].arrival == Ticks(seconds: 0.2))
        #expect(all[3001].arrival == Ticks(seconds: 660.1))
    }

    @Test func `normalised Poisson stages send rate times duration in each stage`() throws {
        let all = try requests(
            ArrivalProcess(
                rate: .stages([.init(rate: 8, duration: 50), .init(rate: 20, duration: 50)]), normalized: true
            ),
            count: nil)
        #expect(all.count == 1400)
        #expect(all.filter { $0.arrival <= Ticks(seconds: 50) }.count == 400)
        #expect(abs(all[1399].arrival.seconds - 100) < 1e-6)
    }

    @Test func `bursts follow their two rates`() throws {
        let all = try requests(
            ArrivalProcess(
                rate: .bursts(on: .init(rate: 50, duration: 10), off: .init(rate: 2, duration: 40))),
            count: 58_000)
        // 580 requests a period of 50 s on average.
        #expect(abs(all[57_999].arrival.seconds - 5000) < 100)
        let on = all.filter { $0.arrival.seconds.truncatingRemainder(dividingBy: 50) < 10 }.count
        #expect(abs(Double(on) / 58_000 - 500.0 / 580) < 0.01)
    }

    @Test func `a burst without requests between leaves silence`() throws {
        let all = try requests(
            ArrivalProcess(
                gaps: .constant,
                rate: .bursts(on: .init(rate: 10, duration: 1), off: .init(rate: 0, duration: 9))),
            count: 100)
        #expect(all.allSatisfy { $0.arrival.seconds.truncatingRemainder(dividingBy: 10) < 1 })
        #expect(all[10].arrival == Ticks(seconds: 10))
    }

    @Test(arguments: [0.0, 0.6, 1.0])
    func `a diurnal rate follows its cosine`(amplitude: Double) throws {
        let period = 1000.0
        let all = try requests(
            ArrivalProcess(
                gaps: .constant, rate: .diurnal(mean: 10, amplitude: amplitude, period: period, peak: 300)),
            count: 50_000)
        #expect(abs(all[49_999].arrival.seconds - 5000) < 1)
        #expect(zip(all, all.dropFirst()).allSatisfy { $0.arrival <= $1.arrival })
        // Requests within a tenth of the period around the peak: the integral of the rate.
        let near = all.filter { abs($0.arrival.seconds.truncatingRemainder(dividingBy: period) - 300) < 50 }
            .count
        let expected = 5 * 10 * (100 + amplitude * period / Double.pi * 0.30901699437494745)
        #expect(abs(Double(near) - expected) < 12)
    }

    @Test func `duration ends an open load`() throws {
        var specification = WorkloadSpecification()
        specification.arrivals = ArrivalProcess(rate: .steady(100))
        specification.numPrompts = nil
        specification.duration = 30
        let all = try drain(RequestStream(specification, seed: 3))
        #expect(abs(all.count - 3000) < 275)
        #expect(all.allSatisfy { $0.arrival < Ticks(seconds: 30) })
    }

    @Test func `arrivals beyond the range of time are refused`() throws {
        var specification = WorkloadSpecification()
        specification.arrivals = ArrivalProcess(rate: .steady(1e-9))
        #expect(throws: InvalidInput.self) { try drain(RequestStream(specification, seed: 3)) }
    }
}
