/* Host memory to and from the device. A write goes through pinned memory and does not wait for the stream; a read
 * does. */
#include <string.h>

#include "backend/cuda/own.h"
#include "base/round.h"

qv_status qv_stage_new(qv_ctx *ctx, qv_stage *s)
{
    qv_status status = QV_OK;
    void *p = NULL;
    size_t bytes = 2 * QV_STAGE_HALF + QV_STAGE_BACK;
    QV_TRY(qv_cuda_check(ctx, cudaHostAlloc(&p, bytes, cudaHostAllocDefault), "cudaHostAlloc of %zu bytes", bytes));
    s->memory = p;
    s->back = s->memory + 2 * QV_STAGE_HALF;
    for (int i = 0; i < 2; i++)
        QV_TRY(qv_cuda_check(ctx, cudaEventCreateWithFlags(&s->done[i], cudaEventDisableTiming), "cudaEventCreate"));
done:
    return status;
}

void qv_stage_free(qv_stage *s)
{
    for (int i = 0; i < 2; i++)
        if (s->done[i]) cudaEventDestroy(s->done[i]);
    if (s->memory) cudaFreeHost(s->memory);
    *s = (qv_stage){0};
}

/* To the other half, which what was sent from it must have left. */
static qv_status turn(qv_ctx *ctx, qv_stage *s, cudaStream_t stream)
{
    qv_status status = QV_OK;
    QV_TRY(qv_cuda_check(ctx, cudaEventRecord(s->done[s->side], stream), "cudaEventRecord after a copy"));
    s->under_way[s->side] = true;
    s->side ^= 1;
    s->used = 0;
    if (s->under_way[s->side])
        QV_TRY(qv_cuda_check(ctx, cudaEventSynchronize(s->done[s->side]), "cudaEventSynchronize before a copy"));
    s->under_way[s->side] = false;
done:
    return status;
}

qv_status qv_stage_room(qv_ctx *ctx, qv_stage *s, cudaStream_t stream, size_t *bytes, void **room)
{
    enum { LEAST = 4096, ALIGN = 16 };
    size_t left = QV_STAGE_HALF - s->used;
    if (left < *bytes && left < LEAST) {
        qv_status status = turn(ctx, s, stream);
        if (status != QV_OK) return status;
        left = QV_STAGE_HALF;
    }
    if (*bytes > left) *bytes = left;
    *room = s->memory + (size_t)s->side * QV_STAGE_HALF + s->used;
    s->used += qv_round_up(*bytes, ALIGN);
    return QV_OK;
}

qv_status qv_stage_send(qv_ctx *ctx, cudaStream_t stream, void *to, const void *room, size_t bytes)
{
    return qv_cuda_check(ctx, cudaMemcpyAsync(to, room, bytes, cudaMemcpyHostToDevice, stream),
                         "cudaMemcpyAsync of %zu bytes to the device", bytes);
}

qv_status qv_stage_write(qv_ctx *ctx, qv_stage *s, cudaStream_t stream, void *to, const void *from, size_t bytes)
{
    qv_status status = QV_OK;
    for (size_t at = 0; at < bytes;) {
        size_t n = bytes - at;
        void *room;
        QV_TRY(qv_stage_room(ctx, s, stream, &n, &room));
        memcpy(room, (const char *)from + at, n);
        QV_TRY(qv_stage_send(ctx, stream, (char *)to + at, room, n));
        at += n;
    }
done:
    return status;
}

qv_status qv_stage_read(qv_ctx *ctx, qv_stage *s, cudaStream_t stream, const void *from, size_t bytes)
{
    qv_status status = QV_OK;
    QV_TRY(qv_cuda_check(ctx, cudaMemcpyAsync(s->back, from, bytes, cudaMemcpyDeviceToHost, stream),
                         "cudaMemcpyAsync of %zu bytes from the device", bytes));
    QV_TRY(qv_cuda_check(ctx, cudaStreamSynchronize(stream), "cudaStreamSynchronize after a copy of %zu bytes", bytes));
done:
    return status;
}
