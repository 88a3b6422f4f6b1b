/* Convolutions without oneDNN: im2col by tiles that stay in the second-level cache, and the
 * product of isa/gemm.c on them.
 *
 * All three are c = a b with one row of a a position: the patch of x around an output (CONV,
 * CONV_GRAD_W) or the outputs that an input reaches (CONV_GRAD_X). The weight gradient is
 * summed per thread and then over the threads in order. */
#include <stdlib.h>
#include <string.h>

#include "backend/cpu/cpu.h"
#include "base/round.h"

enum { TILE_FLOATS = 64 * 1024, TILE_ROWS_MIN = 48, TILE_ROWS_MAX = 192, ALIGN = 16 };

typedef struct plan {
    int kind, threads;
    const qv_isa *isa;
    qv_conv_attr a;
    size_t from_h, from_w, to_h, to_w; /* im2col reads at from, a row for each position of to */
    size_t positions;                  /* rows in all */
    size_t from_c, to_c;               /* channels a group */
    size_t depth;                      /* kernel * kernel * from_c: floats a row */
    size_t tile_rows;
    size_t tile_floats, weight_floats; /* in the scratch: a tile a thread, then weights once or a thread */
} plan;

static size_t scratch_bytes(const plan *p)
{
    const size_t copies = p->kind == QV_OP_CONV_GRAD_W ? (size_t)p->threads : 1;
    return ((size_t)p->threads * p->tile_floats + copies * p->weight_floats) * sizeof(float);
}

qv_status qv_direct_plan(qv_ctx *ctx, const qv_op *op, const qv_tensor *in, const qv_tensor *out, const qv_cpu_options *o,
                         void **out_plan, size_t *need)
{
    plan *p;
    *out_plan = NULL;
    *need = 0;
    qv_status status = qv_alloc(ctx, &p, 1, sizeof *p);
    if (status != QV_OK) return status;
    const qv_tensor *from = &in[0], *to = op->kind == QV_OP_CONV_GRAD_W ? &in[1] : &out[0];
    const size_t groups = (size_t)op->a.conv.groups, kernel = (size_t)op->a.conv.kernel;
    *p = (plan){.kind = op->kind, .threads = o->threads, .isa = qv_isa_best(o->isa), .a = op->a.conv, .from_h = (size_t)from->h, .from_w = (size_t)from->w,
                .to_h = (size_t)to->h, .to_w = (size_t)to->w, .from_c = (size_t)from->c / groups,
                .to_c = (size_t)to->c / groups};
    p->positions = (size_t)to->n * p->to_h * p->to_w;
    p->depth = kernel * kernel * p->from_c;
    p->tile_rows = TILE_FLOATS / p->depth;
    if (p->tile_rows < TILE_ROWS_MIN) p->tile_rows = TILE_ROWS_MIN;
    if (p->tile_rows > TILE_ROWS_MAX) p->tile_rows = TILE_ROWS_MAX;
    p->tile_floats = qv_round_up(p->tile_rows * p->depth, ALIGN);
    p->weight_floats = qv_round_up(groups * p->depth * p->to_c, ALIGN);
    *need = scratch_bytes(p);
    *out_plan = p;
    return QV_OK;
}

void qv_direct_plan_free(void *p) { free(p); }

qv_conv_name qv_cpu_conv_name(void) { return (qv_conv_name){"own im2col (built without oneDNN: slow)"}; }

void qv_cpu_conv_limit(const char *max_isa) { (void)max_isa; }

/* Where filter tap r of position `at` reads along one axis of `size`; false: in the padding or, for
 * the gradient in x, between two outputs. */
static bool tap(const plan *p, size_t at, size_t r, size_t size, size_t *source)
{
    const size_t stride = (size_t)p->a.stride, pad = (size_t)p->a.pad;
    if (p->kind == QV_OP_CONV_GRAD_X) {
        if (at + pad < r || (at + pad - r) % stride != 0) return false;
        *source = (at + pad - r) / stride;
    } else {
        if (at * stride + r < pad) return false;
        *source = at * stride + r - pad;
    }
    return *source < size;
}

/* One row: [r][s][channel] of one group around position `index` of `to`. */
static void fill_row(const plan *p, const float *from, size_t group, size_t index, float *row)
{
    const size_t kernel = (size_t)p->a.kernel, all = p->from_c * (size_t)p->a.groups;
    const size_t n = index / (p->to_h * p->to_w), y = index / p->to_w % p->to_h, x = index % p->to_w;
    for (size_t r = 0; r < kernel; r++) {
        size_t sy, sx;
        const bool inside = tap(p, y, r, p->from_h, &sy);
        for (size_t s = 0; s < kernel; s++, row += p->from_c) {
            if (inside && tap(p, x, s, p->from_w, &sx))
                memcpy(row, from + ((n * p->from_h + sy) * p->from_w + sx) * all + group * p->from_c, p->from_c * sizeof *row);
            else
                memset(row, 0, p->from_c * sizeof *row);
        }
    }
}

/* Weights as the product's right side, [group][r][s][from channel][to channel]. */
static void turn_weights(const plan *p, const float *w, float *to)
{
    const size_t groups = (size_t)p->a.groups, taps = (size_t)p->a.kernel * (size_t)p->a.kernel;
    const bool back = p->kind == QV_OP_CONV_GRAD_X;
    for (size_t g = 0; g < groups; g++) {
        for (size_t t = 0; t < taps; t++) {
            for (size_t f = 0; f < p->from_c; f++) {
                for (size_t o = 0; o < p->to_c; o++) {
                    const size_t outer = back ? g * p->from_c + f : g * p->to_c + o, inner = back ? o : f;
                    *to++ = w[(outer * taps + t) * (back ? p->to_c : p->from_c) + inner];
                }
            }
        }
    }
}

typedef struct job {
    const plan *p;
    const float *from, *dy, *weights; /* dy: for the weight gradient */
    float *to, *tiles, *sums;
} job;

static void product_range(void *user, int chunk, size_t begin, size_t end)
{
    const job *j = user;
    const plan *p = j->p;
    const size_t groups = (size_t)p->a.groups, width = groups * p->to_c;
    float *tile = j->tiles + (size_t)chunk * p->tile_floats, *sums = j->sums + (size_t)chunk * p->weight_floats;
    const bool gradient = p->kind == QV_OP_CONV_GRAD_W;
    if (gradient) memset(sums, 0, p->weight_floats * sizeof *sums);
    for (size_t at = begin; at < end; at += p->tile_rows) {
        const size_t rows = end - at < p->tile_rows ? end - at : p->tile_rows;
        for (size_t g = 0; g < groups; g++) {
            for (size_t i = 0; i < rows; i++) fill_row(p, j->from, g, at + i, tile + i * p->depth);
            qv_gemm_args product = {.a = tile, .lda = p->depth, .n = p->to_c};
            if (gradient) {
                product.a_transposed = product.add = true;
                product.m = p->depth, product.k = rows;
                product.b = j->dy + at * width + g * p->to_c, product.ldb = width;
                product.c = sums + g * p->depth * p->to_c, product.ldc = p->to_c;
            } else {
                product.m = rows, product.k = p->depth;
                product.b = j->weights + g * p->depth * p->to_c, product.ldb = p->to_c;
                product.c = j->to + at * width + g * p->to_c, product.ldc = width;
            }
            p->isa->gemm(&product);
        }
    }
}

/* dw[group][to channel][r][s][from channel] from the threads' sums, which have the to channel last. */
static void merge_sums(const plan *p, int chunks, const float *sums, float *dw)
{
    const size_t groups = (size_t)p->a.groups;
    for (size_t g = 0; g < groups; g++) {
        for (size_t o = 0; o < p->to_c; o++) {
            for (size_t d = 0; d < p->depth; d++) {
                float sum = 0;
                for (size_t t = 0; t < (size_t)chunks; t++)
                    sum += sums[t * p->weight_floats + (g * p->depth + d) * p->to_c + o];
                *dw++ = sum;
            }
        }
    }
}

int qv_direct_conv(const qv_call *call, size_t *need)
{
    const plan *p = call->plan;
    if (!p || qv_pool_threads(call->pool) > p->threads) return QV_ERR_INTERNAL;
    if (need) return (*need = scratch_bytes(p)), 0;
    float *tiles = call->scratch, *weights = tiles + (size_t)p->threads * p->tile_floats;
    job j = {.p = p, .from = call->in[0].data, .to = call->out[0].data, .tiles = tiles,
             .sums = weights, .weights = weights};
    if (p->kind == QV_OP_CONV_GRAD_W)
        j.dy = call->in[1].data;
    else
        turn_weights(p, call->in[1].data, weights);
    qv_parallel(call->pool, p->positions, 1, product_range, &j);
    if (p->kind == QV_OP_CONV_GRAD_W) merge_sums(p, qv_pool_threads(call->pool), weights, call->out[0].data);
    return 0;
}
