/* Log-mel frames of samples, without files. */
#ifndef QV_DATA_EXTRACTOR_H
#define QV_DATA_EXTRACTOR_H

#include "data/feature_config.h"

/* The front end alone: trims, sets loudness and computes log-mel frames of samples at
 * config.rate. An extractor holds window, filters and work space; one a thread. */
typedef struct qv_extractor qv_extractor;
qv_status qv_extractor_new(qv_ctx *ctx, qv_extractor **out, const qv_feature_config *c);
void qv_extractor_free(qv_extractor *e);
/* 1 + (n - window) / hop for n >= window samples; shorter input is padded with zeros to one frame. */
int64_t qv_extractor_frames(const qv_extractor *e, size_t n);
/* out: [frames][mels]; mel energies before the logarithm when log is false (tests compare these). */
void qv_extractor_run(qv_extractor *e, const float *samples, size_t n, float *out, bool log);
/* The range [*begin, *end) left by trimming: from the first to the end of the last of the frames
 * (`window` long, every `hop`, the last ones cut short by the end) whose mean square is at most
 * config.trim dB below the largest one's. Silence is left as it is. */
void qv_extractor_trim(const qv_extractor *e, const float *samples, size_t n, size_t *begin, size_t *end);
/* Applies config.loudness in place. */
void qv_extractor_loudness(const qv_extractor *e, float *samples, size_t n);

#endif
