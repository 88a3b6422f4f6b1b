/* A folder of images as a manifest. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/buf.h"
#include "base/io.h"
#include "base/text.h"
#include "data/images.h"
#include "data/manifest_own.h"

enum { SETS_MAX = 6, NAMES_MAX = 256, FILE_MAX = 1 << 30 };

/* Files of the folder whose names say what they are. */
typedef struct found {
    struct {
        char *path;
        qv_publication of;
        bool test;
    } sets[SETS_MAX];
    int n, count[QV_PUBLICATIONS][2];
    char *names, *compressed; /* the list of classes; a file that would count if it were not compressed */
} found;

/* `path` with the first `from` of its last component replaced, which is there: folders may be called as they like. */
static qv_status replaced(qv_ctx *ctx, char **out, const char *path, const char *from, const char *to)
{
    const char *at = strstr(qv_path_base(path), from);
    qv_buf b = {0};
    qv_buf_add(&b, path, (size_t)(at - path));
    qv_buf_puts(&b, to);
    qv_buf_puts(&b, at + strlen(from));
    return qv_buf_take(ctx, &b, out);
}

static qv_status note_file(qv_ctx *ctx, void *user, const char *path)
{
    found *f = user;
    const char *base = qv_path_base(path);
    size_t n = strlen(base);
    qv_publication of;
    bool test, zipped = n > 3 && strcmp(base + n - 3, ".gz") == 0;
    if (strcmp(base, "batches.meta.txt") == 0 || strcmp(base, "fine_label_names.txt") == 0)
        return f->names ? QV_OK : qv_strdup(ctx, &f->names, path);
    if (!qv_images_known(base, &of, &test)) return QV_OK;
    if (zipped) return f->compressed ? QV_OK : qv_strdup(ctx, &f->compressed, path);
    f->count[of][test]++;
    if (f->n == SETS_MAX) return QV_OK; /* too many: the counts say so */
    qv_status status = qv_strdup(ctx, &f->sets[f->n].path, path);
    f->sets[f->n].of = of;
    f->sets[f->n++].test = test;
    return status;
}

/* One whole publication, and nothing twice. */
static qv_status check_found(qv_ctx *ctx, const found *f, const char *dir)
{
    static const int wanted[QV_PUBLICATIONS][2] = {{1, 1}, {5, 1}, {1, 1}};
    static const char *const what[] = {
        "...images-idx3-ubyte, one with 'test' or 't10k' in its name and one without, each with its labels",
        "data_batch_1.bin to data_batch_5.bin and test_batch.bin", "train.bin and test.bin"};
    if (f->n == 0 && f->compressed)
        return qv_fail(ctx, QV_ERR_DATA, "%s is compressed; gunzip it and its like first", f->compressed);
    if (f->n == 0)
        return qv_fail(ctx, QV_ERR_DATA,
                       "%s is a folder without images that are known (MNIST's IDX files, CIFAR's .bin files: the "
                       "binary version); a "
                       "manifest of recordings is a CSV file, which quaver corpus writes",
                       dir);
    qv_publication of = f->sets[0].of;
    for (int p = 0; p < QV_PUBLICATIONS; p++)
        if (p != (int)of && (f->count[p][0] || f->count[p][1]))
            return qv_fail(ctx, QV_ERR_DATA,
                           "%s holds images of more than one publication; give each a folder of its own", dir);
    for (int test = 0; test < 2; test++)
        if (f->count[of][test] != wanted[of][test])
            return qv_fail(ctx, QV_ERR_DATA,
                           "%s: %d file%s of %s images where %d belong%s: %s; in a folder of their own", dir,
                           f->count[of][test], f->count[of][test] == 1 ? "" : "s", test ? "test" : "training",
                           wanted[of][test], wanted[of][test] == 1 ? "s" : "", what[of]);
    return QV_OK;
}

/* Names of classes, a line each. */
typedef struct class_names {
    char *text, *name[NAMES_MAX];
    int n; /* 0: their numbers are their names */
} class_names;

static qv_status read_names(qv_ctx *ctx, class_names *c, const char *path)
{
    if (!path) return QV_OK;
    qv_status status = qv_read_text(ctx, path, 1 << 16, &c->text);
    if (status != QV_OK) return status;
    for (char *at = c->text; *at && c->n < NAMES_MAX;) {
        char *end = at + strcspn(at, "\r\n");
        char *next = end + strspn(end, "\r\n");
        *end = '\0';
        if (qv_has_control(at)) return qv_fail(ctx, QV_ERR_DATA, "%s: a control character in the name of a class", path);
        for (int i = 0; i < c->n; i++)
            if (strcmp(c->name[i], at) == 0)
                return qv_fail(ctx, QV_ERR_DATA, "%s: two classes have the name %s", path, at);
        if (*at) c->name[c->n++] = at;
        at = next;
    }
    return QV_OK;
}

static qv_status add_image(qv_ctx *ctx, qv_manifest *m, const class_names *c, const char *path, const char *split,
                           int64_t index, int label)
{
    char number[16], name[512];
    qv_status status = QV_OK;
    snprintf(number, sizeof number, "%d", label);
    snprintf(name, sizeof name, "%.400s[%lld]", qv_path_base(path), (long long)index);
    if (c->n && label >= c->n)
        return qv_fail(ctx, QV_ERR_DATA, "%s: image %lld has the label %d; there are names for %d", path,
                       (long long)index, label, c->n);
    QV_TRY(qv_manifest_add(ctx, m, path, name, split, c->n ? c->name[label] : number, NULL));
    qv_item *item = &m->items[m->n - 1];
    item->index = index;
    QV_TRY(qv_strdup(ctx, &item->split, split));
done:
    return status;
}

static qv_status add_hash(qv_ctx *ctx, qv_manifest *m, const char *path)
{
    char *data;
    size_t size;
    qv_status status = qv_read_file(ctx, path, FILE_MAX, &data, &size);
    if (status != QV_OK) return status;
    m->hash = XXH3_64bits_withSeed(data, size, m->hash);
    free(data);
    return QV_OK;
}

/* The labels of a file of IDX images, as many as there are images. */
static qv_status read_labels(qv_ctx *ctx, qv_manifest *m, const qv_images *im, unsigned char **labels)
{
    qv_status status = QV_OK;
    char *half = NULL, *path = NULL;
    int64_t n;
    QV_TRY(replaced(ctx, &half, im->path, "images", "labels"));
    QV_TRY(replaced(ctx, &path, half, "idx3", "idx1"));
    QV_TRY(qv_idx_labels(ctx, path, labels, &n));
    if (n != im->n)
        status = qv_fail(ctx, QV_ERR_DATA, "%s has %lld labels for the %lld images of %s", path, (long long)n,
                         (long long)im->n, im->path);
    if (status == QV_OK) status = add_hash(ctx, m, path);
done:
    free(half);
    free(path);
    return status;
}

static qv_status add_file(qv_ctx *ctx, qv_manifest *m, const class_names *c, const char *path, bool test)
{
    qv_status status = QV_OK;
    qv_images im = {0};
    unsigned char *labels = NULL;
    float *pixels = NULL;
    QV_TRY(qv_images_open(ctx, &im, path));
    QV_TRY(add_hash(ctx, m, path));
    if (!im.labels) QV_TRY(read_labels(ctx, m, &im, &labels));
    QV_TRY(qv_alloc(ctx, &pixels, (size_t)im.rows * (size_t)im.columns * (size_t)im.channels, sizeof *pixels));
    for (int64_t i = 0; i < im.n; i++) {
        int label = labels ? labels[i] : -1;
        if (!labels) QV_TRY(qv_images_read(ctx, &im, i, pixels, &label));
        QV_TRY(add_image(ctx, m, c, path, test ? "test" : "train", i, label));
    }
done:
    free(pixels);
    free(labels);
    qv_images_close(&im);
    return status;
}

qv_status qv_images_manifest(qv_ctx *ctx, qv_manifest **out, const char *dir)
{
    qv_status status = QV_OK;
    qv_manifest *m = NULL;
    found f = {.n = 0};
    class_names c = {0};
    *out = NULL;
    QV_TRY(qv_walk(ctx, dir, note_file, &f));
    QV_TRY(check_found(ctx, &f, dir));
    QV_TRY(read_names(ctx, &c, f.sets[0].of == QV_IDX ? NULL : f.names));
    QV_TRY(qv_manifest_new(ctx, &m));
    QV_TRY(qv_strdup(ctx, &m->path, dir));
    m->images = true;
    for (int i = 0; i < f.n; i++) QV_TRY(add_file(ctx, m, &c, f.sets[i].path, f.sets[i].test));
    *out = m;
    m = NULL;
done:
    qv_manifest_free(m);
    free(c.text);
    for (int i = 0; i < f.n; i++) free(f.sets[i].path);
    free(f.names);
    free(f.compressed);
    return status;
}
