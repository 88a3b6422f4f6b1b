/* Who does what: how rows of channels are dealt to blocks and threads, and where a row lies.
 *
 * Plain functions of the shape, for the host and for the device, so that they are tested
 * without either a kernel or a tensor of their size. "Row": one position of one sample, C
 * contiguous channels. "Vector": what one thread loads at once, 4 or 8 channels or 1. */
#ifndef QV_GEOMETRY_H
#define QV_GEOMETRY_H

#include "kernels/op.h"

enum {
    QV_BLOCK = 256,         /* threads of a block, at most */
    QV_FLAT_ITEMS = 4,      /* vectors a thread where a tensor is one long vector */
    QV_SUM_BLOCKS = 512,    /* most blocks of a sum: four a multiprocessor where there are 128 */
    QV_MERGE = 16,          /* partial results that one block merges into one (kernels/merge.cuh) */
    QV_GRID_Y = 65535,      /* hardware limit of a grid's second axis */
    QV_GRID_X = 0x7fffffff, /* and of its first */
    QV_REFUSED = 1          /* cudaErrorInvalidValue: shapes that a kernel was not written for */
};

/* A block is `lanes` rows high and `width` vectors wide, neighbouring threads on neighbouring
 * vectors, so that its loads are one contiguous piece whatever C is. It walks down `chunk`
 * consecutive rows; a thread keeps its channels, hence its parameters, in registers. */
typedef struct qv_rows {
    uint64_t rows, chunk;
    uint32_t vectors; /* a row */
    uint32_t width, lanes;
    uint32_t threads;         /* of a block, a multiple of 32; those beyond width x lanes idle */
    uint32_t blocks, columns; /* grid: along the rows, along the vectors; 0 where it cannot be */
} qv_rows;

static inline QV_HD uint64_t qv_up(uint64_t n, uint64_t unit) { return (n + unit - 1) / unit; }

/* rows, vectors >= 1. A thread gets at least `items` rows where there are enough, more where
 * max_blocks would be exceeded. max_width <= QV_BLOCK. */
static inline QV_HD qv_rows qv_rows_of(uint64_t rows, uint32_t vectors, uint32_t max_width, uint32_t items,
                                       uint32_t max_blocks)
{
    qv_rows g;
    g.rows = rows;
    g.vectors = vectors;
    g.width = vectors < max_width ? vectors : max_width;
    g.lanes = QV_BLOCK / g.width;
    if (g.lanes > rows) g.lanes = (uint32_t)rows;
    g.threads = (uint32_t)qv_up((uint64_t)g.lanes * g.width, 32) * 32;
    uint64_t blocks = qv_up(rows, (uint64_t)g.lanes * items);
    if (blocks > max_blocks) blocks = max_blocks;
    g.chunk = qv_up(qv_up(rows, blocks), g.lanes) * g.lanes;
    g.blocks = (uint32_t)qv_up(rows, g.chunk);
    g.columns = (uint32_t)qv_up(vectors, g.width);
    if (g.columns > QV_GRID_Y) g.columns = 0;
    return g;
}

/* A pass that reads and writes rows: enough rows a thread to pay for loading its parameters, more where there
 * are plenty of blocks to level out their ends. */
static inline QV_HD qv_rows qv_pass_rows(uint64_t rows, uint32_t vectors)
{
    return qv_rows_of(rows, vectors, QV_BLOCK, 4, 4096);
}

/* Sums over all rows: few enough blocks that their partial results are little beside the rows, and
 * enough to fill any device. The number does not depend on the device, so neither do the bits. */
static inline QV_HD qv_rows qv_sums_rows(uint64_t rows, uint32_t vectors)
{
    return qv_rows_of(rows, vectors, QV_BLOCK, 8, QV_SUM_BLOCKS);
}

/* The second launch of a sum, over the partial results of all blocks: one block a few columns, or a column a thread where
 * that were more blocks than there can be. */
static inline QV_HD qv_rows qv_merge_rows(uint32_t blocks, uint32_t columns)
{
    return qv_rows_of(blocks, columns, columns <= 4 * QV_GRID_Y ? 4 : QV_BLOCK, 1, 1);
}

/* The sum over one sample's positions: 32 channels a block. */
static inline QV_HD qv_rows qv_pool_rows(uint64_t positions, uint32_t channels, uint32_t v)
{
    return qv_rows_of(positions, channels / v, 32 / v, 1, 1);
}

/* Additions that one value goes through in a block: down the rows of its thread, then up the tree. */
static inline uint32_t qv_chain(const qv_rows *g)
{
    uint32_t n = (uint32_t)(g->chunk / g->lanes);
    for (uint32_t lanes = g->lanes; lanes > 1; lanes = (lanes + 1) / 2) n++;
    return n;
}

/* Element of vector `column` of a row, where a vector is `v` channels. */
static inline QV_HD size_t qv_offset(uint64_t row, uint32_t channels, uint32_t column, uint32_t v)
{
    return (size_t)row * channels + (size_t)column * v;
}

/* Blocks that see `len` elements as one long vector (kernels/flat.cuh). */
static inline QV_HD uint64_t qv_flat_blocks(uint64_t len, uint32_t v)
{
    return qv_up(qv_up(len, v), (uint64_t)QV_FLAT_ITEMS * QV_BLOCK);
}

/* How a walk down the rows of an [n,h,w] tensor in steps of `lanes` moves its sample and position. */
typedef struct qv_plane {
    uint32_t hw, w, bands;
    uint32_t step_n, step_p, step_q; /* a step: samples, positions within one, columns of the image */
} qv_plane;

typedef struct qv_spot {
    uint32_t n; /* sample */
    uint32_t p; /* position within it, < hw */
    uint32_t q; /* its column of the image, < w */
} qv_spot;

/* Are all products of a plane within 32 bits? */
static inline QV_HD int qv_plane_fits(int32_t h, int32_t w, int32_t bands)
{
    return h > 0 && w > 0 && bands > 0 && (int64_t)h * w <= INT32_MAX && (int64_t)w * bands <= INT32_MAX;
}

/* For what qv_plane_fits. */
static inline QV_HD qv_plane qv_plane_of(int32_t h, int32_t w, int32_t bands, uint32_t lanes)
{
    qv_plane g;
    g.hw = (uint32_t)h * (uint32_t)w;
    g.w = (uint32_t)w;
    g.bands = (uint32_t)bands;
    g.step_n = lanes / g.hw;
    g.step_p = lanes % g.hw;
    g.step_q = g.step_p % g.w;
    return g;
}

static inline QV_HD qv_spot qv_spot_of(const qv_plane *g, uint64_t row)
{
    qv_spot s;
    s.n = (uint32_t)(row / g->hw);
    s.p = (uint32_t)(row % g->hw);
    s.q = s.p % g->w;
    return s;
}

/* A division costs as much as all the rest of an element; additions with carry cost nothing. */
static inline QV_HD void qv_spot_step(const qv_plane *g, qv_spot *s)
{
    s->n += g->step_n;
    s->p += g->step_p;
    s->q += g->step_q;
    if (s->p >= g->hw) {
        s->p -= g->hw;
        s->n++;
    }
    if (s->q >= g->w) s->q -= g->w;
}

/* Index of the row's coefficient in [N][bands]. */
static inline QV_HD size_t qv_spot_band(const qv_plane *g, const qv_spot *s)
{
    return g->bands == 1 ? s->n : (size_t)s->n * g->bands + s->q * g->bands / g->w;
}

#endif
