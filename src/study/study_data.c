/* Corpora, folds and features of a study. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "data/labels.h"
#include "data/synth.h"
#include "study/store.h"
#include "study/study_own.h"

/* The path that a word of --manifest has for a corpus, NULL where the word is not for it. */
static const char *path_for(const qv_study *s, const char *name, const char *word)
{
    size_t n = strlen(name);
    if (strncmp(word, name, n) == 0 && word[n] == '=') return word + n + 1;
    return s->n_corpora == 1 && !strchr(word, '=') ? word : NULL;
}

static const char *given_manifest(const qv_study *s, const qv_study_options *o, const char *name)
{
    const char *found = NULL;
    for (size_t i = 0; i < o->n_manifests && !found; i++) found = path_for(s, name, o->manifests[i]);
    return found;
}

static qv_status check_given(qv_ctx *ctx, const qv_study *s, const qv_study_options *o)
{
    for (size_t i = 0; i < o->n_manifests; i++) {
        const char *word = o->manifests[i];
        bool used = false;
        for (size_t c = 0; c < s->n_corpora; c++) {
            const char *name = s->corpora[c].name;
            if (!path_for(s, name, word)) continue;
            used = true;
            for (size_t k = 0; k < i; k++)
                if (path_for(s, name, o->manifests[k]))
                    return qv_fail(ctx, QV_ERR_USAGE,
                                   "corpus %s is given two manifests, %s and %s; one of several files is written %s=A,B",
                                   name, path_for(s, name, o->manifests[k]), path_for(s, name, word), name);
        }
        if (!used)
            return qv_fail(ctx, QV_ERR_USAGE, "--manifest %s is for no corpus of %s; write NAME=FILE, as in %s=FILE",
                           word, s->path, s->corpora[0].name);
    }
    return QV_OK;
}

/* The embedded corpus below OUT, made where it is not whole yet; one process makes it, others wait. */
static qv_status make_embedded(qv_ctx *ctx, const qv_study_corpus *c, const char *out, char **manifest)
{
    qv_status status = QV_OK;
    qv_run_lock lock = {.fd = -1};
    qv_buf folder = {0};
    bool taken;
    qv_synth_options synth = qv_synth_defaults();
    synth.speakers = c->speakers;
    synth.sentences = c->sentences;
    synth.force = true; /* what a process that was killed left */
    qv_buf_printf(&folder, "%s/corpus-%s", out, c->name);
    QV_TRY(qv_buf_check(ctx, &folder));
    QV_TRY(qv_path_join(ctx, manifest, folder.data, "manifest.csv"));
    QV_TRY(qv_make_dirs(ctx, folder.data));
    QV_TRY(qv_run_lock_open(ctx, &lock, out));
    QV_TRY(qv_run_lock_take(ctx, &lock, qv_path_base(folder.data), true, &taken));
    if (!qv_path_exists(*manifest)) QV_TRY(qv_synth_corpus(ctx, folder.data, &synth));
done:
    qv_run_lock_close(&lock);
    qv_buf_free(&folder);
    return status;
}

static qv_status load_manifest(qv_ctx *ctx, const qv_study *s, const qv_study_options *o, size_t corpus,
                               qv_manifest **out)
{
    const qv_study_corpus *c = &s->corpora[corpus];
    const char *given = given_manifest(s, o, c->name), *path = given ? given : c->manifest;
    char *made = NULL, *labels = NULL;
    qv_status status = QV_OK;
    qv_manifest_options mo = {.need_emotion = true};
    QV_TRY(qv_labels_expand(ctx, &labels, c->labels));
    if (*labels) mo.labels = labels;
    if (!path) QV_TRY(make_embedded(ctx, c, o->out, &made));
    if (!made && !strchr(path, ',') && !qv_path_exists(path)) {
        status = qv_fail(ctx, QV_ERR_USAGE, "corpus %s: there is no manifest %s; --manifest %s=FILE says where it is",
                         c->name, path, c->name);
        goto done;
    }
    QV_TRY(qv_manifest_read_list(ctx, out, made ? made : path, &mo));
    QV_TRY(qv_manifest_check_classes(ctx, *out));
done:
    free(labels);
    free(made);
    return status;
}

static bool same_front_end(const qv_feature_config *a, const qv_feature_config *b)
{
    return a->kind == b->kind && a->channels == b->channels && a->rate == b->rate && a->window == b->window &&
           a->hop == b->hop && a->fft == b->fft && a->mels == b->mels && a->low == b->low && a->high == b->high &&
           a->floor == b->floor && a->trim == b->trim && a->loudness == b->loudness;
}

static bool same_data(const qv_settings *a, const qv_settings *b)
{
    qv_feature_config x = qv_settings_features(a), y = qv_settings_features(b);
    return same_front_end(&x, &y) && a->val_speakers == b->val_speakers;
}

/* Each can be trained and tested with what could be read. */
static qv_status check_folds(qv_ctx *ctx, const qv_study_data *d)
{
    qv_status status = QV_OK;
    for (size_t f = 0; f < d->folds->n; f++) {
        const qv_fold *fold = &d->folds->folds[f];
        size_t i = 0;
        QV_TRY(qv_fold_check_training(ctx, d->manifest, d->features, fold));
        while (i < d->manifest->n && !(fold->part[i] == QV_PART_TEST && d->features->entries[i].frames > 0)) i++;
        if (i == d->manifest->n)
            return qv_fail(ctx, QV_ERR_DATA, "fold %s: none of the recordings that it tests could be read", fold->name);
    }
done:
    return status;
}

static qv_status open_data(qv_ctx *ctx, qv_study_data *d, const qv_feature_config *config, const qv_study *s,
                           const qv_study_options *o, size_t corpus)
{
    const qv_study_corpus *c = &s->corpora[corpus];
    qv_status status = QV_OK;
    qv_fold_options fo = {.val_speakers = d->made_for->val_speakers};
    qv_feature_options feature_options = {
        .cache_dir = o->cache_dir, .no_cache = o->no_cache, .threads = qv_threads(o->threads)};
    status = qv_folds_make(ctx, &d->folds, d->manifest, c->folds, &fo);
    if (status == QV_ERR_USAGE) status = QV_ERR_DATA; /* it is the file that is wrong */
    if (status != QV_OK) {
        qv_fail_prefix(ctx, status, "%s:%d: corpus %s", s->path, c->line, c->name);
        goto done;
    }
    for (size_t i = 0; i < d->folds->n; i++)
        if (d->folds->folds[i].overlap)
            return qv_fail(ctx, QV_ERR_DATA,
                           "%s:%d: fold %s of corpus %s trains on speakers whom it tests; a study compares speakers",
                           s->path, c->line, d->folds->folds[i].name, c->name);
    QV_TRY(qv_features_open(ctx, &d->features, d->manifest, config, &feature_options));
    status = check_folds(ctx, d);
    if (status != QV_OK) qv_fail_prefix(ctx, status, "corpus %s", c->name);
done:
    return status;
}

static qv_status warn_of_left_out(qv_ctx *ctx, const qv_study_corpus *c, const qv_study_data *d)
{
    qv_buf text = {0};
    qv_status status = qv_folds_left_out(ctx, d->folds, d->manifest, &text);
    if (status == QV_OK && text.len) qv_warn(ctx, "corpus %s: %s", c->name, text.data);
    qv_buf_free(&text);
    return status;
}

/* What the parts of a record that grow can take, in bytes: a number, a point and an epoch have so many at most, a
 * confusion's counts are of one digit but for as many as recordings were tested. The rest has room to spare. */
typedef struct record_size {
    size_t speakers, drawn, epochs;
    double bytes;
} record_size;

static record_size largest_record(const qv_settings *s, const qv_manifest *m, const qv_fold *fold)
{
    enum { REST = 1 << 20, SPEAKER = 160, POINT = 64, EPOCH = 128 };
    const double classes = m->n_classes, tested = (double)fold->items[QV_PART_TEST];
    record_size z = {.speakers = (size_t)fold->speakers[QV_PART_TEST],
                     .drawn = s->embed == 2 ? fold->items[QV_PART_TRAIN] + fold->items[QV_PART_TEST] : 0,
                     .epochs = (size_t)(s->epochs / s->eval_every) + 1};
    double names = 0;
    for (int i = 0; i < m->n_classes; i++) names += 2 * (double)strlen(m->classes[i]);
    for (int i = 0; i < m->n_speakers; i++) names += 4 * (double)strlen(m->speakers[i]);
    z.bytes = REST + names + 2 * (double)z.speakers * (SPEAKER + 2 * classes * (classes + 1)) + 2 * tested +
              (double)z.drawn * POINT + (double)z.epochs * EPOCH;
    return z;
}

/* Before hours are spent on what nobody could read. */
static qv_status check_record(qv_ctx *ctx, const qv_settings *s, const qv_manifest *m, const qv_fold *fold)
{
    const record_size z = largest_record(s, m, fold);
    if (z.bytes <= QV_LARGEST_RECORD) return QV_OK;
    return qv_fail(ctx, QV_ERR_USAGE,
                   "fold %s: a record of %zu test speakers with %d classes, %zu points of net.embed = 2 and %zu "
                   "evaluations could take %.0f MiB, and %d is the most; more folds have fewer speakers each, another "
                   "net.embed has no points, a larger eval.every has fewer evaluations",
                   fold->name, z.speakers, m->n_classes, z.drawn, z.epochs, ceil(z.bytes / (1 << 20)),
                   QV_LARGEST_RECORD >> 20);
}

static qv_status check_cell(qv_ctx *ctx, const qv_study_cell *cell, const qv_study_data *d)
{
    size_t parameters;
    qv_settings own = cell->settings; /* its texts stay the cell's */
    qv_status status = qv_settings_detect(ctx, &own, d->manifest);
    if (status == QV_OK) status = qv_fold_check_plan(ctx, &own, d->manifest, d->features, d->folds, &parameters);
    for (size_t f = 0; f < d->folds->n && status == QV_OK; f++)
        status = check_record(ctx, &own, d->manifest, &d->folds->folds[f]);
    /* It is the file that is wrong. */
    return status == QV_ERR_USAGE ? qv_fail_prefix(ctx, QV_ERR_DATA, "cell %s", cell->name) : status;
}

static qv_status warn_of_choice(qv_ctx *ctx, const qv_study_cell *cell, const qv_folds *folds)
{
    qv_buf who = {0};
    qv_buf_printf(&who, "cell %s: ", cell->name);
    qv_status status = qv_buf_check(ctx, &who);
    if (status == QV_OK) qv_fold_warn_of_choice(ctx, who.data, &cell->settings, folds);
    qv_buf_free(&who);
    return status;
}

/* The data of one cell: found among those of earlier cells, or made. */
static qv_status find_data(qv_ctx *ctx, qv_study_corpora *c, const qv_study *s, const qv_study_options *o,
                           size_t corpus, size_t cell, size_t first)
{
    const qv_settings *settings = &s->cells[cell].settings;
    size_t i = first;
    qv_settings own = *settings;
    qv_status status = qv_settings_detect(ctx, &own, c->manifests[corpus]);
    if (status != QV_OK) return status;
    qv_feature_config config = qv_settings_features(&own);
    while (i < c->n_data && !same_data(c->data[i].made_for, settings)) i++;
    c->of[corpus * c->cells + cell] = i;
    if (i < c->n_data) return QV_OK;
    status = qv_grow(ctx, &c->data, &c->cap_data, c->n_data + 1, sizeof *c->data);
    if (status != QV_OK) return status;
    c->data[c->n_data++] = (qv_study_data){.manifest = c->manifests[corpus], .made_for = settings};
    return open_data(ctx, &c->data[i], &config, s, o, corpus);
}

/* The one GPU of all cells that train on one. */
static qv_status open_gpu(qv_ctx *ctx, qv_study_corpora *c, const qv_study *s)
{
    const char *which = NULL;
    qv_status status = QV_OK;
    for (size_t i = 0; i < s->n_cells && status == QV_OK; i++) {
        const qv_settings *cell = &s->cells[i].settings;
        status = qv_precision_check(ctx, (qv_device)cell->device, (qv_precision)cell->precision);
        if (status != QV_OK || cell->device != QV_DEVICE_CUDA) continue;
        if (which && strcmp(which, cell->gpu) != 0)
            return qv_fail(ctx, QV_ERR_USAGE,
                           "%s: cells want the GPUs \"%s\" and \"%s\"; a study trains on one, its shards on others",
                           s->path, which, cell->gpu);
        which = cell->gpu;
    }
    return status == QV_OK && which ? qv_gpu_open(ctx, &c->gpu, which) : status;
}

qv_status qv_study_load(qv_ctx *ctx, qv_study_corpora *c, const qv_study *s, const qv_study_options *o)
{
    qv_status status = QV_OK;
    *c = (qv_study_corpora){.cells = s->n_cells};
    QV_TRY(check_given(ctx, s, o));
    QV_TRY(open_gpu(ctx, c, s));
    if (c->gpu)
        qv_gpu_expect(c->gpu, qv_study_threads(c, o));
    else
        qv_cpu_conv_limit(qv_settings_isa(&s->cells[0].settings)); /* before the first plan */
    QV_TRY(qv_alloc(ctx, &c->manifests, s->n_corpora, sizeof(qv_manifest *)));
    QV_TRY(qv_alloc(ctx, &c->of, s->n_corpora * s->n_cells, sizeof *c->of));
    for (size_t i = 0; i < s->n_corpora; i++) {
        size_t first = c->n_data;
        QV_TRY(load_manifest(ctx, s, o, i, &c->manifests[i]));
        for (size_t k = 0; k < s->n_cells; k++) {
            QV_TRY(find_data(ctx, c, s, o, i, k, first));
            QV_TRY(check_cell(ctx, &s->cells[k], qv_study_data_of(c, i, k)));
            QV_TRY(warn_of_choice(ctx, &s->cells[k], qv_study_data_of(c, i, k)->folds));
        }
        QV_TRY(warn_of_left_out(ctx, &s->corpora[i], qv_study_data_of(c, i, 0)));
    }
done:
    return status;
}

void qv_study_unload(qv_study_corpora *c, const qv_study *s)
{
    for (size_t i = 0; i < c->n_data; i++) {
        qv_features_close(c->data[i].features);
        qv_folds_free(c->data[i].folds);
    }
    for (size_t i = 0; c->manifests && i < s->n_corpora; i++) qv_manifest_free(c->manifests[i]);
    qv_gpu_close(c->gpu);
    free(c->manifests);
    free(c->data);
    free(c->of);
    *c = (qv_study_corpora){0};
}

/* Every few epochs the middle window of each recording; at the end all windows twice, with both kinds of statistics,
 * and those of training once more to take the second. */
qv_run_size qv_study_run_size(const qv_settings *s, const qv_study_data *d, const qv_fold *fold)
{
    double windows = 0, recordings = 0, batch = s->batch, evaluations = ceil((double)s->epochs / s->eval_every);
    int patch = qv_settings_patch_frames(s);
    for (size_t i = 0; i < d->manifest->n; i++) {
        int frames = d->features->entries[i].frames;
        if (fold->part[i] == QV_PART_UNUSED || frames == 0) continue;
        recordings++;
        windows += qv_window_count(frames, patch, true) * (fold->part[i] == QV_PART_TRAIN ? 3 : 2);
    }
    return (qv_run_size){.steps = (double)qv_steps(s->epochs, fold->items[QV_PART_TRAIN], (size_t)s->batch),
                         .batches = (evaluations * recordings + windows) / batch};
}

int qv_study_threads(const qv_study_corpora *c, const qv_study_options *o)
{
    enum { ON_A_GPU = 4 };
    return o->threads ? o->threads : c->gpu ? ON_A_GPU : qv_cpu_count();
}

const qv_study_data *qv_study_data_of(const qv_study_corpora *c, size_t corpus, size_t cell)
{
    return &c->data[c->of[corpus * c->cells + cell]];
}
