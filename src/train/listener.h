/* Sound that goes on: a decision every `step` seconds about the last `span` seconds, each as qv_predictor_samples
 * makes it (edges trimmed, windows averaged). Memory depends on the span alone. */
#ifndef QV_TRAIN_LISTENER_H
#define QV_TRAIN_LISTENER_H

#include "base/status.h"
#include "quaver/predictor.h"

typedef struct qv_decision {
    double start, end;   /* seconds since the beginning: what was listened to */
    double level;        /* root mean square in dB of full scale; -INFINITY: nothing but zeros */
    const double *probs; /* [classes], NULL where there are nothing but zeros */
} qv_decision;

typedef qv_status (*qv_decision_fn)(qv_ctx *ctx, void *user, const qv_decision *d);
typedef struct qv_listener qv_listener;

/* 0 < step <= span <= 600 s. The predictor is borrowed; samples come at its rate. */
qv_status qv_listener_new(qv_ctx *ctx, qv_listener **out, qv_predictor *p, double span, double step, qv_decision_fn fn,
                          void *user);
void qv_listener_free(qv_listener *l);

/* Mono samples, full scale 1. QV_ERR_DATA names the second at which one is not a number near that. A qv_audio_fn. */
qv_status qv_listener_push(qv_ctx *ctx, void *listener, const float *samples, size_t n);
/* One more decision, where something came after the last. */
qv_status qv_listener_end(qv_ctx *ctx, qv_listener *l);

#endif
