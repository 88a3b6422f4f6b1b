/* The front end against an own transform in double and against librosa and torchaudio; trimming,
 * loudness; the corpus' features, their cache and its damage. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <sndfile.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "data/extractor.h"
#include "data/features.h"
#include "data/fft.h"
#include "support/support.h"
#if defined(QV_TEST_KISSFFT)
#include <kiss_fftr.h>
#endif

static const double pi = 3.14159265358979323846;

/* What the program promises: each element within this share of its frame's largest mel energy. */
static const double promise = 1e-5;

enum signal { NOISE, TONE, IMPULSE, OFFSET, LOUD, FAINT, SILENCE };

static void fill(float *x, size_t n, enum signal kind, uint64_t *seed)
{
    for (size_t i = 0; i < n; i++) {
        double noise = qv_test_normal(seed), tone = sin(0.31 * (double)i);
        switch (kind) {
        case NOISE: x[i] = (float)(0.1 * noise); break;
        case TONE: x[i] = (float)(0.5 * tone); break;
        case IMPULSE: x[i] = i == n / 2 ? 1 : 0; break;
        case OFFSET: x[i] = (float)(0.7 + 1e-3 * noise); break;
        case LOUD: x[i] = (float)(1e6 * tone + 1e3 * noise); break;
        case FAINT: x[i] = (float)(1e-6 * noise); break;
        case SILENCE: x[i] = 0; break;
        }
    }
}

static double to_mel(double hz) { return 2595 * log10(1 + hz / 700); }

/* Triangle between three neighbouring corners, equally spaced in mel, heights linear in Hz. */
static double weight(const qv_feature_config *c, int mel, int k)
{
    double step = (to_mel(c->high) - to_mel(c->low)) / (c->mels + 1), corner[3];
    for (int i = 0; i < 3; i++) corner[i] = 700 * (pow(10, (to_mel(c->low) + step * (mel + i)) / 2595) - 1);
    double hz = (double)k * c->rate / c->fft;
    if (hz <= corner[0] || hz >= corner[2]) return 0;
    return hz < corner[1] ? (hz - corner[0]) / (corner[1] - corner[0]) : (corner[2] - hz) / (corner[2] - corner[1]);
}

/* One frame by the definition: a sum a line of the spectrum, in double. */
static void reference_frame(const qv_feature_config *c, const float *x, size_t n, size_t at, double *mel)
{
    int window = (int)lround(c->window * c->rate);
    double *cosine = malloc((size_t)c->fft * sizeof *cosine);
    for (int j = 0; j < c->fft; j++) cosine[j] = cos(2 * pi * j / c->fft);
    memset(mel, 0, (size_t)c->mels * sizeof *mel);
    for (int k = 0; k <= c->fft / 2; k++) {
        double re = 0, im = 0;
        for (int j = 0; j < window && at + (size_t)j < n; j++) {
            double v = (0.5 - 0.5 * cos(2 * pi * j / window)) * (double)x[at + (size_t)j];
            long turn = (long)j * k % c->fft;
            re += v * cosine[turn];
            im += v * cosine[(turn + 3 * (long)c->fft / 4) % c->fft]; /* cos(a - pi / 2) = sin a */
        }
        for (int m = 0; m < c->mels; m++) mel[m] += weight(c, m, k) * (re * re + im * im);
    }
    free(cosine);
}

static void check_frame(const double *want, const float *got, int mels, const char *what, int64_t frame)
{
    double largest = 0;
    for (int m = 0; m < mels; m++) largest = fmax(largest, want[m]);
    for (int m = 0; m < mels; m++)
        if (!(fabs((double)got[m] - want[m]) <= promise * largest))
            fail_msg("%s: frame %lld mel %d is %.9g, expected %.9g, largest of the frame %.9g (seed %llu)", what,
                     (long long)frame, m, (double)got[m], want[m], largest, (unsigned long long)qv_test_seed());
}

/* Numbers of frames round the 16 lanes; windows of every remainder by 4, and as long as the
 * transform; transforms with and without a pass of radix 2, the smallest and a large one. */
static const struct spectrum_case {
    int rate, window, hop, fft, mels;
    double low, high;
    size_t samples;
    enum signal kind;
} spectrum_cases[] = {
    {16000, 400, 320, 512, 64, 0, 8000, 400 + 320 * 15, NOISE},
    {16000, 400, 320, 512, 64, 0, 8000, 400 + 320 * 16, TONE},
    {16000, 400, 320, 512, 64, 0, 8000, 400 + 320 * 14 + 319, IMPULSE},
    {16000, 400, 160, 512, 64, 0, 8000, 400 + 160 * 32, OFFSET},
    {16000, 400, 320, 512, 64, 0, 8000, 400, LOUD},
    {16000, 400, 320, 512, 64, 0, 8000, 399, FAINT},
    {16000, 400, 320, 512, 64, 0, 8000, 1, NOISE},
    {16000, 400, 320, 512, 64, 0, 8000, 3000, SILENCE},
    {16000, 512, 160, 1024, 40, 60, 7600, 4000, NOISE},
    {16000, 256, 255, 256, 30, 20, 8000, 2000, NOISE},
    {16000, 257, 1, 512, 23, 100, 7000, 300, NOISE},
    {16000, 258, 100, 512, 23, 100, 7000, 900, TONE},
    {16000, 259, 100, 512, 23, 100, 7000, 900, NOISE},
    {8000, 16, 8, 16, 2, 0, 4000, 200, NOISE},
    {8000, 15, 7, 32, 3, 0, 4000, 200, NOISE},
    {8000, 2, 1, 64, 3, 0, 4000, 30, NOISE},
    {44100, 1102, 441, 2048, 80, 50, 22050, 3000, NOISE},
    {16000, 16000, 8000, 16384, 20, 0, 8000, 16000, NOISE},
};

static qv_feature_config config_of(const struct spectrum_case *s)
{
    qv_feature_config c = qv_feature_defaults();
    c.rate = s->rate, c.fft = s->fft, c.mels = s->mels, c.low = s->low, c.high = s->high;
    c.window = (double)s->window / s->rate;
    c.hop = (double)s->hop / s->rate;
    return c;
}

static void mel_equals_definition(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_test_ctx();
    uint64_t seed = qv_test_seed();
    for (size_t i = 0; i < sizeof spectrum_cases / sizeof *spectrum_cases; i++) {
        const struct spectrum_case *s = &spectrum_cases[i];
        qv_feature_config c = config_of(s);
        qv_extractor *e;
        qv_assert_ok(ctx, qv_extractor_new(ctx, &e, &c));
        int64_t frames = qv_extractor_frames(e, s->samples);
        assert_int_equal(frames, s->samples < (size_t)s->window
                                     ? 1
                                     : 1 + (int64_t)(s->samples - (size_t)s->window) / s->hop);
        float *x = malloc(s->samples * sizeof *x), *mel = malloc((size_t)frames * (size_t)s->mels * sizeof *mel);
        double *want = malloc((size_t)s->mels * sizeof *want);
        fill(x, s->samples, s->kind, &seed);
        qv_extractor_run(e, x, s->samples, mel, false);
        for (int64_t f = 0; f < frames; f += s->fft > 4096 || f < 18 ? 1 : 7) {
            char what[64];
            snprintf(what, sizeof what, "case %zu", i);
            reference_frame(&c, x, s->samples, (size_t)f * (size_t)s->hop, want);
            check_frame(want, mel + f * s->mels, s->mels, what, f);
        }
        free(x), free(mel), free(want);
        qv_extractor_free(e);
    }
    qv_ctx_free(ctx);
}

/* Logarithm of the very energies: 2 ulp of the result, and of 1 where the parts of it cancel. */
static void log_is_exact_to_two_ulp(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_test_ctx();
    uint64_t seed = qv_test_seed();
    qv_feature_config c = qv_feature_defaults();
    qv_extractor *e;
    qv_assert_ok(ctx, qv_extractor_new(ctx, &e, &c));
    enum { N = 16000 };
    float *x = malloc(N * sizeof *x), *mel = malloc(50 * 64 * sizeof *mel), *logs = malloc(50 * 64 * sizeof *logs);
    static const enum signal kinds[] = {NOISE, LOUD, FAINT, SILENCE, OFFSET};
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        fill(x, N, kinds[k], &seed);
        int64_t frames = qv_extractor_frames(e, N);
        qv_extractor_run(e, x, N, mel, false);
        qv_extractor_run(e, x, N, logs, true);
        for (int64_t i = 0; i < frames * 64; i++) {
            double want = log(fmax((double)mel[i], (double)(float)c.floor));
            if (!(fabs(logs[i] - want) <= 2 * 0x1p-23 * fmax(1, fabs(want))))
                fail_msg("log %.9g of %.9g, expected %.9g", (double)logs[i], (double)mel[i], want);
        }
    }
    free(x), free(mel), free(logs);
    qv_extractor_free(e);
    qv_ctx_free(ctx);
}

/* A frame has the same bits alone, among others and in any lane. */
static void frames_do_not_depend_on_their_neighbours(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_test_ctx();
    uint64_t seed = qv_test_seed();
    qv_feature_config c = qv_feature_defaults();
    qv_extractor *e;
    qv_assert_ok(ctx, qv_extractor_new(ctx, &e, &c));
    enum { FRAMES = 37, N = 400 + 320 * (FRAMES - 1) };
    float *x = malloc(N * sizeof *x), *all = malloc(FRAMES * 64 * sizeof *all), one[64];
    fill(x, N, NOISE, &seed);
    qv_extractor_run(e, x, N, all, true);
    for (int f = 0; f < FRAMES; f++) {
        qv_extractor_run(e, x + f * 320, 400, one, true);
        assert_memory_equal(one, all + f * 64, sizeof one);
    }
    free(x), free(all);
    qv_extractor_free(e);
    qv_ctx_free(ctx);
}

static float *read_floats(qv_ctx *ctx, const char *name, size_t *n)
{
    char path[4096], *data;
    size_t size;
    snprintf(path, sizeof path, QV_SOURCE_DIR "/tests/fixtures/features/%s", name);
    qv_assert_ok(ctx, qv_read_file(ctx, path, 1 << 20, &data, &size));
    *n = size / sizeof(float);
    return (float *)(void *)data;
}

static qv_feature_config read_config(const char *name)
{
    char path[4096], key[32];
    double value, window = 0, hop = 0;
    qv_feature_config c = qv_feature_defaults();
    snprintf(path, sizeof path, QV_SOURCE_DIR "/tests/fixtures/features/%s.txt", name);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    while (fscanf(f, "%31s %lf", key, &value) == 2) {
        if (!strcmp(key, "rate")) c.rate = (int)value;
        if (!strcmp(key, "window")) window = value;
        if (!strcmp(key, "hop")) hop = value;
        if (!strcmp(key, "fft")) c.fft = (int)value;
        if (!strcmp(key, "mels")) c.mels = (int)value;
        if (!strcmp(key, "low")) c.low = value;
        if (!strcmp(key, "high")) c.high = value;
    }
    fclose(f);
    c.window = window / c.rate;
    c.hop = hop / c.rate;
    return c;
}

static void mel_equals_librosa_and_torchaudio(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_test_ctx();
    static const char *const cases[] = {"default", "other"}, *const libraries[] = {"librosa", "torchaudio"};
    size_t n;
    float *x = read_floats(ctx, "audio.f32", &n);
    for (int i = 0; i < 4; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s_%s.f32", cases[i / 2], libraries[i % 2]);
        qv_feature_config c = read_config(cases[i / 2]);
        qv_extractor *e;
        qv_assert_ok(ctx, qv_extractor_new(ctx, &e, &c));
        int64_t frames = qv_extractor_frames(e, n);
        size_t count, elements = (size_t)(frames * c.mels);
        float *theirs = read_floats(ctx, name, &count), *mel = malloc(elements * sizeof *mel);
        double *want = malloc((size_t)c.mels * sizeof *want);
        assert_int_equal(count, elements);
        qv_extractor_run(e, x, n, mel, false);
        for (int64_t f = 0; f < frames; f++) {
            for (int m = 0; m < c.mels; m++) want[m] = (double)theirs[f * c.mels + m];
            check_frame(want, mel + f * c.mels, c.mels, name, f);
        }
        free(theirs), free(mel), free(want);
        qv_extractor_free(e);
    }
    free(x);
    qv_ctx_free(ctx);
}

/* Both are float transforms: each amplitude is off by at most about eps log2(n) times the norm of
 * its signal's spectrum, sqrt(n) |x|, on either side. */
static void power_equals_kissfft(void **state)
{
    (void)state;
#if defined(QV_TEST_KISSFFT)
    qv_ctx *ctx = qv_test_ctx();
    uint64_t seed = qv_test_seed();
    for (int n = QV_FFT_MIN, log2n = 4; n <= 8192; n *= 2, log2n++) {
        qv_fft *f;
        qv_lanes *work, *power;
        size_t size = (size_t)n;
        float *x = malloc(QV_LANES * size * sizeof *x), *ones = malloc(size * sizeof *ones);
        kiss_fft_cpx *spectrum = malloc((size / 2 + 1) * sizeof *spectrum);
        kiss_fftr_cfg kiss = kiss_fftr_alloc(n, 0, NULL, NULL);
        qv_assert_ok(ctx, qv_fft_new(ctx, &f, n));
        qv_assert_ok(ctx, qv_lanes_alloc(ctx, &work, qv_fft_work(f)));
        qv_assert_ok(ctx, qv_lanes_alloc(ctx, &power, size / 2 + 1));
        fill(x, QV_LANES * size, NOISE, &seed);
        for (size_t j = 0; j < size; j++) ones[j] = 1;
        qv_fft_power(f, x, size, ones, n, work, power);
        for (int lane = 0; lane < QV_LANES; lane++) {
            kiss_fftr(kiss, x + (size_t)lane * size, spectrum);
            double norm = 0;
            for (size_t j = 0; j < size; j++) norm += pow((double)x[(size_t)lane * size + j], 2);
            double error = 2 * 0x1p-24 * log2n * sqrt(n * norm);
            for (size_t k = 0; k <= size / 2; k++) {
                double want = hypot((double)spectrum[k].r, (double)spectrum[k].i);
                if (!(fabs(sqrt((double)power[k][lane]) - want) <= error))
                    fail_msg("n %d lane %d line %zu: %.9g, expected %.9g within %.3g", n, lane, k,
                             sqrt((double)power[k][lane]), want, error);
            }
        }
        free(x), free(ones), free(spectrum), free(work), free(power);
        kiss_fftr_free(kiss);
        qv_fft_free(f);
    }
    qv_ctx_free(ctx);
#else
    print_message("SKIPPED: no KISS FFT, so no second opinion on the transform\n");
#endif
}

static void trims_quiet_edges_only(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_test_ctx();
    qv_feature_config c = qv_feature_defaults();
    qv_extractor *e, *off;
    qv_assert_ok(ctx, qv_extractor_new(ctx, &e, &c));
    c.trim = 0;
    qv_assert_ok(ctx, qv_extractor_new(ctx, &off, &c));
    enum { N = 16000 };
    static float x[N];
    /* Edges 60 dB down, a gap in the middle that must stay. Frames begin at multiples of 320 and span 400. */
    for (int i = 0; i < N; i++) {
        bool loud = i >= 3200 && i < 9600 && !(i > 5000 && i < 7000);
        x[i] = (loud ? 0.5f : 0.0005f) * (i % 2 ? 1.0f : -1.0f);
    }
    size_t begin, end;
    qv_extractor_trim(e, x, N, &begin, &end);
    assert_int_equal(begin, 2880); /* its last 80 samples are loud: 7 dB below the peak */
    assert_int_equal(end, 9280 + 400);
    qv_extractor_trim(off, x, N, &begin, &end);
    assert_true(begin == 0 && end == N);
    memset(x, 0, sizeof x);
    qv_extractor_trim(e, x, N, &begin, &end);
    assert_true(begin == 0 && end == N);
    x[N - 1] = 0.1f;
    qv_extractor_trim(e, x, N, &begin, &end);
    assert_true(begin == 15680 && end == N); /* the only frame that holds it */
    qv_extractor_free(e);
    qv_extractor_free(off);
    qv_ctx_free(ctx);
}

static void trim_is_in_decibels(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_test_ctx();
    for (int trim = 20; trim <= 60; trim += 20) {
        qv_feature_config c = qv_feature_defaults();
        qv_extractor *e;
        enum { N = 16000 };
        static float x[N];
        size_t begin, end;
        c.trim = trim;
        qv_assert_ok(ctx, qv_extractor_new(ctx, &e, &c));
        for (int off = -1; off <= 1; off += 2) {
            double edge = 0.5 * pow(10, -(trim + off) / 20.0);
            for (int i = 0; i < N; i++) x[i] = (float)(i >= 6400 && i < 9600 ? 0.5 : edge);
            qv_extractor_trim(e, x, N, &begin, &end);
            assert_int_equal(begin, off < 0 ? 0 : 6080); /* the frame at 6080 reaches 80 samples into the loud part */
            assert_int_equal(end, off < 0 ? N : 9280 + 400);
        }
        qv_extractor_free(e);
    }
    qv_ctx_free(ctx);
}

static void loudness_sets_the_level(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_test_ctx();
    uint64_t seed = qv_test_seed();
    qv_feature_config c = qv_feature_defaults();
    qv_extractor *e;
    enum { N = 5003 };
    static float x[N];
    c.loudness = QV_LOUDNESS_RMS;
    qv_assert_ok(ctx, qv_extractor_new(ctx, &e, &c));
    fill(x, N, NOISE, &seed);
    qv_extractor_loudness(e, x, N);
    double sum = 0;
    for (int i = 0; i < N; i++) sum += (double)x[i] * (double)x[i];
    double db = 10 * log10(sum / N);
    assert_true(fabs(db + 26) <= 20 / log(10) * 0x1p-23); /* each sample is rounded once */
    memset(x, 0, sizeof x);
    qv_extractor_loudness(e, x, N);
    for (int i = 0; i < N; i++) assert_true(x[i] == 0);
    qv_extractor_free(e);
    qv_ctx_free(ctx);
}

static void bad_settings_are_named(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_ctx_new();
    const qv_feature_config d = qv_feature_defaults();
    qv_assert_ok(ctx, qv_feature_check(ctx, &d));
    for (int i = 0; i < 24; i++) {
        qv_feature_config c = d;
        const char *name = "";
        switch (i) {
        case 0: c.rate = 999, name = "features.rate"; break;
        case 1: c.rate = 200000, name = "features.rate"; break;
        case 2: c.window = 0, name = "features.window"; break;
        case 3: c.window = NAN, name = "features.window"; break;
        case 4: c.window = 1.5, name = "features.window"; break;
        case 5: c.hop = -0.01, name = "features.hop"; break;
        case 6: c.hop = 0.03, name = "features.hop"; break;
        case 7: c.hop = 1e-9, name = "features.hop"; break;
        case 8: c.fft = 500, name = "features.fft"; break;
        case 9: c.fft = 256, name = "features.fft"; break;
        case 10: c.fft = 1 << 20, name = "features.fft"; break;
        case 11: c.fft = -512, name = "features.fft"; break;
        case 12: c.mels = 0, name = "features.mels"; break;
        case 13: c.mels = 200, name = "features.mels"; break;
        case 14: c.mels = 1 << 30, name = "features.mels"; break;
        case 15: c.low = -1, name = "features.low"; break;
        case 16: c.low = 8000, name = "features.high"; break;
        case 17: c.high = 8001, name = "features.high"; break;
        case 18: c.high = NAN, name = "features.high"; break;
        case 19: c.floor = 0, name = "features.floor"; break;
        case 20: c.floor = INFINITY, name = "features.floor"; break;
        case 21: c.trim = -1, name = "features.trim"; break;
        case 22: c.trim = NAN, name = "features.trim"; break;
        default: c.loudness = (qv_loudness)7, name = "features.loudness"; break;
        }
        assert_int_equal(qv_feature_check(ctx, &c), QV_ERR_USAGE);
        if (!strstr(qv_ctx_message(ctx), name)) fail_msg("case %d: %s", i, qv_ctx_message(ctx));
        qv_extractor *e;
        assert_int_equal(qv_extractor_new(ctx, &e, &c), QV_ERR_USAGE);
        assert_null(e);
    }
    qv_ctx_free(ctx);
}

/* A small corpus in a folder of its own: tones of different lengths, rates and channel counts. */
typedef struct corpus {
    char *dir, *cache;
    qv_manifest m;
    qv_item items[12];
    char paths[12][512];
} corpus;

static void write_tone(const char *path, int rate, int channels, double seconds, double amplitude)
{
    SF_INFO info = {.samplerate = rate, .channels = channels, .format = SF_FORMAT_WAV | SF_FORMAT_PCM_16};
    SNDFILE *f = sf_open(path, SFM_WRITE, &info);
    assert_non_null(f);
    int n = (int)(seconds * rate);
    for (int i = 0; i < n; i++) {
        float frame[8];
        for (int c = 0; c < channels; c++) frame[c] = (float)(amplitude * sin(2 * pi * 300 * i / rate));
        sf_writef_float(f, frame, 1);
    }
    sf_close(f);
}

/* In the place of libsndfile's own: a later version may read what an earlier one left out. */
static const char *decoder = "libsndfile of the tests";

const char *sf_version_string(void) { return decoder; }

/* A disk on its way down: what it holds of `file` ends in an error after 20000 bytes, or reading it takes `away` away.
 */
static struct {
    const char *file, *away;
} failing;

/* In the place of the C library's, for libsndfile. */
ssize_t read(int fd, void *bytes, size_t n)
{
    struct stat here, there;
    if (failing.file && fstat(fd, &here) == 0 && stat(failing.file, &there) == 0 && here.st_dev == there.st_dev &&
        here.st_ino == there.st_ino) {
        if (failing.away) {
            unlink(failing.away);
        } else if (lseek(fd, 0, SEEK_CUR) > 20000) {
            errno = EIO;
            return -1;
        }
    }
    return readv(fd, &(struct iovec){.iov_base = bytes, .iov_len = n}, 1);
}

static void make_corpus(corpus *k)
{
    memset(k, 0, sizeof *k);
    k->dir = qv_test_tmpdir();
    char *cache = malloc(strlen(k->dir) + 16);
    sprintf(cache, "%s/cache", k->dir);
    k->cache = cache;
    static const int rates[] = {16000, 24414, 48000, 8000};
    for (int i = 0; i < 12; i++) {
        snprintf(k->paths[i], sizeof k->paths[i], "%s/%02d.wav", k->dir, i);
        write_tone(k->paths[i], rates[i % 4], 1 + i % 3, 0.2 + 0.13 * i, 0.1 + 0.05 * i);
        k->items[i] = (qv_item){.file = k->paths[i], .name = k->paths[i], .end = -1, .label = -1};
    }
    k->m = (qv_manifest){.items = k->items, .n = 12};
}

static void free_corpus(corpus *k)
{
    free(k->cache);
    qv_test_rmdir(k->dir);
}

static qv_features *open_corpus(qv_ctx *ctx, const corpus *k, int threads, bool no_cache)
{
    qv_features *f;
    qv_feature_config c = qv_feature_defaults();
    qv_feature_options o = {.cache_dir = k->cache, .threads = threads, .no_cache = no_cache};
    qv_assert_ok(ctx, qv_features_open(ctx, &f, &k->m, &c, &o));
    return f;
}

static void assert_same(const qv_features *a, const qv_features *b)
{
    assert_int_equal(a->frames, b->frames);
    assert_int_equal(a->n, b->n);
    assert_int_equal(a->skipped, b->skipped);
    assert_memory_equal(a->data, b->data, (size_t)a->frames * 64 * sizeof(float));
    for (size_t i = 0; i < a->n; i++) {
        const qv_feature_entry *x = &a->entries[i], *y = &b->entries[i];
        assert_int_equal(x->first_frame, y->first_frame);
        assert_int_equal(x->frames, y->frames);
        assert_int_equal(x->source_rate, y->source_rate);
        assert_int_equal(x->channels, y->channels);
        assert_true(x->seconds == y->seconds);
        assert_int_equal(x->skipped != NULL, y->skipped != NULL);
        if (x->skipped) assert_string_equal(x->skipped, y->skipped);
    }
}

static void threads_and_cache_give_the_same_bytes(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_test_ctx();
    corpus k;
    make_corpus(&k);
    unlink(k.paths[5]); /* a skip among them */
    qv_features *alone = open_corpus(ctx, &k, 1, true), *three = open_corpus(ctx, &k, 3, true);
    qv_features *written = open_corpus(ctx, &k, 2, false), *mapped = open_corpus(ctx, &k, 1, false);
    assert_false(alone->from_cache || three->from_cache || written->from_cache);
    assert_true(mapped->from_cache);
    assert_int_equal(alone->skipped, 1);
    assert_non_null(strstr(alone->entries[5].skipped, "05.wav"));
    assert_same(alone, three);
    assert_same(alone, written);
    assert_same(alone, mapped);
    assert_int_equal(alone->entries[2].source_rate, 48000);
    assert_int_equal(alone->entries[2].channels, 3);
    assert_true(fabs((double)alone->entries[2].seconds - 0.46) < 1e-3);
    qv_features_close(alone), qv_features_close(three), qv_features_close(written), qv_features_close(mapped);
    free_corpus(&k);
    qv_ctx_free(ctx);
}

/* Each change must be noticed; opening once more without a change must not recompute. */
static void cache_follows_every_change(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_test_ctx();
    corpus k;
    make_corpus(&k);
    qv_features *f = open_corpus(ctx, &k, 1, false);
    qv_features_close(f);
    for (int change = 0; change < 7; change++) {
        struct timespec times[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000, .tv_nsec = 5}};
        switch (change) {
        case 0: write_tone(k.paths[0], 16000, 1, 0.3, 0.2); break;
        case 1: assert_int_equal(utimensat(AT_FDCWD, k.paths[1], times, 0), 0); break;
        case 2: k.items[3].start = 0.1; break;
        case 3: k.items[3].end = 0.3; break;
        case 4: unlink(k.paths[4]); break;
        case 5: decoder = "a later libsndfile"; break;
        default: k.m.n = 11; break;
        }
        f = open_corpus(ctx, &k, 1, false);
        if (f->from_cache) fail_msg("change %d was not noticed", change);
        qv_features_close(f);
        f = open_corpus(ctx, &k, 1, false);
        if (!f->from_cache) fail_msg("computed again without a change after change %d", change);
        qv_features_close(f);
    }
    qv_feature_config c = qv_feature_defaults();
    qv_feature_options o = {.cache_dir = k.cache, .threads = 1};
    c.trim = 39;
    qv_assert_ok(ctx, qv_features_open(ctx, &f, &k.m, &c, &o));
    assert_false(f->from_cache);
    qv_features_close(f);
    free_corpus(&k);
    qv_ctx_free(ctx);
}

static qv_status remember_path(qv_ctx *ctx, void *user, const char *path)
{
    (void)ctx;
    snprintf(user, 1024, "%s", path);
    return QV_OK;
}

/* Whatever happens to the file, the answer is the same, and the damage is repaired. */
static void damaged_cache_is_made_again(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_ctx_new();
    uint64_t seed = qv_test_seed();
    corpus k;
    make_corpus(&k);
    unlink(k.paths[7]);
    qv_features *good = open_corpus(ctx, &k, 1, true);
    char path[1024] = "", *data;
    size_t size;
    qv_features_close(open_corpus(ctx, &k, 1, false));
    qv_assert_ok(ctx, qv_walk(ctx, k.cache, remember_path, path));
    qv_assert_ok(ctx, qv_read_file(ctx, path, 1 << 28, &data, &size));
    for (int round = 0; round < 36; round++) {
        char *copy = malloc(size);
        memcpy(copy, data, size);
        size_t cut = size, random = (size_t)qv_test_next(&seed);
        static const size_t edges[] = {0, 1, 96, 4095, 4096, 4097};
        /* Byte of the header, of the frames, of the records or reasons. */
        const size_t places[] = {random % 96, random % (size - 4096) + 4096, size - 1 - random % 400};
        if (round < 6)
            cut = edges[round];
        else if (round < 12)
            cut = random % size;
        else
            copy[places[round % 3]] = (char)(copy[places[round % 3]] ^ (1 << round % 8));
        qv_assert_ok(ctx, qv_write_file(ctx, path, copy, cut));
        qv_features *f = open_corpus(ctx, &k, 1, false);
        if (f->from_cache)
            fail_msg("round %d: damage was not noticed (seed %llu)", round, (unsigned long long)qv_test_seed());
        assert_same(f, good);
        qv_features_close(f);
        free(copy);
    }
    qv_features *f = open_corpus(ctx, &k, 1, false);
    assert_true(f->from_cache);
    qv_features_close(f);
    free(data);
    qv_features_close(good);
    free_corpus(&k);
    qv_ctx_free(ctx);
}

/* What the system fails to read, or had a moment ago and has no more, is not left out: it would be missing from the
 * cache ever after. */
static void failures_of_the_system_are_not_cached(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_ctx_new();
    qv_feature_config c = qv_feature_defaults();
    for (int vanish = 0; vanish < 2; vanish++) {
        corpus k;
        qv_features *f;
        make_corpus(&k);
        qv_feature_options o = {.cache_dir = k.cache, .threads = 1};
        failing.file = k.paths[2];
        failing.away = vanish ? k.paths[11] : NULL;
        assert_int_equal(qv_features_open(ctx, &f, &k.m, &c, &o), QV_ERR_IO);
        qv_test_says(qv_ctx_message(ctx), vanish ? "11.wav" : "02.wav: cannot read it");
        failing.file = NULL;
        if (vanish) write_tone(k.paths[11], 8000, 3, 1.63, 0.65);
        qv_assert_ok(ctx, qv_features_open(ctx, &f, &k.m, &c, &o));
        assert_int_equal(f->skipped, 0);
        assert_false(f->from_cache);
        qv_features_close(f);
        free_corpus(&k);
    }
    qv_ctx_free(ctx);
}

/* A pipe there is refused as what it is, without waiting for who writes to it. */
static void a_pipe_is_no_cache(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_ctx_new();
    corpus k;
    char path[1024] = "";
    make_corpus(&k);
    qv_features_close(open_corpus(ctx, &k, 1, false));
    qv_assert_ok(ctx, qv_walk(ctx, k.cache, remember_path, path));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    qv_features *f;
    qv_feature_config c = qv_feature_defaults();
    qv_feature_options o = {.cache_dir = k.cache, .threads = 1};
    assert_int_equal(qv_features_open(ctx, &f, &k.m, &c, &o), QV_ERR_IO);
    qv_test_says(qv_ctx_message(ctx), "is no regular file");
    free_corpus(&k);
    qv_ctx_free(ctx);
}

/* What settings ask for, which may be a stranger's, is bounded before memory is taken. */
static void frames_without_end_are_refused(void **state)
{
    (void)state;
    enum { RATE = 1000, SAMPLES = 18 * 60 * RATE };
    qv_ctx *ctx = qv_ctx_new();
    char *dir = qv_test_tmpdir(), path[1024];
    short *x = malloc(SAMPLES * sizeof *x);
    for (int i = 0; i < SAMPLES; i++) x[i] = (short)(i % 7 * 1000 - 3000);
    snprintf(path, sizeof path, "%s/long.wav", dir);
    SF_INFO info = {.samplerate = RATE, .channels = 1, .format = SF_FORMAT_WAV | SF_FORMAT_PCM_16};
    SNDFILE *file = sf_open(path, SFM_WRITE, &info);
    assert_true(file && sf_write_short(file, x, SAMPLES) == SAMPLES);
    sf_close(file);
    free(x);
    qv_manifest *m;
    qv_features *f;
    qv_feature_config c = qv_feature_defaults();
    c.rate = RATE, c.window = 0.01, c.hop = 0.001, c.fft = 8192, c.mels = 256, c.high = 500;
    qv_assert_ok(ctx, qv_manifest_new(ctx, &m));
    qv_assert_ok(ctx, qv_manifest_add(ctx, m, path, "long.wav", NULL, NULL, NULL));
    qv_assert_ok(ctx, qv_manifest_finish(ctx, m, NULL));
    qv_status status = qv_features_open(ctx, &f, m, &c, &(qv_feature_options){.no_cache = true, .threads = 1});
    assert_int_equal(status, QV_ERR_DATA);
    qv_test_says(qv_ctx_message(ctx), "frames of 256 bands are too many at once");
    qv_manifest_free(m);
    qv_test_rmdir(dir);
    qv_ctx_free(ctx);
}

static void nothing_usable_is_an_error(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_ctx_new();
    corpus k;
    make_corpus(&k);
    for (int i = 0; i < 12; i++) unlink(k.paths[i]);
    qv_features *f;
    qv_feature_config c = qv_feature_defaults();
    qv_feature_options o = {.cache_dir = k.cache, .threads = 2};
    assert_int_equal(qv_features_open(ctx, &f, &k.m, &c, &o), QV_ERR_DATA);
    assert_non_null(strstr(qv_ctx_message(ctx), "00.wav"));
    assert_null(f);
    k.m.n = 0;
    assert_int_equal(qv_features_open(ctx, &f, &k.m, &c, &o), QV_ERR_DATA);
    free_corpus(&k);
    qv_ctx_free(ctx);
}

static void cache_folder_that_was_asked_for_must_work(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_ctx_new();
    corpus k;
    make_corpus(&k);
    qv_features *f;
    qv_feature_config c = qv_feature_defaults();
    qv_feature_options o = {.cache_dir = k.paths[0], .threads = 1}; /* a file where a folder is needed */
    assert_int_equal(qv_features_open(ctx, &f, &k.m, &c, &o), QV_ERR_IO);
    assert_null(f);
    setenv("XDG_CACHE_HOME", k.paths[0], 1);
    o.cache_dir = NULL;
    qv_assert_ok(ctx, qv_features_open(ctx, &f, &k.m, &c, &o));
    qv_features_close(f);
    setenv("XDG_CACHE_HOME", k.cache, 1);
    for (int i = 0; i < 2; i++) {
        qv_assert_ok(ctx, qv_features_open(ctx, &f, &k.m, &c, &o));
        assert_int_equal(f->from_cache, i);
        qv_features_close(f);
    }
    unsetenv("XDG_CACHE_HOME");
    free_corpus(&k);
    qv_ctx_free(ctx);
}

/* As on a full disk: writing stops with an error, and no half file stays behind. */
static void disk_that_is_full_is_an_error(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_ctx_new();
    corpus k;
    make_corpus(&k);
    struct rlimit old, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = old;
    small.rlim_cur = 20000;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    qv_features *f;
    qv_feature_config c = qv_feature_defaults();
    qv_feature_options o = {.cache_dir = k.cache, .threads = 1};
    qv_status s = qv_features_open(ctx, &f, &k.m, &c, &o);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    signal(SIGXFSZ, SIG_DFL);
    assert_int_equal(s, QV_ERR_IO);
    assert_non_null(strstr(qv_ctx_message(ctx), "features-"));
    char path[1024] = "";
    qv_assert_ok(ctx, qv_walk(ctx, k.cache, remember_path, path));
    assert_string_equal(path, "");
    free_corpus(&k);
    qv_ctx_free(ctx);
}

static void raise_flag(void *user, const qv_progress *p)
{
    if (p->done >= 3) *(volatile int *)user = 1;
}

static void cancelling_leaves_no_file(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_ctx_new();
    corpus k;
    make_corpus(&k);
    volatile int flag = 0;
    qv_ctx_cancel_flag(ctx, &flag);
    qv_ctx_on_progress(ctx, raise_flag, (void *)&flag);
    qv_features *f;
    qv_feature_config c = qv_feature_defaults();
    qv_feature_options o = {.cache_dir = k.cache, .threads = 2};
    assert_int_equal(qv_features_open(ctx, &f, &k.m, &c, &o), QV_ERR_INTERRUPTED);
    char path[1024] = "";
    qv_assert_ok(ctx, qv_walk(ctx, k.cache, remember_path, path));
    assert_string_equal(path, "");
    free_corpus(&k);
    qv_ctx_free(ctx);
}

/* Memory that runs out at any point ends with an error, not with a crash or a leak. */
static void every_allocation_may_fail(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_ctx_new();
    corpus k;
    make_corpus(&k);
    k.m.n = 2;
    qv_feature_config c = qv_feature_defaults();
    for (int no_cache = 0; no_cache < 2; no_cache++) {
        qv_features *f = NULL;
        size_t nth = 0;
        qv_status s;
        do {
            qv_feature_options o = {.cache_dir = k.cache, .threads = 1, .no_cache = no_cache};
            qv_ctx_fail_alloc(ctx, ++nth);
            s = qv_features_open(ctx, &f, &k.m, &c, &o);
            assert_true(s == QV_OK || s == QV_ERR_MEMORY);
            if (s != QV_OK) assert_null(f);
        } while (s != QV_OK && nth < 200);
        qv_ctx_fail_alloc(ctx, 0);
        assert_true(nth > 5 && nth < 200);
        qv_features_close(f);
    }
    free_corpus(&k);
    qv_ctx_free(ctx);
}

typedef struct listing {
    qv_item *items;
    size_t n, cap;
} listing;

static qv_status list_file(qv_ctx *ctx, void *user, const char *path)
{
    listing *l = user;
    size_t length = strlen(path);
    if (length < 5 || (strcmp(path + length - 4, ".wav") != 0 && strcmp(path + length - 5, ".flac") != 0)) return QV_OK;
    qv_status status = qv_grow(ctx, &l->items, &l->cap, l->n + 1, sizeof *l->items);
    if (status != QV_OK) return status;
    qv_item item = {.end = -1, .label = -1};
    status = qv_strdup(ctx, &item.file, path);
    item.name = item.file;
    if (status == QV_OK) l->items[l->n++] = item;
    return status;
}

static void real_recordings_are_all_usable(void **state)
{
    (void)state;
    static const char *const names[] = {"emodb", "ravdess"};
    qv_ctx *ctx = qv_test_ctx();
    for (int i = 0; i < 2; i++) {
        const char *dir = qv_test_corpus(names[i]);
        if (!dir) continue;
        listing l = {0};
        qv_assert_ok(ctx, qv_walk(ctx, dir, list_file, &l));
        assert_true(l.n > 300);
        qv_manifest m = {.items = l.items, .n = l.n};
        qv_feature_config c = qv_feature_defaults();
        qv_feature_options o = {.threads = 2, .no_cache = true};
        qv_features *f;
        qv_assert_ok(ctx, qv_features_open(ctx, &f, &m, &c, &o));
        assert_int_equal(f->skipped, 0);
        for (int64_t j = 0; j < f->frames * 64; j++) assert_true(isfinite(f->data[j]));
        qv_features_close(f);
        for (size_t j = 0; j < l.n; j++) free(l.items[j].file);
        free(l.items);
    }
    qv_ctx_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mel_equals_definition),
        cmocka_unit_test(log_is_exact_to_two_ulp),
        cmocka_unit_test(frames_do_not_depend_on_their_neighbours),
        cmocka_unit_test(mel_equals_librosa_and_torchaudio),
        cmocka_unit_test(power_equals_kissfft),
        cmocka_unit_test(trims_quiet_edges_only),
        cmocka_unit_test(trim_is_in_decibels),
        cmocka_unit_test(loudness_sets_the_level),
        cmocka_unit_test(bad_settings_are_named),
        cmocka_unit_test(threads_and_cache_give_the_same_bytes),
        cmocka_unit_test(cache_follows_every_change),
        cmocka_unit_test(failures_of_the_system_are_not_cached),
        cmocka_unit_test(a_pipe_is_no_cache),
        cmocka_unit_test(frames_without_end_are_refused),
        cmocka_unit_test(damaged_cache_is_made_again),
        cmocka_unit_test(nothing_usable_is_an_error),
        cmocka_unit_test(cache_folder_that_was_asked_for_must_work),
        cmocka_unit_test(disk_that_is_full_is_an_error),
        cmocka_unit_test(cancelling_leaves_no_file),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(real_recordings_are_all_usable),
    };
    return cmocka_run_group_tests_name("features", tests, NULL, NULL);
}
