/* Any bytes as a manifest. Its folder is /proc/self/fd, so "0", "1" and "2" are recordings that exist. What is accepted
 * is cut into folds in every way. */
#include <stdlib.h>

#include "data/folds.h"
#include "fuzz.h"

static void cut(qv_ctx *ctx, const qv_manifest *m, const char *spec, bool random)
{
    qv_folds *folds;
    qv_fold_options o = {.test_fraction = 0.3, .val_speakers = 1, .random = random, .seed = 1};
    qv_status status = qv_folds_make(ctx, &folds, m, spec, &o);
    qv_fuzz_refused(ctx, status);
    if (status == QV_OK) qv_folds_free(folds);
}

static void read_one(qv_ctx *ctx, const char *path, const qv_manifest_options *o)
{
    static const char *const specs[] = {"", "split", "speaker", "session", "2", "column"};
    qv_manifest *m;
    qv_status status = qv_manifest_read(ctx, &m, path, o);
    qv_fuzz_refused(ctx, status);
    if (status != QV_OK) return;
    for (size_t i = 0; i < m->n; i++) {
        const qv_item *item = &m->items[i];
        qv_fuzz_promise(item->label < m->n_classes && item->speaker_id >= 0 && item->speaker_id < m->n_speakers,
                        "items are numbered");
        qv_fuzz_promise(item->end < 0 || item->end > item->start, "times rise");
    }
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) cut(ctx, m, specs[i], i == 4);
    qv_manifest_free(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    qv_ctx *ctx = qv_fuzz_ctx();
    const char *path = qv_fuzz_file(0, data, size);
    read_one(ctx, path, &(qv_manifest_options){.need_emotion = true});
    read_one(ctx, path, &(qv_manifest_options){.labels = "a,b=c,joy", .keep_unlisted = true, .allow_absent = true});
    qv_ctx_free(ctx);
    return 0;
}
