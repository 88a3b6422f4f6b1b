#include "backend/cuda/dnn_blas.h"

qv_status qv_cublas_failed(qv_ctx *ctx, cublasStatus_t s, const char *call, const char *what)
{
    return qv_fail(ctx, s == CUBLAS_STATUS_ALLOC_FAILED ? QV_ERR_MEMORY : QV_ERR_DEVICE, "%s failed for %s: %s (%d)",
                   call, what, cublasGetStatusString(s), (int)s);
}

/* Pedantic: no TF32 and no emulation, whatever the environment asks of the library. */
static cublasComputeType_t compute_type(qv_precision precision)
{
    switch (precision) {
    case QV_PRECISION_FP32:
        return CUBLAS_COMPUTE_32F_PEDANTIC;
    case QV_PRECISION_TF32:
        return CUBLAS_COMPUTE_32F_FAST_TF32;
    case QV_PRECISION_BF16:
        break;
    }
    return CUBLAS_COMPUTE_32F;
}

qv_gemm qv_gemm_of(const qv_dnn_key *key)
{
    return (qv_gemm){
        .op_a = key->transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N,
        .op_b = key->transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N,
        .m = key->columns,
        .n = key->rows,
        .k = key->depth,
        /* A leading dimension is the length of a row as stored. */
        .lda = key->transpose_b ? key->depth : key->columns,
        .ldb = key->transpose_a ? key->rows : key->depth,
        .ldc = key->columns,
        .type = key->precision == QV_PRECISION_BF16 ? CUDA_R_16BF : CUDA_R_32F,
        .compute = compute_type((qv_precision)key->precision),
        .beta = key->accumulate ? 1.0f : 0.0f,
    };
}

size_t qv_blas_workspace(int capability_major) { return (size_t)(capability_major >= 9 ? 32 : 4) << 20; }

qv_status qv_blas_init(qv_ctx *ctx, cublasHandle_t handle)
{
    static const char what[] = "a new handle";
    cublasStatus_t s = cublasSetPointerMode(handle, CUBLAS_POINTER_MODE_HOST);
    if (s != CUBLAS_STATUS_SUCCESS) return qv_cublas_failed(ctx, s, "cublasSetPointerMode", what);
    /* Parts of a sum that is split are kept in fp32, too, not in bf16. */
    s = cublasSetMathMode(handle, CUBLAS_DEFAULT_MATH | CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION);
    if (s != CUBLAS_STATUS_SUCCESS) return qv_cublas_failed(ctx, s, "cublasSetMathMode", what);
    s = cublasSetAtomicsMode(handle, CUBLAS_ATOMICS_NOT_ALLOWED);
    return s == CUBLAS_STATUS_SUCCESS ? QV_OK : qv_cublas_failed(ctx, s, "cublasSetAtomicsMode", what);
}

qv_status qv_blas_run(qv_ctx *ctx, cublasHandle_t handle, const qv_dnn_key *key, void *stream, const void *a,
                      const void *b, void *out, void *workspace, size_t bytes)
{
    const qv_gemm g = qv_gemm_of(key);
    const float alpha = 1.0f;
    char text[QV_DNN_TEXT];
    qv_dnn_key_text(key, text);
    cublasStatus_t s = cublasSetStream(handle, stream);
    if (s != CUBLAS_STATUS_SUCCESS) return qv_cublas_failed(ctx, s, "cublasSetStream", text);
    /* After the stream, which takes a handle back to the library's own workspace. */
    s = cublasSetWorkspace(handle, workspace, bytes);
    if (s != CUBLAS_STATUS_SUCCESS) return qv_cublas_failed(ctx, s, "cublasSetWorkspace", text);
    s = cublasGemmEx(handle, g.op_a, g.op_b, g.m, g.n, g.k, &alpha, b, g.type, g.lda, a, g.type, g.ldb, &g.beta, out,
                     g.type, g.ldc, g.compute, CUBLAS_GEMM_DEFAULT);
    return s == CUBLAS_STATUS_SUCCESS ? QV_OK : qv_cublas_failed(ctx, s, "cublasGemmEx", text);
}
