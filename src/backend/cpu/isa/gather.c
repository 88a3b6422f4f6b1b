/* Patches from the feature matrix: which window a row takes is drawn as on every backend. */
#include "backend/cpu/isa/isa.h"
#include "base/philox.h"

typedef struct gather_args {
    const qv_step_state *state;
    const float *feats, *norm;
    const qv_utterance *utts;
    const int32_t *order;
    const qv_window *windows; /* NULL: draw */
    float *x;
    int32_t *labels;
    size_t frames, mels;
} gather_args;

static qv_window draw_window(const gather_args *a, size_t n)
{
    const qv_step_state *s = a->state;
    const uint64_t row = s->step * s->batch + s->first + n, epoch = row / s->set_size, position = row % s->set_size;
    const uint32_t counter[4] = {(uint32_t)s->step, (uint32_t)position, (uint32_t)QV_DRAW_CROP << 24, (uint32_t)epoch};
    qv_window w = {a->order[epoch % 2 * s->set_size + position], 0};
    const int64_t spare = (int64_t)a->utts[w.utterance].frames - (int64_t)a->frames;
    /* 24 bits times the number of starts: exact in integers */
    if (spare > 0) w.start = (int32_t)(((uint64_t)(qv_philox(counter, s->key).v[0] >> 8) * (uint64_t)(spare + 1)) >> 24);
    return w;
}

static void normalize_row(float *restrict x, const float *restrict f, const float *restrict shift,
                          const float *restrict scale, size_t mels)
{
    for (size_t m = 0; m < mels; m++) x[m] = (f[m] - shift[m]) * scale[m];
}

static void gather_samples(void *user, int chunk, size_t begin, size_t end)
{
    const gather_args *a = user;
    const size_t mels = a->mels;
    (void)chunk;
    for (size_t n = begin; n < end; n++) {
        const qv_window w = a->windows ? a->windows[n] : draw_window(a, n);
        float *x = a->x + n * a->frames * mels;
        a->labels[n] = -1;
        if (w.utterance < 0) {
            memset(x, 0, a->frames * mels * sizeof *x);
            continue;
        }
        const qv_utterance *u = &a->utts[w.utterance];
        const float *norm = a->norm + (size_t)u->norm * 2 * mels;
        size_t frame = (size_t)w.start % (size_t)u->frames;
        a->labels[n] = u->label;
        for (size_t t = 0; t < a->frames; t++) {
            normalize_row(x + t * mels, a->feats + ((size_t)u->first_frame + frame) * mels, norm, norm + mels, mels);
            if (++frame == (size_t)u->frames) frame = 0;
        }
    }
}

int QV_FN(qv_gather)(const qv_call *call, size_t *need)
{
    if (need) return (*need = 0), 0;
    const qv_tensor *x = &call->out[0];
    gather_args a = {call->in[0].data, call->in[1].data, call->in[3].data, call->in[2].data, call->in[4].data, NULL,
                     x->data, call->out[1].data, (size_t)x->h, (size_t)x->w};
    if (call->op->a.gather.windows) a.windows = call->in[5].data;
    qv_parallel(qv_pool_for(call, qv_tensor_len(x)), (size_t)x->n, 1, gather_samples, &a);
    return 0;
}
