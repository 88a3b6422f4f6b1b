/* Batch norm forward. bn_stats reads x once from memory: a block of rows gives the mean and the
 * squared deviations of each lane while it is in L1, merged into those of the segment (Chan, Golub
 * and LeVeque), all relative to the segment's first row, so that a mean of a thousand deviations
 * costs no digits. */
#include "backend/cpu/isa/isa.h"

enum { VECTORS = 4 }; /* of lanes whose sums run side by side: one alone would wait for itself */

typedef struct stats_args {
    const float *x;
    float *first, *mean, *m2; /* [segments][lanes] in the scratch; mean is relative to first */
    qv_view v;
    size_t segments;
} stats_args;

/* merge_block for so many vectors of lanes. */
static inline __attribute__((always_inline)) void merge_lanes(const float *x, size_t rows, size_t step, float share,
                                                              float weight, const float *first, float *mean, float *m2,
                                                              const size_t vectors)
{
    const float part = 1.0f / (float)rows;
    qv_vec base[VECTORS], m[VECTORS], squares[VECTORS];
    for (size_t k = 0; k < vectors; k++) base[k] = qv_load(first + k * QV_WIDTH), m[k] = squares[k] = (qv_vec){0};
    for (size_t r = 0; r < rows; r++)
        for (size_t k = 0; k < vectors; k++) m[k] += qv_load(x + r * step + k * QV_WIDTH) - base[k];
    for (size_t k = 0; k < vectors; k++) m[k] *= part;
    for (size_t r = 0; r < rows; r++) {
        for (size_t k = 0; k < vectors; k++) {
            const qv_vec d = qv_load(x + r * step + k * QV_WIDTH) - base[k] - m[k];
            squares[k] += d * d;
        }
    }
    for (size_t k = 0; k < vectors; k++) {
        const qv_vec before = qv_load(mean + k * QV_WIDTH), delta = m[k] - before;
        qv_store(mean + k * QV_WIDTH, before + delta * share);
        qv_store(m2 + k * QV_WIDTH, qv_load(m2 + k * QV_WIDTH) + squares[k] + delta * delta * weight);
    }
}

/* Merges a block of rows into what was seen of each lane, `seen` rows before. */
static void merge_block(const float *x, size_t rows, size_t lanes, size_t seen, const float *first, float *mean, float *m2)
{
    const float share = (float)rows / (float)(seen + rows), weight = (float)seen * share, part = 1.0f / (float)rows;
    size_t p = 0;
    for (; p + VECTORS * QV_WIDTH <= lanes; p += VECTORS * QV_WIDTH)
        merge_lanes(x + p, rows, lanes, share, weight, first + p, mean + p, m2 + p, VECTORS);
    for (; p + QV_WIDTH <= lanes; p += QV_WIDTH)
        merge_lanes(x + p, rows, lanes, share, weight, first + p, mean + p, m2 + p, 1);
    for (; p < lanes; p++) {
        float sum = 0, squares = 0;
        for (size_t r = 0; r < rows; r++) sum += x[r * lanes + p] - first[p];
        const float m = sum * part, delta = m - mean[p];
        for (size_t r = 0; r < rows; r++) squares += (x[r * lanes + p] - first[p] - m) * (x[r * lanes + p] - first[p] - m);
        mean[p] += delta * share;
        m2[p] += squares + delta * delta * weight;
    }
}

/* The repeats of a channel, `seen` values each, become one population in place. */
static void fold_repeats(const qv_view *v, double seen, float *first, float *mean, float *m2)
{
    for (size_t c = 0; c < v->channels; c++) {
        double sum = 0, squares = 0;
        for (size_t p = c; p < v->lanes; p += v->channels) sum += (double)first[p] + (double)mean[p];
        double m = sum / (double)v->repeat;
        for (size_t p = c; p < v->lanes; p += v->channels) {
            double delta = (double)first[p] + (double)mean[p] - m;
            squares += (double)m2[p] + seen * delta * delta;
        }
        mean[c] = (float)(m - (double)first[c]);
        m2[c] = (float)squares;
    }
}

static void stats_segments(void *user, int chunk, size_t begin, size_t end)
{
    const stats_args *a = user;
    const size_t lanes = a->v.lanes, step = qv_block_rows(lanes);
    (void)chunk;
    for (size_t s = begin; s < end; s++) {
        float *first = a->first + s * lanes, *mean = a->mean + s * lanes, *m2 = a->m2 + s * lanes;
        size_t row, last, from;
        qv_chunk(a->v.rows, 1, (int)a->segments, (int)s, &from, &last);
        if (from == last) continue;
        memcpy(first, a->x + from * lanes, lanes * sizeof *first);
        memset(mean, 0, lanes * sizeof *mean);
        memset(m2, 0, lanes * sizeof *m2);
        for (row = from; row < last; row += step) {
            const size_t rows = qv_min(step, last - row);
            const float *x = a->x + row * lanes;
            qv_prefetch(x + rows * lanes, rows * lanes);
            merge_block(x, rows, lanes, row - from, first, mean, m2);
        }
        fold_repeats(&a->v, (double)(last - from), first, mean, m2);
    }
}

/* Values of a channel in a segment; segment `segments` is the rest at the end of x. */
static double segment_count(const stats_args *a, size_t s)
{
    size_t begin, end;
    if (s == a->segments) return (double)(a->v.tail / a->v.channels);
    qv_chunk(a->v.rows, 1, (int)a->segments, (int)s, &begin, &end);
    return (double)((end - begin) * a->v.repeat);
}

static double segment_mean(const stats_args *a, size_t s, size_t c)
{
    const float *rest = a->x + a->v.rows * a->v.lanes;
    if (s < a->segments) return (double)a->first[s * a->v.lanes + c] + (double)a->mean[s * a->v.lanes + c];
    double sum = 0;
    for (size_t i = c; i < a->v.tail; i += a->v.channels) sum += (double)rest[i];
    return sum / segment_count(a, s);
}

static double segment_m2(const stats_args *a, size_t s, size_t c, double mean)
{
    const float *rest = a->x + a->v.rows * a->v.lanes;
    if (s < a->segments) return (double)a->m2[s * a->v.lanes + c];
    double sum = 0;
    for (size_t i = c; i < a->v.tail; i += a->v.channels) sum += ((double)rest[i] - mean) * ((double)rest[i] - mean);
    return sum;
}

static void merge_channel(const stats_args *a, size_t c, float *mean, float *var)
{
    double count = 0, sum = 0, squares = 0;
    for (size_t s = 0; s <= a->segments; s++) {
        double n = segment_count(a, s);
        if (n > 0) count += n, sum += n * segment_mean(a, s, c);
    }
    double m = sum / count;
    for (size_t s = 0; s <= a->segments; s++) {
        double n = segment_count(a, s);
        if (!(n > 0)) continue;
        double part = segment_mean(a, s, c);
        squares += segment_m2(a, s, c, part) + n * (part - m) * (part - m);
    }
    *mean = (float)m;
    *var = (float)(squares / count);
}

int QV_FN(qv_bn_stats)(const qv_call *call, size_t *need)
{
    qv_view v = qv_view_of(&call->in[0]);
    size_t segments = qv_segments(v.rows), len = segments * v.lanes;
    if (need) return (*need = 3 * len * sizeof(float)), 0;
    float *scratch = call->scratch, *mean = call->out[0].data, *var = call->out[1].data;
    stats_args a = {call->in[0].data, scratch, scratch + len, scratch + 2 * len, v, segments};
    qv_parallel(qv_pool_for(call, v.rows * v.lanes), segments, 1, stats_segments, &a);
    for (size_t c = 0; c < v.channels; c++) merge_channel(&a, c, &mean[c], &var[c]);
    return 0;
}

typedef struct apply_args {
    const float *x, *mean, *scale, *shift; /* scale, shift: [repeat of the op][lanes] */
    float *y;
    qv_view v;
    bool relu, stream;
} apply_args;

static void affine(float *restrict y, const float *restrict x, const float *restrict mean, const float *restrict scale,
                   const float *restrict shift, size_t n, bool relu)
{
    if (relu) {
        for (size_t i = 0; i < n; i++) {
            float z = (x[i] - mean[i]) * scale[i] + shift[i];
            y[i] = z < 0 ? 0 : z;
        }
    } else {
        for (size_t i = 0; i < n; i++) y[i] = (x[i] - mean[i]) * scale[i] + shift[i];
    }
}

static void apply_rows(void *user, int chunk, size_t begin, size_t end)
{
    const apply_args *a = user;
    float stage[QV_STAGE];
    (void)chunk;
    for (size_t row = begin; row < end; row++) {
        size_t at = row * a->v.lanes, n = row < a->v.rows ? a->v.lanes : a->v.tail;
        affine(a->stream ? stage : a->y + at, a->x + at, a->mean, a->scale, a->shift, n, a->relu);
        if (a->stream) qv_stream_out(a->y + at, stage, n);
    }
    if (a->stream) qv_stream_end();
}

/* One row of C channels becomes 2C. */
static void apply_twin(void *user, int chunk, size_t begin, size_t end)
{
    const apply_args *a = user;
    const size_t c = a->v.channels;
    float stage[QV_STAGE];
    (void)chunk;
    for (size_t row = begin; row < end; row++) {
        float *y = a->stream ? stage : a->y + row * 2 * c;
        affine(y, a->x + row * c, a->mean, a->scale, a->shift, c, a->relu);
        affine(y + c, a->x + row * c, a->mean, a->scale + a->v.lanes, a->shift + a->v.lanes, c, a->relu);
        if (a->stream) qv_stream_out(a->y + row * 2 * c, stage, 2 * c);
    }
    if (a->stream) qv_stream_end();
}

int QV_FN(qv_bn_apply)(const qv_call *call, size_t *need)
{
    const qv_bn_attr *bn = &call->op->a.bn;
    qv_view v = qv_view_of(&call->in[0]);
    const size_t sets = bn->repeat == 2 ? 2 : 1, c = v.channels, lanes = v.lanes;
    if (need) return (*need = (1 + 2 * sets) * lanes * sizeof(float)), 0;
    const float *mean_in = call->in[1].data, *rstd = call->in[2].data, *gamma = call->in[3].data, *beta = call->in[4].data;
    float *mean = call->scratch, *scale = mean + lanes, *shift = scale + sets * lanes;
    memcpy(mean, mean_in, c * sizeof *mean);
    for (size_t j = 0; j < sets; j++) {
        for (size_t i = 0; i < c; i++) scale[j * lanes + i] = rstd[i] * gamma[j * c + i];
        memcpy(shift + j * lanes, beta + j * c, c * sizeof *shift);
    }
    if (sets == 1) { /* a pass over two sets goes channel by channel */
        qv_spread(mean, c, lanes);
        qv_spread(scale, c, lanes);
        qv_spread(shift, c, lanes);
    }
    apply_args a = {call->in[0].data, mean, scale, shift, call->out[0].data, v, bn->relu != 0, false};
    a.stream = qv_streams(&call->out[0], sets == 2 ? 2 * c : lanes);
    qv_pool *pool = qv_pool_for(call, qv_tensor_len(&call->out[0]));
    if (sets == 2)
        qv_parallel(pool, qv_tensor_len(&call->in[0]) / c, 16, apply_twin, &a);
    else
        qv_parallel(pool, v.rows + (v.tail > 0), 1, apply_rows, &a);
    return 0;
}
