/* Patches from the feature matrix: what a row shows is drawn as on every backend. */
#include "backend/cpu/isa/isa.h"
#include "kernels/patch.h"

typedef struct gather_args {
    const qv_step_state *state;
    const float *feats, *norm;
    const qv_utterance *utts;
    const int32_t *order;
    const qv_window *windows; /* NULL: draw */
    const float *quantiles;   /* NULL: no mixture */
    const qv_gather_attr *attr;
    float *x, *share;
    int32_t *labels, *others;
    size_t rows, frames, mels; /* of x */
    float *scratch; /* a row of the partner for every chunk */
    int32_t *bands; /* what every band shows, for every chunk */
} gather_args;

static void normalize_row(float *restrict x, const float *restrict f, const float *restrict shift,
                          const float *restrict scale, float gain, size_t mels)
{
    for (size_t m = 0; m < mels; m++) x[m] = (f[m] + gain - shift[m]) * scale[m];
}

static void normalize_bands(float *restrict x, const float *restrict f, const int32_t *restrict bands,
                            const float *restrict shift, const float *restrict scale, float gain, size_t mels)
{
    for (size_t m = 0; m < mels; m++) x[m] = (f[bands[m]] + gain - shift[m]) * scale[m];
}

/* Frame t of a patch. bands: what each band shows. */
static void show_frame(const gather_args *a, const qv_patch *p, const int32_t *bands, size_t t, float *x)
{
    const size_t mels = a->mels;
    if (p->frames == 0 || qv_in_spans(p->time, (int32_t)t)) {
        memset(x, 0, mels * sizeof *x);
        return;
    }
    const float *norm = a->norm + (size_t)p->norm * 2 * mels, *f = a->feats + qv_patch_frame(p, (int32_t)t) * mels;
    if (p->mel_step == QV_ONE)
        normalize_row(x, f, norm, norm + mels, p->gain, mels);
    else
        normalize_bands(x, f, bands, norm, norm + mels, p->gain, mels);
    for (int i = 0; i < QV_MASKS; i++)
        if (p->mel[i].end > p->mel[i].begin)
            memset(x + p->mel[i].begin, 0, (size_t)(p->mel[i].end - p->mel[i].begin) * sizeof *x);
}

static void list_bands(const gather_args *a, const qv_patch *p, int32_t *bands)
{
    for (size_t m = 0; m < a->mels; m++) bands[m] = qv_patch_mel(p, (int32_t)m, (int32_t)a->mels);
}

static qv_patch draw_patch(const gather_args *a, uint32_t row)
{
    return qv_patch_drawn(a->state, a->utts, a->order, a->attr, row, (int32_t)a->frames, (int32_t)a->mels);
}

static qv_patch partner_patch(const gather_args *a, size_t n, uint32_t row)
{
    return a->windows ? qv_patch_given(a->utts, a->windows[a->rows - 1 - n])
                      : draw_patch(a, qv_mix_partner(a->state, row));
}

static void show_sample(const gather_args *a, size_t n, float *other_row, int32_t *bands)
{
    const size_t mels = a->mels;
    const uint32_t row = a->state->first + (uint32_t)n;
    const qv_patch own = a->windows ? qv_patch_given(a->utts, a->windows[n]) : draw_patch(a, row);
    float *x = a->x + n * a->frames * mels;
    a->labels[n] = own.label;
    list_bands(a, &own, bands);
    for (size_t t = 0; t < a->frames; t++) show_frame(a, &own, bands, t, x + t * mels);
    if (!a->quantiles) return;
    const qv_patch other = partner_patch(a, n, row);
    const float share = a->share[n] = qv_mix_share(a->state, row, a->quantiles);
    a->others[n] = other.label;
    list_bands(a, &other, bands);
    for (size_t t = 0; t < a->frames; t++, x += mels) {
        show_frame(a, &other, bands, t, other_row);
        for (size_t m = 0; m < mels; m++) x[m] = share * x[m] + (1 - share) * other_row[m];
    }
}

static void gather_samples(void *user, int chunk, size_t begin, size_t end)
{
    const gather_args *a = user;
    const size_t mels = a->mels;
    for (size_t n = begin; n < end; n++)
        show_sample(a, n, a->scratch + (size_t)chunk * mels, a->bands + (size_t)chunk * mels);
}

int QV_FN(qv_gather)(const qv_call *call, size_t *need)
{
    const qv_tensor *x = &call->out[0];
    const size_t mels = (size_t)x->w, rows = (size_t)qv_pool_threads(call->pool) * mels;
    if (need) return (*need = rows * (sizeof(float) + sizeof(int32_t))), 0;
    const qv_gather_attr *attr = &call->op->a.gather;
    float *scratch = call->scratch;
    void *behind = scratch + rows;
    gather_args a = {.state = call->in[0].data,
                     .feats = call->in[1].data,
                     .norm = call->in[3].data,
                     .utts = call->in[2].data,
                     .order = call->in[4].data,
                     .windows = attr->windows ? call->in[5].data : NULL,
                     .quantiles = call->in[6].data,
                     .attr = attr,
                     .x = x->data,
                     .share = call->out[3].data,
                     .labels = call->out[1].data,
                     .others = call->out[2].data,
                     .rows = (size_t)x->n,
                     .frames = (size_t)x->h,
                     .mels = mels,
                     .scratch = scratch,
                     .bands = behind};
    qv_parallel(qv_pool_for(call, qv_tensor_len(x)), (size_t)x->n, 1, gather_samples, &a);
    return 0;
}
