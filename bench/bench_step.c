/* One training step of a network, timed: the whole, and (--profile) each kind of op.
 *
 * Prints one JSON line: milliseconds a step (least and median), samples a second, GFLOP/s of the convolutions'
 * work over the whole step. The peer is bench/peers/torch_step.py, which runs this in turn with its contenders (--beside). */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/exec.h"
#include "net/net.h"

typedef struct arguments {
    qv_net_config net;
    int threads, steps, warmup;
    bool profile, no_fuse, direct;
    qv_device device;
} arguments;

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Multiply-adds of the convolutions and the linear layer of one step, from the program's shapes. */
static double count_flops(const qv_program *p)
{
    double flops = 0;
    const qv_op_list *l = &p->lists[QV_LIST_TRAIN];
    for (size_t i = 0; i < l->n; i++) {
        const qv_op *op = &l->ops[i];
        const qv_buffer *y, *w;
        if (op->kind == QV_OP_CONV) {
            y = &p->buffers[op->out[0]], w = &p->buffers[op->in[1]];
        } else if (op->kind == QV_OP_CONV_GRAD_X) {
            y = &p->buffers[op->in[0]], w = &p->buffers[op->in[1]];
        } else if (op->kind == QV_OP_CONV_GRAD_W) {
            y = &p->buffers[op->in[1]], w = &p->buffers[op->out[0]];
        } else {
            continue;
        }
        flops += 2.0 * y->n * y->h * y->w * (double)qv_buffer_len(w);
    }
    return flops;
}

static void fill(qv_exec *e, const qv_net *net)
{
    const qv_program *p = net->program;
    uint32_t key[2] = {1, 2};
    for (size_t i = 0; i < p->n_buffers; i++) {
        const qv_buffer *b = &p->buffers[i];
        bool start = (b->role == QV_ROLE_PARAM || b->role == QV_ROLE_RUNNING) && b->alias < 0;
        if (!start && (int)i != net->input && (int)i != net->class_weights) continue;
        size_t n = qv_buffer_len(b);
        double *values = calloc(n, sizeof *values);
        if (!values) abort();
        qv_init_values(p, (int)i, key, values);
        for (size_t k = 0; !start && k < n; k++)
            values[k] = (int)i == net->input ? (double)((k * 2654435761u) % 1000) / 500 - 1 : 1;
        qv_exec_write(e, (int)i, 0, n, values);
        free(values);
    }
    for (int32_t i = 0; i < net->config.batch; i++) {
        int32_t label = i % net->config.classes;
        qv_exec_write_bytes(e, net->labels, (size_t)i * sizeof label, sizeof label, &label);
    }
}

static void print_profile(const qv_exec *e, const qv_program *p, int steps)
{
    double seconds[QV_OP_COUNT] = {0}, sum = 0;
    const qv_op_list *l = &p->lists[QV_LIST_TRAIN];
    for (size_t i = 0; i < l->n; i++) {
        seconds[l->ops[i].kind] += qv_exec_seconds(e, QV_LIST_TRAIN, i);
        sum += qv_exec_seconds(e, QV_LIST_TRAIN, i);
    }
    for (int k = 0; k < QV_OP_COUNT; k++)
        if (seconds[k] > 0)
            fprintf(stderr, "%-14s %9.3f ms  %5.1f %%\n", qv_op_info_of((qv_op_kind)k).name, 1e3 * seconds[k] / steps,
                    100 * seconds[k] / sum);
}

static qv_status measure(qv_ctx *ctx, const arguments *a)
{
    qv_status status = QV_OK;
    qv_net *net = NULL;
    qv_exec *e = NULL;
    qv_pool *pool = NULL;
    double *times = NULL;
    qv_net_options o = {.no_gather = true};
    QV_TRY(qv_alloc(ctx, &times, (size_t)a->steps, sizeof *times));
    QV_TRY(qv_pool_new(ctx, &pool, a->threads));
    QV_TRY(qv_net_new(ctx, &net, &a->net, &o));
    double flops = count_flops(net->program);
    qv_exec_options eo = {.device = a->device, .pool = pool, .profile = a->profile, .no_fuse = a->no_fuse, .direct = a->direct};
    QV_TRY(qv_exec_new(ctx, &e, net->program, &eo));
    fill(e, net);
    for (int i = -a->warmup; i < a->steps; i++) {
        qv_step_state s = {.key = {1, 2}, .step = (uint64_t)(i + a->warmup), .set_size = 1 << 20, .batch = (uint32_t)a->net.batch, .lr = 0.001f};
        qv_exec_write_bytes(e, net->state, 0, sizeof s, &s);
        double begin = qv_now();
        QV_TRY(qv_exec_run(ctx, e, QV_LIST_TRAIN));
        if (i >= 0) times[i] = qv_now() - begin;
    }
    qsort(times, (size_t)a->steps, sizeof *times, by_value);
    double least = times[0], median = times[a->steps / 2];
    printf("{\"bench\": \"step\", \"contender\": \"quaver\", \"device\": \"%s\", \"order\": \"%s\", \"width\": %d, \"blocks\": %d, "
           "\"batch\": %d, \"frames\": %d, \"mels\": %d, \"threads\": %d, \"parameters\": %lld, \"min_ms\": %.3f, "
           "\"median_ms\": %.3f, \"samples_per_s\": %.1f, \"gflops\": %.1f, \"mib\": %.1f}\n",
           qv_exec_describe(e), qv_order_name(a->net.order), a->net.width, a->net.blocks, a->net.batch, a->net.frames,
           a->net.mels, a->threads, (long long)net->parameters, 1e3 * least, 1e3 * median, a->net.batch / median,
           1e-9 * flops / median, (double)qv_exec_bytes(e) / (1 << 20));
    if (a->profile) print_profile(e, net->program, a->steps + a->warmup);
done:
    qv_exec_free(e);
    qv_net_free(net);
    qv_pool_free(pool);
    free(times);
    return status;
}

static int parse_order(const char *name)
{
    for (int i = 0; i < 4; i++)
        if (strcmp(qv_order_name((qv_block_order)i), name) == 0) return i;
    fprintf(stderr, "bench_step: there is no order %s\n", name);
    exit(2);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"width", 1, NULL, 'w'},  {"blocks", 1, NULL, 'b'},  {"batch", 1, NULL, 'n'},   {"frames", 1, NULL, 'f'},
        {"mels", 1, NULL, 'm'},   {"threads", 1, NULL, 't'}, {"steps", 1, NULL, 's'},   {"warmup", 1, NULL, 'u'},
        {"order", 1, NULL, 'o'},  {"profile", 0, NULL, 'p'}, {"no-fuse", 0, NULL, 'F'}, {"ref32", 0, NULL, 'r'}, {"direct", 0, NULL, 'd'}, {0}};
    arguments a = {.net = {.order = QV_ORDER_PREACT_BN, .width = 32, .blocks = 2, .groups = 1, .forward = QV_SHAKE_SHAKE,
                           .backward = QV_SHAKE_SHAKE, .level = QV_LEVEL_SAMPLE, .bands = 1, .gamma0 = 0.1f, .bn_eps = 1e-5f,
                           .bn_momentum = 0.1f, .frames = 64, .mels = 64, .classes = 4, .batch = 64, .momentum = 0.9f,
                           .weight_decay = 1e-4f, .nesterov = true},
                   .threads = qv_cpu_count(), .steps = 5, .warmup = 2};
    int c;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        int value = optarg ? atoi(optarg) : 0;
        switch (c) {
        case 'w': a.net.width = value; break;
        case 'b': a.net.blocks = value; break;
        case 'n': a.net.batch = value; break;
        case 'f': a.net.frames = value; break;
        case 'm': a.net.mels = value; break;
        case 't': a.threads = value; break;
        case 's': a.steps = value > 0 ? value : 1; break;
        case 'u': a.warmup = value; break;
        case 'o': a.net.order = (qv_block_order)parse_order(optarg); break;
        case 'p': a.profile = true; break;
        case 'F': a.no_fuse = true; break;
        case 'd': a.direct = true; break;
        case 'r': a.device = QV_DEVICE_REF32; break;
        default: return 2;
        }
    }
    qv_ctx *ctx = qv_ctx_new();
    if (!ctx) return 1;
    qv_status status = measure(ctx, &a);
    if (status != QV_OK) fprintf(stderr, "bench_step: %s\n", qv_ctx_message(ctx));
    qv_ctx_free(ctx);
    return status == QV_OK ? 0 : 1;
}
