/* The runs of a study: who does which, and what the screen says meanwhile. */
#include <dirent.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/io.h"
#include "run/run.h"
#include "study/study_report.h"
#include "study/study_train.h"

typedef enum run_state { OPEN, MINE, DONE, FAILED } run_state;

typedef struct run {
    size_t corpus, cell, fold;
    uint64_t seed;
    double weight; /* steps that it takes, evaluations counted as such */
    run_state state;
    bool told;      /* its end was reported */
    double seconds; /* that it took here, 0: elsewhere or earlier */
    double ua, gap;
} run;

typedef struct runner {
    const qv_study *s;
    const qv_study_options *o;
    qv_study_corpora data;
    qv_maker maker;
    qv_run_lock lock;
    run *runs;
    size_t n;
    int threads;
    volatile int stop;
    double start;
    pthread_mutex_t mutex; /* of all below, and of the runs' states */
    double *share;         /* [threads] of the run in flight that is done */
    size_t *at;            /* [threads] its index, n: none */
    char *failure;         /* of the first run whose loss was not finite */
} runner;

/* ---- the list of runs ---- */

/* Steps of training, and of evaluation as if each were a third of one. */
static double weigh(const qv_study *s, const qv_study_data *d, size_t cell, size_t fold)
{
    const qv_settings *c = &s->cells[cell].settings;
    const qv_fold *f = &d->folds->folds[fold];
    int patch = qv_settings_patch_frames(c);
    double all = 0, windows = 0, batch = c->batch;
    for (size_t i = 0; i < d->manifest->n; i++) {
        int frames = d->features->entries[i].frames;
        if (f->part[i] == QV_PART_UNUSED || frames == 0) continue;
        all++;
        windows += qv_window_count(frames, patch, true);
    }
    double evaluations = ceil((double)c->epochs / c->eval_every);
    return (double)f->items[QV_PART_TRAIN] / batch * c->epochs + (all * evaluations + windows) / batch / 3;
}

/* Seed by seed, so that what is there early is a whole study of fewer seeds; within it fold by fold. Of each fold and
 * seed the shards take turns in the cells, so that each gets cells of all kinds. */
static qv_status list_runs(qv_ctx *ctx, runner *r, int seeds)
{
    const qv_study *s = r->s;
    qv_status status = QV_OK;
    size_t cap = 0, shards = (size_t)(r->o->shards ? r->o->shards : 1),
           shard = (size_t)(r->o->shard ? r->o->shard : 1) - 1;
    for (int seed = 0; seed < seeds; seed++)
        for (size_t corpus = 0; corpus < s->n_corpora; corpus++)
            for (size_t fold = 0; fold < qv_study_data_of(&r->data, corpus, 0)->folds->n; fold++)
                for (size_t cell = 0; cell < s->n_cells; cell++) {
                    if ((cell + fold + (size_t)seed) % shards != shard) continue;
                    QV_TRY(qv_grow(ctx, &r->runs, &cap, r->n + 1, sizeof *r->runs));
                    const qv_study_data *d = qv_study_data_of(&r->data, corpus, cell);
                    r->runs[r->n++] = (run){.corpus = corpus,
                                            .cell = cell,
                                            .fold = fold,
                                            .seed = s->first_seed + (uint64_t)seed,
                                            .weight = weigh(s, d, cell, fold)};
                }
done:
    return status;
}

static qv_status path_of(qv_ctx *ctx, const runner *r, const run *x, char **path)
{
    const qv_study_data *d = qv_study_data_of(&r->data, x->corpus, x->cell);
    return qv_study_record_path(ctx, path, r->o->out, r->s->corpora[x->corpus].name, r->s->cells[x->cell].file,
                                d->folds->folds[x->fold].name, x->seed);
}

static void print_run(const runner *r, const run *x, qv_buf *b)
{
    const qv_study_data *d = qv_study_data_of(&r->data, x->corpus, x->cell);
    if (r->s->n_corpora > 1) qv_buf_printf(b, "%s ", r->s->corpora[x->corpus].name);
    qv_buf_printf(b, "%s, fold %s, seed %llu", r->s->cells[x->cell].name, d->folds->folds[x->fold].name,
                  (unsigned long long)x->seed);
}

static qv_status another(qv_ctx *ctx, const char *path, const char *what, const char *found, const char *wanted)
{
    size_t a = 0, n = 0; /* to the line that differs */
    for (size_t i = 0; found[i] && found[i] == wanted[i]; i++)
        if (found[i] == '\n') a = i + 1;
    n = strcspn(found + a, "\n");
    return qv_fail(ctx, QV_ERR_DATA, "%s is of another study: %s \"%.*s\" there, \"%.*s\" here; give another --out",
                   path, what, (int)n, found + a, (int)strcspn(wanted + a, "\n"), wanted + a);
}

/* A record that is there must be of this very run. */
static qv_status check_record(qv_ctx *ctx, const runner *r, run *x, const char *path)
{
    qv_study_record record = {0};
    char hash[32];
    const qv_study_cell *cell = &r->s->cells[x->cell];
    qv_status status = qv_study_record_read(ctx, &record, path);
    if (status != QV_OK) return status;
    snprintf(hash, sizeof hash, "%016llx",
             (unsigned long long)qv_study_data_of(&r->data, x->corpus, x->cell)->manifest->hash);
    if (strcmp(record.settings, cell->identity) != 0)
        status = another(ctx, path, "the settings have", record.settings, cell->identity);
    else if (strcmp(record.manifest, hash) != 0)
        status = another(ctx, path, "the manifest's hash is", record.manifest, hash);
    x->ua = x->gap = 0;
    const qv_record_scores *s = &record.running;
    for (size_t i = 0; i < s->n_speakers; i++) x->ua += s->speakers[i].ua / (double)s->n_speakers;
    x->gap = 100 * (s->train.ua - x->ua);
    qv_study_record_free(&record);
    return status;
}

/* ---- workers ---- */

/* What a process that was killed while it wrote this very record left; the run is ours, so nobody writes it now. */
static qv_status remove_leftovers(qv_ctx *ctx, const char *path)
{
    qv_status status = QV_OK;
    char *folder = NULL, *file = NULL;
    const char *base = qv_path_base(path);
    size_t n = strlen(base);
    DIR *dir = NULL;
    QV_TRY(qv_path_dir(ctx, &folder, path));
    dir = opendir(folder);
    for (const struct dirent *e; dir && (e = readdir(dir));) {
        if (strncmp(e->d_name, base, n) != 0 || strncmp(e->d_name + n, ".tmp-", 5) != 0) continue;
        QV_TRY(qv_path_join(ctx, &file, folder, e->d_name));
        if (remove(file) != 0) qv_warn(ctx, "cannot remove %s, which a process that was killed left", file);
        free(file);
        file = NULL;
    }
done:
    if (dir) closedir(dir);
    free(folder);
    free(file);
    return status;
}

/* Held, looked at again and found missing: nobody else trains or has trained it. */
static qv_status try_run(qv_ctx *ctx, runner *r, run *x, bool *mine)
{
    qv_status status = QV_OK;
    char *path = NULL;
    *mine = false;
    QV_TRY(path_of(ctx, r, x, &path));
    if (!qv_path_exists(path)) {
        QV_TRY(qv_run_lock_take(ctx, &r->lock, path + strlen(r->o->out), false, mine));
        if (!*mine) goto done;
    }
    if (qv_path_exists(path)) {
        if (*mine) qv_run_lock_leave(&r->lock, path + strlen(r->o->out));
        *mine = false;
        QV_TRY(check_record(ctx, r, x, path));
        x->state = DONE;
    } else {
        x->state = MINE;
        QV_TRY(remove_leftovers(ctx, path));
    }
done:
    free(path);
    return status;
}

/* The next run to train, n: none now. *waiting: another process trains some that are open. */
static qv_status claim(qv_ctx *ctx, runner *r, int worker, size_t *index, bool *waiting)
{
    qv_status status = QV_OK;
    bool mine = false;
    *waiting = false;
    *index = r->n;
    pthread_mutex_lock(&r->mutex);
    for (size_t i = 0; i < r->n && status == QV_OK && !mine; i++) {
        if (r->runs[i].state != OPEN) continue;
        status = try_run(ctx, r, &r->runs[i], &mine);
        if (mine) *index = i;
        *waiting = *waiting || r->runs[i].state == OPEN;
    }
    r->at[worker] = *index;
    r->share[worker] = 0;
    pthread_mutex_unlock(&r->mutex);
    return status;
}

/* Where a worker's progress goes. */
typedef struct reporter {
    runner *r;
    int worker;
} reporter;

static void on_progress(void *user, const qv_progress *p)
{
    const reporter *to = user;
    if (strcmp(p->unit, "steps") != 0) return;
    pthread_mutex_lock(&to->r->mutex);
    to->r->share[to->worker] = p->total > 0 ? p->done / p->total : 0;
    pthread_mutex_unlock(&to->r->mutex);
}

static void finish(runner *r, int worker, size_t index, qv_status status, double seconds)
{
    run *x = &r->runs[index];
    pthread_mutex_lock(&r->mutex);
    x->seconds = status == QV_OK ? seconds : 0;
    x->state = status == QV_OK ? DONE : status == QV_ERR_NUMERIC ? FAILED : OPEN;
    r->at[worker] = r->n;
    pthread_mutex_unlock(&r->mutex);
}

/* A loss that is not finite is a result of its settings, not a reason to give up the others. */
static qv_status note_failure(qv_ctx *ctx, runner *r, const run *x)
{
    qv_buf b = {0};
    print_run(r, x, &b);
    qv_buf_printf(&b, ": %s", qv_ctx_message(ctx));
    qv_status status = qv_buf_check(ctx, &b);
    pthread_mutex_lock(&r->mutex);
    if (!r->failure) {
        r->failure = b.data;
        b.data = NULL;
    }
    pthread_mutex_unlock(&r->mutex);
    qv_buf_free(&b);
    return status;
}

static qv_status train_one(qv_ctx *ctx, runner *r, int worker, size_t index)
{
    run *x = &r->runs[index];
    qv_status status = QV_OK;
    qv_study_record record = {0};
    char *path = NULL;
    double begin = qv_now();
    qv_study_job job = {.study = r->s,
                        .data = qv_study_data_of(&r->data, x->corpus, x->cell),
                        .maker = &r->maker,
                        .corpus = x->corpus,
                        .cell = x->cell,
                        .fold = x->fold,
                        .seed = x->seed};
    QV_TRY(path_of(ctx, r, x, &path));
    QV_TRY(qv_study_train(ctx, &job, &record));
    QV_TRY(qv_study_record_write(ctx, &record, path));
    pthread_mutex_lock(&r->mutex);
    status = check_record(ctx, r, x, path);
    pthread_mutex_unlock(&r->mutex);
done:
    if (path) qv_run_lock_leave(&r->lock, path + strlen(r->o->out));
    finish(r, worker, index, status, qv_now() - begin);
    qv_study_record_free(&record);
    free(path);
    return status == QV_ERR_NUMERIC ? note_failure(ctx, r, x) : status;
}

static void pause_a_little(void) { nanosleep(&(struct timespec){.tv_nsec = 300000000}, NULL); }

static qv_status work(qv_ctx *ctx, void *user, int worker)
{
    runner *r = user;
    reporter to = {r, worker};
    qv_ctx_on_progress(ctx, on_progress, &to);
    for (;;) {
        size_t index;
        bool waiting;
        qv_status status = qv_poll(ctx);
        if (status == QV_OK) status = claim(ctx, r, worker, &index, &waiting);
        if (status != QV_OK) return status;
        if (index < r->n)
            status = train_one(ctx, r, worker, index);
        else if (!waiting)
            return QV_OK;
        else
            pause_a_little();
        if (status != QV_OK) return status;
    }
}

/* ---- what is told ---- */

/* Seconds to the end, by what the steps so far have cost. NaN before anything is known. */
static double seconds_left(const runner *r)
{
    double known = 0, left = 0;
    for (size_t i = 0; i < r->n; i++)
        if (r->runs[i].seconds > 0) known += r->runs[i].weight;
    for (int t = 0; t < r->threads; t++) known += r->at[t] < r->n ? r->share[t] * r->runs[r->at[t]].weight : 0;
    for (size_t i = 0; i < r->n; i++)
        if (r->runs[i].state == OPEN || r->runs[i].state == MINE) left += r->runs[i].weight;
    for (int t = 0; t < r->threads; t++) left -= r->at[t] < r->n ? r->share[t] * r->runs[r->at[t]].weight : 0;
    double elapsed = qv_now() - r->start;
    return known > 0 ? elapsed * left / known : NAN;
}

/* The cell with the highest mean UA so far; of the first corpus. */
static size_t best_cell(const runner *r, double *best)
{
    size_t found = r->s->n_cells;
    *best = 0;
    for (size_t c = 0; c < r->s->n_cells; c++) {
        double sum = 0;
        size_t n = 0;
        for (size_t i = 0; i < r->n; i++)
            if (r->runs[i].cell == c && r->runs[i].corpus == 0 && r->runs[i].state == DONE) {
                sum += r->runs[i].ua;
                n++;
            }
        if (n == 0 || sum / (double)n <= *best) continue;
        *best = sum / (double)n;
        found = c;
    }
    return found;
}

static void tell_finished(qv_ctx *ctx, runner *r, size_t done)
{
    for (size_t i = 0; i < r->n; i++) done -= r->runs[i].state == DONE && !r->runs[i].told;
    for (size_t i = 0; i < r->n; i++) {
        run *x = &r->runs[i];
        if (x->told || x->state != DONE) continue;
        x->told = true;
        done++;
        if (x->seconds == 0) continue; /* trained earlier or elsewhere */
        qv_buf b = {0};
        print_run(r, x, &b);
        if (!b.failed)
            qv_info(ctx, "[%zu/%zu] %s: UA %.3f, gap %.1f (%.0f s)", done, r->n, b.data, x->ua, x->gap, x->seconds);
        qv_buf_free(&b);
    }
}

static void watch(qv_ctx *ctx, void *user)
{
    runner *r = user;
    size_t counts[4] = {0};
    qv_buf note = {0};
    double ua;
    pthread_mutex_lock(&r->mutex);
    for (size_t i = 0; i < r->n; i++) counts[r->runs[i].state]++;
    tell_finished(ctx, r, counts[DONE]);
    double left = seconds_left(r);
    size_t best = best_cell(r, &ua);
    pthread_mutex_unlock(&r->mutex);
    qv_buf_printf(&note, "%zu running, %zu left", counts[MINE], counts[OPEN]);
    if (counts[FAILED]) qv_buf_printf(&note, ", %zu failed", counts[FAILED]);
    if (!isnan(left))
        qv_buf_printf(&note, left < 5400 ? ", %.0f min left" : ", %.1f h left",
                      left < 5400 ? ceil(left / 60) : left / 3600);
    if (best < r->s->n_cells) qv_buf_printf(&note, ", best so far %s %.3f", r->s->cells[best].name, ua);
    if (!note.failed) qv_report_note(ctx, "study", "runs", (double)counts[DONE], (double)r->n, note.data);
    qv_buf_free(&note);
}

/* ---- the whole ---- */

static qv_status open_runner(qv_ctx *ctx, runner *r, int seeds)
{
    qv_status status = QV_OK;
    qv_op_fn ops[QV_OP_COUNT];
    QV_TRY(list_runs(ctx, r, seeds));
    r->threads = qv_study_threads(&r->data, r->o);
    QV_TRY(qv_alloc(ctx, &r->share, (size_t)r->threads, sizeof *r->share));
    QV_TRY(qv_alloc(ctx, &r->at, (size_t)r->threads, sizeof *r->at));
    for (int t = 0; t < r->threads; t++) r->at[t] = r->n;
    QV_TRY(qv_program_hash(ctx, &r->maker.program));
    qv_cpu_ops(ops, qv_settings_isa(&r->s->cells[0].settings), &r->maker.isa);
    r->maker.gpu = r->data.gpu;
    QV_TRY(qv_run_lock_open(ctx, &r->lock, r->o->out));
done:
    return status;
}

static void close_runner(runner *r)
{
    qv_run_lock_close(&r->lock);
    qv_study_unload(&r->data, r->s);
    free(r->runs);
    free(r->share);
    free(r->at);
    free(r->failure);
    free(r->maker.program);
    pthread_mutex_destroy(&r->mutex);
}

static qv_status write_plan(qv_ctx *ctx, const runner *r, int seeds)
{
    qv_plan plan = {0};
    qv_status status = qv_plan_make(ctx, &plan, r->s, &r->data, seeds, r->o->command);
    if (status == QV_OK) status = qv_plan_write(ctx, &plan, r->o->out);
    qv_plan_free(&plan);
    return status;
}

/* Looks once for what is there already, so that the screen begins with it. */
static qv_status count_done(qv_ctx *ctx, runner *r)
{
    qv_status status = QV_OK;
    char *path = NULL;
    size_t done = 0;
    for (size_t i = 0; i < r->n; i++) {
        QV_TRY(path_of(ctx, r, &r->runs[i], &path));
        if (qv_path_exists(path)) {
            QV_TRY(check_record(ctx, r, &r->runs[i], path));
            r->runs[i].state = DONE;
            r->runs[i].told = true;
            done++;
        }
        free(path);
        path = NULL;
    }
    qv_info(ctx, "%zu cells, %zu runs%s, %zu done; %d threads, one training each", r->s->n_cells, r->n,
            r->o->shards > 1 ? " of this shard" : "", done, r->threads);
done:
    free(path);
    return status;
}

qv_status qv_study_run(qv_ctx *ctx, qv_study *s, const qv_study_options *o)
{
    qv_status status = QV_OK;
    runner r = {.s = s, .o = o, .lock = {.fd = -1}, .start = qv_now()};
    int seeds = o->seeds ? o->seeds : s->seeds;
    pthread_mutex_init(&r.mutex, NULL);
    QV_TRY(qv_study_load(ctx, &r.data, s, o));
    QV_TRY(qv_study_claim_folder(ctx, s, o->out));
    QV_TRY(open_runner(ctx, &r, seeds));
    QV_TRY(write_plan(ctx, &r, seeds));
    QV_TRY(count_done(ctx, &r));
    r.start = qv_now();
    status = qv_crew_run(ctx, &(qv_crew){r.threads, work, watch, &r, &r.stop});
    if (status == QV_ERR_INTERRUPTED) qv_info(ctx, "interrupted; finished runs are kept, and the same command goes on");
    if (status != QV_OK) goto done;
    QV_TRY(qv_study_report(ctx, o->out, NULL));
    if (r.failure) status = qv_fail(ctx, QV_ERR_NUMERIC, "%s", r.failure);
done:
    close_runner(&r);
    return status;
}
