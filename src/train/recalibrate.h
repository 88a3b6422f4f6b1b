/* Batch norms that fit the network without its shake: `eval.bn = even`.
 *
 * What a shaken block adds up varies more in training than in evaluation (E[a^2 + (1-a)^2] is 2/3 for a uniform a, and
 * 1/2 for an even one), so that the running averages are not the statistics that evaluation meets. Here they are taken
 * anew, over the windows of the training recordings and with even coefficients. */
#ifndef QV_TRAIN_RECALIBRATE_H
#define QV_TRAIN_RECALIBRATE_H

#include "train/trainer.h"

/* Replaces the running statistics of a trainer whose program has the list MEASURE (eval.bn, or the option `measure`) by
 * the means and unbiased variances over all windows of its training recordings, taken in batches in an order
 * that is mixed, but always the same; each batch is normalized by its own statistics, and the last one filled up from
 * the front again. d: the trainer's dataset. QV_ERR_NUMERIC where one is not finite; after any failure the running
 * statistics are spoilt. */
qv_status qv_recalibrate(qv_ctx *ctx, qv_trainer *t, const qv_dataset *d);

#endif
