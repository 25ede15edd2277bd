/// What vLLM's command line knows: every flag's arity, and what it means for a forecast.
struct EngineFlag: Sendable {
    /// Values after the flag.
    enum Arity: Sendable, Equatable {
        /// A switch: `--name` or `--no-name`.
        case none
        /// One value.
        case one
        /// One or more, up to the next flag.
        case many
    }
    /// What it means for a forecast.
    enum Role: Sendable, Equatable {
        /// It is part of `EngineConfiguration`.
        case modelled
        /// It concerns serving, loading or logging only.
        case withoutEffect
        /// It changes behaviour in a way that isn't modelled, unless its value is one of these.
        case refused(unless: [String])
    }

    /// vLLM's name with underscores.
    let name: String
    let arity: Arity
    let role: Role

    /// The flag of a name with dashes or underscores; nil when vLLM has none such.
    static func named(_ name: String) -> EngineFlag? { table[name] }

    /// The canonical name of an abbreviation such as `tp`.
    static let abbreviations: [String: String] = [
        "tp": "tensor_parallel_size", "dp": "data_parallel_size", "pp": "pipeline_parallel_size",
        "ep": "enable_expert_parallel", "dcp": "decode_context_parallel_size",
        "pcp": "prefill_context_parallel_size",
        "q": "quantization", "sc": "speculative_config", "ac": "attention_config", "cc": "compilation_config",
        "n": "nnodes", "r": "node_rank", "asc": "api_server_count", "dpn": "data_parallel_rank",
        "dpl": "data_parallel_size_local", "dpr": "data_parallel_start_rank", "dpa": "data_parallel_address",
        "dpp": "data_parallel_rpc_port", "dpb": "data_parallel_backend", "dph": "data_parallel_hybrid_lb",
        "dpe": "data_parallel_external_lb", "O": "optimization_level", "h": "help",
    ]

    /// Names for "did you mean" messages, as written on a command line.
    static let knownNames: [String] = table.keys.sorted().map {
        "--" + String($0.map { $0 == "_" ? "-" : $0 })
    }

    private static let table: [String: EngineFlag] = {
        var table: [String: EngineFlag] = [:]
        func add(_ names: String, _ arity: Arity, _ role: Role) {
            for name in names.split(whereSeparator: \.isWhitespace) {
                table[String(name)] = EngineFlag(name: String(name), arity: arity, role: role)
            }
        }
        add(
            """
            model hf_overrides dtype quantization kv_cache_dtype max_model_len tensor_parallel_size data_parallel_size
            max_num_batched_tokens max_num_seqs max_num_active_seqs max_num_scheduled_tokens gpu_memory_utilization
            num_gpu_blocks_override kv_cache_memory_bytes block_size scheduling_policy long_prefill_token_threshold
            watermark max_cudagraph_capture_size performance_mode kv_offloading_size kv_transfer_config cpu_offload_gb
            seed compilation_config optimization_level
            """, .one, .modelled)
        add(
            """
            enable_expert_parallel enable_prefix_caching enable_chunked_prefill async_scheduling
            long_prefill_token_threshold_adaptive scheduler_reserve_full_isl enforce_eager
            disable_hybrid_kv_cache_manager disable_sliding_window
            """, .none, .modelled)
        add("cudagraph_capture_sizes cuda_graph_sizes", .many, .modelled)
        // Refused unless neutral.
        add(
            """
            pipeline_parallel_size decode_context_parallel_size prefill_context_parallel_size max_num_partial_prefills
            max_long_partial_prefills stream_interval prefill_schedule_interval
            """, .one, .refused(unless: ["1"]))
        add("num_lookahead_slots expert_parallel_redundant_experts", .one, .refused(unless: ["0"]))
        add("mamba_cache_dtype mamba_ssm_cache_dtype", .one, .refused(unless: ["auto"]))
        add("mamba_cache_mode", .one, .refused(unless: ["none"]))
        add("kv_offloading_backend", .one, .refused(unless: ["native"]))
        add("runner", .one, .refused(unless: ["auto", "generate"]))
        add("task", .one, .refused(unless: ["auto", "generate"]))
        add("convert", .one, .refused(unless: ["auto", "none"]))
        add("device", .one, .refused(unless: ["auto", "cuda"]))
        add(
            "speculative_config speculative_model num_speculative_tokens spec_method spec_model spec_tokens "
                + "ec_transfer_config offload_backend eplb_config scheduler_cls pooler_config override_pooler_config",
            .one, .refused(unless: []))
        add(
            "enable_lora enable_dbo enable_eplb enable_elastic_ep enable_prompt_embeds enable_lora_bias "
                + "enable_ep_weight_filter enable_microbatching ubatch", .none, .refused(unless: []))
        add("lora_modules prompt_adapters", .many, .refused(unless: []))
        // Serving, loading and logging.
        add(
            """
            host port uds uvicorn_log_level root_path ssl_keyfile ssl_certfile ssl_ca_certs ssl_cert_reqs api_key
            chat_template chat_template_content_format tool_call_parser reasoning_parser response_role tool_parser_plugin
            tool_server download_dir load_format tokenizer tokenizer_mode tokenizer_revision revision code_revision
            config_format hf_token hf_config_path allowed_local_media_path allowed_media_domains max_logprobs logprobs_mode
            log_config_file max_log_len otlp_traces_endpoint collect_detailed_traces show_hidden_metrics_for_version
            distributed_executor_backend distributed_timeout_seconds worker_cls worker_extension_cls
            max_parallel_loading_workers master_addr master_port nnodes node_rank ray_workers_use_nsight
            data_parallel_rank data_parallel_start_rank data_parallel_size_local data_parallel_address
            data_parallel_rpc_port data_parallel_backend api_server_count model_loader_extra_config
            model_impl generation_config override_generation_config guided_decoding_backend structured_outputs_config
            reasoning_config limit_mm_per_prompt mm_processor_kwargs mm_processor_cache_gb mm_processor_cache_type
            mm_shm_cache_max_object_size_mb mm_encoder_tp_mode mm_encoder_attn_backend video_pruning_rate
            media_io_kwargs prefix_caching_hash_algo swap_space attention_backend attention_config all2all_backend
            moe_backend linear_backend kernel_config additional_config observability_config profiler_config
            kv_events_config lora_dtype max_loras max_lora_rank max_cpu_loras h11_max_incomplete_event_size
            h11_max_header_count ssl_ciphers kv_cache_metrics_sample mamba_block_size
            max_seq_len_to_capture rope_theta default_chat_template_kwargs
            logits_processor_pattern weight_transfer_config numa_bind_nodes cpu_distributed_timeout_seconds
            uvicorn_access_log_path otlp_traces_headers io_processor_plugin renderer_num_workers profile_dir
            tokens_only_port timeout_keep_alive max_parallel_requests hash_block_size cp_kv_cache_interleave_size
            dcp_comm_backend guided_decoding_disable_fallback kv_connector_module_path config model_tag
            """, .one, .withoutEffect)
        add(
            """
            trust_remote_code disable_log_requests enable_log_requests disable_log_stats enable_auto_tool_choice
            enable_reasoning disable_uvicorn_access_log disable_fastapi_docs enable_prompt_tokens_details
            enable_server_load_tracking enable_request_id_headers return_tokens_as_token_ids allow_credentials
            skip_tokenizer_init disable_custom_all_reduce enable_sleep_mode use_v2_block_manager enable_force_include_usage
            enable_log_outputs enable_log_deltas log_error_stack ssl_refresh headless data_parallel_hybrid_lb
            data_parallel_external_lb enable_mm_embeds skip_mm_profiling interleave_mm_strings language_model_only
            disable_mm_preprocessor_cache enable_multimodal_encoder_data_parallel disable_cascade_attn
            disable_nccl_for_dp_synchronization disable_frontend_multiprocessing use_tqdm_on_load kv_cache_metrics
            enable_mfu_metrics cudagraph_metrics enable_layerwise_nvtx_tracing enable_logging_iteration_details
            calculate_kv_scales enable_return_routed_experts fail_on_environ_validation aggregate_engine_logging
            kv_sharing_fast_prefill trust_request_chat_template exclude_tools_when_tool_choice_none
            enable_tokenizer_info_endpoint allow_deprecated_quantization tokens_only enable_offline_docs help
            disable_access_log_for_endpoints numa_bind enable_flashinfer_autotune
            """, .none, .withoutEffect)
        add(
            "served_model_name allowed_origins allowed_methods allowed_headers middleware logits_processors",
            .many, .withoutEffect)
        return table
    }()
}
