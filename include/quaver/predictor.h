/* Classifying recordings with a trained checkpoint. */
#ifndef QUAVER_PREDICTOR_H
#define QUAVER_PREDICTOR_H

#include <stddef.h>

#include "quaver/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct qv_predictor qv_predictor;

/* Version of the library, "0.1.0". */
const char *qv_version(void);

/* Loads a checkpoint for the CPU; threads 0: one a processor. QV_ERR_DATA: the file is no sound checkpoint. QV_ERR_IO:
 * it is not there, or may not be read. QV_ERR_UNSUPPORTED: it judges images, or was trained with speaker normalization,
 * which needs more than one recording. */
qv_status qv_predictor_open(qv_ctx *ctx, qv_predictor **out, const char *checkpoint, int threads);

/* The same for one voice, whose statistics `quaver stats` has written to the file `stats`: what a checkpoint with
 * speaker normalization needs. NULL: none. QV_ERR_USAGE: the checkpoint does not normalize by speaker.
 * QV_ERR_DATA: the file is no sound one, or was made with other settings of the features. */
qv_status qv_predictor_open_speaker(qv_ctx *ctx, qv_predictor **out, const char *checkpoint, const char *stats,
                                    int threads);
void qv_predictor_close(qv_predictor *p);

/* Number of classes, and the name of class i (NULL outside). */
int qv_predictor_classes(const qv_predictor *p);
const char *qv_predictor_class(const qv_predictor *p, int i);

/* Probabilities [classes] of one recording: any format that libsndfile reads, any rate and channels; for a checkpoint
 * that was trained on .npy files, one of those. QV_ERR_IO where it is not there or may not be opened, QV_ERR_DATA where
 * what it holds cannot be read or is no signal, QV_ERR_USAGE where its frames have another size. */
qv_status qv_predictor_file(qv_ctx *ctx, qv_predictor *p, const char *path, double *probs);

/* The same for n mono samples in [-1, 1] at `rate` Hz; the rate must be the one the checkpoint was
 * trained at, as qv_predictor_rate tells. QV_ERR_DATA names the first sample that is no number near that, or says that
 * all are zero. QV_ERR_UNSUPPORTED: the checkpoint judges frames from .npy files. */
int qv_predictor_rate(const qv_predictor *p);
qv_status qv_predictor_samples(qv_ctx *ctx, qv_predictor *p, const float *samples, size_t n, double *probs);

#ifdef __cplusplus
}
#endif
#endif
