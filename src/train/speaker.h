/* Statistics of one voice for checkpoints with speaker normalization: made once from recordings without labels,
 * then used for any later recording of the voice, however short.
 *
 * A safetensors file: "norm" [2][mels] F32 (mean, 1 / deviation of each band); metadata format, format_version,
 * quaver, speaker, seconds, and features, the settings they hold for. */
#ifndef QV_TRAIN_SPEAKER_H
#define QV_TRAIN_SPEAKER_H

#include "train/model.h"

typedef struct qv_speaker {
    char *name;
    double seconds; /* of speech behind the statistics */
    size_t recordings, skipped; /* of qv_speaker_compute: those they are of, those that could not be read */
    float *norm;    /* [2][mels] */
} qv_speaker;

/* Harmless on a zeroed struct. */
void qv_speaker_free(qv_speaker *s);

/* Over all recordings of the manifest, whoever it says speaks; skipped ones are told as warnings.
 * QV_ERR_USAGE with advice where there are fewer than QV_MIN_SPEAKER_SECONDS. */
qv_status qv_speaker_compute(qv_ctx *ctx, qv_speaker *out, const char *name, const qv_settings *settings,
                             const qv_manifest *m, const qv_model_options *o);

qv_status qv_speaker_write(qv_ctx *ctx, const qv_speaker *s, const qv_settings *settings, const char *path);

/* QV_ERR_DATA where the file is not sound or its settings of the features are not those of `settings`. */
qv_status qv_speaker_read(qv_ctx *ctx, qv_speaker *out, const char *path, const qv_settings *settings);

#endif
