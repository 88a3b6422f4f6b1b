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
    const char *task;    /* what progress is reported as, borrowed; NULL: "training" */
    qv_pool *pool;       /* borrowed */
    qv_gpu_device *gpu;  /* CUDA: borrowed, shared with other trainers; NULL: one of its own */
    size_t resident_limit; /* CUDA: features of more bytes are streamed; 0: those that do not fit */
    bool no_fuse, keep_buffers, poison, profile;
    bool measure; /* qv_recalibrate is wanted, whatever the settings say */
    bool direct; /* CPU: no Winograd convolutions */
    bool embeddings; /* qv_trainer_embed is called */
} qv_trainer_options;

/* Builds a network for so many classes, loads it on the device and starts its parameters. QV_ERR_USAGE where the
 * dataset has no row of normalization (rows < 1). */
qv_status qv_trainer_new(qv_ctx *ctx, qv_trainer **out, const qv_settings *s, const qv_dataset *d,
                         const qv_trainer_options *o, int classes);
void qv_trainer_free(qv_trainer *t);

/* Another dataset of the same number of recordings and normalization rows from now on. */
qv_status qv_trainer_use(qv_ctx *ctx, qv_trainer *t, const qv_dataset *d);

/* The losses of some steps. */
typedef struct qv_loss {
    double sum;
    uint64_t steps;
} qv_loss;

/* Steps until `epochs` times the training set has been seen; each adds to *loss. QV_ERR_NUMERIC, naming the
 * step, when a loss is not finite: the trainer then is broken. QV_ERR_INTERRUPTED leaves the trainer between two steps: the same call goes on.
 * So it does after QV_OK with steps left, which says that somebody wants a checkpoint (qv_save_wanted). */
qv_status qv_trainer_run(qv_ctx *ctx, qv_trainer *t, uint64_t epochs, qv_loss *loss);

/* Class probabilities [n][classes] of recordings, averaged over their windows (full), or of the middle window.
 * QV_ERR_NUMERIC when one is not finite. */
qv_status qv_trainer_predict(qv_ctx *ctx, qv_trainer *t, const size_t *items, size_t n, bool full, double *probs);

/* The same with the embeddings [n][qv_net.embedding_size], the means over the windows too: what the embedding layer
 * says, or the pooled features before the final ReLU where there is none. */
qv_status qv_trainer_embed(qv_ctx *ctx, qv_trainer *t, const size_t *items, size_t n, bool full, double *probs,
                           double *embeddings);

/* Steps done. */
uint64_t qv_trainer_step(const qv_trainer *t);
/* Steps of so many passes over so many recordings: those whose batch begins before the passes end. */
uint64_t qv_steps(double epochs, size_t recordings, size_t batch);
uint64_t qv_trainer_steps(const qv_trainer *t, double epochs);
/* Learning rate of a step, counted from 0. */
double qv_trainer_rate(const qv_trainer *t, uint64_t step);
/* The recordings that it trains on. */
const size_t *qv_trainer_items(const qv_trainer *t, size_t *n);
qv_net *qv_trainer_net(qv_trainer *t);
qv_exec *qv_trainer_exec(qv_trainer *t);
/* A loss was not finite: it does not go on, and is not saved. */
bool qv_trainer_broken(const qv_trainer *t);
/* For checkpoints. */
void qv_trainer_set_step(qv_trainer *t, uint64_t step);

/* The permutation of [0, n) of one epoch: Fisher and Yates with draws of Philox. */
void qv_epoch_order(int32_t *order, size_t n, const uint32_t key[2], uint64_t epoch);

#endif
