/* How long a study will take, from a few steps of each cell. */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/io.h"
#include "study/study_compare.h"

/* Steps that do not count, the most that do, and how many are told of at a time. */
typedef struct pace {
    int warm, most, span;
} pace;
static const pace on_cpu = {2, 10, 1}, on_gpu = {16, 32, 8};
static const double enough_seconds = 3;

/* What one cell costs on one corpus. */
typedef struct cost {
    double step, batch; /* seconds: a training step; an evaluation of one batch of windows */
    double run;         /* of a whole run, mean of the folds */
    size_t open;        /* runs that are not there yet */
} cost;

typedef struct predictor {
    const qv_study *s;
    const qv_study_options *o;
    qv_study_corpora data;
    qv_plan plan;
    cost *costs; /* [corpora][cells] */
    size_t n, next;
    volatile int stop;
    pthread_mutex_t mutex;
} predictor;

/* ---- measuring ---- */

/* Raises the flag that ends the steps. */
typedef struct stopper {
    const pace *pace;
    int flag, steps, counted;
    double begin; /* after the warm-up */
    double seconds;
} stopper;

/* Called for each step, but as often as the pace's span says at once. */
static void on_progress(void *user, const qv_progress *p)
{
    stopper *x = user;
    (void)p;
    double now = qv_now();
    if (++x->steps % x->pace->span != 0) return;
    if (x->steps == x->pace->warm) x->begin = now;
    if (x->steps <= x->pace->warm) return;
    x->seconds = now - x->begin;
    x->counted = x->steps - x->pace->warm;
    x->flag = x->counted >= x->pace->most || x->seconds > enough_seconds;
}

/* A training that ends within the warm-up: all its steps count. */
static qv_status time_steps(qv_ctx *ctx, qv_trainer *t, const qv_settings *s, const pace *by, double *seconds)
{
    stopper x = {.pace = by};
    const double begin = qv_now();
    qv_loss loss = {0};
    qv_ctx *own = qv_ctx_new(); /* its flag ends the steps, not the thread */
    if (!own) return qv_fail(ctx, QV_ERR_MEMORY, "no memory for a context");
    qv_ctx_on_progress(own, on_progress, &x);
    qv_ctx_cancel_flag(own, &x.flag);
    qv_status status = qv_trainer_run(own, t, (uint64_t)s->epochs, &loss);
    /* numbers that break are a result for the study to record; the steps until then cost what steps cost */
    if (status == QV_ERR_INTERRUPTED || status == QV_OK || status == QV_ERR_NUMERIC) {
        *seconds = x.counted ? x.seconds / x.counted : (qv_now() - begin) / fmax(x.steps, 1);
        status = QV_OK;
    } else {
        status = qv_fail(ctx, status, "%s", qv_ctx_message(own));
    }
    qv_ctx_free(own);
    return status;
}

/* The last of `times`: what comes before prepares it. */
static qv_status time_evaluation(qv_ctx *ctx, qv_trainer *t, const qv_settings *s, int classes, int times,
                                 double *seconds)
{
    size_t n;
    const size_t *items = qv_trainer_items(t, &n);
    double *probs;
    if (n > (size_t)s->batch) n = (size_t)s->batch;
    qv_status status = qv_alloc(ctx, &probs, n * (size_t)classes, sizeof *probs);
    for (int i = 0; i < times && status == QV_OK; i++) {
        double begin = qv_now();
        status = qv_trainer_predict(ctx, t, items, n, false, probs);
        *seconds = qv_now() - begin;
        if (status == QV_ERR_NUMERIC) status = QV_OK;
    }
    free(probs);
    return status;
}

/* A trainer of the first fold, and its times. */
static qv_status measure(qv_ctx *ctx, const qv_settings *settings, const qv_study_data *d, qv_gpu_device *gpu, cost *c)
{
    const qv_manifest *m = d->manifest;
    const qv_fold *fold = &d->folds->folds[0];
    qv_status status = QV_OK;
    qv_dataset *data = NULL;
    qv_trainer *trainer = NULL;
    bool *in_training = NULL;
    size_t *items = NULL, n = 0;
    qv_settings own = *settings;
    QV_TRY(qv_settings_detect(ctx, &own, m));
    QV_TRY(qv_alloc(ctx, &in_training, m->n, sizeof *in_training));
    QV_TRY(qv_alloc(ctx, &items, m->n, sizeof *items));
    for (size_t i = 0; i < m->n; i++) {
        in_training[i] = fold->part[i] == QV_PART_TRAIN;
        if (in_training[i] && d->features->entries[i].frames > 0) items[n++] = i;
    }
    QV_TRY(qv_dataset_new_training(ctx, &data, m, d->features, settings, in_training));
    qv_trainer_options o = {.items = items, .n_items = n, .gpu = gpu};
    QV_TRY(qv_trainer_new(ctx, &trainer, &own, data, &o, m->n_classes));
    QV_TRY(time_steps(ctx, trainer, settings, gpu ? &on_gpu : &on_cpu, &c->step));
    QV_TRY(time_evaluation(ctx, trainer, settings, m->n_classes, gpu ? 3 : 1, &c->batch));
done:
    qv_trainer_free(trainer);
    qv_dataset_free(data);
    free(in_training);
    free(items);
    return status;
}

static qv_status work(qv_ctx *ctx, void *user, int worker)
{
    predictor *p = user;
    (void)worker;
    for (;;) {
        pthread_mutex_lock(&p->mutex);
        size_t i = p->next++;
        pthread_mutex_unlock(&p->mutex);
        if (i >= p->n) return QV_OK;
        size_t corpus = i / p->s->n_cells, cell = i % p->s->n_cells;
        qv_status status = qv_poll(ctx);
        if (status == QV_OK)
            status = measure(ctx, &p->s->cells[cell].settings, qv_study_data_of(&p->data, corpus, cell), p->data.gpu,
                             &p->costs[i]);
        if (status != QV_OK) return qv_fail_prefix(ctx, status, "cell %s", p->s->cells[cell].name);
    }
}

static void watch(qv_ctx *ctx, void *user)
{
    predictor *p = user;
    pthread_mutex_lock(&p->mutex);
    size_t done = p->next < p->n ? p->next : p->n;
    pthread_mutex_unlock(&p->mutex);
    qv_report(ctx, "measuring", "cells", (double)done, (double)p->n);
}

/* ---- counting ---- */

static double run_seconds(const qv_settings *s, const qv_study_data *d, const qv_fold *fold, const cost *c)
{
    qv_run_size size = qv_study_run_size(s, d, fold);
    return size.steps * c->step + size.batches * c->batch;
}

static qv_status count_open(qv_ctx *ctx, const predictor *p, size_t corpus, size_t cell, size_t fold, size_t *open)
{
    for (int k = 0; k < p->plan.seeds; k++) {
        char *path;
        const qv_run_id run = {corpus, fold, cell, p->s->first_seed + (uint64_t)k};
        qv_status status = qv_run_path(ctx, &path, p->s, &p->plan, p->o->out, &run);
        if (status != QV_OK) return status;
        *open += !qv_path_exists(path);
        free(path);
    }
    return QV_OK;
}

static void print_duration(qv_buf *b, double seconds)
{
    if (seconds < 120)
        qv_buf_printf(b, "%.0f s", seconds);
    else if (seconds < 7200)
        qv_buf_printf(b, "%.0f min", seconds / 60);
    else
        qv_buf_printf(b, "%.1f h", seconds / 3600);
}

/* What computes at once. Runs on a GPU share it: how much they gain side by side is not measured, and at worst they
 * take as long as one after the other. */
static int lanes_of(const predictor *p) { return p->data.gpu ? 1 : qv_study_threads(&p->data, p->o); }

/* Runs that take `total` seconds, the longest of them `longest`, `at_once` at a time. */
static double makespan(double total, double longest, size_t open, int at_once)
{
    const double lanes = fmin((double)open, at_once);
    return lanes > 0 ? fmax(total / lanes, longest) : 0;
}

static qv_status print_prediction(qv_ctx *ctx, predictor *p, qv_buf *b)
{
    qv_status status = QV_OK;
    const int at_once = lanes_of(p);
    double total = 0, longest = 0;
    size_t all = 0, open = 0;
    qv_buf_puts(b, "corpus      cell                                      step ms  run         runs  to do\n");
    for (size_t i = 0; i < p->n; i++) {
        size_t corpus = i / p->s->n_cells, cell = i % p->s->n_cells;
        const qv_study_data *d = qv_study_data_of(&p->data, corpus, cell);
        cost *c = &p->costs[i];
        for (size_t f = 0; f < d->folds->n; f++) {
            size_t left = 0;
            double seconds = run_seconds(&p->s->cells[cell].settings, d, &d->folds->folds[f], c);
            QV_TRY(count_open(ctx, p, corpus, cell, f, &left));
            c->run += seconds / (double)d->folds->n;
            c->open += left;
            total += (double)left * seconds;
            if (left > 0) longest = fmax(longest, seconds);
        }
        size_t runs = d->folds->n * (size_t)p->plan.seeds, at = b->len;
        qv_buf_printf(b, "%-10s  %-40s  %7.1f  ", p->s->corpora[corpus].name, p->s->cells[cell].name, 1000 * c->step);
        print_duration(b, c->run);
        while (!b->failed && b->len - at < 73) qv_buf_puts(b, " ");
        qv_buf_printf(b, "%6zu %6zu\n", runs, c->open);
        all += runs;
        open += c->open;
    }
    qv_buf_printf(b, "\n%zu cell%s, %zu runs, %zu to do, %d at a time: %sabout ", p->s->n_cells,
                  p->s->n_cells == 1 ? "" : "s", all, open, qv_study_threads(&p->data, p->o),
                  p->data.gpu ? "at most " : "");
    print_duration(b, makespan(total, longest, open, at_once));
    if (p->o->shards > 1) {
        const size_t shards = (size_t)p->o->shards, share = (open + shards - 1) / shards;
        qv_buf_printf(b, "; a shard of %zu: about ", shards);
        print_duration(b, makespan(total / (double)shards, longest, share, at_once));
    }
    qv_buf_puts(b, "\n");
    status = qv_buf_check(ctx, b);
done:
    return status;
}

qv_status qv_study_predict(qv_ctx *ctx, qv_study *s, const qv_study_options *o, qv_buf *text)
{
    qv_status status = QV_OK;
    predictor p = {.s = s, .o = o};
    bool begun;
    pthread_mutex_init(&p.mutex, NULL);
    QV_TRY(qv_study_check_folder(ctx, s, o->out, &begun));
    QV_TRY(qv_study_load(ctx, &p.data, s, o));
    QV_TRY(qv_plan_make(ctx, &p.plan, s, &p.data, o->command));
    QV_TRY(qv_plan_settle(ctx, &p.plan, s, o->out, o->seeds, true));
    qv_plan_warn(ctx, s, &p.plan);
    p.n = s->n_corpora * s->n_cells;
    QV_TRY(qv_alloc(ctx, &p.costs, p.n, sizeof *p.costs));
    QV_TRY(qv_crew_run(ctx, &(qv_crew){lanes_of(&p), work, watch, &p, &p.stop}));
    QV_TRY(print_prediction(ctx, &p, text));
done:
    qv_study_unload(&p.data, s);
    qv_plan_free(&p.plan);
    free(p.costs);
    pthread_mutex_destroy(&p.mutex);
    return status;
}
