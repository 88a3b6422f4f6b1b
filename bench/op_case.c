#include "op_case.h"

#include <stdio.h>

#include "backend/check/problem.h"

static qv_tensor tensor(int n, int size, int c) { return (qv_tensor){NULL, n, size, size, c, QV_REAL}; }
static qv_tensor channels(int c) { return tensor(1, 1, c); }

static void conv_shapes(const op_case *k, int n, qv_op *op, qv_tensor *in, qv_tensor *out)
{
    const qv_conv_attr a = {k->kernel, k->stride, k->kernel / 2, k->groups};
    const int half = (k->size + 2 * a.pad - a.kernel) / a.stride + 1;
    const qv_tensor x = tensor(n, k->size, k->in), y = tensor(n, half, k->out);
    const qv_tensor w = {NULL, k->out, k->kernel, k->kernel, k->in / k->groups, QV_REAL};
    op->a.conv = a;
    in[0] = k->kind == QV_OP_CONV_GRAD_X ? y : x;
    in[1] = k->kind == QV_OP_CONV_GRAD_W ? y : w;
    out[0] = k->kind == QV_OP_CONV ? y : k->kind == QV_OP_CONV_GRAD_X ? x : w;
}

/* Mean, variance or rstd, the running estimates where `running`, and the counters of a launch with tickets. */
static void statistics_shapes(int c, bool running, qv_tensor *out)
{
    out[0] = out[1] = channels(c);
    if (!running) return;
    out[2] = out[3] = channels(c);
    out[4] = channels(qv_ticket_words(c));
}

static void bn_grad_shapes(const op_case *k, int n, qv_tensor *in, qv_tensor *out)
{
    const bool sums = k->kind == QV_OP_BN_GRAD_SUMS;
    in[0] = tensor(n, k->size, (k->options & OP_COEF) ? k->in / 2 : k->out), in[1] = tensor(n, k->size, k->in);
    for (int i = 2; i < (sums ? 6 : 8); i++) in[i] = channels(i < 4 ? k->in : k->out);
    if (k->options & OP_COEF) in[sums ? 6 : 8] = tensor(n, 1, 1);
    if (k->options & OP_ADDEND) in[9] = tensor(n, k->size, k->in);
    out[0] = sums ? channels(k->out) : tensor(n, k->size, k->in);
    if (sums) out[1] = channels(k->out);
    if (k->options & OP_TICKET) out[2] = channels(qv_ticket_words(k->in));
}

static void bn_shapes(const op_case *k, int n, qv_op *op, qv_tensor *in, qv_tensor *out)
{
    const int sides = k->kind >= QV_OP_BN_SHAKE_ADD ? 2 : 1;
    op->a.bn = (qv_bn_attr){.eps = 1e-5f, .momentum = 0.1f, .relu = k->relu, .repeat = k->repeat};
    op->a.bn.count = (int64_t)n * k->size * k->size;
    switch (k->kind) {
    case QV_OP_BN_STATS:
    case QV_OP_BN_MEASURE:
        in[0] = tensor(n, k->size, k->in);
        statistics_shapes(k->in, k->kind == QV_OP_BN_MEASURE, out);
        return;
    case QV_OP_BN_FINALIZE:
        in[0] = in[1] = out[0] = out[1] = out[2] = channels(k->in);
        return;
    case QV_OP_BN_GRAD_SUMS:
    case QV_OP_BN_GRAD_APPLY:
        bn_grad_shapes(k, n, in, out);
        return;
    default: /* bn_apply, bn_shake_add, block_end */
        in[0] = tensor(n, k->size, sides * k->in);
        for (int i = 1; i < 5; i++) in[i] = channels(sides * (i < 3 ? k->in : k->out));
        out[0] = tensor(n, k->size, k->out);
    }
    if (sides == 1) return;
    in[5] = tensor(n, 1, 1), in[6] = tensor(n, k->size, k->in);
    for (int i = 7; i < 11 && (k->options & OP_NORMED); i++) in[i] = channels(k->in);
    if (k->options & OP_MEASURED) statistics_shapes(k->in, true, out + 1);
}

/* As many recordings as rows, each twice as long as a patch. */
static void gather_shapes(const op_case *k, int n, qv_op *op, qv_tensor *in, qv_tensor *out)
{
    in[0] = channels(1);
    in[1] = (qv_tensor){NULL, 1, 1, n * 2 * k->size, k->size, QV_REAL};
    in[2] = channels(n);
    in[3] = (qv_tensor){NULL, 1, 1, 2, k->size, QV_REAL};
    in[4] = channels(2 * n);
    out[0] = tensor(n, k->size, 1);
    out[1] = channels(n);
    if (!(k->options & OP_MIXED)) return;
    op->a.gather =
        (qv_gather_attr){.speed = 6554, .warp = 3277, .gain = 0.5f, .time_masks = 2, .time_width = k->size / 8};
    op->a.gather.mel_masks = 2, op->a.gather.mel_width = k->size / 8;
    in[6] = channels(QV_QUANTILES);
    out[2] = out[3] = channels(n);
}

static void head_shapes(const op_case *k, int n, qv_op *op, qv_tensor *in, qv_tensor *out)
{
    switch (k->kind) {
    case QV_OP_LOSS:
        in[0] = out[1] = out[2] = tensor(n, 1, k->in), in[1] = channels(n), in[2] = channels(k->in),
        out[0] = channels(2);
        return;
    case QV_OP_SGD: /* in: parameters a row of the batch */
        in[0] = channels(1), in[1] = out[0] = out[1] = tensor(n, 1, k->in);
        op->a.sgd = (qv_sgd_attr){0.9f, 1e-4f, 1, (int64_t)qv_tensor_len(&in[1])};
        return;
    case QV_OP_ADAMW:
        in[0] = channels(1), in[1] = out[0] = out[1] = out[2] = tensor(n, 1, k->in);
        op->a.adamw = (qv_adamw_attr){.beta1 = 0.9f, .beta2 = 0.999f, .eps = 1e-8f, .weight_decay = 1e-2f};
        op->a.adamw.decayed = (int64_t)qv_tensor_len(&in[1]);
        return;
    case QV_OP_CLIP:
        in[0] = tensor(n, 1, k->in), out[0] = channels(1);
        op->a.clip.most = 1;
        return;
    case QV_OP_GATHER:
        gather_shapes(k, n, op, in, out);
        return;
    case QV_OP_POOL:
        in[0] = tensor(n, k->size, k->in), out[0] = tensor(n, 1, k->in);
        return;
    default: /* pool_grad */
        in[0] = tensor(n, 1, k->in), out[0] = tensor(n, k->size, k->in);
    }
}

static void pass_shapes(const op_case *k, int n, qv_op *op, qv_tensor *in, qv_tensor *out)
{
    const qv_tensor one = tensor(n, k->size, k->in), two = tensor(n, k->size, 2 * k->in);
    switch (k->kind) {
    case QV_OP_SHAKE_COEF:
        in[0] = channels(1), out[0] = out[1] = tensor(n, 1, 1);
        op->a.shake = (qv_shake_attr){.forward = QV_SHAKE_SHAKE, .backward = QV_SHAKE_SHAKE, .level = QV_LEVEL_SAMPLE};
        return;
    case QV_OP_SHAKE_ADD:
        in[0] = two, in[1] = tensor(n, 1, 1), in[2] = out[0] = one;
        return;
    case QV_OP_SCALE:
        in[0] = out[0] = two, in[1] = tensor(n, 1, 1);
        return;
    case QV_OP_SHIFT: /* size: of the smaller image */
        in[0] = tensor(n, 2 * k->size, k->in), out[0] = two;
        return;
    case QV_OP_SHIFT_GRAD:
        in[0] = two, out[0] = tensor(n, 2 * k->size, k->in);
        return;
    case QV_OP_SHAKE_GRAD:
        in[0] = one, in[1] = tensor(n, 1, 1), out[0] = two;
        return;
    default: /* relu, relu_grad, add */
        in[0] = out[0] = one;
        if (k->kind != QV_OP_RELU) in[1] = one;
        if (k->options & OP_ADDEND) in[2] = one;
    }
}

void op_case_shapes(const op_case *k, int batch, bool bf16, qv_op *op, qv_tensor *in, qv_tensor *out)
{
    *op = (qv_op){.kind = (int32_t)k->kind};
    if (k->kernel)
        conv_shapes(k, batch, op, in, out);
    else if ((k->kind >= QV_OP_BN_STATS && k->kind <= QV_OP_BN_GRAD_APPLY) ||
             (k->kind >= QV_OP_BN_SHAKE_ADD && k->kind <= QV_OP_BLOCK_END))
        bn_shapes(k, batch, op, in, out);
    else if (k->kind >= QV_OP_POOL)
        head_shapes(k, batch, op, in, out);
    else
        pass_shapes(k, batch, op, in, out);
    for (int i = 0; i < QV_MAX_IN && bf16; i++)
        if (in[i].n && qv_operand_is_activation(k->kind, false, i)) in[i].dtype = QV_BF16;
    for (int i = 0; i < QV_MAX_OUT && bf16; i++)
        if (out[i].n && qv_operand_is_activation(k->kind, true, i)) out[i].dtype = QV_BF16;
}

static double operand_bytes(qv_op_kind kind, bool output, int i, const qv_tensor *t)
{
    bool io = false;
    if (!t->n) return 0;
    const size_t size = qv_operand_size(kind, output, i, &io), real = t->dtype == QV_BF16 ? 2 : 4;
    return (double)qv_tensor_len(t) * (double)(size ? size : real) * (io ? 2 : 1);
}

double op_case_bytes(const qv_op *op, const qv_tensor *in, const qv_tensor *out)
{
    const qv_op_kind kind = (qv_op_kind)op->kind;
    const qv_op_info info = qv_op_info_of(kind);
    double bytes = 0;
    for (int i = 0; i < info.n_in; i++) {
        const bool features = kind == QV_OP_GATHER && i == 1;
        bytes +=
            features ? (in[6].n ? 2 : 1) * 4.0 * (double)qv_tensor_len(&out[0]) : operand_bytes(kind, false, i, &in[i]);
    }
    for (int i = 0; i < info.n_out; i++) bytes += operand_bytes(kind, true, i, &out[i]);
    return bytes;
}

void op_case_text(const op_case *k, char text[OP_CASE_TEXT])
{
    if (k->kernel)
        snprintf(text, OP_CASE_TEXT, "%d->%d @%d k%d s%d g%d", k->in, k->out, k->size, k->kernel, k->stride, k->groups);
    else
        snprintf(text, OP_CASE_TEXT, "%d->%d @%d%s%s%s%s%s%s", k->in, k->out, k->size, k->relu ? " relu" : "",
                 (k->options & OP_COEF) ? " shaken" : "", (k->options & OP_ADDEND) ? " addend" : "",
                 (k->options & OP_NORMED) ? " normed" : "", (k->options & OP_MEASURED) ? " measured" : "",
                 (k->options & OP_MIXED) ? " mixed" : "");
}
