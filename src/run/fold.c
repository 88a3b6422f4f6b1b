#include "run/fold.h"

#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "run/events.h"
#include "train/checkpoint.h"
#include "train/metrics.h"
#include "train/recalibrate.h"
#include "train/snapshot.h"

static const qv_part parts[QV_FOLD_PARTS] = {QV_PART_TRAIN, QV_PART_VAL, QV_PART_TEST};

typedef struct fold_state {
    const qv_fold_job *job;
    qv_dataset *data;
    qv_trainer *trainer;
    qv_fold_part part[QV_FOLD_PARTS];
    size_t *confusion;
    int classes;
    qv_checkpoint_info info;
    char **heard; /* [n_heard] names of speakers, for info */
    int n_heard;
    qv_loss loss;      /* of the epoch at hand */
    char task[48];     /* what its progress is reported as */
    char *last, *best; /* paths; NULL where nothing is written */
    qv_snapshot best_weights;
    qv_events *events;     /* NULL where nothing is written */
    double seconds_before; /* of the epochs that an earlier process did */
    double start;
} fold_state;

static qv_status collect_part(qv_ctx *ctx, fold_state *s, int k)
{
    const qv_fold_job *job = s->job;
    qv_fold_part *p = &s->part[k];
    qv_status status = QV_OK;
    QV_TRY(qv_alloc(ctx, &p->items, job->manifest->n, sizeof *p->items));
    for (size_t i = 0; i < job->manifest->n; i++)
        if (job->fold->part[i] == parts[k] && job->features->entries[i].frames > 0) p->items[p->n++] = i;
    QV_TRY(qv_alloc(ctx, &p->probs, p->n * (size_t)s->classes, sizeof *p->probs));
done:
    return status;
}

qv_status qv_fold_check_training(qv_ctx *ctx, const qv_manifest *m, const qv_features *f, const qv_fold *fold)
{
    for (int class = 0; class < m->n_classes; class ++) {
        size_t i = 0;
        while (i < m->n && !(m->items[i].label == class && fold->part[i] == QV_PART_TRAIN && f->entries[i].frames > 0))
            i++;
        if (i == m->n)
            return qv_fail(ctx, QV_ERR_DATA,
                           "fold %s: no recording of the class %s that could be read is left to train on", fold->name,
                           m->classes[class]);
    }
    return QV_OK;
}

static qv_status make_dataset(qv_ctx *ctx, fold_state *s)
{
    const qv_fold_job *job = s->job;
    bool *in_training;
    qv_status status = qv_alloc(ctx, &in_training, job->manifest->n, sizeof *in_training);
    if (status != QV_OK) return status;
    for (size_t i = 0; i < job->manifest->n; i++) in_training[i] = job->fold->part[i] == QV_PART_TRAIN;
    status = qv_dataset_new_training(ctx, &s->data, job->manifest, job->features, job->settings, in_training);
    free(in_training);
    return status;
}

static qv_status check_patience(qv_ctx *ctx, const qv_settings *s, const qv_fold *fold, size_t val)
{
    if (s->patience == 0 || (s->epoch_rule == QV_EPOCH_BEST && val > 0)) return QV_OK;
    return qv_fail(
        ctx, QV_ERR_USAGE,
        "eval.patience = %d needs eval.epoch = best and recordings to judge by: split.val_speakers, or a part val in "
        "the folds (fold %s has %zu)",
        s->patience, fold->name, val);
}

/* Recordings that were held out to choose an epoch by, and are all lost, do not make it the last one in silence. */
static qv_status check_choice(qv_ctx *ctx, const qv_settings *s, const qv_fold *fold, size_t val)
{
    if (s->epoch_rule == QV_EPOCH_LAST || val > 0 || fold->items[QV_PART_VAL] == 0) return QV_OK;
    return qv_fail(
        ctx, QV_ERR_DATA,
        "eval.epoch = best has nothing to judge by in fold %s: of its %zu validation recordings none can be read",
        fold->name, fold->items[QV_PART_VAL]);
}

/* Recordings of a part that can be read; f NULL: all of it. */
static size_t part_size(const qv_manifest *m, const qv_features *f, const qv_fold *fold, qv_part part)
{
    if (!f) return fold->items[part];
    size_t n = 0;
    for (size_t i = 0; i < m->n; i++) n += fold->part[i] == part && f->entries[i].frames > 0;
    return n;
}

static qv_status check_voices(qv_ctx *ctx, const qv_settings *s, const qv_manifest *m, const qv_fold *fold)
{
    const char *what = s->normalize == QV_NORM_SPEAKER ? "features.normalize = speaker" : s->voices > 0 ? "augment.voices" : NULL;
    for (size_t i = 0; what && i < m->n; i++)
        if (fold->part[i] != QV_PART_UNUSED && strcmp(m->items[i].speaker, QV_NO_SPEAKER) == 0)
            return qv_fail(ctx, QV_ERR_USAGE, "%s is about voices, but %s does not say who speaks everywhere", what, m->path);
    return QV_OK;
}

qv_status qv_fold_check_plan(qv_ctx *ctx, const qv_settings *s, const qv_manifest *m, const qv_features *f,
                             const qv_folds *folds, size_t *parameters)
{
    qv_status status = QV_OK;
    qv_net *net = NULL;
    qv_net_config c = qv_settings_net(s);
    size_t least = SIZE_MAX;
    for (size_t i = 0; i < folds->n; i++) {
        const qv_fold *fold = &folds->folds[i];
        const size_t n = part_size(m, f, fold, QV_PART_TRAIN), val = part_size(m, f, fold, QV_PART_VAL);
        QV_TRY(check_voices(ctx, s, m, fold));
        QV_TRY(check_patience(ctx, s, fold, val));
        QV_TRY(check_choice(ctx, s, fold, val));
        if (n < least) least = n;
    }
    QV_TRY(qv_checkpoint_check_size(ctx, s));
    c.classes = m->n_classes;
    c.set_size = (int)least;
    QV_TRY(qv_net_new(ctx, &net, &c, NULL));
    *parameters = (size_t)net->parameters;
    qv_net_free(net);
done:
    return status;
}

void qv_fold_warn_of_choice(qv_ctx *ctx, const char *who, const qv_settings *s, const qv_folds *folds)
{
    const bool any = qv_folds_validated(folds);
    if (s->epoch_rule != QV_EPOCH_BEST) return;
    if (!any)
        qv_warn(ctx,
                "%seval.epoch = best has no validation recordings to judge by, so the last epoch counts; "
                "split.val_speakers = N holds speakers out for it",
                who);
    for (size_t i = 0; i < folds->n && any; i++) /* a random split of few recordings may leave one without */
        if (folds->folds[i].items[QV_PART_VAL] == 0)
            qv_warn(ctx, "%sfold %s has no validation recordings to judge by, so its last epoch counts", who,
                    folds->folds[i].name);
}

/* Whom these weights know, whoever else is trained on now. */
static qv_status note_heard(qv_ctx *ctx, fold_state *s, const qv_checkpoint *c)
{
    qv_status status = QV_OK;
    QV_TRY(qv_alloc(ctx, &s->heard, (size_t)c->n_speakers, sizeof *s->heard));
    for (int i = 0; i < c->n_speakers; i++) {
        QV_TRY(qv_strdup(ctx, &s->heard[i], c->speakers[i]));
        s->n_heard++;
    }
    s->info.heard = s->heard;
    s->info.n_heard = s->n_heard;
done:
    return status;
}

/* train.init_from */
static qv_status start_from(qv_ctx *ctx, fold_state *s)
{
    const qv_fold_job *job = s->job;
    qv_checkpoint *c = NULL;
    bool new_head = false;
    qv_status status = QV_OK;
    if (!*job->settings->init_from) return QV_OK;
    QV_TRY(qv_checkpoint_open(ctx, &c, job->settings->init_from));
    QV_TRY(qv_checkpoint_start(ctx, c, s->trainer, job->settings, job->manifest->classes, s->classes, &new_head));
    QV_TRY(note_heard(ctx, s, c));
    if (job->index == 0)
        qv_info(ctx, "begins with the weights of %s%s", c->path,
                new_head ? "; the classifier is new, for other classes or another head" : "");
done:
    qv_checkpoint_close(c);
    return status;
}

/* For the embeddings, whose size is the network's. */
static qv_status make_room(qv_ctx *ctx, fold_state *s)
{
    const size_t dims = (size_t)qv_trainer_net(s->trainer)->embedding_size;
    qv_status status = QV_OK;
    if (!s->job->embeddings) return QV_OK;
    for (int k = 0; k < QV_FOLD_PARTS; k++)
        QV_TRY(qv_alloc(ctx, &s->part[k].embeddings, s->part[k].n * dims, sizeof(double)));
done:
    return status;
}

static qv_status open_fold(qv_ctx *ctx, fold_state *s)
{
    const qv_fold_job *job = s->job;
    qv_status status = QV_OK;
    s->classes = job->manifest->n_classes;
    s->info.best_ua = -1;
    QV_TRY(qv_alloc(ctx, &s->confusion, (size_t)s->classes * (size_t)s->classes, sizeof *s->confusion));
    for (int k = 0; k < QV_FOLD_PARTS; k++) QV_TRY(collect_part(ctx, s, k));
    QV_TRY(check_patience(ctx, job->settings, job->fold, s->part[QV_FOLD_VAL].n));
    QV_TRY(make_dataset(ctx, s));
    snprintf(s->task, sizeof s->task, "training fold %d/%d", job->index + 1, job->count);
    qv_trainer_options o = {.items = s->part[QV_FOLD_TRAIN].items,
                            .n_items = s->part[QV_FOLD_TRAIN].n,
                            .fold = (uint64_t)job->index,
                            .task = s->task,
                            .pool = job->pool,
                            .gpu = job->gpu,
                            .measure = job->even != NULL,
                            .embeddings = job->embeddings};
    QV_TRY(qv_trainer_new(ctx, &s->trainer, job->settings, s->data, &o, s->classes));
    QV_TRY(make_room(ctx, s));
    if (!job->folder) goto done;
    QV_TRY(qv_path_join(ctx, &s->last, job->folder, "last.safetensors"));
    QV_TRY(qv_path_join(ctx, &s->best, job->folder, "best.safetensors"));
done:
    return status;
}

static void close_fold(fold_state *s)
{
    for (int k = 0; k < QV_FOLD_PARTS; k++) {
        free(s->part[k].items);
        free(s->part[k].probs);
        free(s->part[k].embeddings);
    }
    qv_trainer_free(s->trainer);
    qv_dataset_free(s->data);
    qv_snapshot_free(&s->best_weights);
    qv_free_texts(s->heard, (size_t)s->n_heard);
    free(s->confusion);
    qv_events_close(s->events);
    free(s->last);
    free(s->best);
}

/* The place in the training that the checkpoint claims. */
static qv_status take_place(qv_ctx *ctx, fold_state *s, const qv_checkpoint *c)
{
    uint64_t border = qv_trainer_steps(s->trainer, c->info.epoch),
             next = qv_trainer_steps(s->trainer, c->info.epoch + 1);
    if (c->info.step < border || c->info.step > next || c->info.loss.steps != c->info.step - border)
        return qv_fail(ctx, QV_ERR_DATA,
                       "%s: step %llu with the losses of %llu steps does not come after epoch %d; --force starts anew",
                       s->last, (unsigned long long)c->info.step, (unsigned long long)c->info.loss.steps,
                       c->info.epoch);
    s->info = c->info;
    s->loss = c->info.loss;
    s->info.loss = (qv_loss){0};
    return QV_OK;
}

/* A checkpoint of the folder, as this very fold's training has left it? One of another fold has heard the test. */
static qv_status check_ours(qv_ctx *ctx, const fold_state *s, const qv_checkpoint *c)
{
    const qv_fold_job *job = s->job;
    qv_buf values = {0};
    qv_status status = QV_OK;
    const char *differs = qv_settings_differ(&c->settings, job->settings, "", &values);
    bool same = c->n_classes == s->classes;
    for (int k = 0; same && k < s->classes; k++) same = strcmp(c->classes[k], job->manifest->classes[k]) == 0;
    if (differs)
        status = qv_fail(ctx, QV_ERR_USAGE, "%s was trained with another %s (%s); --force starts anew", c->path, differs,
                         values.failed ? "" : values.data);
    else if (!same)
        status = qv_fail(ctx, QV_ERR_DATA, "%s tells other classes apart than this training; --force starts anew", c->path);
    else if (strcmp(c->fold, job->fold->name) != 0)
        status = qv_fail(ctx, QV_ERR_DATA, "%s is of fold %s, not of fold %s; --force starts anew", c->path, c->fold,
                         job->fold->name);
    qv_buf_free(&values);
    return status;
}

/* Goes on from the fold's checkpoint where there is one, else begins as the settings say. */
static qv_status place_fold(qv_ctx *ctx, fold_state *s)
{
    const qv_fold_job *job = s->job;
    qv_checkpoint *c = NULL;
    qv_status status = QV_OK;
    if (!job->resume || !s->last || !qv_path_exists(s->last)) {
        qv_records_drop(job->records, job->fold->name, 0);
        return start_from(ctx, s);
    }
    QV_TRY(qv_checkpoint_open(ctx, &c, s->last));
    QV_TRY(check_ours(ctx, s, c));
    QV_TRY(qv_checkpoint_load(ctx, c, s->trainer, true));
    QV_TRY(take_place(ctx, s, c));
    QV_TRY(note_heard(ctx, s, c));
    qv_records_drop(job->records, job->fold->name, s->info.epoch);
    for (size_t i = 0; i < job->records->n_rows; i++)
        if (strcmp(job->records->rows[i].fold, job->fold->name) == 0) s->seconds_before = job->records->rows[i].seconds;
    qv_info(ctx, "fold %s: going on after step %llu, in epoch %d", job->fold->name, (unsigned long long)c->info.step,
            s->info.epoch + (s->info.epoch < job->settings->epochs));
done:
    qv_checkpoint_close(c);
    return status;
}

/* UA and WA of one part; NaN where it is empty. embeddings: its own, to be filled; NULL: nobody looks at them. */
static qv_status score_part(qv_ctx *ctx, fold_state *s, int k, bool full, double *embeddings, double *ua, double *wa)
{
    qv_fold_part *p = &s->part[k];
    *ua = *wa = NAN;
    if (p->n == 0) return QV_OK;
    qv_status status = qv_trainer_embed(ctx, s->trainer, p->items, p->n, full, p->probs, embeddings);
    if (status != QV_OK) return status;
    memset(s->confusion, 0, (size_t)s->classes * (size_t)s->classes * sizeof *s->confusion);
    for (size_t i = 0; i < p->n; i++) {
        int truth = s->job->manifest->items[p->items[i]].label;
        s->confusion[truth * s->classes + qv_largest(p->probs + i * (size_t)s->classes, s->classes)]++;
    }
    *ua = qv_confusion_ua(s->confusion, s->classes);
    *wa = qv_confusion_wa(s->confusion, s->classes);
    return QV_OK;
}

static qv_status save(qv_ctx *ctx, fold_state *s, const char *path)
{
    if (!path) return QV_OK;
    s->info.step = qv_trainer_step(s->trainer);
    return qv_checkpoint_save(ctx, s->trainer, s->job->settings, s->data, s->job->fold->name, &s->info, path);
}

static void print_ua(qv_buf *b, const char *name, double ua)
{
    if (isfinite(ua)) qv_buf_printf(b, "  %s %.3f", name, ua);
}

/* One line an epoch. The figure for test is drawn, never used: it stands in brackets. */
static void print_epoch(qv_ctx *ctx, const fold_state *s, const qv_epoch_row *row)
{
    const qv_fold_job *job = s->job;
    qv_buf b = {0};
    int epochs = job->settings->epochs;
    qv_buf_printf(&b, "fold %s (%d/%d)  epoch %3d/%d  loss %.4f", job->fold->name, job->index + 1, job->count,
                  row->epoch, epochs, row->loss);
    print_ua(&b, "UA train", row->train_ua);
    print_ua(&b, "val", row->val_ua);
    if (isfinite(row->val_ua)) qv_buf_printf(&b, "  gap %.1f", 100 * (row->train_ua - row->val_ua));
    if (isfinite(row->test_ua))
        qv_buf_printf(&b, "  [test %.3f, gap %.1f]", row->test_ua, 100 * (row->train_ua - row->test_ua));
    qv_buf_printf(&b, "  lr %.4f  %.0f/s", row->lr, row->rate);
    double left = row->seconds / row->epoch * (epochs - row->epoch);
    if (row->epoch < epochs) qv_buf_printf(&b, "  %.0f s left", left);
    bool evaluated = isfinite(row->train_ua);
    if (!b.failed) evaluated ? qv_info(ctx, "%s", b.data) : qv_debug(ctx, "%s", b.data);
    qv_buf_free(&b);
}

/* To so many parts of one: clocks do not know more, and files are easier to read. */
static double rounded(double x, double parts_of_one) { return round(x * parts_of_one) / parts_of_one; }

static bool better(const fold_state *s, double val_ua) { return isfinite(val_ua) && val_ua > s->info.best_ua; }

/* After an epoch whose number asks for it: quick evaluation, checkpoints, records. */
static qv_status evaluate_epoch(qv_ctx *ctx, fold_state *s, qv_epoch_row *row)
{
    const qv_fold_job *job = s->job;
    qv_status status = QV_OK;
    double wa;
    QV_TRY(score_part(ctx, s, 0, false, NULL, &row->train_ua, &wa));
    QV_TRY(score_part(ctx, s, 1, false, NULL, &row->val_ua, &wa));
    QV_TRY(score_part(ctx, s, 2, false, NULL, &row->test_ua, &wa));
    if (job->settings->epoch_rule == QV_EPOCH_BEST && better(s, row->val_ua)) {
        s->info.best_ua = row->val_ua;
        s->info.best_epoch = row->epoch;
        QV_TRY(s->best ? save(ctx, s, s->best) : qv_snapshot_take(ctx, &s->best_weights, s->trainer));
    }
done:
    return status;
}

/* In the middle of an epoch: leaves all that going on from this very step needs. */
static qv_status keep_place(qv_ctx *ctx, fold_state *s, int epoch, const char *why)
{
    const qv_fold_job *job = s->job;
    qv_status status = QV_OK;
    if (!job->folder) return QV_OK;
    s->info.epoch = epoch - 1;
    s->info.loss = s->loss;
    QV_TRY(qv_records_write(ctx, job->records, job->run));
    QV_TRY(save(ctx, s, s->last));
    s->info.loss = (qv_loss){0};
    qv_info(ctx, "%s in fold %s after step %llu of %llu; --resume goes on from there", why, job->fold->name,
            (unsigned long long)s->info.step, (unsigned long long)qv_trainer_steps(s->trainer, job->settings->epochs));
done:
    return status;
}

/* The steps of one epoch, with a checkpoint wherever one is asked for meanwhile. */
static qv_status run_epoch(qv_ctx *ctx, fold_state *s, int epoch)
{
    qv_status status = QV_OK;
    uint64_t end = qv_trainer_steps(s->trainer, epoch);
    do {
        QV_TRY(qv_trainer_run(ctx, s->trainer, (uint64_t)epoch, &s->loss));
        if (qv_trainer_step(s->trainer) < end) QV_TRY(keep_place(ctx, s, epoch, "saved"));
    } while (qv_trainer_step(s->trainer) < end);
done:
    return status;
}

/* The k newest of the evaluated epochs stay under names of their own: run.keep. */
static qv_status keep_newest(qv_ctx *ctx, fold_state *s, int epoch)
{
    int keep = s->job->settings->keep, every = s->job->settings->eval_every;
    int before = epoch / every + (epoch % every != 0) - keep; /* evaluations up to the one whose checkpoint goes */
    char name[40];
    char *path = NULL;
    qv_status status = QV_OK;
    if (keep == 0 || !s->job->folder) return QV_OK;
    snprintf(name, sizeof name, "epoch-%04d.safetensors", epoch);
    QV_TRY(qv_path_join(ctx, &path, s->job->folder, name));
    QV_TRY(save(ctx, s, path));
    if (before <= 0) goto done;
    free(path);
    snprintf(name, sizeof name, "epoch-%04d.safetensors", before * every);
    QV_TRY(qv_path_join(ctx, &path, s->job->folder, name));
    if (remove(path) != 0 && errno != ENOENT) status = qv_fail_errno(ctx, "cannot remove %s", path);
done:
    free(path);
    return status;
}

static qv_status one_epoch(qv_ctx *ctx, fold_state *s, int epoch)
{
    const qv_fold_job *job = s->job;
    qv_status status = QV_OK;
    uint64_t first = qv_trainer_step(s->trainer), last = qv_trainer_steps(s->trainer, epoch) - 1;
    qv_epoch_row row = {
        .epoch = epoch, .lr = qv_trainer_rate(s->trainer, last), .train_ua = NAN, .val_ua = NAN, .test_ua = NAN};
    snprintf(row.fold, sizeof row.fold, "%s", job->fold->name);
    double begin = qv_now();
    QV_TRY(run_epoch(ctx, s, epoch));
    row.loss = s->loss.sum / (double)s->loss.steps;
    row.step = qv_trainer_step(s->trainer);
    row.rate = rounded((double)(row.step - first) * job->settings->batch / fmax(qv_now() - begin, 1e-9), 10);
    s->info.epoch = epoch;
    bool evaluate = epoch % job->settings->eval_every == 0 || epoch == job->settings->epochs;
    if (evaluate) QV_TRY(evaluate_epoch(ctx, s, &row));
    row.seconds = rounded(s->seconds_before + qv_now() - s->start, 1000);
    QV_TRY(qv_records_add_row(ctx, job->records, &row));
    if (s->events) QV_TRY(qv_events_add(ctx, s->events, &row));
    if (evaluate) {
        if (job->run) QV_TRY(qv_records_write(ctx, job->records, job->run));
        QV_TRY(save(ctx, s, s->last));
        QV_TRY(keep_newest(ctx, s, epoch));
    }
    s->loss = (qv_loss){0};
    print_epoch(ctx, s, &row);
done:
    return status;
}

/* When the caller wants to end in the middle of an epoch. QV_ERR_INTERRUPTED, or why nothing could be kept. */
static qv_status leave_epoch(qv_ctx *ctx, fold_state *s, int epoch)
{
    qv_status status = keep_place(ctx, s, epoch, "interrupted");
    return status == QV_OK ? QV_ERR_INTERRUPTED : status;
}

/* Adds to why the numbers broke what is left of the work and what to try. */
static qv_status numbers_broke(qv_ctx *ctx, const fold_state *s)
{
    const qv_fold_job *job = s->job;
    bool saved = s->last && qv_path_exists(s->last);
    const char *kept = saved ? "; the last good checkpoint is " : s->last ? "; there is no checkpoint yet" : "";
    return qv_fail(
        ctx, QV_ERR_NUMERIC,
        "fold %s, after step %llu: %s; try a lower train.lr (now %g), a longer train.warmup, or look for broken "
        "recordings%s%s",
        job->fold->name, (unsigned long long)qv_trainer_step(s->trainer), qv_ctx_message(ctx), job->settings->lr, kept,
        saved ? s->last : "");
}

/* The weights of the epoch that counts, in the trainer and in best.safetensors; *chosen: what stands with them there.
 */
static qv_status choose_epoch(qv_ctx *ctx, fold_state *s, qv_checkpoint_info *chosen)
{
    qv_status status = QV_OK;
    qv_checkpoint *c = NULL;
    if (s->job->settings->epoch_rule == QV_EPOCH_LAST || s->info.best_epoch == 0) {
        s->info.best_epoch = s->info.epoch;
        status = save(ctx, s, s->best);
        *chosen = s->info;
        return status;
    }
    if (!s->best) {
        qv_snapshot_restore(&s->best_weights, s->trainer);
        return QV_OK;
    }
    QV_TRY(qv_checkpoint_open(ctx, &c, s->best));
    QV_TRY(check_ours(ctx, s, c));
    QV_TRY(qv_checkpoint_load(ctx, c, s->trainer, true));
    *chosen = c->info;
    chosen->heard = s->heard;
    chosen->n_heard = s->n_heard;
done:
    qv_checkpoint_close(c);
    return status;
}

/* The weights that count, with the statistics that the settings want with them. */
static qv_status choose_weights(qv_ctx *ctx, fold_state *s)
{
    qv_checkpoint_info chosen = {0};
    qv_status status = choose_epoch(ctx, s, &chosen);
    if (status != QV_OK || s->job->settings->bn_eval == QV_BN_RUNNING) return status;
    status = qv_recalibrate(ctx, s->trainer, s->data);
    if (status != QV_OK || !s->best) return status;
    return qv_checkpoint_save(ctx, s->trainer, s->job->settings, s->data, s->job->fold->name, &chosen, s->best);
}

static qv_status record_predictions(qv_ctx *ctx, fold_state *s, int k, qv_records *records)
{
    const qv_manifest *m = s->job->manifest;
    const qv_fold_part *p = &s->part[k];
    for (size_t i = 0; i < p->n; i++) {
        const qv_item *item = &m->items[p->items[i]];
        double *probs = p->probs + i * (size_t)s->classes;
        qv_prediction row = {.file = item->name,
                             .speaker = item->speaker,
                             .truth = item->label,
                             .predicted = qv_largest(probs, s->classes),
                             .probs = probs};
        qv_item_part(item, row.place);
        snprintf(row.fold, sizeof row.fold, "%s", s->job->fold->name);
        snprintf(row.part, sizeof row.part, "%s", parts[k] == QV_PART_VAL ? "val" : "test");
        qv_status status = qv_records_add_prediction(ctx, records, &row);
        if (status != QV_OK) return status;
    }
    return QV_OK;
}

static int count_speakers(const fold_state *s, int k)
{
    const qv_manifest *m = s->job->manifest;
    int n = 0;
    for (int speaker = 0; speaker < m->n_speakers; speaker++)
        for (size_t i = 0; i < s->part[k].n; i++)
            if (m->items[s->part[k].items[i]].speaker_id == speaker) {
                n++;
                break;
            }
    return n;
}

static qv_status final_scores(qv_ctx *ctx, fold_state *s, qv_fold_summary *out, qv_records *records, bool embed)
{
    qv_status status = QV_OK;
    qv_part_score *scores[QV_FOLD_PARTS] = {&out->train, &out->val, &out->test};
    for (int k = 0; k < QV_FOLD_PARTS; k++) {
        scores[k]->n = s->part[k].n;
        scores[k]->speakers = count_speakers(s, k);
        double *embeddings = embed ? s->part[k].embeddings : NULL;
        QV_TRY(score_part(ctx, s, k, true, embeddings, &scores[k]->ua, &scores[k]->wa));
        if (k > 0) QV_TRY(record_predictions(ctx, s, k, records));
    }
    out->epoch = s->info.best_epoch;
    out->overlap = s->job->fold->overlap;
    out->seconds = s->seconds_before + qv_now() - s->start;
done:
    return status;
}

/* No better epoch for as many evaluations as the settings wait. Follows from the checkpoint, so that a resumed
 * training ends where it would have. */
static bool out_of_patience(qv_ctx *ctx, const fold_state *s)
{
    const qv_settings *t = s->job->settings;
    if (t->patience == 0 || s->info.best_epoch == 0 || s->info.epoch >= t->epochs) return false;
    if ((s->info.epoch - s->info.best_epoch) / t->eval_every < t->patience) return false;
    qv_info(ctx, "fold %s ends with epoch %d: epoch %d stays the best on val", s->job->fold->name, s->info.epoch,
            s->info.best_epoch);
    return true;
}

/* After the last epoch. */
static qv_status judge(qv_ctx *ctx, fold_state *s, qv_fold_summary *out)
{
    const qv_fold_job *job = s->job;
    qv_status status = QV_OK;
    QV_TRY(choose_weights(ctx, s));
    QV_TRY(final_scores(ctx, s, out, job->records, true));
    if (job->finished) QV_TRY(job->finished(ctx, job->user, s->trainer, s->data, s->part));
    if (!job->even) goto done;
    QV_TRY(qv_recalibrate(ctx, s->trainer, s->data));
    QV_TRY(final_scores(ctx, s, job->even, job->even_records, false));
done:
    return status;
}

qv_status qv_fold_train(qv_ctx *ctx, const qv_fold_job *job, qv_fold_summary *out)
{
    qv_status status = QV_OK;
    fold_state s = {.job = job, .start = qv_now()};
    QV_TRY(open_fold(ctx, &s));
    QV_TRY(place_fold(ctx, &s));
    if (job->folder && s.info.epoch < job->settings->epochs)
        QV_TRY(qv_events_open(ctx, &s.events, job->folder, qv_trainer_step(s.trainer) + 1));
    *job->parameters = (size_t)qv_trainer_net(s.trainer)->parameters;
    if (job->index == 0)
        qv_info(ctx, "network with %lld parameters on %s", (long long)qv_trainer_net(s.trainer)->parameters,
                qv_exec_describe(qv_trainer_exec(s.trainer)));
    for (int epoch = s.info.epoch + 1; epoch <= job->settings->epochs && !out_of_patience(ctx, &s); epoch++) {
        status = one_epoch(ctx, &s, epoch);
        if (status == QV_ERR_INTERRUPTED) status = leave_epoch(ctx, &s, epoch);
        if (status == QV_ERR_NUMERIC) status = numbers_broke(ctx, &s);
        if (status != QV_OK) goto done;
    }
    status = judge(ctx, &s, out);
    if (status == QV_ERR_INTERRUPTED && job->folder)
        qv_info(ctx, "interrupted where fold %s is judged; --resume goes on from there", job->fold->name);
done:
    close_fold(&s);
    return status;
}
