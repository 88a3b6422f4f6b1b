#include "backend/ref/ref.h"
#include "base/philox.h"

/* The sampler's window for row n of this rank's part of the batch. */
static qv_window draw_window(const qv_step_state *s, const qv_utterance *utts, const int32_t *order, uint32_t n,
                             int32_t patch)
{
    uint64_t row = s->step * s->batch + s->first + n, epoch = row / s->set_size, position = row % s->set_size;
    int32_t utterance = order[epoch % 2 * s->set_size + position];
    uint32_t counter[4] = {(uint32_t)s->step, (uint32_t)position, (uint32_t)QV_DRAW_CROP << 24, (uint32_t)epoch};
    uint32_t u = qv_philox(counter, s->key).v[0] >> 8; /* in units of 2^-24: the product below is exact */
    int32_t spare = utts[utterance].frames - patch;
    uint64_t start = spare > 0 ? ((uint64_t)u * (uint64_t)(spare + 1)) >> 24 : 0;
    return (qv_window){utterance, (int32_t)start};
}

/* The patch of one window, or zeros where the window is padding; x is [frames][mels], norm [2][mels]. */
static void copy_patch(const float *feats, const qv_utterance *u, const float *norm, int32_t start, size_t frames,
                       size_t mels, qv_real *x)
{
    for (size_t t = 0; t < frames; t++) {
        for (size_t m = 0; m < mels; m++) {
            size_t frame = u ? (size_t)u->first_frame + ((size_t)start + t) % (size_t)u->frames : 0;
            x[t * mels + m] = u ? ((qv_real)feats[frame * mels + m] - (qv_real)norm[m]) * (qv_real)norm[mels + m] : 0;
        }
    }
}

int QV_REF(gather)(const qv_call *call, size_t *need)
{
    if (need) return *need = 0, QV_OK;
    const qv_step_state *state = call->in[0].data;
    const float *feats = call->in[1].data, *norms = call->in[3].data;
    const qv_utterance *utts = call->in[2].data;
    const int32_t *order = call->in[4].data;
    const qv_window *windows = call->in[5].data;
    qv_real *x = call->out[0].data;
    int32_t *labels = call->out[1].data, patch = call->out[0].h;
    size_t frames = (size_t)patch, mels = (size_t)call->out[0].w;
    for (uint32_t n = 0; n < (uint32_t)call->out[0].n; n++) {
        qv_window w = call->op->a.gather.windows ? windows[n] : draw_window(state, utts, order, n, patch);
        const qv_utterance *u = w.utterance >= 0 ? &utts[w.utterance] : NULL;
        const float *norm = u ? norms + (size_t)u->norm * 2 * mels : NULL;
        copy_patch(feats, u, norm, w.start, frames, mels, x + n * frames * mels);
        labels[n] = u ? u->label : -1;
    }
    return QV_OK;
}
