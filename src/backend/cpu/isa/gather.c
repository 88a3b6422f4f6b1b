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
    size_t rows, frames, mels, channels; /* of x */
    size_t values;                       /* mels * channels: of a frame */
    float *scratch; /* a row of the partner for every chunk */
    int32_t *from;  /* what every value shows, for every chunk */
} gather_args;

static void normalize_row(float *restrict x, const float *restrict f, const float *restrict shift,
                          const float *restrict scale, float gain, size_t values)
{
    for (size_t i = 0; i < values; i++) x[i] = (f[i] + gain - shift[i]) * scale[i];
}

static void normalize_listed(float *restrict x, const float *restrict f, const int32_t *restrict from,
                             const float *restrict shift, const float *restrict scale, float gain, size_t values)
{
    for (size_t i = 0; i < values; i++) x[i] = from[i] < 0 ? 0 : (f[from[i]] + gain - shift[i]) * scale[i];
}

/* Frame t of a patch. from: what each of its values shows. */
static void show_frame(const gather_args *a, const qv_patch *p, const int32_t *from, size_t t, float *x)
{
    const size_t values = a->values;
    if (qv_patch_blank(p, (int32_t)t)) {
        memset(x, 0, values * sizeof *x);
        return;
    }
    const float *norm = a->norm + (size_t)p->norm * 2 * values, *f = a->feats + qv_patch_frame(p, (int32_t)t) * values;
    if (qv_patch_straight(p))
        normalize_row(x, f, norm, norm + values, p->gain, values);
    else
        normalize_listed(x, f, from, norm, norm + values, p->gain, values);
    for (int i = 0; i < QV_MASKS; i++)
        if (p->mel[i].end > p->mel[i].begin)
            memset(x + (size_t)p->mel[i].begin * a->channels, 0,
                   (size_t)(p->mel[i].end - p->mel[i].begin) * a->channels * sizeof *x);
}

static void list_values(const gather_args *a, const qv_patch *p, int32_t *from)
{
    for (size_t i = 0; i < a->values; i++)
        from[i] = qv_patch_value(p, (int32_t)i, (int32_t)a->mels, (int32_t)a->channels);
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

static void show_sample(const gather_args *a, size_t n, float *other_row, int32_t *from)
{
    const size_t values = a->values;
    const uint32_t row = a->state->first + (uint32_t)n;
    const qv_patch own = a->windows ? qv_patch_given(a->utts, a->windows[n]) : draw_patch(a, row);
    float *x = a->x + n * a->frames * values;
    a->labels[n] = own.label;
    list_values(a, &own, from);
    for (size_t t = 0; t < a->frames; t++) show_frame(a, &own, from, t, x + t * values);
    if (!a->quantiles) return;
    const qv_patch other = partner_patch(a, n, row);
    const float share = a->share[n] = qv_mix_share(a->state, row, a->quantiles);
    a->others[n] = other.label;
    list_values(a, &other, from);
    for (size_t t = 0; t < a->frames; t++, x += values) {
        show_frame(a, &other, from, t, other_row);
        for (size_t i = 0; i < values; i++) x[i] = share * x[i] + (1 - share) * other_row[i];
    }
}

static void gather_samples(void *user, int chunk, size_t begin, size_t end)
{
    const gather_args *a = user;
    const size_t row = (size_t)chunk * a->values;
    for (size_t n = begin; n < end; n++) show_sample(a, n, a->scratch + row, a->from + row);
}

int QV_FN(qv_gather)(const qv_call *call, size_t *need)
{
    const qv_tensor *x = &call->out[0];
    const size_t values = (size_t)x->w * (size_t)x->c, rows = (size_t)qv_pool_threads(call->pool) * values;
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
                     .mels = (size_t)x->w,
                     .channels = (size_t)x->c,
                     .values = values,
                     .scratch = scratch,
                     .from = behind};
    qv_parallel(qv_pool_for(call, qv_tensor_len(x)), (size_t)x->n, 1, gather_samples, &a);
    return 0;
}
