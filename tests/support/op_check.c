#include "support/op_check.h"

#include "kernels/bf16.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GUARD = 256, GUARD_BYTE = 0xA5, PRINTED = 3 };

static void *must(void *p)
{
    if (p) return p;
    fputs("op_check: no memory\n", stderr);
    abort();
}

/* --- operands on the backend --- */

/* One operand: its image in the host's memory, guards included, and its home on the backend. */
struct operand {
    unsigned char *image, *after; /* before and after the run */
    unsigned char *home;
    size_t bytes;
};

static void *runner_alloc(const qv_op_runner *r, size_t bytes)
{
    return must(r->alloc ? r->alloc(bytes) : aligned_alloc(64, (bytes + 63) / 64 * 64));
}

static void runner_free(const qv_op_runner *r, void *p)
{
    if (r->release)
        r->release(p);
    else
        free(p);
}

static void runner_copy(const qv_op_runner *r, void *to, const void *from, size_t bytes)
{
    if (!r->copy) {
        memcpy(to, from, bytes);
    } else if (r->copy(to, from, bytes)) {
        fputs("op_check: the device does not copy\n", stderr);
        abort();
    }
}

static struct operand operand_new(const qv_op_runner *r, size_t bytes)
{
    struct operand o = {.bytes = bytes};
    o.image = must(malloc(bytes + 2 * GUARD));
    o.after = must(malloc(bytes + 2 * GUARD));
    o.home = runner_alloc(r, bytes + 2 * GUARD);
    memset(o.image, GUARD_BYTE, bytes + 2 * GUARD);
    return o;
}

static void operand_free(const qv_op_runner *r, struct operand *o)
{
    free(o->image), free(o->after);
    runner_free(r, o->home);
}

static void operand_send(const qv_op_runner *r, struct operand *o)
{
    runner_copy(r, o->home, o->image, o->bytes + 2 * GUARD);
}

static void operand_fetch(const qv_op_runner *r, struct operand *o)
{
    runner_copy(r, o->after, o->home, o->bytes + 2 * GUARD);
}

static bool guards_whole(const struct operand *o)
{
    bool whole = true;
    for (size_t i = 0; i < GUARD; i++)
        whole = whole && o->after[i] == GUARD_BYTE && o->after[GUARD + o->bytes + i] == GUARD_BYTE;
    return whole;
}

/* A problem's numbers as the backend's reals, or as they are; element: bytes of one on the backend. */
static void operand_fill(struct operand *o, const qv_tensor *t, bool real, size_t element)
{
    unsigned char *dst = o->image + GUARD;
    if (!real || element == sizeof(double)) {
        memcpy(dst, t->data, o->bytes);
        return;
    }
    const double *src = t->data;
    for (size_t i = 0; i < qv_tensor_len(t); i++) {
        const float v = (float)src[i];
        const qv_bf16 h = qv_bf16_of(v);
        memcpy(dst + i * element, element == sizeof v ? (const void *)&v : &h, element);
    }
}

/* --- one case on one backend --- */

struct trial {
    const qv_op_runner *r;
    const qv_problem *p;
    struct operand in[QV_MAX_IN], out[QV_MAX_OUT], scratch;
    unsigned char *first[QV_MAX_OUT]; /* what the first run wrote */
    qv_tensor tin[QV_MAX_IN], tout[QV_MAX_OUT];
    void *plan;
    int n_in, n_out, bad;
    size_t index;
    uint64_t seed;
};

static void complain(struct trial *t, const char *text)
{
    if (t->bad++ >= PRINTED || t->r->quiet) return;
    fprintf(stderr, "FAILED %s, %s case %zu (%s; QV_SEED=%llu): %s\n", t->r->name,
            qv_op_info_of((qv_op_kind)t->p->op.kind).name, t->index, t->p->what, (unsigned long long)t->seed, text);
}

static bool in_bf16(const struct trial *t, bool output, int i)
{
    return t->r->bf16 && qv_operand_is_activation((qv_op_kind)t->p->op.kind, output, i);
}

static size_t element(const struct trial *t, bool output, int i)
{
    size_t size = qv_operand_size((qv_op_kind)t->p->op.kind, output, i, NULL);
    if (in_bf16(t, output, i)) return sizeof(qv_bf16);
    return size ? size : t->r->f64 ? sizeof(double) : sizeof(float);
}

static void make_operand(struct trial *t, bool output, int i)
{
    const qv_tensor *src = output ? &t->p->out[i] : &t->p->in[i];
    struct operand *o = output ? &t->out[i] : &t->in[i];
    qv_tensor *dst = output ? &t->tout[i] : &t->tin[i];
    *dst = (qv_tensor){NULL, src->n, src->h, src->w, src->c, in_bf16(t, output, i) ? QV_BF16 : src->dtype};
    if (!src->n) return;
    *o = operand_new(t->r, qv_tensor_len(src) * element(t, output, i));
    const bool real = qv_operand_size((qv_op_kind)t->p->op.kind, output, i, NULL) == 0;
    if (src->data) operand_fill(o, src, real, element(t, output, i));
    dst->data = o->home + GUARD;
}

/* Operands and scratch on the backend; false when it refuses the op. */
static bool trial_begin(struct trial *t, qv_ctx *ctx)
{
    qv_op_info info = qv_op_info_of((qv_op_kind)t->p->op.kind);
    t->n_in = info.n_in, t->n_out = info.n_out;
    for (int i = 0; i < t->n_in; i++) make_operand(t, false, i);
    for (int i = 0; i < t->n_out; i++) make_operand(t, true, i);
    size_t need = 0;
    qv_call call = {.op = &t->p->op, .in = t->tin, .out = t->tout, .pool = t->r->pool};
    bool refused = false;
    if (t->r->cpu) refused = qv_cpu_plan(ctx, &t->p->op, t->tin, t->tout, t->r->cpu, &t->plan, &need) != QV_OK;
    if (!refused && !t->plan) refused = t->r->table[t->p->op.kind](&call, &need) != 0;
    t->scratch = operand_new(t->r, need);
    if (refused) complain(t, qv_ctx_message(ctx)[0] ? qv_ctx_message(ctx) : "the op refuses to say what it needs");
    return !refused;
}

static void trial_end(struct trial *t)
{
    for (int i = 0; i < t->n_in; i++)
        if (t->in[i].home) operand_free(t->r, &t->in[i]);
    for (int i = 0; i < t->n_out; i++) {
        if (t->out[i].home) operand_free(t->r, &t->out[i]);
        free(t->first[i]);
    }
    operand_free(t->r, &t->scratch);
    if (t->plan) qv_cpu_plan_free(t->plan);
}

/* Runs once, with `garbage` in the scratch and in outputs that are not io. 0xFF.. is a NaN. */
static void trial_run(struct trial *t, int garbage)
{
    memset(t->scratch.image + GUARD, garbage, t->scratch.bytes);
    operand_send(t->r, &t->scratch);
    for (int i = 0; i < t->n_in; i++)
        if (t->tin[i].data) operand_send(t->r, &t->in[i]);
    for (int i = 0; i < t->n_out; i++) {
        if (!t->tout[i].data) continue;
        if (!t->p->out[i].data) memset(t->out[i].image + GUARD, garbage, t->out[i].bytes);
        operand_send(t->r, &t->out[i]);
    }
    qv_call call = {.op = &t->p->op,
                    .in = t->tin,
                    .out = t->tout,
                    .scratch = t->scratch.home + GUARD,
                    .pool = t->r->pool,
                    .plan = t->plan};
    if (t->r->table[t->p->op.kind](&call, NULL)) complain(t, "the op returns an error");
    operand_fetch(t->r, &t->scratch);
    if (!guards_whole(&t->scratch)) complain(t, "writes outside its scratch");
    for (int i = 0; i < t->n_in; i++) {
        if (!t->tin[i].data) continue;
        operand_fetch(t->r, &t->in[i]);
        if (memcmp(t->in[i].after, t->in[i].image, t->in[i].bytes + 2 * GUARD)) complain(t, "changes an input");
    }
    for (int i = 0; i < t->n_out; i++) {
        if (!t->tout[i].data) continue;
        operand_fetch(t->r, &t->out[i]);
        if (!guards_whole(&t->out[i])) complain(t, "writes outside an output");
    }
}

/* Number i of a tensor of the backend's; record: it is an integer, else a real of so many bytes. */
static double value(const unsigned char *data, bool record, size_t size, size_t i)
{
    int32_t whole;
    qv_bf16 half;
    float single;
    double number;
    const unsigned char *at = data + i * size;
    if (record) return memcpy(&whole, at, sizeof whole), (double)whole;
    if (size == sizeof half) return memcpy(&half, at, sizeof half), (double)qv_bf16_value(half);
    if (size == sizeof single) return memcpy(&single, at, sizeof single), (double)single;
    return memcpy(&number, at, sizeof number), number;
}

/* Output k against what the reference wrote. */
static void compare(struct trial *t, qv_ctx *ctx, int k, qv_answer *a)
{
    size_t len = qv_tensor_len(&a->out[k]);
    double *found = must(malloc((len + 1) * sizeof *found));
    qv_verdict v = {0};
    const bool record = qv_operand_size((qv_op_kind)t->p->op.kind, true, k, NULL) != 0;
    const size_t size = element(t, true, k);
    for (size_t i = 0; i < len; i++) found[i] = value(t->out[k].after + GUARD, record, size, i);
    qv_verdict_add(&v, t->p, a, k, found);
    if (!t->r->f64 && qv_answer_follow(ctx, a, t->p, k, found) != QV_OK) complain(t, qv_ctx_message(ctx));
    free(found);
    if (!v.wrong) return;
    char text[256];
    snprintf(text, sizeof text,
             "output %d, %zu of %zu elements wrong; worst at %zu: got %.9g, reference %.17g, allowed +-%.3g", k, v.wrong,
             v.elements, v.at, v.got, v.want, v.bound);
    complain(t, text);
}

static bool by_winograd(const qv_op_runner *r, const qv_problem *p)
{
    const bool conv = p->op.kind == QV_OP_CONV || p->op.kind == QV_OP_CONV_GRAD_X || p->op.kind == QV_OP_CONV_GRAD_W;
    return r->cpu && conv && qv_takes_winograd(r->cpu, &p->op, p->in, p->out);
}

static bool run_case(const qv_op_runner *r, const qv_problem *p, size_t index, uint64_t seed)
{
    qv_answer answer;
    struct trial t = {.r = r, .p = p, .index = index, .seed = seed};
    qv_ctx *ctx = must(qv_ctx_new());
    if (p->failed || qv_answer_new(ctx, &answer, p) != QV_OK) {
        complain(&t, p->failed ? "no memory" : qv_ctx_message(ctx));
        qv_ctx_free(ctx);
        return false;
    }
    if (by_winograd(r, p))
        qv_bound_winograd(p, answer.out, answer.bound[0]);
    else if (!r->f64)
        qv_problem_bound(p, answer.out, answer.bound);
    for (int k = 0; k < QV_MAX_OUT; k++)
        if (answer.bound[k] && in_bf16(&t, true, k)) qv_bound_bf16(&answer.out[k], answer.bound[k]);
    if (trial_begin(&t, ctx)) {
        trial_run(&t, 0xFF);
        for (int k = 0; k < t.n_out; k++)
            if (t.tout[k].data)
                memcpy(t.first[k] = must(malloc(t.out[k].bytes + 1)), t.out[k].after + GUARD, t.out[k].bytes);
        trial_run(&t, 0x3C);
        for (int k = 0; k < t.n_out; k++) {
            if (!t.tout[k].data) continue;
            if (memcmp(t.first[k], t.out[k].after + GUARD, t.out[k].bytes))
                complain(&t, "two runs differ, or something was not written");
            compare(&t, ctx, k, &answer);
        }
    }
    if (t.scratch.home) trial_end(&t);
    qv_answer_free(&answer);
    qv_ctx_free(ctx);
    return t.bad == 0;
}

static bool small_enough(const qv_op_runner *r, const qv_problem *p)
{
    size_t longest = 0;
    for (int i = 0; i < QV_MAX_IN; i++)
        if (qv_tensor_len(&p->in[i]) > longest) longest = qv_tensor_len(&p->in[i]);
    for (int i = 0; i < QV_MAX_OUT; i++)
        if (qv_tensor_len(&p->out[i]) > longest) longest = qv_tensor_len(&p->out[i]);
    return !r->limit || longest <= r->limit;
}

/* Of one op. met: cases that are small enough. */
struct tally {
    size_t met;
    int cases, failed;
};

static bool due(const qv_op_runner *r, struct tally *t) { return t->met++ % (r->every ? r->every : 1) == 0; }

/* Counts the case in; false when there is none with this number. */
static bool check_case(const qv_op_runner *r, qv_op_kind kind, size_t i, uint64_t seed, struct tally *t)
{
    qv_problem p;
    if (!(r->bf16 ? qv_problem_make_bf16 : qv_problem_make)(&p, kind, i, seed)) return false;
    if (small_enough(r, &p) && (due(r, t) || i == QV_PROBLEM_LARGE)) {
        t->failed += !run_case(r, &p, i, seed);
        t->cases++;
    }
    qv_problem_free(&p);
    return true;
}

int qv_op_check(const qv_op_runner *r, qv_op_kind kind, uint64_t seed, int *cases)
{
    struct tally t = {0};
    *cases = 0;
    if (!r->table[kind]) return 0;
    for (size_t i = 0; check_case(r, kind, i, seed, &t);) i++;
    if (r->large) check_case(r, kind, QV_PROBLEM_LARGE, seed, &t);
    *cases = t.cases;
    return t.failed;
}
