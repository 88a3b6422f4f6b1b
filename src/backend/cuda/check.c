/* What the CUDA runtime says of a call. */
#include <stdarg.h>
#include <stdio.h>

#include "backend/cuda/own.h"

qv_status qv_cuda_check(qv_ctx *ctx, cudaError_t e, const char *fmt, ...)
{
    if (e == cudaSuccess) return QV_OK;
    char call[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(call, sizeof call, fmt, ap);
    va_end(ap);
    cudaGetLastError(); /* else the next launch would be blamed */
    return qv_fail(ctx, e == cudaErrorMemoryAllocation ? QV_ERR_MEMORY : QV_ERR_DEVICE, "%s: %s (%s)", call,
                   cudaGetErrorString(e), cudaGetErrorName(e));
}
