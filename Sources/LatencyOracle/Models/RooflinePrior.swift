/// The step-time model that needs no training: `physics` features with efficiency factors of current GPUs.
///
/// The factors are medians of relative-loss non-negative fits to sums of measured kernel times on A100, H100,
/// H200 and B200 (aiconfigurator-core 0.12.0, Apache-2.0), rounded. A factor of 1.18 on the weights means that
/// 85 % of the data-sheet bandwidth is reached. Every factor is non-negative, so more work never takes less time.
enum RooflinePrior {
    static let coefficients: [Coefficient] = [
        // Host time between steps that the GPU waits for, beyond kernels: 0 to 1.2 ms on measured H100 steps.
        Coefficient(feature: "constant", value: 0.4e-3),
        Coefficient(feature: "running_requests", value: 2e-6),
        // Kernels that cost the same at any batch: norms, rotary embedding, small matrices' tails.
        Coefficient(feature: "layer_launches", value: 44e-6),
        Coefficient(feature: "expert_layer_launches", value: 20e-6),
        Coefficient(feature: "mixed_step_layers", value: 27e-6),
        Coefficient(feature: "decode_request_layers", value: 0.06e-6),
        Coefficient(feature: "dense_weight_read", value: 1.18),
        Coefficient(feature: "expert_weight_read", value: 1.08),
        // Below a few hundred tokens matrix work hides behind the weights; beyond, 80 % of peak is reached.
        Coefficient(feature: "matrix_flops", value: 0.2),
        Coefficient(feature: "matrix_flops_above_128", value: 0.6),
        Coefficient(feature: "matrix_flops_above_512", value: 0.4),
        Coefficient(feature: "expert_flops", value: 1.15),
        Coefficient(feature: "expert_load_spread", value: 27),
        Coefficient(feature: "output_projection", value: 0.3),
        Coefficient(feature: "prefill_attention", value: 1.57),
        Coefficient(feature: "decode_kv_read", value: 1.12),
        Coefficient(feature: "decode_attention", value: 1),
        Coefficient(feature: "residual_traffic", value: 20),
        Coefficient(feature: "activation_traffic", value: 8),
        Coefficient(feature: "all_reduce_volume", value: 1.3),
        Coefficient(feature: "all_reduce_latency", value: 0.4),
        Coefficient(feature: "all_reduce_hops", value: 0.02),
        Coefficient(feature: "expert_all_to_all", value: 1.3),
        Coefficient(feature: "offloaded_weight_read", value: 1.2),
    ]

    static var model: StepModel {
        var model = StepModel(
            kind: .roofline, featureSet: FeatureSet.physics.name, coefficients: coefficients,
            noise: NoiseModel(family: .studentT, scale: 0.03, relative: true, degreesOfFreedom: 4))
        model.discrepancy = Discrepancy(scaleStd: 0.15, offsetStd: 1e-3)
        return model
    }

    static var artifact: OracleArtifact {
        var artifact = OracleArtifact(
            name: "roofline", summary: "efficiency factors of current GPUs on hardware facts; not trained",
            step: model)
        // API server and tokenizer: a millisecond or two, and a microsecond per prompt token.
        artifact.arrival = AffineLatency(
            constant: 1.5e-3, perToken: 1e-6,
            noise: NoiseModel(family: .logNormal, scale: 0.3, relative: true))
        artifact.post = AffineLatency(
            constant: 0.5e-3, perToken: 0, noise: NoiseModel(family: .logNormal, scale: 0.3, relative: true))
        return artifact
    }
}
