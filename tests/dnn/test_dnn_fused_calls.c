/* What bench/fused_conv.c asks of cuDNN, through a device that is faked below it (fake_device.h): what its graphs and
 * variant packs mean is compared with plain loops, exactly. The plans are the real library's, and a driver that does
 * nothing serves for them (fake_driver.sh). */
#include "backend/cuda/dnn_plan.h"
#include "bench/fused_conv.h"
#include "fake_setup.h"
#include "kernels/bf16.h"
#include "support/support.h"

static const qv_dnn_options options = {.workspace_limit = (size_t)64 << 20};

/* Operands in double and as they lie in memory. y is pitch wide; all whole numbers below 2^8. */
typedef struct operand {
    size_t n;
    bool narrow;
    double *values;
    void *device;
} operand;

static double get(const operand *o, size_t i)
{
    return o->narrow ? (double)qv_bf16_value(((const qv_bf16 *)o->device)[i]) : (double)((const float *)o->device)[i];
}

static void put(operand *o, size_t i, double v)
{
    o->values[i] = v;
    if (o->narrow)
        ((qv_bf16 *)o->device)[i] = qv_bf16_of((float)v);
    else
        ((float *)o->device)[i] = (float)v;
}

static operand operand_new(size_t n, bool narrow, int low, int high, uint64_t *seed)
{
    operand o = {n, narrow, calloc(n, sizeof(double)), aligned_alloc(16, (4 * n + 15) / 16 * 16)};
    for (size_t i = 0; i < n; i++) put(&o, i, low + (int)(qv_test_next(seed) % (uint64_t)(high - low + 1)));
    return o;
}

/* The same in plain loops; y, sum and squares in double. */
static double convolve(const fused_key *key, const operand o[FUSED_TENSORS], const int at[4])
{
    const qv_dnn_key *k = &key->conv;
    const int ci = k->cin / k->groups, first = at[3] / (k->cout / k->groups) * ci;
    double sum = 0;
    for (int r = 0; r < k->kernel; r++)
        for (int s = 0; s < k->kernel; s++) {
            const int h = at[1] * k->stride + r - k->pad, w = at[2] * k->stride + s - k->pad;
            if (h < 0 || h >= k->h || w < 0 || w >= k->w) continue;
            for (int i = 0; i < ci; i++) {
                const size_t c = (size_t)(first + i);
                double x = o[FUSED_X].values[(size_t)((at[0] * k->h + h) * k->w + w) * (size_t)k->cin + c];
                if (key->parts & FUSED_APPLY) x = fmax(0, o[FUSED_SCALE].values[c] * x + o[FUSED_BIAS].values[c]);
                sum +=
                    x * o[FUSED_W].values[(size_t)((at[3] * k->kernel + r) * k->kernel + s) * (size_t)ci + (size_t)i];
            }
        }
    return sum;
}

static void expect(const fused_key *key, operand o[FUSED_TENSORS])
{
    int64_t d[4];
    qv_dnn_dims(&key->conv, QV_DNN_Y, d);
    const size_t pitch = (size_t)(key->pitch ? key->pitch : key->conv.cout);
    for (int c = 0; c < key->conv.cout; c++) o[FUSED_SUM].values[c] = o[FUSED_SQUARES].values[c] = 0;
    for (int64_t i = 0; i < d[0] * d[2] * d[3]; i++)
        for (int c = 0; c < key->conv.cout; c++) {
            const int at[4] = {(int)(i / (d[2] * d[3])), (int)(i / d[3] % d[2]), (int)(i % d[3]), c};
            const double v = o[FUSED_Y].values[(size_t)i * pitch + (size_t)c] = convolve(key, o, at);
            o[FUSED_SUM].values[c] += v;
            o[FUSED_SQUARES].values[c] += v * v;
        }
}

static void make_operands(const fused_key *key, operand o[FUSED_TENSORS], uint64_t *seed)
{
    int64_t x[4], w[4], y[4];
    qv_dnn_dims(&key->conv, QV_DNN_X, x);
    qv_dnn_dims(&key->conv, QV_DNN_W, w);
    qv_dnn_dims(&key->conv, QV_DNN_Y, y);
    const size_t cin = (size_t)key->conv.cin, cout = (size_t)key->conv.cout,
                 pitch = key->pitch ? (size_t)key->pitch : cout;
    const bool narrow = key->conv.precision == QV_PRECISION_BF16;
    o[FUSED_X] = operand_new((size_t)(x[0] * x[1] * x[2] * x[3]), narrow, -1, 1, seed);
    o[FUSED_W] = operand_new((size_t)(w[0] * w[1] * w[2] * w[3]), narrow, -1, 1, seed);
    o[FUSED_Y] = operand_new((size_t)(y[0] * y[2] * y[3]) * pitch, narrow, 7, 7, seed);
    o[FUSED_SCALE] = operand_new(cin, false, -1, 2, seed);
    o[FUSED_BIAS] = operand_new(cin, false, -1, 1, seed);
    o[FUSED_SUM] = operand_new(cout, false, 7, 7, seed);
    o[FUSED_SQUARES] = operand_new(cout, false, 7, 7, seed);
}

static qv_status run_key(qv_ctx *ctx, const fused_key *key, const operand o[FUSED_TENSORS])
{
    qv_status status = QV_OK;
    fused_dnn *d = NULL;
    fused_plan *p = NULL;
    cudaStream_t stream = NULL;
    const void *tensors[FUSED_TENSORS];
    void *workspace = NULL;
    int n = 0;
    for (int t = 0; t < FUSED_TENSORS; t++) tensors[t] = fused_uses(key, t) ? o[t].device : NULL;
    QV_TRY(fused_open(ctx, &d, &options));
    QV_TRY(fused_plans(ctx, d, key, &p, 1, &n));
    workspace = aligned_alloc(256, (fused_workspace(p) + 256) / 256 * 256);
    if (cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess)
        QV_TRY(fused_run(ctx, d, p, stream, tensors, workspace));
done:
    free(workspace);
    fake.streams = 0;
    fused_plan_free(p);
    fused_close(d);
    return status;
}

static void free_operands(operand o[FUSED_TENSORS])
{
    for (int t = 0; t < FUSED_TENSORS; t++) free(o[t].values), free(o[t].device);
}

static void graphs_mean_plain_loops(void **state)
{
    static const fused_key keys[] = {
        {{.n = 2, .h = 7, .w = 5, .cin = 8, .cout = 16, .kernel = 3, .stride = 1, .pad = 1, .groups = 1}, 0, 0},
        {{.n = 2, .h = 6, .w = 9, .cin = 16, .cout = 32, .kernel = 3, .stride = 2, .pad = 1, .groups = 2}, 0, 0},
        {{.n = 2, .h = 6, .w = 5, .cin = 8, .cout = 8, .kernel = 3, .stride = 1, .pad = 1, .groups = 1}, 0, 16},
        {{.n = 3, .h = 5, .w = 4, .cin = 8, .cout = 16, .kernel = 1, .stride = 2, .pad = 0, .groups = 1}, 0, 0},
    };
    qv_ctx *ctx = *state;
    uint64_t seed = qv_test_seed();
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        for (int parts = FUSED_STATS; parts <= FUSED_BOTH; parts++) {
            char text[FUSED_TEXT];
            operand o[FUSED_TENSORS];
            fused_key key = keys[i];
            key.conv.precision = QV_PRECISION_BF16, key.parts = parts;
            fused_text(&key, text);
            make_operands(&key, o, &seed);
            qv_assert_ok(ctx, run_key(ctx, &key, o));
            expect(&key, o);
            for (int t = 0; t < FUSED_TENSORS; t++)
                for (size_t k = 0; k < o[t].n && fused_uses(&key, t); k++)
                    if (get(&o[t], k) != o[t].values[k])
                        fail_msg("%s: tensor %d, element %zu is %g, expected %g", text, t, k, get(&o[t], k),
                                 o[t].values[k]);
            free_operands(o);
        }
    assert_int_equal(fake.executed, 12);
}

static void every_failure_is_reported_and_leaks_nothing(void **state)
{
    enum { RUNS = 16 };
    qv_ctx *ctx = *state;
    uint64_t seed = qv_test_seed();
    operand o[FUSED_TENSORS];
    const fused_key key = {{.precision = QV_PRECISION_BF16,
                            .n = 2,
                            .h = 8,
                            .w = 8,
                            .cin = 16,
                            .cout = 16,
                            .kernel = 3,
                            .stride = 1,
                            .pad = 1,
                            .groups = 1},
                           FUSED_BOTH,
                           0};
    make_operands(&key, o, &seed);
    qv_assert_ok(ctx, run_key(ctx, &key, o));
    const long total = fake.calls;
    long reported = 0;
    for (long at = 1; at <= total; at += total / RUNS) {
        fake.calls = 0, fake.fail_at = at;
        const qv_status s = run_key(ctx, &key, o);
        fake.fail_at = 0;
        assert_int_equal(fake.descriptors, 1);
        assert_int_equal(fake.handles, 0);
        reported += s != QV_OK;
        if (s != QV_OK) assert_true(s == QV_ERR_DEVICE || s == QV_ERR_MEMORY);
    }
    printf("%ld calls, every %ldth failed in turn: %ld failures ended it\n", total, total / RUNS, reported);
    assert_true(reported > RUNS / 2);
    free_operands(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(graphs_mean_plain_loops, begin, end),
        cmocka_unit_test_setup_teardown(every_failure_is_reported_and_leaks_nothing, begin, end),
    };
    printf("seed %llu (QV_SEED)\n", (unsigned long long)qv_test_seed());
    return cmocka_run_group_tests(tests, NULL, NULL);
}
