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

void qv_toy_bench_open(qv_toy_bench *b, const qv_toy_shape *shape)
{
    *b = (qv_toy_bench){.ctx = qv_test_ctx()};
    qv_toy_make(b->ctx, &b->toy, shape, qv_test_seed());
    qv_toy_settings(b->ctx, &b->settings, shape->mels);
}

void qv_toy_bench_train(qv_toy_bench *b, size_t n, uint64_t epochs)
{
    qv_loss loss = {0};
    bool *training = calloc(b->toy.n, sizeof *training);
    assert_non_null(training);
    for (size_t i = 0; i < n; i++) training[i] = true;
    qv_assert_ok(b->ctx,
                 qv_dataset_new_training(b->ctx, &b->data, b->toy.manifest, &b->toy.features, &b->settings, training));
    qv_trainer_options o = {.items = b->toy.all, .n_items = n, .keep_buffers = true, .no_fuse = true};
    qv_assert_ok(b->ctx, qv_trainer_new(b->ctx, &b->trainer, &b->settings, b->data, &o, b->toy.manifest->n_classes));
    qv_assert_ok(b->ctx, qv_trainer_run(b->ctx, b->trainer, epochs, &loss));
    free(training);
}

void qv_toy_bench_close(qv_toy_bench *b)
{
    qv_trainer_free(b->trainer);
    qv_dataset_free(b->data);
    qv_settings_free(&b->settings);
    qv_toy_free(&b->toy);
    qv_ctx_free(b->ctx);
}

int qv_toy_bench_buffer(const qv_toy_bench *b, const char *name)
{
    const qv_program *p = qv_trainer_net(b->trainer)->program;
    for (size_t i = 0; i < p->n_buffers; i++)
        if (strcmp(p->buffers[i].name, name) == 0) return (int)i;
    fail_msg("there is no buffer %s", name);
    return -1;
}

double *qv_toy_bench_values(const qv_toy_bench *b, const char *name, size_t *n)
{
    int id = qv_toy_bench_buffer(b, name);
    *n = qv_buffer_len(&qv_trainer_net(b->trainer)->program->buffers[id]);
    double *v = calloc(*n, sizeof *v);
    assert_non_null(v);
    qv_exec_read(qv_trainer_exec(b->trainer), id, 0, *n, v);
    return v;
}
