#include <cblas.h>
#include <stddef.h>

// LAPACK as OpenBLAS itself exports it: column-major, with the lengths of strings at the end. OpenBLAS's own headers
// declare these by way of LAPACKE, another library.

/// Cholesky factorisation of a symmetric positive definite matrix.
void dpotrf_(
    const char *uplo, const int *n, double *a, const int *lda, int *info, size_t uplo_length);

/// Solves a system by a Cholesky factorisation.
void dpotrs_(
    const char *uplo, const int *n, const int *nrhs, const double *a, const int *lda, double *b, const int *ldb,
    int *info, size_t uplo_length);

/// Inverse by a Cholesky factorisation.
void dpotri_(
    const char *uplo, const int *n, double *a, const int *lda, int *info, size_t uplo_length);

/// Eigenvalues and eigenvectors of a symmetric matrix.
void dsyev_(
    const char *jobz, const char *uplo, const int *n, double *a, const int *lda, double *w, double *work,
    const int *lwork, int *info, size_t jobz_length, size_t uplo_length);
