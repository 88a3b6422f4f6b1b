/* The recordings of one training or evaluation as the tables that a program gathers from. */
#ifndef QV_TRAIN_DATASET_H
#define QV_TRAIN_DATASET_H

#include "data/features.h"
#include "train/settings.h"

typedef struct qv_dataset {
    const qv_manifest *manifest; /* borrowed, as the features */
    const qv_features *features;
    qv_utterance *utterances; /* [n]: as the manifest's items; skipped ones have 0 frames */
    size_t n;
    float *norm; /* [rows][2][mels]: mean, 1 / deviation of each band; of several corpora a row each, then that of
                    all together, which also stands for a corpus that does not train; of speakers and utterances a row
                    each; then the other voices */
    int norms;
    int rows;   /* of norm, with the voices */
    int voices; /* of a recording in training, from its utterance's `voices` on; 0: its own alone */
} qv_dataset;

/* Tables with the normalization computed: `corpus` over the recordings with in_training set (all of
 * in_training may be NULL when corpus_norm is given), `speaker` and `utterance` over each one's own frames.
 * corpus_norm: rows of a trained model, [norms][2][mels], used instead of computing them; NULL: compute. */
qv_status qv_dataset_new(qv_ctx *ctx, qv_dataset **out, const qv_manifest *m, const qv_features *f,
                         qv_normalization normalization, const bool *in_training, const float *corpus_norm);
/* The dataset of a training with the settings' normalization and augment.voices. */
qv_status qv_dataset_new_training(qv_ctx *ctx, qv_dataset **out, const qv_manifest *m, const qv_features *f,
                                  const qv_settings *s, const bool *in_training);

/* How many rows of single corpora stand before that of all: none in a training over one. A trained model's rows
 * (given) are also looked up where a manifest names one corpus and has recordings of none beside it. */
int qv_dataset_corpora(const qv_manifest *m, bool given);

void qv_dataset_free(qv_dataset *d);

/* Of rows [rows][2][mels] from the tensor `name` of a file: QV_ERR_DATA names the first number that is no finite mean,
 * or no finite scale above 0. */
qv_status qv_norm_check(qv_ctx *ctx, const char *path, const char *name, const float *norm, size_t rows, size_t mels);

/* Seconds of frames that belong to speaker `id`. */
double qv_dataset_speaker_seconds(const qv_dataset *d, int id);

/* Windows over one recording of `frames` frames: every half patch from 0, and one that ends with the
 * recording; or the one in the middle. Shorter recordings: one window from 0, which repeats them. */
int qv_window_count(int frames, int patch, bool full);
int qv_window_start(int frames, int patch, bool full, int i);

#endif
