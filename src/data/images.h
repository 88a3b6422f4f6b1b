/* Images as they are published: IDX (MNIST and what is made like it) and the binary version of CIFAR-10 and CIFAR-100.
 */
#ifndef QV_DATA_IMAGES_H
#define QV_DATA_IMAGES_H

#include <stdio.h>

#include "data/manifest.h"

typedef enum qv_publication { QV_IDX, QV_CIFAR10, QV_CIFAR100, QV_PUBLICATIONS } qv_publication;

/* Does the name of a file (without its folder) say that images are in it? *of, *test: of which publication and part;
 * "t10k" is what MNIST calls its test part. Where it says nothing *of is QV_IDX. */
bool qv_images_known(const char *base, qv_publication *of, bool *test);

/* One file of images. IDX: 00 00 08 03, then three lengths of 32 bits (most significant byte first), then pixels; up to
 * ten million images of up to 4096 x 4096. CIFAR, in files that are called as there: a label (CIFAR-100, train.bin and
 * test.bin: two, coarse and fine), then 32 x 32 pixels of red, of green and of blue. */
typedef struct qv_images {
    FILE *f;
    const char *path; /* borrowed, for messages */
    int64_t n;
    int rows, columns, channels;
    int labels; /* bytes of labels before each image, the last of which counts; IDX: 0, they are in another file */
    int64_t data_at;
} qv_images;

/* Checks the header against the file's length. QV_ERR_DATA or QV_ERR_IO with a message that names the file. */
qv_status qv_images_open(qv_ctx *ctx, qv_images *im, const char *path);
/* Image `index` (from 0) as [rows][columns][channels], 0 to 1; its label, where the file has them, else -1. */
qv_status qv_images_read(qv_ctx *ctx, qv_images *im, int64_t index, float *out, int *label);
/* Harmless on a zeroed qv_images. */
void qv_images_close(qv_images *im);

/* The labels of an IDX file (00 00 08 01, a length, bytes); *out is released with free(). */
qv_status qv_idx_labels(qv_ctx *ctx, const char *path, unsigned char **out, int64_t *n);

/* A folder with the files of one such set, under the names that they are published by, as a manifest: an item an image,
 * FILE[index], its split that of the publication, and for want of anything else its speaker too. Classes have the names
 * that lie beside CIFAR's files, else numbers. QV_ERR_DATA where something is missing, compressed or there twice. */
qv_status qv_images_manifest(qv_ctx *ctx, qv_manifest **out, const char *dir);

#endif
