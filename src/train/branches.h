/* How far apart the two branches of a block are: what a shake has to move.
 *
 * A coefficient a mixes them to a z1 + (1 - a) z2 = (z1 + z2)/2 + (2a - 1) (z1 - z2)/2. A network that makes the second
 * term small, beside the first or beside what the shortcut brings, has got rid of the shake's noise. */
#ifndef QV_TRAIN_BRANCHES_H
#define QV_TRAIN_BRANCHES_H

#include "train/trainer.h"

typedef struct qv_branches {
    char layer[32]; /* "stage1.block0" */
    double moved;   /* rms of (z1 - z2)/2, in rms of the block's output with even coefficients */
    double
        apart; /* rms of z1 - z2, in rms of z1 + z2: 1 where they have nothing to do with each other, 0 where equal */
} qv_branches;

/* Of all blocks, from the input on, over the middle windows of at most 128 of the recordings, with running statistics.
 * s, d: the trainer's settings and dataset. Runs on the CPU. *out is released with free(). */
qv_status qv_branches_measure(qv_ctx *ctx, qv_trainer *t, const qv_settings *s, const qv_dataset *d,
                              const size_t *items, size_t n, qv_branches **out, size_t *n_out);

#endif
