/* Any bytes as a fold file over a small corpus; what is accepted keeps speakers apart. */
#include <stdio.h>

#include "data/folds.h"
#include "fuzz.h"

static qv_manifest *make_manifest(qv_ctx *ctx)
{
    static const char *const speakers[] = {"a", "b", "c", "d", "e"};
    qv_manifest *m;
    qv_fuzz_promise(qv_manifest_new(ctx, &m) == QV_OK, "a manifest is made");
    for (int i = 0; i < 10; i++) {
        char name[16];
        snprintf(name, sizeof name, "%d.wav", i);
        qv_fuzz_promise(qv_manifest_add(ctx, m, name, name, speakers[i / 2], i % 2 ? "joy" : "anger", NULL) == QV_OK,
                        "a recording is added");
    }
    qv_fuzz_promise(qv_manifest_finish(ctx, m, NULL) == QV_OK, "the manifest is numbered");
    return m;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    qv_ctx *ctx = qv_fuzz_ctx();
    qv_manifest *m = make_manifest(ctx);
    qv_folds *folds;
    qv_fold_options o = {.test_fraction = 0.2, .val_speakers = size % 2 ? 1 : 0};
    qv_status status = qv_folds_make(ctx, &folds, m, qv_fuzz_file(0, data, size), &o);
    qv_fuzz_refused(ctx, status);
    if (status == QV_OK) {
        for (size_t i = 0; i < folds->n; i++)
            qv_fuzz_promise(folds->folds[i].overlap == 0 && folds->folds[i].items[QV_PART_TEST] > 0,
                            "a fold tests somebody who does not train");
        qv_folds_free(folds);
    }
    qv_manifest_free(m);
    qv_ctx_free(ctx);
    return 0;
}
