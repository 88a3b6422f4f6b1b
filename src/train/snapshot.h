/* A trainer's weights and running statistics, kept in memory. */
#ifndef QV_TRAIN_SNAPSHOT_H
#define QV_TRAIN_SNAPSHOT_H

#include "train/trainer.h"

/* Zero-initialized is empty. */
typedef struct qv_snapshot {
    double *values; /* of all parameters and running statistics, in the program's order */
    size_t n;
} qv_snapshot;

/* Replaces what the snapshot holds; restoring gives the same bits. */
qv_status qv_snapshot_take(qv_ctx *ctx, qv_snapshot *s, qv_trainer *t);
/* Into the trainer it was taken of, or one of the same network. */
void qv_snapshot_restore(const qv_snapshot *s, qv_trainer *t);
void qv_snapshot_free(qv_snapshot *s);

#endif
