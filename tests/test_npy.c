/* NumPy's files: what is read, what is refused and how; and features of a manifest of them. */
#include <math.h>

#include "base/buf.h"
#include "data/features.h"
#include "data/npy.h"
#include "support/support.h"
#include "train/settings.h"

static const char plain[] = "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }";

/* A file as numpy lays it out: magic, version, length, header padded to 64 bytes, `bytes` bytes of numbers. */
static void build(qv_buf *b, int version, const char *header, const void *numbers, size_t bytes)
{
    size_t prefix = version == 1 ? 10 : 12, length = strlen(header) + 1;
    while ((prefix + length) % 64) length++;
    unsigned char head[12] = {
        0x93, 'N', 'U', 'M', 'P', 'Y', (unsigned char)version, 0, (unsigned char)length, (unsigned char)(length >> 8)};
    qv_buf_add(b, head, prefix);
    qv_buf_puts(b, header);
    for (size_t i = strlen(header) + 1; i < length; i++) qv_buf_puts(b, " ");
    qv_buf_puts(b, "\n");
    if (bytes) qv_buf_add(b, numbers, bytes);
}

static char *put(qv_ctx *ctx, const char *dir, const char *name, const qv_buf *b)
{
    char *path;
    qv_assert_ok(ctx, qv_path_join(ctx, &path, dir, name));
    qv_assert_ok(ctx, qv_write_file(ctx, path, b->data, b->len));
    return path;
}

/* Opens a file of these bytes, and closes it where that worked. */
static qv_status try_bytes(qv_ctx *ctx, const char *dir, const qv_buf *b)
{
    qv_npy npy;
    char *path = put(ctx, dir, "x.npy", b);
    qv_status status = qv_npy_open(ctx, &npy, path);
    if (status == QV_OK) qv_npy_close(&npy);
    free(path);
    return status;
}

static void good_headers(void **state)
{
    static const char *const headers[] = {
        plain,
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2)}",
        "{\"shape\":(3,2,),\"descr\":\"<f4\",\"fortran_order\":False}",
        "  { 'shape' : ( 3L , 2L ) ,\n 'fortran_order' : False , 'descr' : '<f4' } ",
    };
    const float numbers[6] = {1, 2, 3, 4, 5, 6};
    qv_ctx *ctx = qv_test_ctx();
    char *dir = qv_test_tmpdir();
    (void)state;
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++)
        for (int version = 1; version <= 3; version++) {
            qv_buf b = {0};
            float out[4];
            qv_npy npy;
            build(&b, version, headers[i], numbers, sizeof numbers);
            char *path = put(ctx, dir, "x.npy", &b);
            qv_assert_ok(ctx, qv_npy_open(ctx, &npy, path));
            assert_int_equal(npy.rows, 3);
            assert_int_equal(npy.columns, 2);
            qv_assert_ok(ctx, qv_npy_rows(ctx, &npy, 1, 2, out));
            assert_memory_equal(out, numbers + 2, sizeof out);
            qv_npy_close(&npy);
            free(path);
            qv_buf_free(&b);
        }
    qv_test_rmdir(dir);
    qv_ctx_free(ctx);
}

static void bad_headers(void **state)
{
    static const struct {
        const char *header, *says;
    } cases[] = {
        {"{'descr': '>f4', 'fortran_order': False, 'shape': (3, 2), }", "astype('<f4')"},
        {"{'descr': '<i4', 'fortran_order': False, 'shape': (3, 2), }", "'<i4'"},
        {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (3, 2), }", "records"},
        {"{'descr': '<f4', 'fortran_order': True, 'shape': (3, 2), }", "ascontiguousarray"},
        {"{'descr': '<f4', 'fortran_order': Maybe, 'shape': (3, 2), }", "True or False"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (6,), }", "1 dimension;"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (), }", "0 dimensions"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 3, 2), }", "3 dimensions"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, 1, 1, 1, 1, 1, 3, 2), }", "end of a shape"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (3 2), }", "comma"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (-3, 2), }", "a length"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999, 2), }", "63 bits"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775807, 2), }", "frames; 1 to"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (0, 2), }", "0 frames"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (3, 0), }", "frames of 0 values"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4097), }", "frames of 4097 values"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (4, 2), }", "cut short"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2147483647, 4096), }", "cut short"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }", "no file of one array"},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (3, 2), }", "cut short"},
        {"{'descr': '<f4', 'fortran_order': False}", "lacks one of"},
        {"{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }", "twice"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), 'x': 1}", "key 'x'"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2)} more", "end of the header"},
        {"{'descr': '<f4' 'fortran_order': False, 'shape': (3, 2)}", "comma or the closing brace"},
        {"{'descr' '<f4', 'fortran_order': False, 'shape': (3, 2)}", "a colon"},
        {"{'descr: <f4}", "quoted text"},
        {"{'descr': '<f4444444444444444444'}", "short quoted text"},
        {"('descr', '<f4')", "opening brace"},
        {"", "opening brace"},
    };
    const float numbers[6] = {0};
    qv_ctx *ctx = qv_test_ctx();
    char *dir = qv_test_tmpdir();
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        qv_buf b = {0};
        build(&b, 1, cases[i].header, numbers, sizeof numbers);
        assert_int_equal(try_bytes(ctx, dir, &b), QV_ERR_DATA);
        qv_test_says(qv_ctx_message(ctx), cases[i].says);
        qv_test_says(qv_ctx_message(ctx), "x.npy");
        qv_buf_free(&b);
    }
    qv_test_rmdir(dir);
    qv_ctx_free(ctx);
}

/* Every length that the file can be cut to, other versions, a header that claims to be huge. */
static void damaged_files(void **state)
{
    const float numbers[6] = {0};
    qv_ctx *ctx = qv_test_ctx();
    char *dir = qv_test_tmpdir();
    qv_buf b = {0};
    (void)state;
    build(&b, 2, plain, numbers, sizeof numbers);
    for (size_t n = 0; n < b.len; n++) {
        qv_buf cut = {.data = b.data, .len = n};
        assert_int_equal(try_bytes(ctx, dir, &cut), QV_ERR_DATA);
    }
    b.data[6] = 4;
    assert_int_equal(try_bytes(ctx, dir, &b), QV_ERR_DATA);
    qv_test_says(qv_ctx_message(ctx), "version 4.0");
    b.data[6] = 2;
    b.data[11] = 0x7f;
    assert_int_equal(try_bytes(ctx, dir, &b), QV_ERR_DATA);
    qv_test_says(qv_ctx_message(ctx), "at most 65536");
    b.data[0] = 'R';
    assert_int_equal(try_bytes(ctx, dir, &b), QV_ERR_DATA);
    qv_test_says(qv_ctx_message(ctx), "no NPY file");
    assert_int_equal(qv_npy_open(ctx, &(qv_npy){0}, dir), QV_ERR_DATA);
    assert_int_equal(qv_npy_open(ctx, &(qv_npy){0}, "/nonexistent.npy"), QV_ERR_IO);
    qv_buf_free(&b);
    qv_test_rmdir(dir);
    qv_ctx_free(ctx);
}

/* The first number that cannot be used is named by row and column. */
static void numbers_refused(void **state)
{
    static const double bad[] = {NAN, INFINITY, -INFINITY, 1.5e30, -1e300};
    qv_ctx *ctx = qv_test_ctx();
    char *dir = qv_test_tmpdir();
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        double numbers[6] = {1, 2, 1e30, 4, 5, 6};
        float out[6];
        qv_buf b = {0};
        qv_npy npy;
        numbers[3] = bad[i];
        build(&b, 1, "{'descr': '<f8', 'fortran_order': False, 'shape': (3, 2)}", numbers, sizeof numbers);
        char *path = put(ctx, dir, "x.npy", &b);
        qv_assert_ok(ctx, qv_npy_open(ctx, &npy, path));
        qv_assert_ok(ctx, qv_npy_rows(ctx, &npy, 2, 1, out));
        assert_true(out[1] == 6);
        assert_int_equal(qv_npy_rows(ctx, &npy, 0, 3, out), QV_ERR_DATA);
        qv_test_says(qv_ctx_message(ctx), "frame 1, value 1");
        qv_npy_close(&npy);
        free(path);
        qv_buf_free(&b);
    }
    qv_test_rmdir(dir);
    qv_ctx_free(ctx);
}

/* All 65536 of them, by the standard's formula in double. */
static void half_precision(void **state)
{
    (void)state;
    for (unsigned bits = 0; bits < 65536; bits++) {
        int exponent = (int)(bits >> 10 & 31);
        double fraction = (bits & 1023) / 1024.0, sign = bits & 0x8000 ? -1 : 1;
        double want = exponent ? (1 + fraction) * pow(2, exponent - 15) : fraction * pow(2, -14);
        double got = (double)qv_npy_half((uint16_t)bits);
        if (exponent == 31)
            assert_true(fraction > 0 ? isnan(got) : isinf(got) && (got > 0) == (sign > 0));
        else
            assert_true(got == sign * want);
    }
}

/* A manifest of `n` recordings of 10 frames, each of two values: recording and frame. */
static qv_manifest *corpus(qv_ctx *ctx, const char *dir, int n)
{
    qv_manifest *m;
    qv_assert_ok(ctx, qv_manifest_new(ctx, &m));
    for (int i = 0; i < n; i++) {
        float numbers[20];
        char name[16];
        qv_buf b = {0};
        for (int k = 0; k < 20; k++) numbers[k] = (float)(k % 2 ? k / 2 : i);
        build(&b, 1, "{'descr': '<f4', 'fortran_order': False, 'shape': (10, 2)}", numbers, sizeof numbers);
        snprintf(name, sizeof name, "%d.npy", i);
        char *path = put(ctx, dir, name, &b);
        qv_assert_ok(ctx, qv_manifest_add(ctx, m, path, name, NULL, NULL, NULL));
        free(path);
        qv_buf_free(&b);
    }
    qv_assert_ok(ctx, qv_manifest_finish(ctx, m, NULL));
    return m;
}

static void features_of_files(void **state)
{
    qv_ctx *ctx = qv_test_ctx();
    char *dir = qv_test_tmpdir();
    qv_manifest *m = corpus(ctx, dir, 5);
    qv_feature_config c = qv_feature_defaults();
    qv_feature_options o = {.cache_dir = dir, .threads = 2};
    (void)state;
    c.hop = 0.5;
    m->items[3].start = 1;
    m->items[3].end = 2.3; /* frames 2 to 5: 4.6 is nearest to 5 */
    m->items[4].end = 99;
    qv_assert_ok(ctx, qv_feature_detect(ctx, m, &c));
    assert_int_equal(c.kind, QV_KIND_NPY);
    assert_int_equal(c.mels, 2);
    for (int again = 0; again < 2; again++) {
        qv_features *f;
        qv_assert_ok(ctx, qv_features_open(ctx, &f, m, &c, &o));
        assert_int_equal(f->from_cache, again);
        assert_int_equal(f->frames, 43);
        assert_int_equal(f->entries[3].frames, 3);
        const float *x = f->data + 2 * f->entries[3].first_frame;
        assert_true(x[0] == 3 && x[1] == 2 && x[5] == 4);
        qv_features_close(f);
    }
    m->items[2].start = 7;
    c.mels = 3;
    qv_features *f;
    assert_int_equal(qv_features_open(ctx, &f, m, &c, &o), QV_ERR_USAGE);
    qv_test_says(qv_ctx_message(ctx), "frames of 2 values where 3 were expected");
    c.mels = 2;
    qv_assert_ok(ctx, qv_features_open(ctx, &f, m, &c, &o)); /* the one that begins behind its end is left out */
    assert_int_equal(f->skipped, 1);
    qv_test_says(f->entries[2].skipped, "no frame between 7");
    qv_features_close(f);
    m->items[0].channel = 1;
    assert_int_equal(qv_features_open(ctx, &f, m, &c, &o), QV_ERR_USAGE);
    qv_manifest_free(m);
    qv_test_rmdir(dir);
    qv_ctx_free(ctx);
}

static void kinds_are_told_apart(void **state)
{
    qv_ctx *ctx = qv_test_ctx();
    char *dir = qv_test_tmpdir();
    qv_manifest *m = corpus(ctx, dir, 2), *sound, *both, *named;
    qv_settings s;
    (void)state;
    qv_assert_ok(ctx, qv_settings_init(ctx, &s));
    qv_assert_ok(ctx, qv_manifest_new(ctx, &sound));
    qv_assert_ok(ctx, qv_manifest_add(ctx, sound, "/x/a.wav", "a.wav", NULL, NULL, NULL));
    qv_assert_ok(ctx, qv_settings_detect(ctx, &s, sound));
    assert_int_equal(s.kind, QV_KIND_MEL);
    assert_int_equal(s.mels, 64);
    s.rate = 8000;
    qv_assert_ok(ctx, qv_settings_detect(ctx, &s, sound));
    assert_int_equal(s.rate, 8000);
    qv_assert_ok(ctx, qv_manifest_new(ctx, &both));
    qv_assert_ok(ctx, qv_manifest_add(ctx, both, m->items[0].file, "0.npy", NULL, NULL, NULL));
    qv_assert_ok(ctx, qv_manifest_add(ctx, both, "/x/a.wav", "a.wav", NULL, NULL, NULL));
    assert_int_equal(qv_settings_detect(ctx, &s, both), QV_ERR_USAGE);
    qv_test_says(qv_ctx_message(ctx), "0.npy holds frames and a.wav does not");
    s.warp = 0.1;
    assert_int_equal(qv_settings_detect(ctx, &s, m), QV_ERR_USAGE);
    qv_test_says(qv_ctx_message(ctx), "augment.warp");
    s.warp = 0;
    qv_assert_ok(ctx, qv_settings_detect(ctx, &s, m));
    assert_int_equal(s.mels, 2);
    s.patch_frames = 7;
    assert_int_equal(qv_settings_patch_frames(&s), 7);
    /* What is said of sound means nothing there: it keeps no training from being the same. */
    static const char *const of_sound[][2] = {{"rate", "8000"}, {"window", "0.05"}, {"fft", "1024"}, {"low", "50"}, {"high", "4000"},
                                              {"floor", "1e-9"}, {"trim", "0"}, {"loudness", "rms"}};
    qv_settings changed;
    qv_buf values = {0};
    qv_assert_ok(ctx, qv_settings_init(ctx, &changed));
    changed.patch_frames = 7;
    for (size_t i = 0; i < sizeof of_sound / sizeof *of_sound; i++) {
        char name[32];
        snprintf(name, sizeof name, "features.%s", of_sound[i][0]);
        qv_assert_ok(ctx, qv_settings_set(ctx, &changed, name, of_sound[i][1]));
    }
    qv_assert_ok(ctx, qv_settings_detect(ctx, &changed, m));
    assert_null(qv_settings_differ(&s, &changed, "", &values));
    changed.hop = 0.01;
    qv_assert_ok(ctx, qv_settings_detect(ctx, &changed, m));
    assert_string_equal(qv_settings_differ(&s, &changed, "", &values), "features.hop");
    qv_buf_free(&values);
    qv_settings_free(&changed);
    /* Asked for, the kind holds for files of any name. */
    qv_assert_ok(ctx, qv_manifest_new(ctx, &named));
    qv_assert_ok(ctx, qv_manifest_add(ctx, named, "/x/a.frames", "a.frames", NULL, NULL, NULL));
    assert_int_equal(qv_settings_detect(ctx, &s, named), QV_ERR_IO);
    qv_test_says(qv_ctx_message(ctx), "none of the 1 files");
    qv_manifest_free(named);
    qv_manifest_free(both);
    qv_manifest_free(sound);
    qv_manifest_free(m);
    qv_settings_free(&s);
    qv_test_rmdir(dir);
    qv_ctx_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_headers),         cmocka_unit_test(bad_headers),    cmocka_unit_test(damaged_files),
        cmocka_unit_test(numbers_refused),      cmocka_unit_test(half_precision), cmocka_unit_test(features_of_files),
        cmocka_unit_test(kinds_are_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
