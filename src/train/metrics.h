/* How good a classifier's answers are.
 *
 * UA (unweighted accuracy, also UAR or balanced accuracy) is the mean of the recalls of the
 * classes that occur in the truth; WA (weighted accuracy) is the share of right answers.
 * Both in 0..1. Nothing here knows where the answers come from. */
#ifndef QV_TRAIN_METRICS_H
#define QV_TRAIN_METRICS_H

#include "base/status.h"

/* One answer a recording; the arrays belong to the caller. */
typedef struct qv_answers {
    const int *truth, *predicted; /* [n], 0..classes-1 */
    const int *speaker;           /* [n], 0..speakers-1; may be NULL where no function below needs it */
    size_t n;
    int classes, speakers;
} qv_answers;

typedef struct qv_class_score {
    size_t n, predicted; /* recordings of the class, answers that name it */
    double recall;       /* NaN where n is 0 */
    double precision;    /* NaN where predicted is 0 */
    double f1;           /* NaN where both are 0, else 2 hits / (n + predicted) */
} qv_class_score;

typedef struct qv_metrics {
    int classes;
    int present; /* classes with at least one recording */
    size_t n;
    size_t *confusion;     /* [classes][classes]: row is the truth, column the answer */
    qv_class_score *score; /* [classes] */
    double ua, wa;         /* NaN where n is 0, as all below */
    double macro_f1;       /* mean over the classes that occur in truth or answers */
    double chance_ua;      /* guessing: 1 / present */
    double chance_wa;      /* always the largest class: its share */
} qv_metrics;

/* The class of the largest probability, the first of equals. */
int qv_largest(const double *probs, int classes);

/* Fails with QV_ERR_INTERNAL on a label outside 0..classes-1. Release with qv_metrics_free. */
qv_status qv_metrics_compute(qv_ctx *ctx, qv_metrics *out, const qv_answers *a);
/* The same from a confusion matrix alone, [classes][classes]. */
qv_status qv_metrics_from_confusion(qv_ctx *ctx, qv_metrics *out, const size_t *confusion, int classes);
/* Harmless on a zeroed struct, which it leaves. */
void qv_metrics_free(qv_metrics *m);

/* From a confusion matrix [classes][classes]; NaN where it is empty. For epoch lines: no memory. */
double qv_confusion_ua(const size_t *confusion, int classes);
double qv_confusion_wa(const size_t *confusion, int classes);

typedef struct qv_speaker_score {
    int speaker;
    size_t n;
    double ua, wa;
} qv_speaker_score;

/* One row a speaker with recordings, in order of the speaker's number. Release with free(). */
qv_status qv_metrics_by_speaker(qv_ctx *ctx, qv_speaker_score **out, size_t *n, const qv_answers *a);

/* Fewer speakers than this allow no interval. */
#define QV_BOOTSTRAP_SPEAKERS 8
#define QV_BOOTSTRAP_RESAMPLES 2000

/* 95 % percentile interval of the cluster bootstrap: recordings of one voice are not independent,
 * so whole speakers are drawn with replacement (Davison & Hinkley 1997, section 3.8). */
typedef struct qv_bootstrap {
    int speakers; /* with recordings; below QV_BOOTSTRAP_SPEAKERS there is no interval and the four are NaN */
    double ua_low, ua_high, wa_low, wa_high;
} qv_bootstrap;

/* QV_BOOTSTRAP_RESAMPLES draws from Philox with the key `seed`: the same everywhere, and whatever the
 * order of the answers. Classes missing from a draw do not count in its UA, as above. */
qv_status qv_bootstrap_speakers(qv_ctx *ctx, qv_bootstrap *out, const qv_answers *a, uint64_t seed);
static inline bool qv_bootstrap_valid(const qv_bootstrap *b) { return b->speakers >= QV_BOOTSTRAP_SPEAKERS; }

#endif
