/* Resampling by a windowed sinc (Kaiser, about 100 dB), for builds without soxr.
 *
 * Output sample i lies at i * from / to on the input's axis. Its filter is a row of a table by the
 * fraction: exact where to / gcd rows fit, else between two neighbours of STEPS rows, linearly
 * (error of a weight below 1/8 (pi / STEPS)^2 / 3 = 4e-7). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data/resample.h"

enum {
    CROSSINGS = 40,        /* zero crossings of the sinc on each side */
    STEPS = 1024,          /* rows where one for each fraction would be too many */
    TABLE_MAX = 256 * 1024 /* floats; it is filled anew for each recording */
};

static const double kaiser_beta = 10.06; /* 0.1102 (A - 8.7) for A = 100 dB */
static const double rolloff = 0.92;      /* of the lower Nyquist rate; the rest is transition */

struct qv_resampler {
    int64_t from, to; /* divided by their greatest common divisor */
    int64_t rows;     /* fractions k / rows, k in [0, rows] */
    int half, taps;   /* taps = 2 * half */
    float *table;     /* [rows + 1][taps] */
    qv_samples input; /* from sample `first` on; the filter's past and future */
    int64_t first, fed, made;
};

const char *qv_resampler_name(void) { return "windowed sinc 1"; }

static int64_t gcd(int64_t a, int64_t b)
{
    while (b) {
        int64_t t = a % b;
        a = b;
        b = t;
    }
    return a;
}

/* Modified Bessel function of order 0, by its series. */
static double bessel_i0(double x)
{
    double sum = 1, term = 1;
    for (int k = 1; term > 1e-17 * sum; k++) {
        term *= (x / 2 / k) * (x / 2 / k);
        sum += term;
    }
    return sum;
}

/* Filter for a fraction in [0, 1]: tap j weighs the input sample j - half + 1 after the whole part. Sums to 1. */
static void fill_row(const qv_resampler *r, double cutoff, double fraction, float *row)
{
    double sum = 0;
    for (int j = 0; j < r->taps; j++) {
        double t = j - r->half + 1 - fraction, u = t / r->half;
        double x = 3.14159265358979323846 * cutoff * t;
        double w = u * u < 1 ? bessel_i0(kaiser_beta * sqrt(1 - u * u)) : 0;
        double h = w * (fabs(x) < 1e-12 ? 1 : sin(x) / x);
        sum += h;
        row[j] = (float)h;
    }
    for (int j = 0; j < r->taps; j++) row[j] = (float)(row[j] / sum);
}

qv_status qv_resampler_new(qv_ctx *ctx, qv_resampler **out, int from, int to)
{
    qv_status status = QV_OK;
    qv_resampler *r = NULL;
    *out = NULL;
    QV_TRY(qv_alloc(ctx, &r, 1, sizeof *r));
    int64_t common = gcd(from, to);
    r->from = from / common;
    r->to = to / common;
    double cutoff = rolloff * (to < from ? (double)to / from : 1);
    r->half = (int)ceil(CROSSINGS / cutoff);
    r->taps = 2 * r->half;
    r->rows = r->to <= TABLE_MAX / r->taps ? r->to : STEPS;
    QV_TRY(qv_alloc(ctx, &r->table, (size_t)(r->rows + 1) * (size_t)r->taps, sizeof *r->table));
    for (int64_t k = 0; k <= r->rows; k++)
        fill_row(r, cutoff, (double)k / (double)r->rows, r->table + k * r->taps);
    r->first = -r->half;
    r->fed = 0;
    QV_TRY(qv_grow(ctx, &r->input.data, &r->input.cap, (size_t)r->half, sizeof(float)));
    memset(r->input.data, 0, (size_t)r->half * sizeof(float));
    r->input.n = (size_t)r->half;
    *out = r;
    r = NULL;
done:
    qv_resampler_free(r);
    return status;
}

void qv_resampler_free(qv_resampler *r)
{
    if (!r) return;
    free(r->table);
    free(r->input.data);
    free(r);
}

/* Over eight interleaved partial sums, so that it vectorizes. */
static float dot(const float *x, const float *w, int n)
{
    float part[8] = {0};
    int i = 0;
    for (; i + 8 <= n; i += 8)
        for (int j = 0; j < 8; j++) part[j] += x[i + j] * w[i + j];
    for (; i < n; i++) part[0] += x[i] * w[i];
    return ((part[0] + part[1]) + (part[2] + part[3])) + ((part[4] + part[5]) + (part[6] + part[7]));
}

/* Output sample whose filter begins at x, at the fraction rest / to. */
static float interpolate(const qv_resampler *r, const float *x, int64_t rest)
{
    int64_t scaled = rest * r->rows, k = scaled / r->to;
    const float *row = r->table + k * r->taps;
    float y = dot(x, row, r->taps);
    if (scaled % r->to == 0) return y;
    float blend = (float)(scaled % r->to) / (float)r->to;
    return y + blend * (dot(x, row + r->taps, r->taps) - y);
}

/* Drops the input that no later filter reaches. */
static void drop_past(qv_resampler *r)
{
    int64_t keep = r->made * r->from / r->to - r->half + 1 - r->first;
    if (keep <= 0) return;
    size_t drop = (size_t)keep < r->input.n ? (size_t)keep : r->input.n;
    memmove(r->input.data, r->input.data + drop, (r->input.n - drop) * sizeof(float));
    r->input.n -= drop;
    r->first += (int64_t)drop;
}

/* All output samples before `limit` whose filters end within the input at hand. */
static qv_status produce(qv_ctx *ctx, qv_resampler *r, int64_t limit, qv_samples *out)
{
    int64_t end = r->first + (int64_t)r->input.n;
    for (; r->made < limit; r->made++) {
        int64_t at = r->made * r->from / r->to, rest = r->made * r->from % r->to;
        if (at + r->half >= end) break;
        qv_status status = qv_grow(ctx, &out->data, &out->cap, out->n + 1, sizeof(float));
        if (status != QV_OK) return status;
        out->data[out->n++] = interpolate(r, r->input.data + (at - r->half + 1 - r->first), rest);
    }
    drop_past(r);
    return QV_OK;
}

/* n samples, or zeros where in is NULL, onto the input. */
static qv_status feed(qv_ctx *ctx, qv_resampler *r, const float *in, size_t n)
{
    qv_samples *s = &r->input;
    qv_status status = qv_grow(ctx, &s->data, &s->cap, s->n + n, sizeof(float));
    if (status != QV_OK) return status;
    if (in)
        memcpy(s->data + s->n, in, n * sizeof(float));
    else
        memset(s->data + s->n, 0, n * sizeof(float));
    s->n += n;
    return QV_OK;
}

qv_status qv_resampler_push(qv_ctx *ctx, qv_resampler *r, const float *in, size_t n, qv_samples *out)
{
    if (n == 0) return QV_OK;
    qv_status status = feed(ctx, r, in, n);
    if (status != QV_OK) return status;
    r->fed += (int64_t)n;
    return produce(ctx, r, INT64_MAX, out);
}

qv_status qv_resampler_end(qv_ctx *ctx, qv_resampler *r, qv_samples *out)
{
    qv_status status = feed(ctx, r, NULL, (size_t)r->half + 1);
    if (status != QV_OK) return status;
    return produce(ctx, r, (r->fed * r->to + r->from - 1) / r->from, out);
}
