import ServingCore

extension StepTimeOracle {
    /// How far the oracle may be trusted for a deployment, a line each: what its step times rest on, and how far those
    /// of models that it has not seen lay off.
    public func notes(for facts: DeploymentFacts) -> [String] {
        let (model, scope) = artifact.step.specialised(for: facts)
        var notes: [String] = []
        switch scope {
        case _ where model.kind == .roofline:
            notes.append("step times from hardware facts and the usual efficiencies of kernels, not trained")
        case .some(let scope) where model.restsOnKernelTimes == true:
            notes.append("step times of \(scope)" + clause(model.basis))
        case .some(let scope) where scope.model != nil:
            notes.append("step times calibrated on this deployment" + clause(model.basis))
        case .some(let scope):
            notes.append("step times of \(scope)" + clause(model.basis))
            if !hasSeen(facts.modelName) { notes.append("\(facts.modelName) is not among them") }
        case nil:
            let kind = facts.experts > 0 ? "mixtures of experts" : "dense models"
            let reason =
                artifact.step.specialised == nil
                ? ""
                : ": no steps of \(kind) in \(facts.weightFormat) on \(facts.acceleratorName) to learn from"
            notes.append("step times extrapolated" + reason + clause(model.basis))
        }
        if let discrepancy = model.discrepancy {
            let whole =
                model.restsOnKernelTimes == true
                ? "forecasts from such kernel times lie"
                : scope?.model != nil ? "single runs lie" : "models left out of training lay"
            notes.append(
                "\(whole) off by \(percent(discrepancy.scaleStd)) % (one standard deviation)")
        }
        return notes
    }

    private func clause(_ text: String?) -> String { text.map { ": " + $0 } ?? "" }

    private func percent(_ share: Double) -> String {
        let tenths = Int((share * 1000).rounded())
        return "\(tenths / 10)" + (tenths < 100 ? ".\(tenths % 10)" : "")
    }

    private func hasSeen(_ name: String) -> Bool {
        artifact.provenance?.configurations.contains { $0.hasPrefix(name + "/") } ?? true
    }
}
