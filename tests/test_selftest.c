/* What `quaver selftest` is made of finds devices that are wrong: each of these is wrong in one way. */
#include <math.h>

#include "backend/check/list.h"
#include "net/net.h"
#include "selftest/selftest.h"
#include "support/support.h"

/* --- bounds of fewer bits --- */

/* As bf16 keeps it, to nearest; or cut. */
static double in_bf16(double v, bool cut)
{
    float f = (float)v;
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    if (!cut) bits += 0x7FFF + (bits >> 16 & 1);
    bits &= 0xFFFF0000;
    memcpy(&f, &bits, sizeof f);
    return (double)f;
}

/* Cases of an op that fall outside their bounds when the reference's answer to rounded operands is stored so. */
static int stored_outside(qv_op_kind kind, bool cut, int *cases)
{
    int outside = 0;
    qv_ctx *ctx = qv_test_ctx();
    qv_problem p;
    *cases = 0;
    for (size_t i = 0; qv_problem_make(&p, kind, i, qv_test_seed()); i++, ++*cases) {
        qv_answer a;
        qv_verdict v = {0};
        qv_problem_round(&p, QV_PRECISION_BF16);
        qv_assert_ok(ctx, qv_answer_new(ctx, &a, &p));
        qv_problem_bound_in(&p, QV_PRECISION_BF16, a.out, a.bound);
        for (int k = 0; k < qv_op_info_of(kind).n_out; k++) {
            size_t n = qv_tensor_len(&a.out[k]);
            double *found = calloc(n + 1, sizeof *found), *want = a.out[k].data;
            assert_non_null(found);
            for (size_t j = 0; j < n; j++)
                found[j] = qv_operand_is_activation(kind, true, k) ? in_bf16(want[j], cut) : want[j];
            qv_verdict_add(&v, &p, &a, k, found);
            free(found);
        }
        outside += v.wrong > 0;
        qv_answer_free(&a);
        qv_problem_free(&p);
    }
    qv_ctx_free(ctx);
    return outside;
}

/* Rounding to nearest is within the bounds of bf16; cutting, which errs by up to twice as much, is not. */
static void bf16_is_rounded_not_cut(void **state)
{
    (void)state;
    const qv_op_kind kinds[] = {QV_OP_CONV,      QV_OP_ADD,           QV_OP_BN_APPLY,
                                QV_OP_SHAKE_ADD, QV_OP_BN_GRAD_APPLY, QV_OP_POOL_GRAD};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        int cases;
        assert_int_equal(stored_outside(kinds[i], false, &cases), 0);
        assert_true(cases > 10);
        assert_true(stored_outside(kinds[i], true, &cases) > cases / 4);
    }
}

/* What a device is fed has weights in float, which it rounds itself. Cases that fall outside their bounds when that is
 * done so. */
static int fed_outside(qv_op_kind kind, bool cut, int *cases)
{
    int outside = 0;
    qv_ctx *ctx = qv_test_ctx();
    qv_problem p;
    *cases = 0;
    for (size_t i = 0; qv_problem_make_bf16(&p, kind, i, qv_test_seed()); i++) {
        qv_answer a, b;
        qv_verdict v = {0};
        double *w = p.in[1].data;
        p.fed = true;
        qv_assert_ok(ctx, qv_answer_new(ctx, &a, &p));
        qv_problem_bound_in(&p, QV_PRECISION_BF16, a.out, a.bound);
        for (size_t j = 0; j < qv_tensor_len(&p.in[1]); j++) w[j] = in_bf16(w[j], cut);
        qv_assert_ok(ctx, qv_answer_new(ctx, &b, &p));
        double *found = b.out[0].data;
        for (size_t j = 0; j < qv_tensor_len(&b.out[0]); j++) found[j] = in_bf16(found[j], false);
        qv_verdict_add(&v, &p, &a, 0, found);
        outside += v.wrong > 0;
        *cases += !p.exact;
        qv_answer_free(&a), qv_answer_free(&b);
        qv_problem_free(&p);
    }
    qv_ctx_free(ctx);
    return outside;
}

static void fed_weights_are_rounded_not_cut(void **state)
{
    (void)state;
    const qv_op_kind kinds[] = {QV_OP_CONV, QV_OP_CONV_GRAD_X};
    for (int i = 0; i < 2; i++) {
        int cases;
        assert_int_equal(fed_outside(kinds[i], false, &cases), 0);
        assert_true(cases > 10);
        assert_true(fed_outside(kinds[i], true, &cases) > cases / 2);
    }
}

/* Both operands of the gradient at the weights are stored in bf16: there is nothing left to convert. */
static void fed_activations_lose_nothing(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_test_ctx();
    qv_problem p;
    for (size_t i = 0; qv_problem_make_bf16(&p, QV_OP_CONV_GRAD_W, i, qv_test_seed()); i++) {
        qv_answer a, fed;
        qv_assert_ok(ctx, qv_answer_new(ctx, &a, &p));
        qv_assert_ok(ctx, qv_answer_new(ctx, &fed, &p));
        qv_problem_bound_in(&p, QV_PRECISION_BF16, a.out, a.bound);
        p.fed = true;
        qv_problem_bound_in(&p, QV_PRECISION_BF16, fed.out, fed.bound);
        assert_memory_equal(a.bound[0], fed.bound[0], qv_tensor_len(&a.out[0]) * sizeof(double));
        qv_answer_free(&a), qv_answer_free(&fed);
        qv_problem_free(&p);
    }
    qv_ctx_free(ctx);
}

/* A gradient of so many terms that cut sums may err by 3 % of their magnitudes: that it is not there, or lacks each
 * 25th row, is seen in every element. */
static void a_large_gradient_must_be_there(void **state)
{
    (void)state;
    const qv_precision precisions[] = {QV_PRECISION_TF32, QV_PRECISION_BF16};
    qv_ctx *ctx = qv_test_ctx();
    qv_problem p;
    uint64_t seed = qv_test_seed();
    while (qv_problem_make(&p, QV_OP_CONV_GRAD_W, QV_PROBLEM_LARGE, seed++) && (p.exact || p.op.a.conv.stride > 1))
        qv_problem_free(&p);
    qv_answer a;
    qv_problem_round(&p, QV_PRECISION_BF16);
    qv_assert_ok(ctx, qv_answer_new(ctx, &a, &p));
    size_t n = qv_tensor_len(&a.out[0]);
    double *found = calloc(n, sizeof *found), *want = a.out[0].data;
    assert_non_null(found);
    for (int i = 0; i < 2; i++) {
        qv_problem_bound_in(&p, precisions[i], a.out, a.bound);
        for (int rows = 0; rows < 25; rows += 24) {
            qv_verdict v = {0};
            for (size_t k = 0; k < n; k++) found[k] = want[k] * rows / 25;
            qv_verdict_add(&v, &p, &a, 0, found);
            assert_int_equal(v.wrong, n);
        }
    }
    free(found);
    qv_answer_free(&a);
    qv_problem_free(&p);
    qv_ctx_free(ctx);
}

/* Cases of a block's end that fall outside their bounds in bf16; its statistics are of y as it is stored, or of what y
 * was before. */
static int measured_outside(bool stored, int *cases)
{
    int outside = 0;
    qv_ctx *ctx = qv_test_ctx();
    qv_problem p;
    *cases = 0;
    for (size_t i = 0; qv_problem_make_bf16(&p, QV_OP_BLOCK_END, i, qv_test_seed()); i++) {
        qv_answer a, found;
        qv_verdict v = {0};
        qv_assert_ok(ctx, qv_answer_new(ctx, &a, &p));
        qv_assert_ok(ctx, qv_answer_new(ctx, &found, &p));
        qv_problem_bound_in(&p, QV_PRECISION_BF16, a.out, a.bound);
        double *y = found.out[0].data;
        for (size_t k = 0; k < qv_tensor_len(&p.out[0]); k++) y[k] = in_bf16(y[k], false);
        if (stored) qv_assert_ok(ctx, qv_answer_follow(ctx, &found, &p, 0, y));
        for (int k = 0; k < 5; k++) { /* without the counters */
            if (!p.out[k].n) continue;
            qv_verdict_add(&v, &p, &a, k, found.out[k].data);
            qv_assert_ok(ctx, qv_answer_follow(ctx, &a, &p, k, found.out[k].data));
        }
        outside += v.wrong > 0;
        *cases += p.out[1].n > 0;
        qv_answer_free(&a), qv_answer_free(&found);
        qv_problem_free(&p);
    }
    qv_ctx_free(ctx);
    return outside;
}

static void a_block_ends_with_the_statistics_of_what_it_stored(void **state)
{
    (void)state;
    int cases;
    assert_int_equal(measured_outside(true, &cases), 0);
    assert_true(cases > 10);
    assert_true(measured_outside(false, &cases) > cases / 2);
}

/* --- verdicts --- */

static qv_verdict judge(double found, double want, double bound)
{
    qv_problem p = {.op = {.kind = QV_OP_RELU}};
    qv_answer a = {.out = {{&want, 1, 1, 1, 1, QV_REAL}}, .bound = {&bound}};
    qv_verdict v = {0};
    qv_verdict_add(&v, &p, &a, 0, &found);
    return v;
}

static void verdicts_let_nothing_through(void **state)
{
    (void)state;
    assert_int_equal(judge(1.5, 1, 0.5).wrong, 0);
    assert_true(judge(1.5, 1, 0.5).share == 1);
    assert_int_equal(judge(1.5, 1, 0.25).wrong, 1);
    assert_int_equal(judge(1, 1, 0).wrong, 0);
    assert_int_equal(judge(nextafter(1, 2), 1, 0).wrong, 1);
    assert_true(isinf(judge(nextafter(1, 2), 1, 0).share));
    assert_int_equal(judge(NAN, 1, 10).wrong, 1);
    assert_true(isinf(judge(NAN, 1, 10).share));
    assert_int_equal(judge(1, 1, NAN).wrong, 1); /* there was no memory for the bound */
}

/* --- lists --- */

typedef struct count {
    size_t cases, failed, first;
} count;

static void add(void *user, const qv_case *c)
{
    count *n = user;
    if (!qv_case_passed(c) && n->failed++ == 0) n->first = c->index;
    n->cases++;
}

/* A network whose program `spoil` may change before it is loaded. */
static count check_spoiled(void (*spoil)(qv_program *p))
{
    enum { BATCH = 3, FRAMES = 9, MELS = 8, CLASSES = 3 };
    qv_ctx *ctx = qv_test_ctx();
    qv_net *net;
    qv_exec *exec;
    count n = {0};
    qv_net_config c = {.order = QV_ORDER_PREACT_BN,
                       .width = 3,
                       .blocks = 1,
                       .groups = 1,
                       .forward = QV_SHAKE_SHAKE,
                       .backward = QV_SHAKE_SHAKE,
                       .level = QV_LEVEL_SAMPLE,
                       .bands = 1,
                       .gamma0 = 0.5f,
                       .bn_eps = 1e-5f,
                       .bn_momentum = 0.1f,
                       .frames = FRAMES,
                       .mels = MELS,
                       .classes = CLASSES,
                       .batch = BATCH,
                       .momentum = 0.9f,
                       .set_size = BATCH};
    qv_exec_options d = {.device = QV_DEVICE_REF32, .no_fuse = true, .keep_buffers = true};
    qv_assert_ok(ctx, qv_net_new(ctx, &net, &c, &(qv_net_options){.no_gather = true}));
    spoil(net->program);
    qv_assert_ok(ctx, qv_exec_new(ctx, &exec, net->program, &d));
    uint64_t random = qv_test_seed();
    for (size_t i = 0; i < net->program->n_buffers; i++) {
        const qv_buffer *b = &net->program->buffers[i];
        bool parameter = (b->role == QV_ROLE_PARAM || b->role == QV_ROLE_RUNNING) && b->alias < 0;
        for (size_t k = 0; (parameter || (int)i == net->input || (int)i == net->class_weights) && k < qv_buffer_len(b);
             k++)
            qv_exec_write(exec, (int)i, k, 1, &(double){qv_test_uniform(&random, 0.1, 1)});
    }
    qv_step_state state = {.key = {1, 2}, .set_size = BATCH, .batch = BATCH, .lr = 0.1f};
    qv_exec_write_bytes(exec, net->state, 0, sizeof state, &state);
    qv_list_run f = {.program = net->program, .exec = exec, .list = QV_LIST_TRAIN, .features = -1};
    qv_assert_ok(ctx, qv_check_list(ctx, &d, &f, add, &n));
    qv_exec_free(exec);
    qv_net_free(net);
    qv_ctx_free(ctx);
    return n;
}

static size_t find_op(const qv_program *p, qv_op_kind kind)
{
    size_t i = 0;
    while (p->lists[QV_LIST_TRAIN].ops[i].kind != (int32_t)kind) i++;
    return i;
}

static void leave_alone(qv_program *p) { (void)p; }

/* A missing wait: the first convolution of a block runs before what it reads is written. */
static void read_too_early(qv_program *p)
{
    qv_op *ops = p->lists[QV_LIST_TRAIN].ops;
    size_t i = find_op(p, QV_OP_BN_APPLY);
    qv_op first = ops[i];
    assert_int_equal(ops[i + 1].kind, QV_OP_CONV);
    ops[i] = ops[i + 1];
    ops[i + 1] = first;
}

/* Two results in one place: the second overwrites the first after it was used. */
static void write_over(qv_program *p)
{
    qv_op *ops = p->lists[QV_LIST_TRAIN].ops;
    size_t i = find_op(p, QV_OP_SHAKE_GRAD);
    ops[i].out[0] = ops[find_op(p, QV_OP_SHAKE_ADD)].in[0];
}

static void lists_out_of_order_are_seen(void **state)
{
    (void)state;
    count whole = check_spoiled(leave_alone), early = check_spoiled(read_too_early), over = check_spoiled(write_over);
    assert_true(whole.cases > 100);
    assert_int_equal(whole.failed, 0);
    assert_true(early.failed > 0);
    assert_true(over.failed > 0);
}

/* --- the whole --- */

static void count_row(void *user, const qv_selftest_row *row)
{
    size_t *rows = user;
    assert_true(row->cases > 0 && row->worst.elements > 0);
    ++*rows;
}

/* The reference against itself: nothing may differ at all. */
static void reference_is_itself(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_test_ctx();
    qv_settings s;
    size_t rows = 0;
    qv_selftest_result result;
    qv_assert_ok(ctx, qv_settings_init(ctx, &s));
    s.device = QV_DEVICE_REF;
    s.threads = 1;
    qv_selftest_options o = {.settings = &s, .seed = qv_test_seed(), .on_row = count_row, .user = &rows};
    qv_assert_ok(ctx, qv_selftest(ctx, &o, &result));
    assert_int_equal(result.failed, 0);
    assert_int_equal(rows, QV_OP_COUNT + 16 + 1);
    qv_settings_free(&s);
    qv_ctx_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bf16_is_rounded_not_cut),
        cmocka_unit_test(fed_weights_are_rounded_not_cut),
        cmocka_unit_test(fed_activations_lose_nothing),
        cmocka_unit_test(a_large_gradient_must_be_there),
        cmocka_unit_test(a_block_ends_with_the_statistics_of_what_it_stored),
        cmocka_unit_test(verdicts_let_nothing_through),
        cmocka_unit_test(lists_out_of_order_are_seen),
        cmocka_unit_test(reference_is_itself),
    };
    return cmocka_run_group_tests_name("selftest", tests, NULL, NULL);
}
