/* Several trainings side by side in one process: what they do together in a second, against one after the other.
 *
 *   bench_replicas [--device D] [--precision P] [--batch 8,16,64] [--replicas 1,2,4,8,16] [--rounds N] [--steps N]
 *                  [--seconds S] [--width N] [--blocks N] [--frames N] [--mels N]
 *
 * Each training has a thread, a trainer and a network of its own and the features in common; on the CPU it computes
 * with its own thread alone. For each batch size and number of replicas both ways take turns for --rounds rounds of
 * --steps steps a training (on a GPU so many times --steps that each way takes --seconds, 1, in all, after a warm-up of
 * half as long); one JSON line with the medians: samples a second in all, side by side and one after the other, and
 * their ratio; and the mean loss of the last round. */
#include <getopt.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "figure.h"
#include "made_up.h"

enum { MOST = 64 };

/* One training. */
typedef struct replica {
    qv_ctx *ctx;
    qv_trainer *trainer;
    uint64_t passes; /* of the training set so far */
    int runs;        /* passes of a round */
    double loss;     /* mean of the last round */
    qv_status status;
    pthread_t thread;
} replica;

typedef struct arguments {
    qv_settings s;
    int rounds, steps;
    double seconds; /* of all rounds of one way, below 0: as the device wants it */
    const char *batches, *replicas;
} arguments;

static void *run_round(void *user)
{
    replica *r = user;
    qv_loss loss = {0};
    r->passes += (uint64_t)r->runs;
    r->status = qv_trainer_run(r->ctx, r->trainer, r->passes, &loss);
    r->loss = loss.sum / (double)loss.steps;
    return NULL;
}

/* The first replica that failed gives its message to ctx. */
static qv_status check(qv_ctx *ctx, const replica *all, int n)
{
    for (int i = 0; i < n; i++)
        if (all[i].status != QV_OK)
            return qv_fail(ctx, all[i].status, "training %d: %s", i, qv_ctx_message(all[i].ctx));
    return QV_OK;
}

/* Seconds that a round of all of them takes, so many passes of each. */
static qv_status time_round(qv_ctx *ctx, replica *all, int n, int runs, bool together, double *seconds)
{
    double begin = qv_now();
    int started = 0;
    for (int i = 0; i < n; i++) {
        all[i].runs = runs;
        if (!together)
            run_round(&all[i]);
        else if (pthread_create(&all[i].thread, NULL, run_round, &all[i]) == 0)
            started++;
        else
            break;
    }
    for (int i = 0; i < started; i++) pthread_join(all[i].thread, NULL);
    *seconds = qv_now() - begin;
    if (together && started < n)
        return qv_fail(ctx, QV_ERR_MEMORY, "only %d of %d threads could be started", started, n);
    return check(ctx, all, n);
}

static qv_status make_replica(qv_ctx *ctx, replica *r, const arguments *a, const qv_made_up *data, qv_gpu_device *gpu,
                              int index)
{
    qv_settings s = a->s; /* borrowed texts */
    s.seed = (uint64_t)index + 1;
    qv_trainer_options o = {.items = data->items, .n_items = data->data.n, .gpu = gpu};
    r->ctx = index == 0 ? qv_bench_ctx() : qv_ctx_new(); /* the others would warn of the same */
    if (!r->ctx) return qv_fail(ctx, QV_ERR_MEMORY, "no memory for training %d", index);
    r->status = qv_trainer_new(r->ctx, &r->trainer, &s, &data->data, &o, QV_BENCH_CLASSES);
    return check(ctx, r, 1);
}

/* Side by side; plans, captures and caches are made, and how long a pass takes is known. */
static qv_status warm_up(qv_ctx *ctx, const arguments *a, replica *all, int n, double *seconds)
{
    double since = 0;
    for (int i = 0; qv_bench_is_cold(a->seconds, 1, i, since); i++) {
        const qv_status status = time_round(ctx, all, n, 1, true, seconds);
        if (status != QV_OK) return status;
        if (i == 0) since = qv_now();
    }
    return QV_OK;
}

static void print_line(const arguments *a, const replica *all, int n, const double *together, const double *in_turn)
{
    const int steps = all[0].runs * a->steps;
    double samples = (double)n * steps * a->s.batch, fast = together[a->rounds / 2], slow = in_turn[a->rounds / 2];
    double loss = 0;
    for (int i = 0; i < n; i++) loss += all[i].loss / n;
    printf("{\"bench\": \"replicas\", \"device\": \"%s\", \"order\": \"%s\", \"width\": %d, \"blocks\": %d, \"batch\": "
           "%d, "
           "\"frames\": %d, \"mels\": %d, \"replicas\": %d, \"rounds\": %d, \"steps\": %d, \"samples_per_s\": %s, "
           "\"one_after_other_samples_per_s\": %s, \"ratio\": %s, \"loss\": %s}\n",
           qv_exec_describe(qv_trainer_exec(all[0].trainer)), qv_order_name((qv_block_order)a->s.order), a->s.width,
           a->s.blocks, a->s.batch, qv_settings_patch_frames(&a->s), a->s.mels, n, a->rounds, steps,
           qv_figure_of("%.1f", samples / fast).text, qv_figure_of("%.1f", samples / slow).text,
           qv_figure_of("%.3f", slow / fast).text, qv_figure_of("%.6f", loss).text);
    fflush(stdout);
}

static qv_status measure(qv_ctx *ctx, const arguments *a, int n)
{
    qv_status status = QV_OK;
    replica all[MOST] = {0};
    qv_made_up data = {0};
    qv_gpu_device *gpu = NULL;
    double *together = NULL, *in_turn = NULL, seconds;
    QV_TRY(qv_alloc(ctx, &together, (size_t)a->rounds, sizeof *together));
    QV_TRY(qv_alloc(ctx, &in_turn, (size_t)a->rounds, sizeof *in_turn));
    QV_TRY(qv_made_up_new(ctx, &data, (size_t)a->s.batch * (size_t)a->steps, qv_settings_patch_frames(&a->s),
                          a->s.mels));
    if (a->s.device == QV_DEVICE_CUDA) QV_TRY(qv_gpu_open(ctx, &gpu, a->s.gpu));
    if (gpu) qv_gpu_expect(gpu, n);
    for (int i = 0; i < n; i++) QV_TRY(make_replica(ctx, &all[i], a, &data, gpu, i));
    QV_TRY(warm_up(ctx, a, all, n, &seconds));
    const int runs = qv_bench_runs(a->seconds, a->rounds, seconds);
    for (int i = 0; i < a->rounds; i++) {
        QV_TRY(time_round(ctx, all, n, runs, true, &together[i]));
        QV_TRY(time_round(ctx, all, n, runs, false, &in_turn[i]));
    }
    qv_bench_sort(together, a->rounds);
    qv_bench_sort(in_turn, a->rounds);
    print_line(a, all, n, together, in_turn);
done:
    for (int i = 0; i < n; i++) {
        qv_trainer_free(all[i].trainer);
        qv_ctx_free(all[i].ctx);
    }
    qv_gpu_close(gpu);
    qv_made_up_free(&data);
    free(together);
    free(in_turn);
    return status;
}

static qv_status measure_all(qv_ctx *ctx, arguments *a)
{
    for (const char *batches = a->batches; qv_bench_next("batch", &batches, &a->s.batch);) {
        int n;
        for (const char *replicas = a->replicas; qv_bench_next("replicas", &replicas, &n);) {
            if (n > MOST) return qv_fail(ctx, QV_ERR_USAGE, "--replicas %d: at most %d", n, MOST);
            qv_status status = measure(ctx, a, n);
            if (status != QV_OK) return status;
        }
    }
    return QV_OK;
}

static void parse(qv_ctx *ctx, arguments *a, int argc, char **argv)
{
    static const struct option options[] = {{"device", 1, NULL, 0},
                                            {"precision", 1, NULL, 0},
                                            {"batch", 1, NULL, 'n'},
                                            {"replicas", 1, NULL, 'r'},
                                            {"rounds", 1, NULL, 'R'},
                                            {"steps", 1, NULL, 's'},
                                            {"seconds", 1, NULL, 'S'},
                                            {"width", 1, NULL, 0},
                                            {"blocks", 1, NULL, 0},
                                            {"frames", 1, NULL, 0},
                                            {"mels", 1, NULL, 0},
                                            {0}};
    int c, at = 0;
    while ((c = getopt_long(argc, argv, "", options, &at)) != -1) {
        const char *name = options[at].name;
        switch (c) {
        case 0:
            qv_bench_option(ctx, &a->s, name, optarg);
            break;
        case 'n':
            a->batches = optarg;
            break;
        case 'r':
            a->replicas = optarg;
            break;
        case 'R':
            a->rounds = qv_bench_number(name, optarg, 1);
            break;
        case 's':
            a->steps = qv_bench_number(name, optarg, 1);
            break;
        case 'S':
            a->seconds = qv_bench_real(name, optarg, 60);
            break;
        default:
            exit(2);
        }
    }
    if (optind < argc) {
        fprintf(stderr, "unexpected word %s\n", argv[optind]);
        exit(2);
    }
    if (a->seconds < 0) a->seconds = qv_bench_span(&a->s);
}

int main(int argc, char **argv)
{
    arguments a = {.rounds = 5, .steps = 20, .seconds = -1, .batches = "8,16,64", .replicas = "1,2,4,8,16"};
    qv_ctx *ctx = qv_bench_ctx();
    if (!ctx) return 1;
    qv_status status = qv_bench_settings(ctx, &a.s);
    if (status == QV_OK) {
        parse(ctx, &a, argc, argv);
        status = measure_all(ctx, &a);
    }
    if (status != QV_OK) fprintf(stderr, "bench_replicas: %s\n", qv_ctx_message(ctx));
    qv_settings_free(&a.s);
    qv_ctx_free(ctx);
    return status == QV_OK ? 0 : status == QV_ERR_USAGE ? 2 : 1;
}
