/* Any bytes as a checkpoint: opened, loaded into a predictor, used on half a second of sound. */
#include <math.h>

#include "fuzz.h"
#include "quaver/predictor.h"
#include "train/checkpoint.h"

/* Few enough values a window that a search gets on. */
static int is_small(qv_ctx *ctx, const char *path)
{
    qv_checkpoint *c;
    qv_status status = qv_checkpoint_open(ctx, &c, path);
    qv_fuzz_refused(ctx, status);
    if (status != QV_OK) return 0;
    const qv_settings *s = &c->settings;
    int64_t values = (int64_t)qv_settings_patch_frames(s) * s->mels * s->width * qv_checkpoint_batch(c);
    qv_checkpoint_close(c);
    return values <= 1 << 16;
}

static void predict(qv_ctx *ctx, qv_predictor *p)
{
    enum { SAMPLES = 8000, CLASSES = 64 };
    float samples[SAMPLES];
    double probs[CLASSES], sum = 0;
    int classes = qv_predictor_classes(p);
    if (classes > CLASSES) return;
    for (int i = 0; i < SAMPLES; i++) samples[i] = sinf(0.05f * (float)i) * 0.1f;
    qv_status status = qv_predictor_samples(ctx, p, samples, SAMPLES, probs);
    qv_fuzz_refused(ctx, status);
    if (status != QV_OK) return;
    for (int k = 0; k < classes; k++) sum += probs[k];
    qv_fuzz_promise(fabs(sum - 1) < 1e-3, "probabilities add up to one");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    qv_ctx *ctx = qv_fuzz_ctx();
    qv_predictor *p;
    const char *path = qv_fuzz_file(0, data, size);
    int small = is_small(ctx, path);
    qv_status status = qv_predictor_open(ctx, &p, path, 1);
    qv_fuzz_refused(ctx, status);
    if (status == QV_OK) {
        if (small) predict(ctx, p);
        qv_predictor_close(p);
    }
    qv_ctx_free(ctx);
    return 0;
}
