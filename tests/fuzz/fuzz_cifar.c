/* Any bytes as CIFAR-100: after two bytes with the length of a list of classes, the list, then images, which serve as
 * training and as test part. What is accepted has a name for each label, and finite pixels. */
#include "data/images.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) return 0;
    qv_ctx *ctx = qv_fuzz_ctx();
    qv_manifest *m;
    const char *folder = qv_fuzz_folder();
    size_t names = (size_t)data[0] | (size_t)data[1] << 8, left = size - 2;
    if (names > left) names = left;
    qv_fuzz_put(0, "fine_label_names.txt", data + 2, names);
    qv_fuzz_put(1, "train.bin", data + 2 + names, left - names);
    qv_fuzz_put(2, "test.bin", data + 2 + names, left - names);
    qv_status status = qv_images_manifest(ctx, &m, folder);
    qv_fuzz_refused(ctx, status);
    if (status == QV_OK) {
        qv_images im;
        static float pixels[3 * 32 * 32];
        int label;
        const qv_item *last = &m->items[m->n - 1];
        qv_fuzz_promise(last->emotion && last->emotion[0], "a class has a name");
        qv_fuzz_promise(qv_images_open(ctx, &im, last->file) == QV_OK, "what was listed can be opened");
        qv_fuzz_promise(im.rows * im.columns * im.channels == 3 * 32 * 32, "images have their size");
        qv_fuzz_promise(qv_images_read(ctx, &im, last->index, pixels, &label) == QV_OK, "the last one can be read");
        for (int i = 0; i < 3 * 32 * 32; i++)
            qv_fuzz_promise(pixels[i] >= 0 && pixels[i] <= 1, "pixels are from 0 to 1");
        qv_images_close(&im);
        qv_manifest_free(m);
    }
    qv_ctx_free(ctx);
    return 0;
}
