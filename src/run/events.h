/* The learning curves as TensorBoard reads them: one file a process and fold, appended to epoch by epoch.
 *
 * TFRecord framing (length, its masked CRC-32C, data, theirs) of Event messages (tensorflow/core/util/event.proto).
 * A file that goes on where an earlier one left off begins with a mark that makes readers forget later steps. */
#ifndef QV_RUN_EVENTS_H
#define QV_RUN_EVENTS_H

#include "run/record.h"

#define QV_EVENTS_PREFIX "events.out.tfevents."

typedef struct qv_events qv_events;

/* FOLDER/events.out.tfevents.SECONDS.HOST.PROCESS; `step` is the first that may come: readers forget it and
 * later ones of earlier files. */
qv_status qv_events_open(qv_ctx *ctx, qv_events **out, const char *folder, uint64_t step);
void qv_events_close(qv_events *e);

/* loss, learning_rate, samples_per_second, and where they were evaluated UA/train, UA/val, UA/test, gap/val and
 * gap/test (in points), at the row's step. On disk when it returns. */
qv_status qv_events_add(qv_ctx *ctx, qv_events *e, const qv_epoch_row *row);

/* CRC-32C (Castagnoli), for tests. */
uint32_t qv_crc32c(const void *data, size_t n);

#endif
