/* What decides the numbers of features. */
#ifndef QV_DATA_FEATURE_CONFIG_H
#define QV_DATA_FEATURE_CONFIG_H

#include "base/status.h"

/* RMS: the trimmed recording is brought to a root mean square of -26 dB of full scale. */
typedef enum qv_loudness { QV_LOUDNESS_NONE, QV_LOUDNESS_RMS } qv_loudness;

/* What a manifest's files hold: sound, frames that somebody has computed (data/npy.h), or images (data/images.h), whose
 * frames are their rows. */
typedef enum qv_feature_kind { QV_KIND_MEL, QV_KIND_NPY, QV_KIND_IMAGE } qv_feature_kind;

/* All that decides the numbers. Where the kind is not MEL, hop and mels alone count. */
typedef struct qv_feature_config {
    qv_feature_kind kind;
    int rate;           /* Hz; everything is resampled to it (16000) */
    double window, hop; /* seconds (0.025, 0.020) */
    int fft;            /* points (512): a power of two that holds the window */
    int mels;     /* values a frame (64); of the other kinds as many as the files have: columns * channels of images */
    int channels; /* of images; they lie side by side in each column. 0 counts as 1 */
    int rows;     /* of images */
    double low, high; /* Hz (0, 8000) */
    double floor;     /* log(max(x, floor)) (1e-10) */
    double trim;      /* dB under the recording's peak; edges quieter are cut; 0: no trimming (40) */
    qv_loudness loudness;
} qv_feature_config;

qv_feature_config qv_feature_defaults(void);
/* QV_ERR_USAGE that names the setting which makes no sense. */
qv_status qv_feature_check(qv_ctx *ctx, const qv_feature_config *c);

#endif
