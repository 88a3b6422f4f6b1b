/* What a whole study takes on one device: trainings as `quaver study` does them, 1, 2, 4, 8 at a time.
 *
 *   bench_study [--device D] [--precision P] [--batch N] [--width N] [--blocks N] [--frames N] [--mels N]
 *               [--set SECTION.KEY=VALUE] [--recordings N] [--hours H] [--epochs N] [--of N] [--every N]
 *               [--trainings N] [--replicas 1,2,4,8]
 *
 * The study is of 5 folds, 10 seeds and 8 settings: --trainings (400) of --of epochs (60) each, evaluated every --every
 * epochs (5), on --recordings (5531) made-up ones of --hours (7) in all, ten voices in five folds. The network is
 * the reference network, the batch 64. For each number of --replicas so many trainings run side by side, each in a
 * thread of a study's own crew, through the function that a study trains a run with (study/study_train.h): the epochs
 * and their evaluations, then all windows with both kinds of batch norm's statistics and what a record says of the
 * weights. Only the record is not written. --epochs (60): so many are really trained; with as many as --of the totals
 * are measured, with fewer the parts are multiplied.
 *
 * One JSON line a number of replicas, seconds of a training being means over those side by side: start_s until the
 * first epoch begins, epoch_s and evaluation_s of one each (told apart by the epochs that follow no evaluation),
 * final_s from the last epoch's evaluation to the end, training_s of a whole one of --of epochs; total_min of all
 * trainings, so many at a time; steps and eval_batches of one training, which bench/peers/torch_study.py takes from
 * here; the mean loss of the last epoch. */
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "bench.h"
#include "figure.h"
#include "made_up.h"
#include "study/study_train.h"

enum { MOST = 64, VOICES = 10, MADE_FRAMES = 8192 };

/* One of the trainings side by side. */
typedef struct lane {
    const struct study *b;
    double begin, first_epoch, at; /* at: when the last epoch ended */
    uint64_t epochs;               /* that have ended */
    double plain, evaluated, end;  /* seconds of epochs without and with an evaluation before them */
    int n_plain, n_evaluated;
    double loss; /* of the last epoch */
} lane;

typedef struct study {
    qv_settings s; /* train.epochs: that are really trained */
    int recordings, of, trainings;
    double hours;
    const char *replicas;
    qv_manifest *manifest;
    qv_folds *folds;
    qv_features features;
    float *data;
    qv_study_corpus corpus;
    qv_study_cell cell;
    qv_study study;
    qv_study_data part;
    qv_maker maker;
    volatile int stop;
    lane lanes[MOST];
} study;

/* ---- recordings ---- */

static qv_status make_manifest(qv_ctx *ctx, study *b)
{
    static const char *const emotions[QV_BENCH_CLASSES] = {"anger", "joy", "neutral", "sadness"};
    qv_status status = QV_OK;
    QV_TRY(qv_manifest_new(ctx, &b->manifest));
    for (int i = 0; i < b->recordings; i++) {
        char name[32], speaker[16];
        const int voice = i % VOICES;
        snprintf(name, sizeof name, "%05d.wav", i);
        snprintf(speaker, sizeof speaker, "%02d", voice);
        QV_TRY(qv_manifest_add(ctx, b->manifest, name, name, speaker, emotions[i / VOICES % QV_BENCH_CLASSES],
                               voice % 2 ? "f" : "m"));
    }
    QV_TRY(qv_manifest_finish(ctx, b->manifest, NULL));
done:
    return status;
}

/* Noise, of which the first frames are drawn and the rest repeats them: what the numbers are does not matter. */
static qv_status make_frames(qv_ctx *ctx, study *b, uint64_t *random)
{
    const size_t mels = (size_t)b->s.mels, n = (size_t)b->features.frames * mels, made = MADE_FRAMES * mels;
    qv_status status = qv_alloc(ctx, &b->data, n, sizeof *b->data);
    if (status != QV_OK) return status;
    for (size_t i = 0; i < n && i < made; i++) b->data[i] = (float)qv_random_normal(random);
    for (size_t i = made; i < n; i += made)
        memcpy(b->data + i, b->data, (n - i < made ? n - i : made) * sizeof *b->data);
    b->features.data = b->data;
    return QV_OK;
}

/* Lengths from half the mean to one and a half. */
static qv_status make_features(qv_ctx *ctx, study *b)
{
    qv_status status = QV_OK;
    uint64_t random = 1;
    const double mean = fmax(b->hours * 3600 / b->s.hop / b->recordings, 2);
    b->features = (qv_features){.config = qv_settings_features(&b->s), .n = b->manifest->n};
    QV_TRY(qv_alloc(ctx, &b->features.entries, b->features.n, sizeof *b->features.entries));
    for (size_t i = 0; i < b->features.n; i++) {
        const int frames = (int)(mean / 2) + (int)(qv_random_next(&random) % (uint64_t)mean);
        b->features.entries[i] = (qv_feature_entry){.first_frame = b->features.frames, .frames = frames};
        b->features.frames += frames;
    }
    QV_TRY(make_frames(ctx, b, &random));
done:
    return status;
}

static qv_status make_study(qv_ctx *ctx, study *b)
{
    static char name[] = "made-up", nothing[] = "";
    qv_status status = QV_OK;
    QV_TRY(make_manifest(ctx, b));
    QV_TRY(qv_folds_make(ctx, &b->folds, b->manifest, "5", &(qv_fold_options){0}));
    QV_TRY(make_features(ctx, b));
    b->corpus.name = b->cell.name = name;
    b->cell.identity = nothing;
    b->cell.settings = b->s; /* its texts stay here */
    b->study = (qv_study){.corpora = &b->corpus, .n_corpora = 1, .cells = &b->cell, .n_cells = 1};
    b->part = (qv_study_data){b->manifest, &b->features, b->folds, &b->s};
    b->maker = (qv_maker){.program = nothing, .isa = nothing};
    if (b->s.device == QV_DEVICE_CUDA) QV_TRY(qv_gpu_open(ctx, &b->maker.gpu, b->s.gpu));
done:
    return status;
}

static void free_study(study *b)
{
    qv_gpu_close(b->maker.gpu);
    qv_folds_free(b->folds);
    qv_manifest_free(b->manifest);
    qv_settings_free(&b->s);
    free(b->features.entries);
    free(b->data);
}

/* ---- trainings ---- */

static const qv_fold *fold_of(const study *b, int worker) { return &b->folds->folds[(size_t)worker % b->folds->n]; }

static void end_epoch(lane *l)
{
    const double now = qv_now(), seconds = now - l->at;
    const int every = l->b->cell.settings.eval_every;
    if (l->epochs == 0)
        l->first_epoch = now;
    else if (l->epochs % (uint64_t)every == 0)
        l->evaluated += seconds, l->n_evaluated++;
    else
        l->plain += seconds, l->n_plain++;
    l->epochs++;
    l->at = now;
}

/* Of each step. */
static void on_progress(void *user, const qv_progress *p)
{
    lane *l = user;
    const study *b = l->b;
    const size_t train = fold_of(b, (int)(l - b->lanes))->items[QV_PART_TRAIN];
    if (strcmp(p->unit, "steps") != 0) return;
    if (p->done == (double)qv_steps((double)l->epochs + 1, train, (size_t)b->s.batch)) end_epoch(l);
}

static qv_status train(qv_ctx *ctx, void *user, int worker)
{
    study *b = user;
    lane *l = &b->lanes[worker];
    qv_study_record record;
    const qv_study_job job = {.study = &b->study,
                              .data = &b->part,
                              .maker = &b->maker,
                              .run = {.fold = (size_t)worker % b->folds->n, .seed = (uint64_t)worker + 1}};
    *l = (lane){.b = b, .begin = qv_now()};
    qv_ctx_on_progress(ctx, on_progress, l);
    qv_status status = qv_study_train(ctx, &job, &record);
    l->end = qv_now();
    if (status != QV_OK) return status;
    if (record.failed)
        status = qv_fail(ctx, QV_ERR_NUMERIC, "%s", record.failed);
    else
        l->loss = record.curve[QV_RUN_LOSS][record.n_curve - 1];
    qv_study_record_free(&record);
    return status;
}

static void watch(qv_ctx *ctx, void *user) { (void)ctx, (void)user; }

static qv_status run_side_by_side(qv_ctx *ctx, study *b, int n)
{
    return qv_crew_run(ctx, &(qv_crew){n, train, watch, b, &b->stop});
}

/* Plans, captures, and the clocks of a GPU that was idle: trainings of one epoch, as many as there will be at most. */
static qv_status warm_up(qv_ctx *ctx, study *b, int most)
{
    const double begin = qv_now(), span = qv_bench_span(&b->s);
    qv_status status = QV_OK;
    if (span == 0) return QV_OK;
    b->cell.settings.epochs = 1;
    do status = run_side_by_side(ctx, b, most);
    while (status == QV_OK && qv_now() - begin < span);
    b->cell.settings.epochs = b->s.epochs;
    return status;
}

/* ---- what is told ---- */

/* Seconds of one training, or of one epoch or evaluation of it. */
typedef struct parts {
    double start, epoch, evaluation, final, loss;
} parts;

static parts parts_of(const lane *l)
{
    const double epoch = l->plain / l->n_plain, evaluation = l->evaluated / l->n_evaluated - epoch;
    return (parts){.start = l->first_epoch - l->begin - epoch,
                   .epoch = epoch,
                   .evaluation = evaluation,
                   .final = l->end - l->at - evaluation, /* the last epoch is always evaluated */
                   .loss = l->loss};
}

static parts mean_of(const lane *lanes, int n)
{
    parts mean = {0};
    for (int i = 0; i < n; i++) {
        const parts p = parts_of(&lanes[i]);
        mean.start += p.start / n;
        mean.epoch += p.epoch / n;
        mean.evaluation += p.evaluation / n;
        mean.final += p.final / n;
        mean.loss += p.loss / n;
    }
    return mean;
}

static void print_line(const study *b, int n)
{
    const parts p = mean_of(b->lanes, n);
    const qv_settings *s = &b->s;
    qv_settings whole = *s; /* its texts stay there */
    whole.epochs = b->of;
    const qv_run_size size = qv_study_run_size(&whole, &b->part, fold_of(b, 0));
    const double training = p.start + b->of * p.epoch + ceil((double)b->of / s->eval_every) * p.evaluation + p.final;
    printf("{\"bench\": \"study\", \"contender\": \"quaver\", \"device\": \"%s\", \"precision\": \"%s\", "
           "\"order\": \"%s\", \"width\": %d, \"blocks\": %d, \"batch\": %d, \"frames\": %d, \"mels\": %d, "
           "\"recordings\": %d, \"hours\": %.3f, \"replicas\": %d, \"epochs\": %d, \"of\": %d, \"every\": %d, ",
           b->maker.gpu ? qv_gpu_describe(b->maker.gpu) : qv_settings_choice(s, "run.device"),
           qv_precision_name((qv_precision)s->precision), qv_order_name((qv_block_order)s->order), s->width, s->blocks,
           s->batch, qv_settings_patch_frames(s), s->mels, b->recordings, (double)b->features.frames * s->hop / 3600, n,
           s->epochs, b->of, s->eval_every);
    printf("\"start_s\": %s, \"epoch_s\": %s, \"evaluation_s\": %s, \"final_s\": %s, \"training_s\": %s, "
           "\"steps\": %.0f, \"eval_batches\": %.0f, \"trainings\": %d, \"total_min\": %s, \"loss\": %s}\n",
           qv_figure_of("%.4f", p.start).text, qv_figure_of("%.4f", p.epoch).text,
           qv_figure_of("%.4f", p.evaluation).text, qv_figure_of("%.4f", p.final).text,
           qv_figure_of("%.4f", training).text, size.steps, ceil(size.batches), b->trainings,
           qv_figure_of("%.3f", training * b->trainings / n / 60).text, qv_figure_of("%.6f", p.loss).text);
    fflush(stdout);
}

static int most_of(const char *replicas)
{
    int most = 0, n;
    while (qv_bench_next("replicas", &replicas, &n)) most = n > most ? n : most;
    return most;
}

static qv_status measure_all(qv_ctx *ctx, study *b)
{
    qv_status status = QV_OK;
    const int most = most_of(b->replicas), every = b->s.eval_every;
    int n;
    if (most > MOST) return qv_fail(ctx, QV_ERR_USAGE, "--replicas %d: at most %d", most, MOST);
    if (every < 2 || b->s.epochs < every + 1)
        return qv_fail(ctx, QV_ERR_USAGE,
                       "--every %d of --epochs %d: from 2 on, and fewer than the epochs, to tell an evaluation from an "
                       "epoch",
                       every, b->s.epochs);
    QV_TRY(make_study(ctx, b));
    if (b->maker.gpu) qv_gpu_expect(b->maker.gpu, most);
    QV_TRY(warm_up(ctx, b, most));
    for (const char *replicas = b->replicas; qv_bench_next("replicas", &replicas, &n);) {
        QV_TRY(run_side_by_side(ctx, b, n));
        print_line(b, n);
    }
done:
    return status;
}

/* "section.key=value" */
static void set(qv_ctx *ctx, qv_settings *s, char *text)
{
    char *value = strchr(text, '=');
    if (value) *value++ = '\0';
    qv_bench_set(ctx, s, text, value ? value : "");
}

static void parse(qv_ctx *ctx, study *b, int argc, char **argv)
{
    static const struct option options[] = {
        {"device", 1, NULL, 0}, {"precision", 1, NULL, 0},   {"batch", 1, NULL, 0},        {"width", 1, NULL, 0},
        {"blocks", 1, NULL, 0}, {"frames", 1, NULL, 0},      {"mels", 1, NULL, 0},         {"epochs", 1, NULL, 0},
        {"every", 1, NULL, 0},  {"set", 1, NULL, 's'},       {"recordings", 1, NULL, 'i'}, {"hours", 1, NULL, 'h'},
        {"of", 1, NULL, 'o'},   {"trainings", 1, NULL, 't'}, {"replicas", 1, NULL, 'r'},   {0}};
    int c, at = 0;
    while ((c = getopt_long(argc, argv, "", options, &at)) != -1) {
        const char *name = options[at].name;
        switch (c) {
        case 0: qv_bench_option(ctx, &b->s, name, optarg); break;
        case 's': set(ctx, &b->s, optarg); break;
        case 'i': b->recordings = qv_bench_number(name, optarg, 1); break;
        case 'h': b->hours = qv_bench_real(name, optarg, 100); break;
        case 'o': b->of = qv_bench_number(name, optarg, 1); break;
        case 't': b->trainings = qv_bench_number(name, optarg, 1); break;
        case 'r': b->replicas = optarg; break;
        default: exit(2);
        }
    }
    if (optind < argc) {
        fprintf(stderr, "unexpected word %s\n", argv[optind]);
        exit(2);
    }
}

int main(int argc, char **argv)
{
    study b = {.recordings = 5531, .hours = 7, .of = 60, .trainings = 400, .replicas = "1,2,4,8"};
    qv_ctx *ctx = qv_bench_ctx();
    if (!ctx) return 1;
    qv_status status = qv_bench_settings(ctx, &b.s);
    b.s.epochs = b.of;
    if (status == QV_OK) {
        parse(ctx, &b, argc, argv);
        status = measure_all(ctx, &b);
    }
    if (status != QV_OK) fprintf(stderr, "bench_study: %s\n", qv_ctx_message(ctx));
    free_study(&b);
    qv_ctx_free(ctx);
    return status == QV_OK ? 0 : status == QV_ERR_USAGE ? 2 : 1;
}
