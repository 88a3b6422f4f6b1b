/* A list of ops on the stream, one after the other. What a step needs beside its ops: in bfloat16 the weights as
 * plans read them, made anew from the masters, and gradients back in float before the optimizer; at the end the step
 * moves on by itself. */
#include <stdio.h>
#include <stdlib.h>

#include "backend/cuda/own.h"
#include "kernels/step.h"

/* Shapes of the first operands, for messages. */
static void print_shapes(const qv_cuda_op *b, char *text, size_t size)
{
    const qv_tensor *t[] = {&b->in[0], &b->in[1], &b->out[0]};
    snprintf(text, size, "[%d,%d,%d,%d], [%d,%d,%d,%d] -> [%d,%d,%d,%d]", t[0]->n, t[0]->h, t[0]->w, t[0]->c, t[1]->n,
             t[1]->h, t[1]->w, t[1]->c, t[2]->n, t[2]->h, t[2]->w, t[2]->c);
}

static const char *layer_of(const cuda_exec *e, const qv_cuda_op *b) { return e->base.p->layers[b->op.layer]; }

static qv_status run_plans(qv_ctx *ctx, cuda_exec *e, const qv_cuda_op *b)
{
    for (int i = 0; i < b->n_calls; i++) {
        const qv_dnn_call *c = &b->calls[i];
        qv_status status = qv_dnn_run(ctx, e->dnn, c->plan, e->stream, c->a, c->b, c->out, e->scratch);
        if (status != QV_OK)
            return qv_fail_prefix(ctx, status, "%s of %s", qv_op_info_of((qv_op_kind)b->op.kind).name, layer_of(e, b));
    }
    return QV_OK;
}

static qv_status run_kernel(qv_ctx *ctx, cuda_exec *e, const qv_cuda_op *b)
{
    qv_call call = {.op = &b->op, .in = b->in, .out = b->out, .scratch = e->scratch, .stream = e->stream};
    int error = b->fn(&call, NULL);
    if (!error) return QV_OK;
    char shapes[160];
    print_shapes(b, shapes, sizeof shapes);
    return qv_cuda_check(ctx, (cudaError_t)error, "launch of %s of %s, %s", qv_op_info_of((qv_op_kind)b->op.kind).name,
                         layer_of(e, b), shapes);
}

/* The masters' values for the plans of this list. */
static qv_status narrow_params(qv_ctx *ctx, cuda_exec *e)
{
    size_t n = e->base.p->region_bytes[QV_ROLE_PARAM] / sizeof(float);
    if (e->base.o.precision != QV_PRECISION_BF16 || n == 0) return QV_OK;
    int error = qv_cuda_to_bf16((const float *)(void *)e->regions[QV_ROLE_PARAM], e->narrow_params, n, e->stream);
    return qv_cuda_check(ctx, (cudaError_t)error, "launch of to_bf16 of %zu parameters", n);
}

static qv_status widen_grads(qv_ctx *ctx, cuda_exec *e)
{
    for (size_t i = 0; i < e->n_ranges; i++) {
        const qv_range *r = &e->ranges[i];
        float *to = (float *)(void *)e->regions[QV_ROLE_GRAD] + r->begin;
        int error = qv_cuda_from_bf16(e->narrow_grads + r->begin, to, r->end - r->begin, e->stream);
        qv_status status =
            qv_cuda_check(ctx, (cudaError_t)error, "launch of from_bf16 of %zu gradients", r->end - r->begin);
        if (status != QV_OK) return status;
    }
    return QV_OK;
}

/* After op i: what nobody reads any more becomes NaN. */
static qv_status poison_dead(qv_ctx *ctx, cuda_exec *e, qv_list list, size_t i)
{
    const qv_program *p = e->base.p;
    for (size_t id = 0; e->base.o.poison && id < p->n_buffers; id++) {
        size_t bytes = qv_buffer_bytes(&p->buffers[id], p->sizes);
        if (e->last[list][id] != (int32_t)i) continue;
        qv_status status = qv_cuda_check(ctx, cudaMemsetAsync(qv_cuda_buffer(e, (int32_t)id), 0xFF, bytes, e->stream),
                                         "cudaMemsetAsync of %zu bytes of %s", bytes, p->buffers[id].name);
        if (status != QV_OK) return status;
    }
    return QV_OK;
}

/* The first op that reads all gradients: what clips them, else the optimizer. */
static bool reads_gradients(const qv_op *op)
{
    return op->kind == QV_OP_CLIP || ((op->kind == QV_OP_SGD || op->kind == QV_OP_ADAMW) && op->in[2] < 0);
}

static qv_status enqueue_op(qv_ctx *ctx, cuda_exec *e, qv_list list, size_t i)
{
    const qv_cuda_op *b = &e->ops[list][i];
    qv_status status = QV_OK;
    if (b->op.kind == QV_OP_GATHER && !b->in[1].data)
        return qv_fail(ctx, QV_ERR_INTERNAL, "%s is to be run without features", layer_of(e, b));
    if (reads_gradients(&b->op)) QV_TRY(widen_grads(ctx, e));
    QV_TRY(b->n_calls ? run_plans(ctx, e, b) : run_kernel(ctx, e, b));
    status = poison_dead(ctx, e, list, i);
done:
    return status;
}

static qv_status advance(qv_ctx *ctx, cuda_exec *e, qv_list list)
{
    const qv_loop *loop = &e->base.o.loop;
    if (list != QV_LIST_TRAIN || !loop->rate) return QV_OK;
    int error = qv_cuda_advance(qv_cuda_buffer(e, loop->state), qv_cuda_buffer(e, loop->loss), e->ring, QV_RING,
                                e->rates, QV_RATES, e->stream);
    return qv_cuda_check(ctx, (cudaError_t)error, "launch of the end of a step");
}

qv_status qv_cuda_enqueue(qv_ctx *ctx, cuda_exec *e, qv_list list)
{
    qv_status status = QV_OK;
    QV_TRY(narrow_params(ctx, e));
    for (size_t i = 0; i < e->base.p->lists[list].n; i++) QV_TRY(enqueue_op(ctx, e, list, i));
    status = advance(ctx, e, list);
done:
    return status;
}

/* Time between two events, in seconds. */
static qv_status between(qv_ctx *ctx, cudaEvent_t from, cudaEvent_t to, double *seconds)
{
    float ms = 0;
    qv_status status = qv_cuda_check(ctx, cudaEventElapsedTime(&ms, from, to), "cudaEventElapsedTime");
    *seconds += 1e-3 * (double)ms;
    return status;
}

qv_status qv_cuda_profile(qv_ctx *ctx, cuda_exec *e, qv_list list)
{
    qv_status status = QV_OK;
    size_t n = e->base.p->lists[list].n;
    cudaEvent_t *events;
    QV_TRY(qv_alloc(ctx, &events, n + 1, sizeof *events));
    for (size_t i = 0; i <= n; i++) QV_TRY(qv_cuda_check(ctx, cudaEventCreate(&events[i]), "cudaEventCreate"));
    QV_TRY(narrow_params(ctx, e));
    QV_TRY(qv_cuda_check(ctx, cudaEventRecord(events[0], e->stream), "cudaEventRecord"));
    for (size_t i = 0; i < n; i++) {
        QV_TRY(enqueue_op(ctx, e, list, i));
        QV_TRY(qv_cuda_check(ctx, cudaEventRecord(events[i + 1], e->stream), "cudaEventRecord"));
    }
    QV_TRY(advance(ctx, e, list));
    QV_TRY(qv_cuda_check(ctx, cudaStreamSynchronize(e->stream), "cudaStreamSynchronize after a list of %zu ops", n));
    for (size_t i = 0; i < n; i++) QV_TRY(between(ctx, events[i], events[i + 1], &e->ops[list][i].seconds));
    e->base.profiled[list]++;
done:
    for (size_t i = 0; events && i <= n; i++)
        if (events[i]) cudaEventDestroy(events[i]);
    free(events);
    return status;
}
