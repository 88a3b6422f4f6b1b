/* The emotions of a long recording over its time, as one SVG picture. Memory does not grow with the length:
 * where there are many decisions, neighbours are averaged. */
#ifndef QV_REPORT_TIMELINE_H
#define QV_REPORT_TIMELINE_H

#include "base/buf.h"

typedef struct qv_timeline qv_timeline;

/* Names are borrowed. */
qv_status qv_timeline_new(qv_ctx *ctx, qv_timeline **out, char *const *classes, int n_classes);
void qv_timeline_free(qv_timeline *t);

/* The next decision, made at `end` seconds; probs NULL: silence. */
void qv_timeline_add(qv_timeline *t, double end, const double *probs);

/* A whole SVG file: the probabilities above each other, white where it is silent. */
void qv_timeline_draw(const qv_timeline *t, const char *title, qv_buf *b);

#endif
