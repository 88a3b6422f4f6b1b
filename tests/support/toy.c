#include "support/toy.h"

#include <math.h>

#include "support/support.h"

static const double speaker_spread = 0.5;

static void add_items(qv_ctx *ctx, qv_toy *toy, const qv_toy_shape *shape)
{
    for (int s = 0; s < shape->speakers; s++)
        for (int c = 0; c < shape->classes; c++)
            for (int t = 0; t < shape->takes; t++) {
                char file[64], speaker[16], emotion[16];
                snprintf(speaker, sizeof speaker, shape->speakers > 9 ? "s%02d" : "s%d", s + 1);
                snprintf(emotion, sizeof emotion, shape->classes > 9 ? "c%02d" : "c%d", c);
                snprintf(file, sizeof file, "%s-%s-%d.wav", speaker, emotion, t);
                qv_assert_ok(ctx, qv_manifest_add(ctx, toy->manifest, file, file, speaker, emotion, NULL));
            }
    qv_assert_ok(ctx, qv_manifest_finish(ctx, toy->manifest, NULL));
}

/* A class raises some bands and lowers others, a speaker tilts them all. */
static double band_mean(const qv_toy_shape *shape, const qv_item *item, int band)
{
    double place = (band + 0.5) / shape->mels;
    return shape->apart * cos(3.14159265358979 * (item->label + 1) * place) + speaker_spread * item->speaker_id * place;
}

static void make_frames(qv_toy *toy, const qv_toy_shape *shape, uint64_t *random)
{
    for (size_t i = 0; i < toy->n; i++) {
        const qv_feature_entry *e = &toy->features.entries[i];
        float *frames = toy->frames + e->first_frame * shape->mels;
        for (int64_t k = 0; k < (int64_t)e->frames * shape->mels; k++)
            frames[k] =
                (float)(band_mean(shape, &toy->manifest->items[i], (int)(k % shape->mels)) + qv_test_normal(random));
    }
}

void qv_toy_make(qv_ctx *ctx, qv_toy *toy, const qv_toy_shape *shape, uint64_t seed)
{
    *toy = (qv_toy){0};
    qv_assert_ok(ctx, qv_manifest_new(ctx, &toy->manifest));
    add_items(ctx, toy, shape);
    toy->n = toy->manifest->n;
    toy->features.config.mels = shape->mels;
    toy->features.config.hop = 0.02;
    toy->features.n = toy->n;
    qv_assert_ok(ctx, qv_alloc(ctx, &toy->features.entries, toy->n, sizeof *toy->features.entries));
    qv_assert_ok(ctx, qv_alloc(ctx, &toy->all, toy->n, sizeof *toy->all));
    for (size_t i = 0; i < toy->n; i++) {
        int spread = shape->longest - shape->shortest + 1;
        toy->all[i] = i;
        toy->features.entries[i].first_frame = toy->features.frames;
        toy->features.entries[i].frames = shape->shortest + (int)(qv_test_next(&seed) % (uint64_t)spread);
        toy->features.frames += toy->features.entries[i].frames;
    }
    qv_assert_ok(ctx,
                 qv_alloc(ctx, &toy->frames, (size_t)toy->features.frames * (size_t)shape->mels, sizeof *toy->frames));
    toy->features.data = toy->frames;
    make_frames(toy, shape, &seed);
}

void qv_toy_free(qv_toy *toy)
{
    qv_manifest_free(toy->manifest);
    free(toy->features.entries);
    free(toy->frames);
    free(toy->all);
}

void qv_toy_settings(qv_ctx *ctx, qv_settings *s, int mels)
{
    qv_assert_ok(ctx, qv_settings_init(ctx, s));
    s->mels = mels;
    s->patch_seconds = 8 * s->hop;
    s->width = 2;
    s->batch = 4;
    s->epochs = 10;
    s->eval_every = 1;
    s->threads = 1;
}
