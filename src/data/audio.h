/* Recordings, whatever their format, as mono samples. */
#ifndef QV_DATA_AUDIO_H
#define QV_DATA_AUDIO_H

#include "base/status.h"

/* Samples of a file (or its part from start to end seconds, end < 0 or past its end: to the end)
 * as mono floats at `rate`, channels averaged; full scale is 1. QV_ERR_DATA or QV_ERR_IO, with a
 * message that names the file, for what is no recording, truncated, joined of several, silent or not finite. */
typedef struct qv_audio {
    float *samples;
    size_t n;
    int source_rate, channels;
} qv_audio;
qv_status qv_audio_read(qv_ctx *ctx, qv_audio *out, const char *path, double start, double end, int rate);
/* The same of one channel alone, 1, 2, ...; 0: their average. */
qv_status qv_audio_read_channel(qv_ctx *ctx, qv_audio *out, const char *path, double start, double end, int channel,
                                int rate);
void qv_audio_free(qv_audio *a);
/* Index of the first sample that is none: not a number, or beyond 1e10, where squares would leave the range of float
 * (full scale is 1). n: all are fine. */
size_t qv_samples_check(const float *samples, size_t n);
/* The whole file block by block, in memory that does not depend on its length; any length. What `take` returns
 * ends the reading where it is not QV_OK. */
typedef qv_status (*qv_audio_fn)(qv_ctx *ctx, void *user, const float *samples, size_t n);
qv_status qv_audio_each(qv_ctx *ctx, const char *path, int rate, qv_audio_fn take, void *user);
/* What decodes recordings and its version, of the library that is loaded. */
const char *qv_decoder_name(void);

/* By its ending: is the file one that libsndfile decodes by a header of its own? */
bool qv_is_audio(const char *path);

#endif
