/// What an admission that failed depended on, so that a blocked queue isn't looked up again in every step.
///
/// An attempt fails because the head needs more blocks than are free. Blocks in use can only become free by a
/// release and a longer hit can only come from a registration; taking or evicting blocks never helps. Without
/// chunked prefill an attempt may fail for want of budget instead; such failures are not kept here.
struct BlockedAdmission {
    var handle = RequestHandle.none
    var releases: UInt64 = 0
    var registrations: UInt64 = 0
    var threshold = 0
    var budget = 0
    var hasRunning = false

    /// Whether this attempt fails for certain, since `failed` failed and nothing has changed for the better.
    func mustFail(after failed: BlockedAdmission) -> Bool {
        handle == failed.handle && releases == failed.releases && registrations == failed.registrations
            && threshold == failed.threshold && budget >= failed.budget && hasRunning == failed.hasRunning
    }
}
