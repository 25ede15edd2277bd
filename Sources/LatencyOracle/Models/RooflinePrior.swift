/// The step-time model that needs no training: `physics` features with efficiency factors of current GPUs.
///
/// The factors are medians over A100, H100, H200 and B200 of robust non-negative fits to sums of measured kernel
/// times (aiconfigurator-core 0.12.0, Apache-2.0), rounded. A factor of 1.2 on reading means that
/// 83 % of the data-sheet bandwidth is reached. Every factor is non-negative, so more work never takes less time.
enum RooflinePrior {
    static let coefficients: [Coefficient] = [
        // Host time between steps that the GPU waits for, beyond kernels: 0 to 1.2 ms on measured H100 steps.
        Coefficient(feature: "constant", value: 0.2e-3),
        Coefficient(feature: "running_requests", value: 1e-6),
        // Kernels that cost the same at any batch: norms, rotary embedding, small matrices' tails.
        Coefficient(feature: "layer_launches", value: 44e-6),
        Coefficient(feature: "expert_layer_launches", value: 20e-6),
        Coefficient(feature: "mixed_step_layers", value: 26e-6),
        Coefficient(feature: "decode_request_layers", value: 0.04e-6),
        // Weights at 85 % of the bandwidth; matrix work hides behind them up to the roofline's knee.
        Coefficient(feature: "dense_weight_read", value: 0.75),
        Coefficient(feature: "matrix_roofline", value: 0.45),
        Coefficient(feature: "matrix_flops", value: 0.05),
        Coefficient(feature: "matrix_flops_above_128", value: 0.38),
        Coefficient(feature: "matrix_flops_above_512", value: 0.32),
        Coefficient(feature: "expert_weight_read", value: 1.1),
        Coefficient(feature: "expert_flops", value: 1.25),
        Coefficient(feature: "rank_load_spread", value: 26),
        Coefficient(feature: "prefill_attention", value: 1.5),
        Coefficient(feature: "decode_kv_read", value: 1.15),
        Coefficient(feature: "activation_traffic", value: 5),
        Coefficient(feature: "all_reduce_volume", value: 1.7),
        Coefficient(feature: "all_reduce_beyond_pair", value: 4.6),
        Coefficient(feature: "all_reduce_latency", value: 0.1),
        Coefficient(feature: "all_reduce_hops", value: 0.02),
        Coefficient(feature: "expert_all_to_all", value: 1.5),
        Coefficient(feature: "offloaded_weight_read", value: 1.2),
    ]

    static var model: StepModel {
        let model = StepModel(
            kind: .roofline, featureSet: FeatureSet.physics.name, coefficients: coefficients,
            noise: NoiseModel(family: .studentT, scale: 0.03, relative: true, degreesOfFreedom: 4))
        return withDiscrepancies(model)
    }

    static var artifact: OracleArtifact {
        var artifact = OracleArtifact(
            name: "roofline", summary: "efficiency factors of current GPUs on hardware facts; not trained",
            step: model)
        // API server and tokenizer: a millisecond or two, and a microsecond per prompt token.
        artifact.arrival = AffineLatency(
            constant: 1.5e-3, perToken: 1e-6,
            noise: NoiseModel(family: .logNormal, scale: 0.3, relative: true), discrepancy: 0.7)
        artifact.post = AffineLatency(
            constant: 0.5e-3, perToken: 0, noise: NoiseModel(family: .logNormal, scale: 0.3, relative: true),
            discrepancy: 0.7)
        return artifact
    }
}
