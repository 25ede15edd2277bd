/// How far whole deployments deviate from the roofline prior, by what is known of their kind.
///
/// Root mean squares of the median error of each deployment on sums of measured kernel times (aiconfigurator-core
/// 0.12.0, Apache-2.0; 253 deployments), rounded up. Host time, which kernel sums don't have, was 0 to 1.2 ms a step on
/// measured deployments, 0.2 ms of it in the prior.
extension RooflinePrior {
    /// Accelerators whose kernel times the factors were compared with, and the deviation of dense models there.
    private static let compared: [(accelerator: String, dense: Double)] = [
        ("a100-sxm-80gb", 0.08), ("h100-sxm", 0.09), ("h200", 0.11), ("l40s", 0.10), ("b200", 0.16),
    ]

    /// A model with the deviation of each kind of deployment.
    static func withDiscrepancies(_ model: StepModel) -> StepModel {
        var result = model
        // An accelerator that nothing was compared with; consumer and workstation cards were 10 to 30 % off.
        result.discrepancy = Discrepancy(scaleStd: 0.25, offsetStd: 1e-3)
        var scoped: [ScopedStepModel] = []
        func add(_ scale: Double, _ offset: Double, _ narrow: (inout ModelScope) -> Void) {
            var own = model
            own.discrepancy = Discrepancy(scaleStd: scale, offsetStd: offset)
            var scope = ModelScope()
            narrow(&scope)
            scoped.append(ScopedStepModel(scope: scope, model: own))
        }
        // Experts in 8 bits and less, and experts spread over ranks, take other kernels than 16-bit ones.
        add(0.45, 1e-3) { $0.mixtureOfExperts = true }
        for (accelerator, dense) in compared {
            add(dense, 0.3e-3) {
                $0.accelerator = accelerator
                $0.mixtureOfExperts = false
            }
            add(0.15, 0.3e-3) {
                $0.accelerator = accelerator
                $0.mixtureOfExperts = true
                $0.weightFormat = "bf16"
                $0.expertParallelSize = 1
            }
        }
        result.specialised = scoped
        return result
    }
}
