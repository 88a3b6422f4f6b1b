#define _DEFAULT_SOURCE /* strsep */
#include "train/import.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/safetensors.h"
#include "base/text.h"

typedef struct map_row {
    char *ours, *theirs; /* inside the text of the map; theirs may have several parts */
    int line;
    bool used;
} map_row;

typedef struct importer {
    const qv_import *in;
    qv_st_file *file;
    char *text;
    map_row *rows;
    size_t n, cap;
    bool *used; /* [tensors of the file] */
    /* One recording that is never there, over which a trainer can be made. */
    qv_manifest manifest;
    qv_item item;
    qv_features features;
    qv_feature_entry entry;
    qv_dataset *data;
    qv_trainer *trainer;
    float *norm;
} importer;

static qv_status add_row(qv_ctx *ctx, importer *x, char *line, int number)
{
    line[strcspn(line, "#")] = '\0';
    line = qv_trimmed(line);
    if (!*line) return QV_OK;
    char *equals = strchr(line, '=');
    if (!equals || equals == line || !*qv_trimmed(equals + 1))
        return qv_fail(ctx, QV_ERR_DATA, "%s:%d: expected \"our.name = their.name\", found %.60s", x->in->map, number, line);
    *equals = '\0';
    char *ours = qv_trimmed(line);
    for (size_t i = 0; i < x->n; i++)
        if (strcmp(x->rows[i].ours, ours) == 0)
            return qv_fail(ctx, QV_ERR_DATA, "%s:%d: %s stands in line %d already", x->in->map, number, ours, x->rows[i].line);
    qv_status status = qv_grow(ctx, &x->rows, &x->cap, x->n + 1, sizeof *x->rows);
    if (status == QV_OK) x->rows[x->n++] = (map_row){ours, qv_trimmed(equals + 1), number, false};
    return status;
}

static qv_status read_map(qv_ctx *ctx, importer *x)
{
    int number = 0;
    if (!x->in->map) return QV_OK;
    qv_status status = qv_read_text(ctx, x->in->map, (size_t)1 << 24, &x->text);
    char *rest = x->text, *line;
    while (status == QV_OK && (line = qv_next_line(&rest)) != NULL) status = add_row(ctx, x, line, ++number);
    return status;
}

/* One tensor of the file, marked as used. */
static qv_status find_tensor(qv_ctx *ctx, importer *x, const char *ours, const char *theirs, const qv_st_tensor **t)
{
    for (size_t i = 0; i < qv_st_count(x->file); i++) {
        *t = qv_st_at(x->file, i);
        if (strcmp((*t)->name, theirs) != 0) continue;
        x->used[i] = true;
        if ((*t)->dtype == QV_ST_F32 || (*t)->dtype == QV_ST_F64) return QV_OK;
        return qv_fail(ctx, QV_ERR_DATA, "%s: tensor \"%s\" is %s; F32 or F64 was expected", x->in->weights, theirs,
                       qv_st_dtype_name((*t)->dtype));
    }
    return qv_fail(ctx, QV_ERR_DATA, "%s has no tensor \"%s\", wanted for %s; name it in the map (--map)", x->in->weights,
                   theirs, ours);
}

/* Does the part fit: [any][c][h][w] for a convolution, [any][c] for a linear layer, [any] for a vector? The weights of
 * a linear layer with one output are a vector, too. */
static bool fits(const qv_buffer *b, const qv_st_tensor *t)
{
    size_t c = (size_t)b->c, h = (size_t)b->h, w = (size_t)b->w;
    if (b->n == 1 && h == 1 && w == 1 && t->ndim == 1) return true;
    if (h == 1 && w == 1 && t->ndim == 2) return t->shape[1] == c;
    return t->ndim == 4 && t->shape[1] == c && t->shape[2] == h && t->shape[3] == w;
}

static double value_at(const qv_st_tensor *t, size_t i)
{
    return t->dtype == QV_ST_F64 ? ((const double *)t->data)[i] : ((const float *)t->data)[i];
}

/* Elements of one part, in our order: the channels of a convolution innermost. */
static qv_status take_part(qv_ctx *ctx, importer *x, const qv_buffer *b, const qv_st_tensor *t, double *out)
{
    size_t area = (size_t)b->h * (size_t)b->w, c = (size_t)b->c;
    bool vector = t->ndim == 1;
    for (size_t i = 0; i < t->count; i++) {
        double v = value_at(t, i);
        const char *wanted = qv_checkpoint_fault(b->name, v);
        if (wanted)
            return qv_fail(ctx, QV_ERR_DATA, "%s: element %zu of \"%s\" is %g; %s was expected", x->in->weights, i,
                           t->name, v, wanted);
        size_t row = i / (c * area), rest = i % (c * area);
        out[vector ? i : row * c * area + rest % area * c + rest / area] = v;
    }
    return QV_OK;
}

static qv_status take_tensor(qv_ctx *ctx, importer *x, const qv_buffer *b, double *out)
{
    qv_status status = QV_OK;
    map_row *row = NULL;
    char *parts = NULL, *rest, *part;
    size_t len = qv_buffer_len(b), at = 0;
    for (size_t i = 0; i < x->n; i++)
        if (strcmp(x->rows[i].ours, b->name) == 0) row = &x->rows[i];
    if (row) row->used = true;
    QV_TRY(qv_strdup(ctx, &parts, row ? row->theirs : b->name));
    rest = parts;
    while ((part = strsep(&rest, "+"))) {
        const qv_st_tensor *t = NULL;
        QV_TRY(find_tensor(ctx, x, b->name, qv_trimmed(part), &t));
        if (!fits(b, t) || t->count > len - at) {
            status = qv_fail(ctx, QV_ERR_DATA, "%s: \"%s\" has another shape than %s [%d][%d][%d][%d] needs (out, in, k, k)",
                             x->in->weights, t->name, b->name, b->n, b->c, b->h, b->w);
            goto done;
        }
        QV_TRY(take_part(ctx, x, b, t, out + at));
        at += t->count;
    }
    if (at != len)
        status = qv_fail(ctx, QV_ERR_DATA, "%s: %zu elements for %s, which has %zu; join the branches with +", x->in->weights, at,
                         b->name, len);
done:
    free(parts);
    return status;
}

static qv_status load_all(qv_ctx *ctx, importer *x)
{
    const qv_program *p = qv_trainer_net(x->trainer)->program;
    double *values = NULL;
    qv_status status = QV_OK;
    for (size_t i = 0; i < p->n_buffers; i++) {
        const qv_buffer *b = &p->buffers[i];
        if (!qv_buffer_is_learned(b)) continue;
        QV_TRY(qv_alloc(ctx, &values, qv_buffer_len(b), sizeof *values));
        QV_TRY(take_tensor(ctx, x, b, values));
        qv_exec_write(qv_trainer_exec(x->trainer), (int)i, 0, qv_buffer_len(b), values);
        free(values);
        values = NULL;
    }
done:
    free(values);
    return status;
}

/* Lines of the map and tensors of the file that nothing asked for. */
static qv_status check_rest(qv_ctx *ctx, const importer *x)
{
    size_t left = 0;
    const char *first = NULL;
    for (size_t i = 0; i < x->n; i++)
        if (!x->rows[i].used)
            return qv_fail(ctx, QV_ERR_DATA, "%s:%d: the network of these settings has no tensor %s", x->in->map, x->rows[i].line,
                           x->rows[i].ours);
    for (size_t i = 0; i < qv_st_count(x->file); i++) {
        const char *name = qv_st_at(x->file, i)->name;
        if (x->used[i] || strstr(name, "num_batches_tracked")) continue;
        left++;
        if (!first) first = name;
    }
    if (left) qv_warn(ctx, "%zu tensors of %s were not used; the first: %s", left, x->in->weights, first);
    return QV_OK;
}

/* [2][mels] of corpus normalization. */
static qv_status load_norm(qv_ctx *ctx, importer *x)
{
    qv_buffer b = {.name = "norm", .n = 2, .h = 1, .w = 1, .c = x->in->settings->mels};
    double *values = NULL;
    qv_status status = QV_OK;
    if (x->in->settings->normalize != QV_NORM_CORPUS) return QV_OK;
    QV_TRY(qv_alloc(ctx, &values, qv_buffer_len(&b), sizeof *values));
    QV_TRY(qv_alloc(ctx, &x->norm, qv_buffer_len(&b), sizeof *x->norm));
    QV_TRY(take_tensor(ctx, x, &b, values));
    for (size_t i = 0; i < qv_buffer_len(&b); i++) x->norm[i] = (float)values[i];
    status = qv_norm_check(ctx, x->in->weights, b.name, x->norm, 1, (size_t)b.c);
done:
    free(values);
    return status;
}

static qv_status make_trainer(qv_ctx *ctx, importer *x, const qv_settings *s)
{
    qv_status status = QV_OK;
    float *frame = NULL;
    qv_trainer_options o = {0};
    x->item.label = -1;
    x->entry.frames = 1;
    x->manifest = (qv_manifest){.items = &x->item, .n = 1, .n_speakers = 1, .classes = x->in->classes, .n_classes = x->in->n_classes};
    x->features = (qv_features){.config = qv_settings_features(s), .entries = &x->entry, .n = 1, .frames = 1};
    QV_TRY(qv_feature_check(ctx, &x->features.config));
    QV_TRY(qv_checkpoint_check_size(ctx, s));
    QV_TRY(qv_alloc(ctx, &frame, (size_t)s->mels, sizeof *frame));
    x->features.data = frame;
    QV_TRY(load_norm(ctx, x));
    QV_TRY(qv_dataset_new(ctx, &x->data, &x->manifest, &x->features, (qv_normalization)s->normalize, NULL, x->norm));
    QV_TRY(qv_trainer_new(ctx, &x->trainer, s, x->data, &o, x->in->n_classes));
done:
    return status;
}

static void close_importer(importer *x)
{
    qv_trainer_free(x->trainer);
    qv_dataset_free(x->data);
    free((void *)(uintptr_t)x->features.data);
    free(x->norm);
    qv_st_close(x->file);
    free(x->used);
    free(x->rows);
    free(x->text);
}

qv_status qv_import_write(qv_ctx *ctx, const qv_import *in, const char *path)
{
    qv_status status = QV_OK;
    importer x = {.in = in};
    qv_settings s = *in->settings; /* borrowed texts */
    qv_checkpoint_info info = {0};
    qv_settings_move(&s, QV_DEVICE_CPU, NULL);
    QV_TRY(qv_checkpoint_check_classes(ctx, in->classes, in->n_classes));
    QV_TRY(read_map(ctx, &x));
    QV_TRY(qv_st_open(ctx, &x.file, in->weights));
    QV_TRY(qv_alloc(ctx, &x.used, qv_st_count(x.file), sizeof *x.used));
    QV_TRY(make_trainer(ctx, &x, &s));
    QV_TRY(load_all(ctx, &x));
    QV_TRY(check_rest(ctx, &x));
    status = qv_checkpoint_save(ctx, x.trainer, &s, x.data, "imported", &info, path);
done:
    close_importer(&x);
    return status;
}
