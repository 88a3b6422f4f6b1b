/* The check of ops catches broken ops: each of these is wrong in one way that a reader could overlook. */
#include <math.h>

#include "support/op_check.h"
#include "support/support.h"

/* Cases of `kind` that fail with this function in the op's place. */
static int failures(qv_op_kind kind, qv_op_fn fn, int *cases)
{
    qv_op_fn table[QV_OP_COUNT] = {0};
    table[kind] = fn;
    return qv_op_check(&(qv_op_runner){.name = "broken", .table = table, .quiet = true}, kind, 1, cases);
}

static void assert_all_fail(qv_op_kind kind, qv_op_fn fn)
{
    int cases, failed = failures(kind, fn, &cases);
    assert_true(cases > 0);
    assert_int_equal(failed, cases);
}

static void assert_some_fail(qv_op_kind kind, qv_op_fn fn)
{
    int cases;
    assert_true(failures(kind, fn, &cases) > 0);
}

static int relu_then(const qv_call *call, size_t *need, ptrdiff_t at, float change)
{
    int status = qv_ref32_ops[QV_OP_RELU](call, need);
    if (!need) ((float *)call->out[0].data)[at] += change;
    return status;
}

static int relu_wrong_at_the_end(const qv_call *call, size_t *need)
{
    return relu_then(call, need, (ptrdiff_t)qv_tensor_len(&call->out[0]) - 1, 1e-6f);
}

static int relu_nan(const qv_call *call, size_t *need) { return relu_then(call, need, 0, NAN); }

static int relu_past_the_end(const qv_call *call, size_t *need)
{
    return relu_then(call, need, (ptrdiff_t)qv_tensor_len(&call->out[0]), 1);
}

static int relu_before_the_start(const qv_call *call, size_t *need) { return relu_then(call, need, -1, 1); }

static int relu_in_place(const qv_call *call, size_t *need)
{
    int status = qv_ref32_ops[QV_OP_RELU](call, need);
    if (!need) ((float *)call->in[0].data)[0] += 1;
    return status;
}

/* The last element is left as it was. */
static int relu_without_tail(const qv_call *call, size_t *need)
{
    if (need) return qv_no_scratch(need);
    float *y = call->out[0].data, *last = y + qv_tensor_len(&call->out[0]) - 1, kept = *last;
    qv_ref32_ops[QV_OP_RELU](call, NULL);
    memcpy(last, &kept, sizeof kept);
    return 0;
}

static int relu_refused(const qv_call *call, size_t *need)
{
    (void)call;
    if (need) *need = 0;
    return QV_ERR_UNSUPPORTED;
}

static void guards_and_garbage_are_seen(void **state)
{
    (void)state;
    assert_all_fail(QV_OP_RELU, relu_wrong_at_the_end);
    assert_all_fail(QV_OP_RELU, relu_nan);
    assert_all_fail(QV_OP_RELU, relu_past_the_end);
    assert_all_fail(QV_OP_RELU, relu_before_the_start);
    assert_all_fail(QV_OP_RELU, relu_in_place);
    assert_all_fail(QV_OP_RELU, relu_without_tail);
    assert_all_fail(QV_OP_RELU, relu_refused);
}

/* Sums that go on from what the scratch happens to hold. */
static int pool_from_dirty_scratch(const qv_call *call, size_t *need)
{
    int status = qv_ref32_ops[QV_OP_POOL](call, need);
    if (need) return *need += sizeof(float), status;
    float dirt;
    memcpy(&dirt, (char *)call->scratch + call->in[0].c * (int)sizeof(double), sizeof dirt);
    ((float *)call->out[0].data)[0] += dirt;
    return status;
}

/* Mean square less squared mean, in float. */
static int stats_by_difference(const qv_call *call, size_t *need)
{
    if (need) return qv_no_scratch(need);
    const float *x = call->in[0].data;
    float *mean = call->out[0].data, *var = call->out[1].data;
    size_t channels = (size_t)call->in[0].c, len = qv_tensor_len(&call->in[0]);
    float count = (float)(len / channels);
    for (size_t c = 0; c < channels; c++) {
        float sum = 0, square = 0;
        for (size_t i = c; i < len; i += channels) sum += x[i], square += x[i] * x[i];
        mean[c] = sum / count;
        var[c] = fmaxf(square / count - mean[c] * mean[c], 0);
    }
    return 0;
}

/* x scale + shift, with the mean folded into the shift. */
static int apply_folded(const qv_call *call, size_t *need)
{
    if (need) return qv_no_scratch(need);
    const qv_bn_attr *a = &call->op->a.bn;
    const float *x = call->in[0].data, *mean = call->in[1].data, *rstd = call->in[2].data;
    const float *gamma = call->in[3].data, *beta = call->in[4].data;
    float *y = call->out[0].data;
    size_t wide = (size_t)call->out[0].c, channels = (size_t)call->in[0].c;
    for (size_t i = 0; i < qv_tensor_len(&call->out[0]); i++) {
        size_t j = i % wide, c = j % channels;
        float scale = rstd[c] * gamma[j], shift = beta[j] - mean[c] * scale;
        y[i] = x[i / wide * channels + c] * scale + shift;
        if (a->relu) y[i] = fmaxf(y[i], 0);
    }
    return 0;
}

/* A convolution that forgets one term of the last output's sum. */
static int conv_without_a_tap(const qv_call *call, size_t *need)
{
    int status = qv_ref32_ops[QV_OP_CONV](call, need);
    if (need) return status;
    const qv_tensor *x = &call->in[0], *w = &call->in[1];
    const float *last_w = (const float *)w->data + (qv_tensor_len(w) - 1);
    const float *last_x = (const float *)x->data + (qv_tensor_len(x) - 1);
    const qv_conv_attr *a = &call->op->a.conv;
    bool same = a->kernel == 1 && a->stride == 1;
    if (same) ((float *)call->out[0].data)[qv_tensor_len(&call->out[0]) - 1] -= *last_w * *last_x;
    return status;
}

/* A 3x3 convolution of the CPU, by Winograd where it can be, that forgets one term of the last output's sum. */
static int conv_without_a_term(const qv_call *call, size_t *need)
{
    qv_op_fn table[QV_OP_COUNT];
    qv_cpu_ops(table, NULL, NULL);
    int status = table[QV_OP_CONV](call, need);
    if (need) return status;
    const qv_tensor *x = &call->in[0], *w = &call->in[1], *y = &call->out[0];
    const float *last_x = (const float *)x->data + (qv_tensor_len(x) - 1);
    const float *last_w = (const float *)w->data + (qv_tensor_len(w) - 1) - 4 * w->c;
    if (w->h == 3) ((float *)y->data)[qv_tensor_len(y) - 1] -= *last_w * *last_x;
    return status;
}

/* Weight decay on one element too many. */
static int sgd_decays_too_far(const qv_call *call, size_t *need)
{
    qv_op op = *call->op;
    op.a.sgd.decayed++;
    qv_call changed = *call;
    changed.op = &op;
    return qv_ref32_ops[QV_OP_SGD](&changed, need);
}

static void lost_digits_and_terms_are_seen(void **state)
{
    (void)state;
    assert_all_fail(QV_OP_POOL, pool_from_dirty_scratch);
    assert_some_fail(QV_OP_BN_STATS, stats_by_difference);
    assert_some_fail(QV_OP_BN_APPLY, apply_folded);
    assert_some_fail(QV_OP_CONV, conv_without_a_tap);
    assert_some_fail(QV_OP_SGD, sgd_decays_too_far);
}

/* The bound of a Winograd convolution is wider than that of a direct sum, yet not as wide as a term. */
static void winograd_hides_no_lost_term(void **state)
{
    (void)state;
    const qv_cpu_options o = {.threads = 1};
    const qv_op_fn table[QV_OP_COUNT] = {[QV_OP_CONV] = conv_without_a_term};
    const qv_op_runner r = {.name = "broken", .table = table, .quiet = true, .cpu = &o};
    qv_problem p;
    int cases, wanted = 0, by_winograd = 0;
    for (size_t i = 0; qv_problem_make(&p, QV_OP_CONV, i, 1); i++) {
        if (p.op.a.conv.kernel == 3 && !p.exact) {
            wanted++;
            by_winograd += qv_takes_winograd(&o, &p.op, p.in, p.out);
        }
        qv_problem_free(&p);
    }
    assert_true(by_winograd >= 5);
    assert_true(qv_op_check(&r, QV_OP_CONV, 1, &cases) >= wanted);
}

/* Of the cases that are small enough; the first one always. */
static void every_so_many_cases_are_run(void **state)
{
    (void)state;
    enum { LIMIT = 64 };
    qv_op_runner r = {.name = "ref32", .table = qv_ref32_ops, .limit = LIMIT};
    int all, some;
    assert_int_equal(qv_op_check(&r, QV_OP_RELU, 1, &all), 0);
    assert_true(all > 3);
    for (r.every = 1; r.every <= (size_t)all + 1; r.every++) {
        assert_int_equal(qv_op_check(&r, QV_OP_RELU, 1, &some), 0);
        assert_int_equal(some, ((size_t)all + r.every - 1) / r.every);
    }
}

/* Every operand of the row is there in some case, and absent in some if it is optional, else in none. */
static void operands_are_as_words_say(const char *op, const char *word, int n, const bool *seen, const bool *missed)
{
    for (int k = 0; k < n; k++) {
        size_t len = strcspn(word, " ");
        bool optional = memchr(word, '?', len) != NULL;
        if (!seen[k] || missed[k] != optional) print_error("%s: %.*s\n", op, (int)len, word);
        assert_true(seen[k] && missed[k] == optional);
        word += len + (word[len] == ' ');
    }
}

/* The cases themselves: every op has some, and absent operands are those that its row calls optional. */
static void operands_are_as_ops_def_says(void **state)
{
    (void)state;
    for (int kind = 0; kind < QV_OP_COUNT; kind++) {
        qv_op_info info = qv_op_info_of((qv_op_kind)kind);
        bool seen[QV_MAX_IN] = {0}, missed[QV_MAX_IN] = {0}, made[QV_MAX_OUT] = {0}, left[QV_MAX_OUT] = {0};
        qv_problem p;
        for (size_t i = 0; qv_problem_make(&p, (qv_op_kind)kind, i, 1); i++) {
            for (int k = 0; k < info.n_in; k++) *(p.in[k].data ? &seen[k] : &missed[k]) = true;
            for (int k = 0; k < info.n_out; k++) *(p.out[k].n > 0 ? &made[k] : &left[k]) = true;
            qv_problem_free(&p);
        }
        operands_are_as_words_say(info.name, info.in, info.n_in, seen, missed);
        operands_are_as_words_say(info.name, info.out, info.n_out, made, left);
    }
}

/* The table of the CPU has a version of its own where the row says so, and there alone. */
static void the_cpu_has_what_ops_def_says(void **state)
{
    (void)state;
    qv_op_fn table[QV_OP_COUNT];
    const char *isa;
    qv_cpu_ops(table, NULL, &isa);
    for (int kind = 0; kind < QV_OP_COUNT; kind++) {
        const qv_op_info info = qv_op_info_of((qv_op_kind)kind);
        if (info.cpu_own != (table[kind] != qv_ref32_ops[kind])) fail_msg("%s", info.name);
    }
}

/* A case's number is read digit by digit, and the first that leaves something over ends the list: a digit that is not
 * always there would leave cases behind that end. */
static void no_case_is_behind_the_last(void **state)
{
    (void)state;
    for (int kind = 0; kind < QV_OP_COUNT; kind++) {
        qv_problem p;
        size_t n = 0;
        while (qv_problem_make(&p, (qv_op_kind)kind, n, 1)) n++, qv_problem_free(&p);
        for (size_t i = n; i < 4 * n; i++)
            if (qv_problem_make(&p, (qv_op_kind)kind, i, 1))
                fail_msg("%s: case %zu of %zu", qv_op_info_of((qv_op_kind)kind).name, i, n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_case_is_behind_the_last),     cmocka_unit_test(guards_and_garbage_are_seen),
        cmocka_unit_test(lost_digits_and_terms_are_seen), cmocka_unit_test(winograd_hides_no_lost_term),
        cmocka_unit_test(every_so_many_cases_are_run),    cmocka_unit_test(operands_are_as_ops_def_says),
        cmocka_unit_test(the_cpu_has_what_ops_def_says),
    };
    return cmocka_run_group_tests_name("op_check", tests, NULL, NULL);
}
