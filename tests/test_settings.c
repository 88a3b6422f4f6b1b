/* Settings: every one prints and reads back, and what is wrong with a file is said with its line. */
#include <math.h>

#include "base/ini.h"
#include "support/support.h"
#include "train/settings.h"

/* Two sets of settings, with the text of the first. */
typedef struct pair {
    qv_ctx *ctx;
    qv_settings a, b;
    qv_buf text;
} pair;

static pair open_pair(void)
{
    pair p = {.ctx = qv_ctx_new()};
    qv_assert_ok(p.ctx, qv_settings_init(p.ctx, &p.a));
    qv_assert_ok(p.ctx, qv_settings_init(p.ctx, &p.b));
    return p;
}

static void close_pair(pair *p)
{
    qv_buf_free(&p->text);
    qv_settings_free(&p->a);
    qv_settings_free(&p->b);
    qv_ctx_free(p->ctx);
}

static void assert_message(const pair *p, const char *part)
{
    if (strstr(qv_ctx_message(p->ctx), part)) return;
    print_error("expected \"%s\" in: %s\n", part, qv_ctx_message(p->ctx));
    fail();
}

/* b becomes what a's printed text says; both must then be the same. */
static void read_back(pair *p)
{
    qv_buf again = {0};
    qv_buf_free(&p->text);
    qv_settings_print(&p->a, &p->text);
    qv_assert_ok(p->ctx, qv_settings_parse(p->ctx, &p->b, "printed", p->text.data));
    qv_settings_print(&p->b, &again);
    assert_string_equal(again.data, p->text.data);
    assert_null(qv_settings_differ(&p->a, &p->b, "", &again));
    qv_buf_free(&again);
}

/* Copies "section.key" of the next line that has a value; NULL after the last. */
static const char *next_name(const char *at, char section[64], char name[160])
{
    while (*at) {
        const char *end = at + strcspn(at, "\n");
        if (*at == '[') sscanf(at, "[%63[^]]", section);
        bool found = *at && *at != '[' && *at != '\n';
        if (found) {
            char key[64];
            assert_int_equal(sscanf(at, "%63[^ =]", key), 1);
            snprintf(name, 160, "%s.%s", section, key);
        }
        at = *end ? end + 1 : end;
        if (found) return at;
    }
    return NULL;
}

/* Each is good for several settings; all that a setting accepts must survive. */
static const char *const candidates[] = {
    "0", "1", "2", "16", "0.0123456789012345678", "0.3", "1e-5", "20000", "48000", "18446744073709551615", "yes", "no",
    "mel", "npy", "image", "none", "rms", "corpus", "speaker", "utterance", "preact", "preact-bn", "relu", "relu-bn", "conv", "shift", "even", "shake", "keep",
    "batch", "sample", "constant", "linear", "cosine", "sgd", "adamw", "softmax", "arcface", "balanced", "natural", "speakers", "random", "last", "best", "running", "cpu", "ref", "ref32",
    "cuda", "cuda:1", "fp32", "tf32", "bf16", "auto", "base", "avx2", "avx512", "a b; c # d = e: \"f\".csv", "\xC3\xA4rger,joy=happiness"};
enum { CANDIDATES = sizeof candidates / sizeof *candidates };

static void every_setting_reads_back(void **state)
{
    (void)state;
    pair p = open_pair();
    qv_buf names = {0};
    char section[64] = "", name[160];
    int settings = 0;
    qv_settings_print(&p.a, &names);
    for (const char *at = names.data; (at = next_name(at, section, name)); settings++) {
        int accepted = 0;
        for (int i = 0; i < CANDIDATES; i++) {
            if (qv_settings_set(p.ctx, &p.a, name, candidates[i]) != QV_OK) continue;
            accepted++;
            read_back(&p);
        }
        if (accepted < 2) print_error("%s takes %d of the candidates\n", name, accepted);
        assert_true(accepted >= 2);
    }
    assert_true(settings >= 40);
    qv_buf_free(&names);
    close_pair(&p);
}

static void reals_keep_their_bits(void **state)
{
    (void)state;
    pair p = open_pair();
    uint64_t random = qv_test_seed();
    for (int i = 0; i < 200; i++) {
        p.a.lr = qv_test_uniform(&random, 0, 1) * pow(10, -(i % 20));
        p.a.bn_eps = 1e-12 + qv_test_uniform(&random, 0, 0.5);
        read_back(&p);
        assert_true(p.b.lr == p.a.lr && p.b.bn_eps == p.a.bn_eps);
    }
    p.a.lr = 0.05;
    read_back(&p);
    assert_non_null(strstr(p.text.data, "\nlr = 0.05\n")); /* and no more digits than they need */
    close_pair(&p);
}

static void typo_is_answered(void **state)
{
    (void)state;
    static const struct {
        const char *name, *message;
    } rows[] = {
        {"net.widht", "no setting net.widht; did you mean net.width?"},
        {"widht", "did you mean net.width?"},
        {"train.epoch", "did you mean train.epochs?"},
        {"feature.mels", "did you mean features.mels?"},
        {"TRAIN.LR", "did you mean train.lr?"},
        {"quite.another.thing", "`quaver help settings`"},
        {"", "there is no setting"},
    };
    pair p = open_pair();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(qv_settings_set(p.ctx, &p.a, rows[i].name, "1"), QV_ERR_USAGE);
        assert_message(&p, rows[i].message);
    }
    close_pair(&p);
}

static void bad_value_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *name, *value, *expected;
    } rows[] = {
        {"net.width", "0", "net.width = 0: expected a whole number from 1 to 1024"},
        {"net.width", "1025", "1 to 1024"},
        {"net.width", "2.5", "a whole number"},
        {"net.width", "", "a whole number"},
        {"net.width", "16x", "a whole number"},
        {"net.width", "1e400", "a whole number"},
        {"train.lr", "nan", "a number from 0 to 100"},
        {"train.lr", "inf", "a number from 0 to 100"},
        {"train.lr", "-1", "a number from 0 to 100"},
        {"train.nesterov", "maybe", "yes or no"},
        {"train.seed", "-1", "2^64 - 1"},
        {"train.seed", "18446744073709551616", "2^64 - 1"},
        {"train.seed", "0x10", "2^64 - 1"},
        {"net.order", "bn", "one of preact, preact-bn, relu, relu-bn"},
        {"run.device", "gpu", "one of cpu, ref, ref32, cuda"},
        {"run.isa", "axv2", "one of auto, base, avx2, avx512"},
        {"corpus.manifest", "two\nlines", "one line"},
        {"corpus.manifest", " space", "without spaces around it"},
        {"corpus.manifest", "tab\t", "without spaces around it"},
        {"corpus.labels", "\xFF", "UTF-8"},
    };
    pair p = open_pair();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(qv_settings_set(p.ctx, &p.a, rows[i].name, rows[i].value), QV_ERR_USAGE);
        assert_message(&p, rows[i].name);
        assert_message(&p, rows[i].expected);
    }
    assert_null(qv_settings_differ(&p.a, &p.b, "", &p.text)); /* nothing was set on the way */
    close_pair(&p);
}

static void file_as_people_write_them(void **state)
{
    (void)state;
    pair p = open_pair();
    static const char text[] = "\xEF\xBB\xBF; a comment\r\n"
                               "  # another\r\n"
                               "\r\n"
                               "train.epochs = 7\r\n"
                               "[net]\r\n"
                               "  width=12   ; channels\r\n"
                               "groups : 3\t# of them\r\n"
                               "[ shake ] ; a section\r\n"
                               "gamma0 = 1\r\n"
                               "[corpus]\r\n"
                               "manifest = a;b # c ; d.csv\r\n"
                               "[train]\r\n"
                               "nesterov = off";
    qv_assert_ok(p.ctx, qv_settings_parse(p.ctx, &p.a, "people.ini", text));
    assert_true(p.a.epochs == 7 && p.a.width == 12 && p.a.groups == 3 && p.a.gamma0 == 1 && !p.a.nesterov);
    assert_string_equal(p.a.manifest, "a;b # c ; d.csv");
    close_pair(&p);
}

/* An editor that ends lines with a lone CR does not make a comment of all that follows one. */
static void lone_returns_end_lines(void **state)
{
    (void)state;
    pair p = open_pair();
    qv_assert_ok(p.ctx, qv_settings_parse(p.ctx, &p.a, "old.ini", "# mine\r[train]\r\nepochs = 3\r\rlr = 0.5\r"));
    assert_true(p.a.epochs == 3 && p.a.lr == 0.5);
    close_pair(&p);
}

static void long_line_is_read_whole(void **state)
{
    (void)state;
    pair p = open_pair();
    char long_text[20001];
    memset(long_text, 'x', sizeof long_text);
    long_text[sizeof long_text - 1] = '\0';
    qv_assert_ok(p.ctx, qv_settings_set(p.ctx, &p.a, "corpus.labels", long_text));
    read_back(&p);
    assert_string_equal(p.b.labels, long_text);
    close_pair(&p);
}

static void bad_file_is_refused_with_its_line(void **state)
{
    (void)state;
    char long_section[QV_INI_SECTION + 10];
    memset(long_section, '0', sizeof long_section);
    long_section[0] = '[';
    snprintf(long_section + sizeof long_section - 2, 2, "]");
    const struct {
        const char *text, *message;
        qv_status status;
    } rows[] = {
        {"[net]\n\nwidht = 3\n", "bad.ini:3: there is no setting net.widht; did you mean net.width?", QV_ERR_USAGE},
        {"; one\n[net]\nwidth = wide", "bad.ini:3: net.width = wide: expected a whole number", QV_ERR_USAGE},
        {"net.width = 3\n[net]\nblocks = 1\nwidth = 3", "bad.ini:4: net.width is given twice", QV_ERR_USAGE},
        {"width = 3", "bad.ini:1: there is no setting width; did you mean net.width?", QV_ERR_USAGE},
        {"[net]\nwidth", "bad.ini:2: expected key = value, found width", QV_ERR_DATA},
        {"= 3", "bad.ini:1: expected key = value", QV_ERR_DATA},
        {"; one\r\r\n[net]\rwidth", "bad.ini:4: expected key = value, found width", QV_ERR_DATA},
        {"\n[net", "bad.ini:2: expected [section], found [net", QV_ERR_DATA},
        {"[net] width = 3", "bad.ini:1: expected [section]", QV_ERR_DATA},
        {long_section, "bad.ini:1: expected [section]", QV_ERR_DATA},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        pair p = open_pair();
        assert_int_equal(qv_settings_parse(p.ctx, &p.a, "bad.ini", rows[i].text), rows[i].status);
        assert_message(&p, rows[i].message);
        close_pair(&p);
    }
}

static void file_is_checked(void **state)
{
    (void)state;
    pair p = open_pair();
    char *dir = qv_test_tmpdir(), *path;
    static const char with_nul[] = "[net]\nwidth = 3\n\0[train]\n";
    char *large = calloc(1, (1 << 20) + 2);
    assert_non_null(large);
    memset(large, '\n', (1 << 20) + 1);
    qv_assert_ok(p.ctx, qv_path_join(p.ctx, &path, dir, "file.ini"));
    assert_int_equal(qv_settings_read(p.ctx, &p.a, path), QV_ERR_IO);
    assert_message(&p, path);
    assert_int_equal(qv_settings_read(p.ctx, &p.a, dir), QV_ERR_DATA);
    qv_assert_ok(p.ctx, qv_write_file(p.ctx, path, with_nul, sizeof with_nul - 1));
    assert_int_equal(qv_settings_read(p.ctx, &p.a, path), QV_ERR_DATA);
    assert_message(&p, "NUL");
    qv_assert_ok(p.ctx, qv_write_file(p.ctx, path, large, (1 << 20) + 1));
    assert_int_equal(qv_settings_read(p.ctx, &p.a, path), QV_ERR_DATA);
    assert_message(&p, "larger than");
    qv_assert_ok(p.ctx, qv_write_file(p.ctx, path, "", 0));
    qv_assert_ok(p.ctx, qv_settings_read(p.ctx, &p.a, path));
    assert_null(qv_settings_differ(&p.a, &p.b, "", &p.text));
    free(large);
    free(path);
    qv_test_rmdir(dir);
    close_pair(&p);
}

static void presets_are_networks(void **state)
{
    (void)state;
    pair p = open_pair();
    p.a.epochs = 3;
    qv_assert_ok(p.ctx, qv_settings_preset(p.ctx, &p.a, "reference"));
    assert_true(p.a.width == 32 && p.a.blocks == 2 && p.a.order == QV_ORDER_PREACT_BN && p.a.epochs == 3);
    p.a.order = QV_ORDER_PREACT;
    qv_assert_ok(p.ctx, qv_settings_preset(p.ctx, &p.a, "small"));
    assert_true(p.a.width == 16 && p.a.blocks == 1 && p.a.order == QV_ORDER_PREACT_BN && p.a.epochs == 3);
    assert_int_equal(qv_settings_preset(p.ctx, &p.a, "large"), QV_ERR_USAGE);
    assert_message(&p, "no preset large; expected small or reference");
    close_pair(&p);
}

static void difference_is_named(void **state)
{
    (void)state;
    pair p = open_pair();
    p.b.threads = 3;
    p.b.isa = 1;
    assert_null(qv_settings_differ(&p.a, &p.b, "", &p.text));
    p.b.lr = nextafter(p.a.lr, 1);
    assert_string_equal(qv_settings_differ(&p.a, &p.b, "", &p.text), "train.lr");
    p.b.lr = p.a.lr;
    qv_assert_ok(p.ctx, qv_settings_set(p.ctx, &p.b, "corpus.labels", "anger,joy"));
    p.text.len = 0;
    assert_string_equal(qv_settings_differ(&p.a, &p.b, "", &p.text), "corpus.labels");
    assert_string_equal(p.text.data, "none then, anger,joy now");
    close_pair(&p);
}

/* A line for each setting, with its default where there is one. */
static void help_lists_everything(void **state)
{
    (void)state;
    pair p = open_pair();
    qv_buf names = {0};
    char section[64] = "", name[160];
    qv_settings_print(&p.a, &names);
    qv_settings_help(&p.text);
    for (const char *at = names.data; (at = next_name(at, section, name));) {
        char wanted[200];
        snprintf(wanted, sizeof wanted, "\n  %s ", strchr(name, '.') + 1);
        assert_non_null(strstr(p.text.data, wanted));
    }
    assert_non_null(strstr(p.text.data, "[16000]"));
    qv_buf_free(&names);
    close_pair(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_setting_reads_back),  cmocka_unit_test(reals_keep_their_bits),
        cmocka_unit_test(typo_is_answered),          cmocka_unit_test(bad_value_is_refused),
        cmocka_unit_test(file_as_people_write_them), cmocka_unit_test(long_line_is_read_whole),
        cmocka_unit_test(file_is_checked),           cmocka_unit_test(bad_file_is_refused_with_its_line),
        cmocka_unit_test(presets_are_networks),      cmocka_unit_test(difference_is_named),
        cmocka_unit_test(help_lists_everything),     cmocka_unit_test(lone_returns_end_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
