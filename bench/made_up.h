/* What the benches train on: noise for features, and the settings of a network. */
#ifndef QV_BENCH_MADE_UP_H
#define QV_BENCH_MADE_UP_H

#include "train/trainer.h"

enum { QV_BENCH_CLASSES = 4 };

typedef struct qv_made_up {
    qv_features features;
    qv_dataset data;
    float *frames;
    size_t *items;
} qv_made_up;

/* Recordings of 1 to 3 patches, so many; all lie in the same few thousand frames, so that there may be many. */
qv_status qv_made_up_new(qv_ctx *ctx, qv_made_up *d, size_t recordings, int patch, int mels);
void qv_made_up_free(qv_made_up *d);

/* The reference network on batches of 64 patches of 64 frames and bands, SGD with momentum; the rest at its
 * defaults. */
qv_status qv_bench_settings(qv_ctx *ctx, qv_settings *s);

#endif
