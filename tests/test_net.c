/* Lowering, memory plan and fusion: what the network is, and that how it is run changes nothing. */
#include <math.h>

#include "backend/exec.h"
#include "net/net.h"
#include "support/support.h"

static qv_net_config small_config(void)
{
    return (qv_net_config){.order = QV_ORDER_PREACT_BN,
                           .width = 4,
                           .blocks = 1,
                           .groups = 1,
                           .forward = QV_SHAKE_SHAKE,
                           .backward = QV_SHAKE_SHAKE,
                           .level = QV_LEVEL_SAMPLE,
                           .bands = 1,
                           .gamma0 = 0.1f,
                           .bn_eps = 1e-5f,
                           .bn_momentum = 0.1f,
                           .frames = 9,
                           .mels = 7,
                           .classes = 3,
                           .batch = 5,
                           .momentum = 0.9f,
                           .weight_decay = 1e-4f,
                           .nesterov = true,
                           .set_size = 11};
}

/* The design's figures for the preset `reference`. */
static void reference_has_its_parameters(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_test_ctx();
    qv_net_config c = small_config();
    c.width = 32, c.blocks = 2, c.frames = 64, c.mels = 64, c.classes = 4;
    qv_net *net;
    qv_assert_ok(ctx, qv_net_new(ctx, &net, &c, NULL));
    assert_int_equal(net->parameters, 1380644);
    assert_int_equal(net->batch_norms, 39);
    qv_net_free(net);
    qv_ctx_free(ctx);
}

static const qv_op *find_op(const qv_net *net, qv_list list, qv_op_kind kind, size_t *at)
{
    const qv_op_list *l = &net->program->lists[list];
    for (; *at < l->n; ++*at)
        if (l->ops[*at].kind == (int32_t)kind) return &l->ops[(*at)++];
    return NULL;
}

/* Weights decay; scales, shifts and biases where that is wanted. */
static void what_decays(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_test_ctx();
    for (int all = 0; all < 2; all++) {
        qv_net *net;
        qv_net_config c = small_config();
        c.decay_all = all;
        qv_assert_ok(ctx, qv_net_new(ctx, &net, &c, NULL));
        qv_assert_ok(ctx, qv_program_plan(ctx, net->program, (qv_sizes){8, 8}, false));
        int64_t weights = 0;
        for (size_t i = 0; i < net->program->n_buffers; i++) {
            const qv_buffer *b = &net->program->buffers[i];
            size_t n = strlen(b->name);
            if (b->role != QV_ROLE_PARAM || b->alias >= 0) continue;
            bool other = n > 5 && (strcmp(b->name + n - 5, "gamma") == 0 || strcmp(b->name + n - 4, "beta") == 0 ||
                                   strcmp(b->name + n - 4, "bias") == 0);
            assert_int_equal(b->decayed, all || !other);
            if (b->decayed) weights += (int64_t)qv_buffer_len(b);
        }
        size_t at = 0;
        const qv_op *sgd = find_op(net, QV_LIST_TRAIN, QV_OP_SGD, &at);
        assert_true(sgd->a.sgd.decayed >= weights); /* with the padding between them */
        qv_net_free(net);
    }
    qv_ctx_free(ctx);
}

/* What a block's op is told: nothing in evaluation; a chance of being even that grows with depth, or does not. */
static void coefficients_are_told_to_each_block(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_test_ctx();
    for (int deeper = 0; deeper < 2; deeper++) {
        qv_net *net;
        qv_net_config c = small_config();
        c.blocks = 2, c.affine = 0.25f, c.relaxed = 0.75f, c.deeper = deeper;
        qv_assert_ok(ctx, qv_net_new(ctx, &net, &c, NULL));
        size_t at = 0, eval = 0;
        for (int i = 0; i < 6; i++) {
            const qv_op *op = find_op(net, QV_LIST_TRAIN, QV_OP_SHAKE_COEF, &at);
            assert_int_equal(op->a.shake.affine, 1 << 20);
            assert_int_equal(op->a.shake.relaxed, (deeper ? i + 1 : 6) * (1 << 21));
            assert_int_equal(op->out[2], -1);
            op = find_op(net, QV_LIST_EVAL, QV_OP_SHAKE_COEF, &eval);
            assert_true(op->a.shake.forward == QV_SHAKE_EVEN && op->a.shake.backward == QV_SHAKE_EVEN);
        }
        qv_net_free(net);
    }
    qv_ctx_free(ctx);
}

/* A sign for each pair, forward before the sum and backward before the gradient is shared out; none in evaluation. */
static void signs_stand_in_the_training_list_alone(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_test_ctx();
    qv_net *net;
    qv_net_config c = small_config();
    c.blocks = 1, c.negative = 0.5f;
    qv_assert_ok(ctx, qv_net_new(ctx, &net, &c, NULL));
    size_t train = 0, eval = 0;
    int found = 0;
    for (const qv_op *op; (op = find_op(net, QV_LIST_TRAIN, QV_OP_SCALE, &train)); found++) {
        const char *sign = net->program->buffers[op->in[1]].name;
        assert_non_null(strstr(sign, found < QV_STAGES ? ".sign.alpha" : ".sign.beta"));
    }
    assert_int_equal(found, 2 * QV_STAGES);
    assert_null(find_op(net, QV_LIST_EVAL, QV_OP_SCALE, &eval));
    qv_net_free(net);
    qv_ctx_free(ctx);
}

/* The same parameters as the plain shortcut; a ReLU of its own where the branches begin with a norm. */
static void shifted_shortcut_stands_where_axes_halve(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_test_ctx();
    for (int order = 0; order < 4; order++) {
        qv_net *plain, *net;
        qv_net_config c = small_config();
        c.order = (qv_block_order)order;
        qv_assert_ok(ctx, qv_net_new(ctx, &plain, &c, NULL));
        c.shortcut = QV_SHORTCUT_SHIFT;
        qv_assert_ok(ctx, qv_net_new(ctx, &net, &c, NULL));
        assert_int_equal(net->parameters, plain->parameters);
        assert_int_equal(net->batch_norms, plain->batch_norms);
        size_t train = 0, back = 0, eval = 0;
        for (int i = 0; i < QV_STAGES - 1; i++) {
            const qv_op *op = find_op(net, QV_LIST_TRAIN, QV_OP_SHIFT, &train);
            const char *from = net->program->buffers[op->in[0]].name;
            assert_non_null(strstr(from, order <= QV_ORDER_PREACT_BN ? ".shortcut.relu" : ".relu"));
            assert_non_null(find_op(net, QV_LIST_TRAIN, QV_OP_SHIFT_GRAD, &back));
            assert_non_null(find_op(net, QV_LIST_EVAL, QV_OP_SHIFT, &eval));
        }
        assert_null(find_op(net, QV_LIST_TRAIN, QV_OP_SHIFT, &train));
        qv_net_free(plain);
        qv_net_free(net);
    }
    qv_ctx_free(ctx);
}

static void nonsense_is_refused_by_name(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_ctx_new();
    qv_net *net;
    qv_net_config c = small_config();
    c.batch = 12;
    assert_int_equal(qv_net_new(ctx, &net, &c, NULL), QV_ERR_USAGE);
    assert_non_null(strstr(qv_ctx_message(ctx), "training set of 11"));
    c = small_config(), c.batch = 1, c.frames = 4, c.mels = 4;
    assert_int_equal(qv_net_new(ctx, &net, &c, NULL), QV_ERR_USAGE);
    assert_non_null(strstr(qv_ctx_message(ctx), "at least 2"));
    c = small_config(), c.groups = 3;
    assert_int_equal(qv_net_new(ctx, &net, &c, NULL), QV_ERR_USAGE);
    assert_non_null(strstr(qv_ctx_message(ctx), "net.groups"));
    c = small_config(), c.affine = 0.5f, c.negative = 0.1f;
    assert_int_equal(qv_net_new(ctx, &net, &c, NULL), QV_ERR_USAGE);
    assert_non_null(strstr(qv_ctx_message(ctx), "shake.affine = 0.5 and shake.signed = 0.1"));
    qv_ctx_free(ctx);
}

/* Two WORK buffers that are alive at the same op never overlap. */
static void living_buffers_do_not_overlap(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_test_ctx();
    for (int order = 0; order < 4; order++) {
        qv_net_config c = small_config();
        c.order = (qv_block_order)order;
        qv_net *net;
        qv_assert_ok(ctx, qv_net_new(ctx, &net, &c, NULL));
        qv_program *p = net->program;
        qv_assert_ok(ctx, qv_program_plan(ctx, p, (qv_sizes){4, 2}, false));
        size_t sum = 0;
        for (int l = 0; l < QV_LIST_COUNT; l++) {
            int32_t *first, *last;
            qv_assert_ok(ctx, qv_program_lifetimes(ctx, p, (qv_list)l, &first, &last));
            for (size_t i = 0; i < p->n_buffers; i++) {
                if (first[i] > last[i]) continue;
                size_t end = p->buffers[i].offset + qv_buffer_bytes(&p->buffers[i], p->sizes);
                sum += qv_buffer_bytes(&p->buffers[i], p->sizes);
                assert_true(end <= p->region_bytes[QV_ROLE_WORK]);
                for (size_t j = 0; j < i; j++) {
                    if (first[j] > last[j] || first[j] > last[i] || last[j] < first[i]) continue;
                    size_t end_j = p->buffers[j].offset + qv_buffer_bytes(&p->buffers[j], p->sizes);
                    assert_true(end <= p->buffers[j].offset || end_j <= p->buffers[i].offset);
                }
            }
            free(first), free(last);
        }
        assert_true(p->region_bytes[QV_ROLE_WORK] < sum / 2);
        qv_net_free(net);
    }
    qv_ctx_free(ctx);
}

typedef struct run {
    qv_net *net;
    qv_exec *exec;
} run;

/* Builds, fills with the same random numbers every time, and takes three steps and one evaluation. */
static run run_steps_of(qv_ctx *ctx, const qv_net_config *c, qv_exec_options o, bool blocks)
{
    run r;
    qv_net_options no_gather = {.no_gather = true};
    qv_assert_ok(ctx, qv_net_new(ctx, &r.net, c, &no_gather));
    if (blocks) qv_assert_ok(ctx, qv_program_fuse(ctx, r.net->program, QV_FUSE_BLOCKS));
    qv_assert_ok(ctx, qv_exec_new(ctx, &r.exec, r.net->program, &o));
    qv_program *p = r.net->program;
    uint32_t key[2] = {7, 9};
    double *values = calloc((size_t)1 << 20, sizeof *values);
    for (size_t i = 0; i < p->n_buffers; i++) {
        qv_buffer *b = &p->buffers[i];
        if ((b->role != QV_ROLE_PARAM && b->role != QV_ROLE_RUNNING) || b->alias >= 0) continue;
        qv_init_values(p, (int)i, key, values);
        qv_exec_write(r.exec, (int)i, 0, qv_buffer_len(b), values);
    }
    uint64_t rng = 5;
    size_t n_in = (size_t)(c->batch * c->frames * c->mels);
    for (size_t i = 0; i < n_in; i++) values[i] = qv_test_normal(&rng);
    qv_exec_write(r.exec, r.net->input, 0, n_in, values);
    qv_exec_write(r.exec, r.net->eval_input, 0, n_in, values);
    for (int k = 0; k < c->classes; k++) values[k] = 1 + 0.5 * k;
    qv_exec_write(r.exec, r.net->class_weights, 0, (size_t)c->classes, values);
    int32_t labels[16];
    for (int i = 0; i < c->batch; i++) labels[i] = i % c->classes;
    qv_exec_write_bytes(r.exec, r.net->labels, 0, sizeof *labels * (size_t)c->batch, labels);
    qv_exec_write_bytes(r.exec, r.net->eval_labels, 0, sizeof *labels * (size_t)c->batch, labels);
    free(values);
    for (uint64_t step = 0; step < 3; step++) {
        qv_step_state s = {.key = {3, 4}, .step = step, .set_size = 11, .batch = (uint32_t)c->batch, .lr = 0.05f};
        qv_exec_write_bytes(r.exec, r.net->state, 0, sizeof s, &s);
        qv_assert_ok(ctx, qv_exec_run(ctx, r.exec, QV_LIST_TRAIN));
    }
    qv_assert_ok(ctx, qv_exec_run(ctx, r.exec, QV_LIST_EVAL));
    return r;
}

static run run_steps(qv_ctx *ctx, const qv_net_config *c, qv_exec_options o) { return run_steps_of(ctx, c, o, false); }

static void run_free(run *r)
{
    qv_exec_free(r->exec);
    qv_net_free(r->net);
}

/* Largest difference of a buffer between two runs, and its largest value in *scale if that is larger. */
static double difference(const run *a, const run *b, int id, double *scale)
{
    size_t n = qv_buffer_len(&a->net->program->buffers[id]);
    double *x = malloc(n * sizeof *x), *y = malloc(n * sizeof *y), worst = 0;
    qv_exec_read(a->exec, id, 0, n, x);
    qv_exec_read(b->exec, id, 0, n, y);
    for (size_t i = 0; i < n; i++) {
        if (!(fabs(x[i] - y[i]) <= worst)) worst = fabs(x[i] - y[i]);
        if (fabs(x[i]) > *scale) *scale = fabs(x[i]);
    }
    free(x), free(y);
    return worst;
}

/* Where the true gradient is zero (shifts of a shortcut's batch norm) a tensor holds rounding alone, so parameters
 * and moments are measured against the largest of their kind, everything else against its own largest value. */
static void assert_same(const run *a, const run *b, double bound)
{
    const qv_program *p = a->net->program;
    double largest[QV_ROLE_COUNT] = {0};
    for (size_t i = 0; i < p->n_buffers; i++) {
        qv_role role = p->buffers[i].role;
        bool trained = (role == QV_ROLE_PARAM || role == QV_ROLE_MOMENT) && p->buffers[i].alias < 0;
        if (trained) difference(a, b, (int)i, &largest[role]);
    }
    for (size_t i = 0; i < p->n_buffers; i++) {
        const qv_buffer *x = &p->buffers[i];
        bool result = x->role == QV_ROLE_PARAM || x->role == QV_ROLE_RUNNING || x->role == QV_ROLE_MOMENT ||
                      (int)i == a->net->eval_probs || (int)i == a->net->probs;
        if (!result || x->alias >= 0) continue;
        double scale = largest[x->role], d = difference(a, b, (int)i, &scale);
        if (!(d <= bound * scale))
            fail_msg("%s differs by %g, largest value %g, allowed share %g", x->name, d, scale, bound);
    }
}

/* Sharing memory, and filling what is dead with NaN, must not change a bit. */
static void memory_plan_changes_nothing(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_test_ctx();
    for (int order = 0; order < 4; order++) {
        qv_net_config c = small_config();
        c.order = (qv_block_order)order;
        run kept = run_steps(ctx, &c, (qv_exec_options){.device = QV_DEVICE_REF, .keep_buffers = true});
        run shared = run_steps(ctx, &c, (qv_exec_options){.device = QV_DEVICE_REF, .poison = true});
        assert_same(&kept, &shared, 0);
        run_free(&kept), run_free(&shared);
    }
    qv_ctx_free(ctx);
}

/* Three steps of a network this small amplify a rounding error (2^-24) by less than a thousand. */
static void fused_list_computes_the_same(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_test_ctx();
    for (int order = 0; order < 4; order++) {
        qv_net_config c = small_config();
        c.order = (qv_block_order)order;
        run plain = run_steps(ctx, &c, (qv_exec_options){.device = QV_DEVICE_CPU, .no_fuse = true});
        run fused = run_steps(ctx, &c, (qv_exec_options){.device = QV_DEVICE_CPU, .poison = true});
        if (order == QV_ORDER_PREACT_BN || order == QV_ORDER_RELU_BN)
            assert_true(fused.net->program->lists[0].n < plain.net->program->lists[0].n);
        assert_same(&plain, &fused, 1000 * 6e-8);
        run_free(&plain), run_free(&fused);
    }
    qv_ctx_free(ctx);
}

/* What a GPU runs, run by the reference: the same but for the order of sums in double. */
static void blocks_compute_the_same(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_test_ctx();
    for (int order = 0; order < 4; order++) {
        qv_net_config c = small_config();
        c.order = (qv_block_order)order;
        run plain = run_steps(ctx, &c, (qv_exec_options){.device = QV_DEVICE_REF, .no_fuse = true});
        run fused = run_steps_of(ctx, &c, (qv_exec_options){.device = QV_DEVICE_REF, .poison = true}, true);
        int ends = 0, stats = 0;
        const qv_op_list *l = &fused.net->program->lists[QV_LIST_TRAIN];
        for (size_t i = 0; i < l->n; i++) {
            ends += l->ops[i].kind == QV_OP_BLOCK_END;
            stats += l->ops[i].kind == QV_OP_BN_STATS || l->ops[i].kind == QV_OP_BN_FINALIZE;
        }
        assert_int_equal(ends, order == QV_ORDER_PREACT_BN ? 3 : order == QV_ORDER_RELU_BN ? 2 : 0);
        assert_int_equal(stats, 0);
        assert_same(&plain, &fused, 1000 * 1.2e-16);
        run_free(&plain), run_free(&fused);
    }
    qv_ctx_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reference_has_its_parameters),
        cmocka_unit_test(nonsense_is_refused_by_name),
        cmocka_unit_test(what_decays),
        cmocka_unit_test(coefficients_are_told_to_each_block),
        cmocka_unit_test(signs_stand_in_the_training_list_alone),
        cmocka_unit_test(shifted_shortcut_stands_where_axes_halve),
        cmocka_unit_test(living_buffers_do_not_overlap),
        cmocka_unit_test(memory_plan_changes_nothing),
        cmocka_unit_test(fused_list_computes_the_same),
        cmocka_unit_test(blocks_compute_the_same),
    };
    return cmocka_run_group_tests_name("net", tests, NULL, NULL);
}
