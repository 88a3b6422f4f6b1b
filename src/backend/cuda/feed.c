/* Features too large for the device: the host puts together what each patch of a batch shows (kernels/patch.h), as the
 * gather kernel would, and sends it on a stream of its own while earlier batches are computed. The kernel then
 * reads windows over so many short recordings, normalizes and mixes them, so that both ways give the same bits.
 *
 * Two batches are on their way: pinned memory and a slot on the device for each, in turn. The captured list reads a
 * third place, to which a copy on the device brings the batch whose turn it is. */
#include <stdlib.h>
#include <string.h>

#include "backend/cuda/own.h"
#include "base/round.h"
#include "kernels/patch.h"

enum { STATE = 0, FEATS = 1, UTTS = 2, NORM = 3, ORDER = 4, WINDOWS = 5 }; /* operands of a gather */
enum { ALIGN = 256 };

static const qv_op *find_gather(const cuda_exec *e, qv_list list)
{
    const qv_op_list *l = &e->base.p->lists[list];
    for (size_t i = 0; i < l->n; i++)
        if (l->ops[i].kind == QV_OP_GATHER) return &l->ops[i];
    return NULL;
}

qv_status qv_feed_mirror(qv_ctx *ctx, cuda_exec *e)
{
    static const int tables[] = {STATE, UTTS, NORM, ORDER, WINDOWS};
    qv_status status = QV_OK;
    QV_TRY(qv_alloc(ctx, &e->mirror, e->base.p->n_buffers, sizeof *e->mirror));
    for (int k = 0; k < QV_LIST_COUNT; k++) {
        const qv_op *g = find_gather(e, (qv_list)k);
        for (size_t i = 0; g && i < sizeof tables / sizeof *tables; i++) {
            int32_t id = g->in[tables[i]];
            if (id < 0 || e->mirror[id]) continue;
            QV_TRY(qv_alloc(ctx, &e->mirror[id], qv_buffer_bytes(&e->base.p->buffers[id], e->base.p->sizes), 1));
        }
    }
done:
    return status;
}

qv_status qv_feed_new(qv_ctx *ctx, cuda_exec *e, const float *frames)
{
    qv_feed *f = &e->feed;
    qv_status status = QV_OK;
    const qv_op *g = find_gather(e, QV_LIST_EVAL);
    void *pinned = NULL, *slots = NULL;
    if (!g) return QV_OK;
    const qv_buffer *x = &e->base.p->buffers[g->out[0]];
    f->batch = (size_t)x->n, f->patch = (size_t)x->h, f->mels = (size_t)x->w * (size_t)x->c;
    f->channels = x->c;
    f->utts_at = qv_round_up(f->batch * f->patch * f->mels * sizeof(float), ALIGN);
    f->windows_at = f->utts_at + qv_round_up(f->batch * sizeof(qv_utterance), ALIGN);
    f->bytes = f->windows_at + qv_round_up(f->batch * sizeof(qv_window), ALIGN);
    QV_TRY(qv_cuda_check(ctx, cudaHostAlloc(&pinned, 2 * f->bytes, cudaHostAllocDefault), "cudaHostAlloc of %zu bytes",
                         2 * f->bytes));
    f->pinned = pinned;
    QV_TRY(qv_cuda_check(ctx, cudaMalloc(&slots, 3 * f->bytes), "cudaMalloc of %zu bytes for three batches",
                         3 * f->bytes));
    f->slots = slots;
    f->at_hand = f->slots + 2 * f->bytes;
    e->base.bytes += 3 * f->bytes;
    QV_TRY(qv_cuda_check(ctx, cudaStreamCreateWithFlags(&f->stream, cudaStreamNonBlocking), "cudaStreamCreate"));
    for (int i = 0; i < 2; i++) {
        QV_TRY(qv_cuda_check(ctx, cudaEventCreateWithFlags(&f->filled[i], cudaEventDisableTiming), "cudaEventCreate"));
        QV_TRY(qv_cuda_check(ctx, cudaEventCreateWithFlags(&f->emptied[i], cudaEventDisableTiming), "cudaEventCreate"));
    }
    f->frames = frames;
done:
    return status;
}

void qv_feed_free(qv_feed *f)
{
    for (int i = 0; i < 2; i++) {
        if (f->filled[i]) cudaEventDestroy(f->filled[i]);
        if (f->emptied[i]) cudaEventDestroy(f->emptied[i]);
    }
    if (f->stream) cudaStreamDestroy(f->stream);
    if (f->slots) cudaFree(f->slots);
    if (f->pinned) cudaFreeHost(f->pinned);
    *f = (qv_feed){0};
}

void qv_feed_gather(const cuda_exec *e, qv_cuda_op *b)
{
    const qv_feed *f = &e->feed;
    b->op.a.gather = (qv_gather_attr){.windows = 1};
    b->in[FEATS].data = f->at_hand;
    b->in[UTTS].data = f->at_hand + f->utts_at;
    b->in[WINDOWS] =
        (qv_tensor){f->at_hand + f->windows_at, (int32_t)f->batch, 1, 1, (int32_t)sizeof(qv_window), QV_REAL};
}

/* Frame t of a patch as the features would be that the kernel then takes for it: a mean where it is to be zero. */
static void put_frame(const qv_feed *f, float *to, const qv_patch *p, const float *mean, int32_t t)
{
    const float *from = f->frames + qv_patch_frame(p, t) * f->mels;
    bool blank = qv_patch_blank(p, t);
    for (int32_t i = 0; i < (int32_t)f->mels; i++) {
        int32_t at = qv_patch_value(p, i, (int32_t)f->mels / f->channels, f->channels);
        to[i] = blank || at < 0 || qv_in_spans(p->mel, i / f->channels) ? mean[i] : from[at] + p->gain;
    }
}

/* Patch n: as a recording of its own, whose only window is all of it. */
static void put_patch(const qv_feed *f, char *to, size_t n, const qv_patch *p, const float *norm)
{
    float *frames = (float *)(void *)to + n * f->patch * f->mels;
    qv_utterance *u = (qv_utterance *)(void *)(to + f->utts_at) + n;
    qv_window *window = (qv_window *)(void *)(to + f->windows_at) + n;
    *window = (qv_window){p->frames ? (int32_t)n : -1, 0};
    *u = (qv_utterance){.label = -1};
    if (p->frames == 0) return;
    *u = (qv_utterance){.first_frame = (int64_t)(n * f->patch),
                        .frames = (int32_t)f->patch,
                        .label = p->label,
                        .norm = p->norm};
    const float *mean = norm + (size_t)p->norm * 2 * f->mels;
    for (size_t t = 0; t < f->patch; t++) put_frame(f, frames + t * f->mels, p, mean, (int32_t)t);
}

static void put_batch(const cuda_exec *e, qv_list list, char *to)
{
    const qv_feed *f = &e->feed;
    const qv_op *g = find_gather(e, list);
    const qv_utterance *utts = e->mirror[g->in[UTTS]];
    const qv_step_state *s = e->base.o.loop.rate ? &e->steps.next : e->mirror[g->in[STATE]];
    for (size_t n = 0; n < f->batch; n++) {
        qv_patch p = list != QV_LIST_TRAIN
                         ? qv_patch_given(utts, ((const qv_window *)e->mirror[g->in[WINDOWS]])[n])
                         : qv_patch_drawn(s, utts, e->mirror[g->in[ORDER]], &g->a.gather, s->first + (uint32_t)n,
                                          (int32_t)f->patch, (int32_t)f->mels / f->channels);
        put_patch(f, to, n, &p, e->mirror[g->in[NORM]]);
    }
}

qv_status qv_feed_next(qv_ctx *ctx, cuda_exec *e, qv_list list)
{
    qv_feed *f = &e->feed;
    qv_status status = QV_OK;
    size_t side = f->turn % 2;
    bool used = f->turn >= 2;
    if (!f->frames) return QV_OK;
    char *host = f->pinned + side * f->bytes, *slot = f->slots + side * f->bytes;
    if (used) QV_TRY(qv_cuda_check(ctx, cudaEventSynchronize(f->filled[side]), "cudaEventSynchronize before a batch"));
    put_batch(e, list, host);
    if (used) QV_TRY(qv_cuda_check(ctx, cudaStreamWaitEvent(f->stream, f->emptied[side], 0), "cudaStreamWaitEvent"));
    QV_TRY(qv_cuda_check(ctx, cudaMemcpyAsync(slot, host, f->bytes, cudaMemcpyHostToDevice, f->stream),
                         "cudaMemcpyAsync of a batch of %zu bytes", f->bytes));
    QV_TRY(qv_cuda_check(ctx, cudaEventRecord(f->filled[side], f->stream), "cudaEventRecord after a batch"));
    QV_TRY(qv_cuda_check(ctx, cudaStreamWaitEvent(e->stream, f->filled[side], 0), "cudaStreamWaitEvent"));
    QV_TRY(qv_cuda_check(ctx, cudaMemcpyAsync(f->at_hand, slot, f->bytes, cudaMemcpyDeviceToDevice, e->stream),
                         "cudaMemcpyAsync of a batch of %zu bytes on the device", f->bytes));
    QV_TRY(qv_cuda_check(ctx, cudaEventRecord(f->emptied[side], e->stream), "cudaEventRecord after a batch"));
    f->turn++;
done:
    return status;
}
