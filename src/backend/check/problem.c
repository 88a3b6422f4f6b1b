#include "backend/check/problem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The letter of operand i, 'r' where it has none. */
static char letter_of(qv_op_kind kind, bool output, int i, bool *io)
{
    qv_op_info info = qv_op_info_of(kind);
    const char *s = output ? info.out : info.in;
    for (; i > 0; i--) s = strchr(s, ' ') + 1;
    const char *end = s + strcspn(s, " "), *colon = memchr(s, ':', (size_t)(end - s));
    if (io) *io = memchr(s, '!', (size_t)(end - s)) != NULL;
    return colon ? colon[1] : 'r';
}

bool qv_operand_is_activation(qv_op_kind kind, bool output, int i) { return letter_of(kind, output, i, NULL) == 'a'; }

size_t qv_operand_size(qv_op_kind kind, bool output, int i, bool *io)
{
    switch (letter_of(kind, output, i, io)) {
    case 'i':
        return sizeof(int32_t);
    case 'f':
        return sizeof(float);
    case 's':
        return sizeof(qv_step_state);
    case 'u':
        return sizeof(qv_utterance);
    case 'w':
        return sizeof(qv_window);
    default:
        return 0;
    }
}

int qv_reference(const qv_op *op, const qv_tensor *in, const qv_tensor *out)
{
    qv_call call = {.op = op, .in = in, .out = out};
    size_t need = 0;
    int status = qv_ref_ops[op->kind](&call, &need);
    if (status) return status;
    call.scratch = malloc(need + 1);
    if (!call.scratch) return QV_ERR_MEMORY;
    status = qv_ref_ops[op->kind](&call, NULL);
    free(call.scratch);
    return status;
}

qv_status qv_answer_new(qv_ctx *ctx, qv_answer *a, const qv_problem *p)
{
    qv_status status = QV_OK;
    qv_op_info info = qv_op_info_of((qv_op_kind)p->op.kind);
    *a = (qv_answer){0};
    for (int k = 0; k < info.n_out; k++) {
        size_t len = qv_tensor_len(&p->out[k]);
        a->out[k] = p->out[k];
        a->out[k].data = NULL;
        if (!len) continue;
        QV_TRY(qv_alloc(ctx, &a->out[k].data, len, sizeof(double)));
        QV_TRY(qv_alloc(ctx, &a->bound[k], len, sizeof(double)));
        size_t size = qv_operand_size((qv_op_kind)p->op.kind, true, k, NULL);
        if (p->out[k].data) memcpy(a->out[k].data, p->out[k].data, len * (size ? size : sizeof(double)));
    }
    if (qv_reference(&p->op, p->in, a->out) != 0)
        status = qv_fail(ctx, QV_ERR_INTERNAL, "the reference refuses %s %s", info.name, p->what);
done:
    if (status != QV_OK) qv_answer_free(a);
    return status;
}

void qv_answer_free(qv_answer *a)
{
    for (int k = 0; k < QV_MAX_OUT; k++) free(a->out[k].data), free(a->bound[k]);
    *a = (qv_answer){0};
}

qv_status qv_answer_follow(qv_ctx *ctx, qv_answer *a, const qv_problem *p, int k, const double *found)
{
    enum { Y, STATISTICS, COUNT = 5 };
    if (p->op.kind != QV_OP_BLOCK_END || k != Y || !p->out[STATISTICS].n) return QV_OK;
    qv_problem measure = {.op = p->op, .in = {p->out[Y]}};
    measure.op.kind = QV_OP_BN_MEASURE;
    memcpy(&measure.in[0].data, &found, sizeof found); /* a const that the op only reads */
    memcpy(measure.out, &p->out[STATISTICS], COUNT * sizeof *measure.out);
    qv_answer stored;
    qv_status status = qv_answer_new(ctx, &stored, &measure);
    if (status != QV_OK) return status;
    qv_problem_bound(&measure, stored.out, stored.bound);
    for (int i = 0; i < COUNT; i++) {
        free(a->out[STATISTICS + i].data), free(a->bound[STATISTICS + i]);
        a->out[STATISTICS + i] = stored.out[i];
        a->bound[STATISTICS + i] = stored.bound[i];
    }
    return QV_OK;
}

void qv_verdict_add(qv_verdict *v, const qv_problem *p, const qv_answer *a, int k, const double *found)
{
    bool integer = qv_operand_size((qv_op_kind)p->op.kind, true, k, NULL) != 0;
    const double *reals = a->out[k].data;
    const int32_t *ints = a->out[k].data;
    size_t len = qv_tensor_len(&a->out[k]);
    v->elements += len;
    for (size_t i = 0; i < len; i++) {
        double want = integer ? (double)ints[i] : reals[i], bound = integer ? 0 : a->bound[k][i];
        double error = fabs(found[i] - want), share = error == 0 ? 0 : error / bound;
        if (!(error <= bound)) v->wrong++;
        if (isnan(share)) share = INFINITY;
        bool first = v->share == 0 && v->bound == 0 && v->got == 0;
        if (share < v->share || (share == v->share && !first && !(error > fabs(v->got - v->want)))) continue;
        *v = (qv_verdict){v->elements, v->wrong, k, i, found[i], want, bound, share};
    }
}
