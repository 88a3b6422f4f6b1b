#include "support/net_run.h"

#include <math.h>

#include "support/support.h"

static int pick(uint64_t *random, int low, int high)
{
    return low + (int)(qv_test_next(random) % (uint64_t)(high - low + 1));
}

void qv_give_head(qv_net_config *c, qv_head_kind head)
{
    c->head = head;
    c->center = (qv_center_attr){.weight = 0.5f, .rate = 0};
    c->margin = (qv_margin_attr){.scale = 4};
    if (c->head == QV_HEAD_A_SOFTMAX)
        c->margin = (qv_margin_attr){
            .kind = QV_MARGIN_SPHERE, .scale = 1, .m = 3, .lambda = 8, .lambda_min = 1, .lambda_decay = 0.12f};
    if (c->head == QV_HEAD_COSFACE) c->margin.kind = QV_MARGIN_COSINE, c->margin.m = 0.2f;
    if (c->head == QV_HEAD_ARCFACE) c->margin.kind = QV_MARGIN_ANGLE, c->margin.m = 0.3f;
    if (head >= QV_HEAD_A_SOFTMAX && c->embed == 1) c->embed = 2; /* a direction would be a sign, without a gradient */
}

qv_net_config qv_random_net(uint64_t *random)
{
    qv_net_config c = {.order = (qv_block_order)pick(random, 0, 3),
                       .width = pick(random, 1, 5),
                       .blocks = pick(random, 1, 4) == 4 ? 2 : 1,
                       .groups = 1,
                       .embed = pick(random, 0, 1) ? pick(random, 1, 3) : 0,
                       .shortcut = (qv_shortcut)pick(random, 0, 1),
                       .forward = (qv_shake_mode)pick(random, 0, 1),
                       .backward = (qv_shake_mode)pick(random, 0, 2),
                       .level = (qv_shake_level)pick(random, 0, 1),
                       .bands = pick(random, 1, 3) == 3 ? 2 : 1,
                       .relaxed = pick(random, 0, 2) ? 0 : 0.4f,
                       .deeper = pick(random, 0, 1),
                       .gamma0 = 0.1f,
                       .bn_eps = 1e-5f,
                       .bn_momentum = 0.1f,
                       .frames = pick(random, 8, 17),
                       .mels = pick(random, 8, 13),
                       .classes = pick(random, 2, 4),
                       .batch = pick(random, 2, 5),
                       .smoothing = pick(random, 0, 2) ? 0 : 0.1f,
                       .momentum = 0.9f,
                       .weight_decay = 0,
                       .set_size = 100};
    const int kind = pick(random, 0, 3);
    c.affine = kind == 2 ? 0.5f : 0;
    c.negative = kind == 3 ? 0.3f : 0;
    if (c.order <= QV_ORDER_PREACT_BN && c.width % 2 == 0 && pick(random, 0, 1)) c.groups = 2;
    qv_give_head(&c, (qv_head_kind)pick(random, 0, 4));
    return c;
}

void qv_print_net(const qv_net_config *c, char *out, size_t size)
{
    snprintf(
        out, size,
        "{.order = %d, .width = %d, .blocks = %d, .groups = %d, .shortcut = %d, .embed = %d, .head = %d, .forward = %d, .backward = %d, .level = %d, .bands = "
        "%d, .affine = %gf, .negative = %gf, .relaxed = %gf, .deeper = %d, .gamma0 = %gf, .bn_eps = %gf, .bn_momentum "
        "= %gf, .frames = %d, .mels = %d, .classes = %d, .batch = %d, "
        ".smoothing = %gf, .momentum = %gf, .set_size = %d}",
        (int)c->order, c->width, c->blocks, c->groups, (int)c->shortcut, c->embed, (int)c->head, (int)c->forward, (int)c->backward, (int)c->level, c->bands,
        (double)c->affine, (double)c->negative, (double)c->relaxed, c->deeper, (double)c->gamma0, (double)c->bn_eps,
        (double)c->bn_momentum, c->frames, c->mels, c->classes, c->batch, (double)c->smoothing, (double)c->momentum,
        c->set_size);
}

static bool writes(const qv_op *op, const qv_program *p, const char *buffer)
{
    for (int k = 0; k < QV_MAX_OUT; k++)
        if (op->out[k] >= 0 && strcmp(p->buffers[op->out[k]].name, buffer) == 0) return true;
    return false;
}

/* Takes the ops of a kind (-1: none) and those that write a buffer (NULL: none) out of the training list; what they
 * wrote is the host's from now on. */
static void leave_to_host(qv_program *p, int32_t kind, const char *buffer)
{
    qv_op_list *l = &p->lists[QV_LIST_TRAIN];
    size_t kept = 0;
    for (size_t i = 0; i < l->n; i++) {
        if (l->ops[i].kind != kind && !(buffer && writes(&l->ops[i], p, buffer))) {
            l->ops[kept++] = l->ops[i];
            continue;
        }
        for (int k = 0; k < QV_MAX_OUT; k++) {
            int id = l->ops[i].out[k];
            if (id >= 0 && p->buffers[id].role == QV_ROLE_WORK) p->buffers[id].role = QV_ROLE_IO;
        }
    }
    l->n = kept;
}

static int dlogits_of(const qv_program *p)
{
    const qv_op_list *l = &p->lists[QV_LIST_TRAIN];
    for (size_t i = 0; i < l->n; i++)
        if (l->ops[i].kind == QV_OP_LOSS || l->ops[i].kind == QV_OP_MARGIN) return l->ops[i].out[1];
    fail_msg("the program has no loss");
    return -1;
}

double *qv_net_run_read(const qv_net_run *r, int buffer, size_t *n)
{
    size_t len = qv_buffer_len(&r->net->program->buffers[buffer]);
    double *x = calloc(len ? len : 1, sizeof *x);
    assert_non_null(x);
    qv_exec_read(r->exec, buffer, 0, len, x);
    if (n) *n = len;
    return x;
}

void qv_net_run_write(qv_net_run *r, int buffer, const double *values)
{
    qv_exec_write(r->exec, buffer, 0, qv_buffer_len(&r->net->program->buffers[buffer]), values);
}

int qv_net_run_find(const qv_net_run *r, const char *name)
{
    const qv_program *p = r->net->program;
    for (size_t i = 0; i < p->n_buffers; i++)
        if (strcmp(p->buffers[i].name, name) == 0) return (int)i;
    fail_msg("the program has no buffer %s", name);
    return -1;
}

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

/* Float values, so that every device starts from the same numbers. */
static void start_buffer(qv_net_run *r, int id, uint64_t *random)
{
    const qv_buffer *b = &r->net->program->buffers[id];
    const uint32_t key[2] = {(uint32_t)qv_test_next(random), 1};
    size_t n = qv_buffer_len(b);
    double *x = calloc(n, sizeof *x);
    assert_non_null(x);
    qv_init_values(r->net->program, id, key, x);
    for (size_t i = 0; i < n; i++) {
        double moved = x[i];
        if (b->role == QV_ROLE_PARAM && !b->decayed) moved += 0.3 * qv_test_normal(random);
        if (ends_with(b->name, "running_var")) moved = qv_test_uniform(random, 0.5, 2);
        x[i] = (double)(float)moved;
    }
    qv_net_run_write(r, id, x);
    free(x);
}

static void write_random(qv_net_run *r, int id, uint64_t *random, bool uniform)
{
    size_t n;
    double *x = qv_net_run_read(r, id, &n);
    for (size_t i = 0; i < n; i++)
        x[i] = (double)(float)(uniform ? qv_test_uniform(random, 0, 1) : qv_test_normal(random));
    qv_net_run_write(r, id, x);
    free(x);
}

static void write_data(qv_net_run *r, uint64_t *random)
{
    const qv_net_config *c = &r->net->config;
    int32_t labels[16];
    write_random(r, r->net->input, random, false);
    double *x = qv_net_run_read(r, r->net->input, NULL);
    qv_net_run_write(r, r->net->eval_input, x);
    free(x);
    for (int i = 0; i < c->batch; i++) labels[i] = pick(random, 0, c->classes - 1);
    qv_exec_write_bytes(r->exec, r->net->labels, 0, sizeof *labels * (size_t)c->batch, labels);
    qv_exec_write_bytes(r->exec, r->net->eval_labels, 0, sizeof *labels * (size_t)c->batch, labels);
    double weights[16];
    for (int k = 0; k < c->classes; k++) weights[k] = (double)(float)qv_test_uniform(random, 0.5, 2);
    qv_exec_write(r->exec, r->net->class_weights, 0, (size_t)c->classes, weights);
    qv_step_state s = {.key = {3, 4}, .step = 5, .set_size = 100, .batch = (uint32_t)c->batch, .lr = 0};
    qv_exec_write_bytes(r->exec, r->net->state, 0, sizeof s, &s);
}

void qv_net_run_new(qv_ctx *ctx, qv_net_run *r, const qv_net_config *c, uint64_t seed, const qv_net_run_options *o)
{
    const qv_net_options no_gather = {.no_gather = true, .embedding = o->embedding};
    *r = (qv_net_run){0};
    qv_assert_ok(ctx, qv_net_new(ctx, &r->net, c, &no_gather));
    qv_program *p = r->net->program;
    r->dlogits = dlogits_of(p);
    if (o->host_coefficients) leave_to_host(p, QV_OP_SHAKE_COEF, NULL);
    if (o->host_dlogits) leave_to_host(p, QV_OP_LOSS, NULL);
    if (o->host_buffer) leave_to_host(p, -1, o->host_buffer);
    qv_assert_ok(ctx, qv_exec_new(ctx, &r->exec, p, &o->exec));
    r->parameters = qv_net_run_find(r, "parameters");
    r->gradients = qv_net_run_find(r, "gradients");
    r->n_parameters = qv_buffer_len(&p->buffers[r->parameters]);
    r->n_input = qv_buffer_len(&p->buffers[r->net->input]);
    r->n_logits = qv_buffer_len(&p->buffers[r->net->logits]);
    for (size_t i = 0; i < p->n_buffers; i++) {
        const qv_buffer *b = &p->buffers[i];
        bool coefficient = ends_with(b->name, ".alpha") || ends_with(b->name, ".beta");
        if ((b->role == QV_ROLE_PARAM || b->role == QV_ROLE_RUNNING) && b->alias < 0) start_buffer(r, (int)i, &seed);
        if (o->host_coefficients && coefficient && b->role == QV_ROLE_IO) write_random(r, (int)i, &seed, true);
    }
    write_data(r, &seed);
    if (o->host_dlogits) write_random(r, r->dlogits, &seed, false);
}

void qv_net_run_free(qv_net_run *r)
{
    qv_exec_free(r->exec);
    qv_net_free(r->net);
    *r = (qv_net_run){0};
}

double qv_net_run_step(qv_ctx *ctx, qv_net_run *r)
{
    double sums[2];
    qv_assert_ok(ctx, qv_exec_run(ctx, r->exec, QV_LIST_TRAIN));
    qv_exec_read(r->exec, r->net->loss, 0, 2, sums);
    return sums[0] / sums[1];
}

double qv_distance(const double *x, const double *y, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        double d = x[i] - (y ? y[i] : 0);
        sum += d * d;
    }
    return sqrt(sum);
}
