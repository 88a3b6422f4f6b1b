#include "train/speaker.h"

#include <stdlib.h>
#include <string.h>

#include "base/real.h"
#include "base/safetensors.h"
#include "quaver_build.h"

static const char format_name[] = "quaver-speaker", format_version[] = "1";

void qv_speaker_free(qv_speaker *s)
{
    free(s->name);
    free(s->norm);
    *s = (qv_speaker){0};
}

/* All that decides what a frame is. */
static void print_features(const qv_settings *s, qv_buf *b)
{
    qv_feature_config c = qv_settings_features(s);
    if (c.kind != QV_KIND_MEL) {
        qv_buf_printf(b, "npy %d hop ", c.mels);
        qv_buf_real(b, c.hop);
        return;
    }
    const double numbers[] = {c.window, c.hop, c.low, c.high, c.floor, c.trim};
    qv_buf_printf(b, "rate %d fft %d mels %d loudness %d window hop low high floor trim", c.rate, c.fft, c.mels,
                  (int)c.loudness);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        qv_buf_puts(b, " ");
        qv_buf_real(b, numbers[i]);
    }
}

qv_status qv_speaker_compute(qv_ctx *ctx, qv_speaker *out, const char *name, const qv_settings *settings,
                             const qv_manifest *m, const qv_model_options *o)
{
    qv_status status = QV_OK;
    qv_features *f = NULL;
    qv_dataset *d = NULL;
    bool *all = NULL;
    size_t bytes = 2 * (size_t)settings->mels * sizeof *out->norm;
    qv_feature_config config = qv_settings_features(settings);
    qv_feature_options fo = {.cache_dir = o->cache_dir, .no_cache = o->no_cache, .threads = qv_threads(o->threads)};
    *out = (qv_speaker){0};
    QV_TRY(qv_features_open(ctx, &f, m, &config, &fo));
    out->seconds = (double)f->frames * config.hop;
    out->recordings = f->n - f->skipped;
    out->skipped = f->skipped;
    if (out->seconds < QV_MIN_SPEAKER_SECONDS) {
        status = qv_fail(ctx, QV_ERR_USAGE,
                         "only %.1f s of speaker %s: at least %.0f s are needed, of any recordings of the voice, best in "
                         "several moods; labels are not",
                         out->seconds, name, QV_MIN_SPEAKER_SECONDS);
        goto done;
    }
    QV_TRY(qv_alloc(ctx, &all, m->n, sizeof *all));
    for (size_t i = 0; i < m->n; i++) all[i] = true;
    QV_TRY(qv_dataset_new(ctx, &d, m, f, QV_NORM_CORPUS, all, NULL));
    QV_TRY(qv_strdup(ctx, &out->name, name));
    QV_TRY(qv_alloc(ctx, &out->norm, 1, bytes));
    memcpy(out->norm, d->norm + (size_t)(d->norms - 1) * 2 * (size_t)settings->mels, bytes); /* that of all corpora */
done:
    free(all);
    qv_dataset_free(d);
    qv_features_close(f);
    return status;
}

qv_status qv_speaker_write(qv_ctx *ctx, const qv_speaker *s, const qv_settings *settings, const char *path)
{
    qv_status status = QV_OK;
    qv_st_writer *w = NULL;
    qv_buf features = {0};
    char seconds[32];
    qv_format(seconds, sizeof seconds, "%.2f", s->seconds);
    print_features(settings, &features);
    QV_TRY(qv_buf_check(ctx, &features));
    QV_TRY(qv_st_writer_new(ctx, &w));
    QV_TRY(qv_st_add(ctx, w, "norm", QV_ST_F32, 2, (size_t[]){2, (size_t)settings->mels}, s->norm));
    QV_TRY(qv_st_add_meta(ctx, w, "format", format_name));
    QV_TRY(qv_st_add_meta(ctx, w, "format_version", format_version));
    QV_TRY(qv_st_add_meta(ctx, w, "quaver", QV_VERSION));
    QV_TRY(qv_st_add_meta(ctx, w, "speaker", s->name));
    QV_TRY(qv_st_add_meta(ctx, w, "seconds", seconds));
    QV_TRY(qv_st_add_meta(ctx, w, "features", features.data));
    status = qv_st_write(ctx, w, path);
done:
    qv_buf_free(&features);
    qv_st_writer_free(w);
    return status;
}

/* Is the file one of ours, and for these features? */
static qv_status check_metadata(qv_ctx *ctx, const struct qv_st_file *file, const char *path, const qv_settings *settings)
{
    qv_status status = QV_OK;
    qv_buf wanted = {0};
    const char *format = qv_st_meta(file, "format"), *version = qv_st_meta(file, "format_version");
    const char *features = qv_st_meta(file, "features");
    print_features(settings, &wanted);
    QV_TRY(qv_buf_check(ctx, &wanted));
    if (!format || strcmp(format, format_name) != 0 || !features || !qv_st_meta(file, "speaker"))
        status = qv_fail(ctx, QV_ERR_DATA, "%s holds no statistics of a speaker; quaver stats writes them", path);
    else if (!version || strcmp(version, format_version) != 0)
        status = qv_fail(ctx, QV_ERR_DATA, "%s: format version %.20s; this program reads %s", path, version ? version : "none",
                         format_version);
    else if (strcmp(features, wanted.data) != 0)
        status = qv_fail(ctx, QV_ERR_DATA, "%s was made for other features (%.200s) than the checkpoint's (%s); make it again",
                         path, features, wanted.data);
done:
    qv_buf_free(&wanted);
    return status;
}

qv_status qv_speaker_read(qv_ctx *ctx, qv_speaker *out, const char *path, const qv_settings *settings)
{
    qv_status status = QV_OK;
    qv_st_file *file = NULL;
    const qv_st_tensor *t;
    const char *seconds;
    size_t mels = (size_t)settings->mels;
    *out = (qv_speaker){0};
    QV_TRY(qv_st_open(ctx, &file, path));
    QV_TRY(check_metadata(ctx, file, path, settings));
    QV_TRY(qv_st_need(ctx, file, "norm", QV_ST_F32, 2, (size_t[]){2, mels}, &t));
    QV_TRY(qv_norm_check(ctx, path, "norm", t->data, 1, mels));
    QV_TRY(qv_strdup(ctx, &out->name, qv_st_meta(file, "speaker")));
    QV_TRY(qv_alloc(ctx, &out->norm, 2 * mels, sizeof *out->norm));
    memcpy(out->norm, t->data, t->bytes);
    seconds = qv_st_meta(file, "seconds");
    if (seconds) qv_read_real(seconds, &out->seconds);
done:
    qv_st_close(file);
    return status;
}
