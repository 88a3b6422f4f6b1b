#include "study/study_train.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/real.h"
#include "quaver_build.h"
#include "train/branches.h"

typedef struct finishing {
    const qv_study_job *job;
    const qv_settings *settings;
    qv_study_record *r;
} finishing;

/* To so many digits: enough to draw, and a record stays small. */
static double short_number(double x)
{
    char text[32];
    double shorter;
    qv_format(text, sizeof text, "%.4g", x);
    return qv_read_real(text, &shorter) ? shorter : x;
}

static qv_status take_shape(qv_ctx *ctx, const qv_manifest *m, const qv_fold_part *from, size_t dims,
                            qv_record_shape *s)
{
    qv_status status = QV_OK;
    QV_TRY(qv_alloc(ctx, &s->labels, from->n, sizeof *s->labels));
    for (size_t i = 0; i < from->n; i++) s->labels[i] = m->items[from->items[i]].label;
    QV_TRY(qv_symmetry_measure(ctx, &s->symmetry, from->embeddings, s->labels, from->n, dims, m->n_classes));
    if (dims != 2) goto done;
    QV_TRY(qv_alloc(ctx, &s->points, 2 * from->n, sizeof *s->points));
    for (size_t i = 0; i < 2 * from->n; i++) s->points[i] = short_number(from->embeddings[i]);
    s->n_points = from->n;
done:
    return status;
}

static qv_status open_profile(qv_ctx *ctx, qv_record_profile *p, size_t most)
{
    qv_status status = qv_alloc(ctx, &p->layers, most, sizeof *p->layers);
    return status == QV_OK ? qv_alloc(ctx, &p->mean, most, sizeof *p->mean) : status;
}

static qv_status add_layer(qv_ctx *ctx, qv_record_profile *p, const char *layer, double mean)
{
    qv_status status = qv_strdup(ctx, &p->layers[p->n], layer);
    if (status == QV_OK) p->mean[p->n++] = mean;
    return status;
}

/* Mean |gamma| of each normalization before a shake: "stage1.block0.bn3.gamma" is the layer "stage1.block0". */
static qv_status take_scales(qv_ctx *ctx, qv_record_profile *to, qv_trainer *t)
{
    static const char ending[] = ".bn3.gamma";
    const qv_program *p = qv_trainer_net(t)->program;
    qv_status status = QV_OK;
    double *gamma = NULL;
    QV_TRY(open_profile(ctx, to, p->n_buffers));
    for (size_t i = 0; i < p->n_buffers; i++) {
        const qv_buffer *b = &p->buffers[i];
        size_t n = qv_buffer_len(b), len = strlen(b->name), tail = sizeof ending - 1;
        char layer[sizeof b->name] = "";
        double mean = 0;
        if (b->role != QV_ROLE_PARAM || b->alias >= 0 || len <= tail || strcmp(b->name + len - tail, ending) != 0)
            continue;
        QV_TRY(qv_alloc(ctx, &gamma, n, sizeof *gamma));
        qv_exec_read(qv_trainer_exec(t), (int)i, 0, n, gamma);
        for (size_t k = 0; k < n; k++) mean += fabs(gamma[k]) / (double)n;
        memcpy(layer, b->name, len - tail);
        QV_TRY(add_layer(ctx, to, layer, mean));
        free(gamma);
        gamma = NULL;
    }
done:
    free(gamma);
    return status;
}

static qv_status take_branches(qv_ctx *ctx, const finishing *f, qv_trainer *t, const qv_dataset *d,
                               const qv_fold_part *from)
{
    qv_record_profile *moved = &f->r->profiles[QV_PROFILE_MOVED], *apart = &f->r->profiles[QV_PROFILE_APART];
    qv_branches *b = NULL;
    size_t n;
    qv_status status = QV_OK;
    QV_TRY(qv_branches_measure(ctx, t, f->settings, d, from->items, from->n, &b, &n));
    QV_TRY(open_profile(ctx, moved, n));
    QV_TRY(open_profile(ctx, apart, n));
    for (size_t i = 0; i < n; i++) {
        QV_TRY(add_layer(ctx, moved, b[i].layer, short_number(b[i].moved)));
        QV_TRY(add_layer(ctx, apart, b[i].layer, short_number(b[i].apart)));
    }
done:
    free(b);
    return status;
}

static qv_status look_inside(qv_ctx *ctx, void *user, qv_trainer *t, const qv_dataset *d,
                             const qv_fold_part *parts)
{
    const finishing *f = user;
    const qv_manifest *m = f->job->data->manifest;
    qv_status status = QV_OK;
    f->r->dims = (size_t)qv_trainer_net(t)->embedding_size;
    QV_TRY(take_shape(ctx, m, &parts[QV_FOLD_TRAIN], f->r->dims, &f->r->shape[0]));
    QV_TRY(take_shape(ctx, m, &parts[QV_FOLD_TEST], f->r->dims, &f->r->shape[1]));
    QV_TRY(take_scales(ctx, &f->r->profiles[QV_PROFILE_SCALES], t));
    QV_TRY(take_branches(ctx, f, t, d, &parts[QV_FOLD_TRAIN]));
done:
    return status;
}

/* Epochs that were evaluated; the others would say nothing but their loss. */
static qv_status take_curve(qv_ctx *ctx, qv_study_record *r, const qv_records *from)
{
    qv_status status = QV_OK;
    for (size_t c = 0; c < QV_RUN_COLUMNS; c++) QV_TRY(qv_alloc(ctx, &r->curve[c], from->n_rows, sizeof(double)));
    for (size_t i = 0; i < from->n_rows; i++) {
        const qv_epoch_row *e = &from->rows[i];
        const double x[QV_RUN_COLUMNS] = {e->epoch, e->loss, e->train_ua, e->val_ua, e->test_ua};
        if (isnan(e->train_ua)) continue;
        for (size_t c = 0; c < QV_RUN_COLUMNS; c++) r->curve[c][r->n_curve] = x[c];
        r->n_curve++;
    }
done:
    return status;
}

static qv_status find_speaker(qv_ctx *ctx, qv_record_scores *r, size_t k, const char *name, size_t *at)
{
    for (*at = 0; *at < r->n_speakers; (*at)++)
        if (strcmp(r->speakers[*at].name, name) == 0) return QV_OK;
    qv_record_speaker *s = &r->speakers[r->n_speakers];
    qv_status status = qv_alloc(ctx, &s->confusion, k, k * sizeof *s->confusion);
    r->n_speakers++;
    return status == QV_OK ? qv_strdup(ctx, &s->name, name) : status;
}

static qv_status take_scores(qv_ctx *ctx, qv_record_scores *r, const qv_fold_summary *scores, const qv_records *from)
{
    qv_status status = QV_OK;
    int classes = from->n_classes;
    size_t at;
    r->train = scores->train;
    r->val = scores->val;
    QV_TRY(qv_alloc(ctx, &r->speakers, from->n_predictions, sizeof *r->speakers));
    for (size_t i = 0; i < from->n_predictions; i++) {
        const qv_prediction *p = &from->predictions[i];
        if (strcmp(p->part, "test") != 0) continue;
        QV_TRY(find_speaker(ctx, r, (size_t)classes, p->speaker, &at));
        r->speakers[at].confusion[p->truth * classes + p->predicted]++;
    }
    for (size_t i = 0; i < r->n_speakers; i++) {
        r->speakers[i].ua = qv_confusion_ua(r->speakers[i].confusion, classes);
        r->speakers[i].wa = qv_confusion_wa(r->speakers[i].confusion, classes);
    }
done:
    return status;
}

static qv_status describe(qv_ctx *ctx, qv_study_record *r, const qv_study_job *job)
{
    const qv_study_cell *cell = &job->study->cells[job->run.cell];
    const qv_manifest *m = job->data->manifest;
    char hash[32], now[32];
    time_t t = time(NULL);
    struct tm tm;
    qv_status status = QV_OK;
    gmtime_r(&t, &tm);
    strftime(now, sizeof now, "%Y-%m-%dT%H:%M:%SZ", &tm);
    snprintf(hash, sizeof hash, "%016llx", (unsigned long long)m->hash);
    QV_TRY(qv_strdup(ctx, &r->corpus, job->study->corpora[job->run.corpus].name));
    QV_TRY(qv_strdup(ctx, &r->cell, cell->name));
    QV_TRY(qv_strdup(ctx, &r->fold, job->data->folds->folds[job->run.fold].name));
    QV_TRY(qv_strdup(ctx, &r->manifest, hash));
    QV_TRY(qv_strdup(ctx, &r->settings, cell->identity));
    QV_TRY(qv_alloc(ctx, &r->classes, (size_t)m->n_classes, sizeof *r->classes));
    for (int i = 0; i < m->n_classes; i++) QV_TRY(qv_strdup(ctx, &r->classes[r->n_classes++], m->classes[i]));
    QV_TRY(qv_strdup(ctx, &r->version, QV_VERSION));
    QV_TRY(qv_strdup(ctx, &r->program, job->maker->program));
    QV_TRY(qv_strdup(ctx, &r->device, qv_settings_choice(&cell->settings, "run.device")));
    QV_TRY(qv_strdup(ctx, &r->isa, job->maker->isa));
    const bool on_gpu = cell->settings.device == QV_DEVICE_CUDA;
    QV_TRY(qv_strdup(ctx, &r->libraries, on_gpu ? qv_gpu_describe(job->maker->gpu) : qv_cpu_conv_name().text));
    QV_TRY(qv_strdup(ctx, &r->finished, now));
    r->seed = job->run.seed;
done:
    return status;
}

qv_status qv_study_train(qv_ctx *ctx, const qv_study_job *job, qv_study_record *out)
{
    const qv_manifest *m = job->data->manifest;
    qv_settings settings = job->study->cells[job->run.cell].settings; /* its texts stay the cell's */
    qv_records records = {.classes = m->classes, .n_classes = m->n_classes}, even_records = records;
    qv_fold_summary scores = {0}, even = {0};
    const double begin = qv_now();
    qv_status status = QV_OK;
    *out = (qv_study_record){0};
    settings.seed = job->run.seed;
    settings.threads = 1;
    QV_TRY(qv_settings_detect(ctx, &settings, m));
    qv_fold_job fold = {.settings = &settings,
                        .manifest = m,
                        .features = job->data->features,
                        .fold = &job->data->folds->folds[job->run.fold],
                        .index = (int)job->run.fold,
                        .count = (int)job->data->folds->n,
                        .records = &records,
                        .gpu = job->maker->gpu,
                        .even = &even,
                        .even_records = &even_records,
                        .parameters = &out->parameters,
                        .embeddings = true,
                        .finished = look_inside,
                        .user = &(finishing){job, &settings, out}};
    status = qv_fold_train(ctx, &fold, &scores);
    if (status == QV_ERR_NUMERIC) {
        QV_TRY(qv_strdup(ctx, &out->failed, qv_ctx_message(ctx)));
        out->seconds = qv_now() - begin;
        status = describe(ctx, out, job);
    }
    if (status != QV_OK || out->failed) goto done;
    QV_TRY(describe(ctx, out, job));
    out->epoch = scores.epoch;
    out->seconds = scores.seconds;
    QV_TRY(take_curve(ctx, out, &records));
    QV_TRY(take_scores(ctx, &out->running, &scores, &records));
    QV_TRY(take_scores(ctx, &out->even, &even, &even_records));
done:
    if (status != QV_OK) qv_study_record_free(out);
    qv_records_free(&records);
    qv_records_free(&even_records);
    return status;
}
