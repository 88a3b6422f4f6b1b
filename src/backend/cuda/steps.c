/* Training steps on their way. The device moves from step to step by itself (kernels/advance.cu); the host launches
 * up to QV_RING of them ahead, puts their learning rates there in blocks, and fetches their losses QV_SPAN at a time,
 * each span with an event of its own, so that it waits only when it is a ring ahead. */

#include "backend/cuda/own.h"

qv_status qv_steps_new(qv_ctx *ctx, cuda_exec *e)
{
    qv_steps *s = &e->steps;
    qv_status status = QV_OK;
    size_t bytes = QV_RING * 2 * sizeof(float);
    void *p = NULL;
    QV_TRY(qv_cuda_check(ctx, cudaHostAlloc(&p, bytes, cudaHostAllocDefault), "cudaHostAlloc of %zu bytes", bytes));
    s->losses = p;
    for (int i = 0; i < QV_RING / QV_SPAN; i++)
        QV_TRY(qv_cuda_check(ctx, cudaEventCreateWithFlags(&s->fetched[i], cudaEventDisableTiming), "cudaEventCreate"));
done:
    return status;
}

void qv_steps_free(qv_steps *s)
{
    for (int i = 0; i < QV_RING / QV_SPAN; i++)
        if (s->fetched[i]) cudaEventDestroy(s->fetched[i]);
    if (s->losses) cudaFreeHost(s->losses);
    *s = (qv_steps){0};
}

/* Rates of [first, first + n), within one round of the table. */
static qv_status put_rates(qv_ctx *ctx, cuda_exec *e, uint64_t first, size_t n)
{
    const qv_loop *loop = &e->base.o.loop;
    size_t bytes = n * sizeof(float);
    void *room;
    qv_status status = qv_stage_room(ctx, &e->stage, e->stream, &bytes, &room);
    if (status != QV_OK) return status;
    n = bytes / sizeof(float);
    for (size_t i = 0; i < n; i++) ((float *)room)[i] = loop->rate(loop->user, first + i);
    e->steps.rates_end = first + n;
    return qv_stage_send(ctx, e->stream, e->rates + first % QV_RATES, room, bytes);
}

/* The step's end reads the rate of the next: blocks go to their place in the table before it is reached, after the
 * steps that still read what stood there. */
static qv_status have_rates(qv_ctx *ctx, cuda_exec *e, uint64_t step)
{
    qv_steps *s = &e->steps;
    while (s->rates_end <= step + 1) {
        size_t left = QV_RATES - (size_t)(s->rates_end % QV_RATES), n = QV_RATES / 2;
        qv_status status = put_rates(ctx, e, s->rates_end, n < left ? n : left);
        if (status != QV_OK) return status;
    }
    return QV_OK;
}

static bool same_but_rate(const qv_step_state *a, const qv_step_state *b)
{
    return a->key[0] == b->key[0] && a->key[1] == b->key[1] && a->step == b->step && a->set_size == b->set_size &&
           a->batch == b->batch && a->first == b->first;
}

/* Tells the device where it stands, unless it knows. */
static qv_status set_state(qv_ctx *ctx, cuda_exec *e, const qv_step_state *state)
{
    const qv_loop *loop = &e->base.o.loop;
    qv_steps *s = &e->steps;
    if (s->known && same_but_rate(&s->next, state)) return QV_OK;
    if (s->collected != s->next.step && s->next.step != state->step)
        return qv_fail(ctx, QV_ERR_INTERNAL, "step %llu does not follow step %llu", (unsigned long long)state->step,
                       (unsigned long long)s->next.step);
    if (s->next.step != state->step || s->rates_end == 0) {
        s->closed = s->ready = s->collected = state->step;
        s->rates_end = state->step + 1;
    }
    s->next = *state;
    s->next.lr = loop->rate(loop->user, state->step);
    s->known = true;
    return qv_stage_write(ctx, &e->stage, e->stream, qv_cuda_buffer(e, loop->state), &s->next, sizeof s->next);
}

/* Fetches the losses from s->closed on, up to the end of their span or of what was submitted. */
static qv_status close_span(qv_ctx *ctx, cuda_exec *e)
{
    qv_steps *s = &e->steps;
    qv_status status = QV_OK;
    uint64_t end = (s->closed / QV_SPAN + 1) * QV_SPAN;
    if (end > s->next.step) end = s->next.step;
    size_t at = s->closed % QV_RING * 2, bytes = (size_t)(end - s->closed) * 2 * sizeof(float);
    QV_TRY(qv_cuda_check(ctx, cudaMemcpyAsync(s->losses + at, e->ring + at, bytes, cudaMemcpyDeviceToHost, e->stream),
                         "cudaMemcpyAsync of %zu bytes of losses", bytes));
    QV_TRY(qv_cuda_check(ctx, cudaEventRecord(s->fetched[s->closed / QV_SPAN % (QV_RING / QV_SPAN)], e->stream),
                         "cudaEventRecord after step %llu", (unsigned long long)end - 1));
    s->closed = end;
done:
    return status;
}

qv_status qv_cuda_submit(qv_ctx *ctx, qv_exec *base, const qv_step_state *state)
{
    cuda_exec *e = (cuda_exec *)base;
    qv_steps *s = &e->steps;
    qv_status status = QV_OK;
    QV_TRY(qv_cuda_use(ctx, e));
    if (e->failed != QV_OK) return qv_exec_check(ctx, base);
    QV_TRY(set_state(ctx, e, state));
    if (state->step - s->collected >= QV_RING) return qv_fail(ctx, QV_ERR_INTERNAL, "too many steps on their way");
    QV_TRY(have_rates(ctx, e, state->step));
    QV_TRY(qv_cuda_launch(ctx, e, QV_LIST_TRAIN));
    s->next.step++;
    if (s->next.step % QV_SPAN == 0) QV_TRY(close_span(ctx, e));
done:
    return status;
}

qv_status qv_cuda_collect(qv_ctx *ctx, qv_exec *base, double sums[2])
{
    cuda_exec *e = (cuda_exec *)base;
    qv_steps *s = &e->steps;
    qv_status status = QV_OK;
    QV_TRY(qv_cuda_use(ctx, e));
    if (s->collected == s->next.step) return qv_fail(ctx, QV_ERR_INTERNAL, "no step is on its way");
    if (s->collected == s->ready) {
        if (s->closed == s->ready) QV_TRY(close_span(ctx, e));
        uint64_t span = s->ready / QV_SPAN, end = (span + 1) * QV_SPAN;
        QV_TRY(qv_cuda_check(ctx, cudaEventSynchronize(s->fetched[span % (QV_RING / QV_SPAN)]),
                             "cudaEventSynchronize after step %llu", (unsigned long long)s->ready));
        s->ready = s->closed < end ? s->closed : end;
    }
    const float *loss = s->losses + s->collected % QV_RING * 2;
    sums[0] = (double)loss[0];
    sums[1] = (double)loss[1];
    s->collected++;
done:
    return status;
}
