/* The product behind the convolutions of a build without oneDNN.
 *
 * b is packed block by block into L1 as panels two vectors wide, padded with zeros; the kernel
 * keeps a tile of c in registers over one block of k. */
#include "backend/cpu/isa/isa.h"

/* As many rows as leave registers for a row of b. */
enum { ROWS = QV_WIDTH == 16 ? 12 : 6, PANEL = 2 * QV_WIDTH, BLOCK = 256 }; /* BLOCK * PANEL floats: at most 32 KiB */

/* c[ROWS][PANEL] += a[ROWS][k] b[k][PANEL]; element (i, k) of a is a[i * row + k * col]. */
static inline void tile(float *restrict c, size_t ldc, const float *restrict a, size_t row, size_t col,
                        const float *restrict b, size_t k)
{
    qv_vec sum[ROWS][2];
    for (int i = 0; i < ROWS; i++) sum[i][0] = sum[i][1] = (qv_vec){0};
    for (size_t p = 0; p < k; p++) {
        const qv_vec b0 = qv_load(b + p * PANEL), b1 = qv_load(b + p * PANEL + QV_WIDTH);
        for (int i = 0; i < ROWS; i++) {
            const float x = a[(size_t)i * row + p * col];
            sum[i][0] += x * b0;
            sum[i][1] += x * b1;
        }
    }
    for (int i = 0; i < ROWS; i++) {
        float *to = c + (size_t)i * ldc;
        qv_store(to, qv_load(to) + sum[i][0]);
        qv_store(to + QV_WIDTH, qv_load(to + QV_WIDTH) + sum[i][1]);
    }
}

/* A tile at the lower or right edge: the kernel works on a copy, rows past the last repeat it. */
static void edge(float *c, size_t ldc, const float *a, const qv_gemm_args *g, const float *b, size_t k, size_t m, size_t n)
{
    float square[ROWS * PANEL], left[ROWS * BLOCK];
    const size_t row = g->a_transposed ? 1 : g->lda, col = g->a_transposed ? g->lda : 1;
    for (size_t i = 0; i < ROWS; i++)
        for (size_t p = 0; p < k; p++) left[i * BLOCK + p] = a[qv_min(i, m - 1) * row + p * col];
    memset(square, 0, sizeof square);
    tile(square, PANEL, left, BLOCK, 1, b, k);
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) c[i * ldc + j] += square[i * PANEL + j];
}

static void pack(float *restrict to, const float *restrict b, size_t ldb, size_t k, size_t n)
{
    for (size_t p = 0; p < k; p++, to += PANEL, b += ldb) {
        if (n == PANEL) {
            memcpy(to, b, PANEL * sizeof *to);
        } else {
            memset(to, 0, PANEL * sizeof *to);
            memcpy(to, b, n * sizeof *to);
        }
    }
}

/* All rows of c against one packed panel of n columns. */
static void panel(const qv_gemm_args *g, const float *a, const float *b, float *c, size_t k, size_t n)
{
    const size_t step = g->a_transposed ? 1 : g->lda;
    for (size_t i = 0; i < g->m; i += ROWS) {
        const size_t m = qv_min(ROWS, g->m - i);
        if (m < ROWS || n < PANEL)
            edge(c + i * g->ldc, g->ldc, a + i * step, g, b, k, m, n);
        else if (g->a_transposed)
            tile(c + i * g->ldc, g->ldc, a + i, 1, g->lda, b, k);
        else
            tile(c + i * g->ldc, g->ldc, a + i * g->lda, g->lda, 1, b, k);
    }
}

void QV_FN(qv_gemm)(const qv_gemm_args *g)
{
    float packed[BLOCK * PANEL];
    if (!g->add)
        for (size_t i = 0; i < g->m; i++) memset(g->c + i * g->ldc, 0, g->n * sizeof *g->c);
    for (size_t p = 0; p < g->k; p += BLOCK) {
        const size_t k = qv_min(BLOCK, g->k - p);
        const float *a = g->a + (g->a_transposed ? p * g->lda : p);
        for (size_t j = 0; j < g->n; j += PANEL) {
            const size_t n = qv_min(PANEL, g->n - j);
            pack(packed, g->b + p * g->ldb + j, g->ldb, k, n);
            panel(g, a, packed, g->c + j, k, n);
        }
    }
}
