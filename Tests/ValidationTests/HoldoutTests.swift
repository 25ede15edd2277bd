import Testing

@testable import Validation

@Suite struct HoldoutTests {
    @Test func `the odd minutes of each load stage are held out, whatever the stage's length`() {
        func held(_ seconds: Double) -> Bool {
            Holdout.minutes.holdsOut(index: 0, seconds: seconds, stages: [150, 600])
        }
        #expect(!held(0) && !held(59.9) && held(60) && held(119.9) && !held(120))
        // The second stage begins at 150 s with a minute that is seen.
        #expect(!held(150) && !held(209) && held(210))
        // What comes after the last stage belongs to it.
        #expect(held(150 + 600 + 60))
    }

    @Test func `a run without stages is one stage`() {
        #expect(Holdout.minutes.holdsOut(index: 0, seconds: 61, stages: []))
        #expect(!Holdout.minutes.holdsOut(index: 1, seconds: 1, stages: []))
    }

    @Test func `every second request is held out`() {
        let held = (0..<4).map { Holdout.requests.holdsOut(index: $0, seconds: 0, stages: []) }
        #expect(held == [false, true, false, true])
    }
}
