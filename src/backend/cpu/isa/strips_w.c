/* Gradients in w of direct convolutions on NHWC, from strips (strips.h).
 *
 * For a group and a row of taps r, the sum over all positions of
 *     dw[k][r][run] += dy[position][k] x[position's run],   run: taps * channels of x, one behind the other in a strip
 * The sums of a few channels k and two vectors of the run stay in registers while a block of rows goes by, whose
 * operands are packed beforehand: where they come from they lie whole lines apart, and collide in the caches.
 *
 * The rows of dy are cut into segments by the shape alone, each summed by one thread in order and the segments'
 * gradients in order after that: the result does not depend on the number of threads. */
#include "backend/cpu/isa/strips.h"

enum {
    ROWS = 4,               /* channels of dy whose sums stay in registers */
    SEGMENT_OUTPUTS = 2048, /* at least so many: a segment costs an addition of all filters */
    SEGMENTS_MAX = 32
};

typedef struct job {
    const qv_strips *g;
    qv_axis down;
    size_t segments, weights; /* weights: of all groups, a gradient of one segment */
    const float *x, *dy;
    float *dw, *parts, *own; /* parts: a gradient a segment; own: thread_floats for every thread */
} job;

/* The strips of the rows that a thread takes at once. */
static size_t strips_floats(const qv_strips *g) { return qv_strip_rows(g->to_w) * g->kernel * qv_strip_floats(g); }

/* Positions of such rows, and a thread's floats: strips, the positions' dy and one panel of their x. */
static size_t block_outputs(const qv_strips *g) { return qv_strip_rows(g->to_w) * g->to_w; }
static size_t thread_floats(const qv_strips *g) { return strips_floats(g) + block_outputs(g) * (g->to + QV_PANEL); }

/* A block of rows of a group. */
typedef struct block {
    const float *strips;
    float *dy;          /* [to / ROWS][position][ROWS] */
    float *x;           /* [position][panel] of a run */
    size_t rows, count; /* count: positions */
    bool add;           /* to what is there: not the segment's first */
} block;

/* The block's dy, `dy` being the group's first channel at its first position. */
static void pack_gradients(const qv_strips *g, const block *b, const float *restrict dy)
{
    for (size_t k = 0; k < g->to; k += ROWS)
        for (size_t i = 0; i < b->count; i++)
            memcpy(b->dy + k * b->count + i * ROWS, dy + i * g->groups * g->to + k, ROWS * sizeof *dy);
}

/* The block's x of one panel of a run; `from` is where the first position's is, in the strip of that row of taps. */
static void pack_run(const qv_strips *g, const block *b, const float *restrict from)
{
    const size_t strip = g->kernel * qv_strip_floats(g), next = g->stride * g->from;
    float *restrict to = b->x;
    for (size_t row = 0; row < b->rows; row++)
        for (size_t q = 0; q < g->to_w; q++, to += QV_PANEL)
            for (size_t k = 0; k < QV_PANEL; k += QV_WIDTH)
                qv_store(to + k, qv_load(from + row * strip + q * next + k));
}

/* sum[ROWS][panel] (+)= dy[count][ROWS]' x[count][panel]; sum's rows are `step` floats apart. */
static inline void product(const float *restrict dy, const float *restrict x, size_t count, float *restrict sum,
                           size_t step, bool add)
{
    qv_vec s[ROWS][2];
    for (size_t i = 0; i < ROWS; i++)
        for (size_t k = 0; k < 2; k++) s[i][k] = add ? qv_load(sum + i * step + k * QV_WIDTH) : (qv_vec){0};
    for (size_t p = 0; p < count; p++, dy += ROWS, x += QV_PANEL) {
        const qv_vec x0 = qv_load(x), x1 = qv_load(x + QV_WIDTH);
        for (size_t i = 0; i < ROWS; i++) {
            s[i][0] += dy[i] * x0;
            s[i][1] += dy[i] * x1;
        }
    }
    for (size_t i = 0; i < ROWS; i++)
        for (size_t k = 0; k < 2; k++) qv_store(sum + i * step + k * QV_WIDTH, s[i][k]);
}

/* The block's share of a group's gradient w[to][row of taps][run]. */
static void multiply(const qv_strips *g, const block *b, float *w)
{
    const size_t run = g->kernel * g->from, step = g->kernel * run;
    for (size_t r = 0; r < g->kernel; r++) {
        const float *strip = b->strips + r * qv_strip_floats(g) + (g->kernel - g->pad) * g->from;
        for (size_t c = 0; c < run; c += QV_PANEL) {
            pack_run(g, b, strip + c);
            for (size_t k = 0; k < g->to; k += ROWS)
                product(b->dy + k * b->count, b->x, b->count, w + k * step + r * run + c, step, b->add);
        }
    }
}

static void run_segment(const job *j, float *own, size_t segment, size_t group)
{
    const qv_strips *g = j->g;
    block b = {.strips = own, .dy = own + strips_floats(g)};
    b.x = b.dy + block_outputs(g) * g->to;
    float *w = j->parts + segment * j->weights + group * g->to * g->kernel * g->kernel * g->from;
    size_t begin, end;
    qv_chunk(g->n * g->to_h, 1, (int)j->segments, (int)segment, &begin, &end);
    for (size_t row = begin; row < end; row += b.rows) {
        b.rows = qv_min(qv_strip_rows(g->to_w), end - row);
        b.count = b.rows * g->to_w;
        b.add = row > begin;
        qv_fill_strips(g, j->x, &j->down, row, row + b.rows, group, own);
        pack_gradients(g, &b, j->dy + (row * g->to_w * g->groups + group) * g->to);
        multiply(g, &b, w);
    }
}

/* Segments [begin, end), those of all groups: a segment's groups share lines of memory. */
static void run_segments(void *user, int chunk, size_t begin, size_t end)
{
    const job *j = user;
    float *own = j->own + (size_t)chunk * thread_floats(j->g);
    for (size_t i = begin; i < end; i++) run_segment(j, own, i / j->g->groups, i % j->g->groups);
}

static void add_parts(void *user, int chunk, size_t begin, size_t end)
{
    const job *j = user;
    (void)chunk;
    qv_add_segments(j->dw, j->parts, j->weights, j->segments, begin, end);
}

static size_t count_segments(const qv_strips *g)
{
    const size_t segments = qv_min(g->n * g->to_h * g->to_w / SEGMENT_OUTPUTS, SEGMENTS_MAX);
    return segments ? qv_min(segments, g->n * g->to_h) : 1;
}

/* "x dy" -> "dw" */
int QV_FN(qv_strips_grad_w)(const qv_strips *g, const qv_call *call, size_t *need)
{
    job j = {.g = g, .down = qv_axis_of(g, 0, g->to_h), .segments = count_segments(g)};
    j.weights = g->groups * g->to * g->kernel * g->kernel * g->from;
    const size_t parts = j.segments * j.weights;
    if (need) return (*need = (parts + (size_t)g->threads * thread_floats(g)) * sizeof(float)), 0;
    if (qv_pool_threads(call->pool) > g->threads) return QV_ERR_INTERNAL;
    j.x = call->in[0].data, j.dy = call->in[1].data, j.dw = call->out[0].data, j.parts = call->scratch;
    j.own = j.parts + parts;
    qv_parallel(call->pool, j.segments * g->groups, 1, run_segments, &j);
    qv_parallel(call->pool, j.weights, 1024, add_parts, &j);
    return 0;
}
