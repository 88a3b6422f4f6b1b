#define _DEFAULT_SOURCE /* gethostname */
#include "run/events.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/io.h"
#include "base/protobuf.h"

/* Numbers of fields in event.proto and summary.proto. */
enum { EVENT_TIME = 1, EVENT_STEP = 2, EVENT_VERSION = 3, EVENT_SUMMARY = 5, EVENT_SESSION = 7 };
enum { SUMMARY_VALUE = 1, VALUE_TAG = 1, VALUE_SIMPLE = 2, SESSION_STATUS = 1, SESSION_START = 1 };

struct qv_events {
    FILE *f;
    char *path;
};

uint32_t qv_crc32c(const void *data, size_t n)
{
    const unsigned char *p = data;
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < n; i++) {
        crc ^= p[i];
        for (int k = 0; k < 8; k++) crc = crc >> 1 ^ (0x82f63b78u & (0u - (crc & 1)));
    }
    return ~crc;
}

/* A CRC of data that holds CRCs would be weak; so the framing turns and shifts it. */
static uint32_t masked(const void *data, size_t n)
{
    uint32_t crc = qv_crc32c(data, n);
    return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

/* One framed record; frees the event. */
static qv_status write_event(qv_ctx *ctx, qv_events *e, qv_buf *event)
{
    unsigned char head[12], tail[4];
    qv_status status = qv_buf_check(ctx, event);
    if (status == QV_OK) {
        qv_put_uint(head, event->len, 8);
        qv_put_uint(head + 8, masked(head, 8), 4);
        qv_put_uint(tail, masked(event->data, event->len), 4);
        bool written = fwrite(head, 1, sizeof head, e->f) == sizeof head &&
                       fwrite(event->data, 1, event->len, e->f) == event->len &&
                       fwrite(tail, 1, sizeof tail, e->f) == sizeof tail && fflush(e->f) == 0;
        if (!written) status = qv_fail_errno(ctx, "cannot write %s", e->path);
    }
    qv_buf_free(event);
    return status;
}

static void start_event(qv_buf *event, uint64_t step)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    qv_pb_double(event, EVENT_TIME, (double)now.tv_sec + 1e-9 * (double)now.tv_nsec);
    qv_pb_int(event, EVENT_STEP, (int64_t)step);
}

static qv_status write_start(qv_ctx *ctx, qv_events *e, uint64_t step)
{
    qv_buf version = {0}, session = {0}, start = {0};
    start_event(&version, 0);
    qv_pb_text(&version, EVENT_VERSION, "brain.Event:2");
    qv_status status = write_event(ctx, e, &version);
    if (status != QV_OK) return status;
    start_event(&start, step);
    qv_pb_int(&session, SESSION_STATUS, SESSION_START);
    qv_pb_message(&start, EVENT_SESSION, &session);
    return write_event(ctx, e, &start);
}

qv_status qv_events_open(qv_ctx *ctx, qv_events **out, const char *folder, uint64_t step)
{
    qv_status status = QV_OK;
    qv_events *e = NULL;
    char host[64] = "localhost", name[160];
    *out = NULL;
    gethostname(host, sizeof host - 1);
    snprintf(name, sizeof name, QV_EVENTS_PREFIX "%010lld.%s.%ld", (long long)time(NULL), host, (long)getpid());
    QV_TRY(qv_alloc(ctx, &e, 1, sizeof *e));
    QV_TRY(qv_path_join(ctx, &e->path, folder, name));
    e->f = fopen(e->path, "ab");
    if (!e->f) {
        status = qv_fail_errno(ctx, "cannot write %s", e->path);
        goto done;
    }
    QV_TRY(write_start(ctx, e, step));
    *out = e;
    e = NULL;
done:
    qv_events_close(e);
    return status;
}

void qv_events_close(qv_events *e)
{
    if (!e) return;
    if (e->f) fclose(e->f);
    free(e->path);
    free(e);
}

qv_status qv_events_add(qv_ctx *ctx, qv_events *e, const qv_epoch_row *row)
{
    qv_buf event = {0}, summary = {0};
    const struct {
        const char *tag;
        double value;
    } values[] = {
        {"loss", row->loss},
        {"learning_rate", row->lr},
        {"samples_per_second", row->rate},
        {"UA/train", row->train_ua},
        {"UA/val", row->val_ua},
        {"UA/test", row->test_ua},
        {"gap/val", 100 * (row->train_ua - row->val_ua)},
        {"gap/test", 100 * (row->train_ua - row->test_ua)},
    };
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        qv_buf value = {0};
        if (isnan(values[i].value)) continue; /* not evaluated in this epoch */
        qv_pb_text(&value, VALUE_TAG, values[i].tag);
        qv_pb_float(&value, VALUE_SIMPLE, (float)values[i].value);
        qv_pb_message(&summary, SUMMARY_VALUE, &value);
    }
    start_event(&event, row->step);
    qv_pb_message(&event, EVENT_SUMMARY, &summary);
    return write_event(ctx, e, &event);
}
