/* Whole steps of small networks, op by op, and with buffers that share memory. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/check/list.h"
#include "base/random.h"
#include "net/net.h"
#include "selftest/own.h"

enum { RECORDINGS = 7, SPEAKERS = 2, CLASSES = 5, LONGEST = 40, STEP = 3 };

/* Odd channels, samples and positions; and channels that move in whole vectors, of which Winograd's convolutions and
 * tensor cores are made. */
static const struct size {
    const char *name;
    int width, batch, frames, mels;
} sizes[] = {{"odd", 3, 5, 13, 11}, {"even", 16, 4, 16, 16}};

/* A network on the device with made-up data: the same for every device, at each seed. */
typedef struct sample {
    qv_net *net;
    qv_exec *exec;
    float *frames;
    uint64_t random;
} sample;

static void sample_free(sample *s)
{
    qv_exec_free(s->exec);
    qv_net_free(s->net);
    free(s->frames);
}

/* One head a network, all of them over all networks; every other one with an embedding, AdamW and clipping. */
static void give_head(qv_net_config *c, int place)
{
    enum { HEADS = QV_HEAD_ARCFACE + 1 };
    c->head = (qv_head_kind)(place % HEADS);
    c->center = (qv_center_attr){.weight = 0.01f, .rate = 0.5f};
    c->margin = (qv_margin_attr){.scale = 16};
    if (c->head == QV_HEAD_A_SOFTMAX)
        c->margin = (qv_margin_attr){
            .kind = QV_MARGIN_SPHERE, .scale = 1, .m = 3, .lambda = 1000, .lambda_min = 5, .lambda_decay = 0.12f};
    if (c->head == QV_HEAD_COSFACE) c->margin.kind = QV_MARGIN_COSINE, c->margin.m = 0.2f;
    if (c->head == QV_HEAD_ARCFACE) c->margin.kind = QV_MARGIN_ANGLE, c->margin.m = 0.3f;
    if (place % 2 == 0) return;
    c->embed = 3;
    c->optimizer = QV_OPTIMIZER_ADAMW;
    c->beta1 = 0.9f;
    c->beta2 = 0.999f;
    c->adam_eps = 1e-8f;
    c->clip = 0.5f;
}

/* Of a branch's convolutions: in one network of one channel each, in another of more, in the rest there is one. */
static int groups_of(qv_block_order order, const struct size *size)
{
    if (order == QV_ORDER_PREACT) return size->width % 2 ? size->width : 1;
    return order == QV_ORDER_PREACT_BN && size->width % 2 == 0 ? 2 : 1;
}

static qv_net_config config_of(qv_block_order order, const struct size *size)
{
    return (qv_net_config){.order = order,
                           .width = size->width,
                           .blocks = 1,
                           .groups = groups_of(order, size),
                           .forward = QV_SHAKE_SHAKE,
                           .backward = QV_SHAKE_SHAKE,
                           .level = QV_LEVEL_SAMPLE,
                           .bands = 2,
                           .gamma0 = 0.5f,
                           .bn_eps = 1e-5f,
                           .bn_momentum = 0.1f,
                           .frames = size->frames,
                           .mels = size->mels,
                           .classes = CLASSES,
                           .batch = size->batch,
                           .smoothing = 0.1f,
                           .momentum = 0.9f,
                           .weight_decay = 1e-3f,
                           .nesterov = true,
                           .set_size = RECORDINGS,
                           .measure = true,
                           .norms = SPEAKERS,
                           .utterances = RECORDINGS};
}

/* Parameters a little off their start, so that no shift is 0 and no scale 1; moments and averages as on the way. */
static qv_status write_state(qv_ctx *ctx, sample *s)
{
    const qv_program *p = s->net->program;
    const uint32_t key[2] = {(uint32_t)s->random, (uint32_t)(s->random >> 32)};
    for (size_t i = 0; i < p->n_buffers; i++) {
        const qv_buffer *b = &p->buffers[i];
        bool moment = qv_role_is_memory(b->role), variance = strstr(b->name, "running_var") != NULL;
        if ((b->role != QV_ROLE_PARAM && b->role != QV_ROLE_RUNNING && !moment) || b->alias >= 0) continue;
        size_t n = qv_buffer_len(b);
        double *v;
        qv_status status = qv_alloc(ctx, &v, n, sizeof *v);
        if (status != QV_OK) return status;
        if (!moment) qv_init_values(p, (int)i, key, v);
        for (size_t k = 0; k < n; k++) {
            double noise = qv_random_normal(&s->random);
            v[k] = b->role == QV_ROLE_SQUARE ? 1e-4 * noise * noise : variance ? v[k] + fabs(noise) : v[k] + (moment ? 0.01 : 0.1) * noise;
        }
        qv_exec_write(s->exec, (int)i, 0, n, v);
        free(v);
    }
    return QV_OK;
}

/* Recordings shorter than a patch and longer, two voices, an order for two epochs, windows with one of padding. */
static qv_status write_data(qv_ctx *ctx, sample *s)
{
    const qv_net *net = s->net;
    const qv_net_config *c = &net->config;
    qv_utterance utts[RECORDINGS];
    int32_t order[2 * RECORDINGS];
    int at = 0;
    for (int i = 0; i < RECORDINGS; i++) {
        int frames = 1 + (int)(qv_random_next(&s->random) % LONGEST);
        utts[i] = (qv_utterance){at, frames, i % CLASSES, i % SPEAKERS, 0};
        at += frames;
        order[i] = i * 3 % RECORDINGS;
        order[RECORDINGS + i] = i * 5 % RECORDINGS;
    }
    for (int i = 0; i < at * c->mels; i++) s->frames[i] = (float)(3 + 2 * qv_random_normal(&s->random));
    qv_status status = qv_exec_bind(ctx, s->exec, net->feats, s->frames, (size_t)(at * c->mels) * sizeof *s->frames);
    qv_exec_write_bytes(s->exec, net->utts, 0, sizeof utts, utts);
    qv_exec_write_bytes(s->exec, net->order, 0, sizeof order, order);
    for (int i = 0; i < SPEAKERS * 2 * c->mels; i++) {
        float v =
            (float)(i / c->mels % 2 ? qv_random_uniform(&s->random, 0.3, 0.7) : qv_random_uniform(&s->random, 2, 4));
        qv_exec_write_bytes(s->exec, net->norm, (size_t)i * sizeof v, sizeof v, &v);
    }
    for (int i = 0; i < c->batch; i++) {
        qv_window w =
            i == c->batch - 1 ? (qv_window){-1, 0} : (qv_window){i % RECORDINGS, i % utts[i % RECORDINGS].frames};
        qv_exec_write_bytes(s->exec, net->windows, (size_t)i * sizeof w, sizeof w, &w);
    }
    for (int i = 0; i < CLASSES; i++)
        qv_exec_write(s->exec, net->class_weights, (size_t)i, 1, &(double){0.5 + 0.25 * i});
    qv_step_state state = {.key = {7, (uint32_t)s->random},
                           .step = STEP,
                           .set_size = RECORDINGS,
                           .batch = (uint32_t)c->batch,
                           .lr = 0.05f};
    qv_exec_write_bytes(s->exec, net->state, 0, sizeof state, &state);
    return status == QV_OK ? qv_exec_check(ctx, s->exec) : status;
}

static qv_status sample_new(qv_selftest_run *r, sample *s, const qv_net_config *c, bool fuse, bool keep)
{
    qv_status status = QV_OK;
    *s = (sample){.random = r->o->seed};
    qv_exec_options o = r->device;
    o.no_fuse = !fuse;
    o.keep_buffers = keep;
    o.poison = !keep;
    QV_TRY(qv_net_new(r->ctx, &s->net, c, NULL));
    QV_TRY(qv_alloc(r->ctx, &s->frames, (size_t)(RECORDINGS * LONGEST * c->mels), sizeof *s->frames));
    QV_TRY(qv_exec_new(r->ctx, &s->exec, s->net->program, &o));
    QV_TRY(write_state(r->ctx, s));
    QV_TRY(write_data(r->ctx, s));
done:
    return status;
}

/* One network, one list after the other; the evaluation sees what the step has left. */
static qv_status check_lists(qv_selftest_run *r, const sample *s)
{
    qv_status status = QV_OK;
    qv_list_run f = {.program = s->net->program, .exec = s->exec, .features = s->net->feats, .frames = s->frames};
    for (int list = 0; list < QV_LIST_COUNT; list++) {
        f.list = (qv_list)list;
        QV_TRY(qv_check_list(r->ctx, &r->device, &f, qv_selftest_add, r));
    }
done:
    return status;
}

/* Whether a buffer outlives a run, and holds results of it. */
static bool is_result(const sample *s, int id)
{
    const qv_buffer *b = &s->net->program->buffers[id];
    return b->alias < 0 &&
           (b->role == QV_ROLE_PARAM || qv_role_is_memory(b->role) || b->role == QV_ROLE_RUNNING ||
            b->role == QV_ROLE_GRAD || id == s->net->loss || id == s->net->probs || id == s->net->eval_probs);
}

/* The name of the first result in which two runs differ; NULL: none. */
static qv_status find_difference(qv_ctx *ctx, const sample *a, const sample *b, const char **name)
{
    const qv_program *p = a->net->program;
    *name = NULL;
    for (size_t i = 0; i < p->n_buffers && !*name; i++) {
        size_t n = qv_buffer_len(&p->buffers[i]);
        double *x;
        if (!is_result(a, (int)i)) continue;
        qv_status status = qv_alloc(ctx, &x, 2 * n, sizeof *x);
        if (status != QV_OK) return status;
        qv_exec_read(a->exec, (int)i, 0, n, x);
        qv_exec_read(b->exec, (int)i, 0, n, x + n);
        if (memcmp(x, x + n, n * sizeof *x) != 0) *name = p->buffers[i].name;
        free(x);
    }
    return QV_OK;
}

/* The same step with buffers that share memory, as trainings run. */
static qv_status check_shared(qv_selftest_run *r, const qv_net_config *c, const sample *kept)
{
    qv_status status = QV_OK;
    sample s = {0};
    const char *name;
    QV_TRY(sample_new(r, &s, c, true, false));
    for (int list = 0; list < QV_LIST_COUNT; list++) QV_TRY(qv_exec_run(r->ctx, s.exec, (qv_list)list));
    QV_TRY(find_difference(r->ctx, kept, &s, &name));
    if (name) qv_selftest_complain(r, "%s is another one when buffers share memory", name);
done:
    sample_free(&s);
    return status;
}

static qv_status check_network(qv_selftest_run *r, qv_block_order order, const struct size *size, bool fuse)
{
    qv_status status = QV_OK;
    sample s = {0};
    char name[sizeof r->row.name];
    qv_net_config c = config_of(order, size);
    give_head(&c, (int)order + (size == sizes ? 0 : 3));
    snprintf(name, sizeof name, "%s, %s%s", qv_order_name(order), size->name, fuse ? ", fused" : "");
    qv_selftest_begin(r, "step", name);
    QV_TRY(sample_new(r, &s, &c, fuse, true));
    snprintf(r->result->device, sizeof r->result->device, "%s", qv_exec_describe(s.exec));
    QV_TRY(check_lists(r, &s));
    if (fuse) QV_TRY(check_shared(r, &c, &s));
    qv_selftest_end(r);
done:
    sample_free(&s);
    return status;
}

qv_status qv_selftest_steps(qv_selftest_run *r)
{
    enum { ORDERS = QV_ORDER_RELU_BN + 1, SIZES = sizeof sizes / sizeof *sizes, ALL = ORDERS * SIZES * 2 };
    for (int i = 0; i < ALL; i++) {
        qv_report(r->ctx, "selftest, steps", "networks", i, ALL);
        qv_status status = check_network(r, (qv_block_order)(i / 2 / SIZES), &sizes[i / 2 % SIZES], i % 2 == 1);
        status = qv_selftest_outlive(r, status);
        if (status != QV_OK) return qv_fail_prefix(r->ctx, status, "%s", r->row.name);
    }
    qv_report(r->ctx, "selftest, steps", "networks", ALL, ALL);
    return QV_OK;
}
