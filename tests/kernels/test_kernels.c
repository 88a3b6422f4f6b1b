/* The hand-written kernels against the reference in double, on whatever implements the CUDA runtime: a GPU, or
 * the emulation of tests/simt.
 *
 * The cases of op_check, with activations in float and in bf16, three times: operands between guard bands; operands
 * in allocations of exactly their size, where an address sanitizer looks on (or may, on a GPU) that sees a read
 * outside; operands one element off, which bars 16-byte accesses. Then shapes round the edges of the kernels' own
 * geometry. Calls that must be refused are in test_refusals.c.
 *
 * test_kernels [--small] [--every K] [--only TEST]: only cases of up to SMALL elements; of an op's cases only the first
 * and then each Kth, for what makes each of them slow (compute-sanitizer); only this of the tests below. QV_OPS: names
 * of ops, between commas; only these. Under the emulation all orders of threads but the first (SIMT_SEED 0, or unset)
 * see the small cases between guard bands alone: they take every path. */
#include <cuda_runtime_api.h>
#include <math.h>

#include "kernels/bf16.h"
#include "kernels/geometry.h"
#include "kernels/table.h"
#include "support/op_check.h"
#include "support/support.h"
#include "device.h"

enum { SMALL = 8192 };

static struct {
    size_t limit, every;
    bool first_order;
} choice;

static bool chosen(qv_op_kind kind)
{
    return qv_kernels[kind] && qv_test_wants_op(qv_op_info_of(kind).name);
}

/* --- memory --- */

static int device_copy(void *to, const void *from, size_t bytes)
{
    if (bytes == 0) return 0;
    return cudaMemcpy(to, from, bytes, cudaMemcpyDefault) != cudaSuccess || cudaDeviceSynchronize() != cudaSuccess;
}

/* --- the same kernels on other addresses --- */

/* A copy of an operand in an allocation of its own. */
struct moved {
    void *base, *original;
    size_t bytes;
};

static struct moved move(qv_tensor *t, size_t element, size_t skew)
{
    struct moved m = {NULL, t->data, qv_tensor_len(t) * element};
    if (!t->data) return m;
    m.base = device_alloc(skew + m.bytes);
    t->data = (char *)m.base + skew;
    check((cudaError_t)device_copy(t->data, m.original, m.bytes));
    return m;
}

/* Bytes of an element of a tensor of the backend's; *real: it is a number, not an index or a record. */
static size_t element(qv_op_kind kind, bool output, int i, const qv_tensor *t, bool *real)
{
    size_t size = qv_operand_size(kind, output, i, NULL);
    *real = size == 0;
    if (size) return size;
    return t->dtype == QV_BF16 ? sizeof(qv_bf16) : sizeof(float);
}

/* Runs the kernel on copies of all operands, each number of them `skew` elements off, and copies the outputs back. */
static int run_moved(const qv_call *c, size_t *need, size_t skew)
{
    qv_op_kind kind = (qv_op_kind)c->op->kind;
    qv_op_info info = qv_op_info_of(kind);
    if (need) return qv_kernels[kind](c, need);
    qv_tensor in[QV_MAX_IN], out[QV_MAX_OUT];
    struct moved min[QV_MAX_IN], mout[QV_MAX_OUT];
    qv_call call = *c;
    call.in = in, call.out = out;
    for (int i = 0; i < info.n_in; i++) {
        bool real;
        size_t size = element(kind, false, i, &c->in[i], &real);
        in[i] = c->in[i];
        min[i] = move(&in[i], size, real ? skew * size : 0);
    }
    for (int i = 0; i < info.n_out; i++) {
        bool real;
        size_t size = element(kind, true, i, &c->out[i], &real);
        out[i] = c->out[i];
        mout[i] = move(&out[i], size, real ? skew * size : 0);
    }
    size_t scratch = 0;
    int error = qv_kernels[kind](&call, &scratch);
    call.scratch = device_alloc(scratch);
    if (!error) error = qv_kernels[kind](&call, NULL);
    for (int i = 0; i < info.n_out; i++) {
        if (!mout[i].base) continue;
        check((cudaError_t)device_copy(mout[i].original, out[i].data, mout[i].bytes));
        device_free(mout[i].base);
    }
    for (int i = 0; i < info.n_in; i++)
        if (min[i].base) device_free(min[i].base);
    device_free(call.scratch);
    return error;
}

/* Is there anybody to see a read outside? Of the emulation's builds one is for that. */
#if defined(QV_SIMT) && !defined(SIMT_FLAVOUR_asan)
static const bool watched = false;
#else
static const bool watched = true;
#endif

static int run_tight(const qv_call *c, size_t *need) { return run_moved(c, need, 0); }
static int run_skewed(const qv_call *c, size_t *need) { return run_moved(c, need, 1); }

/* --- all ops, all cases --- */

static void check_cases(const char *name, const qv_op_fn *table, size_t limit, bool bf16)
{
    int failed = 0;
    qv_op_runner r = {.name = name,
                      .table = table,
                      .bf16 = bf16,
                      .limit = limit,
                      .every = choice.every,
                      .alloc = device_alloc,
                      .release = device_free,
                      .copy = device_copy};
    /* The convolutions, which take longest, come last: a fault elsewhere is seen soon. */
    for (int kind = QV_OP_COUNT - 1; kind >= 0; kind--) {
        int cases;
        if (!chosen((qv_op_kind)kind)) continue;
        /* Of the convolutions the long cases are there for other algorithms. */
        r.limit = kind <= QV_OP_CONV_GRAD_W ? SMALL : limit;
        failed += qv_op_check(&r, (qv_op_kind)kind, qv_test_seed(), &cases);
        assert_true(cases > 0);
    }
    assert_int_equal(failed, 0);
}

static void check_moved(const char *name, qv_op_fn fn, bool bf16)
{
    qv_op_fn table[QV_OP_COUNT];
    if (!choice.first_order) return;
    for (int kind = 0; kind < QV_OP_COUNT; kind++) table[kind] = qv_kernels[kind] ? fn : NULL;
    check_cases(name, table, SMALL, bf16);
}

static void between_guard_bands(void **state)
{
    (void)state;
    check_cases("kernels", qv_kernels, choice.limit, false);
    check_cases("kernels, bf16", qv_kernels, SMALL, true);
}

static void in_tight_memory(void **state)
{
    (void)state;
    if (!watched) skip(); /* nobody sees a read outside here, the build with AddressSanitizer, another test, does */
    check_moved("kernels, tight memory", run_tight, false);
    check_moved("kernels, bf16, tight memory", run_tight, true);
}

static void off_sixteen_bytes(void **state)
{
    (void)state;
    check_moved("kernels, 4 bytes off", run_skewed, false);
    check_moved("kernels, bf16, 2 bytes off", run_skewed, true);
}

/* --- the edges of the geometry --- */

/* What a shape is for, seen from kernels/geometry.h. */
static const struct edge {
    int n, h, w, c;
    bool sums; /* only for what sums over all rows */
    const char *why;
} edges[] = {
    {40, 8, 8, 64, false, "several blocks, merged by one pass of lanes"},
    {1, 300, 256, 3, false, "odd channels, 85 lanes; more blocks than the merge has lanes"},
    {7, 4, 5, 132, false, "33 vectors of floats: 7 lanes and idle threads"},
    {3, 4, 5, 264, false, "33 vectors of bf16: 7 lanes and idle threads"},
    {3, 1, 1, 1030, false, "scalars in five columns of blocks, the last one short"},
    {2, 1, 3, 2056, false, "vectors in columns of blocks, three of floats or two of bf16, the last one short"},
    {500, 1, 1, 8, false, "one position a sample: every row another sample"},
    {2, 1, 257, 4, false, "one vector a row: 256 lanes, two of which have a row more"},
    {1, 1050, 1024, 1, true, "as many blocks as there may be: more rows a thread"},
};

enum { EDGES = sizeof edges / sizeof *edges };

static qv_tensor shape(int n, int h, int w, int c) { return (qv_tensor){NULL, n, h, w, c, QV_REAL}; }

static double as_bf16(double v) { return (double)qv_bf16_value(qv_bf16_of((float)v)); }

/* Floats around `mean`, a deviation of `scale`. */
static void fill(qv_tensor *t, qv_tensor of, double mean, double scale, uint64_t *rng)
{
    *t = of;
    double *v = calloc(qv_tensor_len(t), sizeof *v);
    if (!v) abort();
    t->data = v;
    for (size_t i = 0; i < qv_tensor_len(t); i++) v[i] = (double)(float)(mean + scale * qv_test_normal(rng));
}

static void fill_coefficients(qv_tensor *t, int n, uint64_t *rng)
{
    *t = shape(n, 1, 1, 1);
    double *v = calloc((size_t)n, sizeof *v);
    if (!v) abort();
    t->data = v;
    for (int i = 0; i < n; i++) v[i] = (double)(qv_test_next(rng) >> 40) * 0x1p-24;
}

/* Counters of a sum in one launch: zeros. */
static void fill_tickets(qv_tensor *t, int channels)
{
    *t = shape(1, 1, 1, qv_ticket_words(channels));
    t->data = calloc(qv_tensor_len(t), sizeof(double));
    if (!t->data) abort();
}

/* Operands 1..5 of a batch norm whose operand 0 or 1 is x. */
static void fill_norm(qv_problem *p, int first, int channels, int sets, double mean, uint64_t *rng)
{
    const double around[4] = {mean, 1, 0, 0}, scale[4] = {1, 0.1, 1, 1};
    for (int i = 0; i < 4; i++)
        fill(&p->in[first + i], shape(1, 1, 1, channels * (i < 2 ? 1 : sets)), around[i], scale[i], rng);
}

/* whole: in one launch, as in a fused step. */
static void make_grad(qv_problem *p, const struct edge *e, bool whole, uint64_t *rng)
{
    bool sums = p->op.kind == QV_OP_BN_GRAD_SUMS;
    int sides = p->what[0] == 'c' ? 2 : 1, sets = p->op.a.bn.repeat;
    /* Where a million numbers cancel, the bound of their sum is as large as the sum. */
    fill(&p->in[0], shape(e->n, e->h, e->w, e->c * sets), e->sums ? 2 : 0, 1, rng);
    fill(&p->in[1], shape(e->n, e->h, e->w, e->c * sides), 1000, 1, rng);
    fill_norm(p, 2, e->c * sides, sets, 1000, rng);
    qv_tensor of = shape(1, 1, 1, e->c * sides * sets);
    if (sides == 2) fill_coefficients(&p->in[sums ? 6 : 8], e->n, rng);
    if (sums) {
        p->out[0] = p->out[1] = of;
        if (whole) fill_tickets(&p->out[2], e->c * sides);
    } else {
        fill(&p->in[6], of, 0, 10, rng);
        fill(&p->in[7], of, 0, 10, rng);
        fill(&p->in[9], p->in[1], 0, 1, rng);
        p->out[0] = shape(e->n, e->h, e->w, e->c * sides);
    }
}

static qv_problem problem(qv_op_kind kind, const char *what, int repeat)
{
    qv_problem p = {.op = {.kind = (int32_t)kind}};
    snprintf(p.what, sizeof p.what, "%s", what);
    if (kind >= QV_OP_BN_STATS && kind <= QV_OP_BLOCK_END) p.op.a.bn = (qv_bn_attr){.eps = 1e-5f, .repeat = repeat};
    return p;
}

/* A tensor on the device, as `element` bytes each: float or bf16. */
static void send(const qv_tensor *t, size_t element, qv_tensor *on_device)
{
    size_t len = qv_tensor_len(t);
    unsigned char *host = malloc(len * element);
    if (!host) abort();
    for (size_t i = 0; i < len; i++) {
        const float v = (float)((const double *)t->data)[i];
        const qv_bf16 h = qv_bf16_of(v);
        memcpy(host + i * element, element == sizeof v ? (const void *)&v : &h, element);
    }
    *on_device = *t;
    on_device->dtype = element == sizeof(float) ? QV_REAL : QV_BF16;
    on_device->data = device_alloc(len * element);
    check((cudaError_t)device_copy(on_device->data, host, len * element));
    free(host);
}

static size_t stored(qv_op_kind kind, bool output, int i, bool bf16)
{
    return bf16 && qv_operand_is_activation(kind, output, i) ? sizeof(qv_bf16) : sizeof(float);
}

/* An output: NaN, or what it starts with. */
static void begin_output(const qv_tensor *t, size_t element, qv_tensor *on_device)
{
    if (t->data) {
        send(t, element, on_device);
        return;
    }
    *on_device = *t;
    on_device->dtype = element == sizeof(float) ? QV_REAL : QV_BF16;
    on_device->data = device_alloc(qv_tensor_len(t) * element);
    check(cudaMemset(on_device->data, 0xFF, qv_tensor_len(t) * element));
}

/* Output k judged, and what follows from it. Counters are zeros, which are the same integers and floats. */
static void judge(qv_ctx *ctx, const qv_problem *p, qv_answer *a, int k, const qv_tensor *on_device, qv_verdict *v)
{
    const size_t len = qv_tensor_len(on_device);
    const size_t element = on_device->dtype == QV_BF16 ? sizeof(qv_bf16) : sizeof(float);
    unsigned char *got = malloc(len * element);
    double *found = malloc(len * sizeof *found);
    if (!got || !found || device_copy(got, on_device->data, len * element)) abort();
    for (size_t i = 0; i < len; i++) {
        float f;
        qv_bf16 h;
        memcpy(element == sizeof f ? (void *)&f : &h, got + i * element, element);
        found[i] = (double)(element == sizeof f ? f : qv_bf16_value(h));
    }
    if (on_device->dtype == QV_BF16) qv_bound_bf16(&a->out[k], a->bound[k]);
    qv_verdict_add(v, p, a, k, found);
    qv_assert_ok(ctx, qv_answer_follow(ctx, a, p, k, found));
    free(got), free(found);
}

/* Runs a problem of reals and counters and compares. The scratch starts as NaN too. */
static bool passes_in(const qv_problem *p, const char *why, bool bf16)
{
    qv_op_kind kind = (qv_op_kind)p->op.kind;
    qv_op_info info = qv_op_info_of(kind);
    qv_tensor in[QV_MAX_IN] = {0}, out[QV_MAX_OUT] = {0};
    qv_ctx *ctx = qv_test_ctx();
    qv_answer answer;
    qv_verdict v = {0};
    size_t need = 0;
    qv_assert_ok(ctx, qv_answer_new(ctx, &answer, p));
    qv_problem_bound(p, answer.out, answer.bound);
    for (int i = 0; i < info.n_in; i++)
        if (p->in[i].data) send(&p->in[i], stored(kind, false, i, bf16), &in[i]);
    for (int k = 0; k < info.n_out; k++)
        if (p->out[k].n) begin_output(&p->out[k], stored(kind, true, k, bf16), &out[k]);
    qv_call call = {.op = &p->op, .in = in, .out = out};
    int error = qv_kernels[kind](&call, &need);
    call.scratch = device_alloc(need);
    check(cudaMemset(call.scratch, 0xFF, need));
    error = error || qv_kernels[kind](&call, NULL);
    for (int k = 0; k < info.n_out; k++) {
        if (!out[k].data) continue;
        judge(ctx, p, &answer, k, &out[k], &v);
        device_free(out[k].data);
    }
    for (int i = 0; i < info.n_in; i++)
        if (in[i].data) device_free(in[i].data);
    device_free(call.scratch);
    qv_answer_free(&answer);
    qv_ctx_free(ctx);
    bool good = !error && v.wrong == 0;
    if (!good)
        print_error("FAILED %s%s %s at %dx%dx%dx%d (%s; QV_SEED=%llu): error %d, worst element %g of its bound\n",
                    info.name, bf16 ? " in bf16" : "", p->what, p->in[0].n, p->in[0].h, p->in[0].w, p->in[0].c, why,
                    (unsigned long long)qv_test_seed(), error, v.share);
    return good;
}

/* In float; then, with activations rounded, in bf16. Releases the problem. */
static bool passes(qv_problem *p, const char *why, bool in_bf16)
{
    qv_op_kind kind = (qv_op_kind)p->op.kind;
    bool good = passes_in(p, why, false);
    for (int i = 0; i < qv_op_info_of(kind).n_in && in_bf16; i++) {
        double *v = qv_operand_is_activation(kind, false, i) ? p->in[i].data : NULL;
        for (size_t k = 0, n = qv_tensor_len(&p->in[i]); v && k < n; k++) v[k] = as_bf16(v[k]);
    }
    if (in_bf16) good = passes_in(p, why, true) && good;
    qv_problem_free(p);
    return good;
}

static bool within_limit(const struct edge *e)
{
    return !choice.limit || (size_t)e->n * (size_t)e->h * (size_t)e->w * (size_t)e->c <= choice.limit;
}

/* Outputs of what ends in batch norm's statistics in one launch. */
static void make_finish(qv_problem *p, qv_tensor *out, const struct edge *e, uint64_t *rng)
{
    p->op.a.bn.momentum = 0.1f;
    p->op.a.bn.count = (int64_t)e->n * e->h * e->w;
    out[0] = out[1] = shape(1, 1, 1, e->c);
    fill(&out[2], out[0], 0, 1, rng);
    fill(&out[3], out[0], 3, 0.1, rng);
    fill_tickets(&out[4], e->c);
}

/* Edges with as many blocks as there may be normalize the shortcut. */
static void make_end(qv_problem *p, const struct edge *e, uint64_t *rng)
{
    fill(&p->in[0], shape(e->n, e->h, e->w, 2 * e->c), 1000, 1, rng);
    fill_norm(p, 1, 2 * e->c, 1, 1000, rng);
    fill_coefficients(&p->in[5], e->n, rng);
    fill(&p->in[6], shape(e->n, e->h, e->w, e->c), 1000, 1, rng);
    if (e->sums) fill_norm(p, 7, e->c, 1, 1000, rng);
    p->out[0] = shape(e->n, e->h, e->w, e->c);
    make_finish(p, &p->out[1], e, rng);
}

static void make_statistics(qv_problem *p, const struct edge *e, double mean, uint64_t *rng)
{
    if (p->op.kind == QV_OP_BLOCK_END) {
        make_end(p, e, rng);
        return;
    }
    fill(&p->in[0], shape(e->n, e->h, e->w, e->c), mean, 1, rng);
    if (p->op.kind == QV_OP_BN_MEASURE)
        make_finish(p, p->out, e, rng);
    else
        p->out[0] = p->out[1] = shape(1, 1, 1, e->c);
}

/* In two launches and in one. */
static void statistics_at_the_edges(void **state)
{
    (void)state;
    static const struct {
        qv_op_kind kind;
        const char *what;
        double mean;
    } modes[] = {{QV_OP_BN_STATS, "centred", 0},
                 {QV_OP_BN_STATS, "offset", 1000},
                 {QV_OP_BN_MEASURE, "offset", 1000},
                 {QV_OP_BLOCK_END, "measured", 1000}};
    int bad = 0;
    uint64_t rng = qv_test_seed();
    for (int i = 0; i < EDGES; i++) {
        const struct edge *e = &edges[i];
        for (size_t k = 0; k < sizeof modes / sizeof *modes; k++) {
            if (!chosen(modes[k].kind) || !within_limit(e)) continue;
            qv_problem p = problem(modes[k].kind, modes[k].what, 1);
            make_statistics(&p, e, modes[k].mean, &rng);
            bad += !passes(&p, e->why, !e->sums);
        }
    }
    assert_int_equal(bad, 0);
}

static void gradients_at_the_edges(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        int repeat;
        bool whole; /* sums in one launch */
    } modes[] = {{"plain", 1, false}, {"plain", 1, true}, {"repeat", 2, true}, {"coef", 1, true}};
    const qv_op_kind kinds[] = {QV_OP_BN_GRAD_SUMS, QV_OP_BN_GRAD_APPLY};
    int bad = 0;
    uint64_t rng = qv_test_seed();
    for (int i = 0; i < EDGES; i++) {
        for (int k = 0; k < 2; k++) {
            if (!chosen(kinds[k]) || !within_limit(&edges[i]) || (k == 1 && edges[i].sums)) continue;
            for (int mode = k; mode < 4; mode++) { /* only the sums have two ways */
                qv_problem p = problem(kinds[k], modes[mode].what, modes[mode].repeat);
                make_grad(&p, &edges[i], modes[mode].whole, &rng);
                bad += !passes(&p, edges[i].why, !edges[i].sums);
            }
        }
    }
    assert_int_equal(bad, 0);
}

/* Operands of the ops that move rows without summing over all of them. */
static void make_pass(qv_problem *p, const struct edge *e, uint64_t *rng)
{
    qv_tensor one = shape(e->n, e->h, e->w, e->c), two = shape(e->n, e->h, e->w, 2 * e->c);
    qv_tensor point = shape(e->n, 1, 1, e->c);
    switch (p->op.kind) {
    case QV_OP_BN_APPLY:
        fill(&p->in[0], one, 1000, 1, rng);
        fill_norm(p, 1, e->c, 2, 1000, rng);
        p->out[0] = two;
        break;
    case QV_OP_BN_SHAKE_ADD:
        fill(&p->in[0], two, 1000, 1, rng);
        fill_norm(p, 1, 2 * e->c, 1, 1000, rng);
        fill_coefficients(&p->in[5], e->n, rng);
        fill(&p->in[6], one, 0, 1, rng);
        p->out[0] = one;
        break;
    case QV_OP_SHAKE_ADD:
        fill(&p->in[0], two, 0, 1, rng);
        fill_coefficients(&p->in[1], e->n, rng);
        fill(&p->in[2], one, 0, 1, rng);
        p->out[0] = one;
        break;
    case QV_OP_SHAKE_GRAD:
        fill(&p->in[0], one, 0, 1, rng);
        fill_coefficients(&p->in[1], e->n, rng);
        p->out[0] = two;
        break;
    case QV_OP_SCALE:
        fill(&p->in[0], one, 0, 1, rng);
        fill_coefficients(&p->in[1], e->n, rng);
        p->out[0] = one;
        break;
    case QV_OP_POOL:
        fill(&p->in[0], one, 0, 1, rng);
        p->out[0] = point;
        break;
    default:
        fill(&p->in[0], point, 0, 1, rng);
        p->out[0] = one;
    }
}

static void passes_at_the_edges(void **state)
{
    (void)state;
    const qv_op_kind kinds[] = {QV_OP_BN_APPLY, QV_OP_BN_SHAKE_ADD, QV_OP_SHAKE_ADD, QV_OP_SHAKE_GRAD,
                                QV_OP_SCALE,    QV_OP_POOL,         QV_OP_POOL_GRAD};
    int bad = 0;
    uint64_t rng = qv_test_seed();
    for (int i = 0; i < EDGES; i++) {
        for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
            if (!chosen(kinds[k]) || !within_limit(&edges[i]) || edges[i].sums) continue;
            qv_problem p = problem(kinds[k], "", 2);
            make_pass(&p, &edges[i], &rng);
            bad += !passes(&p, edges[i].why, !edges[i].sums);
        }
    }
    assert_int_equal(bad, 0);
}

/* --- labels --- */

enum { ROWS = 4, CLASSES = 3 };

struct loss_result {
    float loss[2], dlogits[ROWS][CLASSES], probs[ROWS][CLASSES];
};

static struct loss_result loss_of(const int32_t labels[ROWS], const float weight[CLASSES])
{
    static const float logits[ROWS][CLASSES] = {{1, 2, 3}, {0, 0, 0}, {-5, 5, 1}, {2, 1, 0}};
    struct loss_result r;
    const void *from[3] = {logits, labels, weight};
    void *to[3] = {r.loss, r.dlogits, r.probs};
    const size_t in_bytes[3] = {sizeof logits, ROWS * sizeof *labels, CLASSES * sizeof *weight};
    const size_t out_bytes[3] = {sizeof r.loss, sizeof r.dlogits, sizeof r.probs};
    qv_tensor in[QV_MAX_IN] = {shape(ROWS, 1, 1, CLASSES), shape(ROWS, 1, 1, 1), shape(1, 1, 1, CLASSES)};
    qv_tensor out[QV_MAX_OUT] = {shape(1, 1, 1, 2), shape(ROWS, 1, 1, CLASSES), shape(ROWS, 1, 1, CLASSES)};
    for (int i = 0; i < 3; i++) {
        in[i].data = device_alloc(in_bytes[i]);
        check((cudaError_t)device_copy(in[i].data, from[i], in_bytes[i]));
        out[i].data = device_alloc(out_bytes[i]);
    }
    qv_op op = {.kind = QV_OP_LOSS};
    qv_call call = {.op = &op, .in = in, .out = out};
    assert_int_equal(qv_cuda_loss(&call, NULL), 0);
    for (int i = 0; i < 3; i++) {
        check((cudaError_t)device_copy(to[i], out[i].data, out_bytes[i]));
        device_free(in[i].data);
        device_free(out[i].data);
    }
    return r;
}

/* Labels whose classes weigh nothing leave no gradient, and not 0/0. */
static void weightless_labels_leave_no_gradient(void **state)
{
    (void)state;
    struct loss_result r = loss_of((const int32_t[]){0, 1, 2, 0}, (const float[]){0, 0, 0});
    assert_true(r.loss[0] == 0 && r.loss[1] == 0);
    for (int i = 0; i < ROWS * CLASSES; i++) assert_true(r.dlogits[i / CLASSES][i % CLASSES] == 0);
}

/* A label beyond the classes is never used as an index. */
static void unknown_class_counts_as_no_label(void **state)
{
    (void)state;
    const float weight[CLASSES] = {1, 2, 0.5f};
    struct loss_result none = loss_of((const int32_t[]){0, -1, 2, 1}, weight);
    struct loss_result beyond = loss_of((const int32_t[]){0, CLASSES, 2, 1}, weight);
    assert_true(none.loss[1] == 3.5f);
    assert_memory_equal(&none, &beyond, sizeof none);
}

int main(int argc, char **argv)
{
    const char *order = getenv("SIMT_SEED");
    choice.first_order = !order || !strcmp(order, "0");
    if (!choice.first_order) choice.limit = SMALL;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--small")) {
            choice.limit = SMALL;
        } else if (!strcmp(argv[i], "--every") && i + 1 < argc && atoi(argv[i + 1]) > 0) {
            choice.every = (size_t)atoi(argv[++i]);
        } else if (!strcmp(argv[i], "--only") && i + 1 < argc) {
            cmocka_set_test_filter(argv[++i]);
        } else {
            fprintf(stderr, "usage: %s [--small] [--every K] [--only TEST]\n", argv[0]);
            return 2;
        }
    }
    if (!device_there()) return 0;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(between_guard_bands),
        cmocka_unit_test(in_tight_memory),
        cmocka_unit_test(off_sixteen_bytes),
        cmocka_unit_test(statistics_at_the_edges),
        cmocka_unit_test(gradients_at_the_edges),
        cmocka_unit_test(passes_at_the_edges),
        cmocka_unit_test(weightless_labels_leave_no_gradient),
        cmocka_unit_test(unknown_class_counts_as_no_label),
    };
    return cmocka_run_group_tests_name("kernels", tests, NULL, NULL);
}
