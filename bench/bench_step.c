/* Training steps of a network as the trainer runs them (batch, forward, loss, backward, update), timed: the whole, and
 * (--profile) each kind of op and each convolution.
 *
 * Times --rounds rounds of --steps steps each, after --warmup rounds, and prints one JSON line for each batch size of
 * --batch (64, or a list: 16,64,256): milliseconds a step (least and median round), samples a second, GFLOP/s of the
 * convolutions' work over the whole step, the mean loss of the last round (that of a network that sees nothing is the
 * logarithm of 4, its classes). The peer is bench/peers/torch_step.py, which runs this in turn with its
 * contenders (--beside). */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "figure.h"
#include "made_up.h"

typedef struct arguments {
    qv_settings s;
    qv_trainer_options trainer;
    int frames, mels, rounds, steps, warmup;
    const char *batches;
} arguments;

/* What a convolution, or one of its gradients, is of. */
typedef struct convolution {
    const qv_buffer *x, *w, *y;
} convolution;

static bool is_convolution(const qv_program *p, const qv_op *op, convolution *c)
{
    const qv_buffer *b = p->buffers;
    switch (op->kind) {
    case QV_OP_CONV: *c = (convolution){&b[op->in[0]], &b[op->in[1]], &b[op->out[0]]}; return true;
    case QV_OP_CONV_GRAD_X: *c = (convolution){&b[op->out[0]], &b[op->in[1]], &b[op->in[0]]}; return true;
    case QV_OP_CONV_GRAD_W: *c = (convolution){&b[op->in[0]], &b[op->out[0]], &b[op->in[1]]}; return true;
    default: return false;
    }
}

static double flops_of(const convolution *c) { return 2.0 * c->y->n * c->y->h * c->y->w * (double)qv_buffer_len(c->w); }

/* Floating-point operations of the convolutions of one step, from the program's shapes. */
static double count_flops(const qv_program *p)
{
    double flops = 0;
    const qv_op_list *l = &p->lists[QV_LIST_TRAIN];
    convolution c;
    for (size_t i = 0; i < l->n; i++)
        if (is_convolution(p, &l->ops[i], &c)) flops += flops_of(&c);
    return flops;
}

/* Each for itself: a library is good at some shapes and not at others. */
static void print_convolutions(const qv_exec *e, const qv_program *p)
{
    const qv_op_list *l = &p->lists[QV_LIST_TRAIN];
    for (size_t i = 0; i < l->n; i++) {
        convolution c;
        const double seconds = qv_exec_seconds(e, QV_LIST_TRAIN, i);
        if (!is_convolution(p, &l->ops[i], &c) || seconds <= 0) continue;
        fprintf(stderr, "  %-11s %4d x %4d x %4d to %4d x %4d x %4d, %d x %d, groups %d: %9.4f ms, %8.1f GFLOP/s (%s)\n",
                qv_op_info_of(l->ops[i].kind).name, c.x->h, c.x->w, c.x->c, c.y->h, c.y->w, c.y->c, c.w->h, c.w->w,
                c.x->c / c.w->c, 1e3 * seconds, 1e-9 * flops_of(&c) / seconds, c.w->name);
    }
}

/* Nothing where no step was timed: the first one of a GPU is not. */
static void print_profile(const qv_exec *e, const qv_program *p)
{
    double seconds[QV_OP_COUNT] = {0}, sum = 0;
    const qv_op_list *l = &p->lists[QV_LIST_TRAIN];
    for (size_t i = 0; i < l->n; i++) {
        seconds[l->ops[i].kind] += qv_exec_seconds(e, QV_LIST_TRAIN, i);
        sum += qv_exec_seconds(e, QV_LIST_TRAIN, i);
    }
    for (int k = 0; k < QV_OP_COUNT; k++)
        if (seconds[k] > 0)
            fprintf(stderr, "%-14s %9.3f ms  %5.1f %%\n", qv_op_info_of((qv_op_kind)k).name, 1e3 * seconds[k],
                    100 * seconds[k] / sum);
    print_convolutions(e, p);
}

/* loss: of the last round. */
static void print_line(const arguments *a, qv_trainer *t, const double *times, double loss)
{
    const qv_settings *s = &a->s;
    const qv_net *net = qv_trainer_net(t);
    double least = times[0], median = times[a->rounds / 2];
    printf("{\"bench\": \"step\", \"contender\": \"quaver\", \"device\": \"%s\", \"order\": \"%s\", \"width\": %d, "
           "\"blocks\": %d, "
           "\"batch\": %d, \"frames\": %d, \"mels\": %d, \"threads\": %d, \"parameters\": %lld, \"rounds\": %d, "
           "\"steps\": %d, "
           "\"autotune\": %s, \"min_ms\": %.4f, \"median_ms\": %.4f, \"samples_per_s\": %s, \"gflops\": %s, \"mib\": "
           "%.1f, \"loss\": %s}\n",
           qv_exec_describe(qv_trainer_exec(t)), qv_order_name(net->config.order), s->width, s->blocks, s->batch,
           a->frames, a->mels, qv_pool_threads(a->trainer.pool), (long long)net->parameters, a->rounds, a->steps,
           s->autotune ? "true" : "false", 1e3 * least, 1e3 * median, qv_figure_of("%.1f", s->batch / median).text,
           qv_figure_of("%.1f", 1e-9 * count_flops(net->program) / median).text,
           (double)qv_exec_bytes(qv_trainer_exec(t)) / (1 << 20), qv_figure_of("%.6f", loss).text);
    fflush(stdout);
}

/* A training set of as many samples as a round takes makes a round one epoch. */
static qv_status measure(qv_ctx *ctx, arguments *a)
{
    qv_status status = QV_OK;
    qv_trainer *t = NULL;
    qv_made_up data = {0};
    double *times = NULL, last = 0;
    size_t recordings = (size_t)a->s.batch * (size_t)a->steps;
    QV_TRY(qv_alloc(ctx, &times, (size_t)a->rounds, sizeof *times));
    QV_TRY(qv_made_up_new(ctx, &data, recordings, a->frames, a->mels));
    a->trainer.items = data.items;
    a->trainer.n_items = recordings;
    QV_TRY(qv_trainer_new(ctx, &t, &a->s, &data.data, &a->trainer, QV_BENCH_CLASSES));
    for (int i = -a->warmup; i < a->rounds; i++) {
        qv_loss loss = {0};
        double begin = qv_now();
        QV_TRY(qv_trainer_run(ctx, t, (uint64_t)(i + a->warmup + 1), &loss));
        if (i >= 0) times[i] = (qv_now() - begin) / a->steps;
        last = loss.sum / (double)loss.steps;
    }
    qv_bench_sort(times, a->rounds);
    print_line(a, t, times, last);
    if (a->trainer.profile) print_profile(qv_trainer_exec(t), qv_trainer_net(t)->program);
done:
    qv_trainer_free(t);
    qv_made_up_free(&data);
    free(times);
    return status;
}

static qv_status measure_all(qv_ctx *ctx, arguments *a)
{
    qv_status status = QV_OK;
    qv_pool *pool = NULL;
    QV_TRY(qv_pool_new(ctx, &pool, a->s.threads ? a->s.threads : qv_cpu_count()));
    a->trainer.pool = pool;
    const char *p = a->batches;
    do {
        char *end;
        a->s.batch = (int)strtol(p, &end, 10);
        if (end == p || (*end && *end != ','))
            QV_TRY(qv_fail(ctx, QV_ERR_USAGE, "--batch %s: expected numbers, 16,64,256", a->batches));
        p = *end ? end + 1 : end;
        QV_TRY(measure(ctx, a));
    } while (*p);
done:
    qv_pool_free(pool);
    return status;
}

static void parse(qv_ctx *ctx, arguments *a, int argc, char **argv)
{
    static const struct option options[] = {{"width", 1, NULL, 'w'},
                                            {"blocks", 1, NULL, 'b'},
                                            {"batch", 1, NULL, 'n'},
                                            {"frames", 1, NULL, 'f'},
                                            {"mels", 1, NULL, 'm'},
                                            {"threads", 1, NULL, 't'},
                                            {"rounds", 1, NULL, 'R'},
                                            {"steps", 1, NULL, 's'},
                                            {"warmup", 1, NULL, 'u'},
                                            {"order", 1, NULL, 'o'},
                                            {"device", 1, NULL, 'D'},
                                            {"precision", 1, NULL, 'P'},
                                            {"profile", 0, NULL, 'p'},
                                            {"no-fuse", 0, NULL, 'F'},
                                            {"direct", 0, NULL, 'd'},
                                            {"autotune", 0, NULL, 'a'},
                                            {0}};
    int c, at = 0;
    while ((c = getopt_long(argc, argv, "", options, &at)) != -1) {
        const char *name = options[at].name;
        switch (c) {
        case 'w': qv_bench_set(ctx, &a->s, "net.width", optarg); break;
        case 'b': qv_bench_set(ctx, &a->s, "net.blocks", optarg); break;
        case 'o': qv_bench_set(ctx, &a->s, "net.order", optarg); break;
        case 't': qv_bench_set(ctx, &a->s, "run.threads", optarg); break;
        case 'D': qv_bench_set(ctx, &a->s, "run.device", optarg); break;
        case 'P': qv_bench_set(ctx, &a->s, "run.precision", optarg); break;
        case 'n': a->batches = optarg; break;
        case 'f': a->frames = qv_bench_number(name, optarg, 1); break;
        case 'm': a->mels = qv_bench_number(name, optarg, 1); break;
        case 'R': a->rounds = qv_bench_number(name, optarg, 1); break;
        case 's': a->steps = qv_bench_number(name, optarg, 1); break;
        case 'u': a->warmup = qv_bench_number(name, optarg, 0); break;
        case 'p': a->trainer.profile = true; break;
        case 'F': a->trainer.no_fuse = true; break;
        case 'd': a->trainer.direct = true; break;
        case 'a':
            qv_bench_set(ctx, &a->s, "run.autotune", "yes");
            break;
        default: exit(2);
        }
    }
    if (optind < argc) {
        fprintf(stderr, "unexpected word %s\n", argv[optind]);
        exit(2);
    }
    a->s.mels = a->mels;
    a->s.patch_seconds = a->frames * a->s.hop;
    if (!a->steps) a->steps = a->s.device == QV_DEVICE_CUDA ? 20 : 1;
}

int main(int argc, char **argv)
{
    arguments a = {.frames = 64, .mels = 64, .rounds = 5, .warmup = 2, .batches = "64"};
    qv_ctx *ctx = qv_ctx_new();
    if (!ctx) return 1;
    qv_status status = qv_bench_settings(ctx, &a.s, a.frames, a.mels);
    if (status == QV_OK) {
        parse(ctx, &a, argc, argv);
        status = measure_all(ctx, &a);
    }
    if (status != QV_OK) fprintf(stderr, "bench_step: %s\n", qv_ctx_message(ctx));
    qv_settings_free(&a.s);
    qv_ctx_free(ctx);
    return status == QV_OK ? 0 : status == QV_ERR_USAGE ? 2 : 1;
}
