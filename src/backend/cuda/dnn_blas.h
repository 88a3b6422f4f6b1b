/* Row-major matrix products through cuBLAS, which counts columns first. */
#ifndef QV_BACKEND_CUDA_DNN_BLAS_H
#define QV_BACKEND_CUDA_DNN_BLAS_H

#include <cublas_v2.h>

#include "backend/cuda/dnn_key.h"

/* A product as BLAS has it: C (m,n, leading dimension ldc) = op(A) (m,k) op(B) (k,n), all column-major. */
typedef struct qv_gemm {
    cublasOperation_t op_a, op_b;
    int m, n, k, lda, ldb, ldc;
    cudaDataType_t type;         /* of A, B and C */
    cublasComputeType_t compute; /* sums in fp32 */
    float beta;                  /* 1: accumulate */
} qv_gemm;

/* What row-major out = op(a) op(b) is in BLAS: a row-major matrix is its transpose column-major, and
 * out^T = op(b)^T op(a)^T. So BLAS's A is our b, its B our a, its C our out. */
qv_gemm qv_gemm_of(const qv_dnn_key *key);

/* Bytes of workspace that NVIDIA recommends for a compute capability (cuBLAS documentation, cublasSetWorkspace). */
size_t qv_blas_workspace(int capability_major);

/* The least with which no routine fails for want of workspace (same place). */
enum { QV_BLAS_LEAST_WORKSPACE = 16384 };

/* Sets what holds for all products of a handle. */
qv_status qv_blas_init(qv_ctx *ctx, cublasHandle_t handle);

/* Enqueues a product. The workspace is given with each run, as its own for stream and handle: with it, and on one
 * kind of device, cuBLAS promises the same bits for the same call. */
qv_status qv_blas_run(qv_ctx *ctx, cublasHandle_t handle, const qv_dnn_key *key, void *stream, const void *a,
                      const void *b, void *out, void *workspace, size_t bytes);

/* The message of a call that failed. QV_ERR_MEMORY without memory, else QV_ERR_DEVICE. */
qv_status qv_cublas_failed(qv_ctx *ctx, cublasStatus_t s, const char *call, const char *what);

#endif
