/* Trainings on the CUDA backend: what its steps give against the reference, and what they must not depend on: graphs,
 * steps on their way, where the features lie, other trainings, an interruption. */
#include <math.h>

#include "backend/check/list.h"
#include "lab.h"
#include "tests/simt/fake_dnn.h"
#include "tests/simt/simt.h"
#include "train/checkpoint.h"
#include "train/recalibrate.h"

enum { RUNS = 8 };

/* ---- against the reference ---- */

/* The longest sums of this network have 9 * 32 terms, so a layer's roundings do no more than moving each of its weights
 * by 7 sqrt(288) = 119 units of 2^-24 (the bound of support/op_maker.h). How far that moves a result is measured on the
 * reference, eight times. */
static const double moved = 119 * 0x1p-24;

static qv_settings on(const lab *l, qv_device device)
{
    qv_settings s = l->settings;
    s.device = (int)device;
    if (device != QV_DEVICE_CUDA) s.precision = QV_PRECISION_FP32;
    return s;
}

static bool is_compared(const qv_buffer *b)
{
    return b->alias < 0 && (b->dtype == QV_REAL || b->dtype == QV_ACT) && b->role != QV_ROLE_EXTERN &&
           strncmp(b->name, "eval.", 5) != 0;
}

/* One step from the weights of another trainer, each moved; every buffer keeps its content. */
static qv_trainer *after_a_step(const lab *l, const qv_settings *s, qv_trainer *like, double by, uint64_t *random)
{
    qv_trainer *t = lab_trainer(l, s, &(qv_trainer_options){.n_items = 4, .keep_buffers = true, .no_fuse = true});
    if (like) lab_copy_weights(t, like, by, random);
    assert_int_equal(lab_train(l, t, 1).steps, 1);
    return t;
}

static double distance(qv_trainer *a, qv_trainer *b, int buffer, double *norm)
{
    size_t n = qv_buffer_len(&qv_trainer_net(a)->program->buffers[buffer]);
    double *x = calloc(n, sizeof *x), *y = calloc(n, sizeof *y), sum = 0, square = 0;
    assert_true(x && y);
    qv_exec_read(qv_trainer_exec(a), buffer, 0, n, x);
    qv_exec_read(qv_trainer_exec(b), buffer, 0, n, y);
    for (size_t i = 0; i < n; i++) sum += (x[i] - y[i]) * (x[i] - y[i]), square += y[i] * y[i];
    free(x), free(y);
    *norm = sqrt(square);
    return sqrt(sum);
}

/* The results of one step: of the reference, of the reference moved, of the device. */
typedef struct step {
    qv_trainer *ref, *other[RUNS], *t;
} step;

/* Farthest that the moved runs are from the reference. */
static double farthest(const step *s, int buffer, double *norm)
{
    double most = 0;
    for (int r = 0; r < RUNS; r++) most = fmax(most, distance(s->other[r], s->ref, buffer, norm));
    return most;
}

/* How far the sums of each channel of a buffer are apart. */
static double distance_of_sums(qv_trainer *a, qv_trainer *b, int buffer)
{
    const qv_buffer *what = &qv_trainer_net(a)->program->buffers[buffer];
    size_t n = qv_buffer_len(what), channels = (size_t)what->c;
    double *x = calloc(n, sizeof *x), *y = calloc(n, sizeof *y), square = 0;
    assert_true(x && y);
    qv_exec_read(qv_trainer_exec(a), buffer, 0, n, x);
    qv_exec_read(qv_trainer_exec(b), buffer, 0, n, y);
    for (size_t c = 0; c < channels; c++) {
        double off = 0;
        for (size_t i = c; i < n; i += channels) off += x[i] - y[i];
        square += off * off;
    }
    free(x), free(y);
    return sqrt(square);
}

/* What makes the gradient of a shift: the op of the buffer whose name begins as `name` does up to ".beta", or NULL. */
static const qv_op *sums_of_shift(const qv_program *p, const char *name)
{
    const char *end = strstr(name, ".beta");
    size_t length = end ? (size_t)(end - name) + strlen(".beta") : 0;
    for (size_t i = 0; length && i < p->lists[QV_LIST_TRAIN].n; i++) {
        const qv_op *op = &p->lists[QV_LIST_TRAIN].ops[i];
        if (op->kind == QV_OP_BN_GRAD_SUMS && strncmp(p->buffers[op->out[1]].name, name, length) == 0) return op;
    }
    return NULL;
}

/* The shift of a batch norm whose output meets another batch norm has no gradient; in the reference, which counts in
 * double, all that is left of it is the rounding of a sum of M numbers, 7 sqrt(M) roundings of their magnitudes. The
 * device adds up in float, in every precision, numbers with errors of their own. The sum of those is what it is, but no
 * more than sqrt(M) times their norm, as moved runs have it. The first step of Nesterov's momentum moves the parameter
 * by rate (1 + momentum) times its gradient. */
static double rounding_of_shift(const step *s, const qv_buffer *b)
{
    const qv_program *p = qv_trainer_net(s->ref)->program;
    const qv_op *op = sums_of_shift(p, b->name);
    if (!op) return 0;
    const qv_buffer *dy = &p->buffers[op->in[0]];
    double norm, left, rows = (double)dy->n * dy->h * dy->w, most = farthest(s, op->in[0], &norm);
    distance(s->ref, s->ref, op->out[1], &left);
    if (left > 7 * rows * 0x1p-53 * norm) return 0;
    double arrived = fmin(distance_of_sums(s->t, s->ref, op->in[0]), sqrt(rows) * most);
    double reach = qv_trainer_rate(s->ref, 0) * (1 + (double)qv_trainer_net(s->ref)->config.momentum);
    return (b->role == QV_ROLE_PARAM ? reach : 1) * (arrived + 7 * rows * 0x1p-24 * norm);
}

/* The mean of what a batch norm without shift has left is zero, so that only roundings are in it: of M numbers, each of
 * which was stored up to three times (branch, shortcut, their sum). */
static double rounding_of_mean(const step *s, const char *name, double unit)
{
    const qv_program *p = qv_trainer_net(s->ref)->program;
    const char *end = strstr(name, ".mean") ? strstr(name, ".mean") : strstr(name, ".running_mean");
    for (size_t i = 0; end && i < p->lists[QV_LIST_TRAIN].n; i++) {
        const qv_op *op = &p->lists[QV_LIST_TRAIN].ops[i];
        const qv_buffer *x = &p->buffers[op->in[0]];
        double norm, rows = (double)x->n * x->h * x->w;
        if (op->kind != QV_OP_BN_STATS || strncmp(p->buffers[op->out[0]].name, name, (size_t)(end - name) + 1) != 0)
            continue;
        farthest(s, op->in[0], &norm);
        return 3 * 7 * unit * norm / rows;
    }
    return 0;
}

/* Three times what moving the weights of the reference does to a buffer, and four roundings of a number of `unit`. */
static double allowed(const step *s, int buffer, double unit)
{
    const qv_buffer *b = &qv_trainer_net(s->ref)->program->buffers[buffer];
    double norm, moves = farthest(s, buffer, &norm);
    return 3 * moves + 4 * unit * norm + rounding_of_shift(s, b) + rounding_of_mean(s, b->name, unit);
}

static int compare_buffers(const step *s, double unit)
{
    const qv_program *p = qv_trainer_net(s->ref)->program;
    int compared = 0, wrong = 0;
    for (int i = 0; i < (int)p->n_buffers; i++) {
        double norm;
        if (!is_compared(&p->buffers[i])) continue;
        double error = distance(s->t, s->ref, i, &norm), bound = allowed(s, i, unit);
        compared++;
        if (!(error <= bound)) print_error("%s: off by %g, allowed %g\n", p->buffers[i].name, error, bound);
        wrong += !(error <= bound);
    }
    assert_true(compared > 100);
    return wrong;
}

static step step_on(const lab *l, const qv_settings *s, double by)
{
    uint64_t random = qv_test_seed();
    qv_settings ref_settings = on(l, QV_DEVICE_REF);
    step run = {0};
    ref_settings.order = s->order;
    qv_trainer *start = lab_trainer(l, &ref_settings, &(qv_trainer_options){.n_items = 4});
    run.ref = after_a_step(l, &ref_settings, start, 0, NULL);
    run.t = after_a_step(l, s, start, 0, NULL);
    for (int r = 0; r < RUNS; r++) run.other[r] = after_a_step(l, &ref_settings, start, by, &random);
    qv_trainer_free(start);
    return run;
}

static void step_free(step *run)
{
    for (int r = 0; r < RUNS; r++) qv_trainer_free(run->other[r]);
    qv_trainer_free(run->ref), qv_trainer_free(run->t);
}

/* Another step of the device, op by op, each fed what the device had before it, so that its bound is that of its own
 * sums alone. */
static void check_ops(const lab *l, const qv_settings *s, qv_trainer *t, qv_case_fn fn, void *user)
{
    const qv_net *net = qv_trainer_net(t);
    const qv_exec_options d = {.device = QV_DEVICE_CUDA, .precision = (qv_precision)s->precision};
    const qv_list_run run = {.program = net->program,
                             .exec = qv_trainer_exec(t),
                             .list = QV_LIST_TRAIN,
                             .features = net->feats,
                             .frames = l->toy.features.data};
    qv_assert_ok(l->ctx, qv_check_list(l->ctx, &d, &run, fn, user));
}

static void count_wrong(void *user, const qv_case *c)
{
    const qv_verdict *v = &c->verdict;
    if (qv_case_passed(c)) return;
    print_error("%s: output %d is %.9g, not %.9g +- %g\n", c->what, v->output, v->got, v->want, v->bound);
    ++*(int *)user;
}

/* Every buffer of a step on s, and the ops of one. */
static void compare_step(const lab *l, const qv_settings *s, double by, double unit)
{
    int wrong = 0;
    step run = step_on(l, s, by);
    assert_int_equal(compare_buffers(&run, unit), 0);
    check_ops(l, s, run.t, count_wrong, &wrong);
    assert_int_equal(wrong, 0);
    step_free(&run);
}

static void every_buffer_of_every_order(void **state)
{
    (void)state;
    lab l;
    lab_open(&l);
    for (int order = QV_ORDER_PREACT; order <= QV_ORDER_RELU_BN; order++) {
        l.settings.order = order;
        compare_step(&l, &l.settings, moved, 0x1p-24);
    }
    lab_close(&l);
}

/* Of rows with two labels, behind an embedding, gradients clipped. */
static void every_buffer_of_every_head(void **state)
{
    (void)state;
    lab l;
    lab_open(&l);
    l.settings.embed = 3;
    l.settings.mixup = 0.4;
    l.settings.clip = 0.5;
    for (int head = QV_HEAD_CENTER; head <= QV_HEAD_ARCFACE; head++) {
        l.settings.head = head;
        compare_step(&l, &l.settings, moved, 0x1p-24);
    }
    lab_close(&l);
}

static bool is_any(const qv_dnn_key *k) { return k->kind != QV_DNN_PRODUCT; }
static bool is_stem_or_grad_x(const qv_dnn_key *k) { return k->kind == QV_DNN_CONV_GRAD_X || k->cin == 1; }

/* Operands of convolutions in 11 bits: a unit in their last place is 2^-10 of them. */
static void every_buffer_in_tf32(void **state)
{
    (void)state;
    lab l;
    lab_open(&l);
    l.settings.precision = QV_PRECISION_TF32;
    compare_step(&l, &l.settings, 0x1p-10, 0x1p-24);
    lab_close(&l);
}

/* Activations, their gradients, weights as convolutions read them and their gradients in 8 bits: a unit in their last
 * place is 2^-7 of them. Half of it at each store is no more than moving the weights by one. */
static void every_buffer_in_bfloat16(void **state)
{
    (void)state;
    lab l;
    lab_open(&l);
    l.settings.precision = QV_PRECISION_BF16;
    for (int order = QV_ORDER_PREACT; order <= QV_ORDER_RELU_BN; order++) {
        l.settings.order = order;
        compare_step(&l, &l.settings, 0x1p-7, 0x1p-8);
    }
    simt_dnn_refuse(is_stem_or_grad_x);
    compare_step(&l, &l.settings, 0x1p-7, 0x1p-8);
    simt_dnn_refuse(NULL);
    lab_close(&l);
}

/* The row of dy that has most in it, left out of the gradient of a shift that it belongs to. */
static void leave_a_row_out(const step *s, const qv_op *op)
{
    const qv_buffer *dy = &qv_trainer_net(s->t)->program->buffers[op->in[0]];
    size_t channels = (size_t)dy->c, n = qv_buffer_len(dy), largest = 0;
    double *v = calloc(n, sizeof *v), *sum = calloc(channels, sizeof *sum);
    assert_true(v && sum);
    qv_exec_read(qv_trainer_exec(s->t), op->in[0], 0, n, v);
    qv_exec_read(qv_trainer_exec(s->t), op->out[1], 0, channels, sum);
    for (size_t i = 0; i < n; i++)
        if (fabs(v[i]) > fabs(v[largest])) largest = i;
    for (size_t c = 0; c < channels; c++) sum[c] -= v[largest / channels * channels + c];
    qv_exec_write(qv_trainer_exec(s->t), op->out[1], 0, channels, sum);
    free(v), free(sum);
}

/* How many gradients of shifts there are, how many are not zero; of how many a check of ops sees that a row is missing,
 * and that there is a zero in the place of one that is not. */
typedef struct spoilt {
    const lab *l;
    const step *s;
    int all, without_a_row, not_zero, zero;
} spoilt;

/* Is found[] seen as wrong where the case has the gradient of its shift? */
static bool is_seen(const qv_case *c, const double *found)
{
    qv_verdict v = {0};
    qv_verdict_add(&v, c->problem, c->answer, 1, found);
    return v.wrong > 0;
}

/* Whether element i of dy passes the ReLU that may stand behind the batch norm. */
static bool arrives(const qv_problem *p, size_t i)
{
    const double *x = p->in[1].data, *mean = p->in[2].data, *rstd = p->in[3].data, *gamma = p->in[4].data;
    size_t wide = (size_t)p->in[0].c, channels = (size_t)p->in[1].c, j = i % wide, c = j % channels;
    double scaled = (x[i / wide * channels + c] - mean[c]) * rstd[c] * gamma[j];
    return !p->op.a.bn.relu || scaled + ((const double *)p->in[5].data)[j] > 0;
}

/* What the sum is without the row that brings the most of all. */
static qv_answer without_a_row(const lab *l, const qv_case *c)
{
    qv_problem p = *c->problem;
    size_t n = qv_tensor_len(&p.in[0]), channels = (size_t)p.in[0].c, largest = 0;
    double *v = calloc(n, sizeof *v);
    qv_answer a;
    assert_non_null(v);
    memcpy(v, p.in[0].data, n * sizeof *v);
    while (largest + 1 < n && !arrives(&p, largest)) largest++;
    for (size_t i = largest; i < n; i++)
        if (fabs(v[i]) > fabs(v[largest]) && arrives(&p, i)) largest = i;
    memset(v + largest / channels * channels, 0, channels * sizeof *v);
    p.in[0].data = v;
    qv_assert_ok(l->ctx, qv_answer_new(l->ctx, &a, &p));
    free(v);
    return a;
}

static void spoil(void *user, const qv_case *c)
{
    spoilt *n = user;
    const qv_program *p = qv_trainer_net(n->s->ref)->program;
    if (c->kind != QV_OP_BN_GRAD_SUMS) return;
    qv_answer a = without_a_row(n->l, c);
    double *none = calloc(qv_tensor_len(&a.out[1]), sizeof *none);
    assert_non_null(none);
    bool is_zero = rounding_of_shift(n->s, &p->buffers[p->lists[QV_LIST_TRAIN].ops[c->index].out[1]]) > 0;
    n->all++;
    n->without_a_row += is_seen(c, a.out[1].data);
    n->not_zero += !is_zero;
    n->zero += !is_zero && is_seen(c, none);
    free(none);
    qv_answer_free(&a);
}

/* The bounds above are not so wide that anything fits: a gradient that is zero but for roundings must be the sum of all
 * its rows, one that is not zero must be there. */
static void a_spoilt_gradient_is_seen(void **state)
{
    (void)state;
    lab l;
    lab_open(&l);
    l.settings.precision = QV_PRECISION_BF16;
    step run = step_on(&l, &l.settings, 0x1p-7);
    const qv_program *p = qv_trainer_net(run.ref)->program;
    int without = 0, with = 0;
    for (int i = 0; i < (int)p->n_buffers; i++) {
        const qv_op *op = sums_of_shift(p, p->buffers[i].name);
        double norm;
        if (!op || op->out[1] != i) continue;
        distance(run.t, run.ref, i, &norm);
        if (rounding_of_shift(&run, &p->buffers[i]) > 0) {
            leave_a_row_out(&run, op);
            assert_true(distance(run.t, run.ref, i, &norm) > allowed(&run, i, 0x1p-8));
            without++;
        } else if (strcmp(p->buffers[i].name, "final.bn.beta.grad") == 0) {
            assert_true(norm > allowed(&run, i, 0x1p-8));
            with++;
        }
    }
    assert_true(without > 0 && with == 1);
    step_free(&run);
    lab_close(&l);
}

/* In 8 bits the bounds above let a gradient of zero pass where the rows of a sum cancel. Those of the ops, which know
 * what arrived, are narrow for every shift of every order. */
static void every_spoilt_gradient_is_seen_by_its_op(void **state)
{
    (void)state;
    lab l;
    lab_open(&l);
    l.settings.precision = QV_PRECISION_BF16;
    spoilt n = {.l = &l};
    for (int order = QV_ORDER_PREACT; order <= QV_ORDER_RELU_BN; order++) {
        l.settings.order = order;
        step run = step_on(&l, &l.settings, 0x1p-7);
        n.s = &run;
        check_ops(&l, &l.settings, run.t, spoil, &n);
        step_free(&run);
    }
    assert_true(n.not_zero > 30 && n.all > n.not_zero);
    assert_int_equal(n.without_a_row, n.all);
    assert_int_equal(n.zero, n.not_zero);
    lab_close(&l);
}

/* What cuDNN has no plan for is convolved by the project's own kernels: all of it, or a part. */
static void every_buffer_without_plans(void **state)
{
    (void)state;
    bool (*const refuse[])(const qv_dnn_key *) = {is_any, is_stem_or_grad_x};
    lab l;
    lab_open(&l);
    for (int i = 0; i < 2; i++) {
        simt_dnn_refuse(refuse[i]);
        compare_step(&l, &l.settings, moved, 0x1p-24);
    }
    simt_dnn_refuse(NULL);
    lab_close(&l);
}

/* Without momentum and decay the parameters move by the rate times the gradients: after one step of a rate of 1 they are
 * as far from where they were as the clipped gradients are long, in every precision: the length is taken of what the
 * optimizer reads. Each number rounds once by 2^-24 of itself; scale and length by less than 100 roundings. */
static double moved_by_a_step(const lab *l, double clip, double *length)
{
    qv_settings s = l->settings;
    s.clip = clip;
    qv_trainer *t = lab_trainer(l, &s, NULL);
    const qv_program *p = qv_trainer_net(t)->program;
    double *before[2], square = 0;
    size_t n = 0;
    *length = 0;
    for (int after = 0; after < 2; after++) {
        for (size_t i = 0; i < p->n_buffers; i++) {
            if (strcmp(p->buffers[i].name, "parameters") != 0) continue;
            n = qv_buffer_len(&p->buffers[i]);
            before[after] = calloc(n, sizeof(double));
            assert_non_null(before[after]);
            qv_exec_read(qv_trainer_exec(t), (int)i, 0, n, before[after]);
        }
        if (!after) assert_int_equal(lab_train(l, t, 1).steps, 1);
    }
    for (size_t i = 0; i < n; i++) {
        *length += before[1][i] * before[1][i];
        square += (before[1][i] - before[0][i]) * (before[1][i] - before[0][i]);
    }
    *length = sqrt(*length);
    free(before[0]), free(before[1]);
    qv_trainer_free(t);
    return sqrt(square);
}

static void a_clipped_step_is_as_long_as_it_may(void **state)
{
    (void)state;
    const double most = 0.0625;
    lab l;
    lab_open(&l);
    l.settings.batch = (int)l.toy.n;
    l.settings.momentum = l.settings.weight_decay = l.settings.warmup = 0;
    l.settings.lr = 1;
    for (int precision = QV_PRECISION_FP32; precision <= QV_PRECISION_BF16; precision++) {
        double length;
        l.settings.precision = precision;
        assert_true(moved_by_a_step(&l, 0, &length) > 2 * most);
        double distance = moved_by_a_step(&l, most, &length);
        if (!(fabs(distance - most) <= 0x1p-24 * (length + 100 * most)))
            fail_msg("precision %d: a step of %.9g, not %g", precision, distance, most);
    }
    lab_close(&l);
}

/* ---- fifty steps ---- */

typedef struct curve {
    double loss[50];
    int n;
} curve;

/* One step an epoch, so that each loss is seen. */
static curve losses(const lab *l, qv_trainer *t, int steps)
{
    curve c = {.n = steps};
    for (int i = 0; i < steps; i++) {
        qv_loss one = {0};
        qv_assert_ok(l->ctx, qv_trainer_run(l->ctx, t, (uint64_t)i + 1, &one));
        assert_int_equal(one.steps, 1);
        c.loss[i] = one.sum;
    }
    return c;
}

static void fifty_losses_as_the_reference(void **state)
{
    (void)state;
    lab l;
    lab_open(&l);
    uint64_t random = qv_test_seed();
    l.settings.epochs = 50;
    l.settings.lr = 1e-3; /* small steps: what rounding does to a loss must not grow to its size */
    qv_settings s = on(&l, QV_DEVICE_REF);
    qv_trainer_options o = {.n_items = 4};
    qv_trainer *ref = lab_trainer(&l, &s, &o), *t = lab_trainer(&l, &l.settings, &o);
    double most[50] = {0};
    curve expect, got = losses(&l, t, 50), other;
    for (int r = 0; r < 3; r++) {
        qv_trainer *like = lab_trainer(&l, &s, &o), *shifted = lab_trainer(&l, &s, &o);
        lab_copy_weights(shifted, like, moved, &random);
        other = losses(&l, shifted, 50);
        if (r == 0) expect = losses(&l, ref, 50);
        for (int i = 0; i < 50; i++) most[i] = fmax(most[i], fabs(other.loss[i] - expect.loss[i]));
        qv_trainer_free(like), qv_trainer_free(shifted);
    }
    double run = 0;
    for (int i = 0; i < 50; i++) {
        run = fmax(run, most[i]); /* each step adds its own roundings to those before it */
        double error = fabs(got.loss[i] - expect.loss[i]);
        if (!(error <= 3 * run))
            print_error("step %d: %.9g, reference %.9g, allowed %g\n", i, got.loss[i], expect.loss[i], 3 * run);
        assert_true(error <= 3 * run);
        assert_true(run < 1e-2);
    }
    qv_trainer_free(ref), qv_trainer_free(t);
    lab_close(&l);
}

/* Captured and replayed, or launched op by op (profile): the same bits, and the same answers. */
static void graphs_give_the_bits_of_single_launches(void **state)
{
    (void)state;
    lab l;
    lab_open(&l);
    qv_trainer *a = lab_trainer(&l, &l.settings, NULL),
               *b = lab_trainer(&l, &l.settings, &(qv_trainer_options){.profile = true});
    for (uint64_t epoch = 1; epoch <= 4; epoch++) {
        qv_loss x = lab_train(&l, a, epoch), y = lab_train(&l, b, epoch);
        assert_true(x.steps == 6 && y.steps == 6 && x.sum == y.sum);
        double *p = lab_predict(&l, a), *q = lab_predict(&l, b);
        assert_memory_equal(p, q, l.toy.n * 3 * sizeof *p);
        free(p), free(q);
    }
    lab_assert_same_weights(a, b);
    assert_true(qv_exec_seconds(qv_trainer_exec(b), QV_LIST_TRAIN, 0) > 0);
    qv_trainer_free(a), qv_trainer_free(b);
    lab_close(&l);
}

/* The first run of a list loads what is loaded lazily; it is not among those that are timed. */
static void a_profile_begins_with_the_second_step(void **state)
{
    (void)state;
    lab l;
    lab_open(&l);
    const qv_trainer_options one_step = {.profile = true, .n_items = (size_t)l.settings.batch};
    qv_trainer *t = lab_trainer(&l, &l.settings, &one_step);
    for (uint64_t epoch = 1; epoch <= 3; epoch++) {
        assert_int_equal(lab_train(&l, t, epoch).steps, 1);
        assert_true((qv_exec_seconds(qv_trainer_exec(t), QV_LIST_TRAIN, 0) > 0) == (epoch > 1));
    }
    qv_trainer_free(t);
    lab_close(&l);
}

/* Lambda of A-Softmax, AdamW's correction and the clipping follow the step, which only the device counts. */
static void what_follows_the_step_is_in_the_graph(void **state)
{
    (void)state;
    lab l;
    lab_open(&l);
    l.settings.head = QV_HEAD_A_SOFTMAX;
    l.settings.sphere_lambda_decay = 100;
    l.settings.optimizer = QV_OPTIMIZER_ADAMW;
    l.settings.clip = 0.5;
    l.settings.lr = 0.002;
    qv_trainer *a = lab_trainer(&l, &l.settings, NULL),
               *b = lab_trainer(&l, &l.settings, &(qv_trainer_options){.profile = true}),
               *c = lab_trainer(&l, &l.settings, &(qv_trainer_options){.poison = true});
    for (uint64_t epoch = 1; epoch <= 4; epoch++) {
        double loss = lab_train(&l, a, epoch).sum;
        assert_true(lab_train(&l, b, epoch).sum == loss && lab_train(&l, c, epoch).sum == loss);
    }
    lab_assert_same_weights(a, b);
    lab_assert_same_weights(a, c);
    qv_trainer_free(a), qv_trainer_free(b), qv_trainer_free(c);
    lab_close(&l);
}

/* Poisoned the moment that they die, buffers are not missed: the plan of lives is that of what runs. */
static void nothing_reads_a_dead_buffer(void **state)
{
    (void)state;
    lab l;
    lab_open(&l);
    for (int order = QV_ORDER_PREACT; order <= QV_ORDER_RELU_BN; order++) {
        l.settings.order = order;
        qv_trainer *a = lab_trainer(&l, &l.settings, NULL),
                   *b = lab_trainer(&l, &l.settings, &(qv_trainer_options){.poison = true});
        assert_true(lab_train(&l, a, 2).sum == lab_train(&l, b, 2).sum);
        lab_assert_same_weights(a, b);
        qv_trainer_free(a), qv_trainer_free(b);
    }
    lab_close(&l);
}

/* ---- steps on their way ---- */

/* Over the borders of the table of rates: each step has its own. */
static void rates_follow_over_all_blocks(void **state)
{
    (void)state;
    lab l;
    lab_open(&l);
    l.settings.epochs = 1000000;
    l.settings.warmup = 5000;
    qv_trainer *t = lab_trainer(&l, &l.settings, NULL);
    static const uint64_t borders[] = {0, 2048, 4096, 6144, 8192, 100000};
    for (size_t k = 0; k < sizeof borders / sizeof *borders; k++) {
        uint64_t first = borders[k] > 12 ? (borders[k] - 12) / 6 : 0; /* epochs of 6 steps */
        qv_trainer_set_step(t, 6 * first);
        for (uint64_t epoch = first + 1; epoch <= first + 5; epoch++) {
            qv_step_state s;
            lab_train(&l, t, epoch);
            qv_exec_read_bytes(qv_trainer_exec(t), qv_trainer_net(t)->state, 0, sizeof s, &s);
            assert_int_equal(s.step, 6 * epoch);
            assert_true(s.lr == (float)qv_trainer_rate(t, s.step));
        }
    }
    qv_trainer_free(t);
    lab_close(&l);
}

static void note_step(void *user, const qv_progress *p) { *(double *)user = p->done; }

/* The loss is read late, but belongs to its step; nothing of what followed is kept. */
static void a_loss_that_is_none_names_its_step(void **state)
{
    (void)state;
    for (int recording = 0; recording < 24; recording += 5) {
        lab l;
        double done = 0;
        char expected[32], *dir = qv_test_tmpdir(), path[512];
        qv_loss loss = {0};
        qv_checkpoint_info info = {0};
        lab_open(&l);
        const qv_feature_entry *e = &l.toy.features.entries[recording];
        for (int k = 0; k < e->frames * 11; k++) l.toy.frames[e->first_frame * 11 + k] = NAN;
        qv_trainer *t = lab_trainer(&l, &l.settings, NULL);
        qv_ctx_on_progress(l.ctx, note_step, &done);
        assert_int_equal(qv_trainer_run(l.ctx, t, 4, &loss), QV_ERR_NUMERIC);
        snprintf(expected, sizeof expected, "at step %d", (int)done);
        assert_non_null(strstr(qv_ctx_message(l.ctx), expected));
        assert_true(loss.steps == (uint64_t)done && qv_trainer_step(t) == loss.steps && loss.steps < 6);
        snprintf(path, sizeof path, "%s/x.safetensors", dir);
        assert_int_equal(qv_checkpoint_save(l.ctx, t, &l.settings, l.data, "a", &info, path), QV_ERR_NUMERIC);
        assert_false(qv_path_exists(path));
        assert_int_equal(qv_trainer_run(l.ctx, t, 4, &loss), QV_ERR_NUMERIC);
        qv_trainer_free(t);
        qv_test_rmdir(dir);
        lab_close(&l);
    }
}

typedef struct stopper {
    int after;
    volatile int flag;
} stopper;

static void stop_after(void *user, const qv_progress *p)
{
    stopper *s = user;
    if ((int)p->done >= s->after) s->flag = 1;
}

/* Stopped at any step, the trainer ends those on their way and goes on from there. */
static void an_interruption_leaves_no_step_out(void **state)
{
    (void)state;
    lab l;
    lab_open(&l);
    qv_trainer *whole = lab_trainer(&l, &l.settings, NULL);
    qv_loss expect = lab_train(&l, whole, 8);
    for (int after = 1; after < 32; after += 7) {
        stopper s = {.after = after};
        qv_loss loss = {0};
        qv_trainer *t = lab_trainer(&l, &l.settings, NULL);
        qv_ctx_on_progress(l.ctx, stop_after, &s);
        qv_ctx_cancel_flag(l.ctx, &s.flag);
        assert_int_equal(qv_trainer_run(l.ctx, t, 8, &loss), QV_ERR_INTERRUPTED);
        assert_true(loss.steps >= (uint64_t)after && loss.steps == qv_trainer_step(t));
        assert_true(loss.steps < (uint64_t)after + qv_exec_depth(qv_trainer_exec(t)));
        qv_ctx_on_progress(l.ctx, NULL, NULL);
        qv_ctx_cancel_flag(l.ctx, NULL);
        qv_assert_ok(l.ctx, qv_trainer_run(l.ctx, t, 8, &loss));
        assert_true(loss.steps == 48 && loss.sum == expect.sum);
        lab_assert_same_weights(t, whole);
        qv_trainer_free(t);
    }
    qv_trainer_free(whole);
    lab_close(&l);
}

/* ---- checkpoints ---- */

static void load(const lab *l, qv_trainer *t, const char *path, bool resume)
{
    qv_checkpoint *c;
    qv_assert_ok(l->ctx, qv_checkpoint_open(l->ctx, &c, path));
    qv_assert_ok(l->ctx, qv_checkpoint_load(l->ctx, c, t, resume));
    qv_checkpoint_close(c);
}

static void save(const lab *l, qv_trainer *t, const qv_settings *s, const char *path)
{
    qv_checkpoint_info info = {.step = qv_trainer_step(t), .best_ua = -1};
    qv_assert_ok(l->ctx, qv_checkpoint_save(l->ctx, t, s, l->data, "a", &info, path));
}

/* Saved after three epochs and resumed by another process: the bits of a training in one go. */
static void resume(lab *l)
{
    char *dir = qv_test_tmpdir(), path[512];
    snprintf(path, sizeof path, "%s/last.safetensors", dir);
    qv_trainer *whole = lab_trainer(l, &l->settings, NULL), *half = lab_trainer(l, &l->settings, NULL);
    lab_train(l, whole, 7);
    lab_train(l, half, 3);
    save(l, half, &l->settings, path);
    qv_trainer_free(half);
    half = lab_trainer(l, &l->settings, NULL);
    load(l, half, path, true);
    assert_int_equal(qv_trainer_step(half), 18);
    lab_train(l, half, 7);
    lab_assert_same_weights(whole, half);
    qv_trainer_free(whole), qv_trainer_free(half);
    qv_test_rmdir(dir);
}

static void a_resumed_training_has_the_same_bits(void **state)
{
    (void)state;
    lab l;
    lab_open(&l);
    resume(&l);
    l.settings.optimizer = QV_OPTIMIZER_ADAMW;
    l.settings.head = QV_HEAD_CENTER;
    l.settings.clip = 0.5;
    l.settings.lr = 0.002;
    resume(&l);
    lab_close(&l);
}

/* Trained here, used there, and the other way round: every number arrives as it was. */
static void checkpoints_go_from_device_to_device(void **state)
{
    (void)state;
    static const qv_device ways[2][2] = {{QV_DEVICE_CUDA, QV_DEVICE_CPU}, {QV_DEVICE_CPU, QV_DEVICE_CUDA}};
    for (int k = 0; k < 2; k++) {
        lab l;
        char *dir = qv_test_tmpdir(), path[512];
        lab_open(&l);
        snprintf(path, sizeof path, "%s/best.safetensors", dir);
        qv_settings from = on(&l, ways[k][0]), to = on(&l, ways[k][1]);
        qv_trainer *a = lab_trainer(&l, &from, NULL), *b = lab_trainer(&l, &to, NULL);
        lab_train(&l, a, 2);
        save(&l, a, &from, path);
        load(&l, b, path, true);
        lab_assert_same_weights(a, b);
        qv_trainer_free(a), qv_trainer_free(b);
        qv_test_rmdir(dir);
        lab_close(&l);
    }
}

/* Learns in eight bits too, keeps its weights in 24, and gives the same bits streamed, resumed and replayed. */
static void a_training_in_bfloat16(void **state)
{
    (void)state;
    lab l;
    char *dir = qv_test_tmpdir(), path[512];
    lab_open(&l);
    l.settings.precision = QV_PRECISION_BF16;
    snprintf(path, sizeof path, "%s/last.safetensors", dir);
    qv_trainer *a = lab_trainer(&l, &l.settings, NULL),
               *b = lab_trainer(&l, &l.settings, &(qv_trainer_options){.resident_limit = 1});
    qv_trainer *c = lab_trainer(&l, &l.settings, &(qv_trainer_options){.profile = true, .poison = true});
    qv_loss first = lab_train(&l, a, 1);
    assert_true(lab_train(&l, b, 1).sum == first.sum && lab_train(&l, c, 1).sum == first.sum);
    save(&l, a, &l.settings, path);
    qv_loss last = lab_train(&l, a, 10);
    assert_true(last.sum / (double)last.steps < 0.9 * first.sum / (double)first.steps);
    assert_true(lab_train(&l, b, 10).sum == last.sum && lab_train(&l, c, 10).sum == last.sum);
    qv_trainer_free(c);
    c = lab_trainer(&l, &l.settings, NULL);
    load(&l, c, path, true);
    assert_true(lab_train(&l, c, 10).sum == last.sum);
    lab_assert_same_weights(a, b);
    lab_assert_same_weights(a, c);
    qv_trainer_free(a), qv_trainer_free(b), qv_trainer_free(c);
    qv_test_rmdir(dir);
    lab_close(&l);
}

/* ---- features ---- */

/* Resident or streamed batch by batch: the same bits. */
static void streamed_features_give_the_same_bits(void **state)
{
    (void)state;
    lab l;
    lab_open(&l);
    l.settings.batch = 5; /* batches straddle epochs */
    l.settings.bn_eval = QV_BN_EVEN;
    qv_trainer *a = lab_trainer(&l, &l.settings, NULL),
               *b = lab_trainer(&l, &l.settings, &(qv_trainer_options){.resident_limit = 1});
    for (uint64_t epoch = 1; epoch <= 5; epoch++) {
        qv_loss x = lab_train(&l, a, epoch), y = lab_train(&l, b, epoch);
        assert_true(x.sum == y.sum && x.steps == y.steps);
        double *p = lab_predict(&l, a), *q = lab_predict(&l, b);
        assert_memory_equal(p, q, l.toy.n * 3 * sizeof *p);
        free(p), free(q);
    }
    lab_assert_same_weights(a, b);
    qv_assert_ok(l.ctx, qv_recalibrate(l.ctx, a, l.data));
    qv_assert_ok(l.ctx, qv_recalibrate(l.ctx, b, l.data));
    lab_assert_same_weights(a, b);
    qv_trainer_free(a), qv_trainer_free(b);
    lab_close(&l);
}

/* Other features in the place of those before: neither old frames nor old addresses are read again. */
static void features_may_be_exchanged(void **state)
{
    (void)state;
    for (size_t limit = 0; limit < 2; limit++) {
        lab l, m;
        lab_open(&l), lab_open(&m);
        for (int64_t i = 0; i < m.toy.features.frames * 11; i++) m.toy.frames[i] *= -0.5f;
        qv_trainer_options o = {.resident_limit = limit};
        qv_trainer *t = lab_trainer(&l, &l.settings, &o), *u = lab_trainer(&m, &l.settings, &o);
        for (int i = 0; i < 3; i++) free(lab_predict(&l, t));
        lab_copy_weights(u, t, 0, NULL);
        qv_assert_ok(l.ctx, qv_trainer_use(l.ctx, t, m.data));
        double *p = lab_predict(&l, t), *q = lab_predict(&m, u);
        assert_memory_equal(p, q, l.toy.n * 3 * sizeof *p);
        free(p), free(q);
        qv_trainer_free(t), qv_trainer_free(u);
        lab_close(&m), lab_close(&l);
    }
}

/* ---- several trainings ---- */

/* Two in turn on one GPU with one copy of the features, streamed or resident: each as if alone. */
static void trainings_do_not_see_each_other(void **state)
{
    (void)state;
    lab l;
    lab_open(&l);
    qv_settings other = l.settings;
    other.seed = 2;
    other.width = 2;
    qv_trainer *alone[2] = {lab_trainer(&l, &l.settings, NULL), lab_trainer(&l, &other, NULL)};
    double sums[2] = {lab_train(&l, alone[0], 4).sum, lab_train(&l, alone[1], 4).sum}, together[2] = {0};
    qv_assert_ok(l.ctx, qv_gpu_open(l.ctx, &l.gpu, ""));
    for (size_t limit = 0; limit < 2; limit++) {
        qv_trainer_options o = {.resident_limit = limit};
        qv_trainer *a = lab_trainer(&l, &l.settings, &o);
        size_t before = simt_live_allocations();
        qv_trainer *b = lab_trainer(&l, &other, &o);
        assert_int_equal(simt_live_allocations() - before,
                         limit ? 2 : 1); /* its arena; the features are there already */
        together[0] = together[1] = 0;
        for (uint64_t epoch = 1; epoch <= 4; epoch++) {
            together[0] += lab_train(&l, a, epoch).sum;
            together[1] += lab_train(&l, b, epoch).sum;
            if (epoch == 2) free(lab_predict(&l, a));
        }
        lab_assert_same_weights(a, alone[0]);
        lab_assert_same_weights(b, alone[1]);
        qv_trainer_free(a);
        free(lab_predict(&l, b)); /* still has its features */
        qv_trainer_free(b);
    }
    assert_true(fabs(together[0] - sums[0]) < 1e-9 && fabs(together[1] - sums[1]) < 1e-9);
    for (int i = 0; i < 2; i++) qv_trainer_free(alone[i]);
    lab_close(&l);
}

int main(int argc, char **argv)
{
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_buffer_of_every_order),
        cmocka_unit_test(every_buffer_of_every_head),
        cmocka_unit_test(every_buffer_in_tf32),
        cmocka_unit_test(every_buffer_in_bfloat16),
        cmocka_unit_test(a_spoilt_gradient_is_seen),
        cmocka_unit_test(every_spoilt_gradient_is_seen_by_its_op),
        cmocka_unit_test(a_training_in_bfloat16),
        cmocka_unit_test(every_buffer_without_plans),
        cmocka_unit_test(a_clipped_step_is_as_long_as_it_may),
        cmocka_unit_test(fifty_losses_as_the_reference),
        cmocka_unit_test(graphs_give_the_bits_of_single_launches),
        cmocka_unit_test(a_profile_begins_with_the_second_step),
        cmocka_unit_test(what_follows_the_step_is_in_the_graph),
        cmocka_unit_test(nothing_reads_a_dead_buffer),
        cmocka_unit_test(rates_follow_over_all_blocks),
        cmocka_unit_test(a_loss_that_is_none_names_its_step),
        cmocka_unit_test(an_interruption_leaves_no_step_out),
        cmocka_unit_test(a_resumed_training_has_the_same_bits),
        cmocka_unit_test(checkpoints_go_from_device_to_device),
        cmocka_unit_test(streamed_features_give_the_same_bits),
        cmocka_unit_test(features_may_be_exchanged),
        cmocka_unit_test(trainings_do_not_see_each_other),
    };
    return cmocka_run_group_tests_name("training on CUDA", tests, NULL, NULL);
}
