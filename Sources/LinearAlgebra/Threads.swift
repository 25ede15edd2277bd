import COpenBLAS

/// Keeps OpenBLAS on one thread: parallelism is over runs, folds and quantiles, and results must not depend on
/// how many threads a sum was split into.
enum Threads {
    static let single: Void = openblas_set_num_threads(1)
}
