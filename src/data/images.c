#include "data/images.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "base/io.h"

enum { SIDE_MAX = 4096, IMAGES_MAX = 10000000, CIFAR_SIDE = 32, CIFAR_PIXELS = 3 * CIFAR_SIDE * CIFAR_SIDE };

bool qv_images_known(const char *base, qv_publication *of, bool *test)
{
    static const char *const batches[] = {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",
                                          "data_batch_4.bin", "data_batch_5.bin", "test_batch.bin"};
    *test = strstr(base, "test") || strstr(base, "t10k");
    *of = QV_CIFAR10;
    for (int i = 0; i < 6; i++)
        if (strcmp(base, batches[i]) == 0) return true;
    *of = QV_CIFAR100;
    if (strcmp(base, "train.bin") == 0 || strcmp(base, "test.bin") == 0) return true;
    *of = QV_IDX;
    return strstr(base, "images") && strstr(base, "idx3");
}

/* Opens a regular file; *size: its bytes. */
static qv_status open_file(qv_ctx *ctx, FILE **f, const char *path, int64_t *size)
{
    struct stat st = {0};
    qv_status status = qv_open_regular(ctx, path, path, f, &st);
    *size = (int64_t)st.st_size;
    return status;
}

/* The header of an IDX file of unsigned bytes with `dims` lengths; the rest must be what they promise, to the byte. */
static qv_status idx_header(qv_ctx *ctx, FILE *f, const char *path, int64_t size, int dims, int64_t *lengths)
{
    unsigned char head[16];
    size_t bytes = 4 + 4 * (size_t)dims, n = fread(head, 1, bytes, f);
    int64_t wanted = 1;
    if (n >= 2 && head[0] == 0x1f && head[1] == 0x8b)
        return qv_fail(ctx, QV_ERR_DATA, "%s is compressed; gunzip it first", path);
    if (n < 4 || head[0] || head[1])
        return qv_fail(ctx, QV_ERR_DATA, "%s is no IDX file: it does not begin with two zeros", path);
    if (head[2] != 8)
        return qv_fail(ctx, QV_ERR_DATA, "%s: IDX type 0x%02x; unsigned bytes (0x08) were expected", path, head[2]);
    if (head[3] != dims)
        return qv_fail(ctx, QV_ERR_DATA, "%s: %d dimensions; %s have %d", path, head[3],
                       dims == 3 ? "images" : "labels", dims);
    if (n < bytes) return qv_fail(ctx, QV_ERR_DATA, "%s: its header is cut short", path);
    for (int i = 0; i < dims; i++) {
        int64_t most = i ? SIDE_MAX : IMAGES_MAX;
        lengths[i] = (int64_t)qv_get_uint(head + 4 + 4 * i, 4, true);
        if (lengths[i] < 1 || lengths[i] > most)
            return qv_fail(ctx, QV_ERR_DATA, "%s: length %d is %lld; 1 to %lld were expected", path, i + 1,
                           (long long)lengths[i], (long long)most);
        wanted *= lengths[i]; /* below 2^48 */
    }
    if (size - (int64_t)bytes == wanted) return QV_OK;
    return qv_fail(ctx, QV_ERR_DATA, "%s: %lld bytes behind the header, which promises %lld", path,
                   (long long)(size - (int64_t)bytes), (long long)wanted);
}

static qv_status open_idx(qv_ctx *ctx, qv_images *im, int64_t size)
{
    int64_t lengths[3];
    qv_status status = idx_header(ctx, im->f, im->path, size, 3, lengths);
    if (status != QV_OK) return status;
    im->n = lengths[0];
    im->rows = (int)lengths[1];
    im->columns = (int)lengths[2];
    im->channels = 1;
    im->data_at = 16;
    return QV_OK;
}

static qv_status open_cifar(qv_ctx *ctx, qv_images *im, int64_t size, int labels)
{
    im->labels = labels;
    int64_t record = im->labels + CIFAR_PIXELS;
    im->rows = im->columns = CIFAR_SIDE;
    im->channels = 3;
    im->n = size / record;
    if (size > 0 && size % record == 0 && im->n <= IMAGES_MAX) return QV_OK;
    return qv_fail(ctx, QV_ERR_DATA, "%s: %lld bytes are no whole number of images of %lld", im->path, (long long)size,
                   (long long)record);
}

qv_status qv_images_open(qv_ctx *ctx, qv_images *im, const char *path)
{
    int64_t size = 0;
    qv_publication of = QV_IDX;
    bool test;
    *im = (qv_images){.path = path};
    qv_status status = open_file(ctx, &im->f, path, &size);
    qv_images_known(qv_path_base(path), &of, &test);
    if (status == QV_OK)
        status = of == QV_IDX ? open_idx(ctx, im, size) : open_cifar(ctx, im, size, of == QV_CIFAR100 ? 2 : 1);
    if (status != QV_OK) qv_images_close(im);
    return status;
}

qv_status qv_images_read(qv_ctx *ctx, qv_images *im, int64_t index, float *out, int *label)
{
    qv_status status = QV_OK;
    size_t plane = (size_t)im->rows * (size_t)im->columns, channels = (size_t)im->channels;
    size_t bytes = (size_t)im->labels + plane * channels;
    unsigned char *record = NULL;
    QV_TRY(qv_alloc(ctx, &record, bytes, 1));
    if (fseeko(im->f, (off_t)(im->data_at + index * (int64_t)bytes), SEEK_SET) != 0 ||
        fread(record, 1, bytes, im->f) != bytes) {
        status = qv_fail(ctx, QV_ERR_IO, "cannot read image %lld of %s", (long long)index, im->path);
        goto done;
    }
    *label = im->labels ? record[im->labels - 1] : -1;
    const unsigned char *pixels = record + im->labels; /* plane by plane */
    for (size_t i = 0; i < plane; i++)
        for (size_t c = 0; c < channels; c++) out[i * channels + c] = (float)pixels[c * plane + i] / 255;
done:
    free(record);
    return status;
}

void qv_images_close(qv_images *im)
{
    if (im->f) fclose(im->f);
    im->f = NULL;
}

qv_status qv_idx_labels(qv_ctx *ctx, const char *path, unsigned char **out, int64_t *n)
{
    qv_status status = QV_OK;
    FILE *f = NULL;
    int64_t size = 0;
    *out = NULL;
    QV_TRY(open_file(ctx, &f, path, &size));
    QV_TRY(idx_header(ctx, f, path, size, 1, n));
    QV_TRY(qv_alloc(ctx, out, (size_t)*n, 1));
    if (fread(*out, 1, (size_t)*n, f) != (size_t)*n) status = qv_fail(ctx, QV_ERR_IO, "cannot read %s", path);
done:
    if (f) fclose(f);
    if (status != QV_OK) {
        free(*out);
        *out = NULL;
    }
    return status;
}
