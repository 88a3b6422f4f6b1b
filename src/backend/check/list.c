#include "backend/check/list.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct feeding {
    qv_ctx *ctx;
    const qv_exec_options *d;
    const qv_list_run *f;
    void **before; /* [n_buffers]: what is updated in place, from before the run */
} feeding;

static bool is_real(const qv_buffer *b) { return b->dtype == QV_REAL || b->dtype == QV_ACT; }

/* Buffers that a step reads and then writes. Records of the host are no op's output, but the state is among them, which
 * moves on at the end of a training's step. */
static bool is_updated(const qv_buffer *b)
{
    bool record = b->role == QV_ROLE_IO && b->dtype == QV_BYTES;
    return b->role == QV_ROLE_PARAM || qv_role_is_memory(b->role) || b->role == QV_ROLE_RUNNING || record;
}

static size_t copy_bytes(const feeding *g, const qv_buffer *b)
{
    return is_real(b) ? qv_buffer_len(b) * sizeof(double) : qv_buffer_bytes(b, g->f->program->sizes);
}

/* A copy of a buffer: reals as doubles, all else as it is. Release with free(). */
static qv_status copy_buffer(const feeding *g, int id, void *out)
{
    const qv_buffer *b = &g->f->program->buffers[id];
    void *copy;
    qv_status status = qv_alloc(g->ctx, &copy, copy_bytes(g, b), 1);
    if (status != QV_OK) return status;
    if (is_real(b))
        qv_exec_read(g->f->exec, id, 0, qv_buffer_len(b), copy);
    else
        qv_exec_read_bytes(g->f->exec, id, 0, copy_bytes(g, b), copy);
    memcpy(out, &copy, sizeof copy);
    return QV_OK;
}

static qv_status snapshot(feeding *g)
{
    qv_status status = QV_OK;
    const qv_program *p = g->f->program;
    QV_TRY(qv_alloc(g->ctx, &g->before, p->n_buffers, sizeof *g->before));
    for (size_t i = 0; i < p->n_buffers; i++)
        if (is_updated(&p->buffers[i])) QV_TRY(copy_buffer(g, (int)i, &g->before[i]));
done:
    return status;
}

/* What the op saw in a buffer before it ran; *borrowed: the data is not the tensor's own. */
static qv_status operand_before(const feeding *g, int id, qv_tensor *t)
{
    const qv_buffer *b = &g->f->program->buffers[id];
    *t = (qv_tensor){NULL, b->n, b->h, b->w, b->c, QV_REAL};
    if (id == g->f->features) {
        memcpy(&t->data, &g->f->frames, sizeof t->data); /* a const that ops only read */
        return QV_OK;
    }
    if (!g->before[id]) return copy_buffer(g, id, &t->data);
    qv_status status = qv_alloc(g->ctx, &t->data, copy_bytes(g, b), 1);
    if (status == QV_OK) memcpy(t->data, g->before[id], copy_bytes(g, b));
    return status;
}

static void release(const feeding *g, qv_problem *p)
{
    for (int i = 0; i < QV_MAX_IN; i++)
        if (p->in[i].data == (const void *)g->f->frames) p->in[i].data = NULL;
    qv_problem_free(p);
}

static qv_status make_problem(const feeding *g, const qv_op *op, qv_problem *p)
{
    qv_status status = QV_OK;
    *p = (qv_problem){.op = *op, .fed = true};
    for (int i = 0; i < QV_MAX_IN; i++)
        if (op->in[i] >= 0) QV_TRY(operand_before(g, op->in[i], &p->in[i]));
    for (int i = 0; i < QV_MAX_OUT; i++) {
        if (op->out[i] < 0) continue;
        QV_TRY(operand_before(g, op->out[i], &p->out[i]));
        bool io;
        qv_operand_size((qv_op_kind)op->kind, true, i, &io);
        if (io) continue;
        free(p->out[i].data);
        p->out[i].data = NULL;
    }
    qv_problem_round(p, g->d->precision);
done:
    return status;
}

/* The outputs as the device has left them, judged. */
static qv_status judge(const feeding *g, const qv_op *op, const qv_problem *p, qv_answer *a, qv_verdict *v)
{
    for (int k = 0; k < QV_MAX_OUT; k++) {
        if (op->out[k] < 0) continue;
        double *found;
        qv_status status = copy_buffer(g, op->out[k], &found);
        if (status != QV_OK) return status;
        if (!is_real(&g->f->program->buffers[op->out[k]])) {
            int32_t *ints = NULL;
            size_t n = qv_tensor_len(&a->out[k]);
            status = qv_alloc(g->ctx, &ints, n, sizeof *ints);
            if (status == QV_OK) memcpy(ints, found, n * sizeof *ints);
            free(found);
            if (status == QV_OK) status = qv_alloc(g->ctx, &found, n, sizeof *found);
            for (size_t i = 0; i < n && status == QV_OK; i++) found[i] = ints[i];
            free(ints);
            if (status != QV_OK) return status;
        }
        qv_verdict_add(v, p, a, k, found);
        if (g->d->device != QV_DEVICE_REF) status = qv_answer_follow(g->ctx, a, p, k, found);
        free(found);
        if (status != QV_OK) return status;
    }
    return QV_OK;
}

static qv_status check_one(const feeding *g, size_t index, qv_case_fn fn, void *user)
{
    qv_status status = QV_OK;
    const qv_program *p = g->f->program;
    const qv_op *op = &p->lists[g->f->list].ops[index];
    const qv_buffer *first = &p->buffers[op->out[0]];
    qv_problem problem = {0};
    qv_answer answer = {0};
    qv_case c = {.kind = (qv_op_kind)op->kind, .index = index, .problem = &problem, .answer = &answer};
    char what[160];
    QV_TRY(make_problem(g, op, &problem));
    QV_TRY(qv_answer_new(g->ctx, &answer, &problem));
    if (g->d->device != QV_DEVICE_REF) qv_check_bound(g->d, &problem, &answer);
    QV_TRY(judge(g, op, &problem, &answer, &c.verdict));
    snprintf(what, sizeof what, "%s %s %s [%d,%d,%d,%d]", p->layers[op->layer], qv_op_info_of(c.kind).name, first->name,
             first->n, first->h, first->w, first->c);
    c.what = what;
    fn(user, &c);
done:
    qv_answer_free(&answer);
    release(g, &problem);
    return status;
}

qv_status qv_check_list(qv_ctx *ctx, const qv_exec_options *d, const qv_list_run *f, qv_case_fn fn, void *user)
{
    qv_status status = QV_OK;
    feeding g = {.ctx = ctx, .d = d, .f = f};
    QV_TRY(snapshot(&g));
    QV_TRY(qv_exec_run(ctx, f->exec, f->list));
    for (size_t i = 0; i < f->program->lists[f->list].n; i++) {
        QV_TRY(qv_poll(ctx));
        QV_TRY(check_one(&g, i, fn, user));
    }
    QV_TRY(qv_exec_check(ctx, f->exec));
done:
    for (size_t i = 0; g.before && i < f->program->n_buffers; i++) free(g.before[i]);
    free(g.before);
    return status;
}
