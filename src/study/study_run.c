/* The runs of a study: who does which, and what the screen says meanwhile. */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/io.h"
#include "run/run.h"
#include "study/study_compare.h"
#include "study/study_report.h"
#include "study/study_reuse.h"
#include "study/study_train.h"

typedef enum run_state { OPEN, MINE, DONE, FAILED } run_state;

typedef struct run {
    qv_run_id id;
    double weight; /* steps that it takes, evaluations counted as such */
    run_state state;
    bool told;      /* its end was reported */
    bool elsewhere; /* another process trained it since this one began */
    double seconds; /* that it took here, 0: elsewhere or earlier */
    double worked;  /* share of its weight that those seconds went to: 1, but where it failed */
    double ua, gap;
    char *why; /* it failed; owned */
} run;

typedef struct runner {
    const qv_study *s;
    const qv_study_options *o;
    qv_study_corpora data;
    qv_plan plan;
    qv_maker maker;
    qv_run_lock lock;
    qv_reuse *others; /* [o->n_reuse] */
    run *runs;
    size_t n;
    int threads;
    volatile int stop;
    double start;
    pthread_mutex_t mutex; /* of all below, and of the runs' states */
    double *share;         /* [threads] of the run in flight that is done */
    size_t *at;            /* [threads] its index, n: none */
} runner;

/* ---- the list of runs ---- */

/* Steps of training, and of evaluation as if each were a third of one. */
static double weigh(const runner *r, const qv_run_id *id)
{
    const qv_study_data *d = qv_study_data_of(&r->data, id->corpus, id->cell);
    qv_run_size size = qv_study_run_size(&r->s->cells[id->cell].settings, d, &d->folds->folds[id->fold]);
    return size.steps + size.batches / 3;
}

/* The runs of a cell are dealt out as cards are, seed by seed and fold by fold, each cell beginning where the one
 * before ends after a seed: every shard gets as many of every cell as the next, give or take one, and the same ones
 * where seeds are added. fold: counted through all corpora. */
static bool is_of_shard(const runner *r, int seed, size_t cell, size_t fold)
{
    size_t folds = 0, shards = (size_t)r->o->shards;
    if (shards == 0) return true;
    for (size_t i = 0; i < r->plan.n_corpora; i++) folds += r->plan.corpora[i].n_folds;
    return (((size_t)seed + cell) * folds + fold) % shards == (size_t)r->o->shard - 1;
}

/* Seed by seed, so that what is there early is a whole study of fewer seeds; within it fold by fold. */
static qv_status list_runs(qv_ctx *ctx, runner *r)
{
    qv_status status = QV_OK;
    size_t cap = 0;
    for (int seed = 0; seed < r->plan.seeds; seed++)
        for (size_t corpus = 0, before = 0; corpus < r->plan.n_corpora; before += r->plan.corpora[corpus++].n_folds)
            for (size_t fold = 0; fold < r->plan.corpora[corpus].n_folds; fold++)
                for (size_t cell = 0; cell < r->s->n_cells; cell++) {
                    if (!is_of_shard(r, seed, cell, before + fold)) continue;
                    QV_TRY(qv_grow(ctx, &r->runs, &cap, r->n + 1, sizeof *r->runs));
                    run *x = &r->runs[r->n++];
                    *x = (run){.id = {corpus, fold, cell, r->s->first_seed + (uint64_t)seed}};
                    x->weight = weigh(r, &x->id);
                }
done:
    return status;
}

static qv_status path_of(qv_ctx *ctx, const runner *r, const run *x, char **path)
{
    return qv_run_path(ctx, path, r->s, &r->plan, r->o->out, &x->id);
}

static void print_run(const runner *r, const run *x, qv_buf *b)
{
    const qv_plan_corpus *c = &r->plan.corpora[x->id.corpus];
    if (r->s->n_corpora > 1) qv_buf_printf(b, "%s ", c->name);
    qv_buf_printf(b, "%s, fold %s, seed %llu", r->s->cells[x->id.cell].name, c->folds[x->id.fold].name,
                  (unsigned long long)x->id.seed);
}

/* How the run ended, and what the screen says of it, from the record that is there. */
static qv_status take_record(qv_ctx *ctx, const runner *r, run *x, const char *path)
{
    qv_study_record record = {0};
    qv_status status = qv_run_read(ctx, &record, r->s, &r->plan, &x->id, path);
    if (status != QV_OK) return status;
    const qv_record_scores *s = &record.running;
    x->state = record.failed ? FAILED : DONE;
    free(x->why);
    x->why = record.failed;
    record.failed = NULL;
    x->ua = 0;
    for (size_t i = 0; i < s->n_speakers; i++) x->ua += s->speakers[i].ua / (double)s->n_speakers;
    x->gap = 100 * (s->train.ua - x->ua);
    qv_study_record_free(&record);
    return QV_OK;
}

/* ---- workers ---- */

/* Of the studies that may serve the first that has trained the same. */
static qv_status reuse(qv_ctx *ctx, const runner *r, const qv_run_id *id, const char *path)
{
    bool taken = false;
    for (size_t i = 0; i < r->o->n_reuse && !taken; i++) {
        qv_status status = qv_reuse_take(ctx, &r->others[i], r->s, &r->plan, id, path, &taken);
        if (status != QV_OK) return status;
    }
    return QV_OK;
}

/* records/CORPUS/CELL/FILE, the same however OUT is spelled: the name of the run's lock. */
static const char *name_of(const char *path)
{
    const char *name = path + strlen(path);
    for (int parts = 4; name > path && !(name[-1] == '/' && --parts == 0);) name--;
    return name;
}

/* Makes the record's folder, and a file in it for a moment: that it can be written is known before the hours of a
 * training, and over NFS, which would else go on saying for half a minute that a record is missing that it did not find
 * before, the next look is a new one (nfs(5), "Directory entry caching"). */
static qv_status look_anew(qv_ctx *ctx, const char *path)
{
    char *folder;
    qv_status status = qv_path_dir(ctx, &folder, path);
    if (status != QV_OK) return status;
    status = qv_make_dirs(ctx, folder);
    if (status == QV_OK) qv_out_sweep(folder, qv_path_base(path));
    if (status == QV_OK) status = qv_out_try(ctx, path);
    free(folder);
    return status;
}

/* Held, looked at again and found missing: nobody else trains or has trained it, here or in a study that may serve. The
 * lock is kept where the run is *mine. */
static qv_status try_run(qv_ctx *ctx, runner *r, run *x, bool *mine)
{
    qv_status status = QV_OK;
    char *path = NULL;
    bool held = false;
    *mine = false;
    QV_TRY(path_of(ctx, r, x, &path));
    x->elsewhere = qv_path_exists(path);
    if (!x->elsewhere) {
        QV_TRY(qv_run_lock_take(ctx, &r->lock, name_of(path), false, &held));
        if (!held) goto done;
        QV_TRY(look_anew(ctx, path));
        x->elsewhere = qv_path_exists(path);
        if (!x->elsewhere) QV_TRY(reuse(ctx, r, &x->id, path));
    }
    *mine = !qv_path_exists(path);
    if (*mine)
        x->state = MINE;
    else
        QV_TRY(take_record(ctx, r, x, path));
done:
    if (held && !*mine) qv_run_lock_leave(&r->lock, name_of(path));
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

/* path: of the record, where there is one. All that the screen says of the run changes at once. */
static qv_status finish(qv_ctx *ctx, runner *r, int worker, size_t index, qv_status status, const char *path,
                        double seconds)
{
    run *x = &r->runs[index];
    pthread_mutex_lock(&r->mutex);
    if (status == QV_OK) status = take_record(ctx, r, x, path);
    if (status == QV_OK) {
        x->seconds = seconds;
        x->worked = x->state == FAILED ? r->share[worker] : 1;
    } else {
        x->state = OPEN;
    }
    r->at[worker] = r->n;
    pthread_mutex_unlock(&r->mutex);
    return status;
}

static qv_status train_one(qv_ctx *ctx, runner *r, int worker, size_t index)
{
    run *x = &r->runs[index];
    qv_status status = QV_OK;
    qv_study_record record = {0};
    char *path = NULL;
    double begin = qv_now();
    qv_study_job job = {
        .study = r->s, .data = qv_study_data_of(&r->data, x->id.corpus, x->id.cell), .maker = &r->maker, .run = x->id};
    QV_TRY(path_of(ctx, r, x, &path));
    QV_TRY(qv_study_train(ctx, &job, &record));
    QV_TRY(qv_study_record_write(ctx, &record, path));
done:
    status = finish(ctx, r, worker, index, status, path, qv_now() - begin);
    if (path) qv_run_lock_leave(&r->lock, name_of(path));
    qv_study_record_free(&record);
    free(path);
    return status;
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

/* Seconds to the end, by what the steps so far have cost all processes that work here. NaN before anything is known. */
static double seconds_left(const runner *r)
{
    double known = 0, left = 0;
    for (size_t i = 0; i < r->n; i++) known += r->runs[i].weight * (r->runs[i].elsewhere ? 1 : r->runs[i].worked);
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
            if (r->runs[i].id.cell == c && r->runs[i].id.corpus == 0 && r->runs[i].state == DONE) {
                sum += r->runs[i].ua;
                n++;
            }
        if (n == 0 || sum / (double)n <= *best) continue;
        *best = sum / (double)n;
        found = c;
    }
    return found;
}

static bool has_ended(const run *x) { return x->state == DONE || x->state == FAILED; }

/* ended: runs that have, told or not. */
static void tell_ended(qv_ctx *ctx, runner *r, size_t ended)
{
    for (size_t i = 0; i < r->n; i++) ended -= has_ended(&r->runs[i]) && !r->runs[i].told;
    for (size_t i = 0; i < r->n; i++) {
        run *x = &r->runs[i];
        if (x->told || !has_ended(x)) continue;
        x->told = true;
        ended++;
        if (x->seconds == 0) continue; /* trained earlier or elsewhere */
        qv_buf b = {0};
        print_run(r, x, &b);
        if (x->state == FAILED)
            qv_buf_printf(&b, " failed: %s", x->why);
        else
            qv_buf_printf(&b, ": UA %.3f, gap %.1f (%.0f s)", x->ua, x->gap, x->seconds);
        if (!b.failed) qv_info(ctx, "[%zu/%zu] %s", ended, r->n, b.data);
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
    tell_ended(ctx, r, counts[DONE] + counts[FAILED]);
    double left = seconds_left(r);
    size_t best = best_cell(r, &ua);
    pthread_mutex_unlock(&r->mutex);
    qv_buf_printf(&note, "%zu running, %zu left", counts[MINE], counts[OPEN]);
    if (counts[FAILED]) qv_buf_printf(&note, ", %zu failed", counts[FAILED]);
    if (!isnan(left))
        qv_buf_printf(&note, left < 5400 ? ", %.0f min left" : ", %.1f h left",
                      left < 5400 ? ceil(left / 60) : left / 3600);
    if (best < r->s->n_cells) qv_buf_printf(&note, ", best so far %s %.3f", r->s->cells[best].name, ua);
    const double ended = (double)(counts[DONE] + counts[FAILED]);
    if (!note.failed) qv_report_note(ctx, "study", "runs", ended, (double)r->n, note.data);
    qv_buf_free(&note);
}

/* ---- the whole ---- */

static qv_status open_runner(qv_ctx *ctx, runner *r)
{
    qv_status status = QV_OK;
    qv_op_fn ops[QV_OP_COUNT];
    QV_TRY(list_runs(ctx, r));
    r->threads = qv_study_threads(&r->data, r->o);
    QV_TRY(qv_alloc(ctx, &r->share, (size_t)r->threads, sizeof *r->share));
    QV_TRY(qv_alloc(ctx, &r->at, (size_t)r->threads, sizeof *r->at));
    for (int t = 0; t < r->threads; t++) r->at[t] = r->n;
    QV_TRY(qv_program_hash(ctx, &r->maker.program));
    qv_cpu_ops(ops, qv_settings_isa(&r->s->cells[0].settings), &r->maker.isa);
    r->maker.gpu = r->data.gpu;
    QV_TRY(qv_alloc(ctx, &r->others, r->o->n_reuse, sizeof *r->others));
    for (size_t i = 0; i < r->o->n_reuse; i++) QV_TRY(qv_reuse_open(ctx, &r->others[i], r->o->reuse[i], &r->plan));
done:
    return status;
}

/* Makes the folder this study's and settles its plan, one process at a time: what another settles meanwhile, more seeds
 * say, is not undone. Another plan may take the place of the folder's only where no process works by that. */
static qv_status settle(qv_ctx *ctx, runner *r)
{
    static const char plan[] = "plan", running[] = "running";
    const char *out = r->o->out;
    qv_status status = QV_OK;
    bool taken, alone;
    QV_TRY(qv_make_dirs(ctx, out));
    QV_TRY(qv_run_lock_open(ctx, &r->lock, out));
    QV_TRY(qv_run_lock_take(ctx, &r->lock, plan, true, &taken));
    qv_out_sweep(out, "study.ini");
    qv_out_sweep(out, "plan.json");
    QV_TRY(qv_study_claim_folder(ctx, r->s, out));
    QV_TRY(qv_run_lock_take(ctx, &r->lock, running, false, &alone));
    QV_TRY(qv_plan_settle(ctx, &r->plan, r->s, out, r->o->seeds, alone));
    QV_TRY(qv_plan_write(ctx, &r->plan, out));
    QV_TRY(qv_run_lock_share(ctx, &r->lock, running));
done:
    if (r->lock.fd >= 0) qv_run_lock_leave(&r->lock, plan);
    return status;
}

static void close_runner(runner *r)
{
    qv_run_lock_close(&r->lock);
    for (size_t i = 0; r->others && i < r->o->n_reuse; i++) qv_reuse_close(&r->others[i]);
    free(r->others);
    qv_study_unload(&r->data, r->s);
    qv_plan_free(&r->plan);
    for (size_t i = 0; i < r->n; i++) free(r->runs[i].why);
    free(r->runs);
    free(r->share);
    free(r->at);
    free(r->maker.program);
    pthread_mutex_destroy(&r->mutex);
}

/* What the folder has of the run, or another study that may serve. */
static qv_status look_at(qv_ctx *ctx, runner *r, run *x)
{
    qv_status status = QV_OK;
    char *path = NULL;
    bool mine;
    QV_TRY(path_of(ctx, r, x, &path));
    if (qv_path_exists(path)) {
        QV_TRY(take_record(ctx, r, x, path));
    } else if (r->o->n_reuse) {
        QV_TRY(try_run(ctx, r, x, &mine));
        if (!mine) goto done;
        x->state = OPEN; /* its turn comes */
        qv_run_lock_leave(&r->lock, name_of(path));
    }
done:
    free(path);
    return status;
}

/* Looks once for what is there already, so that the screen begins with it. */
static qv_status count_done(qv_ctx *ctx, runner *r)
{
    qv_status status = QV_OK;
    size_t done = 0, failed = 0;
    char which[64] = "";
    for (size_t i = 0; i < r->n; i++) {
        run *x = &r->runs[i];
        QV_TRY(qv_poll(ctx));
        QV_TRY(look_at(ctx, r, x));
        x->told = has_ended(x);
        x->elsewhere = false; /* before the clock began */
        done += x->told;
        failed += x->state == FAILED;
    }
    if (failed) snprintf(which, sizeof which, ", %zu of them failed", failed);
    qv_info(ctx, "%zu cell%s, %zu run%s%s, %zu done%s; %d at a time, a thread each", r->s->n_cells,
            r->s->n_cells == 1 ? "" : "s", r->n, r->n == 1 ? "" : "s", r->o->shards > 1 ? " of this shard" : "", done,
            which, r->threads);
done:
    return status;
}

qv_status qv_study_run(qv_ctx *ctx, qv_study *s, const qv_study_options *o, char **answer)
{
    qv_status status = QV_OK;
    runner r = {.s = s, .o = o, .lock = {.fd = -1}};
    bool begun;
    pthread_mutex_init(&r.mutex, NULL);
    QV_TRY(qv_study_check_folder(ctx, s, o->out, &begun)); /* before anything lies there, or takes long */
    QV_TRY(qv_study_load(ctx, &r.data, s, o));
    QV_TRY(qv_plan_make(ctx, &r.plan, s, &r.data, o->command));
    QV_TRY(settle(ctx, &r));
    qv_plan_warn(ctx, s, &r.plan);
    QV_TRY(open_runner(ctx, &r));
    QV_TRY(count_done(ctx, &r));
    r.start = qv_now();
    status = qv_crew_run(ctx, &(qv_crew){r.threads, work, watch, &r, &r.stop});
    if (status == QV_ERR_INTERRUPTED) qv_info(ctx, "interrupted; finished runs are kept, and the same command goes on");
    if (status != QV_OK) goto done;
    qv_run_lock_close(&r.lock); /* the report takes one of its own */
    QV_TRY(qv_study_report(ctx, o->out, NULL, answer));
done:
    close_runner(&r);
    return status;
}
