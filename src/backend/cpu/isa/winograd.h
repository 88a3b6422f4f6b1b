/* What the Winograd convolutions of one instruction set share: the points, the transforms, tiles.
 *
 * F(4x4, 3x3): a tile of 4x4 outputs y of a 3x3 filter g over a 6x6 patch d is
 *     y = A' [ (B' d B) o (G g G') ] A        (o: element by element; ': transposed)
 * with the matrices that follow from the points 0, +-a, +-b and infinity. With a2 = a^2, b2 = b^2 and
 * na = 1 / (2 a2 (a2 - b2)), nb = 1 / (2 b2 (b2 - a2)):
 *
 *     B' = [ a2b2    0   -(a2+b2)    0      1   0 ]   G = [ 1/a2b2   0      0    ]   A = [ 1   0   0   0  ]
 *          [  0    -ab2    -b2       a      1   0 ]       [  na    a na   a2 na  ]       [ 1   a   a2  a3 ]
 *          [  0     ab2    -b2      -a      1   0 ]       [  na   -a na   a2 na  ]       [ 1  -a   a2 -a3 ]
 *          [  0    -a2b    -a2       b      1   0 ]       [  nb    b nb   b2 nb  ]       [ 1   b   b2  b3 ]
 *          [  0     a2b    -a2      -b      1   0 ]       [  nb   -b nb   b2 nb  ]       [ 1  -b   b2 -b3 ]
 *          [  0    a2b2     0    -(a2+b2)   0   1 ]       [  0       0      1    ]       [ 0   0   0   1  ]
 *
 * 36 products in the place of 144, summed over the channels as 36 matrix products. The points 3/4 and 3/2
 * halve the error of the customary 1 and 2 (in units of 2^-24, relative L2 over 32 and 128 channels of
 * normal numbers: 10 and 18 against 21 and 38; a direct sum in order has about 3 and 5) and leave B and A
 * exact in float. */
#ifndef QV_WINOGRAD_H
#define QV_WINOGRAD_H

#include "backend/cpu/isa/isa.h"

enum {
    QV_TILE = 4,               /* outputs along an axis */
    QV_PATCH = 6,              /* inputs along an axis */
    QV_POINTS = 36,            /* products of a tile and a pair of channels */
    QV_LINE = 16               /* floats of a cache line */
};

static const float QV_A = 0.75f, QV_B = 1.5f;
static const float QV_A2 = 0.5625f, QV_B2 = 2.25f, QV_A3 = 0.421875f, QV_B3 = 3.375f;

/* Values at the points of the polynomial dual to the filter's, along one axis: B' d. */
static inline void qv_patch_to_points(const qv_vec d[QV_PATCH], qv_vec v[QV_PATCH])
{
    const qv_vec even_a = d[4] - QV_B2 * d[2], odd_a = d[3] - QV_B2 * d[1];
    const qv_vec even_b = d[4] - QV_A2 * d[2], odd_b = d[3] - QV_A2 * d[1];
    v[0] = QV_A2 * QV_B2 * d[0] + (d[4] - (QV_A2 + QV_B2) * d[2]);
    v[1] = even_a + QV_A * odd_a;
    v[2] = even_a - QV_A * odd_a;
    v[3] = even_b + QV_B * odd_b;
    v[4] = even_b - QV_B * odd_b;
    v[5] = QV_A2 * QV_B2 * d[1] + (d[5] - (QV_A2 + QV_B2) * d[3]);
}

/* A' m. */
static inline void qv_points_to_tile(const qv_vec m[QV_PATCH], qv_vec y[QV_TILE])
{
    const qv_vec even_a = m[1] + m[2], odd_a = m[1] - m[2], even_b = m[3] + m[4], odd_b = m[3] - m[4];
    y[0] = m[0] + even_a + even_b;
    y[1] = QV_A * odd_a + QV_B * odd_b;
    y[2] = QV_A2 * even_a + QV_B2 * even_b;
    y[3] = QV_A3 * odd_a + (QV_B3 * odd_b + m[5]);
}

/* A y. */
static inline void qv_tile_to_points(const qv_vec y[QV_TILE], qv_vec d[QV_PATCH])
{
    const qv_vec even_a = y[0] + QV_A2 * y[2], odd_a = QV_A * y[1] + QV_A3 * y[3];
    const qv_vec even_b = y[0] + QV_B2 * y[2], odd_b = QV_B * y[1] + QV_B3 * y[3];
    d[0] = y[0];
    d[1] = even_a + odd_a;
    d[2] = even_a - odd_a;
    d[3] = even_b + odd_b;
    d[4] = even_b - odd_b;
    d[5] = y[3];
}

/* What the rows of G share: 1 / a2b2, na, nb. */
static const float QV_G0 = 64.0f / 81, QV_GA = -128.0f / 243, QV_GB = 32.0f / 243;

/* G g. */
static inline void qv_filter_to_points(const qv_vec g[3], qv_vec u[QV_PATCH])
{
    const qv_vec even_a = QV_GA * (g[0] + QV_A2 * g[2]), odd_a = QV_GA * QV_A * g[1];
    const qv_vec even_b = QV_GB * (g[0] + QV_B2 * g[2]), odd_b = QV_GB * QV_B * g[1];
    u[0] = QV_G0 * g[0];
    u[1] = even_a + odd_a;
    u[2] = even_a - odd_a;
    u[3] = even_b + odd_b;
    u[4] = even_b - odd_b;
    u[5] = g[2];
}

/* G' u. */
static inline void qv_points_to_filter(const qv_vec u[QV_PATCH], qv_vec g[3])
{
    const qv_vec even_a = QV_GA * (u[1] + u[2]), odd_a = QV_GA * QV_A * (u[1] - u[2]);
    const qv_vec even_b = QV_GB * (u[3] + u[4]), odd_b = QV_GB * QV_B * (u[3] - u[4]);
    g[0] = QV_G0 * u[0] + (even_a + even_b);
    g[1] = odd_a + odd_b;
    g[2] = QV_A2 * even_a + (QV_B2 * even_b + u[5]);
}

/* The 6x6 patch of one vector of channels, pixels `col` floats and rows `row` floats apart, to its 36
 * points, `step` floats apart. */
static inline void qv_transform_patch(const float *restrict d, size_t row, size_t col, float *restrict v, size_t step)
{
    _Alignas(64) float half[QV_PATCH][QV_PATCH][QV_WIDTH];
    qv_vec line[QV_PATCH], points[QV_PATCH];
    for (size_t j = 0; j < QV_PATCH; j++) {
        for (size_t i = 0; i < QV_PATCH; i++) line[i] = qv_load(d + i * row + j * col);
        qv_patch_to_points(line, points);
        for (size_t i = 0; i < QV_PATCH; i++) qv_store(half[i][j], points[i]);
    }
    for (size_t i = 0; i < QV_PATCH; i++) {
        for (size_t j = 0; j < QV_PATCH; j++) line[j] = qv_load(half[i][j]);
        qv_patch_to_points(line, points);
        for (size_t j = 0; j < QV_PATCH; j++) qv_store(v + (i * QV_PATCH + j) * step, points[j]);
    }
}

/* Tiles of a tensor [N,H,W,all], numbered row by row; `all` counts every group's channels. */
typedef struct qv_tiles {
    size_t h, w, all;
    size_t down, across; /* tiles along H and W */
} qv_tiles;

static inline qv_tiles qv_tiles_of(const qv_winograd *g, size_t channels)
{
    qv_tiles t = {.h = g->h, .w = g->w, .all = g->groups * channels};
    t.down = (g->h + QV_TILE - 1) / QV_TILE;
    t.across = (g->w + QV_TILE - 1) / QV_TILE;
    return t;
}

static inline size_t qv_tile_count(const qv_winograd *g)
{
    const qv_tiles t = qv_tiles_of(g, 1);
    return g->n * t.down * t.across;
}

/* A square of pixels around a tile: its first pixel may lie before the tensor, and it may end past it. */
typedef struct qv_square {
    ptrdiff_t at;          /* of the pixel (0, 0), in floats from the tensor's start; negative: before it */
    size_t begin_h, end_h; /* rows of the square that lie in the tensor */
    size_t begin_w, end_w;
    bool whole;
} qv_square;

/* The square of `size` pixels that begins `margin` pixels above and left of the tile's first output. */
static inline qv_square qv_square_of(const qv_tiles *t, size_t tile, size_t size, size_t margin)
{
    const size_t q = tile % t->across * QV_TILE, p = tile / t->across % t->down * QV_TILE;
    const size_t n = tile / (t->across * t->down), up = p < margin ? margin : 0, left = q < margin ? margin : 0;
    qv_square s = {.begin_h = up, .begin_w = left};
    s.at = ((ptrdiff_t)((n * t->h + p) * t->w + q) - (ptrdiff_t)(margin * t->w + margin)) * (ptrdiff_t)t->all;
    s.end_h = qv_min(size, t->h + margin - p);
    s.end_w = qv_min(size, t->w + margin - q);
    s.whole = !up && !left && s.end_h == size && s.end_w == size;
    return s;
}

/* A square's pixels: in the tensor itself, or in a copy that has zeros where the tensor ends. */
typedef struct qv_pixels {
    const float *at;
    size_t row, col; /* floats from row to row, from pixel to pixel */
} qv_pixels;

/* `channels` from `first` on, of size * size pixels; copy has room for them all. */
static inline qv_pixels qv_pixels_of(const qv_tiles *t, const float *x, const qv_square *s, size_t size, size_t first,
                                     size_t channels, float *restrict copy)
{
    if (s->whole) return (qv_pixels){x + s->at + first, t->w * t->all, t->all};
    memset(copy, 0, size * size * channels * sizeof *copy);
    for (size_t i = s->begin_h; i < s->end_h; i++) {
        for (size_t j = s->begin_w; j < s->end_w; j++) {
            const ptrdiff_t pixel = s->at + (ptrdiff_t)((i * t->w + j) * t->all + first);
            for (size_t c = 0; c < channels; c += QV_WIDTH)
                qv_store(copy + (i * size + j) * channels + c, qv_load(x + pixel + c));
        }
    }
    return (qv_pixels){copy, size * channels, channels};
}

#endif
