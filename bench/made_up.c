#include "made_up.h"

#include <stdlib.h>

#include "base/random.h"

enum { ROOM = 8192 };

qv_status qv_made_up_new(qv_ctx *ctx, qv_made_up *d, size_t recordings, int patch, int mels)
{
    qv_status status = QV_OK;
    uint64_t random = 1;
    int frames = 3 * patch > ROOM ? 3 * patch : ROOM;
    *d = (qv_made_up){.data = {.norms = 1, .rows = 1, .n = recordings}};
    QV_TRY(qv_alloc(ctx, &d->frames, (size_t)frames * (size_t)mels, sizeof *d->frames));
    QV_TRY(qv_alloc(ctx, &d->items, recordings, sizeof *d->items));
    QV_TRY(qv_alloc(ctx, &d->data.utterances, recordings, sizeof *d->data.utterances));
    QV_TRY(qv_alloc(ctx, &d->data.norm, 2 * (size_t)mels, sizeof *d->data.norm));
    for (size_t i = 0; i < (size_t)frames * (size_t)mels; i++) d->frames[i] = (float)qv_random_normal(&random);
    for (int m = 0; m < mels; m++) d->data.norm[mels + m] = 1;
    for (size_t i = 0; i < recordings; i++) {
        int length = patch + (int)(qv_random_next(&random) % (uint64_t)(2 * patch));
        int64_t first = (int64_t)(qv_random_next(&random) % (uint64_t)(frames - length + 1));
        d->data.utterances[i] = (qv_utterance){first, length, (int32_t)(i % QV_BENCH_CLASSES), 0, 0};
        d->items[i] = i;
    }
    d->features = (qv_features){.data = d->frames, .frames = frames, .n = recordings, .config = {.mels = mels}};
    d->data.features = &d->features;
done:
    if (status != QV_OK) qv_made_up_free(d);
    return status;
}

void qv_made_up_free(qv_made_up *d)
{
    free(d->frames);
    free(d->items);
    free(d->data.utterances);
    free(d->data.norm);
    *d = (qv_made_up){0};
}

qv_status qv_bench_settings(qv_ctx *ctx, qv_settings *s)
{
    qv_status status = qv_settings_init(ctx, s);
    if (status == QV_OK) status = qv_settings_preset(ctx, s, "reference");
    s->batch = s->patch_frames = s->mels = 64;
    s->lr = 0.001;
    s->epochs = 1 << 20; /* the rate stays where it is */
    return status;
}
