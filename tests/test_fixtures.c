/* One training step of every block order against PyTorch's (tests/fixtures/net/README.md): `ref` against float64,
 * the float backends within what PyTorch's own float32 shows when every weight moves by one ulp. */
#include <math.h>

#include "backend/exec.h"
#include "base/safetensors.h"
#include "net/net.h"
#include "support/support.h"

enum { WIDTH = 8, BATCH = 4, FRAMES = 13, MELS = 11, CLASSES = 5, BLOCKS = QV_STAGES };
enum { INPUT_LEN = BATCH * FRAMES * MELS, LOGITS_LEN = BATCH * CLASSES };

static const double ref_bound = 1e-9;
static const double ulp_errors = 3;

typedef struct setting {
    const char *file;
    qv_block_order order;
} setting;

static setting settings[] = {
    {"preact_even", QV_ORDER_PREACT},       {"preact_shake", QV_ORDER_PREACT},
    {"preact-bn_even", QV_ORDER_PREACT_BN}, {"preact-bn_shake", QV_ORDER_PREACT_BN},
    {"relu_even", QV_ORDER_RELU},           {"relu_shake", QV_ORDER_RELU},
    {"relu-bn_even", QV_ORDER_RELU_BN},     {"relu-bn_shake", QV_ORDER_RELU_BN},
};
enum { SETTINGS = sizeof settings / sizeof *settings };

typedef struct variant {
    qv_device device;
    int threads;
    bool no_fuse;
    const char *isa;
} variant;

static const variant variants[] = {
    {QV_DEVICE_REF, 1, false, NULL},
#ifdef QV_SIMT /* the CUDA backend on the emulation of a GPU (tests/cuda) */
    {QV_DEVICE_CUDA, 1, true, NULL},   {QV_DEVICE_CUDA, 1, false, NULL},
#else
    {QV_DEVICE_REF32, 1, false, NULL}, {QV_DEVICE_CPU, 1, true, NULL},    {QV_DEVICE_CPU, 1, false, NULL},
    {QV_DEVICE_CPU, 2, true, NULL},    {QV_DEVICE_CPU, 2, false, NULL},   {QV_DEVICE_CPU, 1, false, "base"},
    {QV_DEVICE_CPU, 1, false, "avx2"},
#endif
};
enum { VARIANTS = sizeof variants / sizeof *variants };

typedef struct fixture {
    qv_ctx *ctx;
    qv_st_file *common, *step;
    qv_block_order order;
    double moved[2]; /* added to the last forward and the last backward coefficient */
} fixture;

static fixture open_fixture(const setting *s)
{
    fixture f = {.ctx = qv_test_ctx(), .order = s->order};
    char path[512];
    snprintf(path, sizeof path, QV_SOURCE_DIR "/tests/fixtures/net/%s.safetensors", s->file);
    qv_assert_ok(f.ctx, qv_st_open(f.ctx, &f.step, path));
    qv_assert_ok(f.ctx, qv_st_open(f.ctx, &f.common, QV_SOURCE_DIR "/tests/fixtures/net/common.safetensors"));
    return f;
}

static void close_fixture(fixture *f)
{
    qv_st_close(f->common);
    qv_st_close(f->step);
    qv_ctx_free(f->ctx);
}

/* The tensor PREFIX NAME as doubles, released with free(); fails unless it has n elements (0: any number). */
static double *values(const qv_st_file *f, const char *prefix, const char *name, size_t n)
{
    char whole[128];
    snprintf(whole, sizeof whole, "%s%s", prefix, name);
    const qv_st_tensor *t = qv_st_find(f, whole);
    if (!t) fail_msg("the fixture has no tensor %s", whole);
    if (n && t->count != n) fail_msg("%s has %zu elements, %zu expected", whole, t->count, n);
    double *out = calloc(t->count + 1, sizeof *out);
    assert_true(t->dtype == QV_ST_F64 || t->dtype == QV_ST_F32);
    for (size_t i = 0; i < t->count; i++)
        out[i] = t->dtype == QV_ST_F64 ? ((const double *)t->data)[i] : (double)((const float *)t->data)[i];
    return out;
}

static double scalar(const qv_st_file *f, const char *prefix, const char *name)
{
    double *v = values(f, prefix, name, 1), x = *v;
    free(v);
    return x;
}

/* A network on a device, and how many elements of each buffer the fixture has spoken for. */
typedef struct run {
    qv_net *net;
    qv_pool *pool;
    qv_exec *exec;
    size_t *seen; /* [n_buffers] */
} run;

/* Where in the program a tensor of the fixture lies: -1 for nowhere. The program keeps "branch1." and "branch2."
 * behind each other, or once for both. */
static int find_place(const run *r, const char *name, const char *suffix, size_t n, size_t *at)
{
    const qv_program *p = r->net->program;
    const char *branch = strstr(name, "branch");
    int head = branch ? (int)(branch - name) : 0;
    char whole[128];
    snprintf(whole, sizeof whole, "%.*s%s%s", head, name, branch ? branch + strlen("branchB.") : name, suffix);
    for (size_t b = 0; b < p->n_buffers; b++) {
        if (strcmp(p->buffers[b].name, whole) != 0) continue;
        size_t len = qv_buffer_len(&p->buffers[b]);
        if (len != n && (!branch || len != 2 * n)) fail_msg("%s: %zu elements for a buffer of %zu", name, n, len);
        *at = len > n && branch[strlen("branch")] == '2' ? n : 0;
        r->seen[b] += n;
        return (int)b;
    }
    return -1;
}

/* All of a kind were spoken for, each element once; running statistics that both branches share, twice. */
static void assert_all_seen(const run *r, qv_role role)
{
    const qv_program *p = r->net->program;
    for (size_t b = 0; b < p->n_buffers; b++) {
        size_t len = qv_buffer_len(&p->buffers[b]), seen = r->seen[b];
        if (p->buffers[b].role != role || p->buffers[b].alias >= 0) continue;
        bool shared = role == QV_ROLE_RUNNING && strstr(p->buffers[b].name, ".bn1.");
        if (seen != len && !(shared && seen == 2 * len))
            fail_msg("the fixture has %zu elements for the %zu of %s", seen, len, p->buffers[b].name);
    }
}

static void write_parameters(run *r, const fixture *f)
{
    static const char prefix[] = "param/";
    for (size_t i = 0; i < qv_st_count(f->common); i++) {
        const qv_st_tensor *t = qv_st_at(f->common, i);
        if (strncmp(t->name, prefix, strlen(prefix)) != 0) continue;
        size_t at;
        int b = find_place(r, t->name + strlen(prefix), "", t->count, &at);
        if (b < 0) continue; /* of another order */
        double *v = values(f->common, "", t->name, t->count);
        qv_exec_write(r->exec, b, at, t->count, v);
        free(v);
    }
    assert_all_seen(r, QV_ROLE_PARAM);
}

static void start_statistics(run *r)
{
    const qv_program *p = r->net->program;
    for (size_t b = 0; b < p->n_buffers; b++) {
        if (p->buffers[b].role != QV_ROLE_RUNNING) continue;
        double start = strstr(p->buffers[b].name, "running_var") != NULL;
        for (size_t i = 0; i < qv_buffer_len(&p->buffers[b]); i++) qv_exec_write(r->exec, (int)b, i, 1, &start);
    }
}

/* The fixture's coefficients take the place of drawn ones: nothing draws them, and the host writes them. */
static void stop_drawing(qv_program *p)
{
    qv_op_list *l = &p->lists[QV_LIST_TRAIN];
    size_t kept = 0;
    for (size_t i = 0; i < l->n; i++) {
        if (l->ops[i].kind != QV_OP_SHAKE_COEF) {
            l->ops[kept++] = l->ops[i];
            continue;
        }
        for (int k = 0; k < 2; k++) p->buffers[l->ops[i].out[k]].role = QV_ROLE_IO;
    }
    assert_int_equal(l->n - kept, BLOCKS);
    l->n = kept;
}

static void write_coefficients(run *r, const fixture *f)
{
    static const char *const names[2] = {"alpha", "beta"};
    for (int k = 0; k < 2; k++) {
        double *v = values(f->step, "", names[k], BLOCKS * BATCH);
        v[BLOCKS * BATCH - 1] += f->moved[k];
        for (int block = 0; block < BLOCKS; block++) {
            char name[64];
            snprintf(name, sizeof name, "stage%d.block0.%s", block + 1, names[k]);
            size_t at;
            int b = find_place(r, name, "", BATCH, &at);
            assert_true(b >= 0);
            qv_exec_write(r->exec, b, 0, BATCH, v + block * BATCH);
        }
        free(v);
    }
}

static void write_batch(run *r, const fixture *f)
{
    double *x = values(f->common, "", "input", INPUT_LEN), *w = values(f->common, "", "class_weights", CLASSES);
    qv_exec_write(r->exec, r->net->input, 0, INPUT_LEN, x);
    qv_exec_write(r->exec, r->net->eval_input, 0, INPUT_LEN, x);
    qv_exec_write(r->exec, r->net->class_weights, 0, CLASSES, w);
    free(x), free(w);
    const qv_st_tensor *labels;
    qv_assert_ok(f->ctx, qv_st_need(f->ctx, f->common, "labels", QV_ST_I32, 1, (size_t[]){BATCH}, &labels));
    qv_exec_write_bytes(r->exec, r->net->labels, 0, labels->bytes, labels->data);
    qv_exec_write_bytes(r->exec, r->net->eval_labels, 0, labels->bytes, labels->data);
    /* Rate 0: the evaluation that follows sees the weights from before the update. */
    qv_step_state state = {.set_size = BATCH, .batch = BATCH, .lr = 0};
    qv_exec_write_bytes(r->exec, r->net->state, 0, sizeof state, &state);
}

/* The step of the fixture on one device, and the evaluation after it. */
static run run_step(const fixture *f, const variant *v)
{
    run r = {0};
    qv_net_config c = {.order = f->order, .width = WIDTH, .blocks = 1, .groups = 1, .bands = 1, .gamma0 = 0.1f,
                       .forward = QV_SHAKE_SHAKE, .backward = QV_SHAKE_SHAKE, .level = QV_LEVEL_SAMPLE,
                       .bn_eps = (float)scalar(f->common, "", "eps"),
                       .bn_momentum = (float)scalar(f->common, "", "momentum"),
                       .frames = FRAMES, .mels = MELS, .classes = CLASSES, .batch = BATCH, .set_size = BATCH};
    qv_assert_ok(f->ctx, qv_net_new(f->ctx, &r.net, &c, &(qv_net_options){.input_grad = true, .no_gather = true}));
    stop_drawing(r.net->program);
    qv_assert_ok(f->ctx, qv_pool_new(f->ctx, &r.pool, v->threads));
    qv_exec_options o = {.device = v->device, .pool = r.pool, .no_fuse = v->no_fuse, .isa = v->isa, .keep_buffers = true};
    qv_assert_ok(f->ctx, qv_exec_new(f->ctx, &r.exec, r.net->program, &o));
    r.seen = calloc(r.net->program->n_buffers, sizeof *r.seen);
    assert_non_null(r.seen);
    write_parameters(&r, f);
    write_coefficients(&r, f);
    start_statistics(&r);
    write_batch(&r, f);
    qv_assert_ok(f->ctx, qv_exec_run(f->ctx, r.exec, QV_LIST_TRAIN));
    qv_assert_ok(f->ctx, qv_exec_run(f->ctx, r.exec, QV_LIST_EVAL));
    return r;
}

static void run_free(run *r)
{
    qv_exec_free(r->exec);
    qv_pool_free(r->pool);
    qv_net_free(r->net);
    free(r->seen);
}

/* What the run has for a tensor of the fixture; a name that means nothing to it fails. */
static void read_result(const run *r, const char *name, size_t n, double *out)
{
    const struct {
        const char *name;
        int buffer;
        size_t n;
    } whole[] = {{"logits", r->net->logits, LOGITS_LEN},
                 {"eval/logits", r->net->eval_logits, LOGITS_LEN},
                 {"grad/input", r->net->input_grad, INPUT_LEN}};
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++) {
        if (strcmp(name, whole[i].name) != 0) continue;
        assert_int_equal(n, whole[i].n);
        qv_exec_read(r->exec, whole[i].buffer, 0, n, out);
        return;
    }
    if (strcmp(name, "loss") == 0) {
        double sum[2]; /* weighted sum, and sum of the weights */
        qv_exec_read(r->exec, r->net->loss, 0, 2, sum);
        out[0] = sum[0] / sum[1];
        return;
    }
    bool gradient = strncmp(name, "grad/", 5) == 0;
    if (!gradient && strncmp(name, "running/", 8) != 0) fail_msg("nothing is compared with %s of the fixture", name);
    size_t at;
    int b = find_place(r, strchr(name, '/') + 1, gradient ? ".grad" : "", n, &at);
    if (b < 0) fail_msg("the program has no buffer for %s", name);
    qv_exec_read(r->exec, b, at, n, out);
}

static double norm(const double *x, const double *y, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (x[i] - (y ? y[i] : 0)) * (x[i] - (y ? y[i] : 0));
    return sqrt(sum);
}

/* How results differ from the fixture's. */
typedef struct verdict {
    int compared, wrong;
    double worst; /* error over what is allowed */
    char worst_name[64];
} verdict;

/* `bound` 0: what the fixture allows float32. An L2 error, relative to the truth, or to the magnitude of what it is a
 * sum of where it is zero but for rounding. */
static void judge(verdict *v, const fixture *f, const char *name, const double *found, size_t n, double bound)
{
    double *truth = values(f->step, "f64/", name, n);
    char whole[128];
    snprintf(whole, sizeof whole, "scale/%s", name);
    double scale = qv_st_find(f->step, whole) ? scalar(f->step, "scale/", name) : norm(truth, NULL, n);
    double error = norm(found, truth, n) / scale;
    if (bound == 0) bound = ulp_errors * scalar(f->step, "ulp/", name);
    v->compared++;
    if (!(error <= bound)) v->wrong++;
    if (!(error / bound <= v->worst)) {
        v->worst = error / bound;
        snprintf(v->worst_name, sizeof v->worst_name, "%s", name);
    }
    free(truth);
}

/* Each result of the fixture against the run's, or (r NULL) against PyTorch's own in float32. */
static verdict judge_all(const fixture *f, const run *r, double bound)
{
    static const char prefix[] = "f64/";
    verdict v = {0};
    if (r) memset(r->seen, 0, r->net->program->n_buffers * sizeof *r->seen);
    for (size_t i = 0; i < qv_st_count(f->step); i++) {
        const qv_st_tensor *t = qv_st_at(f->step, i);
        if (strncmp(t->name, prefix, strlen(prefix)) != 0) continue;
        const char *name = t->name + strlen(prefix);
        double *found = r ? calloc(t->count, sizeof *found) : values(f->step, "f32/", name, t->count);
        assert_non_null(found);
        if (r) read_result(r, name, t->count, found);
        judge(&v, f, name, found, t->count, bound);
        free(found);
    }
    if (r) assert_all_seen(r, QV_ROLE_GRAD);
    if (r) assert_all_seen(r, QV_ROLE_RUNNING);
    return v;
}

/* ReLUs that are open in one run and shut in the other. */
static int count_flips(const run *a, const run *b)
{
    const qv_program *p = a->net->program;
    const qv_op_list *l = &p->lists[QV_LIST_TRAIN];
    int flips = 0;
    for (size_t i = 0; i < l->n; i++) {
        const qv_op *op = &l->ops[i];
        if (op->kind != QV_OP_RELU && !(op->kind == QV_OP_BN_APPLY && op->a.bn.relu)) continue;
        size_t n = qv_buffer_len(&p->buffers[op->out[0]]);
        double *x = calloc(n, sizeof *x), *y = calloc(n, sizeof *y);
        qv_exec_read(a->exec, op->out[0], 0, n, x);
        qv_exec_read(b->exec, op->out[0], 0, n, y);
        for (size_t j = 0; j < n; j++) flips += (x[j] > 0) != (y[j] > 0);
        free(x), free(y);
    }
    return flips;
}

static void step_is_pytorchs(void **state)
{
    fixture f = open_fixture(*state);
    run ref = run_step(&f, &variants[0]);
    int wrong = 0;
    for (int i = 0; i < VARIANTS; i++) {
        run r = run_step(&f, &variants[i]);
        verdict v = judge_all(&f, &r, variants[i].device == QV_DEVICE_REF ? ref_bound : 0);
        print_message("  %s%s: %d tensors, worst at %.2g of its bound (%s), %d ReLU flips\n", qv_exec_describe(r.exec),
                      variants[i].no_fuse ? " not fused" : "", v.compared, v.worst, v.worst_name, count_flips(&ref, &r));
        wrong += v.wrong;
        run_free(&r);
    }
    run_free(&ref);
    assert_int_equal(wrong, 0);
    close_fixture(&f);
}

/* The bound is one that PyTorch keeps itself, so it is no looser than what a float32 program needs. */
static void pytorch_keeps_the_bound(void **state)
{
    (void)state;
    for (int i = 0; i < SETTINGS; i++) {
        fixture f = open_fixture(&settings[i]);
        assert_int_equal(judge_all(&f, NULL, 0).wrong, 0);
        close_fixture(&f);
    }
}

/* One coefficient of one sample off by a thousandth: a forward one moves the logits, a backward one gradients alone. */
static void moved_coefficient_is_seen(void **state)
{
    (void)state;
    for (int i = 0; i < SETTINGS; i++) {
        for (int k = 0; k < 2; k++) {
            fixture f = open_fixture(&settings[i]);
            f.moved[k] = 0x1p-10;
            run r = run_step(&f, &variants[1]);
            assert_true(judge_all(&f, &r, 0).wrong > 0);
            double logits[LOGITS_LEN];
            verdict v = {0};
            read_result(&r, "logits", LOGITS_LEN, logits);
            judge(&v, &f, "logits", logits, LOGITS_LEN, 0);
            assert_int_equal(v.wrong, k == 0);
            run_free(&r);
            close_fixture(&f);
        }
    }
}

int main(void)
{
    struct CMUnitTest tests[SETTINGS + 2] = {cmocka_unit_test(pytorch_keeps_the_bound),
                                             cmocka_unit_test(moved_coefficient_is_seen)};
    for (int i = 0; i < SETTINGS; i++)
        tests[i + 2] = (struct CMUnitTest){.name = settings[i].file, .test_func = step_is_pytorchs, .initial_state = &settings[i]};
    return cmocka_run_group_tests_name("fixtures", tests, NULL, NULL);
}
