/* Change of sampling rate, in blocks, so that the input need never be in memory whole. Made by
 * resample_soxr.c, or by resample_plain.c in a build without soxr. */
#ifndef QV_DATA_RESAMPLE_H
#define QV_DATA_RESAMPLE_H

#include "base/status.h"

/* Samples that grow; zero-initialized is empty. */
typedef struct qv_samples {
    float *data;
    size_t n, cap;
} qv_samples;

typedef struct qv_resampler qv_resampler;

/* Rates in Hz, each > 0. */
qv_status qv_resampler_new(qv_ctx *ctx, qv_resampler **out, int from, int to);
void qv_resampler_free(qv_resampler *r);

/* Appends to `out` what n further samples give; delayed by the filter, which qv_resampler_end makes up for. */
qv_status qv_resampler_push(qv_ctx *ctx, qv_resampler *r, const float *in, size_t n, qv_samples *out);

/* Appends the rest. */
qv_status qv_resampler_end(qv_ctx *ctx, qv_resampler *r, qv_samples *out);

/* What resamples and its version; part of the features' identity. */
const char *qv_resampler_name(void);

#endif
