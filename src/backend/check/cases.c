/* The table of cases, one row an op. */
#include <stdlib.h>

#include "backend/check/maker.h"

/* A row of ops.def without its case and bound here does not link. */
static const struct {
    void (*make)(qv_maker *m);
    void (*bound)(const qv_problem *p, const qv_tensor *expect, double *const *bound);
} tests[QV_OP_COUNT] = {
#define QV_OP(NAME, name, cpu, cuda, in, out) [QV_OP_##NAME] = {qv_make_##name, qv_bound_##name},
#include "backend/ops.def"
#undef QV_OP
};

/* Every operand that the case has, outputs apart that start as nothing, has its numbers. */
static bool has_data(const qv_problem *p)
{
    qv_op_info info = qv_op_info_of((qv_op_kind)p->op.kind);
    bool io, whole = true;
    for (int i = 0; i < info.n_in; i++) whole = whole && (p->in[i].n == 0 || p->in[i].data);
    for (int i = 0; i < info.n_out; i++) {
        qv_operand_size((qv_op_kind)p->op.kind, true, i, &io);
        whole = whole && (!io || p->out[i].n == 0 || p->out[i].data);
    }
    return whole;
}

static bool make(qv_problem *p, qv_op_kind kind, size_t i, uint64_t seed, bool bf16)
{
    *p = (qv_problem){.op = {.kind = (int32_t)kind}, .bf16 = bf16};
    bool large = i == QV_PROBLEM_LARGE;
    qv_maker m = {.p = p, .index = large ? 0 : i, .large = large};
    m.rng = (seed << 20) ^ ((uint64_t)kind << 12) ^ i;
    tests[kind].make(&m);
    p->failed = !has_data(p);
    if (large ? m.shaped : m.index == 0) return true;
    qv_problem_free(p);
    return false;
}

bool qv_problem_make(qv_problem *p, qv_op_kind kind, size_t i, uint64_t seed) { return make(p, kind, i, seed, false); }

bool qv_problem_make_bf16(qv_problem *p, qv_op_kind kind, size_t i, uint64_t seed)
{
    return make(p, kind, i, seed, true);
}

void qv_problem_free(qv_problem *p)
{
    for (int i = 0; i < QV_MAX_IN; i++) free(p->in[i].data);
    for (int i = 0; i < QV_MAX_OUT; i++) free(p->out[i].data);
    *p = (qv_problem){0};
}

void qv_problem_bound(const qv_problem *p, const qv_tensor *expect, double *const *bound)
{
    tests[p->op.kind].bound(p, expect, bound);
}
