/* The public predictor: under any locale, with any batch, on samples of any kind. */
#include <locale.h>
#include <math.h>

#include "quaver/predictor.h"
#include "support/support.h"
#include "support/toy.h"
#include "train/checkpoint.h"
#include "train/speaker.h"

static const qv_toy_shape shape = {
    .speakers = 2, .classes = 2, .takes = 2, .mels = 8, .shortest = 10, .longest = 20, .apart = 3};

enum { RATE = 16000, LONGEST = 2 * RATE, CLASSES = 2 };

typedef struct fixture {
    qv_toy_bench bench;
    char *dir;
    qv_predictor *p;
    float samples[LONGEST];
} fixture;

static int setup(void **state)
{
    fixture *x = calloc(1, sizeof *x);
    assert_non_null(x);
    qv_toy_bench_open(&x->bench, &shape);
    x->bench.settings.keep_chance = 0.025; /* a number with a point in it */
    qv_toy_bench_train(&x->bench, x->bench.toy.n, 2);
    x->dir = qv_test_tmpdir();
    for (int i = 0; i < LONGEST; i++) x->samples[i] = 0.3f * sinf(0.05f * (float)i) * sinf(2e-4f * (float)i);
    *state = x;
    return 0;
}

static int teardown(void **state)
{
    fixture *x = *state;
    qv_predictor_close(x->p);
    qv_toy_bench_close(&x->bench);
    qv_test_rmdir(x->dir);
    free(x);
    return 0;
}

/* A checkpoint of the bench's weights under changed settings; the path is the caller's. */
static char *save(const fixture *x, const char *name, const qv_settings *s)
{
    char *path;
    qv_checkpoint_info info = {.step = 2, .epoch = 1, .loss = {0.7, 1}, .best_epoch = 1, .best_ua = 0.625};
    qv_assert_ok(x->bench.ctx, qv_path_join(x->bench.ctx, &path, x->dir, name));
    qv_assert_ok(x->bench.ctx, qv_checkpoint_save(x->bench.ctx, x->bench.trainer, s, x->bench.data, "1", &info, path));
    return path;
}

static void open_saved(fixture *x, const char *name, const qv_settings *s)
{
    char *path = save(x, name, s);
    qv_predictor_close(x->p);
    qv_assert_ok(x->bench.ctx, qv_predictor_open(x->bench.ctx, &x->p, path, 1));
    free(path);
}

static void judge(fixture *x, size_t n, double probs[CLASSES])
{
    qv_assert_ok(x->bench.ctx, qv_predictor_samples(x->bench.ctx, x->p, x->samples, n, probs));
    assert_true(fabs(probs[0] + probs[1] - 1) < 1e-5);
}

/* Which is of the training alone. Nor does what was judged before. */
static void the_batch_does_not_matter(void **state)
{
    fixture *x = *state;
    static const int batches[] = {1, 3, 32};
    static const size_t lengths[] = {LONGEST, 100, LONGEST / 2, LONGEST};
    double first[4][CLASSES], probs[CLASSES];
    for (size_t b = 0; b < sizeof batches / sizeof *batches; b++) {
        qv_settings s = x->bench.settings;
        s.batch = batches[b];
        open_saved(x, "batch.safetensors", &s);
        for (size_t i = 0; i < 4; i++) {
            judge(x, lengths[i], b ? probs : first[i]);
            for (int k = 0; b && k < CLASSES; k++) assert_true(fabs(probs[k] - first[i][k]) <= 1e-6);
        }
    }
    assert_memory_equal(first[0], first[3], sizeof first[0]);
}

static void what_is_no_sound_is_refused(void **state)
{
    fixture *x = *state;
    static const struct {
        float sample;
        const char *says;
    } cases[] = {{NAN, "sample 777, counted from 0, is nan"},
                 {INFINITY, "sample 777, counted from 0, is inf"},
                 {-2e10f, "sample 777, counted from 0, is -2e+10"}};
    double before[CLASSES], after[CLASSES];
    open_saved(x, "sound.safetensors", &x->bench.settings);
    judge(x, LONGEST, before);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        float fine = x->samples[777];
        x->samples[777] = cases[i].sample;
        assert_int_equal(qv_predictor_samples(x->bench.ctx, x->p, x->samples, LONGEST, after), QV_ERR_DATA);
        qv_test_says(qv_ctx_message(x->bench.ctx), cases[i].says);
        x->samples[777] = fine;
    }
    static const float zeros[1000];
    assert_int_equal(qv_predictor_samples(x->bench.ctx, x->p, zeros, 1000, after), QV_ERR_DATA);
    qv_test_says(qv_ctx_message(x->bench.ctx), "1000 samples hold no signal");
    assert_int_equal(qv_predictor_samples(x->bench.ctx, x->p, zeros, 0, after), QV_ERR_DATA);
    assert_int_equal(qv_predictor_file(x->bench.ctx, x->p, "/nowhere/a.wav", after), QV_ERR_IO);
    qv_predictor *none;
    assert_int_equal(qv_predictor_open(x->bench.ctx, &none, "/nowhere/a.safetensors", 1), QV_ERR_IO);
    assert_null(none);
    judge(x, LONGEST, after);
    assert_memory_equal(before, after, sizeof before);
}

/* One that is installed, or made by glibc's tools. */
static bool take_comma_locale(const char *dir)
{
    static const char *const names[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "nl_NL.UTF-8", "pt_BR.UTF-8", "ru_RU.UTF-8"};
    char command[4096];
    bool there = false;
    for (size_t i = 0; i < sizeof names / sizeof *names && !there; i++) there = setlocale(LC_ALL, names[i]);
    if (!there) {
        snprintf(command, sizeof command, "localedef -i de_DE -f UTF-8 '%s/de_DE.UTF-8' >'%s/log' 2>&1", dir, dir);
        there = system(command) == 0 && setenv("LOCPATH", dir, 1) == 0 && setlocale(LC_ALL, "de_DE.UTF-8");
    }
    return there && strcmp(localeconv()->decimal_point, ",") == 0;
}

static void assert_same_file(const fixture *x, const char *a, const char *b)
{
    char *first, *second;
    size_t n, m;
    qv_assert_ok(x->bench.ctx, qv_read_file(x->bench.ctx, a, 1 << 24, &first, &n));
    qv_assert_ok(x->bench.ctx, qv_read_file(x->bench.ctx, b, 1 << 24, &second, &m));
    assert_int_equal(n, m);
    assert_memory_equal(first, second, n);
    free(first);
    free(second);
}

static char *save_voice(const fixture *x, const char *name)
{
    char *path;
    float norm[2 * 8];
    for (int i = 0; i < 16; i++) norm[i] = i < 8 ? -5 : 0.5f;
    qv_speaker voice = {.name = (char[]){"s1"}, .seconds = 12.5, .norm = norm};
    qv_assert_ok(x->bench.ctx, qv_path_join(x->bench.ctx, &path, x->dir, name));
    qv_assert_ok(x->bench.ctx, qv_speaker_write(x->bench.ctx, &voice, &x->bench.settings, path));
    return path;
}

static void assert_judges(fixture *x, const char *checkpoint, const char *voice, double probs[CLASSES])
{
    double again[CLASSES];
    qv_predictor_close(x->p);
    qv_assert_ok(x->bench.ctx, qv_predictor_open_speaker(x->bench.ctx, &x->p, checkpoint, voice, 1));
    judge(x, LONGEST, again);
    for (int k = 0; k < CLASSES; k++) {
        if (probs[k] != 0) assert_true(probs[k] == again[k]);
        probs[k] = again[k];
    }
}

/* A program may have a decimal comma: it writes and reads the files of those that have a point. */
static void the_locale_does_not_matter(void **state)
{
    fixture *x = *state;
    qv_settings s = x->bench.settings;
    double probs[CLASSES] = {0};
    s.normalize = QV_NORM_SPEAKER;
    char *checkpoint = save(x, "point.safetensors", &s), *voice = save_voice(x, "point.voice");
    assert_judges(x, checkpoint, voice, probs);
    if (take_comma_locale(x->dir)) {
        char *comma = save(x, "comma.safetensors", &s), *comma_voice = save_voice(x, "comma.voice");
        assert_same_file(x, checkpoint, comma);
        assert_same_file(x, voice, comma_voice);
        assert_judges(x, comma, comma_voice, probs);
        assert_string_equal(localeconv()->decimal_point, ","); /* as it was */
        free(comma);
        free(comma_voice);
    } else {
        print_message("SKIPPED: no locale with a decimal comma\n");
    }
    setlocale(LC_ALL, "C");
    free(checkpoint);
    free(voice);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_batch_does_not_matter, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_no_sound_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(the_locale_does_not_matter, setup, teardown),
    };
    return cmocka_run_group_tests_name("predictor", tests, NULL, NULL);
}
