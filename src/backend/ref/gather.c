#include "backend/ref/ref.h"
#include "kernels/patch.h"

/* Element i of frame t of what the patch shows; a band has several of images. norm: [2][mels * channels]. */
static qv_real patch_value(const qv_patch *v, const float *feats, const float *norms, int32_t t, int32_t i,
                           int32_t mels, int32_t channels)
{
    int32_t values = mels * channels, from = qv_patch_value(v, i, mels, channels);
    if (qv_patch_blank(v, t) || qv_in_spans(v->mel, i / channels) || from < 0) return 0;
    const float *norm = norms + (size_t)v->norm * 2 * (size_t)values;
    qv_real value = feats[qv_patch_frame(v, t) * (size_t)values + (size_t)from];
    return (value + (qv_real)v->gain - (qv_real)norm[i]) * (qv_real)norm[values + i];
}

int QV_REF(gather)(const qv_call *call, size_t *need)
{
    if (need) return qv_no_scratch(need);
    const qv_step_state *state = call->in[0].data;
    const float *feats = call->in[1].data, *norms = call->in[3].data, *quantiles = call->in[6].data;
    const qv_utterance *utts = call->in[2].data;
    const int32_t *order = call->in[4].data;
    const qv_window *windows = call->in[5].data;
    const qv_gather_attr *a = &call->op->a.gather;
    qv_real *x = call->out[0].data, *share = call->out[3].data;
    int32_t *labels = call->out[1].data, *others = call->out[2].data;
    int32_t frames = call->out[0].h, mels = call->out[0].w, channels = call->out[0].c, values = mels * channels;
    for (uint32_t n = 0; n < (uint32_t)call->out[0].n; n++) {
        uint32_t row = state->first + n;
        qv_patch v =
            a->windows ? qv_patch_given(utts, windows[n]) : qv_patch_drawn(state, utts, order, a, row, frames, mels);
        qv_patch w = v;
        qv_real l = 1;
        if (quantiles) {
            uint32_t last = (uint32_t)call->out[0].n - 1;
            w = a->windows ? qv_patch_given(utts, windows[last - n])
                           : qv_patch_drawn(state, utts, order, a, qv_mix_partner(state, row), frames, mels);
            l = share[n] = (qv_real)qv_mix_share(state, row, quantiles);
            others[n] = w.label;
        }
        labels[n] = v.label;
        for (int32_t t = 0; t < frames; t++)
            for (int32_t i = 0; i < values; i++) {
                qv_real own = patch_value(&v, feats, norms, t, i, mels, channels);
                if (quantiles) own = l * own + (1 - l) * patch_value(&w, feats, norms, t, i, mels, channels);
                x[((size_t)n * (size_t)frames + (size_t)t) * (size_t)values + (size_t)i] = own;
            }
    }
    return QV_OK;
}
