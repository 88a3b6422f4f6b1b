#include "backend/check/trial.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of one program: enough cases to fill a device, few enough to fit any. */
enum { MOST_CASES = 48, MOST_ELEMENTS = 1 << 21 };

/* Up to two buffers behind each other, where an operand lies: the optimizer's parameters are two, with and without
 * weight decay, and are seen by the op as one whole region. */
typedef struct place {
    int id[2];
    size_t len[2];
} place;

/* One case in the program. */
typedef struct entry {
    size_t index;
    qv_problem p;
    qv_answer answer;
    place in[QV_MAX_IN], out[QV_MAX_OUT];
    double *first[QV_MAX_OUT]; /* what the first run wrote */
    char trouble[160];
    qv_verdict verdict;
} entry;

typedef struct trial {
    qv_ctx *ctx;
    const qv_exec_options *d;
    qv_program *program;
    qv_exec *exec;
    entry entries[MOST_CASES];
    size_t n;
} trial;

void qv_check_bound(const qv_exec_options *d, const qv_problem *p, qv_answer *a)
{
    bool conv = p->op.kind == QV_OP_CONV || p->op.kind == QV_OP_CONV_GRAD_X || p->op.kind == QV_OP_CONV_GRAD_W;
    qv_cpu_options cpu = {.isa = d->isa, .threads = qv_pool_threads(d->pool), .direct = d->direct};
    if (d->device == QV_DEVICE_CPU && conv && qv_takes_winograd(&cpu, &p->op, p->in, a->out))
        qv_bound_winograd(p, a->out, a->bound[0]);
    else
        qv_problem_bound_in(p, d->precision, a->out, a->bound);
}

static void complain(entry *e, const char *text) { snprintf(e->trouble, sizeof e->trouble, "%s", text); }

/* --- the program --- */

/* Weights and their gradients are what they are in a network too, since a device may keep them in fewer bits besides;
 * other reals outlive the run because the exec keeps all buffers. */
static qv_role role_of(qv_op_kind kind, bool output, int i)
{
    if ((kind == QV_OP_CONV || kind == QV_OP_CONV_GRAD_X) && !output && i == 1) return QV_ROLE_PARAM;
    if (kind == QV_OP_CONV_GRAD_W && output) return QV_ROLE_GRAD;
    if (kind == QV_OP_GATHER && !output && i == 1) return QV_ROLE_EXTERN;
    return qv_operand_size(kind, output, i, NULL) ? QV_ROLE_IO : QV_ROLE_WORK;
}

static qv_buffer buffer_of(const qv_problem *p, bool output, int i)
{
    qv_op_kind kind = (qv_op_kind)p->op.kind;
    const qv_tensor *t = output ? &p->out[i] : &p->in[i];
    qv_buffer b = {.role = role_of(kind, output, i), .n = t->n, .h = t->h, .w = t->w, .c = t->c, .alias = -1};
    size_t size = qv_operand_size(kind, output, i, NULL);
    b.dtype = qv_operand_is_activation(kind, output, i) ? QV_ACT : QV_REAL;
    if (size == sizeof(float)) b.dtype = kind == QV_OP_GATHER && !output && (i == 1 || i == 3) ? QV_F32 : QV_I32;
    if (size > sizeof(float)) {
        b.dtype = QV_BYTES;
        b.c *= (int32_t)size;
    }
    return b;
}

static place add_operand(qv_builder *b, const qv_problem *p, bool output, int i)
{
    const qv_tensor *t = output ? &p->out[i] : &p->in[i];
    place at = {.id = {-1, -1}};
    if (!t->n) return at;
    at.id[0] = qv_add_buffer(b, buffer_of(p, output, i), "%s%d", output ? "out" : "in", i);
    at.len[0] = qv_tensor_len(t);
    return at;
}

static int add_whole(qv_builder *b, qv_role role)
{
    qv_buffer region = {.dtype = QV_REAL, .role = role, .n = 1, .h = 1, .w = 1, .alias = (int32_t)role};
    return qv_add_buffer(b, region, "all of role %d", (int)role);
}

static bool is_optimizer(qv_op_kind kind) { return kind == QV_OP_SGD || kind == QV_OP_ADAMW; }

/* A whole region of so many elements, those with weight decay first. */
static place add_region(qv_builder *b, const qv_problem *p, qv_role role, int *whole)
{
    size_t decayed = (size_t)(p->op.kind == QV_OP_SGD ? p->op.a.sgd.decayed : p->op.a.adamw.decayed);
    size_t len[2] = {decayed, qv_tensor_len(&p->in[1]) - decayed};
    place at = {.id = {-1, -1}};
    for (int half = 0; half < 2; half++) {
        at.len[half] = len[half];
        qv_buffer buffer = {.dtype = QV_REAL,
                            .role = role,
                            .n = 1,
                            .h = 1,
                            .w = 1,
                            .c = (int32_t)len[half],
                            .alias = -1,
                            .decayed = half == 0};
        if (len[half]) at.id[half] = qv_add_buffer(b, buffer, "role %d, %s", (int)role, half ? "plain" : "decayed");
    }
    *whole = add_whole(b, role);
    return at;
}

static void add_entry(qv_builder *b, entry *e)
{
    qv_op_kind kind = (qv_op_kind)e->p.op.kind;
    qv_op_info info = qv_op_info_of(kind);
    int in[QV_MAX_IN], out[QV_MAX_OUT];
    for (int i = 0; i < info.n_in; i++) {
        bool region = is_optimizer(kind) && i == 1;
        e->in[i] = region ? add_region(b, &e->p, QV_ROLE_GRAD, &in[i]) : add_operand(b, &e->p, false, i);
        if (!region) in[i] = e->in[i].id[0];
    }
    for (int i = 0; i < info.n_out; i++) {
        static const qv_role roles[] = {QV_ROLE_PARAM, QV_ROLE_MOMENT, QV_ROLE_SQUARE};
        bool region = is_optimizer(kind);
        e->out[i] = region ? add_region(b, &e->p, roles[i], &out[i])
                           : add_operand(b, &e->p, true, i);
        if (!region) out[i] = e->out[i].id[0];
    }
    qv_add_layer(b, "case %zu", e->index);
    qv_op *op = qv_add_op(b, kind, in, out);
    op->a = e->p.op.a;
}

/* Gradients of weights are whole when the optimizer reads them: it comes last, at a rate of 0. */
static void add_optimizer(qv_builder *b, const trial *t)
{
    for (size_t k = 0; k < t->n; k++) {
        qv_buffer like = buffer_of(&t->entries[k].p, true, 0);
        like.role = QV_ROLE_PARAM;
        qv_add_buffer(b, like, "weight");
        like.role = QV_ROLE_MOMENT;
        qv_add_buffer(b, like, "moment");
    }
    qv_buffer state = {
        .dtype = QV_BYTES, .role = QV_ROLE_IO, .n = 1, .h = 1, .w = 1, .c = sizeof(qv_step_state), .alias = -1};
    int in[] = {qv_add_buffer(b, state, "state"), add_whole(b, QV_ROLE_GRAD), -1};
    int out[] = {add_whole(b, QV_ROLE_PARAM), add_whole(b, QV_ROLE_MOMENT)};
    qv_add_layer(b, "update");
    qv_add_op(b, QV_OP_SGD, in, out);
}

/* --- numbers in and out --- */

static bool is_real(const trial *t, int id)
{
    qv_dtype type = t->program->buffers[id].dtype;
    return type == QV_REAL || type == QV_ACT;
}

/* The operand's elements from `data`; NULL: garbage, another one in each round. */
static qv_status write_operand(trial *t, const place *at, const void *data, int round)
{
    for (int half = 0; half < 2; half++) {
        const qv_buffer *b = at->id[half] < 0 ? NULL : &t->program->buffers[at->id[half]];
        size_t before = half ? at->len[0] : 0, n = at->len[half];
        if (!b || b->role == QV_ROLE_EXTERN) continue;
        if (is_real(t, at->id[half]) && data) {
            qv_exec_write(t->exec, at->id[half], 0, n, (const double *)data + before);
            continue;
        }
        size_t bytes = is_real(t, at->id[half]) ? n * sizeof(double) : qv_buffer_bytes(b, t->program->sizes);
        void *garbage;
        qv_status status = qv_alloc(t->ctx, &garbage, bytes, 1);
        if (status != QV_OK) return status;
        memset(garbage, round ? 0x43 : 0xFF, bytes); /* reals: NaN, then 1e16 */
        if (is_real(t, at->id[half]))
            qv_exec_write(t->exec, at->id[half], 0, n, garbage);
        else
            qv_exec_write_bytes(t->exec, at->id[half], 0, bytes, data ? data : garbage);
        free(garbage);
    }
    return QV_OK;
}

/* Its elements as doubles; integers as they are. Release with free(). */
static qv_status read_operand(trial *t, const place *at, double **out)
{
    qv_status status = qv_alloc(t->ctx, out, at->len[0] + at->len[1], sizeof **out);
    if (status != QV_OK) return status;
    for (int half = 0; half < 2; half++) {
        double *to = *out + (half ? at->len[0] : 0);
        if (at->id[half] < 0) continue;
        if (is_real(t, at->id[half])) {
            qv_exec_read(t->exec, at->id[half], 0, at->len[half], to);
            continue;
        }
        int32_t v;
        for (size_t i = 0; i < at->len[half]; i++) {
            qv_exec_read_bytes(t->exec, at->id[half], i * sizeof v, sizeof v, &v);
            to[i] = v;
        }
    }
    return QV_OK;
}

static qv_status write_all(trial *t, int round)
{
    qv_status status = QV_OK;
    for (size_t k = 0; k < t->n; k++) {
        entry *e = &t->entries[k];
        for (int i = 0; i < QV_MAX_IN; i++)
            if (e->p.in[i].data) QV_TRY(write_operand(t, &e->in[i], e->p.in[i].data, round));
        for (int i = 0; i < QV_MAX_OUT; i++)
            if (e->p.out[i].n) QV_TRY(write_operand(t, &e->out[i], e->p.out[i].data, round));
        const qv_tensor *feats = &e->p.in[1];
        if (e->p.op.kind == QV_OP_GATHER && round == 0)
            QV_TRY(qv_exec_bind(t->ctx, t->exec, e->in[1].id[0], feats->data, qv_tensor_len(feats) * sizeof(float)));
    }
done:
    return status;
}

/* An input that is not what was written, as the device holds it. */
static qv_status check_inputs(trial *t, entry *e)
{
    qv_status status = QV_OK;
    for (int i = 0; i < QV_MAX_IN; i++) {
        const double *want = e->p.in[i].data;
        double *found;
        if (!want || qv_operand_size((qv_op_kind)e->p.op.kind, false, i, NULL)) continue;
        QV_TRY(read_operand(t, &e->in[i], &found));
        for (size_t k = 0; k < qv_tensor_len(&e->p.in[i]); k++)
            if (found[k] != want[k]) complain(e, "an input was changed");
        free(found);
    }
done:
    return status;
}

static qv_status judge(trial *t, entry *e)
{
    qv_status status = QV_OK;
    for (int k = 0; k < QV_MAX_OUT; k++) {
        double *found;
        if (!e->p.out[k].n) continue;
        QV_TRY(read_operand(t, &e->out[k], &found));
        size_t bytes = qv_tensor_len(&e->p.out[k]) * sizeof *found;
        qv_verdict_add(&e->verdict, &e->p, &e->answer, k, found);
        if (memcmp(found, e->first[k], bytes) != 0) complain(e, "two runs differ, or something was not written");
        if (t->d->device != QV_DEVICE_REF) status = qv_answer_follow(t->ctx, &e->answer, &e->p, k, found);
        free(found);
        if (status != QV_OK) return status;
    }
    QV_TRY(check_inputs(t, e));
done:
    return status;
}

/* --- one program --- */

static void trial_end(trial *t)
{
    qv_exec_free(t->exec);
    qv_program_free(t->program);
    t->exec = NULL;
    t->program = NULL;
}

static qv_status build(trial *t)
{
    qv_status status = QV_OK;
    QV_TRY(qv_alloc(t->ctx, &t->program, 1, sizeof *t->program));
    qv_builder b = {.ctx = t->ctx, .p = t->program, .list = QV_LIST_TRAIN};
    for (size_t k = 0; k < t->n; k++) add_entry(&b, &t->entries[k]);
    if (t->n && t->entries[0].p.op.kind == QV_OP_CONV_GRAD_W) add_optimizer(&b, t);
    QV_TRY(b.status);
    qv_exec_options o = *t->d;
    o.keep_buffers = true;
    QV_TRY(qv_exec_new(t->ctx, &t->exec, t->program, &o));
done:
    return status;
}

static qv_status run_twice(trial *t)
{
    qv_status status = QV_OK;
    for (int round = 0; round < 2; round++) {
        QV_TRY(write_all(t, round));
        QV_TRY(qv_exec_run(t->ctx, t->exec, QV_LIST_TRAIN));
        for (size_t k = 0; k < t->n; k++) {
            entry *e = &t->entries[k];
            for (int i = 0; i < QV_MAX_OUT && round == 0; i++)
                if (e->p.out[i].n) QV_TRY(read_operand(t, &e->out[i], &e->first[i]));
            if (round == 1) QV_TRY(judge(t, e));
        }
        QV_TRY(qv_exec_check(t->ctx, t->exec));
    }
done:
    return status;
}

/* As if it had not run yet. */
static void forget(entry *e)
{
    for (int i = 0; i < QV_MAX_OUT; i++) {
        free(e->first[i]);
        e->first[i] = NULL;
    }
    e->verdict = (qv_verdict){0};
    e->trouble[0] = '\0';
}

static qv_status run_program(trial *t);

/* *named: a case turned out to be the one. */
static qv_status run_one_by_one(trial *t, bool *named)
{
    trial *one;
    qv_status status = qv_alloc(t->ctx, &one, 1, sizeof *one);
    for (size_t k = 0; k < t->n && status == QV_OK; k++) {
        forget(&t->entries[k]);
        *one = (trial){.ctx = t->ctx, .d = t->d, .n = 1};
        one->entries[0] = t->entries[k];
        status = run_program(one);
        t->entries[k] = one->entries[0];
        *named |= t->entries[k].trouble[0] != '\0';
    }
    free(one);
    return status;
}

/* Nothing that is asked after such an error would say anything. */
static bool is_lost(const trial *t, qv_status status)
{
    return status == QV_ERR_DEVICE && t->d->gpu && qv_gpu_answers(t->ctx, t->d->gpu) != QV_OK;
}

/* What a device refuses or fails at is its answer and not a failure of the check: cases are then tried one by one, to
 * name it. */
static qv_status run_program(trial *t)
{
    char answer[sizeof t->entries[0].trouble];
    bool named = false;
    qv_status status = build(t);
    if (status == QV_OK) status = run_twice(t);
    trial_end(t);
    if (status != QV_ERR_UNSUPPORTED && status != QV_ERR_DEVICE) return status;
    snprintf(answer, sizeof answer, "%s", qv_ctx_message(t->ctx));
    if (is_lost(t, status)) return qv_fail(t->ctx, QV_ERR_DEVICE, "%s", answer);
    status = t->n > 1 ? run_one_by_one(t, &named) : QV_OK;
    if (status == QV_OK && !named) complain(&t->entries[0], answer);
    return status;
}

static void clear(trial *t)
{
    for (size_t k = 0; k < t->n; k++) {
        entry *e = &t->entries[k];
        forget(e);
        qv_answer_free(&e->answer);
        qv_problem_free(&e->p);
        *e = (entry){0};
    }
    t->n = 0;
}

static qv_status finish_program(trial *t, qv_case_fn fn, void *user)
{
    qv_status status = t->n ? run_program(t) : QV_OK;
    for (size_t k = 0; k < t->n && status == QV_OK; k++) {
        const entry *e = &t->entries[k];
        qv_case c = {.kind = (qv_op_kind)e->p.op.kind, .index = e->index, .what = e->p.what, .verdict = e->verdict};
        if (e->trouble[0]) c.trouble = e->trouble;
        c.problem = &e->p, c.answer = &e->answer;
        fn(user, &c);
    }
    clear(t);
    return status;
}

/* Takes the problem over. */
static qv_status add_case(trial *t, qv_problem *p, size_t index)
{
    qv_status status = QV_OK;
    entry *e = &t->entries[t->n++];
    *e = (entry){.index = index, .p = *p};
    if (p->failed) return qv_fail(t->ctx, QV_ERR_MEMORY, "no memory for %s", p->what);
    qv_problem_round(&e->p, t->d->precision);
    QV_TRY(qv_answer_new(t->ctx, &e->answer, &e->p));
    if (t->d->device != QV_DEVICE_REF) qv_check_bound(t->d, &e->p, &e->answer);
done:
    return status;
}

/* Elements of all operands, and of the longest. */
static size_t elements(const qv_problem *p, size_t *longest)
{
    size_t n = 0;
    *longest = 0;
    for (int i = 0; i < QV_MAX_IN + QV_MAX_OUT; i++) {
        size_t len = qv_tensor_len(i < QV_MAX_IN ? &p->in[i] : &p->out[i - QV_MAX_IN]);
        n += len;
        if (len > *longest) *longest = len;
    }
    return n;
}

qv_status qv_check_op(qv_ctx *ctx, const qv_exec_options *d, qv_op_kind kind, const qv_choice *choice, qv_case_fn fn,
                      void *user)
{
    qv_status status = QV_OK;
    trial *t;
    qv_problem p;
    /* A program has one set of parameters and one of features. */
    size_t held = 0, longest, most = is_optimizer(kind) || kind == QV_OP_GATHER ? 1 : MOST_CASES;
    QV_TRY(qv_alloc(ctx, &t, 1, sizeof *t));
    *t = (trial){.ctx = ctx, .d = d};
    bool (*make)(qv_problem *, qv_op_kind, size_t, uint64_t) =
        d->precision == QV_PRECISION_BF16 ? qv_problem_make_bf16 : qv_problem_make;
    for (size_t i = 0; make(&p, kind, i, choice->seed); i++) {
        size_t n = elements(&p, &longest);
        if (choice->limit && longest > choice->limit) {
            qv_problem_free(&p);
            continue;
        }
        held += n;
        QV_TRY(add_case(t, &p, i));
        QV_TRY(qv_poll(ctx));
        if (t->n < most && held < MOST_ELEMENTS) continue;
        QV_TRY(finish_program(t, fn, user));
        held = 0;
    }
    QV_TRY(finish_program(t, fn, user));
    if (choice->large && make(&p, kind, QV_PROBLEM_LARGE, choice->seed)) {
        QV_TRY(add_case(t, &p, QV_PROBLEM_LARGE));
        QV_TRY(finish_program(t, fn, user));
    }
done:
    if (t) clear(t);
    free(t);
    return status;
}
