/* Frames that are there already: those of NumPy's files, and the rows of images. */
#include <math.h>
#include <stdlib.h>

#include "data/features.h"
#include "data/images.h"
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

static qv_status read_npy(qv_ctx *ctx, const qv_item *item, const qv_feature_config *c, float **out, int32_t *frames)
{
    qv_status status = QV_OK;
    qv_npy npy = {0};
    int64_t begin, end;
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
    *frames = (int32_t)(end - begin);
done:
    qv_npy_close(&npy);
    return status;
}

static qv_status read_image(qv_ctx *ctx, const qv_item *item, const qv_feature_config *c, float **out, int32_t *frames)
{
    qv_status status = QV_OK;
    qv_images im = {0};
    int label;
    QV_TRY(qv_images_open(ctx, &im, item->file));
    if (im.rows != c->rows || im.channels != c->channels || im.columns * im.channels != c->mels) {
        status = qv_fail(ctx, QV_ERR_USAGE, "%s has images of %d x %d in %d channels where %d x %d in %d were expected",
                         item->file, im.rows, im.columns, im.channels, c->rows, c->mels / c->channels, c->channels);
        goto done;
    }
    if (item->index >= im.n) {
        status = qv_fail(ctx, QV_ERR_DATA, "%s became shorter while it was read", item->file);
        goto done;
    }
    QV_TRY(qv_alloc(ctx, out, (size_t)im.rows * (size_t)c->mels, sizeof **out));
    QV_TRY(qv_images_read(ctx, &im, item->index, *out, &label));
    *frames = im.rows;
done:
    qv_images_close(&im);
    return status;
}

qv_status qv_frames_read(qv_ctx *ctx, const qv_item *item, const qv_feature_config *c, float **out,
                         qv_feature_entry *entry)
{
    int32_t frames = 0;
    *out = NULL;
    *entry = (qv_feature_entry){0};
    qv_status status = (c->kind == QV_KIND_IMAGE ? read_image : read_npy)(ctx, item, c, out, &frames);
    if (status == QV_OK) {
        entry->frames = frames;
        entry->seconds = (float)((double)frames * c->hop);
    } else {
        free(*out);
        *out = NULL;
    }
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

/* The first file that can be read says how many values a frame has. */
static qv_status detect_values(qv_ctx *ctx, const qv_manifest *m, qv_feature_config *c)
{
    qv_npy npy = {0};
    qv_status status = QV_OK;
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

static qv_status detect_size(qv_ctx *ctx, const qv_manifest *m, qv_feature_config *c)
{
    qv_images im = {0};
    qv_status status = qv_images_open(ctx, &im, m->items[0].file);
    if (status != QV_OK) return status;
    c->kind = QV_KIND_IMAGE;
    c->rows = im.rows;
    c->channels = im.channels;
    c->mels = im.columns * im.channels;
    qv_images_close(&im);
    return QV_OK;
}

qv_status qv_feature_detect(qv_ctx *ctx, const qv_manifest *m, qv_feature_config *c)
{
    if (m->images && m->n > 0) return detect_size(ctx, m, c);
    if (c->kind == QV_KIND_IMAGE)
        return qv_fail(ctx, QV_ERR_USAGE, "features.kind = image: %s is no folder of images",
                       m->path ? m->path : "the list");
    qv_status status = c->kind == QV_KIND_MEL ? detect_kind(ctx, m, c) : QV_OK;
    return status == QV_OK && c->kind == QV_KIND_NPY ? detect_values(ctx, m, c) : status;
}
