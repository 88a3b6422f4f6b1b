/* The embedded corpus: the same bytes everywhere, readable, and with what it promises in it. */
#include <math.h>
#include <unistd.h>

#include <sndfile.h>
#include <xxhash.h>

#include "data/manifest.h"
#include "data/synth.h"
#include "support/support.h"

enum { SPEAKERS = 8, SENTENCES = 8 };

/* Of all samples of the default corpus in the order of speakers, emotions, sentences: made once with GCC 12 on x86-64
 * and equal with Clang 14, -O0 to -O3, with and without FMA. Another value means that this build rounds differently, or
 * that the corpus was changed on purpose. */
static const uint64_t samples_hash = 0xd450a009dd1a4cdd;

static uint64_t hash_all(qv_ctx *ctx)
{
    XXH64_state_t *state = XXH64_createState();
    XXH64_reset(state, 0);
    for (int i = 0; i < SPEAKERS * QV_SYNTH_EMOTIONS * SENTENCES; i++) {
        int16_t *x;
        size_t n;
        qv_assert_ok(ctx, qv_synth_wave(ctx, 1, i / SENTENCES / QV_SYNTH_EMOTIONS, i / SENTENCES % QV_SYNTH_EMOTIONS,
                                        i % SENTENCES, &x, &n));
        for (size_t k = 0; k < n; k++) {
            unsigned char bytes[2] = {(unsigned char)((uint16_t)x[k] & 255), (unsigned char)((uint16_t)x[k] >> 8)};
            XXH64_update(state, bytes, 2);
        }
        free(x);
    }
    uint64_t hash = XXH64_digest(state);
    XXH64_freeState(state);
    return hash;
}

static void same_samples_everywhere(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_test_ctx();
    uint64_t hash = hash_all(ctx);
    if (hash != samples_hash) fail_msg("hash 0x%016llx", (unsigned long long)hash);
    qv_ctx_free(ctx);
}

typedef struct measure {
    double seconds, level, crossings;
} measure;

static measure measure_wave(qv_ctx *ctx, int speaker, int emotion, int sentence)
{
    int16_t *x;
    size_t n, crossings = 0;
    double sum = 0;
    qv_assert_ok(ctx, qv_synth_wave(ctx, 1, speaker, emotion, sentence, &x, &n));
    for (size_t i = 0; i < n; i++) {
        sum += (double)x[i] * x[i];
        assert_in_range(x[i] + 32767, 0, 65534);
        if (i) crossings += (x[i] < 0) != (x[i - 1] < 0);
    }
    free(x);
    assert_true(sum > 0);
    return (measure){(double)n / QV_SYNTH_RATE, 10 * log10(sum / (double)n), (double)crossings / (double)n};
}

/* Means over all speakers and sentences of an emotion. */
static measure mean_of(qv_ctx *ctx, int emotion, double *shortest, double *longest)
{
    measure m = {0};
    const int n = SPEAKERS * SENTENCES;
    for (int i = 0; i < n; i++) {
        measure one = measure_wave(ctx, i / SENTENCES, emotion, i % SENTENCES);
        m.seconds += one.seconds / n;
        m.level += one.level / n;
        m.crossings += one.crossings / n;
        *shortest = fmin(*shortest, one.seconds);
        *longest = fmax(*longest, one.seconds);
    }
    return m;
}

static void emotions_differ_as_meant(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_test_ctx();
    double shortest = 1e9, longest = 0;
    enum { ANGER, HAPPINESS, NEUTRAL, SADNESS };
    measure m[QV_SYNTH_EMOTIONS];
    for (int e = 0; e < QV_SYNTH_EMOTIONS; e++) m[e] = mean_of(ctx, e, &shortest, &longest);
    assert_string_equal(qv_synth_emotions[SADNESS], "sadness");
    assert_true(shortest > 0.5 && longest < 3.0);
    assert_true(m[ANGER].level > m[NEUTRAL].level + 3 && m[NEUTRAL].level > m[SADNESS].level + 3);
    assert_true(m[HAPPINESS].level > m[NEUTRAL].level);
    assert_true(m[ANGER].crossings > m[NEUTRAL].crossings); /* a flatter spectrum */
    assert_true(m[ANGER].seconds < m[NEUTRAL].seconds && m[NEUTRAL].seconds < m[SADNESS].seconds);
    qv_ctx_free(ctx);
}

static void every_part_changes_the_sound(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_test_ctx();
    static const struct {
        uint64_t seed;
        int speaker, emotion, sentence;
    } cases[] = {{1, 0, 0, 0}, {2, 0, 0, 0}, {1, 2, 0, 0}, {1, 0, 1, 0}, {1, 0, 0, 1}};
    uint64_t hash[5];
    for (int i = 0; i < 5; i++) {
        int16_t *x;
        size_t n;
        qv_assert_ok(ctx,
                     qv_synth_wave(ctx, cases[i].seed, cases[i].speaker, cases[i].emotion, cases[i].sentence, &x, &n));
        hash[i] = XXH3_64bits(x, n * sizeof *x);
        free(x);
        for (int j = 0; j < i; j++) assert_true(hash[i] != hash[j]);
    }
    qv_ctx_free(ctx);
}

static void writes_a_corpus_that_reads_back(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_test_ctx();
    char *dir = qv_test_tmpdir(), *path;
    qv_synth_options o = {.speakers = 3, .sentences = 2, .seed = 1};
    qv_assert_ok(ctx, qv_path_join(ctx, &path, dir, "manifest.csv"));
    qv_assert_ok(ctx, qv_synth_corpus(ctx, dir, &o));
    qv_manifest *m;
    qv_manifest_options mo = {.need_emotion = true};
    qv_assert_ok(ctx, qv_manifest_read(ctx, &m, path, &mo));
    assert_int_equal(m->n, 3 * 2 * QV_SYNTH_EMOTIONS);
    assert_int_equal(m->n_speakers, 3);
    assert_int_equal(m->n_classes, QV_SYNTH_EMOTIONS);
    assert_string_equal(m->items[0].gender, "female");
    assert_string_equal(m->items[m->n - 1].gender, "female");
    assert_string_equal(m->items[8].gender, "male");
    for (size_t i = 0; i < m->n; i++) {
        SF_INFO info = {0};
        SNDFILE *f = sf_open(m->items[i].file, SFM_READ, &info);
        assert_non_null(f);
        int16_t *want, *got = calloc((size_t)info.frames, sizeof *got);
        size_t n;
        qv_assert_ok(ctx, qv_synth_wave(ctx, 1, (int)i / 8, (int)i / 2 % 4, (int)i % 2, &want, &n));
        assert_true(info.samplerate == QV_SYNTH_RATE && info.channels == 1 && info.frames == (sf_count_t)n);
        assert_int_equal(sf_read_short(f, got, info.frames), info.frames);
        assert_memory_equal(got, want, n * sizeof *want);
        sf_close(f);
        free(want), free(got);
    }
    qv_manifest_free(m);
    assert_int_equal(qv_synth_corpus(ctx, dir, &o), QV_ERR_USAGE);
    assert_non_null(strstr(qv_ctx_message(ctx), "--force"));
    o.force = true;
    qv_assert_ok(ctx, qv_synth_corpus(ctx, dir, &o));
    free(path);
    qv_test_rmdir(dir);
    qv_ctx_free(ctx);
}

/* A link that lies where a recording is to be is replaced, not written through. */
static void links_are_not_followed(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_test_ctx();
    char *dir = qv_test_tmpdir(), *victim, *link, *text;
    size_t size;
    qv_synth_options o = {.speakers = 2, .sentences = 1, .seed = 1};
    qv_test_put(ctx, dir, "victim", "precious");
    qv_test_put(ctx, dir, "corpus/wav/keep", "");
    qv_assert_ok(ctx, qv_path_join(ctx, &victim, dir, "victim"));
    qv_assert_ok(ctx, qv_path_join(ctx, &link, dir, "corpus/wav/s01_anger_01.wav"));
    assert_int_equal(symlink(victim, link), 0);
    char *corpus;
    qv_assert_ok(ctx, qv_path_join(ctx, &corpus, dir, "corpus"));
    qv_assert_ok(ctx, qv_synth_corpus(ctx, corpus, &o));
    qv_assert_ok(ctx, qv_read_file(ctx, victim, 100, &text, &size));
    assert_string_equal(text, "precious");
    assert_int_equal(qv_synth_corpus(ctx, "", &o), QV_ERR_USAGE);
    free(text), free(corpus), free(link), free(victim);
    qv_test_rmdir(dir);
    qv_ctx_free(ctx);
}

static void refuses_what_cannot_be(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_ctx_new();
    char *dir = qv_test_tmpdir(), *file;
    static const qv_synth_options bad[] = {{.speakers = 1, .sentences = 8},
                                           {.speakers = 100, .sentences = 8},
                                           {.speakers = 8, .sentences = 0},
                                           {.speakers = 8, .sentences = 100},
                                           {.speakers = -5, .sentences = 8}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(qv_synth_corpus(ctx, dir, &bad[i]), QV_ERR_USAGE);
    }
    qv_synth_options o = qv_synth_defaults();
    qv_assert_ok(ctx, qv_path_join(ctx, &file, dir, "file"));
    qv_assert_ok(ctx, qv_write_file(ctx, file, "x", 1));
    assert_int_equal(qv_synth_corpus(ctx, file, &o), QV_ERR_IO);
    volatile int flag = 1;
    qv_ctx_cancel_flag(ctx, &flag);
    assert_int_equal(qv_synth_corpus(ctx, dir, &o), QV_ERR_INTERRUPTED);
    free(file);
    qv_test_rmdir(dir);
    qv_ctx_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_samples_everywhere),      cmocka_unit_test(emotions_differ_as_meant),
        cmocka_unit_test(every_part_changes_the_sound), cmocka_unit_test(writes_a_corpus_that_reads_back),
        cmocka_unit_test(links_are_not_followed),       cmocka_unit_test(refuses_what_cannot_be),
    };
    return cmocka_run_group_tests_name("synth", tests, NULL, NULL);
}
