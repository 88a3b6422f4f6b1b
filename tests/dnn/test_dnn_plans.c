/* The real cuDNN without a device: every convolution of both presets must have a plan on sm_80, sm_90 and sm_120 in
 * every precision, with the notes that were asked for. Keys come from the lowered networks, not from a list.
 *
 * Covered: both presets, all four block orders, patches 64x64 and 64x40, batches of 16, 64 and 256. The table goes to
 * stdout: operation, target, engine, list (A: mode A of the heuristics, FB: fallback), workspace, numerical notes (T
 * tensor cores, s strict NaN). Not covered: whether a plan computes the right thing (test_dnn_calls covers what graphs
 * mean, a GPU the rest), engines compiled at run time (they want a driver). */
#include "backend/cuda/dnn_plan.h"
#include "devices.h"
#include "net/net.h"
#include "support/support.h"
#include "train/settings.h"

enum { MAX_KEYS = 2048 };
static const size_t workspace_limit = (size_t)256 << 20; /* the backend's default */

typedef struct keys {
    qv_dnn_key at[MAX_KEYS];
    int n;
} keys;

static void add_key(keys *k, const qv_dnn_key *key)
{
    for (int i = 0; i < k->n; i++)
        if (memcmp(&k->at[i], key, sizeof *key) == 0) return;
    assert_true(k->n < MAX_KEYS);
    k->at[k->n++] = *key;
}

static void add_op(keys *k, const qv_program *p, const qv_op *op, qv_precision precision)
{
    qv_dnn_key key = {.precision = (int32_t)precision,
                      .kernel = op->a.conv.kernel,
                      .stride = op->a.conv.stride,
                      .pad = op->a.conv.pad,
                      .groups = op->a.conv.groups};
    const qv_buffer *x, *y;
    switch (op->kind) {
    case QV_OP_CONV:
        key.kind = QV_DNN_CONV, x = &p->buffers[op->in[0]], y = &p->buffers[op->out[0]];
        break;
    case QV_OP_CONV_GRAD_X:
        key.kind = QV_DNN_CONV_GRAD_X, x = &p->buffers[op->out[0]], y = &p->buffers[op->in[0]];
        break;
    case QV_OP_CONV_GRAD_W:
        key.kind = QV_DNN_CONV_GRAD_W, x = &p->buffers[op->in[0]], y = &p->buffers[op->in[1]];
        break;
    default:
        return;
    }
    key.n = x->n, key.h = x->h, key.w = x->w, key.cin = x->c, key.cout = y->c;
    int64_t dims[4];
    qv_dnn_dims(&key, QV_DNN_Y, dims);
    assert_int_equal(dims[0], y->n);
    assert_int_equal(dims[2], y->h);
    assert_int_equal(dims[3], y->w);
    add_key(k, &key);
}

static void add_network(qv_ctx *ctx, keys *k, const char *preset, int order, int batch, int mels,
                        qv_precision precision)
{
    qv_settings s;
    qv_assert_ok(ctx, qv_settings_init(ctx, &s));
    qv_assert_ok(ctx, qv_settings_preset(ctx, &s, preset));
    qv_net_config c = qv_settings_net(&s);
    c.order = (qv_block_order)order, c.batch = batch, c.frames = 64, c.mels = mels, c.classes = 4, c.set_size = 1000;
    qv_net *net;
    qv_assert_ok(ctx, qv_net_new(ctx, &net, &c, NULL));
    for (int l = 0; l < QV_LIST_COUNT; l++)
        for (size_t i = 0; i < net->program->lists[l].n; i++)
            add_op(k, net->program, &net->program->lists[l].ops[i], precision);
    qv_net_free(net);
    qv_settings_free(&s);
}

static void collect(qv_ctx *ctx, keys *k, int batch, qv_precision precision)
{
    static const char *const presets[] = {"small", "reference"};
    for (int p = 0; p < 2; p++)
        for (int order = 0; order < 4; order++)
            for (int wide = 0; wide < 2; wide++)
                add_network(ctx, k, presets[p], order, batch, wide ? 64 : 40, precision);
}

static const char *notes_text(unsigned notes, char text[16])
{
    static const char letters[] = "TDRFNw46xs"; /* by cudnnBackendNumericalNote_t */
    int n = 0;
    for (int i = 0; letters[i]; i++)
        if (notes >> i & 1u) text[n++] = letters[i];
    text[n] = '\0';
    return text;
}

static bool has(unsigned notes, cudnnBackendNumericalNote_t note) { return (notes >> note & 1u) != 0; }

static void engine_is_as_asked(const qv_dnn_key *key, const qv_dnn_engine *e)
{
    assert_non_null(e->plan);
    assert_false(has(e->numerical, CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC));
    assert_false(has(e->numerical, CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS));
    assert_false(has(e->numerical, CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION));
    assert_false(has(e->numerical, CUDNN_NUMERICAL_NOTE_WINOGRAD));
    assert_false(has(e->numerical, CUDNN_NUMERICAL_NOTE_FFT));
    if (key->precision == QV_PRECISION_FP32) assert_false(has(e->numerical, CUDNN_NUMERICAL_NOTE_TENSOR_CORE));
    assert_true(e->workspace <= workspace_limit);
}

typedef struct totals {
    int plans, refused;
    size_t workspace;
    qv_dnn_census census;
} totals;

static void plan_key(qv_ctx *ctx, const qv_dnn_target *target, int version, const qv_dnn_key *key, totals *t)
{
    const qv_dnn_options o = {.workspace_limit = workspace_limit};
    char text[QV_DNN_TEXT], notes[16];
    qv_dnn_engine e;
    qv_dnn_census census;
    int n = 0;
    qv_dnn_key_text(key, text);
    qv_assert_ok(ctx, qv_dnn_check(ctx, key));
    const qv_status s = qv_dnn_find(ctx, target, key, &o, &e, 1, &n, &census);
    if (s == QV_ERR_UNSUPPORTED) {
        printf("%-84s sm_%-3d not supported\n", text, version / 10);
        t->refused++;
        return;
    }
    qv_assert_ok(ctx, s);
    assert_int_equal(n, 1);
    engine_is_as_asked(key, &e);
    printf("%-84s sm_%-3d engine %-3lld %s %9.2f MiB %s\n", text, version / 10, (long long)e.index,
           e.mode == CUDNN_HEUR_MODE_A ? "A " : "FB", (double)e.workspace / 1048576.0, notes_text(e.numerical, notes));
    qv_dnn_engine_free(&e);
    for (int i = 0; i < QV_DNN_VERDICTS; i++) t->census.n[i] += census.n[i];
    t->census.offered += census.offered;
    if (e.workspace > t->workspace) t->workspace = e.workspace;
    t->plans++;
}

static void plan_all(qv_ctx *ctx, const test_device *device, totals *t)
{
    static const int batches[] = {16, 64, 256};
    char json[TEST_DEVICE_TEXT];
    qv_dnn_target target = {0};
    test_device_json(device, json);
    qv_assert_ok(ctx, qv_dnn_device(ctx, &target.device, json));
    keys *k = calloc(1, sizeof *k);
    for (int precision = QV_PRECISION_FP32; precision <= QV_PRECISION_BF16; precision++)
        for (int b = 0; b < 3; b++) collect(ctx, k, batches[b], (qv_precision)precision);
    for (int i = 0; i < k->n; i++) plan_key(ctx, &target, device->version, &k->at[i], t);
    free(k);
    qv_desc_free(target.device);
}

static void every_convolution_has_a_plan(void **state)
{
    static const char *const verdicts[QV_DNN_VERDICTS] = {
        "taken",           "nondeterministic",     "of reduced precision",   "TF32 where fp32 is asked",
        "Winograd or FFT", "compiled at run time", "refused when finalized", "over the workspace limit"};
    qv_ctx *ctx = qv_ctx_new();
    totals t = {0};
    (void)state;
    for (int i = 0; i < TEST_DEVICES; i++) plan_all(ctx, &test_devices[i], &t);
    printf("%d plans, %d not supported, workspace up to %zu bytes; of %d configurations considered\n", t.plans,
           t.refused, t.workspace, t.census.offered);
    for (int i = 0; i < QV_DNN_VERDICTS; i++) printf("%8d %s\n", t.census.n[i], verdicts[i]);
    assert_true(t.plans + t.refused > 1000);
    assert_int_equal(t.census.n[QV_DNN_TAKEN], t.plans);
    if (test_cudnn_is_known()) {
        assert_int_equal(t.refused, 0);
        /* That nothing unwanted was taken proves a filter only if there was something to filter. */
        assert_true(t.census.n[QV_DNN_DROP_NONDETERMINISTIC] > 0);
        assert_true(t.census.n[QV_DNN_DROP_TENSOR_CORE] > 0);
        assert_true(t.census.n[QV_DNN_DROP_TRANSFORM] > 0);
        assert_true(t.census.n[QV_DNN_DROP_WORKSPACE] > 0);
    }
    qv_ctx_free(ctx);
}

static void notes_are_judged(void **state)
{
    (void)state;
    const unsigned core = 1u << CUDNN_NUMERICAL_NOTE_TENSOR_CORE, nan = 1u << CUDNN_NUMERICAL_NOTE_STRICT_NAN_PROP;
    for (int p = QV_PRECISION_FP32; p <= QV_PRECISION_BF16; p++) {
        const qv_precision precision = (qv_precision)p;
        assert_int_equal(qv_dnn_judge(precision, 0), QV_DNN_TAKEN);
        assert_int_equal(qv_dnn_judge(precision, nan), QV_DNN_TAKEN);
        assert_int_equal(qv_dnn_judge(precision, core),
                         p == QV_PRECISION_FP32 ? QV_DNN_DROP_TENSOR_CORE : QV_DNN_TAKEN);
        assert_int_equal(qv_dnn_judge(precision, 1u << CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC),
                         QV_DNN_DROP_NONDETERMINISTIC);
        assert_int_equal(qv_dnn_judge(precision, 1u << CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS), QV_DNN_DROP_REDUCED);
        assert_int_equal(qv_dnn_judge(precision, 1u << CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION),
                         QV_DNN_DROP_REDUCED);
        assert_int_equal(qv_dnn_judge(precision, 1u << CUDNN_NUMERICAL_NOTE_FFT), QV_DNN_DROP_TRANSFORM);
        for (int note = CUDNN_NUMERICAL_NOTE_WINOGRAD; note <= CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_13x13; note++)
            assert_int_equal(qv_dnn_judge(precision, 1u << note), QV_DNN_DROP_TRANSFORM);
    }
}

static const qv_dnn_key sound = {.kind = QV_DNN_CONV_GRAD_W,
                                 .precision = QV_PRECISION_FP32,
                                 .n = 64,
                                 .h = 64,
                                 .w = 64,
                                 .cin = 64,
                                 .cout = 64,
                                 .kernel = 3,
                                 .stride = 1,
                                 .pad = 1,
                                 .groups = 2};

/* A grouped weight gradient in fp32 wants a copy of its operands; without room for one there may be no plan, and with
 * less room never one that wants more. */
static void the_workspace_limit_holds(void **state)
{
    (void)state;
    char json[TEST_DEVICE_TEXT];
    qv_ctx *ctx = qv_ctx_new();
    qv_dnn_target target = {0};
    test_device_json(&test_devices[1], json);
    qv_assert_ok(ctx, qv_dnn_device(ctx, &target.device, json));
    for (int kind = QV_DNN_CONV; kind <= QV_DNN_CONV_GRAD_W; kind++)
        for (int shift = 0; shift <= 28; shift += 7) {
            const qv_dnn_options o = {.workspace_limit = ((size_t)1 << shift) - 1};
            qv_dnn_key key = sound;
            qv_dnn_engine e;
            int n;
            key.kind = kind;
            qv_status s = qv_dnn_find(ctx, &target, &key, &o, &e, 1, &n, NULL);
            assert_true(s == QV_OK || s == QV_ERR_UNSUPPORTED);
            assert_int_equal(n, s == QV_OK);
            if (s != QV_OK) {
                assert_non_null(strstr(qv_ctx_message(ctx), "over the workspace limit"));
                continue;
            }
            assert_true(e.workspace <= o.workspace_limit);
            qv_dnn_engine_free(&e);
        }
    qv_desc_free(target.device);
    qv_ctx_free(ctx);
}

static void tuning_sees_several_engines(void **state)
{
    (void)state;
    const bool known = test_cudnn_is_known();
    char json[TEST_DEVICE_TEXT];
    qv_ctx *ctx = qv_ctx_new();
    qv_dnn_target target = {0};
    const qv_dnn_options o = {.workspace_limit = workspace_limit, .autotune = true};
    test_device_json(&test_devices[1], json);
    qv_assert_ok(ctx, qv_dnn_device(ctx, &target.device, json));
    for (int precision = QV_PRECISION_FP32; precision <= QV_PRECISION_BF16; precision++) {
        qv_dnn_engine e[8];
        qv_dnn_key key = sound;
        int n;
        key.precision = precision;
        qv_assert_ok(ctx, qv_dnn_find(ctx, &target, &key, &o, e, 8, &n, NULL));
        assert_true(n >= (known ? 2 : 1));
        while (n > 0) {
            engine_is_as_asked(&key, &e[--n]);
            qv_dnn_engine_free(&e[n]);
        }
    }
    qv_desc_free(target.device);
    qv_ctx_free(ctx);
}

static void refused(qv_ctx *ctx, qv_dnn_key key, const char *word)
{
    assert_int_equal(qv_dnn_check(ctx, &key), QV_ERR_USAGE);
    if (!strstr(qv_ctx_message(ctx), word)) fail_msg("\"%s\" does not say %s", qv_ctx_message(ctx), word);
}

static void bad_keys_are_refused(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_ctx_new();
    const qv_dnn_key product = {.kind = QV_DNN_PRODUCT, .rows = 2, .columns = 3, .depth = 4};
    qv_dnn_key k;
    qv_assert_ok(ctx, qv_dnn_check(ctx, &sound));
    qv_assert_ok(ctx, qv_dnn_check(ctx, &product));
    k = sound, k.cin = 63, refused(ctx, k, "2 groups do not divide");
    k = sound, k.cout = 63, refused(ctx, k, "2 groups do not divide");
    k = sound, k.n = 0, refused(ctx, k, "n is 0");
    k = sound, k.cout = -8, refused(ctx, k, "cout is -8");
    k = sound, k.groups = 0, refused(ctx, k, "groups is 0");
    k = sound, k.stride = 0, refused(ctx, k, "stride is 0");
    k = sound, k.pad = -1, refused(ctx, k, "pad is -1");
    k = sound, k.kernel = 67, refused(ctx, k, "nothing comes out");
    k = sound, k.kind = 9, refused(ctx, k, "kind is 9");
    k = sound, k.kind = -1, refused(ctx, k, "kind is -1");
    k = sound, k.precision = 3, refused(ctx, k, "precision is 3");
    k = sound, k.rows = 1, refused(ctx, k, "rows is 1");
    k = sound, k.accumulate = 1, refused(ctx, k, "accumulate is 1");
    k = sound, k.n = k.h = k.w = INT32_MAX, refused(ctx, k, "operand a has more than");
    k = sound, k.cin = k.cout = INT32_MAX - 1, refused(ctx, k, "has more than");
    k = sound, k.pad = k.h = INT32_MAX, refused(ctx, k, "has more than");
    k = product, k.depth = 0, refused(ctx, k, "depth is 0");
    k = product, k.transpose_b = 2, refused(ctx, k, "transpose_b is 2");
    k = product, k.groups = 1, refused(ctx, k, "groups is 1");
    k = product, k.rows = k.columns = k.depth = INT32_MAX, refused(ctx, k, "operand a has more than");
    qv_ctx_free(ctx);
}

static void a_bad_device_is_refused(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_ctx_new();
    cudnnBackendDescriptor_t d;
    assert_int_not_equal(qv_dnn_device(ctx, &d, "{\"deviceVer\":900}"), QV_OK);
    assert_null(d);
    assert_non_null(strstr(qv_ctx_message(ctx), "cudnnBackend"));
    qv_ctx_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_convolution_has_a_plan), cmocka_unit_test(notes_are_judged),
        cmocka_unit_test(the_workspace_limit_holds),    cmocka_unit_test(tuning_sees_several_engines),
        cmocka_unit_test(bad_keys_are_refused),         cmocka_unit_test(a_bad_device_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
