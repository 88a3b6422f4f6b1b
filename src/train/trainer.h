/* One training: a network on a device, its data, the steps, evaluation, checkpoints. */
#ifndef QV_TRAIN_TRAINER_H
#define QV_TRAIN_TRAINER_H

#include "backend/exec.h"
#include "train/dataset.h"

typedef struct qv_trainer qv_trainer;

typedef struct qv_trainer_options {
    const size_t *items; /* training recordings: indices into the dataset */
    size_t n_items;      /* 0: evaluation only */
    uint64_t fold;       /* part of the key of all draws */
    qv_pool *pool;       /* borrowed */
    bool no_fuse, poison, profile;
} qv_trainer_options;

/* Builds a network for so many classes, loads it on the device and starts its parameters. */
qv_status qv_trainer_new(qv_ctx *ctx, qv_trainer **out, const qv_settings *s, const qv_dataset *d,
                         const qv_trainer_options *o, int classes);
void qv_trainer_free(qv_trainer *t);

/* Another dataset of the same number of recordings and normalization rows from now on. */
void qv_trainer_use(qv_trainer *t, const qv_dataset *d);

/* Steps until `epochs` times the training set has been seen; *loss is the mean over the steps done, NaN where
 * there were none. QV_ERR_NUMERIC, naming the step, when the loss is not finite. QV_ERR_INTERRUPTED leaves
 * the trainer between two steps. */
qv_status qv_trainer_run(qv_ctx *ctx, qv_trainer *t, uint64_t epochs, double *loss);

/* Class probabilities [n][classes] of recordings, averaged over their windows (full), or of the middle window.
 * QV_ERR_NUMERIC when one is not finite. */
qv_status qv_trainer_predict(qv_ctx *ctx, qv_trainer *t, const size_t *items, size_t n, bool full, double *probs);

uint64_t qv_trainer_step(const qv_trainer *t);
/* Steps of a whole training. */
uint64_t qv_trainer_total_steps(const qv_trainer *t);
/* Learning rate of the step that comes next. */
double qv_trainer_rate(const qv_trainer *t);
qv_net *qv_trainer_net(qv_trainer *t);
qv_exec *qv_trainer_exec(qv_trainer *t);
/* For checkpoints. */
void qv_trainer_set_step(qv_trainer *t, uint64_t step);

/* The permutation of [0, n) of one epoch: Fisher and Yates with draws of Philox. */
void qv_epoch_order(int32_t *order, size_t n, const uint32_t key[2], uint64_t epoch);

#endif
