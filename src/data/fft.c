/* A real transform of n points is a complex one of m = n / 2 (even samples real, odd ones
 * imaginary) and a last pass that takes the two apart. The complex one works in place: samples are
 * stored in digit-reversed order, then come passes of radix 4, after one of radix 2 where m is not
 * a power of 4. */
#include "data/fft.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF /* gcc contracts only with GNU extensions, which this project does without */
#endif

struct qv_fft {
    int n, m;
    int *position;  /* [m] where pair j of samples goes */
    float *twiddle; /* for each radix-4 pass of quarter size q > 1: [q][6] cos, sin of w, w^2, w^3 */
    float *split;   /* [m / 2 + 1][2] cos, sin of 2 pi k / n */
};

qv_status qv_lanes_alloc(qv_ctx *ctx, qv_lanes **out, size_t n)
{
    *out = NULL;
    void *p = NULL;
    if (n > SIZE_MAX / 2 / sizeof(qv_lanes) || posix_memalign(&p, sizeof(qv_lanes), (n + 1) * sizeof(qv_lanes)) != 0)
        return qv_fail(ctx, QV_ERR_MEMORY, "no memory for %zu lanes of %zu bytes", n, sizeof(qv_lanes));
    memset(p, 0, (n + 1) * sizeof(qv_lanes));
    *out = p;
    return QV_OK;
}

/* Whether the first pass has radix 2: when log2(m) is odd. */
static bool starts_with_radix_2(int m)
{
    bool odd = false;
    for (; m > 1; m /= 2) odd = !odd;
    return odd;
}

/* Digit reversal: the last pass joins r transforms of every rth input, and so on inwards. */
static int reversed(int m, int j)
{
    int at = 0, size = m;
    while (size > 1) {
        int radix = size == 2 ? 2 : 4;
        size /= radix;
        at += j % radix * size;
        j /= radix;
    }
    return at;
}

static void set_root(float *out, int k, int n)
{
    double angle = 2 * 3.14159265358979323846 * (double)k / (double)n;
    out[0] = (float)cos(angle);
    out[1] = (float)sin(angle);
}

static void fill_tables(qv_fft *f)
{
    for (int j = 0; j < f->m; j++) f->position[j] = reversed(f->m, j);
    for (int k = 0; k <= f->m / 2; k++) set_root(f->split + 2 * k, k, f->n);
    float *t = f->twiddle;
    for (int q = starts_with_radix_2(f->m) ? 2 : 4; q < f->m; q *= 4)
        for (int k = 0; k < q; k++, t += 6)
            for (int r = 1; r <= 3; r++) set_root(t + 2 * (r - 1), r * k, 4 * q);
}

qv_status qv_fft_new(qv_ctx *ctx, qv_fft **out, int n)
{
    qv_status status = QV_OK;
    qv_fft *f = NULL;
    *out = NULL;
    if (n < QV_FFT_MIN || n > QV_FFT_MAX || (n & (n - 1)) != 0)
        return qv_fail(ctx, QV_ERR_USAGE, "a transform of %d points: a power of two from %d to %d is needed", n,
                       QV_FFT_MIN, QV_FFT_MAX);
    QV_TRY(qv_alloc(ctx, &f, 1, sizeof *f));
    f->n = n;
    f->m = n / 2;
    QV_TRY(qv_alloc(ctx, &f->position, (size_t)f->m, sizeof *f->position));
    QV_TRY(qv_alloc(ctx, &f->split, (size_t)f->m / 2 + 1, 2 * sizeof(float)));
    QV_TRY(qv_alloc(ctx, &f->twiddle, (size_t)f->m, 2 * sizeof(float))); /* 6 (m/4 + m/16 + ...) < 2 m */
    fill_tables(f);
    *out = f;
    f = NULL;
done:
    qv_fft_free(f);
    return status;
}

void qv_fft_free(qv_fft *f)
{
    if (!f) return;
    free(f->position);
    free(f->split);
    free(f->twiddle);
    free(f);
}

size_t qv_fft_work(const qv_fft *f) { return (size_t)f->n; }

#define QV_INLINE static inline __attribute__((always_inline))

typedef float quad __attribute__((vector_size(16)));

#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define QV_HAS_SHUFFLE 1
#endif
#endif

/* Rows of a 4 by 4 square become its columns. gcc knows the shuffle from version 12 on. */
QV_INLINE void transpose(quad s[4])
{
#if defined(QV_HAS_SHUFFLE)
    quad low01 = __builtin_shufflevector(s[0], s[1], 0, 4, 1, 5);
    quad low23 = __builtin_shufflevector(s[2], s[3], 0, 4, 1, 5);
    quad high01 = __builtin_shufflevector(s[0], s[1], 2, 6, 3, 7);
    quad high23 = __builtin_shufflevector(s[2], s[3], 2, 6, 3, 7);
    s[0] = __builtin_shufflevector(low01, low23, 0, 1, 4, 5);
    s[1] = __builtin_shufflevector(low01, low23, 2, 3, 6, 7);
    s[2] = __builtin_shufflevector(high01, high23, 0, 1, 4, 5);
    s[3] = __builtin_shufflevector(high01, high23, 2, 3, 6, 7);
#else
    quad t[4] = {s[0], s[1], s[2], s[3]};
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) s[i][j] = t[j][i];
#endif
}

/* Two pairs of samples of four neighbouring lanes. */
QV_INLINE void load_square(const float *x, size_t hop, quad window, float *re0, float *im0, float *re1, float *im1)
{
    quad s[4];
    for (int lane = 0; lane < 4; lane++) {
        memcpy(&s[lane], x + (size_t)lane * hop, sizeof s[lane]);
        s[lane] *= window;
    }
    transpose(s);
    memcpy(re0, &s[0], sizeof s[0]);
    memcpy(im0, &s[1], sizeof s[1]);
    memcpy(re1, &s[2], sizeof s[2]);
    memcpy(im1, &s[3], sizeof s[3]);
}

/* Windowed samples into digit-reversed places; zeros after `length`. */
QV_INLINE void load(const qv_fft *f, const float *samples, size_t hop, const float *window, int length, qv_lanes *re,
                    qv_lanes *im)
{
    int j = 0;
    for (; 2 * j + 4 <= length; j += 2) {
        quad w;
        memcpy(&w, window + 2 * j, sizeof w);
        float *r0 = (float *)(re + f->position[j]), *i0 = (float *)(im + f->position[j]);
        float *r1 = (float *)(re + f->position[j + 1]), *i1 = (float *)(im + f->position[j + 1]);
        for (int lane = 0; lane < QV_LANES; lane += 4)
            load_square(samples + (size_t)lane * hop + 2 * j, hop, w, r0 + lane, i0 + lane, r1 + lane, i1 + lane);
    }
    for (; j < f->m; j++) {
        int at = f->position[j];
        re[at] = im[at] = (qv_lanes){0};
        for (int lane = 0; lane < QV_LANES; lane++) {
            const float *x = samples + (size_t)lane * hop;
            if (2 * j < length) re[at][lane] = window[2 * j] * x[2 * j];
            if (2 * j + 1 < length) im[at][lane] = window[2 * j + 1] * x[2 * j + 1];
        }
    }
}

QV_INLINE void pass_2(int m, qv_lanes *re, qv_lanes *im)
{
    for (int k = 0; k < m; k += 2) {
        qv_lanes ar = re[k], ai = im[k], br = re[k + 1], bi = im[k + 1];
        re[k] = ar + br, im[k] = ai + bi;
        re[k + 1] = ar - br, im[k + 1] = ai - bi;
    }
}

/* The first pass of radix 4: all twiddles are 1. */
QV_INLINE void pass_4_first(int m, qv_lanes *re, qv_lanes *im)
{
    for (int k = 0; k < m; k += 4) {
        qv_lanes *r = re + k, *i = im + k;
        qv_lanes sr = r[0] + r[2], si = i[0] + i[2], dr = r[0] - r[2], di = i[0] - i[2];
        qv_lanes tr = r[1] + r[3], ti = i[1] + i[3], er = r[1] - r[3], ei = i[1] - i[3];
        r[0] = sr + tr, i[0] = si + ti;
        r[1] = dr + ei, i[1] = di - er;
        r[2] = sr - tr, i[2] = si - ti;
        r[3] = dr - ei, i[3] = di + er;
    }
}

QV_INLINE void pass_4(int m, int q, const float *twiddle, qv_lanes *re, qv_lanes *im)
{
    for (int group = 0; group < m; group += 4 * q) {
        for (int k = 0; k < q; k++) {
            qv_lanes *r = re + group + k, *i = im + group + k;
            const float *w = twiddle + 6 * k;
            qv_lanes br = r[q] * w[0] + i[q] * w[1], bi = i[q] * w[0] - r[q] * w[1];
            qv_lanes cr = r[2 * q] * w[2] + i[2 * q] * w[3], ci = i[2 * q] * w[2] - r[2 * q] * w[3];
            qv_lanes dr = r[3 * q] * w[4] + i[3 * q] * w[5], di = i[3 * q] * w[4] - r[3 * q] * w[5];
            qv_lanes pr = r[0] + cr, pi = i[0] + ci, mr = r[0] - cr, mi = i[0] - ci;
            qv_lanes sr = br + dr, si = bi + di, tr = br - dr, ti = bi - di;
            r[0] = pr + sr, i[0] = pi + si;
            r[q] = mr + ti, i[q] = mi - tr;
            r[2 * q] = pr - sr, i[2 * q] = pi - si;
            r[3 * q] = mr - ti, i[3 * q] = mi + tr;
        }
    }
}

/* Powers of the real transform at k and m - k from the complex one at the same places. */
QV_INLINE void split_power(int m, const float *split, const qv_lanes *re, const qv_lanes *im, qv_lanes *power)
{
    qv_lanes sum = re[0] + im[0], difference = re[0] - im[0];
    power[0] = sum * sum;
    power[m] = difference * difference;
    power[m / 2] = re[m / 2] * re[m / 2] + im[m / 2] * im[m / 2];
    for (int k = 1; k < m / 2; k++) {
        float c = split[2 * k], s = split[2 * k + 1];
        qv_lanes er = re[k] + re[m - k], ei = im[k] - im[m - k];
        qv_lanes pr = im[k] + im[m - k], pi = re[m - k] - re[k];
        qv_lanes wr = pr * c + pi * s, wi = pi * c - pr * s;
        qv_lanes ar = er + wr, ai = ei + wi, br = er - wr, bi = ei - wi;
        power[k] = (ar * ar + ai * ai) * 0.25f;
        power[m - k] = (br * br + bi * bi) * 0.25f;
    }
}

/* Static, since clang 14 gives a versioned function no symbol for other files. */
QV_MULTIVERSION
static void transform(const qv_fft *f, const float *samples, size_t hop, const float *window, int length,
                      qv_lanes *work, qv_lanes *power)
{
    int m = f->m;
    qv_lanes *re = work, *im = work + m;
    load(f, samples, hop, window, length, re, im);
    int q;
    if (starts_with_radix_2(m)) {
        pass_2(m, re, im);
        q = 2;
    } else {
        pass_4_first(m, re, im);
        q = 4;
    }
    const float *twiddle = f->twiddle;
    for (; q < m; q *= 4) {
        pass_4(m, q, twiddle, re, im);
        twiddle += 6 * q;
    }
    split_power(m, f->split, re, im, power);
}

void qv_fft_power(const qv_fft *f, const float *samples, size_t hop, const float *window, int length, qv_lanes *work,
                  qv_lanes *power)
{
    transform(f, samples, hop, window, length, work, power);
}
