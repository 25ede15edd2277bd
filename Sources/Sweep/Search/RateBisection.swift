import ServingCore

/// Finds the highest rate at which all constraints hold.
///
/// All rates, and all configurations, see the same requests with the same gaps, only stretched (common random numbers), so
/// that what differs is the deployment. A rate holds when the confidence limit of each constrained figure does and the
/// deployment keeps up; where a run cannot show that, the rate doesn't hold. The bracket is closed on a logarithmic scale;
/// afterwards the rates right above are tried one by one, because near the limit a higher rate may hold by chance of the
/// batches when a lower one does not.
struct RateBisection {
    let settings: Search.RateSearch
    /// Rates above the bracket that are tried, half the tolerance apart, unless one breaks a constraint for certain.
    var confirmations = 12

    /// One rate's trial and whatever the caller keeps of it.
    struct Tried<Kept> {
        var trial: SweepOutcome.Trial
        var kept: Kept
    }

    struct Found<Kept> {
        /// The highest rate that holds; nil if none does.
        var best: Tried<Kept>?
        /// The lowest rate tried, where none holds.
        var lowest: Tried<Kept>
        /// Every trial in order.
        var trials: [SweepOutcome.Trial]
    }

    /// Searches.
    /// - Parameter tryRate: simulates a rate.
    func search<Kept>(_ tryRate: (Double) throws -> Tried<Kept>) rethrows -> Found<Kept> {
        var trials: [SweepOutcome.Trial] = []
        func run(_ rate: Double) throws -> Tried<Kept> {
            let tried = try tryRate(rate)
            trials.append(tried.trial)
            return tried
        }
        var lowest = try run(settings.from)
        var best: Tried<Kept>? = lowest.trial.holds ? lowest : nil
        var failing = lowest.trial.holds ? Double.infinity : settings.from
        // Out from the first rate until one holds and one doesn't.
        while failing == .infinity, let rate = best?.trial.rate, rate < settings.highest {
            let next = try run(min(rate * 2, settings.highest))
            if next.trial.holds { best = next } else { failing = next.trial.rate }
        }
        while best == nil, failing > settings.lowest {
            let next = try run(max(failing / 2, settings.lowest))
            lowest = next
            if next.trial.holds { best = next } else { failing = next.trial.rate }
        }
        guard best != nil, failing < .infinity else {
            return Found(best: best, lowest: lowest, trials: trials)
        }
        while failing > best!.trial.rate * (1 + settings.tolerance) {
            let next = try run((best!.trial.rate * failing).squareRoot())
            if next.trial.holds { best = next } else { failing = next.trial.rate }
        }
        var tried = 0
        var rate = failing
        while tried < confirmations, rate < settings.highest {
            rate = min(rate * (1 + settings.tolerance / 2), settings.highest)
            if trials.contains(where: { $0.rate == rate }) { break }
            let next = try run(rate)
            tried += 1
            if next.trial.isBroken { break }
            if next.trial.holds {
                best = next
                tried = 0
            }
        }
        return Found(best: best, lowest: lowest, trials: trials)
    }
}
