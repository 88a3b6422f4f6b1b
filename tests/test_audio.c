/* Recordings: formats, rates, channels, parts; the resampler; files that are not what they claim. */
#include <math.h>
#include <sndfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/audio.h"
#include "data/resample.h"
#include "support/support.h"

static const double pi = 3.14159265358979323846;
enum { RATE = 16000 };

static char *dir; /* of the test at hand */

static int set_up(void **state)
{
    (void)state;
    dir = qv_test_tmpdir();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    qv_test_rmdir(dir);
    return 0;
}

static const char *in_dir(const char *name)
{
    static char path[4096];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

/* A tone of amplitude 1/2; channel c is louder than the first by the factor 1 + c, and the channels'
 * sum is divided by that of the factors, so that their average is the tone divided by `channels`. */
static bool write_tone(const char *path, int format, int rate, int channels, int frames, double hz)
{
    SF_INFO info = {.samplerate = rate, .channels = channels, .format = format};
    if (!sf_format_check(&info)) return false;
    SNDFILE *f = sf_open(path, SFM_WRITE, &info);
    if (!f) return false;
    double weights = channels * (channels + 1) / 2.0;
    for (int i = 0; i < frames; i++) {
        float x[64];
        for (int c = 0; c < channels; c++)
            x[c] = (float)(0.5 * sin(2 * pi * hz * i / rate) * (1 + c) / weights * channels);
        assert_int_equal(sf_writef_float(f, x, 1), 1);
    }
    sf_close(f);
    return true;
}

/* Amplitude of the tone in the middle of x, and the root mean square of the rest. The span is a
 * multiple of 1/20 s: whole periods of tones that are multiples of 20 Hz, so that sine and cosine
 * are orthogonal. */
static void measure(const float *x, size_t n, double hz, double *amplitude, double *rest)
{
    size_t edge = n / 4, count = (n - 2 * edge) / (RATE / 20) * (RATE / 20);
    double s = 0, c = 0, power = 0;
    assert_true(count > 0);
    for (size_t i = edge; i < edge + count; i++) {
        double turn = 2 * pi * hz * (double)i / RATE;
        s += x[i] * sin(turn), c += x[i] * cos(turn), power += (double)x[i] * (double)x[i];
    }
    *amplitude = 2 * hypot(s, c) / (double)count;
    *rest = sqrt(fmax(0, power / (double)count - *amplitude * *amplitude / 2));
}

static void check_tone(qv_ctx *ctx, const char *path, int rate, int channels, int frames, double hz, double error)
{
    qv_audio a;
    double amplitude, rest;
    qv_assert_ok(ctx, qv_audio_read(ctx, &a, path, 0, -1, RATE));
    assert_int_equal(a.source_rate, rate);
    assert_int_equal(a.channels, channels);
    assert_int_equal(a.n, (size_t)llround((double)frames * RATE / rate));
    measure(a.samples, a.n, hz, &amplitude, &rest);
    if (!(fabs(amplitude - 0.5) <= error) || !(rest <= error))
        fail_msg("%s at %d Hz, %d channels: amplitude %.7f, rest %.3g, allowed %.3g", path, rate, channels, amplitude,
                 rest, error);
    qv_audio_free(&a);
}

/* `error` is half a step of the coding; lossy ones: a twentieth of the amplitude. */
static const struct format_case {
    const char *name;
    int format;
    double error;
} formats[] = {
    {"u8.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_U8, 0x1p-8},
    {"s16.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_16, 0x1p-16},
    {"s24.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_24, 0x1p-24},
    {"s32.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_32, 0x1p-24},
    {"float.wav", SF_FORMAT_WAV | SF_FORMAT_FLOAT, 0x1p-24},
    {"double.wav", SF_FORMAT_WAV | SF_FORMAT_DOUBLE, 0x1p-24},
    {"extensible.wav", SF_FORMAT_WAVEX | SF_FORMAT_PCM_24, 0x1p-24},
    {"rifx.wav", SF_FORMAT_WAV | SF_ENDIAN_BIG | SF_FORMAT_PCM_16, 0x1p-16},
    {"rf64.wav", SF_FORMAT_RF64 | SF_FORMAT_PCM_16, 0x1p-16},
    {"s16.aiff", SF_FORMAT_AIFF | SF_FORMAT_PCM_16, 0x1p-16},
    {"s16.au", SF_FORMAT_AU | SF_FORMAT_PCM_16, 0x1p-16},
    {"s16.caf", SF_FORMAT_CAF | SF_FORMAT_PCM_16, 0x1p-16},
    {"s16.flac", SF_FORMAT_FLAC | SF_FORMAT_PCM_16, 0x1p-16},
    {"s24.flac", SF_FORMAT_FLAC | SF_FORMAT_PCM_24, 0x1p-24},
    {"vorbis.ogg", SF_FORMAT_OGG | SF_FORMAT_VORBIS, 0.025},
    {"opus.ogg", SF_FORMAT_OGG | SF_FORMAT_OPUS, 0.025},
    {"layer3.mp3", SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III, 0.025},
};

static void every_format_keeps_the_tone(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_test_ctx();
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        for (int channels = 1; channels <= 2; channels++) {
            const struct format_case *c = &formats[i];
            int rate = strstr(c->name, "opus") ? 48000 : RATE;
            const char *path = in_dir(c->name);
            if (!write_tone(path, c->format, rate, channels, rate / 2, 440)) {
                fprintf(stderr, "SKIPPED: this libsndfile does not write %s\n", c->name);
                continue;
            }
            /* Each channel is off by the coding, and float rounding of a value below 1 adds to it. */
            check_tone(ctx, path, rate, channels, rate / 2, 440, c->error * 2 + 0x1p-23);
        }
    }
    qv_ctx_free(ctx);
}

/* 24-bit input leaves the resampler's own error: soxr's "high quality" is 20 bit, 2^-20 of the
 * amplitude in each of passband ripple and rejection; the own filter is designed for 100 dB. */
static void every_rate_keeps_tones(void **state)
{
    (void)state;
    static const int rates[] = {8000, 11025, 16000, 22050, 24414, 32000, 44100, 48000, 96000, 192000, 1000, 767999};
    qv_ctx *ctx = qv_test_ctx();
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
        int channels = 1 + (int)i % 6, frames = rates[i] / 2;
        static const double tones[] = {100, 400, 3200};
        for (int t = 0; t < 3 && tones[t] < 0.45 * rates[i]; t++) {
            const char *path = in_dir("tone.wav");
            assert_true(write_tone(path, SF_FORMAT_WAV | SF_FORMAT_PCM_24, rates[i], channels, frames, tones[t]));
            check_tone(ctx, path, rates[i], channels, frames, tones[t], 1e-5);
        }
    }
    qv_ctx_free(ctx);
}

static void resample(qv_ctx *ctx, const float *x, size_t n, int from, int to, size_t block, qv_samples *out)
{
    qv_resampler *r;
    *out = (qv_samples){0};
    qv_assert_ok(ctx, qv_resampler_new(ctx, &r, from, to));
    for (size_t i = 0; i < n; i += block)
        qv_assert_ok(ctx, qv_resampler_push(ctx, r, x + i, n - i < block ? n - i : block, out));
    qv_assert_ok(ctx, qv_resampler_end(ctx, r, out));
    qv_resampler_free(r);
}

static void resampling_does_not_depend_on_blocks(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_test_ctx();
    uint64_t seed = qv_test_seed();
    static const int rates[] = {24414, 48000, 8000, 44100};
    enum { N = 9000 };
    static float x[N];
    for (int i = 0; i < N; i++) x[i] = (float)(0.1 * qv_test_normal(&seed));
    for (int i = 0; i < 4; i++) {
        qv_samples whole, parts;
        resample(ctx, x, N, rates[i], RATE, N, &whole);
        static const size_t blocks[] = {1, 7, 1000};
        for (int b = 0; b < 3; b++) {
            resample(ctx, x, N, rates[i], RATE, blocks[b], &parts);
            assert_int_equal(parts.n, whole.n);
            assert_memory_equal(parts.data, whole.data, whole.n * sizeof(float));
            free(parts.data);
        }
        assert_true(fabs((double)whole.n - (double)N * RATE / rates[i]) <= 1);
        free(whole.data);
    }
    qv_ctx_free(ctx);
}

/* A tone above half the new rate must vanish (100 dB), and a click must stay where it was. */
static void resampling_rejects_aliases_and_keeps_time(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_test_ctx();
    enum { N = 48000 };
    static float x[N];
    qv_samples y;
    for (int i = 0; i < N; i++) x[i] = (float)sin(2 * pi * 11000 * i / N);
    resample(ctx, x, N, 48000, RATE, 5000, &y);
    for (size_t i = 400; i + 400 < y.n; i++)
        if (!(fabs((double)y.data[i]) <= 1e-5)) fail_msg("alias of %g at sample %zu", (double)y.data[i], i);
    free(y.data);
    memset(x, 0, sizeof x);
    x[24000] = 1;
    resample(ctx, x, N, 48000, RATE, 5000, &y);
    size_t top = 0;
    for (size_t i = 0; i < y.n; i++)
        if (fabsf(y.data[i]) > fabsf(y.data[top])) top = i;
    assert_int_equal(top, 8000);
    assert_true(fabs((double)(y.data[7999] - y.data[8001])) <= 1e-5);
    free(y.data);
    qv_ctx_free(ctx);
}

static void parts_are_cut_exactly(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_test_ctx();
    static const char *const names[] = {"ramp.wav", "ramp.flac", "ramp.au"};
    static const int kinds[] = {SF_FORMAT_WAV, SF_FORMAT_FLAC, SF_FORMAT_AU};
    for (int k = 0; k < 3; k++) {
        SF_INFO info = {.samplerate = RATE, .channels = 1, .format = kinds[k] | SF_FORMAT_PCM_16};
        SNDFILE *f = sf_open(in_dir(names[k]), SFM_WRITE, &info);
        for (int i = 0; i < 32000; i++) sf_write_short(f, &(short){(short)(i + 1)}, 1);
        sf_close(f);
        qv_audio a;
        qv_assert_ok(ctx, qv_audio_read(ctx, &a, in_dir(names[k]), 0.5, 1.25, RATE));
        assert_int_equal(a.n, 12000);
        for (size_t i = 0; i < a.n; i++) assert_true(a.samples[i] == (float)(8000 + i + 1) / 32768);
        qv_audio_free(&a);
        /* One sample; the end is beyond the file's. */
        qv_assert_ok(ctx, qv_audio_read(ctx, &a, in_dir(names[k]), 1.9999375, 9, RATE));
        assert_true(a.n == 1 && a.samples[0] == 32000.0f / 32768);
        qv_audio_free(&a);
        assert_int_equal(qv_audio_read(ctx, &a, in_dir(names[k]), 2, -1, RATE), QV_ERR_DATA);
        assert_non_null(strstr(qv_ctx_message(ctx), "ends at 2 s"));
        assert_int_equal(qv_audio_read(ctx, &a, in_dir(names[k]), 1, 1, RATE), QV_ERR_DATA);
        /* Both round to the same sample, and to the one after the last. */
        assert_int_equal(qv_audio_read(ctx, &a, in_dir(names[k]), 1, 1.00001, RATE), QV_ERR_DATA);
        assert_non_null(strstr(qv_ctx_message(ctx), "the part from 1 s to 1.00001 s holds no sample"));
        assert_int_equal(qv_audio_read(ctx, &a, in_dir(names[k]), 1.99999, -1, RATE), QV_ERR_DATA);
        assert_non_null(strstr(qv_ctx_message(ctx), "the part from 1.99999 s to 2 s holds no sample"));
        assert_int_equal(qv_audio_read(ctx, &a, in_dir(names[k]), NAN, 1, RATE), QV_ERR_DATA);
        assert_int_equal(qv_audio_read(ctx, &a, in_dir(names[k]), -1, 1, RATE), QV_ERR_DATA);
        assert_true(a.samples == NULL && a.n == 0);
    }
    qv_ctx_free(ctx);
}

static void short_recordings_work(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_test_ctx();
    static const int frames[] = {1, 2, 100, 9600};
    for (int i = 0; i < 4; i++) {
        SF_INFO info = {.samplerate = 48000, .channels = 1, .format = SF_FORMAT_WAV | SF_FORMAT_PCM_16};
        SNDFILE *f = sf_open(in_dir("short.wav"), SFM_WRITE, &info);
        for (int j = 0; j < frames[i]; j++) sf_write_short(f, &(short){1000}, 1);
        sf_close(f);
        qv_audio a;
        qv_assert_ok(ctx, qv_audio_read(ctx, &a, in_dir("short.wav"), 0, -1, RATE));
        assert_int_equal(a.n, frames[i] < 3 ? 1 : (size_t)lround(frames[i] / 3.0));
        for (size_t j = 0; j < a.n; j++) assert_true(isfinite(a.samples[j]));
        qv_audio_free(&a);
    }
    qv_ctx_free(ctx);
}

static void put(const char *name, const void *bytes, size_t n)
{
    FILE *f = fopen(in_dir(name), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    fclose(f);
}

/* Reads must fail with a message that names the file and holds `reason`. */
static void expect_refusal(qv_ctx *ctx, const char *name, const char *reason)
{
    qv_audio a;
    qv_status s = qv_audio_read(ctx, &a, in_dir(name), 0, -1, RATE);
    if (s != QV_ERR_DATA && s != QV_ERR_IO) fail_msg("%s: %s", name, qv_status_name(s));
    const char *text = qv_ctx_message(ctx);
    if (!strstr(text, name) || !strstr(text, reason)) fail_msg("%s: \"%s\" does not say \"%s\"", name, text, reason);
    assert_true(a.samples == NULL && a.n == 0);
}

static void cut_file(const char *from, const char *to, double share)
{
    char *data;
    size_t size;
    qv_ctx *ctx = qv_test_ctx();
    qv_assert_ok(ctx, qv_read_file(ctx, in_dir(from), 1 << 28, &data, &size));
    put(to, data, (size_t)((double)size * share));
    free(data);
    qv_ctx_free(ctx);
}

static void what_is_no_recording_is_refused_by_name(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_ctx_new();
    static const char lfs[] = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n";
    int lowest = dup(STDERR_FILENO); /* descriptor that is free; none is to stay open */
    assert_true(lowest > 0 && close(lowest) == 0);
    expect_refusal(ctx, "missing.wav", "No such file");
    expect_refusal(ctx, "", "it is a folder, a file was expected");
    put("empty.wav", "", 0);
    expect_refusal(ctx, "empty.wav", "empty (0 bytes)");
    put("text.wav", "I am not a recording.\n", 22);
    expect_refusal(ctx, "text.wav", "text, not audio");
    put("text.au", "I am not a recording.\n", 22); /* by its ending 22 samples in mu-law, if one asks libsndfile so */
    expect_refusal(ctx, "text.au", "text, not audio");
    put("pointer.wav", lfs, sizeof lfs - 1);
    expect_refusal(ctx, "pointer.wav", "git lfs pull");
    put("noise.wav", "\x00\xff\x13\x07\x80\x81\x00\x00\x01\x02", 10);
    expect_refusal(ctx, "noise.wav", "not audio");
    put("riff.wav", "RIFF\xff\xff\xff\xffWAVEjunk", 16);
    expect_refusal(ctx, "riff.wav", "header is damaged");
    int after = dup(STDERR_FILENO);
    assert_int_equal(after, lowest);
    close(after);
    assert_int_equal(mkfifo(in_dir("pipe.wav"), 0600), 0);
    expect_refusal(ctx, "pipe.wav", "not a regular file");
    qv_ctx_free(ctx);
}

static void truncated_files_are_refused(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_ctx_new();
    static const struct {
        const char *whole, *cut;
        int format, rate;
    } cases[] = {
        {"whole.wav", "cut.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_16, RATE},
        {"whole.rifx.wav", "cut.rifx.wav", SF_FORMAT_WAV | SF_ENDIAN_BIG | SF_FORMAT_PCM_16, RATE},
        {"whole.rf64", "cut.rf64", SF_FORMAT_RF64 | SF_FORMAT_PCM_16, RATE},
        {"whole.w64", "cut.w64", SF_FORMAT_W64 | SF_FORMAT_PCM_16, RATE},
        {"whole.aiff", "cut.aiff", SF_FORMAT_AIFF | SF_FORMAT_PCM_16, RATE},
        {"whole.caf", "cut.caf", SF_FORMAT_CAF | SF_FORMAT_PCM_16, RATE},
        {"whole.au", "cut.au", SF_FORMAT_AU | SF_FORMAT_PCM_16, RATE},
        {"whole.dns.au", "cut.dns.au", SF_FORMAT_AU | SF_ENDIAN_LITTLE | SF_FORMAT_PCM_16, RATE},
        {"whole.sph", "cut.sph", SF_FORMAT_NIST | SF_FORMAT_PCM_16, RATE},
        {"whole.law.sph", "cut.law.sph", SF_FORMAT_NIST | SF_FORMAT_ULAW, RATE},
        {"whole.voc", "cut.voc", SF_FORMAT_VOC | SF_FORMAT_PCM_16, RATE},
        {"whole.flac", "cut.flac", SF_FORMAT_FLAC | SF_FORMAT_PCM_16, RATE},
        {"whole.ogg", "cut.ogg", SF_FORMAT_OGG | SF_FORMAT_VORBIS, RATE},
        {"whole.opus", "cut.opus", SF_FORMAT_OGG | SF_FORMAT_OPUS, 48000},
        {"whole.mp3", "cut.mp3", SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III, RATE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (!write_tone(in_dir(cases[i].whole), cases[i].format, cases[i].rate, 1, cases[i].rate, 440)) {
            fprintf(stderr, "SKIPPED: this libsndfile does not write %s\n", cases[i].whole);
            continue;
        }
        cut_file(cases[i].whole, cases[i].cut, 0.5);
        expect_refusal(ctx, cases[i].cut, "truncated");
        qv_audio a;
        qv_assert_ok(ctx, qv_audio_read(ctx, &a, in_dir(cases[i].whole), 0, -1, RATE));
        assert_int_equal(a.n, RATE);
        qv_audio_free(&a);
    }
    struct stat whole, cut;
    char want[64];
    assert_int_equal(stat(in_dir("whole.wav"), &whole), 0);
    assert_int_equal(stat(in_dir("cut.wav"), &cut), 0);
    snprintf(want, sizeof want, "truncated: %lld of 32000 bytes", (long long)(cut.st_size - whole.st_size + 32000));
    expect_refusal(ctx, "cut.wav", want);
    cut_file("whole.wav", "header.wav", 44.0 / 32044);
    expect_refusal(ctx, "header.wav", "");
    qv_ctx_free(ctx);
}

/* Where the last page of an Ogg file begins. */
static size_t last_page(const char *data, size_t size)
{
    size_t at = size - 4;
    while (memcmp(data + at, "OggS", 4) != 0) at--;
    return at;
}

/* Cut between two pages nothing is torn; only the mark of the end is missing. Of two files in one libsndfile reads the
 * first. What tags and copying programs leave behind the end is no sound. */
static void ogg_ends_where_it_says(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_ctx_new();
    char *data;
    size_t size;
    qv_audio a;
    assert_true(write_tone(in_dir("x.ogg"), SF_FORMAT_OGG | SF_FORMAT_VORBIS, RATE, 1, 5 * RATE, 440));
    qv_assert_ok(ctx, qv_read_file(ctx, in_dir("x.ogg"), 1 << 28, &data, &size));
    put("page.ogg", data, last_page(data, size));
    expect_refusal(ctx, "page.ogg", "does not end the stream");
    put("header.ogg", data, last_page(data, size) + 20);
    expect_refusal(ctx, "header.ogg", "within a page");
    char *more = calloc(2, size);
    memcpy(more, data, size);
    put("zeros.ogg", more, size + 1000);
    memcpy(more + size, "TAG", 3);
    put("tag.ogg", more, size + 128);
    memcpy(more + size, data, size);
    put("twice.ogg", more, 2 * size);
    expect_refusal(ctx, "twice.ogg", "another Ogg stream follows");
    static const char *const sound[] = {"x.ogg", "zeros.ogg", "tag.ogg"};
    for (int i = 0; i < 3; i++) {
        qv_assert_ok(ctx, qv_audio_read(ctx, &a, in_dir(sound[i]), 0, -1, RATE));
        assert_int_equal(a.n, 5 * RATE);
        qv_audio_free(&a);
    }
    free(more);
    free(data);
    qv_ctx_free(ctx);
}

static qv_status count_samples(qv_ctx *ctx, void *user, const float *x, size_t n)
{
    (void)ctx, (void)x;
    *(size_t *)user += n;
    return QV_OK;
}

enum { MP3_RATE = 44100, MP3_SECONDS = 4 };

/* Noise, whose frames are large, and a quiet tone, whose are small: from the first ones the length is guessed too
 * short. */
static bool write_vbr(const char *path)
{
    SF_INFO info = {.samplerate = MP3_RATE, .channels = 1, .format = SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III};
    SNDFILE *f = sf_format_check(&info) ? sf_open(path, SFM_WRITE, &info) : NULL;
    if (!f) return false;
    uint64_t seed = qv_test_seed();
    sf_command(f, SFC_SET_BITRATE_MODE, &(int){SF_BITRATE_MODE_VARIABLE}, sizeof(int));
    for (int i = 0; i < MP3_SECONDS * MP3_RATE; i++) {
        float x = i < MP3_RATE ? (float)(0.1 * qv_test_normal(&seed)) : 0.001f * sinf(0.05f * (float)i);
        assert_int_equal(sf_writef_float(f, &x, 1), 1);
    }
    return sf_close(f) == 0;
}

/* Bytes of a frame of layer III at 44.1 kHz. */
static size_t mp3_frame(const char *data)
{
    static const int kbits[] = {32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320};
    const unsigned char *h = (const unsigned char *)data;
    assert_true(h[0] == 0xff && h[2] >> 4 >= 1 && h[2] >> 4 <= 14);
    return (size_t)(144000 * kbits[(h[2] >> 4) - 1] / MP3_RATE + (h[2] >> 1 & 1));
}

/* The bytes of three parts as one file. */
static void put_parts(const char *name, const void *a, size_t n_a, const void *b, size_t n_b, const void *c, size_t n_c)
{
    char *all = malloc(n_a + n_b + n_c);
    memcpy(all, a, n_a);
    memcpy(all + n_a, b, n_b);
    memcpy(all + n_a + n_b, c, n_c);
    put(name, all, n_a + n_b + n_c);
    free(all);
}

/* Whole frames, an encoder's delay and its padding included. */
static void check_length(qv_ctx *ctx, const char *name, int seconds)
{
    qv_audio a;
    qv_assert_ok(ctx, qv_audio_read(ctx, &a, in_dir(name), 0, -1, RATE));
    if (a.n < (size_t)(seconds * RATE) || a.n > (size_t)(seconds * RATE + RATE / 5))
        fail_msg("%s: %zu samples of %d s", name, a.n, seconds);
    qv_audio_free(&a);
}

static void check_mp3(qv_ctx *ctx, const char *name, int seconds)
{
    qv_audio a;
    size_t streamed = 0;
    check_length(ctx, name, seconds);
    qv_assert_ok(ctx, qv_audio_read(ctx, &a, in_dir(name), seconds - 0.5, seconds, RATE));
    assert_int_equal(a.n, RATE / 2);
    qv_audio_free(&a);
    qv_assert_ok(ctx, qv_audio_each(ctx, in_dir(name), MP3_RATE, count_samples, &streamed));
    assert_int_equal(streamed % 1152, 0);
    assert_true(streamed >= (size_t)(seconds * MP3_RATE));
}

/* Without Xing's frame, the first, which says how many follow. */
static void mp3_is_read_to_its_end(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_ctx_new();
    static const char id3[10 + 300] = "ID3\3\0\0\0\0\2\54", tag[128] = "TAG", zeros[5000];
    char *data, *other;
    size_t size, other_size;
    if (!write_vbr(in_dir("vbr.mp3")) ||
        !write_tone(in_dir("slow.mp3"), SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III, RATE, 1, RATE, 440)) {
        fprintf(stderr, "SKIPPED: this libsndfile does not write MP3\n");
        qv_ctx_free(ctx);
        return;
    }
    qv_assert_ok(ctx, qv_read_file(ctx, in_dir("vbr.mp3"), 1 << 28, &data, &size));
    qv_assert_ok(ctx, qv_read_file(ctx, in_dir("slow.mp3"), 1 << 28, &other, &other_size));
    const size_t xing = mp3_frame(data), n = size - xing;
    const char *bare = data + xing;
    put("bare.mp3", bare, n);
    check_mp3(ctx, "bare.mp3", MP3_SECONDS);
    put_parts("tags.mp3", id3, sizeof id3, bare, n, tag, sizeof tag);
    check_mp3(ctx, "tags.mp3", MP3_SECONDS);
    put_parts("zeros.mp3", id3, sizeof id3, bare, n, zeros, sizeof zeros);
    check_mp3(ctx, "zeros.mp3", MP3_SECONDS);
    put_parts("padded.mp3", id3, sizeof id3, zeros, 500, data, size);
    check_length(ctx, "padded.mp3", MP3_SECONDS);
    put_parts("late.mp3", id3, sizeof id3, zeros, 500, bare, n);
    check_mp3(ctx, "late.mp3", MP3_SECONDS);
    put_parts("rubbish.mp3", "\r\n", 2, data, size, zeros, 0);
    check_length(ctx, "rubbish.mp3", MP3_SECONDS);
    put_parts("two.mp3", bare, n, id3, sizeof id3, bare, n);
    check_mp3(ctx, "two.mp3", 2 * MP3_SECONDS);
    put_parts("joined.mp3", data, size, id3, sizeof id3, bare, n);
    expect_refusal(ctx, "joined.mp3", "joined: its header promises");
    put_parts("mixed.mp3", bare, n, id3, sizeof id3, other, other_size);
    expect_refusal(ctx, "mixed.mp3", "joined: MPEG frames of another rate or layer");
    put("tenth.mp3", data, size / 10);
    expect_refusal(ctx, "tenth.mp3", "truncated or damaged: MPEG frames of");
    put("cut.mp3", bare, mp3_frame(bare) + mp3_frame(bare + mp3_frame(bare)) + 100);
    expect_refusal(ctx, "cut.mp3", "truncated: it ends within an MPEG frame");
    free(data);
    free(other);
    qv_ctx_free(ctx);
}

/* Headers of frames, of tags and of pages alone, and nothing else: an end is found, and nothing is read behind it. */
static void headers_without_sound_end(void **state)
{
    (void)state;
    enum { SIZE = 300001 };
    static const struct {
        const char *bytes;
        size_t n;
    } patterns[] = {
        {"\xff", 1},
        {"\xff\xfb\x14\xc0", 4},
        {"ID3\3\0\0\0\0\0\0", 10},
        {"ID3\3\0\20\177\177\177\177", 10},
        {"OggS\0\0\0\0", 8},
        {"RIFF\0\0\0\0WAVE\0\0\0\0", 16},
        {"RF64\377\377\377\377WAVEds64\377\377\377\377", 20},
        {"NIST_1A\n\nsample_count -i 99999999999999999999\nsample_n_bytes -\nchannel_count -i ", 79},
        {".snd\377\377\377\377\0\0\0\1", 12},
        {"caff\0\1\0\0data\377\377\377\377\377\377\377\0", 20},
    };
    qv_ctx *ctx = qv_ctx_new();
    char *data = malloc(SIZE);
    for (size_t k = 0; k < sizeof patterns / sizeof *patterns; k++) {
        for (size_t i = 0; i < SIZE; i++) data[i] = patterns[k].bytes[i % patterns[k].n];
        put("headers.mp3", data, SIZE);
        qv_audio a;
        if (qv_audio_read(ctx, &a, in_dir("headers.mp3"), 0, -1, RATE) == QV_OK) qv_audio_free(&a);
    }
    free(data);
    qv_ctx_free(ctx);
}

/* What a program writes that streams to a pipe: lengths unknown, samples all there. */
static void unknown_lengths_are_accepted(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_test_ctx();
    static const unsigned char unknown[][4] = {{0xff, 0xff, 0xff, 0xff}, {0xff, 0xff, 0xff, 0x7f}};
    char *data;
    size_t size;
    assert_true(write_tone(in_dir("x.wav"), SF_FORMAT_WAV | SF_FORMAT_PCM_16, RATE, 1, 8000, 440));
    qv_assert_ok(ctx, qv_read_file(ctx, in_dir("x.wav"), 1 << 20, &data, &size));
    for (int i = 0; i < 2; i++) {
        memcpy(data + size - 16000 - 4, unknown[i], 4);
        put("stream.wav", data, size);
        check_tone(ctx, in_dir("stream.wav"), RATE, 1, 8000, 440, 0x1p-15);
    }
    free(data);
    assert_true(write_tone(in_dir("x.au"), SF_FORMAT_AU | SF_FORMAT_PCM_16, RATE, 1, 8000, 440));
    qv_assert_ok(ctx, qv_read_file(ctx, in_dir("x.au"), 1 << 20, &data, &size));
    memcpy(data + 8, unknown[0], 4);
    put("stream.au", data, size);
    check_tone(ctx, in_dir("stream.au"), RATE, 1, 8000, 440, 0x1p-15);
    free(data);
    qv_ctx_free(ctx);
}

/* The total in STREAMINFO: 36 bits from the lower half of byte 21; 0 is what an encoder leaves that cannot go back. */
static void forget_length(const char *from, const char *to)
{
    char *data;
    size_t size;
    qv_ctx *ctx = qv_test_ctx();
    qv_assert_ok(ctx, qv_read_file(ctx, in_dir(from), 1 << 28, &data, &size));
    assert_memory_equal(data, "fLaC", 4);
    data[21] = (char)(data[21] & 0xF0);
    memset(data + 22, 0, 4);
    put(to, data, size);
    free(data);
    qv_ctx_free(ctx);
}

static void flac_may_not_say_how_long_it_is(void **state)
{
    (void)state;
    enum { FRAMES = 40000 };
    qv_ctx *ctx = qv_test_ctx();
    qv_audio whole, part;
    size_t streamed = 0;
    assert_true(write_tone(in_dir("whole.flac"), SF_FORMAT_FLAC | SF_FORMAT_PCM_16, RATE, 1, FRAMES, 440));
    forget_length("whole.flac", "pipe.flac");
    qv_assert_ok(ctx, qv_audio_read(ctx, &whole, in_dir("whole.flac"), 0, -1, RATE));
    qv_assert_ok(ctx, qv_audio_read(ctx, &part, in_dir("pipe.flac"), 0, -1, RATE));
    assert_int_equal(part.n, FRAMES);
    assert_memory_equal(part.samples, whole.samples, FRAMES * sizeof(float));
    qv_audio_free(&part);
    qv_assert_ok(ctx, qv_audio_read(ctx, &part, in_dir("pipe.flac"), 1.25, 1.5, RATE));
    assert_int_equal(part.n, RATE / 4);
    assert_memory_equal(part.samples, whole.samples + 20000, RATE / 4 * sizeof(float));
    qv_audio_free(&part);
    qv_assert_ok(ctx, qv_audio_read(ctx, &part, in_dir("pipe.flac"), 2, 99, RATE)); /* as of a file that ends before */
    assert_int_equal(part.n, FRAMES - 2 * RATE);
    qv_audio_free(&part);
    assert_int_equal(qv_audio_read(ctx, &part, in_dir("pipe.flac"), 3, -1, RATE), QV_ERR_DATA);
    qv_test_says(qv_ctx_message(ctx), "pipe.flac: it holds no samples, or none as late as the part begins");
    qv_assert_ok(ctx, qv_audio_each(ctx, in_dir("pipe.flac"), RATE, count_samples, &streamed));
    assert_int_equal(streamed, FRAMES);
    qv_audio_free(&whole);
    char *data;
    size_t size;
    qv_assert_ok(ctx, qv_read_file(ctx, in_dir("pipe.flac"), 1 << 28, &data, &size));
    memset(data + size / 2, 0x55, 64);
    put("torn.flac", data, size);
    expect_refusal(ctx, "torn.flac", "damaged after");
    put("cut.flac", data, size / 3);
    expect_refusal(ctx, "cut.flac", "damaged after");
    free(data);
    qv_ctx_free(ctx);
}

static void write_values(const char *name, int rate, int channels, int frames, const float *values)
{
    SF_INFO info = {.samplerate = rate, .channels = channels, .format = SF_FORMAT_WAV | SF_FORMAT_FLOAT};
    SNDFILE *f = sf_open(in_dir(name), SFM_WRITE, &info);
    assert_non_null(f);
    for (int i = 0; i < frames; i++) sf_writef_float(f, values, 1);
    sf_close(f);
}

/* Channels with values that no other has, in float: exact, as is the average of two. */
static void one_channel_of_several(void **state)
{
    (void)state;
    enum { FRAMES = 3 };
    static const float values[2] = {0.25f, -0.5f};
    qv_ctx *ctx = qv_ctx_new();
    write_values("two.wav", RATE, 2, FRAMES, values);
    for (int channel = 0; channel <= 2; channel++) {
        qv_audio a;
        qv_assert_ok(ctx, qv_audio_read_channel(ctx, &a, in_dir("two.wav"), 0, -1, channel, RATE));
        assert_int_equal(a.n, FRAMES);
        const float expected[] = {-0.125f, 0.25f, -0.5f};
        for (int i = 0; i < FRAMES; i++) assert_true(a.samples[i] == expected[channel]);
        qv_audio_free(&a);
    }
    qv_audio a;
    assert_int_equal(qv_audio_read_channel(ctx, &a, in_dir("two.wav"), 0, -1, 3, RATE), QV_ERR_DATA);
    assert_non_null(strstr(qv_ctx_message(ctx), "two.wav: channel 3 is asked for, it has 2"));
    qv_ctx_free(ctx);
}

static void senseless_content_is_refused(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_ctx_new();
    static const float zeros[65] = {0}, opposite[2] = {0.5f, -0.5f}, huge[1] = {1e20f};
    write_values("nan.wav", RATE, 1, 10, &(float){NAN});
    expect_refusal(ctx, "nan.wav", "nan");
    write_values("inf.wav", RATE, 1, 10, &(float){-INFINITY});
    expect_refusal(ctx, "inf.wav", "-inf");
    write_values("huge.wav", RATE, 1, 10, huge);
    expect_refusal(ctx, "huge.wav", "1e+20");
    write_values("zeros.wav", RATE, 1, 1000, zeros);
    expect_refusal(ctx, "zeros.wav", "all samples are zero");
    write_values("opposite.wav", RATE, 2, 1000, opposite);
    expect_refusal(ctx, "opposite.wav", "channels are averaged");
    write_values("slow.wav", 999, 1, 1000, huge);
    expect_refusal(ctx, "slow.wav", "999 Hz");
    write_values("fast.wav", 768001, 1, 1000, huge);
    expect_refusal(ctx, "fast.wav", "768001 Hz");
    write_values("many.wav", RATE, 65, 10, zeros);
    expect_refusal(ctx, "many.wav", "65 channels");
    write_values("none.wav", RATE, 1, 0, zeros);
    expect_refusal(ctx, "none.wav", "none.wav: it holds no samples");
    char *data;
    size_t size;
    assert_true(write_tone(in_dir("finished.wav"), SF_FORMAT_WAV | SF_FORMAT_PCM_16, RATE, 1, RATE, 440));
    qv_assert_ok(ctx, qv_read_file(ctx, in_dir("finished.wav"), 1 << 28, &data, &size));
    memset(data + 40, 0, 4); /* as a recorder leaves it that lost its power */
    put("unfinished.wav", data, size);
    expect_refusal(ctx, "unfinished.wav", "never finished");
    free(data);
    qv_ctx_free(ctx);
}

/* An hour of nothing and a click, in some kilobytes: it would become 230 MB before anybody looked. */
static void small_files_of_long_silence_are_refused(void **state)
{
    (void)state;
    static float block[10000];
    qv_ctx *ctx = qv_ctx_new();
    SF_INFO info = {.samplerate = 1000, .channels = 1, .format = SF_FORMAT_FLAC | SF_FORMAT_PCM_16};
    SNDFILE *f = sf_open(in_dir("silence.flac"), SFM_WRITE, &info);
    assert_non_null(f);
    for (int i = 0; i < 360; i++) {
        block[0] = i == 0 ? 0.5f : 0;
        assert_int_equal(sf_writef_float(f, block, 10000), 10000);
    }
    sf_close(f);
    expect_refusal(ctx, "silence.flac", "1.00 hours of sound in");
    forget_length("silence.flac", "endless.flac");
    expect_refusal(ctx, "endless.flac", "no recording compresses so well");
    qv_ctx_free(ctx);
}

/* Damaged bytes anywhere: an error or samples that are numbers, never a crash. */
static void damaged_bytes_never_crash(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_ctx_new();
    uint64_t seed = qv_test_seed();
    static const int chosen[] = {0, 4, 8, 9, 12, 14, 16};
    for (size_t k = 0; k < sizeof chosen / sizeof *chosen; k++) {
        const struct format_case *c = &formats[chosen[k]];
        char *data;
        size_t size;
        if (!write_tone(in_dir(c->name), c->format, 22050, 2, 4000, 440)) continue;
        qv_assert_ok(ctx, qv_read_file(ctx, in_dir(c->name), 1 << 24, &data, &size));
        for (int round = 0; round < 60; round++) {
            char *copy = malloc(size);
            memcpy(copy, data, size);
            size_t reach = round % 2 ? size : size < 128 ? size : 128; /* headers break more */
            for (int j = 0; j <= round % 5; j++) copy[qv_test_next(&seed) % reach] = (char)qv_test_next(&seed);
            put("damaged", copy, round % 7 ? size : (size_t)(qv_test_next(&seed) % size) + 1);
            free(copy);
            qv_audio a;
            if (qv_audio_read(ctx, &a, in_dir("damaged"), 0, -1, RATE) != QV_OK) continue;
            for (size_t i = 0; i < a.n; i++) assert_true(isfinite(a.samples[i]));
            qv_audio_free(&a);
        }
        free(data);
    }
    qv_ctx_free(ctx);
}

#if defined(__SANITIZE_ADDRESS__)
/* libsndfile does not free what libvorbis gave it when a damaged file cannot be opened. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) { return "leak:vorbis_info_init"; }
#endif

static void every_allocation_may_fail(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_ctx_new();
    qv_audio a;
    qv_status s;
    size_t nth = 0;
    assert_true(write_tone(in_dir("x.wav"), SF_FORMAT_WAV | SF_FORMAT_PCM_16, 24414, 2, 30000, 440));
    do {
        qv_ctx_fail_alloc(ctx, ++nth);
        s = qv_audio_read(ctx, &a, in_dir("x.wav"), 0, -1, RATE);
        assert_true(s == QV_OK || s == QV_ERR_MEMORY);
    } while (s != QV_OK && nth < 100);
    qv_ctx_fail_alloc(ctx, 0);
    assert_true(nth > 3 && s == QV_OK);
    qv_audio_free(&a);
    qv_ctx_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_format_keeps_the_tone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_rate_keeps_tones, set_up, tear_down),
        cmocka_unit_test_setup_teardown(resampling_does_not_depend_on_blocks, set_up, tear_down),
        cmocka_unit_test_setup_teardown(resampling_rejects_aliases_and_keeps_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(parts_are_cut_exactly, set_up, tear_down),
        cmocka_unit_test_setup_teardown(short_recordings_work, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_no_recording_is_refused_by_name, set_up, tear_down),
        cmocka_unit_test_setup_teardown(truncated_files_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(ogg_ends_where_it_says, set_up, tear_down),
        cmocka_unit_test_setup_teardown(mp3_is_read_to_its_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(headers_without_sound_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(unknown_lengths_are_accepted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(flac_may_not_say_how_long_it_is, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_channel_of_several, set_up, tear_down),
        cmocka_unit_test_setup_teardown(senseless_content_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(small_files_of_long_silence_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damaged_bytes_never_crash, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_allocation_may_fail, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("audio", tests, NULL, NULL);
}
