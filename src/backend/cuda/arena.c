/* All memory of an exec on the device: one allocation, planned from the lives of the buffers on the schedule that
 * runs, which is one stream in the order of the list. With keep_buffers each buffer that ops write has an allocation
 * of its own, so that a checker of addresses sees what reaches past its end. */
#include <stdio.h>
#include <stdlib.h>

#include "backend/cuda/own.h"
#include "base/round.h"

enum { ALIGN = 256 };

/* Where the parts begin; a part that is not needed takes no room. */
typedef struct layout {
    size_t region[QV_ROLE_COUNT], scratch, narrow_params, narrow_grads, ones, ring, rates, bytes;
} layout;

static size_t place(size_t *at, size_t bytes)
{
    size_t here = *at;
    *at += qv_round_up(bytes, ALIGN);
    return here;
}

static bool apart(const cuda_exec *e, qv_role role)
{
    return e->base.o.keep_buffers && (role == QV_ROLE_WORK || role == QV_ROLE_IO);
}

/* The largest first extent of a buffer: rows of a batch. */
static size_t batch_of(const qv_program *p)
{
    int32_t n = 1;
    for (size_t i = 0; i < p->n_buffers; i++)
        if (p->buffers[i].role == QV_ROLE_WORK && p->buffers[i].n > n) n = p->buffers[i].n;
    return (size_t)n;
}

static layout plan_layout(const cuda_exec *e)
{
    const qv_program *p = e->base.p;
    layout l = {0};
    bool narrow = e->base.o.precision == QV_PRECISION_BF16;
    for (int r = 0; r < QV_ROLE_COUNT; r++)
        l.region[r] = place(&l.bytes, r == QV_ROLE_EXTERN || apart(e, (qv_role)r) ? 0 : p->region_bytes[r]);
    l.scratch = place(&l.bytes, e->scratch_bytes);
    l.narrow_params = place(&l.bytes, narrow ? p->region_bytes[QV_ROLE_PARAM] / 2 : 0);
    l.narrow_grads = place(&l.bytes, narrow ? p->region_bytes[QV_ROLE_GRAD] / 2 : 0);
    l.ones = place(&l.bytes, batch_of(p) * sizeof(float));
    l.ring = place(&l.bytes, QV_RING * 2 * sizeof(float));
    l.rates = place(&l.bytes, QV_RATES * sizeof(float));
    return l;
}

/* What was asked for, what there is, who else has some, and the batch that would go into it: all but parameters grows
 * with it. */
static qv_status no_memory(qv_ctx *ctx, const cuda_exec *e, const layout *l)
{
    const qv_program *p = e->base.p;
    size_t left = 0, total = 0, batch = batch_of(p);
    cudaMemGetInfo(&left, &total);
    size_t grows = p->region_bytes[QV_ROLE_WORK] + p->region_bytes[QV_ROLE_IO] + e->scratch_bytes;
    double room = 0.95 * (double)left - (double)(l->bytes - grows);
    long most = room > 0 ? (long)(room / (double)grows * (double)batch) : 0;
    char advice[96] = "even a batch of 1 would not fit", beside[128] = "";
    if (most > 0) snprintf(advice, sizeof advice, "train.batch = %ld would fit", most);
    const size_t features = qv_resident_bytes(e->gpu);
    if (features)
        snprintf(beside, sizeof beside, "; trainings beside it hold features of %.1f MiB: train fewer at a time (-j)",
                 (double)features / (1 << 20));
    return qv_fail(
        ctx, QV_ERR_MEMORY,
        "a batch of %zu needs %zu MiB on the GPU (activations %zu, parameters and optimizer %zu, convolutions %zu), "
        "of which %zu MiB are free: %s%s",
        batch, l->bytes >> 20, (p->region_bytes[QV_ROLE_WORK] + p->region_bytes[QV_ROLE_IO]) >> 20,
        3 * p->region_bytes[QV_ROLE_PARAM] >> 20, e->scratch_bytes >> 20, left >> 20, advice, beside);
}

static qv_status allocate_apart(qv_ctx *ctx, cuda_exec *e)
{
    const qv_program *p = e->base.p;
    qv_status status = QV_OK;
    for (size_t i = 0; i < p->n_buffers; i++) {
        size_t bytes = qv_buffer_bytes(&p->buffers[i], p->sizes);
        if (!apart(e, p->buffers[i].role) || bytes == 0) continue;
        QV_TRY(qv_cuda_check(ctx, cudaMalloc(&e->apart[i], bytes), "cudaMalloc of %zu bytes for %s", bytes,
                             p->buffers[i].name));
        e->base.bytes += bytes;
        if (p->buffers[i].role == QV_ROLE_IO)
            QV_TRY(qv_cuda_check(ctx, cudaMemsetAsync(e->apart[i], 0, bytes, e->stream), "cudaMemsetAsync of %zu bytes",
                                 bytes));
    }
done:
    return status;
}

static qv_status clear(qv_ctx *ctx, const cuda_exec *e, void *p, size_t bytes)
{
    if (bytes == 0) return QV_OK;
    return qv_cuda_check(ctx, cudaMemsetAsync(p, 0, bytes, e->stream), "cudaMemsetAsync of %zu bytes", bytes);
}

/* All that must start as zeros: also the padding between parameters, which the optimizer reads. */
static qv_status clear_all(qv_ctx *ctx, cuda_exec *e, const layout *l)
{
    qv_status status = QV_OK;
    for (int r = 0; r < QV_ROLE_WORK; r++) QV_TRY(clear(ctx, e, e->regions[r], l->region[r + 1] - l->region[r]));
    QV_TRY(clear(ctx, e, e->narrow_grads, l->ones - l->narrow_grads));
done:
    return status;
}

static qv_status fill_ones(qv_ctx *ctx, cuda_exec *e)
{
    qv_status status = QV_OK;
    for (size_t at = 0, n = batch_of(e->base.p); at < n;) {
        size_t bytes = (n - at) * sizeof(float);
        void *room;
        QV_TRY(qv_stage_room(ctx, &e->stage, e->stream, &bytes, &room));
        for (size_t i = 0; i < bytes / sizeof(float); i++) ((float *)room)[i] = 1;
        QV_TRY(qv_stage_send(ctx, e->stream, e->ones + at, room, bytes));
        at += bytes / sizeof(float);
    }
done:
    return status;
}

qv_status qv_cuda_allocate(qv_ctx *ctx, cuda_exec *e)
{
    qv_status status = QV_OK;
    void *arena = NULL;
    QV_TRY(qv_alloc(ctx, &e->apart, e->base.p->n_buffers, sizeof *e->apart));
    layout l = plan_layout(e);
    const cudaError_t found = cudaMalloc(&arena, l.bytes);
    if (found == cudaErrorMemoryAllocation) {
        cudaGetLastError();
        return no_memory(ctx, e, &l);
    }
    QV_TRY(qv_cuda_check(ctx, found, "cudaMalloc of %zu bytes", l.bytes));
    e->arena = arena;
    qv_gpu_count(e->gpu, 1);
    e->base.bytes = l.bytes;
    for (int r = 0; r < QV_ROLE_COUNT; r++) e->regions[r] = e->arena + l.region[r];
    e->scratch = e->arena + l.scratch;
    e->narrow_params = (uint16_t *)(void *)(e->arena + l.narrow_params);
    e->narrow_grads = (uint16_t *)(void *)(e->arena + l.narrow_grads);
    e->ones = (float *)(void *)(e->arena + l.ones);
    e->ring = (float *)(void *)(e->arena + l.ring);
    e->rates = (float *)(void *)(e->arena + l.rates);
    QV_TRY(clear_all(ctx, e, &l));
    QV_TRY(allocate_apart(ctx, e));
    QV_TRY(fill_ones(ctx, e));
done:
    return status;
}

void qv_cuda_release(cuda_exec *e)
{
    for (size_t i = 0; e->apart && i < e->base.p->n_buffers; i++)
        if (e->apart[i]) cudaFree(e->apart[i]);
    free(e->apart);
    if (!e->arena) return;
    cudaFree(e->arena);
    qv_gpu_count(e->gpu, -1);
}

/* Before there is memory: an address that is not NULL, so that ops see which operands there are. */
void *qv_cuda_buffer(const cuda_exec *e, int32_t id)
{
    const qv_buffer *b = &e->base.p->buffers[id];
    if (!e->arena) return e->bound;
    if (b->role == QV_ROLE_EXTERN) return e->bound[id];
    if (b->alias >= 0) return e->regions[b->alias];
    if (apart(e, b->role)) return e->apart[id];
    return e->regions[b->role] + b->offset;
}

qv_tensor qv_cuda_tensor(const cuda_exec *e, int32_t id)
{
    if (id < 0) return (qv_tensor){0};
    const qv_buffer *b = &e->base.p->buffers[id];
    bool narrow = b->dtype == QV_ACT && e->base.p->sizes.act == sizeof(uint16_t);
    return (qv_tensor){qv_cuda_buffer(e, id), b->n, b->h, b->w, b->c, narrow ? QV_BF16 : QV_REAL};
}
