import COpenBLAS

/// Keeps OpenBLAS on one thread: parallelism is over runs, folds and quantiles, and results must not depend on
/// how many threads a sum was split into.
enum Threads {
    private static let count: Int32 = {
        openblas_set_num_threads(1)
        return openblas_get_num_threads()
    }()

    /// Before any call into OpenBLAS; sets it once. Checked, so that the optimiser cannot drop it as unused.
    @inline(__always)
    static func ensureSingle() { precondition(count == 1) }
}
