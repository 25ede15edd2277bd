import ServingCore

/// A step of up to fifty decodes, every other with a prompt.
func randomStep(_ stream: inout RandomStream) -> StepState {
    var state = StepState()
    if stream.uniform() < 0.5 {
        state.addPrefill(newTokens: 1 + Int(stream.uniform() * 2000), computedTokens: 0)
    }
    for _ in 0..<(1 + Int(stream.uniform() * 50)) {
        state.addDecode(contextTokens: 100 + Int(stream.uniform() * 2000))
    }
    state.runningRequests = state.prefillRequests + state.decodeRequests
    return state
}
