/* Training steps of a network as the trainer runs them (batch, forward, loss, backward, update), timed: the whole, and
 * (--profile) each kind of op and each convolution.
 *
 * Times --rounds rounds of --steps steps each, after --warmup rounds, and prints one JSON line for each batch size of
 * --batch (64, or a list: 16,64,256): milliseconds a step (least and median round), samples a second, GFLOP/s of the
 * convolutions' work over the whole step, convolutions that cuDNN has no plan for, the mean loss of the last round
 * (that of a network that sees nothing is the logarithm of 4, its classes). On a GPU a round is as many times --steps
 * steps as make all rounds together take --seconds (1), after a warm-up of half as long. The peer is
 * bench/peers/torch_step.py, which runs this in turn with its contenders (--beside). */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "figure.h"
#include "made_up.h"

typedef struct arguments {
    qv_settings s;
    qv_trainer_options trainer;
    int rounds, steps, warmup;
    double seconds; /* of all rounds, below 0: as the device wants it */
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
                qv_op_info_of((qv_op_kind)l->ops[i].kind).name, c.x->h, c.x->w, c.x->c, c.y->h, c.y->w, c.y->c, c.w->h,
                c.w->w, c.x->c / c.w->c, 1e3 * seconds, 1e-9 * flops_of(&c) / seconds, c.w->name);
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

/* steps: of a round. loss: of the last one. */
static void print_line(const arguments *a, qv_trainer *t, int steps, const double *times, double loss)
{
    const qv_settings *s = &a->s;
    const qv_net *net = qv_trainer_net(t);
    double least = times[0], median = times[a->rounds / 2];
    printf("{\"bench\": \"step\", \"contender\": \"quaver\", \"device\": \"%s\", \"order\": \"%s\", \"width\": %d, "
           "\"blocks\": %d, "
           "\"batch\": %d, \"frames\": %d, \"mels\": %d, \"threads\": %d, \"parameters\": %lld, \"rounds\": %d, "
           "\"steps\": %d, "
           "\"autotune\": %s, \"without_plan\": %zu, \"min_ms\": %.4f, \"median_ms\": %.4f, "
           "\"samples_per_s\": %s, \"gflops\": %s, \"mib\": "
           "%.1f, \"loss\": %s}\n",
           qv_exec_describe(qv_trainer_exec(t)), qv_order_name(net->config.order), s->width, s->blocks, s->batch,
           qv_settings_patch_frames(s), s->mels, qv_pool_threads(a->trainer.pool), (long long)net->parameters,
           a->rounds, steps, s->autotune ? "true" : "false", qv_exec_without_plan(qv_trainer_exec(t)), 1e3 * least,
           1e3 * median, qv_figure_of("%.1f", s->batch / median).text,
           qv_figure_of("%.1f", 1e-9 * count_flops(net->program) / median).text,
           (double)qv_exec_bytes(qv_trainer_exec(t)) / (1 << 20), qv_figure_of("%.6f", loss).text);
    fflush(stdout);
}

/* --steps steps, one pass over a training set of as many samples, so many times. */
static qv_status run(qv_ctx *ctx, const arguments *a, qv_trainer *t, int times, double *seconds, double *loss)
{
    const uint64_t passes = qv_trainer_step(t) / (uint64_t)a->steps;
    qv_loss all = {0};
    const double begin = qv_now();
    const qv_status status = qv_trainer_run(ctx, t, passes + (uint64_t)times, &all);
    *seconds = qv_now() - begin;
    *loss = all.sum / (double)all.steps;
    return status;
}

static qv_status warm_up(qv_ctx *ctx, const arguments *a, qv_trainer *t, double *seconds)
{
    double loss, since = 0;
    *seconds = 1;
    for (int i = 0; qv_bench_is_cold(a->seconds, a->warmup, i, since); i++) {
        const qv_status status = run(ctx, a, t, 1, seconds, &loss);
        if (status != QV_OK) return status;
        if (i == 0) since = qv_now();
    }
    return QV_OK;
}

static qv_status measure(qv_ctx *ctx, arguments *a)
{
    qv_status status = QV_OK;
    qv_trainer *t = NULL;
    qv_made_up data = {0};
    double *times = NULL, last = 0, seconds;
    size_t recordings = (size_t)a->s.batch * (size_t)a->steps;
    QV_TRY(qv_alloc(ctx, &times, (size_t)a->rounds, sizeof *times));
    QV_TRY(qv_made_up_new(ctx, &data, recordings, qv_settings_patch_frames(&a->s), a->s.mels));
    a->trainer.items = data.items;
    a->trainer.n_items = recordings;
    QV_TRY(qv_trainer_new(ctx, &t, &a->s, &data.data, &a->trainer, QV_BENCH_CLASSES));
    QV_TRY(warm_up(ctx, a, t, &seconds));
    const int runs = qv_bench_runs(a->seconds, a->rounds, seconds);
    for (int i = 0; i < a->rounds; i++) {
        QV_TRY(run(ctx, a, t, runs, &seconds, &last));
        times[i] = seconds / (runs * a->steps);
    }
    qv_bench_sort(times, a->rounds);
    print_line(a, t, runs * a->steps, times, last);
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
    QV_TRY(qv_pool_new(ctx, &pool, qv_threads(a->s.threads)));
    a->trainer.pool = pool;
    for (const char *batches = a->batches; qv_bench_next("batch", &batches, &a->s.batch);) QV_TRY(measure(ctx, a));
done:
    qv_pool_free(pool);
    return status;
}

static void parse(qv_ctx *ctx, arguments *a, int argc, char **argv)
{
    static const struct option options[] = {{"width", 1, NULL, 0},
                                            {"blocks", 1, NULL, 0},
                                            {"batch", 1, NULL, 'n'},
                                            {"frames", 1, NULL, 0},
                                            {"mels", 1, NULL, 0},
                                            {"threads", 1, NULL, 0},
                                            {"rounds", 1, NULL, 'R'},
                                            {"steps", 1, NULL, 's'},
                                            {"seconds", 1, NULL, 'S'},
                                            {"warmup", 1, NULL, 'u'},
                                            {"order", 1, NULL, 0},
                                            {"device", 1, NULL, 0},
                                            {"precision", 1, NULL, 0},
                                            {"profile", 0, NULL, 'p'},
                                            {"no-fuse", 0, NULL, 'F'},
                                            {"direct", 0, NULL, 'd'},
                                            {"autotune", 0, NULL, 'a'},
                                            {0}};
    int c, at = 0;
    while ((c = getopt_long(argc, argv, "", options, &at)) != -1) {
        const char *name = options[at].name;
        switch (c) {
        case 0: qv_bench_option(ctx, &a->s, name, optarg); break;
        case 'n': a->batches = optarg; break;
        case 'R': a->rounds = qv_bench_number(name, optarg, 1); break;
        case 's': a->steps = qv_bench_number(name, optarg, 1); break;
        case 'S': a->seconds = qv_bench_real(name, optarg, 60); break;
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
    if (!a->steps) a->steps = a->s.device == QV_DEVICE_CUDA ? 20 : 1;
    if (a->seconds < 0) a->seconds = qv_bench_span(&a->s);
}

int main(int argc, char **argv)
{
    arguments a = {.rounds = 5, .warmup = 2, .seconds = -1, .batches = "64"};
    qv_ctx *ctx = qv_bench_ctx();
    if (!ctx) return 1;
    qv_status status = qv_bench_settings(ctx, &a.s);
    if (status == QV_OK) {
        parse(ctx, &a, argc, argv);
        status = measure_all(ctx, &a);
    }
    if (status != QV_OK) fprintf(stderr, "bench_step: %s\n", qv_ctx_message(ctx));
    qv_settings_free(&a.s);
    qv_ctx_free(ctx);
    return status == QV_OK ? 0 : status == QV_ERR_USAGE ? 2 : 1;
}
