/* Any bytes as a folder of IDX files: the first byte says after how many others of the rest the labels begin; the same
 * files serve as training and test part. What is accepted lists each image with a label, and shows it. */
#include <stdlib.h>

#include "data/images.h"
#include "fuzz.h"

static void look_at(qv_ctx *ctx, const qv_manifest *m)
{
    qv_images im;
    int label;
    qv_fuzz_promise(m->n % 2 == 0 && m->n > 0, "both parts are there");
    qv_fuzz_promise(qv_images_open(ctx, &im, m->items[0].file) == QV_OK, "what was listed can be opened");
    qv_fuzz_promise((int64_t)m->n == 2 * im.n, "every image is listed");
    size_t n = (size_t)im.rows * (size_t)im.columns * (size_t)im.channels;
    float *pixels = malloc(n * sizeof *pixels);
    qv_fuzz_promise(pixels && qv_images_read(ctx, &im, im.n - 1, pixels, &label) == QV_OK, "the last one can be read");
    for (size_t i = 0; i < n; i++) qv_fuzz_promise(pixels[i] >= 0 && pixels[i] <= 1, "pixels are from 0 to 1");
    free(pixels);
    qv_images_close(&im);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) return 0;
    qv_ctx *ctx = qv_fuzz_ctx();
    qv_manifest *m;
    const char *folder = qv_fuzz_folder();
    size_t images = (size_t)data[0] * 4 < size - 1 ? (size_t)data[0] * 4 : size - 1;
    qv_fuzz_put(0, "train-images-idx3-ubyte", data + 1, images);
    qv_fuzz_put(1, "train-labels-idx1-ubyte", data + 1 + images, size - 1 - images);
    qv_fuzz_put(2, "t10k-images-idx3-ubyte", data + 1, images);
    qv_fuzz_put(3, "t10k-labels-idx1-ubyte", data + 1 + images, size - 1 - images);
    qv_status status = qv_images_manifest(ctx, &m, folder);
    qv_fuzz_refused(ctx, status);
    if (status == QV_OK) {
        look_at(ctx, m);
        qv_manifest_free(m);
    }
    qv_ctx_free(ctx);
    return 0;
}
