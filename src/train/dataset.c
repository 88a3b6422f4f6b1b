#include "train/dataset.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Deviations below this (in nepers of energy) are those of a constant band; dividing by them would
 * only blow up rounding. */
static const double least_deviation = 1e-3;

typedef struct moments {
    double *sum, *square; /* [rows][mels] */
    int64_t *count;       /* [rows] */
} moments;

/* Adds a recording's frames to a row. The first pass sums values, the second squares about the mean. */
static void add_frames(moments *s, int row, const float *frames, int64_t n, int mels, const float *norm)
{
    double *sum = s->sum + (size_t)row * (size_t)mels, *square = s->square + (size_t)row * (size_t)mels;
    for (int64_t t = 0; t < n; t++)
        for (int j = 0; j < mels; j++) {
            double x = frames[t * mels + j];
            if (!norm) {
                sum[j] += x;
            } else {
                double d = x - norm[(size_t)row * 2 * (size_t)mels + (size_t)j];
                square[j] += d * d;
            }
        }
    if (!norm) s->count[row] += n;
}

/* in_training: NULL, or the recordings to look at. */
static void each_recording(qv_dataset *d, const bool *in_training, bool corpus, moments *s, const float *norm)
{
    int mels = d->features->config.mels, all = d->norms - 1;
    for (size_t i = 0; i < d->n; i++) {
        const qv_utterance *u = &d->utterances[i];
        if (u->frames == 0 || (in_training && !in_training[i])) continue;
        const float *frames = d->features->data + u->first_frame * mels;
        add_frames(s, u->norm, frames, u->frames, mels, norm);
        if (corpus && u->norm != all) add_frames(s, all, frames, u->frames, mels, norm);
    }
}

/* Every pixel of an image is measured by its channel's mean and deviation: the mean of these sums over the columns. */
static void pool_columns(double *sum, size_t values, size_t channels)
{
    for (size_t c = 0; c < channels; c++) {
        double all = 0;
        for (size_t j = c; j < values; j += channels) all += sum[j];
        for (size_t j = c; j < values; j += channels) sum[j] = all / (double)(values / channels);
    }
}

static void pool_images(const qv_dataset *d, double *sums)
{
    const qv_feature_config *c = &d->features->config;
    for (int r = 0; c->kind == QV_KIND_IMAGE && r < d->norms; r++)
        pool_columns(sums + (size_t)r * (size_t)c->mels, (size_t)c->mels, (size_t)c->channels);
}

static qv_status compute_norm(qv_ctx *ctx, qv_dataset *d, const bool *in_training, bool corpus)
{
    qv_status status = QV_OK;
    size_t mels = (size_t)d->features->config.mels, rows = (size_t)d->norms;
    moments s = {0};
    QV_TRY(qv_alloc(ctx, &s.sum, rows * mels, sizeof *s.sum));
    QV_TRY(qv_alloc(ctx, &s.square, rows * mels, sizeof *s.square));
    QV_TRY(qv_alloc(ctx, &s.count, rows, sizeof *s.count));
    each_recording(d, in_training, corpus, &s, NULL);
    pool_images(d, s.sum);
    for (size_t r = 0; r < rows; r++)
        for (size_t j = 0; j < mels; j++)
            d->norm[r * 2 * mels + j] = (float)(s.count[r] ? s.sum[r * mels + j] / (double)s.count[r] : 0);
    each_recording(d, in_training, corpus, &s, d->norm);
    pool_images(d, s.square);
    for (size_t r = 0; r < rows; r++)
        for (size_t j = 0; j < mels; j++) {
            double deviation = s.count[r] ? sqrt(s.square[r * mels + j] / (double)s.count[r]) : 1;
            d->norm[(r * 2 + 1) * mels + j] = (float)(1 / fmax(deviation, least_deviation));
        }
    for (size_t r = 0; corpus && r < rows; r++)
        if (s.count[r] == 0)
            memcpy(d->norm + r * 2 * mels, d->norm + (rows - 1) * 2 * mels, 2 * mels * sizeof *d->norm);
done:
    free(s.sum);
    free(s.square);
    free(s.count);
    return status;
}

static void fill_utterances(qv_dataset *d, qv_normalization normalization)
{
    for (size_t i = 0; i < d->n; i++) {
        const qv_feature_entry *e = &d->features->entries[i];
        const qv_item *item = &d->manifest->items[i];
        int norm = 0;
        if (normalization == QV_NORM_SPEAKER) norm = item->speaker_id;
        if (normalization == QV_NORM_UTTERANCE) norm = (int)i;
        if (normalization == QV_NORM_CORPUS && d->norms > 1) norm = item->corpus_id >= 0 ? item->corpus_id : d->norms - 1;
        d->utterances[i] =
            (qv_utterance){.first_frame = e->first_frame, .frames = e->frames, .label = item->label, .norm = norm};
    }
}

int qv_dataset_corpora(const qv_manifest *m, bool given)
{
    bool several = m->n_corpora > 1;
    for (size_t i = 0; given && m->n_corpora == 1 && i < m->n && !several; i++) several = m->items[i].corpus_id < 0;
    return several ? m->n_corpora : 0;
}

qv_status qv_dataset_new(qv_ctx *ctx, qv_dataset **out, const qv_manifest *m, const qv_features *f,
                         qv_normalization normalization, const bool *in_training, const float *corpus_norm)
{
    qv_status status = QV_OK;
    qv_dataset *d = NULL;
    size_t mels = (size_t)f->config.mels;
    *out = NULL;
    QV_TRY(qv_alloc(ctx, &d, 1, sizeof *d));
    d->manifest = m;
    d->features = f;
    d->n = m->n;
    d->norms = 1;
    if (normalization == QV_NORM_SPEAKER) d->norms = m->n_speakers;
    if (normalization == QV_NORM_UTTERANCE) d->norms = (int)m->n;
    if (normalization == QV_NORM_CORPUS) d->norms = qv_dataset_corpora(m, corpus_norm != NULL) + 1;
    QV_TRY(qv_alloc(ctx, &d->utterances, d->n, sizeof *d->utterances));
    QV_TRY(qv_alloc(ctx, &d->norm, (size_t)d->norms * 2 * mels, sizeof *d->norm));
    fill_utterances(d, normalization);
    if (normalization == QV_NORM_NONE || corpus_norm) {
        for (size_t j = 0; j < (size_t)d->norms * 2 * mels; j++)
            d->norm[j] = corpus_norm ? corpus_norm[j] : j < mels ? 0.0f : 1.0f;
    } else {
        bool corpus = normalization == QV_NORM_CORPUS;
        QV_TRY(compute_norm(ctx, d, corpus ? in_training : NULL, corpus));
    }
    d->rows = d->norms;
    *out = d;
    d = NULL;
done:
    qv_dataset_free(d);
    return status;
}

/* The normalization under which frames of a voice sound as if it stood so much of the way to another: x becomes
 * (x - m) g + m + share (m' - m) with g = 1 + share (s' / s - 1), then normalized as `norm` says. own, other: mean m
 * and 1 / deviation s of the two, as rows of a table. */
static void move_voice(float *row, const float *own, const float *other, const float *norm, double share, size_t mels)
{
    for (size_t j = 0; j < mels; j++) {
        double mean = own[j], g = 1 + share * ((double)own[mels + j] / (double)other[mels + j] - 1);
        double target = mean + share * ((double)other[j] - mean);
        row[j] = (float)(mean - (target - (double)norm[j]) / g);
        row[mels + j] = (float)(g * (double)norm[mels + j]);
    }
}

/* The next training speaker of the same corpus, round and round; corpus_of[id]: -1 where a speaker does not train. */
static int next_speaker(const int *corpus_of, int speakers, int own, int id)
{
    do id = (id + 1) % speakers;
    while (corpus_of[id] != corpus_of[own]);
    return id;
}

/* Rows of voices for each speaker that trains, behind the others. voice: [speakers][2][mels]; first: [speakers]. */
static void fill_voices(qv_dataset *d, const float *voice, const int *corpus_of, const int *norm_of, int *first,
                        double most)
{
    const double golden = 0.6180339887498949; /* its multiples fall evenly between 0 and 1 */
    int speakers = d->manifest->n_speakers, row = d->norms;
    size_t width = 2 * (size_t)d->features->config.mels;
    for (int a = 0; a < speakers; a++) {
        if (corpus_of[a] < 0) continue;
        first[a] = row;
        for (int k = 0, b = a; k < d->voices; k++, row++) {
            b = next_speaker(corpus_of, speakers, a, b);
            move_voice(d->norm + (size_t)row * width, voice + (size_t)a * width, voice + (size_t)b * width,
                       d->norm + (size_t)norm_of[a] * width, most * fmod((k + 1) * golden, 1), width / 2);
        }
    }
}

/* Means and deviations of the speakers, over their recordings in training. */
static qv_status speaker_moments(qv_ctx *ctx, const qv_dataset *d, const bool *in_training, float **voice)
{
    qv_status status = QV_OK;
    qv_dataset by_speaker = {
        .manifest = d->manifest, .features = d->features, .n = d->n, .norms = d->manifest->n_speakers};
    QV_TRY(qv_alloc(ctx, &by_speaker.utterances, d->n, sizeof *by_speaker.utterances));
    QV_TRY(qv_alloc(ctx, &by_speaker.norm, (size_t)by_speaker.norms * 2 * (size_t)d->features->config.mels,
                    sizeof **voice));
    fill_utterances(&by_speaker, QV_NORM_SPEAKER);
    QV_TRY(compute_norm(ctx, &by_speaker, in_training, false));
    *voice = by_speaker.norm;
    by_speaker.norm = NULL;
done:
    free(by_speaker.utterances);
    free(by_speaker.norm);
    return status;
}

/* 128 for each speaker, fewer where there are so many that the table would grow beyond 16384 rows. */
static int voices_each(int speakers)
{
    enum { EACH = 128, ALL = 16384, LEAST = 4 };
    int n = ALL / speakers;
    return n > EACH ? EACH : n < LEAST ? LEAST : n;
}

static qv_status add_voices(qv_ctx *ctx, qv_dataset *d, const bool *in_training, double most)
{
    qv_status status = QV_OK;
    size_t mels = (size_t)d->features->config.mels, all = (size_t)d->manifest->n_speakers;
    int *of = NULL, speakers = 0; /* [3][all]: corpus, normalization, first voice */
    float *voice = NULL, *norm = NULL;
    QV_TRY(qv_alloc(ctx, &of, 3 * all, sizeof *of));
    for (size_t id = 0; id < all; id++) of[id] = -1;
    for (size_t i = 0; i < d->n; i++) {
        const qv_item *item = &d->manifest->items[i];
        if (!in_training[i] || d->utterances[i].frames == 0) continue;
        speakers += of[item->speaker_id] < 0;
        of[item->speaker_id] = item->corpus_id + 1; /* those without a corpus are among themselves */
        of[all + (size_t)item->speaker_id] = d->utterances[i].norm;
    }
    if (speakers == 0) goto done;
    d->voices = voices_each(speakers);
    d->rows = d->norms + speakers * d->voices;
    QV_TRY(speaker_moments(ctx, d, in_training, &voice));
    QV_TRY(qv_alloc(ctx, &norm, (size_t)d->rows * 2 * mels, sizeof *norm));
    memcpy(norm, d->norm, (size_t)d->norms * 2 * mels * sizeof *norm);
    free(d->norm);
    d->norm = norm;
    fill_voices(d, voice, of, of + all, of + 2 * all, most);
    for (size_t i = 0; i < d->n; i++) d->utterances[i].voices = of[2 * all + (size_t)d->manifest->items[i].speaker_id];
done:
    free(of);
    free(voice);
    return status;
}

qv_status qv_dataset_new_training(qv_ctx *ctx, qv_dataset **out, const qv_manifest *m, const qv_features *f,
                                  const qv_settings *s, const bool *in_training)
{
    qv_normalization how = (qv_normalization)s->normalize;
    qv_status status = qv_dataset_new(ctx, out, m, f, how, in_training, NULL);
    if (status != QV_OK || s->voices == 0 || how == QV_NORM_UTTERANCE) return status;
    status = add_voices(ctx, *out, in_training, s->voices);
    if (status != QV_OK) {
        qv_dataset_free(*out);
        *out = NULL;
    }
    return status;
}

void qv_dataset_free(qv_dataset *d)
{
    if (!d) return;
    free(d->utterances);
    free(d->norm);
    free(d);
}

qv_status qv_norm_check(qv_ctx *ctx, const char *path, const char *name, const float *norm, size_t rows, size_t mels)
{
    for (size_t i = 0; i < rows * 2 * mels; i++) {
        bool scale = i % (2 * mels) >= mels;
        if (isfinite(norm[i]) && (!scale || norm[i] > 0)) continue;
        return qv_fail(ctx, QV_ERR_DATA, "%s: element %zu of \"%s\" is %g; %s was expected", path, i, name,
                       (double)norm[i], scale ? "a positive scale" : "a finite mean");
    }
    return QV_OK;
}

double qv_dataset_speaker_seconds(const qv_dataset *d, int id)
{
    int64_t frames = 0;
    for (size_t i = 0; i < d->n; i++)
        if (d->manifest->items[i].speaker_id == id) frames += d->utterances[i].frames;
    return (double)frames * d->features->config.hop;
}

int qv_window_count(int frames, int patch, bool full)
{
    if (!full || frames <= patch) return 1;
    int step = patch > 1 ? patch / 2 : 1;
    return (frames - patch + step - 1) / step + 1;
}

int qv_window_start(int frames, int patch, bool full, int i)
{
    if (frames <= patch) return 0;
    if (!full) return (frames - patch) / 2;
    int step = patch > 1 ? patch / 2 : 1;
    int start = i * step;
    return start < frames - patch ? start : frames - patch;
}
