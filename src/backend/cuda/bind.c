/* Ops to launches. A row of the op list that says CUDA has a kernel; one that says DNN a plan, which for products
 * (the linear layer, 1x1 convolutions of stride 1 in NHWC) is cuBLAS's and else cuDNN's. A convolution without a plan
 * falls back to the direct kernel of kernels/conv.cu, and the exec says how many did. */
#include <stdlib.h>
#include <string.h>

#include "backend/cuda/own.h"
#include "kernels/table.h"

static bool is_narrow(const cuda_exec *e) { return e->base.o.precision == QV_PRECISION_BF16; }

/* In NHWC a plain product of [positions, cin] and [cin, cout]. */
static bool is_product(const qv_conv_attr *a)
{
    return a->kernel == 1 && a->stride == 1 && a->pad == 0 && a->groups == 1;
}

static qv_dnn_key product(int precision, size_t rows, int columns, size_t depth)
{
    return (qv_dnn_key){.kind = QV_DNN_PRODUCT,
                        .precision = precision,
                        .rows = (int32_t)rows,
                        .columns = columns,
                        .depth = (int32_t)depth};
}

/* x: of the image, y: of the convolved one. */
static qv_dnn_key conv_key(qv_op_kind kind, int precision, const qv_conv_attr *a, const qv_tensor *x,
                           const qv_tensor *y)
{
    size_t positions = (size_t)x->n * (size_t)x->h * (size_t)x->w;
    qv_dnn_key k;
    if (!is_product(a)) {
        qv_dnn_kind what = kind == QV_OP_CONV          ? QV_DNN_CONV
                           : kind == QV_OP_CONV_GRAD_X ? QV_DNN_CONV_GRAD_X
                                                       : QV_DNN_CONV_GRAD_W;
        return (qv_dnn_key){.kind = (int32_t)what,
                            .precision = precision,
                            .n = x->n,
                            .h = x->h,
                            .w = x->w,
                            .cin = x->c,
                            .cout = y->c,
                            .kernel = a->kernel,
                            .stride = a->stride,
                            .pad = a->pad,
                            .groups = a->groups};
    }
    if (kind == QV_OP_CONV_GRAD_W) { /* dw = dy^T x */
        k = product(precision, (size_t)y->c, x->c, positions);
        k.transpose_a = 1;
    } else if (kind == QV_OP_CONV) { /* y = x w^T */
        k = product(precision, positions, y->c, (size_t)x->c);
        k.transpose_b = 1;
    } else { /* dx = dy w */
        k = product(precision, positions, x->c, (size_t)y->c);
    }
    return k;
}

static qv_status add_plan(qv_ctx *ctx, cuda_exec *e, qv_cuda_op *b, const qv_dnn_key *key)
{
    qv_status status = qv_handles_plan(ctx, e->dnn, key, &b->calls[b->n_calls].plan);
    if (status == QV_OK) b->n_calls++;
    return status;
}

static qv_status plan_conv(qv_ctx *ctx, cuda_exec *e, qv_cuda_op *b)
{
    qv_op_kind kind = (qv_op_kind)b->op.kind;
    const qv_tensor *x = kind == QV_OP_CONV_GRAD_X ? &b->out[0] : &b->in[0];
    const qv_tensor *y = kind == QV_OP_CONV ? &b->out[0] : kind == QV_OP_CONV_GRAD_X ? &b->in[0] : &b->in[1];
    qv_dnn_key key = conv_key(kind, (int)e->base.o.precision, &b->op.a.conv, x, y);
    qv_status status = add_plan(ctx, e, b, &key);
    if (status != QV_ERR_UNSUPPORTED) return status;
    qv_debug(ctx, "%s of %s: no plan (%s), convolved by the direct kernel", qv_op_info_of(kind).name,
             e->base.p->layers[b->op.layer], qv_ctx_message(ctx));
    e->base.without_plan++;
    return QV_OK;
}

/* The linear layer is a thousandth of the work and keeps all its bits in every precision. y = 1 b + x w^T: the bias, where
 * there is one, is a product of a column of ones. */
static qv_status plan_linear(qv_ctx *ctx, cuda_exec *e, qv_cuda_op *b)
{
    size_t n = (size_t)b->in[0].n, channels = (size_t)b->in[0].c;
    qv_dnn_key bias = product(QV_PRECISION_FP32, n, b->out[0].c, 1),
               key = product(QV_PRECISION_FP32, n, b->out[0].c, channels);
    key.transpose_b = 1;
    key.accumulate = b->in[2].data != NULL;
    qv_status status = b->in[2].data ? add_plan(ctx, e, b, &bias) : QV_OK;
    return status == QV_OK ? add_plan(ctx, e, b, &key) : status;
}

/* dx = dy w, dw = dy^T x, db = 1^T dy where there is a bias. */
static qv_status plan_linear_grad(qv_ctx *ctx, cuda_exec *e, qv_cuda_op *b)
{
    size_t n = (size_t)b->in[0].n, classes = (size_t)b->in[2].c;
    qv_dnn_key keys[] = {product(QV_PRECISION_FP32, n, b->in[0].c, classes),
                         product(QV_PRECISION_FP32, classes, b->in[0].c, n),
                         product(QV_PRECISION_FP32, 1, (int)classes, n)};
    keys[1].transpose_a = 1;
    for (int i = 0; i < (b->out[2].data ? 3 : 2); i++) {
        qv_status status = add_plan(ctx, e, b, &keys[i]);
        if (status != QV_OK) return status;
    }
    return QV_OK;
}

/* What runs the op; *scratch grows to what it wants. */
static qv_status prepare_op(qv_ctx *ctx, cuda_exec *e, qv_cuda_op *b, size_t *scratch)
{
    qv_op_kind kind = (qv_op_kind)b->op.kind;
    qv_status status = QV_OK;
    size_t bytes = 0;
    b->fn = qv_kernels[kind];
    if (kind == QV_OP_CONV || kind == QV_OP_CONV_GRAD_X || kind == QV_OP_CONV_GRAD_W) status = plan_conv(ctx, e, b);
    if (kind == QV_OP_LINEAR) status = plan_linear(ctx, e, b);
    if (kind == QV_OP_LINEAR_GRAD) status = plan_linear_grad(ctx, e, b);
    if (status != QV_OK)
        return qv_fail_prefix(ctx, status, "%s of %s", qv_op_info_of(kind).name, e->base.p->layers[b->op.layer]);
    qv_call call = {.op = &b->op, .in = b->in, .out = b->out};
    if (b->n_calls == 0 && (!b->fn || b->fn(&call, &bytes) != 0))
        return qv_fail(ctx, QV_ERR_UNSUPPORTED, "the GPU cannot run %s of %s with these shapes",
                       qv_op_info_of(kind).name, e->base.p->layers[b->op.layer]);
    for (int i = 0; i < b->n_calls; i++)
        if (qv_dnn_workspace(b->calls[i].plan) > bytes) bytes = qv_dnn_workspace(b->calls[i].plan);
    if (bytes > *scratch) *scratch = bytes;
    return QV_OK;
}

static void set_tensors(const cuda_exec *e, qv_cuda_op *b)
{
    for (int k = 0; k < QV_MAX_IN; k++) b->in[k] = qv_cuda_tensor(e, b->op.in[k]);
    for (int k = 0; k < QV_MAX_OUT; k++) b->out[k] = qv_cuda_tensor(e, b->op.out[k]);
}

qv_status qv_cuda_prepare(qv_ctx *ctx, cuda_exec *e, size_t *scratch)
{
    qv_status status = QV_OK;
    *scratch = 0;
    for (int k = 0; k < QV_LIST_COUNT; k++) {
        const qv_op_list *l = &e->base.p->lists[k];
        QV_TRY(qv_alloc(ctx, &e->ops[k], l->n, sizeof *e->ops[k]));
        for (size_t i = 0; i < l->n; i++) {
            e->ops[k][i].op = l->ops[i];
            set_tensors(e, &e->ops[k][i]);
            QV_TRY(prepare_op(ctx, e, &e->ops[k][i], scratch));
        }
        if (e->base.o.poison) QV_TRY(qv_program_lifetimes(ctx, e->base.p, (qv_list)k, &e->first[k], &e->last[k]));
    }
    if (e->base.without_plan)
        qv_warn(ctx,
                "cuDNN has no plan for %zu of the network's convolutions, which take longer for it (--verbose: which)",
                e->base.without_plan);
done:
    return status;
}

/* A weight as plans read it, a gradient as they write it. */
static const void *weight(const cuda_exec *e, const qv_tensor *w)
{
    size_t at = (size_t)((const char *)w->data - e->regions[QV_ROLE_PARAM]) / sizeof(float);
    return is_narrow(e) ? e->narrow_params + at : w->data;
}

static size_t gradient_at(const cuda_exec *e, const qv_tensor *dw)
{
    return (size_t)((const char *)dw->data - e->regions[QV_ROLE_GRAD]) / sizeof(float);
}

static void set_operands(const cuda_exec *e, qv_cuda_op *b)
{
    const qv_tensor *in = b->in, *out = b->out;
    qv_dnn_call *c = b->calls;
    switch (b->op.kind) {
    case QV_OP_CONV:
    case QV_OP_CONV_GRAD_X:
        c[0].a = in[0].data, c[0].b = weight(e, &in[1]), c[0].out = out[0].data;
        break;
    case QV_OP_CONV_GRAD_W: {
        bool swapped = is_product(&b->op.a.conv);
        c[0].a = in[swapped].data, c[0].b = in[!swapped].data;
        c[0].out = is_narrow(e) ? (void *)(e->narrow_grads + gradient_at(e, &out[0])) : out[0].data;
        break;
    }
    case QV_OP_LINEAR:
        if (in[2].data) c[0].a = e->ones, c[0].b = in[2].data, c[0].out = out[0].data;
        c += in[2].data != NULL;
        c->a = in[0].data, c->b = in[1].data, c->out = out[0].data;
        break;
    case QV_OP_LINEAR_GRAD:
        c[0].a = in[2].data, c[0].b = in[1].data, c[0].out = out[0].data;
        c[1].a = in[2].data, c[1].b = in[0].data, c[1].out = out[1].data;
        c[2].a = e->ones, c[2].b = in[2].data, c[2].out = out[2].data;
        break;
    }
}

static int by_begin(const void *a, const void *b)
{
    const qv_range *x = a, *y = b;
    return (x->begin > y->begin) - (x->begin < y->begin);
}

/* Gradients that plans leave in bfloat16, as few ranges as there are: padding between two belongs to both. */
static qv_status collect_ranges(qv_ctx *ctx, cuda_exec *e)
{
    enum { PADDING = 16 };
    const qv_op_list *l = &e->base.p->lists[QV_LIST_TRAIN];
    if (!is_narrow(e)) return QV_OK;
    qv_status status = qv_alloc(ctx, &e->ranges, l->n, sizeof *e->ranges);
    if (status != QV_OK) return status;
    size_t n = 0, kept = 0;
    for (size_t i = 0; i < l->n; i++) {
        const qv_cuda_op *b = &e->ops[QV_LIST_TRAIN][i];
        if (b->op.kind != QV_OP_CONV_GRAD_W || b->n_calls == 0) continue;
        size_t at = gradient_at(e, &b->out[0]);
        e->ranges[n++] = (qv_range){at, at + qv_tensor_len(&b->out[0])};
    }
    qsort(e->ranges, n, sizeof *e->ranges, by_begin);
    for (size_t i = 0; i < n; i++) {
        if (kept && e->ranges[i].begin - e->ranges[kept - 1].end < PADDING)
            e->ranges[kept - 1].end = e->ranges[i].end;
        else
            e->ranges[kept++] = e->ranges[i];
    }
    e->n_ranges = kept;
    return QV_OK;
}

qv_status qv_cuda_bind(qv_ctx *ctx, cuda_exec *e)
{
    for (int k = 0; k < QV_LIST_COUNT; k++)
        for (size_t i = 0; i < e->base.p->lists[k].n; i++) {
            set_tensors(e, &e->ops[k][i]);
            if (e->ops[k][i].n_calls) set_operands(e, &e->ops[k][i]);
            if (e->feed.frames && e->ops[k][i].op.kind == QV_OP_GATHER) qv_feed_gather(e, &e->ops[k][i]);
        }
    free(e->ranges);
    e->ranges = NULL;
    return collect_ranges(ctx, e);
}

void qv_cuda_unbind(cuda_exec *e)
{
    for (int k = 0; k < QV_LIST_COUNT; k++) {
        free(e->ops[k]);
        free(e->first[k]);
        free(e->last[k]);
    }
    free(e->ranges);
}
