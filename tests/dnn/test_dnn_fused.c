/* The real cuDNN without a device: every graph with which bench_fused measures itself against separate ops must have a
 * plan on sm_80, sm_90 and sm_120, or be answered with QV_ERR_UNSUPPORTED. Graphs come from the lowered networks of
 * both presets. Their engines are compiled at run time, for which cuDNN wants a driver; one that does nothing serves
 * (fake_driver.sh). Prints a line a graph and a count for each pattern. Whether a plan computes the right thing, only a
 * GPU shows: bench_fused compares. */
#include "bench/fused_graph.h"
#include "devices.h"
#include "support/support.h"

enum { CAP = 64, MAX_GRAPHS = 256 };
static const qv_dnn_options options = {.workspace_limit = (size_t)256 << 20};

typedef struct count {
    int planned, refused;
} count;

/* The graphs of both presets, each once. */
typedef struct graphs {
    fused_key at[MAX_GRAPHS];
    int n;
} graphs;

static void add_graph(graphs *g, const fused_key *key)
{
    for (int i = 0; i < g->n; i++)
        if (memcmp(&g->at[i], key, sizeof *key) == 0) return;
    assert_true(g->n < MAX_GRAPHS);
    g->at[g->n++] = *key;
}

static void plan_graph(qv_ctx *ctx, const qv_dnn_target *target, int version, const fused_key *key, count *c)
{
    char text[FUSED_TEXT];
    qv_dnn_engine e;
    qv_dnn_census census;
    int n = 0;
    fused_text(key, text);
    const qv_status s = fused_find(ctx, target, key, &options, &e, 1, &n, &census);
    if (s != QV_OK) {
        if (s != QV_ERR_UNSUPPORTED) fail_msg("%s: %s", text, qv_ctx_message(ctx));
        assert_int_equal(n, 0);
        printf("%-100s sm_%-3d not supported\n", text, version / 10);
        c->refused++;
        return;
    }
    assert_int_equal(n, 1);
    assert_non_null(e.plan);
    assert_int_equal(qv_dnn_judge((qv_precision)key->conv.precision, e.numerical), QV_DNN_TAKEN);
    assert_true(e.workspace <= options.workspace_limit);
    printf("%-100s sm_%-3d engine %-3lld %s %s %.2f MiB\n", text, version / 10, (long long)e.index,
           e.mode == CUDNN_HEUR_MODE_A ? "A " : "FB",
           (e.behavior >> CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION & 1u) ? "compiled   " : "precompiled",
           (double)e.workspace / 1048576);
    qv_dnn_engine_free(&e);
    c->planned++;
}

static void collect(qv_ctx *ctx, graphs *g, const char *preset, qv_precision precision)
{
    fused_case cases[CAP];
    int n, launches;
    qv_assert_ok(ctx, fused_cases(ctx, preset, precision, 64, 64, cases, CAP, &n));
    for (int i = 0; i < n; i++)
        for (int parts = FUSED_STATS; parts <= FUSED_BOTH; parts++) {
            fused_key key;
            if (fused_graph_of(&cases[i], parts, &key, &launches)) add_graph(g, &key);
        }
}

static void plan_all(qv_ctx *ctx, const test_device *device, const graphs *g, count counts[FUSED_BOTH + 1])
{
    char json[TEST_DEVICE_TEXT];
    qv_dnn_target target = {0};
    test_device_json(device, json);
    qv_assert_ok(ctx, qv_dnn_device(ctx, &target.device, json));
    for (int i = 0; i < g->n; i++) plan_graph(ctx, &target, device->version, &g->at[i], &counts[g->at[i].parts]);
    for (int parts = FUSED_STATS; parts <= FUSED_BOTH; parts++)
        printf("sm_%-3d %-16s %2d graphs planned, %2d not supported\n", device->version / 10, fused_parts_name(parts),
               counts[parts].planned, counts[parts].refused);
    qv_desc_free(target.device);
}

static void every_graph_has_a_plan_or_none(void **state)
{
    qv_ctx *ctx = qv_ctx_new();
    graphs g = {.n = 0};
    const bool known = test_cudnn_is_known();
    (void)state;
    collect(ctx, &g, "small", QV_PRECISION_BF16);
    collect(ctx, &g, "reference", QV_PRECISION_BF16);
    for (int d = 0; d < TEST_DEVICES; d++) {
        count counts[FUSED_BOTH + 1] = {{0, 0}};
        plan_all(ctx, &test_devices[d], &g, counts);
        for (int parts = FUSED_STATS; parts <= FUSED_BOTH && known; parts++) assert_true(counts[parts].planned > 0);
    }
    qv_ctx_free(ctx);
}

/* No engine does so without TF32: the answer that bench_fused must live with. */
static void strict_fp32_is_not_supported(void **state)
{
    qv_ctx *ctx = qv_ctx_new();
    graphs g = {.n = 0};
    count counts[FUSED_BOTH + 1] = {{0, 0}};
    const bool known = test_cudnn_is_known();
    (void)state;
    collect(ctx, &g, "small", QV_PRECISION_FP32);
    plan_all(ctx, &test_devices[1], &g, counts);
    for (int parts = FUSED_STATS; parts <= FUSED_BOTH && known; parts++) {
        assert_int_equal(counts[parts].planned, 0);
        assert_true(counts[parts].refused > 0);
    }
    qv_ctx_free(ctx);
}

/* The weights' gradient reads what a batch norm makes of x. No engine takes that batch norm in, so that it must be
 * applied again, which bench_fused counts. */
static void no_weight_gradient_takes_a_batch_norm_in(void **state)
{
    qv_ctx *ctx = qv_ctx_new();
    graphs all = {.n = 0}, g = {.n = 0};
    count counts[FUSED_BOTH + 1] = {{0, 0}};
    (void)state;
    collect(ctx, &all, "reference", QV_PRECISION_BF16);
    for (int i = 0; i < all.n; i++) {
        fused_key key = all.at[i];
        key.conv.kind = QV_DNN_CONV_GRAD_W;
        if (key.parts == FUSED_APPLY) add_graph(&g, &key);
    }
    printf("gradients of weights:\n");
    plan_all(ctx, &test_devices[1], &g, counts);
    assert_int_equal(g.n, 8);
    if (test_cudnn_is_known()) assert_int_equal(counts[FUSED_APPLY].planned, 0);
    qv_ctx_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_weight_gradient_takes_a_batch_norm_in),
        cmocka_unit_test(strict_fp32_is_not_supported),
        cmocka_unit_test(every_graph_has_a_plan_or_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
