#include <math.h>
#include <pthread.h>
#include <soxr.h>
#include <stdlib.h>

#include "data/resample.h"

struct qv_resampler {
    soxr_t soxr;
    double ratio; /* output samples for an input sample */
};

const char *qv_resampler_name(void) { return soxr_version(); }

/* soxr 0.1.3 fills tables that all resamplers share when the first is made, without a lock. */
static void make_shared_tables(void) { soxr_delete(soxr_create(3, 1, 1, NULL, NULL, NULL, NULL)); }

qv_status qv_resampler_new(qv_ctx *ctx, qv_resampler **out, int from, int to)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_shared_tables);
    qv_status status = QV_OK;
    qv_resampler *r = NULL;
    *out = NULL;
    QV_TRY(qv_alloc(ctx, &r, 1, sizeof *r));
    r->ratio = (double)to / from;
    soxr_error_t error = NULL;
    soxr_io_spec_t io = soxr_io_spec(SOXR_FLOAT32_I, SOXR_FLOAT32_I);
    soxr_quality_spec_t quality = soxr_quality_spec(SOXR_HQ, 0);
    soxr_runtime_spec_t runtime = soxr_runtime_spec(1);
    r->soxr = soxr_create(from, to, 1, &error, &io, &quality, &runtime);
    if (!r->soxr || error) {
        status = qv_fail(ctx, QV_ERR_MEMORY, "soxr cannot resample from %d to %d Hz: %s", from, to,
                         error ? error : "no memory");
        goto done;
    }
    *out = r;
    r = NULL;
done:
    qv_resampler_free(r);
    return status;
}

void qv_resampler_free(qv_resampler *r)
{
    if (!r) return;
    soxr_delete(r->soxr);
    free(r);
}

/* in NULL: the end of the input. */
static qv_status process(qv_ctx *ctx, qv_resampler *r, const float *in, size_t n, qv_samples *out)
{
    for (;;) {
        size_t room = (size_t)((double)n * r->ratio) + 4096, used = 0, made = 0;
        qv_status status = qv_grow(ctx, &out->data, &out->cap, out->n + room, sizeof *out->data);
        if (status != QV_OK) return status;
        soxr_error_t error = soxr_process(r->soxr, in, n, &used, out->data + out->n, room, &made);
        if (error) return qv_fail(ctx, QV_ERR_INTERNAL, "soxr failed: %s", error);
        out->n += made;
        if (in) in += used;
        n -= used;
        if (made < room && n == 0) return QV_OK;
        if (made == 0 && used == 0) return qv_fail(ctx, QV_ERR_INTERNAL, "soxr takes no more input");
    }
}

qv_status qv_resampler_push(qv_ctx *ctx, qv_resampler *r, const float *in, size_t n, qv_samples *out)
{
    return n ? process(ctx, r, in, n, out) : QV_OK;
}

qv_status qv_resampler_end(qv_ctx *ctx, qv_resampler *r, qv_samples *out) { return process(ctx, r, NULL, 0, out); }
