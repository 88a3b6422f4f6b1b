/* Names and helpers of the files that are compiled once an instruction set.
 *
 * All passes look at memory as rows of contiguous channels and leave it to the compiler to
 * turn the loop over channels into vectors. Results do not depend on the number of threads:
 * sums are cut into segments by the shape alone. */
#ifndef QV_ISA_H
#define QV_ISA_H

#include <string.h>

#include "backend/cpu/cpu.h"

#define QV_PASTE_NAMES(a, b) a##_##b
#define QV_PASTE(a, b) QV_PASTE_NAMES(a, b)
/* qv_bn_stats_avx512 and so on. */
#define QV_FN(name) QV_PASTE(name, QV_ISA)

#define QV_OP(NAME, name, cpu, cuda, in, out) int QV_FN(qv_##name)(const qv_call *call, size_t *need);
#include "backend/ops.def"
#undef QV_OP
void QV_FN(qv_gemm)(const qv_gemm_args *g);
int QV_FN(qv_strips_conv)(const qv_strips *g, const qv_call *call, size_t *need);
int QV_FN(qv_strips_grad_w)(const qv_strips *g, const qv_call *call, size_t *need);
int QV_FN(qv_winograd_conv)(const qv_winograd *g, const qv_call *call, size_t *need);
int QV_FN(qv_winograd_grad_w)(const qv_winograd *g, const qv_call *call, size_t *need);

#if defined(__SSE2__)
#include <immintrin.h>
#endif

/* One register of floats, and of the masks that comparing two gives. */
#if defined(__AVX512F__)
enum { QV_WIDTH = 16 };
#elif defined(__AVX__)
enum { QV_WIDTH = 8 };
#else
enum { QV_WIDTH = 4 };
#endif
typedef float qv_vec __attribute__((vector_size(QV_WIDTH * sizeof(float)), aligned(sizeof(float)), may_alias));
typedef int32_t qv_mask __attribute__((vector_size(QV_WIDTH * sizeof(float)), aligned(sizeof(float)), may_alias));

static inline qv_vec qv_load(const float *p) { return *(const qv_vec *)p; }
static inline void qv_store(float *p, qv_vec v) { *(qv_vec *)p = v; }
static inline qv_vec qv_all(float x) { return x - (qv_vec){0}; }
/* v where the mask is set, else 0. */
static inline qv_vec qv_where(qv_mask m, qv_vec v) { return (qv_vec)((qv_mask)v & m); }

enum {
    QV_PANEL = 2 * QV_WIDTH, /* channels that a convolution's product makes at once */
    QV_LANES = 128,    /* floats of a loop's row: long enough to hide the loop's start, short enough for L1 */
    QV_BLOCK = 2048,   /* floats of one operand that a sum takes at once */
    QV_STAGE = 2048,   /* floats computed in L1 before they are streamed out */
    QV_SEGMENTS = 96,  /* of a sum: divisible by the usual numbers of threads */
    QV_SERIAL = 16384, /* below so many floats a second thread does not pay */
    QV_STREAM_FROM = 16 << 20 /* bytes of an output from which non-temporal stores pay */
};

static inline size_t qv_min(size_t a, size_t b) { return a < b ? a : b; }

/* A tensor of M rows of C channels seen as `rows` rows of `lanes` = repeat * C floats and a rest
 * of `tail` floats: narrow channels get loops as long as wide ones. */
typedef struct qv_view {
    size_t channels, repeat, lanes, rows, tail;
} qv_view;

static inline qv_view qv_view_of(const qv_tensor *t)
{
    qv_view v = {.channels = (size_t)t->c};
    size_t len = qv_tensor_len(t);
    v.repeat = v.channels < QV_LANES ? QV_LANES / v.channels : 1;
    v.lanes = v.repeat * v.channels;
    v.rows = len / v.lanes;
    v.tail = len % v.lanes;
    return v;
}

/* The first `channels` values once more for every repeat. */
static inline void qv_spread(float *p, size_t channels, size_t lanes)
{
    for (size_t i = channels; i < lanes; i++) p[i] = p[i - channels];
}

static inline size_t qv_segments(size_t rows)
{
    size_t s = rows / 32;
    return s < 1 ? 1 : qv_min(s, QV_SEGMENTS);
}

/* Asks for n floats from p on that will be read soon. The sums need it: they walk down columns of a
 * few rows, and the processor's own prefetch follows one ascending stream only. */
static inline void qv_prefetch(const float *p, size_t n)
{
    const uintptr_t from = (uintptr_t)p;
    for (size_t i = 0; i < n * sizeof *p; i += 64) __builtin_prefetch((const void *)(from + i));
}

/* Rows of `width` floats that a sum takes at once: they stay in L1 beside as many of a second operand. */
static inline size_t qv_block_rows(size_t width)
{
    size_t rows = QV_BLOCK / width;
    return rows < 4 ? 4 : qv_min(rows, 64);
}

/* Floats [begin, end) of the sum of `segments` arrays, one behind the other and `len` floats long, in their order. */
static inline void qv_add_segments(float *restrict to, const float *restrict parts, size_t len, size_t segments,
                                   size_t begin, size_t end)
{
    memcpy(to + begin, parts + begin, (end - begin) * sizeof *to);
    for (size_t s = 1; s < segments; s++)
        for (size_t i = begin; i < end; i++) to[i] += parts[s * len + i];
}

/* The pool, or none where the work is too small for it. */
static inline qv_pool *qv_pool_for(const qv_call *call, size_t floats) { return floats < QV_SERIAL ? NULL : call->pool; }

/* Copies n floats past the caches; what stands before and after the aligned part is stored as usual. */
static inline void qv_stream_out(float *restrict to, const float *restrict from, size_t n)
{
    enum { WIDTH = QV_WIDTH };
    size_t i = qv_min(n, (WIDTH - (uintptr_t)to / sizeof *to % WIDTH) % WIDTH);
    memcpy(to, from, i * sizeof *to);
#if defined(__SSE2__)
    for (; i + WIDTH <= n; i += WIDTH) {
#if defined(__AVX512F__)
        _mm512_stream_ps(to + i, _mm512_loadu_ps(from + i));
#elif defined(__AVX__)
        _mm256_stream_ps(to + i, _mm256_loadu_ps(from + i));
#else
        _mm_stream_ps(to + i, _mm_loadu_ps(from + i));
#endif
    }
#endif
    memcpy(to + i, from + i, (n - i) * sizeof *to);
}

/* Whether qv_store_past pays for t and may write it: every vector of its rows is aligned then. */
static inline bool qv_stores_past(const qv_tensor *t)
{
    return qv_tensor_len(t) * sizeof(float) >= QV_STREAM_FROM && (uintptr_t)t->data % sizeof(qv_vec) == 0;
}

/* After the last qv_stream_out of a thread. */
static inline void qv_stream_end(void)
{
#if defined(__SSE2__)
    _mm_sfence();
#endif
}

/* Stores past the caches; p is aligned to the vector. */
static inline void qv_store_past(float *p, qv_vec v)
{
#if defined(__AVX512F__)
    _mm512_stream_ps(p, (__m512)v);
#elif defined(__AVX__)
    _mm256_stream_ps(p, (__m256)v);
#elif defined(__SSE2__)
    _mm_stream_ps(p, (__m128)v);
#else
    qv_store(p, v);
#endif
}

static inline bool qv_streams(const qv_tensor *t, size_t row)
{
    return row <= QV_STAGE && qv_tensor_len(t) * sizeof(float) >= QV_STREAM_FROM;
}

/* Coefficients [N,B] of rows (n, h, w): constant over runs of rows. */
typedef struct qv_coefs {
    const float *value;
    size_t bands, hw, w;
} qv_coefs;

static inline qv_coefs qv_coefs_of(const qv_tensor *coef, const qv_tensor *rows)
{
    qv_coefs k = {coef->data, (size_t)coef->c, (size_t)rows->h * (size_t)rows->w, (size_t)rows->w};
    return k;
}

/* The coefficient at `row`; returns where the run ends that shares it, at most `end`. */
static inline size_t qv_coef_run(const qv_coefs *k, size_t row, size_t end, float *value)
{
    size_t n = row / k->hw, q = row % k->w, band = q * k->bands / k->w;
    *value = k->value[n * k->bands + band];
    size_t next = k->bands == 1 ? (n + 1) * k->hw : row - q + ((band + 1) * k->w + k->bands - 1) / k->bands;
    return qv_min(next, end);
}

#endif
