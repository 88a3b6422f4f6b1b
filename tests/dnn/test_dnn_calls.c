/* What src/backend/cuda/dnn.c asks of cuDNN, cuBLAS and the runtime, through a device that is faked below them
 * (fake_device.h): what its graphs, variant packs and products mean is compared with the reference, exactly. */
#include "backend/backend.h"
#include "backend/cuda/dnn.h"
#include "backend/cuda/dnn_blas.h"
#include "backend/cuda/dnn_plan.h"
#include "fake_setup.h"
#include "support/support.h"

static const qv_dnn_options plain = {.workspace_limit = (size_t)64 << 20};

/* ---- operands ---- */

/* An operand of a key: -1, 0 and 1, which every precision multiplies and adds exactly, also as bf16. */
typedef struct operand {
    size_t n, bytes;
    bool narrow;
    double *values;
    void *device;
} operand;

static void put(const operand *o, size_t i)
{
    float v = (float)o->values[i];
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    if (o->narrow)
        ((uint16_t *)o->device)[i] = (uint16_t)(bits >> 16);
    else
        ((float *)o->device)[i] = v;
}

static double get(const operand *o, size_t i)
{
    if (!o->narrow) return (double)((const float *)o->device)[i];
    uint32_t bits = (uint32_t)((const uint16_t *)o->device)[i] << 16;
    float v;
    memcpy(&v, &bits, sizeof v);
    return (double)v;
}

static operand operand_of(const qv_dnn_key *key, qv_dnn_operand which, uint64_t *seed)
{
    operand o = {.narrow = key->precision == QV_PRECISION_BF16, .bytes = qv_dnn_bytes(key, which)};
    o.n = o.bytes / (o.narrow ? 2 : 4);
    o.values = calloc(o.n, sizeof o.values[0]);
    o.device = aligned_alloc(256, (o.bytes + 255) / 256 * 256);
    for (size_t i = 0; i < o.n; i++) {
        o.values[i] = (double)(qv_test_next(seed) % 3) - 1;
        put(&o, i);
    }
    return o;
}

static void operand_free(operand *o)
{
    free(o->values);
    free(o->device);
}

static void operand_equals(const operand *o, const char *text)
{
    for (size_t i = 0; i < o->n; i++)
        if (get(o, i) != o->values[i]) fail_msg("%s: element %zu is %g, expected %g", text, i, get(o, i), o->values[i]);
}

/* ---- the reference ---- */

static void expect_convolution(const qv_dnn_key *k, operand o[3])
{
    static const qv_op_kind kinds[] = {QV_OP_CONV, QV_OP_CONV_GRAD_X, QV_OP_CONV_GRAD_W};
    qv_tensor t[3];
    qv_op op = {.kind = (int32_t)kinds[k->kind], .a.conv = {k->kernel, k->stride, k->pad, k->groups}};
    for (int i = QV_DNN_A; i <= QV_DNN_OUT; i++) {
        int64_t d[4];
        qv_dnn_dims(k, qv_dnn_tensor_of(k, (qv_dnn_operand)i), d);
        t[i] = (qv_tensor){
            .data = o[i].values, .n = (int32_t)d[0], .h = (int32_t)d[2], .w = (int32_t)d[3], .c = (int32_t)d[1]};
    }
    qv_call call = {.op = &op, .in = t, .out = &t[QV_DNN_OUT]};
    size_t need = 0;
    assert_int_equal(qv_ref_ops[op.kind](&call, &need), 0);
    call.scratch = calloc(1, need + 1);
    assert_int_equal(qv_ref_ops[op.kind](&call, NULL), 0);
    free(call.scratch);
}

/* out = op(a) op(b), row by row as stored. */
static void expect_product(const qv_dnn_key *k, operand o[3])
{
    size_t rows = (size_t)k->rows, columns = (size_t)k->columns, depth = (size_t)k->depth;
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < columns; j++) {
            double sum = k->accumulate ? o[2].values[i * columns + j] : 0;
            for (size_t l = 0; l < depth; l++)
                sum += o[0].values[k->transpose_a ? l * rows + i : i * depth + l] *
                       o[1].values[k->transpose_b ? j * depth + l : l * columns + j];
            o[2].values[i * columns + j] = sum;
        }
}

/* ---- one key through the door ---- */

static qv_status run_key(qv_ctx *ctx, qv_dnn *d, const qv_dnn_key *key, operand o[3])
{
    const qv_dnn_plan *plan;
    void *stream, *workspace = NULL;
    qv_status status = qv_dnn_plan_for(ctx, d, key, &plan);
    if (status != QV_OK) return status;
    assert_int_equal(qv_dnn_workspace(plan) % 256, 0);
    if (qv_dnn_workspace(plan) > 0) workspace = aligned_alloc(256, qv_dnn_workspace(plan));
    status = cudaStreamCreateWithFlags((cudaStream_t *)&stream, cudaStreamNonBlocking) == cudaSuccess
                 ? qv_dnn_run(ctx, d, plan, stream, o[0].device, o[1].device, o[2].device, workspace)
                 : QV_OK;
    fake.streams = 0;
    free(workspace);
    return status;
}

static void check_key(qv_ctx *ctx, qv_dnn *d, const qv_dnn_key *key, uint64_t *seed)
{
    char text[QV_DNN_TEXT];
    operand o[3];
    qv_dnn_key_text(key, text);
    for (int i = QV_DNN_A; i <= QV_DNN_OUT; i++) o[i] = operand_of(key, (qv_dnn_operand)i, seed);
    qv_assert_ok(ctx, run_key(ctx, d, key, o));
    if (key->kind == QV_DNN_PRODUCT)
        expect_product(key, o);
    else
        expect_convolution(key, o);
    for (int i = QV_DNN_A; i <= QV_DNN_OUT; i++) {
        operand_equals(&o[i], text);
        operand_free(&o[i]);
    }
}

static void convolutions_mean_what_the_reference_does(void **state)
{
    static const qv_dnn_key shapes[] = {
        {.n = 2, .h = 7, .w = 5, .cin = 8, .cout = 16, .kernel = 3, .stride = 1, .pad = 1, .groups = 1},
        {.n = 2, .h = 6, .w = 9, .cin = 16, .cout = 24, .kernel = 3, .stride = 2, .pad = 1, .groups = 2},
        {.n = 3, .h = 5, .w = 4, .cin = 8, .cout = 16, .kernel = 1, .stride = 2, .pad = 0, .groups = 1},
        {.n = 1, .h = 8, .w = 8, .cin = 1, .cout = 16, .kernel = 3, .stride = 1, .pad = 1, .groups = 1},
        {.n = 2, .h = 4, .w = 6, .cin = 8, .cout = 8, .kernel = 3, .stride = 1, .pad = 0, .groups = 1},
        {.n = 2, .h = 8, .w = 8, .cin = 16, .cout = 16, .kernel = 3, .stride = 1, .pad = 1, .groups = 16},
        {.n = 2, .h = 9, .w = 8, .cin = 16, .cout = 32, .kernel = 3, .stride = 2, .pad = 1, .groups = 4},
        {.n = 2, .h = 4, .w = 5, .cin = 8, .cout = 8, .kernel = 1, .stride = 1, .pad = 0, .groups = 2},
    };
    qv_ctx *ctx = *state;
    qv_dnn *d;
    uint64_t seed = qv_test_seed();
    qv_assert_ok(ctx, qv_dnn_new(ctx, &d, &plain));
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        for (int kind = QV_DNN_CONV; kind <= QV_DNN_CONV_GRAD_W; kind++)
            for (int precision = QV_PRECISION_FP32; precision <= QV_PRECISION_BF16; precision++) {
                qv_dnn_key key = shapes[i];
                key.kind = kind, key.precision = precision;
                check_key(ctx, d, &key, &seed);
            }
    assert_int_equal(fake.executed, 9 * sizeof shapes / sizeof shapes[0]);
    qv_dnn_free(d);
}

static void products_mean_plain_loops(void **state)
{
    static const cublasComputeType_t computes[] = {CUBLAS_COMPUTE_32F_PEDANTIC, CUBLAS_COMPUTE_32F_FAST_TF32,
                                                   CUBLAS_COMPUTE_32F};
    qv_ctx *ctx = *state;
    qv_dnn *d;
    uint64_t seed = qv_test_seed();
    qv_assert_ok(ctx, qv_dnn_new(ctx, &d, &plain));
    assert_int_equal(fake.math, CUBLAS_DEFAULT_MATH | CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION);
    for (int flags = 0; flags < 8; flags++)
        for (int precision = QV_PRECISION_FP32; precision <= QV_PRECISION_BF16; precision++)
            for (int thin = 0; thin < 2; thin++) {
                const qv_dnn_key key = {.kind = QV_DNN_PRODUCT,
                                        .precision = precision,
                                        .rows = thin ? 1 : 5,
                                        .columns = 7,
                                        .depth = thin ? 1 : 11,
                                        .transpose_a = flags & 1,
                                        .transpose_b = flags >> 1 & 1,
                                        .accumulate = flags >> 2};
                check_key(ctx, d, &key, &seed);
                assert_int_equal(fake.compute, computes[precision]);
                assert_true(fake.workspace > 0 && fake.workspace <= plain.workspace_limit);
            }
    assert_int_equal(fake.products, 48);
    qv_dnn_free(d);
}

static const qv_dnn_key small_conv = {.kind = QV_DNN_CONV,
                                      .precision = QV_PRECISION_BF16,
                                      .n = 2,
                                      .h = 8,
                                      .w = 8,
                                      .cin = 16,
                                      .cout = 16,
                                      .kernel = 3,
                                      .stride = 1,
                                      .pad = 1,
                                      .groups = 1};
static const qv_dnn_key small_product = {.kind = QV_DNN_PRODUCT, .rows = 4, .columns = 3, .depth = 2};

static void a_key_is_planned_once(void **state)
{
    qv_ctx *ctx = *state;
    qv_dnn *d;
    const qv_dnn_plan *first, *again, *other;
    qv_assert_ok(ctx, qv_dnn_new(ctx, &d, &plain));
    qv_assert_ok(ctx, qv_dnn_plan_for(ctx, d, &small_conv, &first));
    long calls = fake.calls;
    qv_dnn_key key = small_conv;
    qv_assert_ok(ctx, qv_dnn_plan_for(ctx, d, &key, &again));
    assert_ptr_equal(first, again);
    assert_int_equal(fake.calls, calls);
    key.n++;
    qv_assert_ok(ctx, qv_dnn_plan_for(ctx, d, &key, &other));
    assert_ptr_not_equal(first, other);
    assert_non_null(strstr(qv_dnn_describe(d), "cuDNN 9."));
    assert_non_null(strstr(qv_dnn_plan_describe(first), "engine"));
    qv_dnn_free(d);
}

/* Six runs a candidate, the first of them not counted; the third candidate is said to be the fastest, though the
 * second one's first run is shorter still. */
static void tuning_takes_the_fastest(void **state)
{
    qv_ctx *ctx = *state;
    qv_dnn_target target = {0};
    const qv_dnn_options o = {.workspace_limit = plain.workspace_limit, .autotune = true};
    qv_dnn_engine engines[12];
    qv_dnn *d;
    const qv_dnn_plan *plan;
    int n = 0, precompiled = 0;
    char expected[64];
    for (size_t i = 0; i < sizeof fake.times / sizeof fake.times[0]; i++) fake.times[i] = 2.0f;
    fake.times[6] = 0.1f;
    fake.times[15] = 0.5f;
    assert_int_equal(cudnnCreate(&target.handle), CUDNN_STATUS_SUCCESS);
    qv_assert_ok(ctx, qv_dnn_find(ctx, &target, &small_conv, &o, engines, 12, &n, NULL));
    cudnnDestroy(target.handle);
    assert_true(n >= 3);
    snprintf(expected, sizeof expected, "engine %lld, workspace %zu", (long long)engines[2].index,
             (engines[2].workspace + 255) / 256 * 256);
    for (int i = 0; i < n; i++) {
        precompiled += !(engines[i].behavior >> CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION & 1u);
        qv_dnn_engine_free(&engines[i]);
    }
    assert_int_equal(precompiled, n);
    qv_assert_ok(ctx, qv_dnn_new(ctx, &d, &o));
    qv_assert_ok(ctx, qv_dnn_plan_for(ctx, d, &small_conv, &plan));
    assert_non_null(strstr(qv_dnn_plan_describe(plan), expected));
    assert_true(fake.executed >= 6 * n);
    qv_dnn_key key = small_conv;
    key.n = 3;
    fake.memory = 4096;
    assert_int_equal(qv_dnn_plan_for(ctx, d, &key, &plan), QV_ERR_MEMORY);
    assert_non_null(strstr(qv_ctx_message(ctx), "tuning off"));
    qv_dnn_free(d);
}

/* Heuristics promise that a plan runs; the one that does not must not end what others can do. */
static void tuning_leaves_out_what_does_not_run(void **state)
{
    qv_ctx *ctx = *state;
    const qv_dnn_options o = {.workspace_limit = plain.workspace_limit, .autotune = true};
    qv_dnn *d;
    const qv_dnn_plan *plan;
    qv_dnn_key key = small_conv;
    for (size_t i = 0; i < sizeof fake.times / sizeof fake.times[0]; i++) fake.times[i] = 2.0f;
    qv_assert_ok(ctx, qv_dnn_new(ctx, &d, &o));
    qv_assert_ok(ctx, qv_dnn_plan_for(ctx, d, &key, &plan));
    const long runs = fake.executed;
    qv_dnn_free(d);
    qv_assert_ok(ctx, qv_dnn_new(ctx, &d, &o));
    fake.executed = 0, fake.broken = 1; /* the first candidate's first run */
    qv_assert_ok(ctx, qv_dnn_plan_for(ctx, d, &key, &plan));
    assert_int_equal(fake.broken, 0);
    assert_int_equal(fake.executed, runs - 6);
    key.n = 3;
    fake.broken = 1000;
    assert_int_equal(qv_dnn_plan_for(ctx, d, &key, &plan), QV_ERR_DEVICE);
    qv_dnn_free(d);
}

/* What one mode of the heuristics offers stands, whatever becomes of the others. */
static void a_mode_that_fails_leaves_the_others(void **state)
{
    static const cudnnBackendHeurMode_t modes[] = {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_B, CUDNN_HEUR_MODE_FALLBACK};
    enum { MODES = sizeof modes / sizeof *modes, MOST = 256 };
    qv_ctx *ctx = *state;
    qv_dnn_target target = {0};
    const qv_dnn_options o = {.workspace_limit = plain.workspace_limit, .autotune = true};
    qv_dnn_engine engines[MOST];
    int n, whole = 0;
    unsigned all = 0;
    assert_int_equal(cudnnCreate(&target.handle), CUDNN_STATUS_SUCCESS);
    for (size_t i = 0; i < MODES; i++) all |= 1u << modes[i];
    for (size_t i = 0; i <= MODES; i++) { /* first none fails, then one */
        fake.broken_modes = i ? 1u << modes[i - 1] : 0;
        qv_assert_ok(ctx, qv_dnn_find(ctx, &target, &small_conv, &o, engines, MOST, &n, NULL));
        if (i == 0) whole = n;
        assert_in_range(n, 1, i ? whole - 1 : MOST - 1);
        for (int k = 0; k < n; k++) {
            assert_int_equal(fake.broken_modes >> engines[k].mode & 1u, 0);
            qv_dnn_engine_free(&engines[k]);
        }
    }
    fake.broken_modes = all;
    assert_int_equal(qv_dnn_find(ctx, &target, &small_conv, &o, engines, MOST, &n, NULL), QV_ERR_DEVICE);
    assert_int_equal(n, 0);
    assert_non_null(strstr(qv_ctx_message(ctx), "cudnnBackendFinalize failed"));
    cudnnDestroy(target.handle);
}

/* Everything that the door does, with each of its calls failing in turn. */
static qv_status all_of_it(qv_ctx *ctx, const qv_dnn_options *o, operand conv[3], operand product[3])
{
    qv_status status = QV_OK;
    qv_dnn *d = NULL;
    QV_TRY(qv_dnn_new(ctx, &d, o));
    QV_TRY(run_key(ctx, d, &small_conv, conv));
    QV_TRY(run_key(ctx, d, &small_product, product));
done:
    qv_dnn_free(d);
    return status;
}

static void every_failure_is_reported_and_leaks_nothing(void **state)
{
    qv_ctx *ctx = *state;
    operand conv[3], product[3];
    uint64_t seed = qv_test_seed();
    for (int i = QV_DNN_A; i <= QV_DNN_OUT; i++) {
        conv[i] = operand_of(&small_conv, (qv_dnn_operand)i, &seed);
        product[i] = operand_of(&small_product, (qv_dnn_operand)i, &seed);
    }
    enum { RUNS = 40 };
    for (int tune = 0; tune < 2; tune++) {
        const qv_dnn_options o = {.workspace_limit = plain.workspace_limit, .autotune = tune};
        fake.calls = fake.fail_at = 0;
        qv_assert_ok(ctx, all_of_it(ctx, &o, conv, product));
        long total = fake.calls, runs = 0, reported = 0;
        const long stride = total / RUNS + 1; /* a run plans anew, which takes its time */
        for (long at = 1; at <= total; at += at < RUNS ? 1 : stride) {
            fake.calls = 0, fake.fail_at = at;
            qv_status s = all_of_it(ctx, &o, conv, product);
            fake.fail_at = 0;
            all_is_released(1);
            runs++;
            reported += s != QV_OK;
            if (s != QV_OK) assert_true(s == QV_ERR_DEVICE || s == QV_ERR_MEMORY);
        }
        printf("%ld calls%s: %ld of them failed in turn, %ld failures ended it, none of the others changed the rest\n",
               total, tune ? " with tuning" : "", runs, reported);
        assert_true(reported > RUNS / 2);
    }
    for (int i = QV_DNN_A; i <= QV_DNN_OUT; i++) operand_free(&conv[i]), operand_free(&product[i]);
}

static void misplaced_pointers_are_refused(void **state)
{
    qv_ctx *ctx = *state;
    qv_dnn *d;
    const qv_dnn_plan *plan;
    static char memory[512];
    char *at = memory + (256 - (uintptr_t)memory % 256) % 256;
    qv_assert_ok(ctx, qv_dnn_new(ctx, &d, &plain));
    qv_assert_ok(ctx, qv_dnn_plan_for(ctx, d, &small_conv, &plan));
    assert_int_equal(qv_dnn_run(ctx, d, plan, NULL, at, at + 8, at, at), QV_ERR_INTERNAL);
    assert_int_equal(qv_dnn_run(ctx, d, plan, NULL, at, at, NULL, at), QV_ERR_INTERNAL);
    qv_assert_ok(ctx, qv_dnn_plan_for(ctx, d, &small_product, &plan));
    assert_int_equal(qv_dnn_run(ctx, d, plan, NULL, at, at, at, NULL), QV_ERR_INTERNAL);
    assert_int_equal(qv_dnn_run(ctx, d, plan, NULL, at, at, at, at + 16), QV_ERR_INTERNAL);
    assert_int_equal(fake.executed + fake.products, 0);
    qv_dnn_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(convolutions_mean_what_the_reference_does, begin, end),
        cmocka_unit_test_setup_teardown(products_mean_plain_loops, begin, end),
        cmocka_unit_test_setup_teardown(a_key_is_planned_once, begin, end),
        cmocka_unit_test_setup_teardown(tuning_takes_the_fastest, begin, end),
        cmocka_unit_test_setup_teardown(tuning_leaves_out_what_does_not_run, begin, end),
        cmocka_unit_test_setup_teardown(a_mode_that_fails_leaves_the_others, begin, end),
        cmocka_unit_test_setup_teardown(every_failure_is_reported_and_leaks_nothing, begin, end),
        cmocka_unit_test_setup_teardown(misplaced_pointers_are_refused, begin, end),
    };
    printf("seed %llu (QV_SEED)\n", (unsigned long long)qv_test_seed());
    return cmocka_run_group_tests(tests, NULL, NULL);
}
