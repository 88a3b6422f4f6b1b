/* Which of several plans is the fastest on the device at hand. */
#include <cuda_runtime_api.h>

#include "backend/cuda/dnn_plan.h"

enum { REPEATS = 5 };

/* What the timing needs: operands and workspace of its own, so that no result of the program is touched. */
typedef struct bench {
    qv_ctx *ctx;
    const qv_dnn_key *key;
    cudnnHandle_t handle;
    void *operands[3], *workspace;
    cudaStream_t stream;
    cudaEvent_t start, stop;
} bench;

static qv_status check(const bench *b, cudaError_t e, const char *call)
{
    if (e == cudaSuccess) return QV_OK;
    char text[QV_DNN_TEXT];
    qv_dnn_key_text(b->key, text);
    return qv_fail(b->ctx, QV_ERR_DEVICE, "%s failed while timing %s: %s (%d)", call, text, cudaGetErrorString(e),
                   (int)e);
}

/* Filled with bytes 0x3c, 0.0115 both in fp32 and in bf16: neither zeros, which a GPU multiplies with less power and
 * so faster, nor anything that overflows. */
static qv_status scratch(const bench *b, void **out, size_t bytes)
{
    *out = NULL;
    if (bytes == 0) return QV_OK;
    cudaError_t e = cudaMalloc(out, bytes);
    if (e != cudaSuccess) {
        (void)cudaGetLastError(); /* so that no later call reports it again */
        *out = NULL;
        char text[QV_DNN_TEXT];
        qv_dnn_key_text(b->key, text);
        return qv_fail(b->ctx, QV_ERR_MEMORY,
                       "no %zu bytes of device memory to time %s (%s); turn the tuning off or take a smaller batch",
                       bytes, text, cudaGetErrorString(e));
    }
    return check(b, cudaMemsetAsync(*out, 0x3c, bytes, b->stream), "cudaMemsetAsync");
}

static qv_status prepare(bench *b, const qv_dnn_engine *engines, int n)
{
    qv_status status = QV_OK;
    size_t workspace = 0;
    for (int i = 0; i < n; i++)
        if (engines[i].workspace > workspace) workspace = engines[i].workspace;
    QV_TRY(check(b, cudaStreamCreateWithFlags(&b->stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags"));
    QV_TRY(check(b, cudaEventCreate(&b->start), "cudaEventCreate"));
    QV_TRY(check(b, cudaEventCreate(&b->stop), "cudaEventCreate"));
    for (int i = QV_DNN_A; i <= QV_DNN_OUT; i++)
        QV_TRY(scratch(b, &b->operands[i], qv_dnn_bytes(b->key, (qv_dnn_operand)i)));
    QV_TRY(scratch(b, &b->workspace, workspace));
done:
    return status;
}

/* The handle lives on and must not keep a stream that is gone. */
static void release(bench *b)
{
    if (b->stream) cudaStreamSynchronize(b->stream);
    cudnnSetStream(b->handle, NULL);
    for (int i = QV_DNN_A; i <= QV_DNN_OUT; i++) cudaFree(b->operands[i]);
    cudaFree(b->workspace);
    if (b->start) cudaEventDestroy(b->start);
    if (b->stop) cudaEventDestroy(b->stop);
    if (b->stream) cudaStreamDestroy(b->stream);
}

/* Milliseconds of the fastest of REPEATS runs, after one that loads the kernels. */
static qv_status time_engine(const bench *b, const qv_dnn_engine *e, float *best)
{
    qv_status status = QV_OK;
    const void *const operands[3] = {b->operands[0], b->operands[1], b->operands[2]};
    void *workspace = e->workspace > 0 ? b->workspace : NULL;
    for (int i = -1; i < REPEATS; i++) {
        float ms = 0;
        QV_TRY(check(b, cudaEventRecord(b->start, b->stream), "cudaEventRecord"));
        QV_TRY(qv_dnn_engine_run(b->ctx, b->handle, b->key, e, b->stream, operands, workspace));
        QV_TRY(check(b, cudaEventRecord(b->stop, b->stream), "cudaEventRecord"));
        QV_TRY(check(b, cudaEventSynchronize(b->stop), "cudaEventSynchronize"));
        QV_TRY(check(b, cudaEventElapsedTime(&ms, b->start, b->stop), "cudaEventElapsedTime"));
        if (i == 0 || (i > 0 && ms < *best)) *best = ms;
    }
done:
    return status;
}

qv_status qv_dnn_tune(qv_ctx *ctx, cudnnHandle_t handle, const qv_dnn_key *key, const qv_dnn_engine *engines, int n,
                      int *best)
{
    qv_status status = QV_OK;
    bench b = {.ctx = ctx, .key = key, .handle = handle};
    float fastest = 0;
    *best = -1;
    QV_TRY(prepare(&b, engines, n));
    for (int i = 0; i < n; i++) {
        float ms = 0;
        status = time_engine(&b, &engines[i], &ms);
        if (status != QV_OK) { /* the next one may run; after an error that stays none does */
            qv_debug(ctx, "engine %lld is left out: %s", (long long)engines[i].index, qv_ctx_message(ctx));
            continue;
        }
        qv_debug(ctx, "engine %lld, workspace %zu: %.4f ms", (long long)engines[i].index, engines[i].workspace,
                 (double)ms);
        if (*best < 0 || ms < fastest) {
            fastest = ms;
            *best = i;
        }
    }
    if (*best >= 0) status = QV_OK;
done:
    release(&b);
    return status;
}
