/* The front end: trimming, loudness and log-mel frames, 16 frames at a time. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data/extractor.h"
#include "data/fft.h"
#include "data/npy.h"

#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#endif

enum { RATE_MIN = 1000, RATE_MAX = 192000, MELS_MAX = 1024 };

/* Root mean square that QV_LOUDNESS_RMS brings every recording to: -26 dB of full scale, the
 * active speech level that ITU-T P.56 measurements and codec tests commonly use. */
static const double loudness_rms = 0.05011872336272722;

/* One triangle: weights of the `count` spectral lines from `first`. */
typedef struct triangle {
    int first, count, weights;
} triangle;

struct qv_extractor {
    qv_feature_config config;
    int window_samples, hop_samples;
    float *window;
    qv_fft *fft;
    triangle *triangles; /* [mels] */
    float *weights;
    qv_lanes *work, *power, *mel; /* of the transform; [fft / 2 + 1]; [mels] */
    float *tail;                  /* the last frames' samples, padded with zeros to 16 frames */
    size_t tail_size;
};

qv_feature_config qv_feature_defaults(void)
{
    return (qv_feature_config){.rate = 16000,
                               .window = 0.025,
                               .hop = 0.020,
                               .fft = 512,
                               .mels = 64,
                               .low = 0,
                               .high = 8000,
                               .floor = 1e-10,
                               .trim = 40,
                               .loudness = QV_LOUDNESS_NONE};
}

static double hz_to_mel(double hz) { return 2595.0 * log10(1.0 + hz / 700.0); }

static double mel_to_hz(double mel) { return 700.0 * (pow(10.0, mel / 2595.0) - 1.0); }

/* Corner i in [0, mels + 1] of the triangles, in Hz. */
static double corner(const qv_feature_config *c, int i)
{
    double low = hz_to_mel(c->low), high = hz_to_mel(c->high);
    return mel_to_hz(low + (high - low) * i / (c->mels + 1));
}

/* Height at spectral line k of the triangle between corners mel and mel + 2; <= 0 outside it. */
static double height(const qv_feature_config *c, int mel, int k)
{
    double hz = (double)c->rate * k / c->fft;
    double left = corner(c, mel), top = corner(c, mel + 1), right = corner(c, mel + 2);
    return fmin((hz - left) / (top - left), (right - hz) / (right - top));
}

/* First line above the left corner; lines up to the right corner follow. */
static int first_line(const qv_feature_config *c, int mel)
{
    int k = (int)(corner(c, mel) * c->fft / c->rate);
    while (k <= c->fft / 2 && !(height(c, mel, k) > 0) && (double)c->rate * k / c->fft < corner(c, mel + 2)) k++;
    return k;
}

static int samples_of(const qv_feature_config *c, double seconds) { return (int)lround(seconds * c->rate); }

static qv_status check_frames(qv_ctx *ctx, const qv_feature_config *c)
{
    if (c->rate < RATE_MIN || c->rate > RATE_MAX)
        return qv_fail(ctx, QV_ERR_USAGE, "features.rate = %d: %d to %d Hz are supported", c->rate, RATE_MIN, RATE_MAX);
    if (!(c->window > 0 && c->window <= 1) || samples_of(c, c->window) < 2)
        return qv_fail(ctx, QV_ERR_USAGE, "features.window = %g: seconds, at most 1 and at least 2 samples, are needed",
                       c->window);
    if (!(c->hop > 0 && c->hop <= c->window) || samples_of(c, c->hop) < 1)
        return qv_fail(ctx, QV_ERR_USAGE,
                       "features.hop = %g: seconds, at least one sample and at most the window (%g), are needed",
                       c->hop, c->window);
    int window = samples_of(c, c->window), least = QV_FFT_MIN;
    while (least < window) least *= 2;
    if (c->fft < window || c->fft < QV_FFT_MIN || c->fft > QV_FFT_MAX || (c->fft & (c->fft - 1)) != 0)
        return qv_fail(ctx, QV_ERR_USAGE,
                       "features.fft = %d: a power of two that holds the window of %d samples is needed, "
                       "%d or more (up to %d)",
                       c->fft, window, least, QV_FFT_MAX);
    return QV_OK;
}

static qv_status check_mels(qv_ctx *ctx, const qv_feature_config *c)
{
    if (c->mels < 1 || c->mels > MELS_MAX)
        return qv_fail(ctx, QV_ERR_USAGE, "features.mels = %d: 1 to %d are supported", c->mels, MELS_MAX);
    if (!(c->low >= 0))
        return qv_fail(ctx, QV_ERR_USAGE, "features.low = %g: the lowest frequency must be 0 Hz or more", c->low);
    if (!(c->high > c->low && c->high <= c->rate / 2.0))
        return qv_fail(ctx, QV_ERR_USAGE,
                       "features.high = %g: the highest frequency must be above features.low (%g) and at most half the "
                       "sampling rate (%g Hz)",
                       c->high, c->low, c->rate / 2.0);
    for (int m = 0; m < c->mels; m++) {
        int k = first_line(c, m);
        if (k > c->fft / 2 || !(height(c, m, k) > 0))
            return qv_fail(ctx, QV_ERR_USAGE,
                           "features.mels = %d: filter %d is narrower than the spectrum's lines and would be empty; "
                           "use fewer mels or a larger features.fft than %d",
                           c->mels, m + 1, c->fft);
    }
    return QV_OK;
}

/* Frames that are there already. */
static qv_status check_given(qv_ctx *ctx, const qv_feature_config *c)
{
    if (c->mels < 1 || c->mels > QV_NPY_COLUMNS)
        return qv_fail(ctx, QV_ERR_USAGE, "features.mels = %d: frames of 1 to %d values are supported", c->mels, QV_NPY_COLUMNS);
    if (!(c->hop > 0))
        return qv_fail(ctx, QV_ERR_USAGE, "features.hop = %g: seconds from frame to frame are needed", c->hop);
    if (c->kind == QV_KIND_IMAGE && (c->channels < 1 || c->mels % c->channels != 0))
        return qv_fail(ctx, QV_ERR_USAGE, "features.channels = %d: it must divide features.mels = %d", c->channels, c->mels);
    return QV_OK;
}

qv_status qv_feature_check(qv_ctx *ctx, const qv_feature_config *c)
{
    if (c->kind != QV_KIND_IMAGE && c->channels > 1)
        return qv_fail(ctx, QV_ERR_USAGE, "features.channels = %d: only images have several", c->channels);
    if (c->kind != QV_KIND_MEL) return check_given(ctx, c);
    qv_status status = check_frames(ctx, c);
    if (status == QV_OK) status = check_mels(ctx, c);
    if (status != QV_OK) return status;
    if (!(c->floor >= 1e-30 && c->floor <= 1))
        return qv_fail(ctx, QV_ERR_USAGE, "features.floor = %g: it must be between 1e-30 and 1", c->floor);
    if (!(c->trim >= 0 && c->trim <= 200))
        return qv_fail(ctx, QV_ERR_USAGE, "features.trim = %g: decibels from 0 (no trimming) to 200 are needed",
                       c->trim);
    if (c->loudness != QV_LOUDNESS_NONE && c->loudness != QV_LOUDNESS_RMS)
        return qv_fail(ctx, QV_ERR_USAGE, "features.loudness = %d: none and rms are known", (int)c->loudness);
    return QV_OK;
}

/* Fills triangles and, where `weights` is not NULL, their weights; returns how many there are. */
static int fill_triangles(const qv_feature_config *c, triangle *triangles, float *weights)
{
    int used = 0;
    for (int m = 0; m < c->mels; m++) {
        triangle *t = &triangles[m];
        *t = (triangle){first_line(c, m), 0, used};
        double h;
        for (int k = t->first; k <= c->fft / 2 && (h = height(c, m, k)) > 0; k++, t->count++, used++)
            if (weights) weights[used] = (float)h;
    }
    return used;
}

static qv_status build_tables(qv_ctx *ctx, qv_extractor *e)
{
    qv_status status = QV_OK;
    const qv_feature_config *c = &e->config;
    QV_TRY(qv_alloc(ctx, &e->window, (size_t)e->window_samples, sizeof *e->window));
    for (int j = 0; j < e->window_samples; j++)
        e->window[j] = (float)(0.5 - 0.5 * cos(2 * 3.14159265358979323846 * j / e->window_samples));
    QV_TRY(qv_alloc(ctx, &e->triangles, (size_t)c->mels, sizeof *e->triangles));
    QV_TRY(qv_alloc(ctx, &e->weights, (size_t)fill_triangles(c, e->triangles, NULL), sizeof *e->weights));
    fill_triangles(c, e->triangles, e->weights);
done:
    return status;
}

qv_status qv_extractor_new(qv_ctx *ctx, qv_extractor **out, const qv_feature_config *c)
{
    qv_status status = QV_OK;
    qv_extractor *e = NULL;
    *out = NULL;
    QV_TRY(qv_feature_check(ctx, c));
    QV_TRY(qv_alloc(ctx, &e, 1, sizeof *e));
    e->config = *c;
    e->window_samples = samples_of(c, c->window);
    e->hop_samples = samples_of(c, c->hop);
    QV_TRY(build_tables(ctx, e));
    QV_TRY(qv_fft_new(ctx, &e->fft, c->fft));
    QV_TRY(qv_lanes_alloc(ctx, &e->work, qv_fft_work(e->fft)));
    QV_TRY(qv_lanes_alloc(ctx, &e->power, (size_t)c->fft / 2 + 1));
    QV_TRY(qv_lanes_alloc(ctx, &e->mel, (size_t)c->mels));
    e->tail_size = (size_t)(QV_LANES - 1) * (size_t)e->hop_samples + (size_t)e->window_samples;
    QV_TRY(qv_alloc(ctx, &e->tail, e->tail_size, sizeof *e->tail));
    *out = e;
    e = NULL;
done:
    qv_extractor_free(e);
    return status;
}

void qv_extractor_free(qv_extractor *e)
{
    if (!e) return;
    free(e->window);
    free(e->triangles);
    free(e->weights);
    free(e->work);
    free(e->power);
    free(e->mel);
    free(e->tail);
    qv_fft_free(e->fft);
    free(e);
}

int64_t qv_extractor_frames(const qv_extractor *e, size_t n)
{
    size_t window = (size_t)e->window_samples;
    return n < window ? 1 : 1 + (int64_t)((n - window) / (size_t)e->hop_samples);
}

QV_MULTIVERSION
static void sum_triangles(const triangle *triangles, int mels, const float *weights, const qv_lanes *power,
                          qv_lanes *mel)
{
    for (int m = 0; m < mels; m++) {
        const triangle *t = &triangles[m];
        const float *w = weights + t->weights;
        const qv_lanes *p = power + t->first;
        qv_lanes sum = p[0] * w[0];
        for (int k = 1; k < t->count; k++) sum += p[k] * w[k];
        mel[m] = sum;
    }
}

/* Natural logarithm of a positive normal float, to about 2 ulp: x = 2^k r with r in
 * [sqrt(1/2), sqrt(2)), log r = 2 atanh s with s = (r - 1) / (r + 1), |s| < 0.172, whose series is
 * cut after s^9 / 9 (the next term is below 4e-10). ln 2 comes in two parts, the first exact when
 * multiplied by k. */
static inline __attribute__((always_inline)) float log_normal(float x)
{
    uint32_t bits, sqrt_half = 0x3f3504f3u;
    memcpy(&bits, &x, sizeof bits);
    int32_t k = (int32_t)(bits - sqrt_half) >> 23;
    bits -= (uint32_t)k << 23;
    float r;
    memcpy(&r, &bits, sizeof r);
    float s = (r - 1.0f) / (r + 1.0f), s2 = s * s, kf = (float)k;
    float series = s2 * (1.0f / 3 + s2 * (1.0f / 5 + s2 * (1.0f / 7 + s2 * (1.0f / 9))));
    return kf * 0.693359375f + (kf * -2.12194440e-4f + 2.0f * (s + s * series));
}

QV_MULTIVERSION
static void take_logs(float *x, size_t n, float floor)
{
    for (size_t i = 0; i < n; i++) x[i] = log_normal(x[i] > floor ? x[i] : floor);
}

/* Up to 16 frames whose samples may be read for all 16. */
static void run_lanes(qv_extractor *e, const float *samples, int frames, float *out, bool take_log)
{
    int mels = e->config.mels;
    qv_fft_power(e->fft, samples, (size_t)e->hop_samples, e->window, e->window_samples, e->work, e->power);
    sum_triangles(e->triangles, mels, e->weights, e->power, e->mel);
    float *mel = (float *)e->mel;
    if (take_log) take_logs(mel, (size_t)mels * QV_LANES, (float)e->config.floor);
    for (int f = 0; f < frames; f++)
        for (int m = 0; m < mels; m++) out[(size_t)f * (size_t)mels + (size_t)m] = mel[m * QV_LANES + f];
}

void qv_extractor_run(qv_extractor *e, const float *samples, size_t n, float *out, bool take_log)
{
    int64_t frames = qv_extractor_frames(e, n);
    size_t hop = (size_t)e->hop_samples, mels = (size_t)e->config.mels;
    for (int64_t f = 0; f < frames; f += QV_LANES) {
        size_t at = (size_t)f * hop, left = at < n ? n - at : 0;
        int count = frames - f < QV_LANES ? (int)(frames - f) : QV_LANES;
        bool whole = left >= e->tail_size;
        if (!whole) {
            if (left) memcpy(e->tail, samples + at, left * sizeof *samples);
            memset(e->tail + left, 0, (e->tail_size - left) * sizeof *samples);
        }
        run_lanes(e, whole ? samples + at : e->tail, count, out + (size_t)f * mels, take_log);
    }
}

/* In double, over eight interleaved partial sums so that it vectorizes. */
QV_MULTIVERSION
static double sum_of_squares(const float *x, size_t n)
{
    double part[8] = {0};
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (int j = 0; j < 8; j++) part[j] += (double)x[i + (size_t)j] * (double)x[i + (size_t)j];
    for (; i < n; i++) part[0] += (double)x[i] * (double)x[i];
    return ((part[0] + part[1]) + (part[2] + part[3])) + ((part[4] + part[5]) + (part[6] + part[7]));
}

/* Mean square of the frame that begins at sample `at`; the last one may be short. */
static double frame_level(const qv_extractor *e, const float *samples, size_t n, size_t at)
{
    size_t count = (size_t)e->window_samples < n - at ? (size_t)e->window_samples : n - at;
    return sum_of_squares(samples + at, count) / (double)count;
}

void qv_extractor_trim(const qv_extractor *e, const float *samples, size_t n, size_t *begin, size_t *end)
{
    size_t hop = (size_t)e->hop_samples, window = (size_t)e->window_samples;
    double peak = 0;
    *begin = 0;
    *end = n;
    if (e->config.trim <= 0) return;
    for (size_t at = 0; at < n; at += hop) peak = fmax(peak, frame_level(e, samples, n, at));
    double least = peak * pow(10, -e->config.trim / 10);
    if (!(least > 0)) return;
    while (frame_level(e, samples, n, *begin) < least) *begin += hop;
    size_t last = (n - 1) / hop * hop;
    while (frame_level(e, samples, n, last) < least) last -= hop;
    *end = last + window < n ? last + window : n;
}

void qv_extractor_loudness(const qv_extractor *e, float *samples, size_t n)
{
    if (e->config.loudness != QV_LOUDNESS_RMS || n == 0) return;
    double rms = sqrt(sum_of_squares(samples, n) / (double)n);
    if (!(rms > 0)) return;
    double gain = loudness_rms / rms;
    for (size_t i = 0; i < n; i++) samples[i] = (float)(samples[i] * gain);
}
