/* Gradients in w of 3x3 convolutions with stride 1, by the transpose of F(4x4, 3x3) (winograd.h) on NHWC.
 *
 * For a group's channels k of dy and c of x, the sum over all tiles of
 *     S[36][k][c] += D[36][tile][k] V[36][tile][c],   D = A dy A',   V = B' d B
 * and at the end dw = G' S G. A block of tiles is transformed, then multiplied, while it is near; S stays
 * with its thread and is split in panels of two vectors of c, so that one panel's part stays near too.
 *
 * The tiles are cut into segments by the shape alone, each summed by one thread in order and the segments'
 * gradients in order after that: the result does not depend on the number of threads. */
#include "backend/cpu/isa/winograd.h"

enum {
    ROWS = QV_WIDTH == 16 ? 8 : 4, /* channels of dy whose sums stay in registers */
    BLOCK = 24,                    /* tiles between reading and writing a sum */
    SEGMENT_TILES = 128,           /* at least so many: a segment costs a transform and an addition of all filters */
    SEGMENTS_MAX = 32
};

/* Where everything of a call lies in the scratch, in floats. */
typedef struct layout {
    size_t tiles, segments;
    size_t d_step, v_step;    /* from point to point of D and V; not a multiple of 4 KiB, where the caches collide */
    size_t d, v, sums, copy;  /* of a thread, behind each other */
    size_t weights;           /* of all groups: a gradient of one segment */
} layout;

static layout layout_of(const qv_winograd *g)
{
    layout l = {.tiles = qv_tile_count(g), .d_step = BLOCK * g->to + QV_LINE, .v_step = BLOCK * QV_PANEL + QV_LINE};
    l.segments = qv_min(l.tiles / SEGMENT_TILES, SEGMENTS_MAX);
    if (l.segments < 1) l.segments = 1;
    l.d = QV_POINTS * l.d_step;
    l.v = QV_POINTS * l.v_step;
    l.sums = QV_POINTS * g->to * g->from;
    l.copy = QV_POINTS * (g->to > QV_PANEL ? g->to : QV_PANEL);
    l.weights = g->groups * g->to * 9 * g->from;
    return l;
}

static size_t thread_floats(const layout *l) { return l->d + l->v + l->sums + l->copy; }

typedef struct job {
    const qv_winograd *g;
    layout l;
    const float *x, *dy;
    float *dw, *parts, *own; /* parts: a gradient a segment; own: thread_floats for every thread */
} job;

/* A dy A' of one vector of channels of a 4x4 tile, to points `step` floats apart. */
static inline void transform_tile(const float *restrict dy, size_t row, size_t col, float *restrict d, size_t step)
{
    _Alignas(64) float half[QV_PATCH][QV_TILE][QV_WIDTH];
    qv_vec line[QV_TILE], points[QV_PATCH];
    for (size_t j = 0; j < QV_TILE; j++) {
        for (size_t i = 0; i < QV_TILE; i++) line[i] = qv_load(dy + i * row + j * col);
        qv_tile_to_points(line, points);
        for (size_t i = 0; i < QV_PATCH; i++) qv_store(half[i][j], points[i]);
    }
    for (size_t i = 0; i < QV_PATCH; i++) {
        for (size_t j = 0; j < QV_TILE; j++) line[j] = qv_load(half[i][j]);
        qv_tile_to_points(line, points);
        for (size_t j = 0; j < QV_PATCH; j++) qv_store(d + (i * QV_PATCH + j) * step, points[j]);
    }
}

/* D of the block's tiles. */
static void read_gradients(const job *j, size_t group, size_t begin, size_t count, float *d, float *copy)
{
    const size_t to = j->g->to;
    const qv_tiles t = qv_tiles_of(j->g, to);
    for (size_t i = 0; i < count; i++) {
        const qv_square s = qv_square_of(&t, begin + i, QV_TILE, 0);
        const qv_pixels dy = qv_pixels_of(&t, j->dy, &s, QV_TILE, group * to, to, copy);
        for (size_t k = 0; k < to; k += QV_WIDTH)
            transform_tile(dy.at + k, dy.row, dy.col, d + i * to + k, j->l.d_step);
    }
}

/* V of the block's tiles for `lanes` channels of x from `first` on. */
static void read_patches(const job *j, size_t first, size_t lanes, size_t begin, size_t count, float *v, float *copy)
{
    const qv_tiles t = qv_tiles_of(j->g, j->g->from);
    for (size_t i = 0; i < count; i++) {
        const qv_square s = qv_square_of(&t, begin + i, QV_PATCH, 1);
        const qv_pixels x = qv_pixels_of(&t, j->x, &s, QV_PATCH, first, lanes, copy);
        for (size_t c = 0; c < lanes; c += QV_WIDTH)
            qv_transform_patch(x.at + c, x.row, x.col, v + i * lanes + c, j->l.v_step);
    }
}

/* sum[ROWS][lanes] (+)= d[count][ROWS] v[count][lanes], lanes = vectors * QV_WIDTH; rows of d are `to` apart. */
static inline __attribute__((always_inline)) void product(const float *restrict d, size_t to, const float *restrict v,
                                                          size_t count, float *restrict sum, bool add, const size_t vectors)
{
    const size_t lanes = vectors * QV_WIDTH;
    qv_vec s[ROWS][2];
    for (size_t i = 0; i < ROWS; i++)
        for (size_t k = 0; k < 2; k++) s[i][k] = add ? qv_load(sum + i * lanes + k % vectors * QV_WIDTH) : (qv_vec){0};
    for (size_t t = 0; t < count; t++) {
        const qv_vec v0 = qv_load(v + t * lanes), v1 = qv_load(v + t * lanes + (vectors - 1) * QV_WIDTH);
        for (size_t i = 0; i < ROWS; i++) {
            const float y = d[t * to + i];
            s[i][0] += y * v0;
            if (vectors > 1) s[i][1] += y * v1;
        }
    }
    for (size_t i = 0; i < ROWS; i++)
        for (size_t k = 0; k < vectors; k++) qv_store(sum + i * lanes + k * QV_WIDTH, s[i][k]);
}

/* The block's share of one panel's sums [36][to][lanes]. */
static void multiply(const job *j, const float *d, const float *v, size_t count, float *sums, bool add, size_t lanes)
{
    const size_t to = j->g->to;
    for (size_t p = 0; p < QV_POINTS; p++) {
        for (size_t k = 0; k < to; k += ROWS) {
            const float *dp = d + p * j->l.d_step + k, *vp = v + p * j->l.v_step;
            float *sum = sums + (p * to + k) * lanes;
            if (lanes == QV_PANEL)
                product(dp, to, vp, count, sum, add, 2);
            else
                product(dp, to, vp, count, sum, add, 1);
        }
    }
}

/* G' S G of one vector, points `step` floats apart, to nine taps `tap` floats apart. */
static inline void transform_sums(const float *restrict s, size_t step, float *restrict w, size_t tap)
{
    qv_vec half[3][QV_PATCH], line[QV_PATCH], taps[3];
    for (size_t p = 0; p < QV_PATCH; p++) {
        for (size_t i = 0; i < QV_PATCH; i++) line[i] = qv_load(s + (i * QV_PATCH + p) * step);
        qv_points_to_filter(line, taps);
        for (size_t i = 0; i < 3; i++) half[i][p] = taps[i];
    }
    for (size_t i = 0; i < 3; i++) {
        qv_points_to_filter(half[i], taps);
        for (size_t r = 0; r < 3; r++) qv_store(w + (i * 3 + r) * tap, taps[r]);
    }
}

/* One panel's gradient of a segment; w is that of the group's first filter at the panel's first channel. */
static void write_filters(const job *j, const float *sums, size_t lanes, float *w)
{
    const size_t to = j->g->to, from = j->g->from;
    for (size_t k = 0; k < to; k++)
        for (size_t c = 0; c < lanes; c += QV_WIDTH)
            transform_sums(sums + k * lanes + c, to * lanes, w + k * 9 * from + c, from);
}

static size_t panel_lanes(const qv_winograd *g, size_t c) { return qv_min(QV_PANEL, g->from - c); }

static void run_segment(const job *j, float *d, size_t segment, size_t group)
{
    const qv_winograd *g = j->g;
    float *v = d + j->l.d, *sums = v + j->l.v, *copy = sums + j->l.sums;
    size_t begin, end;
    qv_chunk(j->l.tiles, 1, (int)j->l.segments, (int)segment, &begin, &end);
    for (size_t t = begin; t < end; t += BLOCK) {
        const size_t count = qv_min(BLOCK, end - t);
        read_gradients(j, group, t, count, d, copy);
        for (size_t c = 0; c < g->from; c += QV_PANEL) {
            const size_t lanes = panel_lanes(g, c);
            read_patches(j, group * g->from + c, lanes, t, count, v, copy);
            multiply(j, d, v, count, sums + QV_POINTS * g->to * c, t > begin, lanes);
        }
    }
    float *w = j->parts + segment * j->l.weights + group * g->to * 9 * g->from;
    for (size_t c = 0; c < g->from; c += QV_PANEL)
        write_filters(j, sums + QV_POINTS * g->to * c, panel_lanes(g, c), w + c);
}

/* Segments [begin, end), those of all groups: a segment's groups share lines of memory. */
static void run_segments(void *user, int chunk, size_t begin, size_t end)
{
    const job *j = user;
    float *own = j->own + (size_t)chunk * thread_floats(&j->l);
    for (size_t i = begin; i < end; i++) run_segment(j, own, i / j->g->groups, i % j->g->groups);
}

static void add_parts(void *user, int chunk, size_t begin, size_t end)
{
    const job *j = user;
    (void)chunk;
    qv_add_segments(j->dw, j->parts, j->l.weights, j->l.segments, begin, end);
}

/* "x dy" -> "dw" */
int QV_FN(qv_winograd_grad_w)(const qv_winograd *g, const qv_call *call, size_t *need)
{
    const layout l = layout_of(g);
    const size_t parts = l.segments * l.weights;
    if (need) return (*need = (parts + (size_t)g->threads * thread_floats(&l)) * sizeof(float)), 0;
    if (qv_pool_threads(call->pool) > g->threads) return QV_ERR_INTERNAL;
    job j = {.g = g, .l = l, .x = call->in[0].data, .dy = call->in[1].data, .dw = call->out[0].data, .parts = call->scratch};
    j.own = j.parts + parts;
    qv_parallel(call->pool, l.segments * g->groups, 1, run_segments, &j);
    qv_parallel(call->pool, l.weights, 1024, add_parts, &j);
    return 0;
}
