/* How far Winograd's convolution may be from the direct sum.
 *
 * F(4x4, 3x3) with the points 0, +-a, +-b (3/4 and 3/2) and infinity is y = A' [ sum over channels of
 * (B' d B) o (G g G') ] A for every tile; the gradient in g is G' [ sum over tiles of (B' d B) o (A dy A') ] G.
 * Each rounding errs by at most u times the magnitude of what is rounded and reaches an output with the weight
 * of its way there. Roundings have no common sign, so the error stays below 7 u sqrt(sum of their squared
 * reaches), as in maker.h. The algorithm is run here in double with a second number beside each value, that
 * sum of squares ("spread", in u^2):
 *   - one axis of a transform makes at most `roundings` roundings an element, none of more than the sum of the
 *     magnitudes of the element's terms;
 *   - a rounding that two elements share (those of +a and -a, or of +b and -b) and one that all six elements of
 *     the second axis share meet again in an output: (x1 + ... + xn)^2 <= n (x1^2 + ... + xn^2), so their squares
 *     count 2 and 6 times. Outputs themselves meet nowhere;
 *   - a sum of n products rounds n products, then n partial sums, none of more than the sum of magnitudes.
 * Products of two errors are left out: they are u times smaller. The constants of G are rounded once for all, so
 * that this error has one sign: the algorithm is run here with the rounded ones, and what that changes comes to
 * the bound. It can be no more than the rest, so that a wrong matrix here would be found. */
#include <math.h>
#include <stdlib.h>

#include "backend/check/maker.h"

enum { TILE = 4, PATCH = 6, TAPS = 3, POINTS = PATCH * PATCH };

#define A 0.75
#define B 1.5
#define ROUNDED(x) ((double)(float)(x))
#define G0 ROUNDED(1 / (A * A * B * B))
#define GA ROUNDED(1 / (2 * A * A * (A * A - B * B)))
#define GB ROUNDED(1 / (2 * B * B * (B * B - A * A)))

/* A linear map of both axes of a square. */
typedef struct transform {
    int out, in, roundings;
    bool to_points;
    double m[PATCH][PATCH];
} transform;

static const transform patch_to_points = {PATCH, PATCH, 6, true,
                                          {{A * A * B * B, 0, -(A * A + B * B), 0, 1, 0},
                                           {0, -A * B * B, -B * B, A, 1, 0},
                                           {0, A * B * B, -B * B, -A, 1, 0},
                                           {0, -A * A * B, -A * A, B, 1, 0},
                                           {0, A * A * B, -A * A, -B, 1, 0},
                                           {0, A * A * B * B, 0, -(A * A + B * B), 0, 1}}};
static const transform filter_to_points = {PATCH, TAPS, 5, true,
                                           {{G0},
                                            {GA, ROUNDED(GA * A), GA * A * A},
                                            {GA, -ROUNDED(GA * A), GA * A * A},
                                            {GB, ROUNDED(GB * B), GB * B * B},
                                            {GB, -ROUNDED(GB * B), GB * B * B},
                                            {0, 0, 1}}};
static const transform tile_to_points = {PATCH, TILE, 6, true,
                                         {{1},
                                          {1, A, A * A, A * A * A},
                                          {1, -A, A * A, -A * A * A},
                                          {1, B, B * B, B * B * B},
                                          {1, -B, B * B, -B * B * B},
                                          {0, 0, 0, 1}}};

/* The way back from points is the transpose. */
static transform transposed(const transform *t, int roundings)
{
    transform back = {.out = t->in, .in = t->out, .roundings = roundings};
    for (int i = 0; i < t->out; i++)
        for (int j = 0; j < t->in; j++) back.m[j][i] = t->m[i][j];
    return back;
}

/* A number and the spread of its float. */
typedef struct number {
    double value, spread;
} number;

/* y = sum of m[i] x[i * step] */
static number sum_of(const transform *t, const double *m, const number *x, int step, double shared)
{
    number y = {0};
    double magnitude = 0;
    for (int i = 0; i < t->in; i++) {
        y.value += m[i] * x[i * step].value;
        y.spread += m[i] * m[i] * x[i * step].spread;
        magnitude += fabs(m[i] * x[i * step].value);
    }
    y.spread = shared * y.spread + (t->to_points ? 2 : 1) * t->roundings * magnitude * magnitude;
    return y;
}

/* y[out][out] = m x[in][in] m' */
static void apply(const transform *t, const number *x, number *y)
{
    number half[PATCH * PATCH];
    for (int i = 0; i < t->out; i++)
        for (int j = 0; j < t->in; j++) half[i * t->in + j] = sum_of(t, t->m[i], x + j, t->in, 1);
    for (int i = 0; i < t->out; i++)
        for (int j = 0; j < t->out; j++)
            y[i * t->out + j] = sum_of(t, t->m[j], half + i * t->in, 1, t->to_points ? PATCH : 1);
}

/* A sum of products that is growing. */
typedef struct sum {
    number n;
    double magnitude;
} sum;

static void add_products(sum sums[POINTS], const number *x, const number *y)
{
    for (int k = 0; k < POINTS; k++) {
        const double product = x[k].value * y[k].value;
        sums[k].n.value += product;
        sums[k].n.spread += x[k].value * x[k].value * y[k].spread + y[k].value * y[k].value * x[k].spread;
        sums[k].magnitude += fabs(product);
    }
}

static void end_sums(const sum sums[POINTS], size_t terms, number points[POINTS])
{
    for (int k = 0; k < POINTS; k++) {
        points[k] = sums[k].n;
        points[k].spread += (double)(2 * terms) * sums[k].magnitude * sums[k].magnitude;
    }
}

static double bound_of(number n, double expect)
{
    const double random = 7 * QV_U * sqrt(n.spread);
    return random + fmin(random, fabs(n.value - expect)) + QV_TINY;
}

static void *room(size_t n, size_t size) { return calloc(n + 1, size); }

/* One of a convolution's activations, cut into squares round the tiles of outputs. */
typedef struct squares {
    const qv_tensor *t;
    const transform *map;
    int margin, channels; /* of one group */
    number *points;       /* [channels][POINTS] of the tile read last */
} squares;

static squares squares_new(const qv_tensor *t, int groups, const transform *map, int margin)
{
    squares s = {t, map, margin, t->c / groups, NULL};
    s.points = room((size_t)s.channels * POINTS, sizeof *s.points);
    return s;
}

/* Index of a pixel's channel; false outside the tensor. */
static bool find(const qv_tensor *t, int n, int row, int col, int c, size_t *at)
{
    *at = (((size_t)n * (size_t)t->h + (size_t)row) * (size_t)t->w + (size_t)col) * (size_t)t->c + (size_t)c;
    return row >= 0 && row < t->h && col >= 0 && col < t->w;
}

static void read_square(squares *s, int n, int row, int col, int group)
{
    const double *data = s->t->data;
    const int size = s->map->in;
    for (int c = 0; c < s->channels; c++) {
        number square[POINTS] = {{0}};
        size_t at;
        for (int i = 0; i < size * size; i++)
            if (find(s->t, n, row + i / size - s->margin, col + i % size - s->margin, group * s->channels + c, &at))
                square[i].value = data[at];
        apply(s->map, square, s->points + (size_t)c * POINTS);
    }
}

/* Points of all filters of a group, [from][to][POINTS], as the op uses them. */
static void read_filters(const qv_problem *p, int group, int from, int to, number *points)
{
    const double *w = p->in[1].data;
    const int taps = TAPS * TAPS;
    for (int i = 0; i < from; i++) {
        for (int o = 0; o < to; o++, points += POINTS) {
            number filter[TAPS * TAPS] = {{0}};
            for (int t = 0; t < taps; t++)
                filter[t].value = p->op.kind == QV_OP_CONV_GRAD_X ? w[((group * from + i) * taps + (taps - 1 - t)) * to + o]
                                                                  : w[((group * to + o) * taps + t) * from + i];
            apply(&filter_to_points, filter, points);
        }
    }
}

/* One channel of outputs of the tile that x has read. */
static void bound_tile(const squares *x, const number *filters, int to, const qv_tensor *y, int n, int row, int col, int c,
                       double *bound)
{
    const transform back = transposed(&tile_to_points, 6);
    const double *expect = y->data;
    sum sums[POINTS] = {{{0}, 0}};
    number points[POINTS], tile[TILE * TILE];
    size_t at;
    for (int i = 0; i < x->channels; i++) add_products(sums, x->points + i * POINTS, filters + i * to * POINTS);
    end_sums(sums, (size_t)x->channels, points);
    apply(&back, points, tile);
    for (int i = 0; i < TILE * TILE; i++)
        if (find(y, n, row + i / TILE, col + i % TILE, c, &at)) bound[at] = bound_of(tile[i], expect[at]);
}

/* False where there is no memory, as bound_filters. */
static bool bound_outputs(const qv_problem *p, const qv_tensor *y, int group, double *bound)
{
    const int groups = p->op.a.conv.groups, to = y->c / groups;
    squares x = squares_new(&p->in[0], groups, &patch_to_points, 1);
    number *filters = room((size_t)(x.channels * to) * POINTS, sizeof *filters);
    const bool whole = filters && x.points;
    if (!whole) goto done;
    read_filters(p, group, x.channels, to, filters);
    for (int n = 0; n < y->n; n++) {
        for (int row = 0; row < y->h; row += TILE) {
            for (int col = 0; col < y->w; col += TILE) {
                read_square(&x, n, row, col, group);
                for (int o = 0; o < to; o++)
                    bound_tile(&x, filters + o * POINTS, to, y, n, row, col, group * to + o, bound);
            }
        }
    }
done:
    free(filters);
    free(x.points);
    return whole;
}

/* Sums over all tiles, [channel of dy][channel of x][POINTS]; returns how many tiles there are. */
static size_t sum_tiles(squares *x, squares *dy, int group, sum *sums)
{
    size_t tiles = 0;
    for (int n = 0; n < x->t->n; n++) {
        for (int row = 0; row < x->t->h; row += TILE) {
            for (int col = 0; col < x->t->w; col += TILE, tiles++) {
                read_square(x, n, row, col, group);
                read_square(dy, n, row, col, group);
                for (int i = 0; i < dy->channels * x->channels; i++)
                    add_products(sums + i * POINTS, x->points + i % x->channels * POINTS,
                                 dy->points + i / x->channels * POINTS);
            }
        }
    }
    return tiles;
}

static bool bound_filters(const qv_problem *p, const qv_tensor *dw, int group, double *bound)
{
    const int groups = p->op.a.conv.groups, taps = TAPS * TAPS;
    const transform back = transposed(&filter_to_points, 8);
    const double *expect = dw->data;
    squares x = squares_new(&p->in[0], groups, &patch_to_points, 1);
    squares dy = squares_new(&p->in[1], groups, &tile_to_points, 0);
    sum *sums = room((size_t)(x.channels * dy.channels) * POINTS, sizeof *sums);
    const bool whole = sums && x.points && dy.points;
    if (!whole) goto done;
    const size_t tiles = sum_tiles(&x, &dy, group, sums);
    for (int i = 0; i < dy.channels * x.channels; i++) {
        number points[POINTS], filter[TAPS * TAPS];
        const int o = group * dy.channels + i / x.channels, c = i % x.channels;
        end_sums(sums + i * POINTS, tiles, points);
        apply(&back, points, filter);
        for (int t = 0; t < taps; t++) {
            const size_t at = ((size_t)o * (size_t)taps + (size_t)t) * (size_t)x.channels + (size_t)c;
            bound[at] = bound_of(filter[t], expect[at]);
        }
    }
done:
    free(sums);
    free(x.points);
    free(dy.points);
    return whole;
}

void qv_bound_winograd(const qv_problem *p, const qv_tensor *expect, double *bound)
{
    bool whole = true;
    for (int group = 0; group < p->op.a.conv.groups; group++)
        whole = whole && (p->op.kind == QV_OP_CONV_GRAD_W ? bound_filters(p, expect, group, bound)
                                                          : bound_outputs(p, expect, group, bound));
    for (size_t i = 0; !whole && i < qv_tensor_len(expect); i++) bound[i] = NAN;
}
