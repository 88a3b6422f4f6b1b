/* The public predictor: one recording at a time. */
#include "quaver/predictor.h"
#include "data/audio.h"
#include "data/extractor.h"

#include <stdlib.h>

#include "quaver_build.h"
#include "train/checkpoint.h"
#include "train/speaker.h"

struct qv_predictor {
    qv_checkpoint *checkpoint;
    qv_settings settings;  /* of the checkpoint, on this device */
    qv_speaker speaker;    /* whose statistics normalize; empty where the checkpoint does not do so by speaker */
    qv_pool *pool;
    qv_extractor *extractor;
    /* A corpus of one recording, over which the trainer gathers. */
    qv_manifest manifest;
    qv_item item;
    qv_features features;
    qv_feature_entry entry;
    float *frames; /* the trainer gathers from them until there are others */
    qv_dataset *data;
    qv_trainer *trainer;
};

/* Windows computed at once: most clips have no more, and of a batch for training the rest would be computed for
 * nothing. */
enum { MOST_WINDOWS = 4 };

const char *qv_version(void) { return QV_VERSION; }

/* The corpus of one recording, whose frames are n from now on. */
static qv_status describe(qv_ctx *ctx, qv_predictor *p, const float *frames, int64_t n, qv_dataset **out)
{
    const float *voice = p->speaker.norm; /* one row for all, as that of a corpus is */
    qv_normalization normalization = voice ? QV_NORM_CORPUS : (qv_normalization)p->settings.normalize;
    p->features.data = frames;
    p->features.frames = n;
    p->entry.frames = (int32_t)n;
    return qv_dataset_new(ctx, out, &p->manifest, &p->features, normalization, NULL,
                          voice ? voice : p->checkpoint->norm);
}

/* Probabilities of the one recording whose frames these are; they become the predictor's. */
static qv_status judge(qv_ctx *ctx, qv_predictor *p, float *frames, int64_t n, double *probs)
{
    qv_dataset *data = NULL;
    size_t item = 0;
    qv_status status = describe(ctx, p, frames, n, &data);
    if (status == QV_OK) status = qv_trainer_use(ctx, p->trainer, data);
    if (status != QV_OK) {
        qv_dataset_free(data);
        free(frames);
        return status;
    }
    qv_dataset_free(p->data);
    free(p->frames);
    p->data = data;
    p->frames = frames;
    return qv_trainer_predict(ctx, p->trainer, &item, 1, true, probs);
}

static qv_status build(qv_ctx *ctx, qv_predictor *p, int threads)
{
    static const float one_frame[4096]; /* stands in until there is a recording; as many as features.mels may be */
    qv_status status = QV_OK;
    p->settings = p->checkpoint->settings;
    p->settings.device = QV_DEVICE_CPU;
    p->settings.precision = QV_PRECISION_FP32;
    p->settings.batch = qv_checkpoint_batch(p->checkpoint);
    if (p->settings.batch > MOST_WINDOWS) p->settings.batch = MOST_WINDOWS;
    p->manifest = (qv_manifest){.items = &p->item, .n = 1, .n_speakers = 1};
    p->item.label = -1;
    p->features = (qv_features){.config = qv_settings_features(&p->settings), .entries = &p->entry, .n = 1};
    QV_TRY(qv_pool_new(ctx, &p->pool, qv_threads(threads)));
    if (p->features.config.kind == QV_KIND_MEL) QV_TRY(qv_extractor_new(ctx, &p->extractor, &p->features.config));
    QV_TRY(describe(ctx, p, one_frame, 1, &p->data));
    qv_trainer_options o = {.pool = p->pool};
    QV_TRY(qv_trainer_new(ctx, &p->trainer, &p->settings, p->data, &o, p->checkpoint->n_classes));
    QV_TRY(qv_checkpoint_load(ctx, p->checkpoint, p->trainer, false));
done:
    return status;
}

qv_status qv_predictor_open(qv_ctx *ctx, qv_predictor **out, const char *checkpoint, int threads)
{
    return qv_predictor_open_speaker(ctx, out, checkpoint, NULL, threads);
}

qv_status qv_predictor_open_speaker(qv_ctx *ctx, qv_predictor **out, const char *checkpoint, const char *stats, int threads)
{
    qv_status status = QV_OK;
    qv_predictor *p = NULL;
    *out = NULL;
    QV_TRY(qv_alloc(ctx, &p, 1, sizeof *p));
    QV_TRY(qv_checkpoint_open(ctx, &p->checkpoint, checkpoint));
    if (p->checkpoint->settings.kind == QV_KIND_IMAGE) {
        status = qv_fail(ctx, QV_ERR_UNSUPPORTED, "%s judges images: quaver eval and quaver predict --manifest FOLDER take those",
                         checkpoint);
        goto done;
    }
    bool by_speaker = p->checkpoint->settings.normalize == QV_NORM_SPEAKER;
    if (by_speaker && !stats) {
        status = qv_fail(ctx, QV_ERR_UNSUPPORTED,
                         "%s normalizes by speaker and cannot judge one recording alone; give the voice's statistics (quaver "
                         "stats writes them), or train with --normalize corpus",
                         checkpoint);
        goto done;
    }
    if (!by_speaker && stats) {
        status = qv_fail(ctx, QV_ERR_USAGE, "%s does not normalize by speaker: statistics of a voice have no place in it",
                         checkpoint);
        goto done;
    }
    if (stats) QV_TRY(qv_speaker_read(ctx, &p->speaker, stats, &p->checkpoint->settings));
    QV_TRY(build(ctx, p, threads));
    *out = p;
    p = NULL;
done:
    qv_predictor_close(p);
    return status;
}

void qv_predictor_close(qv_predictor *p)
{
    if (!p) return;
    qv_trainer_free(p->trainer);
    qv_dataset_free(p->data);
    free(p->frames);
    qv_extractor_free(p->extractor);
    qv_pool_free(p->pool);
    qv_speaker_free(&p->speaker);
    qv_checkpoint_close(p->checkpoint);
    free(p);
}

int qv_predictor_classes(const qv_predictor *p) { return p->checkpoint->n_classes; }

const char *qv_predictor_class(const qv_predictor *p, int i)
{
    return i >= 0 && i < p->checkpoint->n_classes ? p->checkpoint->classes[i] : NULL;
}

int qv_predictor_rate(const qv_predictor *p) { return p->settings.rate; }

/* As those of a file are looked at. */
static qv_status check_samples(qv_ctx *ctx, const float *samples, size_t n)
{
    size_t bad = qv_samples_check(samples, n), zeros = 0;
    if (bad < n)
        return qv_fail(ctx, QV_ERR_DATA, "sample %zu, counted from 0, is %g; numbers near [-1, 1] were expected", bad,
                       (double)samples[bad]);
    while (zeros < n && samples[zeros] == 0) zeros++;
    return zeros < n ? QV_OK : qv_fail(ctx, QV_ERR_DATA, "%zu samples hold no signal: none is other than zero", n);
}

qv_status qv_predictor_samples(qv_ctx *ctx, qv_predictor *p, const float *samples, size_t n, double *probs)
{
    qv_status status = QV_OK;
    float *copy = NULL, *frames = NULL;
    size_t begin, end;
    if (!p->extractor)
        return qv_fail(ctx, QV_ERR_UNSUPPORTED, "%s judges frames from .npy files, not sound", p->checkpoint->path);
    QV_TRY(check_samples(ctx, samples, n));
    qv_extractor_trim(p->extractor, samples, n, &begin, &end);
    QV_TRY(qv_alloc(ctx, &copy, end - begin, sizeof *copy));
    for (size_t i = begin; i < end; i++) copy[i - begin] = samples[i];
    qv_extractor_loudness(p->extractor, copy, end - begin);
    int64_t count = qv_extractor_frames(p->extractor, end - begin);
    if (count > INT32_MAX) {
        status = qv_fail(ctx, QV_ERR_DATA, "%zu samples are more than a recording may have", n);
        goto done;
    }
    QV_TRY(qv_alloc(ctx, &frames, (size_t)count, (size_t)p->settings.mels * sizeof *frames));
    qv_extractor_run(p->extractor, copy, end - begin, frames, true);
    status = judge(ctx, p, frames, count, probs);
done:
    free(copy);
    return status;
}

static qv_status judge_frames(qv_ctx *ctx, qv_predictor *p, const char *path, double *probs)
{
    qv_feature_entry entry;
    float *frames;
    char *file;
    qv_status status = qv_strdup(ctx, &file, path);
    if (status != QV_OK) return status;
    status = qv_frames_read(ctx, &(qv_item){.file = file, .end = -1}, &p->features.config, &frames, &entry);
    if (status == QV_OK) status = judge(ctx, p, frames, entry.frames, probs);
    free(file);
    return status;
}

qv_status qv_predictor_file(qv_ctx *ctx, qv_predictor *p, const char *path, double *probs)
{
    qv_audio audio = {0};
    if (!p->extractor) return judge_frames(ctx, p, path, probs);
    qv_status status = qv_audio_read(ctx, &audio, path, 0, -1, p->settings.rate);
    if (status == QV_OK) status = qv_predictor_samples(ctx, p, audio.samples, audio.n, probs);
    qv_audio_free(&audio);
    return status;
}
