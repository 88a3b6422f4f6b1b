/* How far Winograd's convolution may be from the direct sum.
 *
 * F(4x4, 3x3) with the points 0, +-3/4, +-3/2 and infinity is y = A' [ sum over channels of (B' d B) o (G g G') ] A
 * for every tile. Each of these sums errs by roundings x u x (the same sum over magnitudes: of the matrices'
 * entries, of d and of g), whatever the order; the magnitudes are computed here with matrices that are written
 * down once more. Roundings: of a patch to points along one axis at most 4, of a filter 5 (its constants are
 * rounded themselves), back to a tile 4, of a tile to points 4, back to a filter 6; twice each, for two axes; the
 * products and their sum qv_chain() + 1. */
#include <math.h>
#include <stdlib.h>

#include "support/op_maker.h"

enum { TILE = 4, PATCH = 6, TAPS = 3, ROUNDINGS = 2 * (4 + 5 + 6) + 1 };

/* Magnitudes of B', G and A, [point][element]. */
static const double to_points_patch[PATCH][PATCH] = {
    {81.0 / 64, 0, 45.0 / 16, 0, 1, 0}, {0, 27.0 / 16, 9.0 / 4, 3.0 / 4, 1, 0}, {0, 27.0 / 16, 9.0 / 4, 3.0 / 4, 1, 0},
    {0, 27.0 / 32, 9.0 / 16, 3.0 / 2, 1, 0}, {0, 27.0 / 32, 9.0 / 16, 3.0 / 2, 1, 0}, {0, 81.0 / 64, 0, 45.0 / 16, 0, 1}};
static const double to_points_filter[PATCH][TAPS] = {
    {64.0 / 81, 0, 0}, {128.0 / 243, 96.0 / 243, 72.0 / 243}, {128.0 / 243, 96.0 / 243, 72.0 / 243},
    {32.0 / 243, 48.0 / 243, 72.0 / 243}, {32.0 / 243, 48.0 / 243, 72.0 / 243}, {0, 0, 1}};
static const double to_points_tile[PATCH][TILE] = {
    {1, 0, 0, 0}, {1, 3.0 / 4, 9.0 / 16, 27.0 / 64}, {1, 3.0 / 4, 9.0 / 16, 27.0 / 64},
    {1, 3.0 / 2, 9.0 / 4, 27.0 / 8}, {1, 3.0 / 2, 9.0 / 4, 27.0 / 8}, {0, 0, 0, 1}};

/* points[36] of the magnitudes of square[n][n], with the matrix [PATCH][n]. */
static void to_points(const double *matrix, int n, const double *square, double points[PATCH * PATCH])
{
    for (int i = 0; i < PATCH; i++) {
        for (int j = 0; j < PATCH; j++) {
            double sum = 0;
            for (int r = 0; r < n; r++)
                for (int s = 0; s < n; s++) sum += matrix[i * n + r] * matrix[j * n + s] * fabs(square[r * n + s]);
            points[i * PATCH + j] = sum;
        }
    }
}

/* The transpose: square[n][n] of points[36]. */
static void from_points(const double *matrix, int n, const double points[PATCH * PATCH], double *square)
{
    for (int r = 0; r < n; r++) {
        for (int s = 0; s < n; s++) {
            double sum = 0;
            for (int i = 0; i < PATCH; i++)
                for (int j = 0; j < PATCH; j++) sum += matrix[i * n + r] * matrix[j * n + s] * points[i * PATCH + j];
            square[r * n + s] = sum;
        }
    }
}

/* The square of n x n pixels at (row, col) of sample i, channel c; zero outside. */
static void read_square(const qv_tensor *t, int i, int row, int col, int c, int n, double *square)
{
    const double *data = t->data;
    for (int r = 0; r < n; r++) {
        for (int s = 0; s < n; s++) {
            const int h = row + r, w = col + s;
            const bool inside = h >= 0 && h < t->h && w >= 0 && w < t->w;
            square[r * n + s] = inside ? data[(((size_t)i * (size_t)t->h + (size_t)h) * (size_t)t->w + (size_t)w) *
                                                  (size_t)t->c + (size_t)c] : 0;
        }
    }
}

/* Channels a group of the first operand and of the other activation, and all points of one tile of each. */
typedef struct side {
    const qv_tensor *t;
    const double *matrix;
    int square, margin, channels;
    double *points; /* [channels][36] */
} side;

static side side_new(const qv_tensor *t, int groups, const double *matrix, int square, int margin)
{
    side s = {t, matrix, square, margin, t->c / groups, NULL};
    s.points = calloc((size_t)s.channels * PATCH * PATCH, sizeof *s.points);
    if (!s.points) abort();
    return s;
}

static void side_read(side *s, int i, int row, int col, int group)
{
    double square[PATCH * PATCH];
    for (int c = 0; c < s->channels; c++) {
        read_square(s->t, i, row - s->margin, col - s->margin, group * s->channels + c, s->square, square);
        to_points(s->matrix, s->square, square, s->points + (size_t)c * PATCH * PATCH);
    }
}

/* Points of all filters of a group, [from][to][36], as the op uses them. */
static void read_filters(const qv_problem *p, int group, int from, int to, double *points)
{
    const double *w = p->in[1].data;
    const bool back = p->op.kind == QV_OP_CONV_GRAD_X;
    for (int i = 0; i < from; i++) {
        for (int o = 0; o < to; o++) {
            double filter[TAPS * TAPS];
            for (int t = 0; t < TAPS * TAPS; t++)
                filter[t] = back ? w[((group * from + i) * TAPS * TAPS + (TAPS * TAPS - 1 - t)) * to + o]
                                 : w[((group * to + o) * TAPS * TAPS + t) * from + i];
            to_points(to_points_filter[0], TAPS, filter, points + (size_t)(i * to + o) * PATCH * PATCH);
        }
    }
}

static void write_tile(const qv_tensor *y, int i, int row, int col, int c, const double tile[TILE * TILE], double factor,
                       double *bound)
{
    for (int r = 0; r < TILE && row + r < y->h; r++)
        for (int s = 0; s < TILE && col + s < y->w; s++)
            bound[(((size_t)i * (size_t)y->h + (size_t)(row + r)) * (size_t)y->w + (size_t)(col + s)) * (size_t)y->c +
                  (size_t)c] = factor * tile[r * TILE + s] + QV_TINY;
}

static void bound_outputs(const qv_problem *p, const qv_tensor *y, int group, double *bound)
{
    const int groups = p->op.a.conv.groups, to = y->c / groups;
    side x = side_new(&p->in[0], groups, to_points_patch[0], PATCH, 1);
    const double factor = QV_U * (qv_chain((size_t)x.channels) + ROUNDINGS);
    double *filters = calloc((size_t)(x.channels * to) * PATCH * PATCH, sizeof *filters);
    if (!filters) abort();
    read_filters(p, group, x.channels, to, filters);
    for (int i = 0; i < y->n; i++) {
        for (int row = 0; row < y->h; row += TILE) {
            for (int col = 0; col < y->w; col += TILE) {
                side_read(&x, i, row, col, group);
                for (int o = 0; o < to; o++) {
                    double sums[PATCH * PATCH] = {0}, tile[TILE * TILE];
                    for (int c = 0; c < x.channels; c++)
                        for (int k = 0; k < PATCH * PATCH; k++)
                            sums[k] += x.points[c * PATCH * PATCH + k] * filters[(c * to + o) * PATCH * PATCH + k];
                    from_points(to_points_tile[0], TILE, sums, tile);
                    write_tile(y, i, row, col, group * to + o, tile, factor, bound);
                }
            }
        }
    }
    free(filters);
    free(x.points);
}

static void bound_filters(const qv_problem *p, int group, double *bound)
{
    const int groups = p->op.a.conv.groups;
    side x = side_new(&p->in[0], groups, to_points_patch[0], PATCH, 1);
    side dy = side_new(&p->in[1], groups, to_points_tile[0], TILE, 0);
    double *sums = calloc((size_t)(x.channels * dy.channels) * PATCH * PATCH, sizeof *sums);
    size_t tiles = 0;
    if (!sums) abort();
    for (int i = 0; i < x.t->n; i++) {
        for (int row = 0; row < x.t->h; row += TILE) {
            for (int col = 0; col < x.t->w; col += TILE, tiles++) {
                side_read(&x, i, row, col, group);
                side_read(&dy, i, row, col, group);
                for (int o = 0; o < dy.channels; o++)
                    for (int c = 0; c < x.channels; c++)
                        for (int k = 0; k < PATCH * PATCH; k++)
                            sums[(o * x.channels + c) * PATCH * PATCH + k] +=
                                x.points[c * PATCH * PATCH + k] * dy.points[o * PATCH * PATCH + k];
            }
        }
    }
    for (int o = 0; o < dy.channels; o++) {
        for (int c = 0; c < x.channels; c++) {
            double filter[TAPS * TAPS];
            from_points(to_points_filter[0], TAPS, sums + (size_t)(o * x.channels + c) * PATCH * PATCH, filter);
            for (int t = 0; t < TAPS * TAPS; t++)
                bound[((group * dy.channels + o) * TAPS * TAPS + t) * x.channels + c] =
                    QV_U * (qv_chain(tiles) + ROUNDINGS) * filter[t] + QV_TINY;
        }
    }
    free(sums);
    free(x.points);
    free(dy.points);
}

void qv_bound_winograd(const qv_problem *p, const qv_tensor *expect, double *bound)
{
    for (int group = 0; group < p->op.a.conv.groups; group++) {
        if (p->op.kind == QV_OP_CONV_GRAD_W)
            bound_filters(p, group, bound);
        else
            bound_outputs(p, expect, group, bound);
    }
}
