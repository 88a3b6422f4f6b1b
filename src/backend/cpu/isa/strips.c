/* Direct convolutions and their gradients in x on NHWC, from strips (strips.h).
 *
 * Some rows of outputs are computed together: their strips, then for each panel of two vectors of outputs the sums of
 * a few positions over all taps and channels, in registers. The filters are turned beforehand to
 * U[panel][row of taps][tap][from][the panel's channels].
 *
 * The gradient in x of a stride s is s * s convolutions with stride 1, one for every phase of its rows and columns,
 * each with the taps that reach such a position from an output: for s = 2 and 3x3 taps they are 1, 2, 2 and 4. A
 * phase that no tap reaches is zero. */
#include "backend/cpu/isa/strips.h"

enum { ROWS = 6 }; /* positions whose sums stay in registers beside a row of U */

typedef struct job {
    const qv_strips *g;
    const float *x, *w;
    float *y, *filters, *own; /* own: strips_floats for every thread */
    bool stream;
} job;

static size_t phases(const qv_strips *g) { return g->kind == QV_OP_CONV_GRAD_X ? g->stride : 1; }

/* Rows that are computed together; phase 0 has the most of them, and the widest. */
static size_t block_rows(const qv_strips *g) { return qv_strip_rows(qv_axis_of(g, 0, g->to_w).count); }

/* Blocks of such rows in all samples. */
static size_t block_count(const qv_strips *g)
{
    return (g->n * qv_axis_of(g, 0, g->to_h).count + block_rows(g) - 1) / block_rows(g);
}

static size_t strips_floats(const qv_strips *g) { return block_rows(g) * g->kernel * qv_strip_floats(g); }

static size_t filter_floats(const qv_strips *g) { return g->kernel * g->kernel * g->from * g->to; }

/* The filters' tap (r, s) for all input channels of the panel that begins at channel k, to u[from][panel]. */
static void turn_tap(const job *j, size_t group, size_t r, size_t s, size_t k, float *restrict u)
{
    const qv_strips *g = j->g;
    const size_t taps = g->kernel * g->kernel, tap = r * g->kernel + s;
    if (g->kind == QV_OP_CONV_GRAD_X) {
        const float *w = j->w + (group * g->from * taps + tap) * g->to + k;
        for (size_t c = 0; c < g->from; c++) memcpy(u + c * QV_PANEL, w + c * taps * g->to, QV_PANEL * sizeof *u);
        return;
    }
    const float *w = j->w + ((group * g->to + k) * taps + tap) * g->from;
    for (size_t lane = 0; lane < QV_PANEL; lane++)
        for (size_t c = 0; c < g->from; c++) u[c * QV_PANEL + lane] = w[lane * taps * g->from + c];
}

/* U of one group and phase from `u` on; returns how long it is. */
static size_t turn_phase(const job *j, size_t group, const qv_axis *down, const qv_axis *across, float *u)
{
    const qv_strips *g = j->g;
    const size_t back = g->kind == QV_OP_CONV_GRAD_X ? g->stride : 0;
    float *at = u;
    for (size_t k = 0; k < g->to; k += QV_PANEL) {
        for (size_t t = 0; t < down->taps; t++) {
            for (size_t s = 0; s < across->taps; s++, at += g->from * QV_PANEL) {
                const size_t row = back ? down->tap - t * back : t, col = back ? across->tap - s * back : s;
                turn_tap(j, group, row, col, k, at);
            }
        }
    }
    return (size_t)(at - u);
}

/* U of groups [begin, end): all phases of a group, one behind the other. */
static void turn_filters(void *user, int chunk, size_t begin, size_t end)
{
    const job *j = user;
    (void)chunk;
    for (size_t group = begin; group < end; group++) {
        float *u = j->filters + group * filter_floats(j->g);
        for (size_t p = 0; p < phases(j->g); p++) {
            const qv_axis down = qv_axis_of(j->g, p, j->g->to_h);
            for (size_t q = 0; q < phases(j->g); q++) {
                const qv_axis across = qv_axis_of(j->g, q, j->g->to_w);
                u += turn_phase(j, group, &down, &across, u);
            }
        }
    }
}

/* y[i][panel] = the sum over `taps` runs of a[i][run] u[run][panel], for `count` of ROWS positions; the runs of a
 * position are `strip` floats apart. */
static inline void product(const float *const a[ROWS], size_t strip, size_t taps, size_t run, const float *restrict u,
                           float *const y[ROWS], size_t count, bool stream)
{
    qv_vec sum[ROWS][2];
    for (size_t i = 0; i < ROWS; i++) sum[i][0] = sum[i][1] = (qv_vec){0};
    for (size_t t = 0; t < taps; t++) {
        for (size_t c = t * strip; c < t * strip + run; c++, u += QV_PANEL) {
            const qv_vec u0 = qv_load(u), u1 = qv_load(u + QV_WIDTH);
            for (size_t i = 0; i < ROWS; i++) {
                sum[i][0] += a[i][c] * u0;
                sum[i][1] += a[i][c] * u1;
            }
        }
    }
    for (size_t i = 0; i < ROWS; i++) {
        for (size_t k = 0; i < count && k < 2; k++) {
            if (stream)
                qv_store_past(y[i] + k * QV_WIDTH, sum[i][k]);
            else
                qv_store(y[i] + k * QV_WIDTH, sum[i][k]);
        }
    }
}

/* One phase of the columns of some rows. */
typedef struct part {
    const float *strips, *u;
    qv_axis down, across;
    size_t phase_h, phase_w, row, rows; /* rows of the phase from `row` on, counted through all samples */
    size_t channel;                     /* of y; the group's first */
} part;

/* A position of a part, row by row: where it reads and writes, from the group's first channel on. */
typedef struct cursor {
    size_t row, col;
    const float *a;
    float *y;
} cursor;

static void begin_row(const job *j, const part *p, cursor *c)
{
    const qv_strips *g = j->g;
    const size_t row = p->row + c->row, n = row / p->down.count, h = row % p->down.count * phases(g) + p->phase_h;
    const size_t source = (size_t)((ptrdiff_t)g->kernel + p->across.first);
    c->col = 0;
    c->a = p->strips + c->row * p->down.taps * qv_strip_floats(g) + source * g->from;
    c->y = j->y + ((n * g->to_h + h) * g->to_w + p->phase_w) * g->groups * g->to + p->channel;
}

static inline void advance(const job *j, const part *p, cursor *c)
{
    const qv_strips *g = j->g;
    if (++c->col == p->across.count) {
        if (++c->row < p->rows) begin_row(j, p, c);
        return;
    }
    c->a += qv_strip_step(g) * g->from;
    c->y += phases(g) * g->groups * g->to;
}

static void run_part(const job *j, const part *p)
{
    const qv_strips *g = j->g;
    const size_t strip = qv_strip_floats(g), run = p->across.taps * g->from, positions = p->rows * p->across.count;
    cursor c = {0};
    begin_row(j, p, &c);
    for (size_t first = 0; first < positions; first += ROWS) {
        const size_t count = qv_min(ROWS, positions - first);
        const float *a[ROWS], *u = p->u;
        float *y[ROWS];
        for (size_t i = 0; i < ROWS; i++) {
            a[i] = c.a, y[i] = c.y;
            if (i < count) advance(j, p, &c);
        }
        for (size_t k = 0; k < g->to; k += QV_PANEL) {
            product(a, strip, p->down.taps, run, u, y, count, j->stream);
            for (size_t i = 0; i < ROWS; i++) y[i] += QV_PANEL;
            u += p->down.taps * run * QV_PANEL;
        }
    }
}

/* Some rows of one phase and one group. */
static void run_rows(const job *j, part *p, size_t group, float *strips)
{
    const qv_strips *g = j->g;
    qv_fill_strips(g, j->x, &p->down, p->row, p->row + p->rows, group, strips);
    p->strips = strips;
    p->channel = group * g->to;
    p->u = j->filters + group * filter_floats(g);
    for (size_t before = 0; before < p->phase_h; before++)
        p->u += qv_axis_of(g, before, g->to_h).taps * g->kernel * g->from * g->to;
    for (p->phase_w = 0; p->phase_w < phases(g); p->phase_w++) {
        p->across = qv_axis_of(g, p->phase_w, g->to_w);
        if (p->across.count) run_part(j, p);
        p->u += p->down.taps * p->across.taps * g->from * g->to;
    }
}

/* Blocks [begin, end), each of all phases of the rows. */
static void run_blocks(void *user, int chunk, size_t begin, size_t end)
{
    const job *j = user;
    const qv_strips *g = j->g;
    for (size_t index = begin; index < end; index++) {
        for (size_t phase = 0; phase < phases(g); phase++) {
            part p = {.phase_h = phase, .row = index * block_rows(g), .down = qv_axis_of(g, phase, g->to_h)};
            if (p.row >= g->n * p.down.count) continue;
            p.rows = qv_min(block_rows(g), g->n * p.down.count - p.row);
            for (size_t group = 0; group < g->groups; group++)
                run_rows(j, &p, group, j->own + (size_t)chunk * strips_floats(g));
        }
    }
    if (j->stream) qv_stream_end();
}

/* "x w" -> "y", or "dy w" -> "dx". */
int QV_FN(qv_strips_conv)(const qv_strips *g, const qv_call *call, size_t *need)
{
    const size_t filters = g->groups * filter_floats(g);
    if (need) return (*need = (filters + (size_t)g->threads * strips_floats(g)) * sizeof(float)), 0;
    if (qv_pool_threads(call->pool) > g->threads) return QV_ERR_INTERNAL;
    const qv_tensor *y = &call->out[0];
    job j = {.g = g, .x = call->in[0].data, .w = call->in[1].data, .y = y->data, .filters = call->scratch};
    j.own = j.filters + filters;
    j.stream = qv_stores_past(y);
    qv_parallel(call->pool, g->groups, 1, turn_filters, &j);
    qv_parallel(call->pool, block_count(g), 1, run_blocks, &j);
    return 0;
}
