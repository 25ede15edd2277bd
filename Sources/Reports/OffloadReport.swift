import Simulation

/// The CPU tier of the KV cache for the terminal.
func offloadLines(_ offload: OffloadMetrics) -> [(label: String, value: String)] {
    let transfers = offload.transfers
    func gigabytes(_ bytes: Double) -> String { "\(significant(bytes / 1e9)) GB" }
    var lines: [(label: String, value: String)] = []
    let queries = Double(max(1, offload.promptTokens))
    lines.append(
        (
            "Prompt tokens:",
            "\(percentage(Double(offload.gpuHitTokens) / queries)) found in GPU memory, "
                + "\(percentage(Double(offload.cpuHitTokens) / queries)) loaded from CPU memory, "
                + "\(percentage(Double(offload.missedTokens) / queries)) computed"
        ))
    lines.append(
        (
            "KV offload:",
            "\(gigabytes(transfers.bytesToDevice)) loaded in \(grouped(transfers.loads)) loads, "
                + "\(gigabytes(transfers.bytesToHost)) stored in \(grouped(transfers.stores)) stores, per rank; "
                + "at most \(grouped(transfers.peakResidentChunks)) of \(grouped(offload.cpuChunks)) chunks used"
        ))
    lines.append(
        (
            "Host link:",
            "\(percentage(offload.linkUtilizationToDevice)) busy to the GPU, "
                + "\(percentage(offload.linkUtilizationToHost)) to the host; a load took "
                + "\(significant(offload.meanLoadTime)) ms on average, "
                + "\(significant(transfers.longestLoad.milliseconds)) ms at most"
        ))
    if transfers.evictedChunks > 0 || transfers.refusedStores > 0 || transfers.flushes > 0 {
        lines.append(
            (
                "",
                "\(grouped(transfers.evictedChunks)) chunks evicted, \(grouped(transfers.refusedStores)) stores "
                    + "refused for want of room; \(grouped(transfers.flushes)) steps waited "
                    + "\(significant(transfers.flushTime.milliseconds)) ms for stores"
            ))
    }
    return lines
}

/// The CPU tier of the KV cache for the result file; bytes are those of one rank.
func offloadJSON(_ offload: OffloadMetrics) -> JSONValue {
    let transfers = offload.transfers
    return .object([
        ("cpu_bytes", .number(offload.cpuBytes)), ("cpu_chunks", .integer(offload.cpuChunks)),
        ("blocks_per_chunk", .integer(offload.blocksPerChunk)),
        ("prompt_tokens", .integer(offload.promptTokens)),
        ("gpu_hit_tokens", .integer(offload.gpuHitTokens)),
        ("cpu_hit_tokens", .integer(offload.cpuHitTokens)),
        ("missed_tokens", .integer(offload.missedTokens)), ("loads", .integer(transfers.loads)),
        ("stores", .integer(transfers.stores)), ("bytes_loaded", .number(transfers.bytesToDevice)),
        ("bytes_stored", .number(transfers.bytesToHost)),
        ("link_utilization_to_gpu", .number(offload.linkUtilizationToDevice)),
        ("link_utilization_to_host", .number(offload.linkUtilizationToHost)),
        ("mean_load_time_ms", .number(offload.meanLoadTime)),
        ("total_load_time_ms", .number(transfers.loadTime.milliseconds)),
        ("max_load_time_ms", .number(transfers.longestLoad.milliseconds)),
        ("flushes", .integer(transfers.flushes)),
        ("flush_time_ms", .number(transfers.flushTime.milliseconds)),
        ("evicted_chunks", .integer(transfers.evictedChunks)),
        ("refused_stores", .integer(transfers.refusedStores)),
        ("peak_resident_chunks", .integer(transfers.peakResidentChunks)),
    ])
}
