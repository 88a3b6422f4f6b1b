/* 3x3 convolutions with stride 1 and their gradients in x, by F(4x4, 3x3) of winograd.h on NHWC.
 *
 * A block of tiles goes through three steps whose data stay in the second-level cache:
 *     V[36][tile][from] = B' d B     the patches, read where they lie
 *     M[36][tile][panel] = V U       36 products for a panel of two vectors of outputs
 *     y = A' M A                     written where the outputs lie
 * and for all blocks the filters are U[panel][36][from][panel's lanes]. The gradient in x is the same with
 * the filters turned by 180 degrees and the channels' roles exchanged. Groups read and write channel slices.
 *
 * Of one tile and a vector of channels each: 36 loads, 144 multiply-adds and 36 stores for V, 120 and 16
 * stores for y; the products take 36 * from * to multiply-adds where the direct sum takes 144 * from * to.
 * From 32 to 32 channels the steps around the products are about a sixth of the arithmetic. */
#include "backend/cpu/isa/winograd.h"

enum {
    ROWS = QV_WIDTH == 16 ? 12 : 6, /* tiles whose sums stay in registers beside a row of U */
    BLOCK = 24                      /* tiles: few, so that V and M stay near, yet U is not read too often */
};

/* Where everything of a call lies in the scratch, in floats. */
typedef struct layout {
    size_t blocks;         /* a group */
    size_t filters;        /* U of one group */
    size_t v_step, m_step; /* from point to point of V and M; not a multiple of 4 KiB, where the caches collide */
    size_t v, m, copy;     /* of a thread, behind each other */
} layout;

static layout layout_of(const qv_winograd *g)
{
    layout l = {.v_step = BLOCK * g->from + QV_LINE, .m_step = BLOCK * QV_PANEL + QV_LINE};
    l.blocks = (qv_tile_count(g) + BLOCK - 1) / BLOCK;
    l.filters = QV_POINTS * g->from * g->to;
    l.v = QV_POINTS * l.v_step;
    l.m = QV_POINTS * l.m_step;
    l.copy = QV_POINTS * g->from;
    return l;
}

static size_t thread_floats(const layout *l) { return l->v + l->m + l->copy; }

typedef struct job {
    const qv_winograd *g;
    layout l;
    const float *x, *w;
    float *y, *filters, *own; /* own: thread_floats for every thread */
    bool stream;
} job;

/* The lanes of the panel that begins at channel k. */
static size_t panel_lanes(const qv_winograd *g, size_t k) { return qv_min(QV_PANEL, g->to - k); }

/* A filter of one input channel and one vector of output channels from `k` on. */
static void load_filter(const job *j, size_t group, size_t i, size_t k, float f[9][QV_WIDTH])
{
    const qv_winograd *g = j->g;
    if (g->kind == QV_OP_CONV_GRAD_X) {
        const float *w = j->w + (group * g->from + i) * 9 * g->to + k;
        for (size_t t = 0; t < 9; t++) memcpy(f[t], w + (8 - t) * g->to, sizeof f[t]);
        return;
    }
    const float *w = j->w + (group * g->to + k) * 9 * g->from + i;
    for (size_t lane = 0; lane < QV_WIDTH; lane++)
        for (size_t t = 0; t < 9; t++) f[t][lane] = w[(lane * 9 + t) * g->from];
}

/* U = G f G'; points are `step` floats apart. */
static void transform_filter(float f[9][QV_WIDTH], float *u, size_t step)
{
    qv_vec columns[3][QV_PATCH], line[QV_PATCH];
    for (size_t s = 0; s < 3; s++)
        qv_filter_to_points((qv_vec[3]){qv_load(f[s]), qv_load(f[3 + s]), qv_load(f[6 + s])}, columns[s]);
    for (size_t i = 0; i < QV_PATCH; i++) {
        qv_filter_to_points((qv_vec[3]){columns[0][i], columns[1][i], columns[2][i]}, line);
        for (size_t p = 0; p < QV_PATCH; p++) qv_store(u + (i * QV_PATCH + p) * step, line[p]);
    }
}

/* Filters [begin, end), counted by group, output vector and input channel. */
static void transform_filters(void *user, int chunk, size_t begin, size_t end)
{
    const job *j = user;
    const qv_winograd *g = j->g;
    const size_t vectors = g->to / QV_WIDTH;
    (void)chunk;
    for (size_t index = begin; index < end; index++) {
        const size_t i = index % g->from, k = index / g->from % vectors * QV_WIDTH, group = index / (g->from * vectors);
        const size_t panel = k / QV_PANEL * QV_PANEL, lanes = panel_lanes(g, panel);
        float *u = j->filters + group * j->l.filters + QV_POINTS * g->from * panel + i * lanes + (k - panel);
        float f[9][QV_WIDTH];
        load_filter(j, group, i, k, f);
        transform_filter(f, u, g->from * lanes);
    }
}

/* m[ROWS][lanes] = v[ROWS][depth] u[depth][lanes], lanes = vectors * QV_WIDTH. */
static inline __attribute__((always_inline)) void product(const float *restrict v, size_t depth, const float *restrict u,
                                                          float *restrict m, const size_t vectors)
{
    qv_vec sum[ROWS][2];
    for (size_t i = 0; i < ROWS; i++) sum[i][0] = sum[i][1] = (qv_vec){0};
    for (size_t c = 0; c < depth; c++) {
        const qv_vec u0 = qv_load(u + c * vectors * QV_WIDTH), u1 = qv_load(u + (c * vectors + vectors - 1) * QV_WIDTH);
        for (size_t i = 0; i < ROWS; i++) {
            const float x = v[i * depth + c];
            sum[i][0] += x * u0;
            if (vectors > 1) sum[i][1] += x * u1;
        }
    }
    for (size_t i = 0; i < ROWS; i++)
        for (size_t k = 0; k < vectors; k++) qv_store(m + (i * vectors + k) * QV_WIDTH, sum[i][k]);
}

/* M of one panel; rows past the last tile are computed from what is there and never read. */
static void multiply(const job *j, const float *v, const float *u, float *m, size_t count, size_t lanes)
{
    const size_t from = j->g->from;
    for (size_t p = 0; p < QV_POINTS; p++) {
        for (size_t t = 0; t < count; t += ROWS) {
            const float *vp = v + p * j->l.v_step + t * from, *up = u + p * from * lanes;
            float *mp = m + p * j->l.m_step + t * lanes;
            if (lanes == QV_PANEL)
                product(vp, from, up, mp, 2);
            else
                product(vp, from, up, mp, 1);
        }
    }
}

/* A' M A for one vector of channels, points `step` floats apart. */
static inline void transform_points(const float *restrict m, size_t step, qv_vec y[QV_TILE][QV_TILE])
{
    qv_vec rows[QV_TILE][QV_PATCH];
    for (size_t p = 0; p < QV_PATCH; p++) {
        qv_vec column[QV_PATCH], line[QV_TILE];
        for (size_t i = 0; i < QV_PATCH; i++) column[i] = qv_load(m + (i * QV_PATCH + p) * step);
        qv_points_to_tile(column, line);
        for (size_t i = 0; i < QV_TILE; i++) rows[i][p] = line[i];
    }
    for (size_t i = 0; i < QV_TILE; i++) qv_points_to_tile(rows[i], y[i]);
}

/* V of `count` tiles. */
static void read_tiles(const job *j, size_t group, size_t begin, size_t count, float *v, float *copy)
{
    const qv_winograd *g = j->g;
    const qv_tiles in = qv_tiles_of(g, g->from);
    for (size_t t = 0; t < count; t++) {
        const qv_square s = qv_square_of(&in, begin + t, QV_PATCH, 1);
        const qv_pixels d = qv_pixels_of(&in, j->x, &s, QV_PATCH, group * g->from, g->from, copy);
        for (size_t c = 0; c < g->from; c += QV_WIDTH)
            qv_transform_patch(d.at + c, d.row, d.col, v + t * g->from + c, j->l.v_step);
    }
}

/* Outputs of one tile and vector of channels, `to` being the tile's first pixel. */
static inline void write_tile(const job *j, const qv_tiles *t, const qv_square *s, const float *m, size_t step, float *to)
{
    qv_vec y[QV_TILE][QV_TILE];
    transform_points(m, step, y);
    for (size_t p = 0; p < s->end_h; p++) {
        for (size_t q = 0; q < s->end_w; q++) {
            float *pixel = to + (p * t->w + q) * t->all;
            if (j->stream)
                qv_store_past(pixel, y[p][q]);
            else
                qv_store(pixel, y[p][q]);
        }
    }
}

/* The panel's outputs of `count` tiles, `first` being its first channel in y. */
static void write_tiles(const job *j, size_t first, size_t lanes, size_t begin, size_t count, const float *m)
{
    const qv_tiles out = qv_tiles_of(j->g, j->g->to);
    for (size_t t = 0; t < count; t++) {
        const qv_square s = qv_square_of(&out, begin + t, QV_TILE, 0);
        for (size_t k = 0; k < lanes; k += QV_WIDTH)
            write_tile(j, &out, &s, m + t * lanes + k, j->l.m_step, j->y + s.at + first + k);
    }
}

static void run_block(const job *j, float *v, size_t group, size_t begin, size_t count)
{
    const qv_winograd *g = j->g;
    float *m = v + j->l.v, *copy = m + j->l.m;
    read_tiles(j, group, begin, count, v, copy);
    for (size_t k = 0; k < g->to; k += QV_PANEL) {
        const size_t lanes = panel_lanes(g, k);
        multiply(j, v, j->filters + group * j->l.filters + QV_POINTS * g->from * k, m, count, lanes);
        write_tiles(j, group * g->to + k, lanes, begin, count, m);
    }
}

/* Blocks [begin, end); the groups of a block one after the other, since they share lines of memory. */
static void run_blocks(void *user, int chunk, size_t begin, size_t end)
{
    const job *j = user;
    const size_t tiles = qv_tile_count(j->g);
    for (size_t index = begin; index < end; index++) {
        const size_t first = index / j->g->groups * BLOCK;
        run_block(j, j->own + (size_t)chunk * thread_floats(&j->l), index % j->g->groups, first,
                  qv_min(BLOCK, tiles - first));
    }
    if (j->stream) qv_stream_end();
}

static size_t scratch_floats(const qv_winograd *g, const layout *l)
{
    return g->groups * l->filters + (size_t)g->threads * thread_floats(l);
}

/* "x w" -> "y", or "dy w" -> "dx". */
int QV_FN(qv_winograd_conv)(const qv_winograd *g, const qv_call *call, size_t *need)
{
    const layout l = layout_of(g);
    if (need) return (*need = scratch_floats(g, &l) * sizeof(float)), 0;
    if (qv_pool_threads(call->pool) > g->threads) return QV_ERR_INTERNAL;
    const qv_tensor *y = &call->out[0];
    job j = {.g = g, .l = l, .x = call->in[0].data, .w = call->in[1].data, .y = y->data, .filters = call->scratch};
    j.own = j.filters + g->groups * l.filters;
    j.stream = qv_stores_past(y);
    qv_parallel(call->pool, g->groups * (g->to / QV_WIDTH) * g->from, 16, transform_filters, &j);
    qv_parallel(call->pool, g->groups * l.blocks, 1, run_blocks, &j);
    return 0;
}
