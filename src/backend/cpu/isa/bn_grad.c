/* Batch norm backward, and backward through batch norm and shake at once.
 *
 * v is dy, masked where the forward apply's ReLU was shut, and with coefficients dy times coef
 * for the first half of the channels and times 1 - coef for the second. The mask is taken from
 * the same expression as in bn.c, so both passes agree to the bit. */
#include <math.h>

#include "backend/cpu/isa/isa.h"

/* How the rows of dy and x lie to each other. */
typedef enum shape {
    PLAIN, /* C and C */
    TWIN,  /* dy 2C, x C: two sets of scale and shift on one x */
    SHAKEN /* dy C/2, x C: one gradient for both branches */
} shape;

/* Per channel of one set, each [lanes]: mean, rstd * gamma, beta. */
typedef struct params {
    const float *mean, *scale, *shift;
} params;

static shape shape_of(const qv_call *call)
{
    if (call->in[6 + 2 * (call->op->kind == QV_OP_BN_GRAD_APPLY)].data) return SHAKEN;
    return call->op->a.bn.repeat == 2 ? TWIN : PLAIN;
}

/* Rows as the loops see them: only PLAIN may put several rows side by side. */
static qv_view view_for(const qv_tensor *x, shape kind)
{
    qv_view v = qv_view_of(x);
    if (kind == PLAIN) return v;
    v = (qv_view){.channels = v.channels, .repeat = 1, .lanes = v.channels};
    v.rows = qv_tensor_len(x) / v.channels;
    return v;
}

/* mean[lanes], then for each set scale[lanes], shift[lanes]. */
static void load_params(const qv_call *call, const qv_view *v, size_t sets, float *to)
{
    const float *mean = call->in[2].data, *rstd = call->in[3].data, *gamma = call->in[4].data, *beta = call->in[5].data;
    const size_t c = v->channels;
    memcpy(to, mean, c * sizeof *to);
    qv_spread(to, c, v->lanes);
    for (size_t j = 0; j < sets; j++) {
        float *scale = to + (1 + 2 * j) * v->lanes, *shift = scale + v->lanes;
        for (size_t i = 0; i < c; i++) scale[i] = rstd[i] * gamma[j * c + i];
        memcpy(shift, beta + j * c, c * sizeof *shift);
        qv_spread(scale, c, v->lanes);
        qv_spread(shift, c, v->lanes);
    }
}

static params set_of(const float *loaded, const qv_view *v, size_t j, size_t channel)
{
    const float *scale = loaded + (1 + 2 * j) * v->lanes;
    params p = {loaded + channel, scale + channel, scale + v->lanes + channel};
    return p;
}

/* What the forward output must exceed for its gradient to pass. A number and not a flag, so that the
 * loops stay free of branches. */
static float threshold(const qv_call *call) { return call->op->a.bn.relu ? 0 : -INFINITY; }

static inline float masked(float dy, float centred, float scale, float shift, float floor)
{
    return centred * scale + shift > floor ? dy : 0;
}

/* dbeta[i] += sum of v over the rows, dgamma[i] += sum of v (x - mean); the rows are few enough to stay in L1. */
static void sum_rows(const float *x, size_t x_step, const float *dy, size_t dy_step, float factor, size_t rows, size_t n,
                     const params *p, float floor, float *dbeta, float *dgamma)
{
    const qv_vec limit = qv_all(floor);
    size_t i = 0;
    for (; i + QV_WIDTH <= n; i += QV_WIDTH) {
        const qv_vec mean = qv_load(p->mean + i), scale = qv_load(p->scale + i), shift = qv_load(p->shift + i);
        qv_vec b = {0}, g = {0};
        for (size_t r = 0; r < rows; r++) {
            const qv_vec a = qv_load(x + r * x_step + i) - mean;
            const qv_vec v = qv_where(a * scale + shift > limit, qv_load(dy + r * dy_step + i));
            b += v;
            g += v * a;
        }
        qv_store(dbeta + i, qv_load(dbeta + i) + factor * b);
        qv_store(dgamma + i, qv_load(dgamma + i) + factor * g);
    }
    for (; i < n; i++) {
        float b = 0, g = 0;
        for (size_t r = 0; r < rows; r++) {
            const float a = x[r * x_step + i] - p->mean[i];
            const float v = masked(dy[r * dy_step + i], a, p->scale[i], p->shift[i], floor);
            b += v;
            g += v * a;
        }
        dbeta[i] += factor * b;
        dgamma[i] += factor * g;
    }
}

typedef struct sums_args {
    const float *x, *dy, *loaded;
    float *sums; /* [segments][sets][2][lanes]: dbeta, dgamma / rstd */
    qv_view v;
    qv_coefs coefs;
    size_t segments, sets;
    shape kind;
    float floor;
} sums_args;

static void sum_plain(const sums_args *a, const float *x, const float *dy, size_t rows, float *sums)
{
    const size_t lanes = a->v.lanes;
    const params p = set_of(a->loaded, &a->v, 0, 0);
    sum_rows(x, lanes, dy, lanes, 1, rows, lanes, &p, a->floor, sums, sums + lanes);
}

static void sum_twin(const sums_args *a, const float *x, const float *dy, size_t rows, float *sums)
{
    const size_t c = a->v.channels;
    for (size_t j = 0; j < 2; j++) {
        const params p = set_of(a->loaded, &a->v, j, 0);
        sum_rows(x, c, dy + j * c, 2 * c, 1, rows, c, &p, a->floor, sums + 2 * j * c, sums + (2 * j + 1) * c);
    }
}

static void sum_shaken(const sums_args *a, const float *x, const float *dy, size_t row, size_t rows, float *sums)
{
    const size_t c = a->v.channels, half = c / 2, last = row + rows;
    const params first = set_of(a->loaded, &a->v, 0, 0), second = set_of(a->loaded, &a->v, 0, half);
    while (row < last) {
        float k;
        const size_t run = qv_coef_run(&a->coefs, row, last, &k) - row;
        sum_rows(x, c, dy, half, k, run, half, &first, a->floor, sums, sums + c);
        sum_rows(x + half, c, dy, half, 1 - k, run, half, &second, a->floor, sums + half, sums + c + half);
        x += run * c, dy += run * half, row += run;
    }
}

static void sums_segments(void *user, int chunk, size_t begin, size_t end)
{
    const sums_args *a = user;
    const size_t lanes = a->v.lanes, width = a->kind == TWIN ? 2 * lanes : a->kind == SHAKEN ? lanes / 2 : lanes;
    const size_t step = qv_block_rows(lanes);
    (void)chunk;
    for (size_t s = begin; s < end; s++) {
        float *sums = a->sums + s * a->sets * 2 * lanes;
        size_t row, last;
        qv_chunk(a->v.rows, 1, (int)a->segments, (int)s, &row, &last);
        memset(sums, 0, a->sets * 2 * lanes * sizeof *sums);
        for (; row < last; row += step) {
            const size_t rows = qv_min(step, last - row);
            const float *x = a->x + row * lanes, *dy = a->dy + row * width;
            qv_prefetch(x + rows * lanes, rows * lanes);
            qv_prefetch(dy + rows * width, rows * width);
            if (a->kind == TWIN)
                sum_twin(a, x, dy, rows, sums);
            else if (a->kind == SHAKEN)
                sum_shaken(a, x, dy, row, rows, sums);
            else
                sum_plain(a, x, dy, rows, sums);
        }
        if (s + 1 == a->segments && a->v.tail) {
            const params p = set_of(a->loaded, &a->v, 0, 0);
            const float *x = a->x + a->v.rows * lanes, *dy = a->dy + a->v.rows * lanes;
            sum_rows(x, 0, dy, 0, 1, 1, a->v.tail, &p, a->floor, sums, sums + lanes);
        }
    }
}

static void merge_sums(const sums_args *a, const float *rstd, float *dgamma, float *dbeta)
{
    const size_t c = a->v.channels, lanes = a->v.lanes;
    for (size_t j = 0; j < a->sets; j++) {
        for (size_t i = 0; i < c; i++) {
            double b = 0, g = 0;
            for (size_t s = 0; s < a->segments; s++) {
                const float *sums = a->sums + (s * a->sets + j) * 2 * lanes;
                for (size_t p = i; p < lanes; p += c) b += (double)sums[p], g += (double)sums[lanes + p];
            }
            dbeta[j * c + i] = (float)b;
            dgamma[j * c + i] = (float)(g * (double)rstd[i]);
        }
    }
}

int QV_FN(qv_bn_grad_sums)(const qv_call *call, size_t *need)
{
    const shape kind = shape_of(call);
    sums_args a = {.kind = kind, .v = view_for(&call->in[1], kind), .sets = kind == TWIN ? 2 : 1};
    a.segments = qv_segments(a.v.rows);
    const size_t loaded = (1 + 2 * a.sets) * a.v.lanes;
    if (need) return (*need = (loaded + a.segments * a.sets * 2 * a.v.lanes) * sizeof(float)), 0;
    load_params(call, &a.v, a.sets, call->scratch);
    a.dy = call->in[0].data;
    a.x = call->in[1].data;
    a.loaded = call->scratch;
    a.sums = (float *)call->scratch + loaded;
    a.floor = threshold(call);
    if (kind == SHAKEN) a.coefs = qv_coefs_of(&call->in[6], &call->in[1]);
    qv_parallel(qv_pool_for(call, qv_tensor_len(&call->in[1])), a.segments, 1, sums_segments, &a);
    merge_sums(&a, call->in[3].data, call->out[0].data, call->out[1].data);
    return 0;
}

/* dx = addend + factor scale v - offset - slope (x - mean), n channels. */
typedef struct grad_params {
    params set;
    const float *offset, *slope;
} grad_params;

static void grad_row(float *restrict dx, const float *restrict x, const float *restrict dy, float factor,
                     const float *restrict addend, size_t n, const grad_params *g, float floor)
{
    const float *restrict mean = g->set.mean, *restrict scale = g->set.scale, *restrict shift = g->set.shift;
    const float *restrict offset = g->offset, *restrict slope = g->slope;
    if (addend) {
        for (size_t i = 0; i < n; i++) {
            float a = x[i] - mean[i], v = factor * masked(dy[i], a, scale[i], shift[i], floor);
            dx[i] = addend[i] + (scale[i] * v - offset[i] - slope[i] * a);
        }
    } else {
        for (size_t i = 0; i < n; i++) {
            float a = x[i] - mean[i], v = factor * masked(dy[i], a, scale[i], shift[i], floor);
            dx[i] = scale[i] * v - offset[i] - slope[i] * a;
        }
    }
}

static void grad_twin_row(float *restrict dx, const float *restrict x, const float *restrict dy,
                          const float *restrict addend, size_t n, const grad_params *g, const params *second, float floor)
{
    const float *restrict mean = g->set.mean, *restrict scale = g->set.scale, *restrict shift = g->set.shift;
    const float *restrict scale2 = second->scale, *restrict shift2 = second->shift, *restrict dy2 = dy + n;
    const float *restrict offset = g->offset, *restrict slope = g->slope;
    for (size_t i = 0; i < n; i++) {
        float a = x[i] - mean[i];
        float v = masked(dy[i], a, scale[i], shift[i], floor), w = masked(dy2[i], a, scale2[i], shift2[i], floor);
        dx[i] = (scale[i] * v + scale2[i] * w) - offset[i] - slope[i] * a;
    }
    if (addend)
        for (size_t i = 0; i < n; i++) dx[i] += addend[i];
}

typedef struct grad_args {
    const float *x, *dy, *addend, *loaded, *offset, *slope;
    float *dx;
    qv_view v;
    qv_coefs coefs;
    float floor;
    bool stream;
} grad_args;

static grad_params grad_params_of(const grad_args *a, size_t channel)
{
    grad_params g = {set_of(a->loaded, &a->v, 0, channel), a->offset + channel, a->slope + channel};
    return g;
}

static void grad_plain(void *user, int chunk, size_t begin, size_t end)
{
    const grad_args *a = user;
    const grad_params g = grad_params_of(a, 0);
    float stage[QV_STAGE];
    (void)chunk;
    for (size_t row = begin; row < end; row++) {
        size_t at = row * a->v.lanes, n = row < a->v.rows ? a->v.lanes : a->v.tail;
        const float *addend = a->addend ? a->addend + at : NULL;
        grad_row(a->stream ? stage : a->dx + at, a->x + at, a->dy + at, 1, addend, n, &g, a->floor);
        if (a->stream) qv_stream_out(a->dx + at, stage, n);
    }
    if (a->stream) qv_stream_end();
}

static void grad_twin(void *user, int chunk, size_t begin, size_t end)
{
    const grad_args *a = user;
    const size_t c = a->v.channels;
    const grad_params g = grad_params_of(a, 0);
    const params second = set_of(a->loaded, &a->v, 1, 0);
    float stage[QV_STAGE];
    (void)chunk;
    for (size_t row = begin; row < end; row++) {
        const float *addend = a->addend ? a->addend + row * c : NULL;
        float *dx = a->stream ? stage : a->dx + row * c;
        grad_twin_row(dx, a->x + row * c, a->dy + row * 2 * c, addend, c, &g, &second, a->floor);
        if (a->stream) qv_stream_out(a->dx + row * c, stage, c);
    }
    if (a->stream) qv_stream_end();
}

static void grad_shaken(void *user, int chunk, size_t begin, size_t end)
{
    const grad_args *a = user;
    const size_t c = a->v.channels, half = c / 2;
    const grad_params first = grad_params_of(a, 0), second = grad_params_of(a, half);
    float stage[QV_STAGE];
    (void)chunk;
    for (size_t row = begin; row < end;) {
        float k;
        for (size_t next = qv_coef_run(&a->coefs, row, end, &k); row < next; row++) {
            const float *x = a->x + row * c, *dy = a->dy + row * half;
            const float *addend = a->addend ? a->addend + row * c : NULL;
            float *dx = a->stream ? stage : a->dx + row * c;
            grad_row(dx, x, dy, k, addend, half, &first, a->floor);
            grad_row(dx + half, x + half, dy, 1 - k, addend ? addend + half : NULL, half, &second, a->floor);
            if (a->stream) qv_stream_out(a->dx + row * c, stage, c);
        }
    }
    if (a->stream) qv_stream_end();
}

/* offset = sum over the sets of scale dbeta / M, slope = sum of scale rstd dgamma / M. */
static void load_offsets(const qv_call *call, const qv_view *v, size_t sets, const float *loaded, float *offset,
                         float *slope)
{
    const float *rstd = call->in[3].data, *dgamma = call->in[6].data, *dbeta = call->in[7].data;
    const size_t c = v->channels;
    const double m = (double)(qv_tensor_len(&call->in[1]) / c);
    for (size_t i = 0; i < c; i++) {
        double o = 0, s = 0;
        for (size_t j = 0; j < sets; j++) {
            double scale = (double)loaded[(1 + 2 * j) * v->lanes + i];
            o += scale * (double)dbeta[j * c + i] / m;
            s += scale * (double)rstd[i] * (double)dgamma[j * c + i] / m;
        }
        offset[i] = (float)o;
        slope[i] = (float)s;
    }
    qv_spread(offset, c, v->lanes);
    qv_spread(slope, c, v->lanes);
}

int QV_FN(qv_bn_grad_apply)(const qv_call *call, size_t *need)
{
    const shape kind = shape_of(call);
    const qv_view v = view_for(&call->in[1], kind);
    const size_t sets = kind == TWIN ? 2 : 1, loaded = (1 + 2 * sets) * v.lanes;
    if (need) return (*need = (loaded + 2 * v.lanes) * sizeof(float)), 0;
    float *scratch = call->scratch, *offset = scratch + loaded, *slope = offset + v.lanes;
    load_params(call, &v, sets, scratch);
    load_offsets(call, &v, sets, scratch, offset, slope);
    grad_args a = {.x = call->in[1].data, .dy = call->in[0].data, .addend = call->in[9].data, .loaded = scratch,
                   .offset = offset, .slope = slope, .dx = call->out[0].data, .v = v, .floor = threshold(call)};
    a.stream = qv_streams(&call->out[0], v.lanes);
    qv_pool *pool = qv_pool_for(call, qv_tensor_len(&call->in[1]));
    if (kind == SHAKEN) {
        a.coefs = qv_coefs_of(&call->in[8], &call->in[1]);
        qv_parallel(pool, v.rows, 16, grad_shaken, &a);
    } else if (kind == TWIN) {
        qv_parallel(pool, v.rows, 16, grad_twin, &a);
    } else {
        qv_parallel(pool, v.rows + (v.tail > 0), 1, grad_plain, &a);
    }
    return 0;
}
