/* A checkpoint put to work on the recordings of a manifest. */
#ifndef QV_TRAIN_MODEL_H
#define QV_TRAIN_MODEL_H

#include "train/checkpoint.h"

typedef struct qv_model_options {
    qv_device device;
    char *gpu; /* which, as qv_gpu_open takes it; NULL: the first */
    int threads; /* 0: one a processor */
    const char *cache_dir;
    bool no_cache;
    bool one_speaker; /* all recordings are of one voice, whatever the manifest says */
    bool embeddings;  /* also those of qv_model_answers */
    const float *norm; /* [2][mels] of that voice, from elsewhere (train/speaker.h); NULL: from the recordings */
} qv_model_options;

/* Speaker normalization is refused for a voice with fewer seconds than this. */
#define QV_MIN_SPEAKER_SECONDS 10.0

/* What a checkpoint says of every recording, averaged over full windows; zeros where it was skipped. */
typedef struct qv_model_answers {
    double *probs;      /* [n][classes of the checkpoint] */
    double *embeddings; /* [n][dims], see qv_trainer_embed; NULL where they were not asked for */
    int dims;
} qv_model_answers;

/* Harmless on a zeroed struct, which it leaves. */
void qv_model_answers_free(qv_model_answers *a);

/* (*features)->entries[i].skipped says why a recording has no answer. Both results are the caller's. A checkpoint with
 * speaker normalization needs speakers in the manifest, each with QV_MIN_SPEAKER_SECONDS. */
qv_status qv_model_classify(qv_ctx *ctx, const qv_checkpoint *c, qv_manifest *m, const qv_model_options *o,
                            qv_features **features, qv_model_answers *answers);

#endif
