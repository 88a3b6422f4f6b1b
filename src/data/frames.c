/* Frames that somebody else has computed. */
#include <math.h>
#include <stdlib.h>

#include "data/features.h"
#include "data/npy.h"

/* Rows [*begin, *end) of a recording's part from start to end seconds. */
static qv_status cut(qv_ctx *ctx, const qv_item *item, const qv_feature_config *c, int64_t rows, int64_t *begin,
                     int64_t *end)
{
    double first = fmin(round(item->start / c->hop), (double)rows), last = (double)rows;
    if (item->end >= 0) last = fmin(round(item->end / c->hop), last);
    *begin = (int64_t)first;
    *end = (int64_t)last;
    if (*begin < *end) return QV_OK;
    return qv_fail(ctx, QV_ERR_DATA, "%s: no frame between %g and %g s; it has %lld, one every %g s (features.hop)",
                   item->file, item->start, item->end < 0 ? (double)rows * c->hop : item->end, (long long)rows, c->hop);
}

qv_status qv_frames_read(qv_ctx *ctx, const qv_item *item, const qv_feature_config *c, float **out,
                         qv_feature_entry *entry)
{
    qv_status status = QV_OK;
    qv_npy npy = {0};
    int64_t begin, end;
    *out = NULL;
    *entry = (qv_feature_entry){0};
    QV_TRY(qv_npy_open(ctx, &npy, item->file));
    if (npy.columns != c->mels) {
        status = qv_fail(ctx, QV_ERR_USAGE,
                         "%s has frames of %d values where %d were expected; all files must be made alike", item->file,
                         npy.columns, c->mels);
        goto done;
    }
    if (item->channel) {
        status = qv_fail(ctx, QV_ERR_USAGE, "%s: channel %d of frames from an .npy file; leave the column empty",
                         item->file, item->channel);
        goto done;
    }
    QV_TRY(cut(ctx, item, c, npy.rows, &begin, &end));
    QV_TRY(qv_alloc(ctx, out, (size_t)(end - begin) * (size_t)npy.columns, sizeof **out));
    QV_TRY(qv_npy_rows(ctx, &npy, begin, end - begin, *out));
    entry->frames = (int32_t)(end - begin);
    entry->seconds = (float)((double)entry->frames * c->hop);
done:
    if (status != QV_OK) {
        free(*out);
        *out = NULL;
    }
    qv_npy_close(&npy);
    return status;
}

/* Are all files, or none, in .npy? */
static qv_status detect_kind(qv_ctx *ctx, const qv_manifest *m, qv_feature_config *c)
{
    const qv_item *npy = NULL, *other = NULL;
    for (size_t i = 0; i < m->n && !(npy && other); i++) {
        const qv_item **first = qv_is_npy(m->items[i].file) ? &npy : &other;
        if (!*first) *first = &m->items[i];
    }
    if (npy && other)
        return qv_fail(ctx, QV_ERR_USAGE,
                       "%s holds frames and %s does not: the recordings of a training are all sound or all .npy files",
                       npy->name, other->name);
    if (npy) c->kind = QV_KIND_NPY;
    return QV_OK;
}

qv_status qv_feature_detect(qv_ctx *ctx, const qv_manifest *m, qv_feature_config *c)
{
    qv_npy npy = {0};
    qv_status status = QV_OK;
    if (c->kind == QV_KIND_MEL) status = detect_kind(ctx, m, c);
    if (c->kind == QV_KIND_MEL || status != QV_OK) return status;
    for (size_t i = 0; i < m->n; i++) {
        status = qv_npy_open(ctx, &npy, m->items[i].file);
        if (status == QV_OK) {
            c->mels = npy.columns;
            qv_npy_close(&npy);
            return QV_OK;
        }
        if (status == QV_ERR_MEMORY) return status;
    }
    return qv_fail_prefix(ctx, status, "none of the %zu files can be used; the last", m->n);
}
