/* Random networks: a step on ref32 and on the CPU, fused and not, with every instruction set, against ref; built with
 * the emulation of a GPU (tests/cuda) on that instead. A network that fails is made smaller for as long as it fails,
 * and printed.
 *
 * QV_PROGRAMS of the environment: how many (60; tests/long/programs.sh takes a thousand). */
#include <math.h>

#include "support/net_run.h"
#include "support/support.h"

/* Loss and gradient of one step. */
typedef struct answer {
    double loss, *gradient;
    size_t n;
} answer;

/* A buffer whose numbers are changed a little before the step, each by its own share of `by` times itself and `size`.
 */
static void move_buffer(qv_net_run *r, int id, double by, double size, uint64_t *random)
{
    size_t n;
    double *x = qv_net_run_read(r, id, &n);
    for (size_t i = 0; i < n; i++) x[i] += by * (fabs(x[i]) + size) * qv_test_uniform(random, -1, 1);
    qv_net_run_write(r, id, x);
    free(x);
}

static answer gradient_of(qv_ctx *ctx, qv_net_run *r)
{
    answer a = {.loss = qv_net_run_step(ctx, r), .gradient = calloc(r->n_parameters, sizeof(double))};
    const qv_program *p = r->net->program;
    assert_non_null(a.gradient);
    for (size_t i = 0; i < p->n_buffers; i++) { /* without the padding, which differs with the size of a number */
        if (p->buffers[i].role != QV_ROLE_GRAD || p->buffers[i].alias >= 0) continue;
        size_t len = qv_buffer_len(&p->buffers[i]);
        qv_exec_read(r->exec, (int)i, 0, len, a.gradient + a.n);
        a.n += len;
    }
    return a;
}

static answer take_step(qv_ctx *ctx, const qv_net_config *c, uint64_t seed, qv_exec_options exec)
{
    qv_net_run r;
    qv_net_run_new(ctx, &r, c, seed, &(qv_net_run_options){.exec = exec});
    answer a = gradient_of(ctx, &r);
    qv_net_run_free(&r);
    return a;
}

static double distance_of(answer a, const answer *exact)
{
    double d = qv_distance(a.gradient, exact->gradient, a.n);
    free(a.gradient);
    return d;
}

/* What is moved how far: `roundings` times two of float, in directions drawn from `random`. */
typedef struct move {
    int roundings;
    uint64_t random;
} move;

/* How far the gradient goes where parameters and input are moved, for each two roundings. */
static double moved_parameters(qv_ctx *ctx, const qv_net_config *c, uint64_t seed, move m, const answer *exact)
{
    qv_net_run r;
    qv_net_run_new(ctx, &r, c, seed, &(qv_net_run_options){.exec = {.device = QV_DEVICE_REF}});
    move_buffer(&r, r.parameters, 0x1p-23 * m.roundings, 0, &m.random);
    move_buffer(&r, r.net->input, 0x1p-23 * m.roundings, 0, &m.random);
    double d = distance_of(gradient_of(ctx, &r), exact);
    qv_net_run_free(&r);
    return d / m.roundings;
}

/* All that the op behind a buffer wrote, so that the op need not run again. */
static void copy_outputs(const qv_net_run *from, qv_net_run *to, const char *name)
{
    const qv_op_list *l = &from->net->program->lists[QV_LIST_TRAIN];
    int id = qv_net_run_find(from, name);
    for (size_t i = 0; i < l->n; i++)
        for (int k = 0; k < QV_MAX_OUT; k++) {
            if (l->ops[i].out[k] != id) continue;
            for (int j = 0; j < QV_MAX_OUT; j++) {
                if (l->ops[i].out[j] < 0) continue;
                double *x = qv_net_run_read(from, l->ops[i].out[j], NULL);
                qv_net_run_write(to, l->ops[i].out[j], x);
                free(x);
            }
        }
}

/* What the gradient at a logit is made of: the weight of a recording in the loss, and the length of a direction. The
 * largest of each. */
static double size_of_dlogits(const qv_net_run *r)
{
    const qv_net_config *c = &r->net->config;
    double sums[2], weight = 0, length = 1;
    size_t n;
    qv_exec_read(r->exec, r->net->loss, 0, 2, sums);
    double *w = qv_net_run_read(r, r->net->class_weights, &n);
    for (size_t i = 0; i < n; i++) weight = fmax(weight, w[i]);
    free(w);
    if (c->head == QV_HEAD_COSFACE || c->head == QV_HEAD_ARCFACE) length = (double)c->margin.scale;
    if (c->head == QV_HEAD_A_SOFTMAX) {
        w = qv_net_run_read(r, qv_net_run_find(r, "row.norm"), &n);
        for (size_t i = 0; i < n; i++) length = fmax(length, w[i]);
        free(w);
    }
    return length * weight / sums[1];
}

/* The same of a buffer within the step that rounds more than the parameters' moves show: the cosines of a head, which
 * near 1 hardly depend on the parameters and where an angle is steep; the gradient at the logits, a probability less
 * its target, which cancel where the network is sure. */
static double moved_inside(qv_ctx *ctx, const qv_net_config *c, uint64_t seed, move m, const answer *exact, bool logits)
{
    qv_net_run from, to;
    qv_net_run_options o = {.exec = {.device = QV_DEVICE_REF, .keep_buffers = true}};
    qv_net_run_new(ctx, &from, c, seed, &o);
    qv_net_run_step(ctx, &from);
    char name[sizeof from.net->program->buffers->name] = "cosines";
    if (logits) memcpy(name, from.net->program->buffers[from.dlogits].name, sizeof name);
    o.host_buffer = name;
    qv_net_run_new(ctx, &to, c, seed, &o);
    copy_outputs(&from, &to, name);
    move_buffer(&to, qv_net_run_find(&to, name), 0x1p-23 * m.roundings, logits ? size_of_dlogits(&from) : 0, &m.random);
    double d = distance_of(gradient_of(ctx, &to), exact);
    qv_net_run_free(&from);
    qv_net_run_free(&to);
    return d / m.roundings;
}

static qv_tensor shape_of(const qv_program *p, int id)
{
    const qv_buffer *b = &p->buffers[id];
    return (qv_tensor){NULL, b->n, b->h, b->w, b->c, (int32_t)b->dtype};
}

/* Whether the CPU takes any convolution by Winograd's algorithm. */
static bool has_winograd(qv_ctx *ctx, const qv_net_config *c)
{
    qv_net *net;
    bool any = false;
    qv_assert_ok(ctx, qv_net_new(ctx, &net, c, NULL));
    const qv_program *p = net->program;
    const qv_op_list *l = &p->lists[QV_LIST_TRAIN];
    for (size_t i = 0; i < l->n; i++) {
        const qv_op *op = &l->ops[i];
        if (op->kind < QV_OP_CONV || op->kind > QV_OP_CONV_GRAD_W) continue;
        const qv_tensor in[] = {shape_of(p, op->in[0]), shape_of(p, op->in[1])}, out = shape_of(p, op->out[0]);
        any = any || qv_takes_winograd(&(qv_cpu_options){0}, op, in, &out);
    }
    qv_net_free(net);
    return any;
}

/* What rounding may do: as much as moving every parameter, value of the input, cosine and gradient at a logit by two
 * roundings (the largest of several such moves, in double: ReLUs that flip are in it), with a margin of 4, since each
 * op rounds once more, and nine times that where Winograd's algorithm is used, whose transforms leave some 18 roundings
 * in a result (qv_bound_winograd). */
static double bound_of(qv_ctx *ctx, const qv_net_config *c, uint64_t seed, const answer *exact, int moves)
{
    double parameters = 0x1p-20 * qv_distance(exact->gradient, NULL, exact->n), cosines = 0, logits = 0;
    for (int k = 0; k < moves; k++) {
        move m = {.roundings = 1 + k % 4, .random = seed + 1 + (uint64_t)k};
        parameters = fmax(parameters, moved_parameters(ctx, c, seed, m, exact));
        logits = fmax(logits, moved_inside(ctx, c, seed, m, exact, true));
        if (c->head >= QV_HEAD_A_SOFTMAX) cosines = fmax(cosines, moved_inside(ctx, c, seed, m, exact, false));
    }
    return (has_winograd(ctx, c) ? 36 : 4) * (parameters + cosines + logits);
}

typedef struct device {
    const char *name;
    qv_exec_options o;
} device;

static const device devices[] = {
#ifdef QV_SIMT
    {"cuda", {.device = QV_DEVICE_CUDA}},
    {"cuda, not fused", {.device = QV_DEVICE_CUDA, .no_fuse = true}},
#else
    {"ref32", {.device = QV_DEVICE_REF32}},
    {"cpu", {.device = QV_DEVICE_CPU}},
    {"cpu, not fused", {.device = QV_DEVICE_CPU, .no_fuse = true, .poison = true}},
    {"cpu, base", {.device = QV_DEVICE_CPU, .isa = "base"}},
    {"cpu, avx2, direct", {.device = QV_DEVICE_CPU, .isa = "avx2", .direct = true}},
#endif
};
enum { DEVICES = sizeof devices / sizeof *devices };

/* NULL, or the device that is off, with by how much. */
static const char *off_device(qv_ctx *ctx, const qv_net_config *c, uint64_t seed, const answer *exact, double *off,
                              double allowed)
{
    const char *name = NULL;
    *off = 0;
    for (int k = 0; k < DEVICES && !name; k++) {
        answer a = take_step(ctx, c, seed, devices[k].o);
        assert_int_equal(a.n, exact->n);
        bool loss = fabs(a.loss - exact->loss) <= 1e-4 * (1 + fabs(exact->loss));
        double d = distance_of(a, exact);
        if (!(d <= allowed) || !loss) name = devices[k].name;
        *off = fmax(*off, d);
    }
    return name;
}

/* The same. A few moves do for most; where they do not, a ReLU may stand so near to zero that few of them flip it, and
 * many are made: what no rounding does, they do not either. */
static const char *failing(qv_ctx *ctx, const qv_net_config *c, uint64_t seed, double *off, double *allowed)
{
    static const int moves[] = {4, 100};
    const char *name = NULL;
    answer exact = take_step(ctx, c, seed, (qv_exec_options){.device = QV_DEVICE_REF, .no_fuse = true});
    for (int k = 0; k < 2 && (k == 0 || name); k++) {
        *allowed = bound_of(ctx, c, seed, &exact, moves[k]);
        name = off_device(ctx, c, seed, &exact, off, *allowed);
    }
    free(exact.gradient);
    return name;
}

/* One step towards a smaller network; false where the field is as small as it gets. */
static bool smaller(qv_net_config *c, int field)
{
    int *sizes[] = {&c->blocks, &c->width, &c->batch, &c->classes, &c->frames, &c->mels, &c->groups, &c->bands};
    static const int least[] = {1, 1, 2, 2, 8, 8, 1, 1};
    if (field < 8) {
        if (*sizes[field] <= least[field]) return false;
        --*sizes[field];
        if (c->width % c->groups != 0) c->groups = 1;
        return true;
    }
    if (field == 12) return c->shortcut == QV_SHORTCUT_SHIFT ? (c->shortcut = QV_SHORTCUT_CONV, true) : false;
    float *shares[] = {&c->smoothing, &c->affine, &c->negative, &c->relaxed};
    if (*shares[field - 8] == 0) return false;
    *shares[field - 8] = 0;
    return true;
}

static void report_smallest(qv_ctx *ctx, qv_net_config c, uint64_t seed)
{
    double off = 0, allowed = 0;
    char text[640];
    for (bool shrunk = true; shrunk;) {
        shrunk = false;
        for (int field = 0; field < 13; field++) {
            qv_net_config less = c;
            if (!smaller(&less, field) || !failing(ctx, &less, seed, &off, &allowed)) continue;
            c = less;
            shrunk = true;
        }
    }
    const char *name = failing(ctx, &c, seed, &off, &allowed);
    qv_print_net(&c, text, sizeof text);
    fail_msg("%s: %g off, %g allowed, data seed %llu: %s", name, off, allowed, (unsigned long long)seed, text);
}

#ifndef QV_SIMT
/* Enough channels for vectors, and positions for tiles: what Winograd's algorithm and strips are for. */
static void widen(qv_net_config *c, uint64_t *random)
{
    c->width = 16;
    c->blocks = 1;
    c->batch = 8 + (int)(qv_test_next(random) % 5);
    if (c->groups > 1 && c->width / c->groups % 16 != 0) c->groups = 1;
}
#endif

static void every_device_takes_the_same_step(void **state)
{
    (void)state;
    const char *asked = getenv("QV_PROGRAMS");
    int count = asked ? atoi(asked) : 60;
    qv_ctx *ctx = qv_test_ctx();
    uint64_t random = qv_test_seed();
    double closest = 0;
    int wide = 0;
    assert_true(count > 0);
    for (int i = 0; i < count; i++) {
        qv_net_config c = qv_random_net(&random);
        uint64_t seed = qv_test_next(&random);
        double off, allowed;
#ifndef QV_SIMT
        if (i % 8 == 7) widen(&c, &random);
        wide += has_winograd(ctx, &c);
        assert_true(i < 15 || wide > 0);
#endif
        if (failing(ctx, &c, seed, &off, &allowed)) report_smallest(ctx, c, seed);
        closest = fmax(closest, off / allowed);
    }
    printf("%d programs on %d devices, %d of them by Winograd; the worst took %.2f of what is allowed\n", count, DEVICES, wide,
           closest);
    qv_ctx_free(ctx);
}

int main(void)
{
    printf("QV_SEED=%llu\n", (unsigned long long)qv_test_seed());
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_device_takes_the_same_step)};
    return cmocka_run_group_tests_name("programs", tests, NULL, NULL);
}
