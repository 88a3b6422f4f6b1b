/* Manifests: what is read, what is refused and in which words, labels, writing. */
#include <unistd.h>

#include "base/io.h"
#include "data/labels.h"
#include "data/manifest.h"
#include "support/support.h"

typedef struct fixture {
    qv_ctx *ctx;
    char *dir, *path;
} fixture;

static void put(fixture *f, const char *name, const char *text) { qv_test_put(f->ctx, f->dir, name, text); }

static int setup(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    f->ctx = qv_ctx_new();
    f->dir = qv_test_tmpdir();
    qv_assert_ok(f->ctx, qv_path_join(f->ctx, &f->path, f->dir, "m.csv"));
    static const char *const names[] = {"a.wav", "b.wav", "c.wav", "d.wav", "sub/e.wav", "sub/with, comma.wav"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) put(f, names[i], "x");
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    qv_test_rmdir(f->dir);
    qv_ctx_free(f->ctx);
    free(f->path);
    free(f);
    return 0;
}

static qv_status read_with(fixture *f, qv_manifest **m, const char *text, qv_manifest_options o)
{
    put(f, "m.csv", text);
    return qv_manifest_read(f->ctx, m, f->path, &o);
}

static const qv_manifest_options training = {.need_emotion = true};

static void reads_columns_in_any_order(void **state)
{
    fixture *f = *state;
    qv_manifest *m;
    qv_assert_ok(f->ctx, read_with(f, &m,
                                   "note,emotion,file,end,speaker,start,gender,session,split,fold,corpus,\r\n"
                                   "hello,joy,a.wav,2.5,s2,0.5,female,1,train,A,x,1\r\n"
                                   "\"two\nlines\",anger,sub/e.wav,,s10,,,,,,,2\r\n"
                                   ",joy,\"sub/with, comma.wav\",,,1,male,,,,,3\r\n",
                                   training));
    assert_int_equal(m->n, 3);
    assert_int_equal(m->n_extra, 2);
    assert_string_equal(m->extra[0], "note");
    assert_string_equal(m->extra[1], "");
    const qv_item *a = &m->items[0], *e = &m->items[1], *c = &m->items[2];
    assert_true(a->start == 0.5 && a->end == 2.5 && e->start == 0 && e->end < 0 && c->start == 1);
    assert_string_equal(a->name, "a.wav");
    assert_memory_equal(a->file, f->dir, strlen(f->dir));
    assert_string_equal(a->extra[0], "hello");
    assert_string_equal(e->extra[0], "two\nlines");
    assert_string_equal(e->extra[1], "2");
    assert_string_equal(a->gender, "female");
    assert_string_equal(a->session, "1");
    assert_string_equal(a->split, "train");
    assert_string_equal(a->fold, "A");
    assert_string_equal(a->corpus, "x");
    assert_null(e->gender);
    assert_int_equal(a->line, 2);
    assert_int_equal(e->line, 3);
    assert_int_equal(c->line, 5);
    assert_string_equal(c->speaker, "?");
    assert_int_equal(m->n_classes, 2);
    assert_string_equal(m->classes[0], "anger");
    assert_int_equal(a->label, 1);
    assert_int_equal(e->label, 0);
    assert_int_equal(m->n_speakers, 3);
    assert_string_equal(m->speakers[1], "s10");
    assert_int_equal(a->speaker_id, 2);
    assert_int_equal(c->speaker_id, 0);
    qv_manifest_free(m);
}

static void refuses_by_line(void **state)
{
    fixture *f = *state;
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"", "m.csv: empty"},
        {"file,speaker,emotion\n", "m.csv: a header and no recordings"},
        {"file,speaker,emo\na.wav,1,x\n", "m.csv:1: no column 'emotion'"},
        {"file,speaker,emotoin\na.wav,1,x\n", "m.csv:1: no column 'emotion' (is 'emotoin' meant?)"},
        {"file;speaker;emotion\na.wav;1;x\n", "cells are separated by commas"},
        {"file,speaker,emotion,file\na.wav,1,x,b.wav\n", "m.csv:1: two columns have the name 'file'"},
        {"file,speaker,emotion\na.wav,1,x\nb.wav,1\n", "m.csv:3: 2 cells where the header has 3"},
        {"file,speaker,emotion\na.wav,1,x,y\n", "m.csv:2: 4 cells where the header has 3"},
        {"file,speaker,emotion\na.wav,1,x\n\"b.wav,1,x\n", "m.csv:3: a quote is opened and never closed"},
        {"file,speaker,emotion\na.wav,1,\xE9\n", "m.csv:2: byte 0xe9 is not UTF-8"},
        {"file,speaker,emotion\nnone.wav,1,x\n", "m.csv:2: cannot find"},
        {"file,speaker,emotion\nnone.wav,1,x\na.wav,1,x\nno.wav,1,x\nnor.wav,1,x\n", "; nor the files of 2 other rows"},
        {"file,speaker,emotion\nsub,1,x\n", "m.csv:2: a folder"},
        {"file,speaker,emotion\n,1,x\n", "m.csv:2: the file cell is empty"},
        {"file,speaker,emotion\na.wav,1,\n", "m.csv:2: the emotion cell is empty"},
        {"file,speaker,emotion\na.wav,1,x\x1b[2J\n", "m.csv:2: a control character in the name of the 'emotion'"},
        {"file,speaker,emotion\na.wav,\"1\n2\",x\n", "a control character in the name of the 'speaker'"},
        {"file,speaker,emotion\na.wav,1\xC2\x9B,x\n", "m.csv:2: a control character in the name of the 'speaker'"},
        {"file,speaker,emotion\na.wav,1,\xE2\x80\xAEx\n", "m.csv:2: a control character in the name of the 'emotion'"},
        {"file,speaker,emotion,corpus\na.wav,1,x,\"y\nz\"\n",
         "m.csv:2: a control character in the name of the 'corpus'"},
        {"file,speaker,emotion\na.wav,1,x\nb.wav,1 ,x\n", "m.csv:3: the speaker '1 ' begins or ends with a blank"},
        {"file,speaker,emotion\na.wav,\xC2\xA0"
         "1,x\n",
         "begins or ends with a no-break space (U+00A0)"},
        {"file,speaker,emotion\na.wav,1,x\xE2\x80\x8B\n", "m.csv:2: the emotion 'x\xE2\x80\x8B' begins or ends"},
        {"file,speaker,emotion,session\na.wav,1,x,\xEF\xBB\xBFy\n", "m.csv:2: the session '\xEF\xBB\xBFy' begins"},
        {"file,speaker,emotion,corpus\na.wav,1,x,  \n", "m.csv:2: the corpus '  ' begins or ends with a blank"},
        {"file,speaker,emotion\na.wav,1,x\nb.wav,1,x\n./sub/../a.wav,2,y\n",
         "m.csv:4: ./sub/../a.wav stands already in line 2"},
        {"file,speaker,emotion,start,end\na.wav,1,x,0,1\na.wav,1,x,1,2\na.wav,1,x,0.0,1.00\n",
         "m.csv:4: a.wav stands already in line 2"},
        {"file,speaker,emotion,start\na.wav,1,x,soon\n", "m.csv:2: start must be seconds, such as 1.25, not 'soon'"},
        {"file,speaker,emotion,start\na.wav,1,x,-1\n", "m.csv:2: start must be seconds"},
        {"file,speaker,emotion,start\na.wav,1,x,1e3\n", "m.csv:2: start must be seconds"},
        {"file,speaker,emotion,end\na.wav,1,x,nan\n", "m.csv:2: end must be seconds"},
        {"file,speaker,emotion,end\na.wav,1,x,inf\n", "m.csv:2: end must be seconds"},
        {"file,speaker,emotion,end\na.wav,1,x,.\n", "m.csv:2: end must be seconds"},
        {"file,speaker,emotion,end\na.wav,1,x,99999999999\n", "m.csv:2: end must be seconds"},
        {"file,speaker,emotion,channel\na.wav,1,x,left\n", "m.csv:2: channel must be a number from 1"},
        {"file,speaker,emotion,channel\na.wav,1,x,0\n", "m.csv:2: channel must be a number from 1"},
        {"file,speaker,emotion,channel\na.wav,1,x,1\na.wav,1,x,2\na.wav,1,x,01\n",
         "m.csv:4: a.wav stands already in line 2"},
        {"file,speaker,emotion,start,end\na.wav,1,x,2,2\n", "m.csv:2: the end is not after the start"},
        {"file,speaker,emotion,Split\na.wav,1,x,test\n",
         "m.csv:1: the column 'Split' would not be understood; write 'split'"},
        {"file,speaker,emotion, end\na.wav,1,x,2\n", "m.csv:1: the column ' end' would not be understood; write 'end'"},
        {"file,speaker,emotion,fold\na.wav,1,x,1 \n", "m.csv:2: the fold '1 ' begins or ends with a blank"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        qv_manifest *m = (qv_manifest *)f;
        assert_int_equal(read_with(f, &m, cases[i].text, training), QV_ERR_DATA);
        assert_null(m);
        if (!strstr(qv_ctx_message(f->ctx), cases[i].want)) fail_msg("%s", qv_ctx_message(f->ctx));
    }
    qv_manifest *m;
    assert_int_equal(qv_manifest_read(f->ctx, &m, "/no/such/manifest.csv", &training), QV_ERR_IO);
}

static void reads_times_as_strtod_does(void **state)
{
    fixture *f = *state;
    uint64_t seed = qv_test_seed();
    for (int round = 0; round < 50; round++) {
        char number[32], text[128];
        int places = (int)(qv_test_next(&seed) % 10);
        snprintf(number, sizeof number, "%.*f", places, qv_test_uniform(&seed, 1, 9999));
        snprintf(text, sizeof text, "file,speaker,emotion,end\na.wav,1,x,%s\n", number);
        qv_manifest *m;
        qv_assert_ok(f->ctx, read_with(f, &m, text, training));
        assert_true(m->items[0].end == strtod(number, NULL));
        qv_manifest_free(m);
    }
}

static const char five[] = "file,speaker,emotion\na.wav,1,joy\nb.wav,1,anger\nc.wav,2,happiness\nd.wav,2,fear\n"
                           "sub/e.wav,3,sadness\n";

static void labels_select_merge_and_order(void **state)
{
    fixture *f = *state;
    qv_manifest *m;
    qv_manifest_options o = {.need_emotion = true, .labels = "sadness, joy = happiness ,happiness,anger"};
    qv_assert_ok(f->ctx, read_with(f, &m, five, o));
    assert_int_equal(m->n, 4);
    assert_int_equal(m->n_classes, 3);
    assert_string_equal(m->classes[0], "sadness");
    assert_string_equal(m->classes[1], "happiness");
    assert_string_equal(m->classes[2], "anger");
    assert_int_equal(m->items[0].label, 1);
    assert_string_equal(m->items[0].emotion, "happiness");
    assert_int_equal(m->items[2].label, 1);
    assert_int_equal(m->items[3].label, 0);
    assert_string_equal(m->items[3].name, "sub/e.wav");
    uint64_t hash = m->hash;
    qv_manifest_free(m);

    o.keep_unlisted = true;
    qv_assert_ok(f->ctx, read_with(f, &m, five, o));
    assert_int_equal(m->n, 5);
    assert_int_equal(m->items[3].label, -1);
    assert_string_equal(m->items[3].emotion, "fear");
    assert_true(m->hash == hash);
    qv_manifest_free(m);

    o.labels = "anger";
    qv_assert_ok(f->ctx, read_with(f, &m, five, o));
    assert_true(m->hash != hash);
    qv_manifest_free(m);
}

static void labels_are_checked(void **state)
{
    fixture *f = *state;
    static const struct {
        const char *labels, *want;
    } cases[] = {
        {"anger,hapiness", "did you mean 'happiness'"},
        {"anger,disgust", "no recording has the emotion 'disgust'; found: anger, fear, happiness, joy, sadness"},
        {"anger,,joy", "an empty name"},
        {"", "an empty name"},
        {"anger=", "an empty name"},
        {"=anger", "an empty name"},
        {"joy,joy=happiness", "'joy' is named twice"},
        {"joy=happi\x1b[31mness", "a control character in a name"},
    };
    qv_manifest *m;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        qv_manifest_options o = {.need_emotion = true, .labels = cases[i].labels};
        assert_int_equal(read_with(f, &m, five, o), QV_ERR_USAGE);
        if (!strstr(qv_ctx_message(f->ctx), cases[i].want)) fail_msg("%s", qv_ctx_message(f->ctx));
    }
    qv_manifest_options o = {.need_emotion = true, .labels = "disgust,anger", .allow_absent = true};
    qv_assert_ok(f->ctx, read_with(f, &m, five, o));
    assert_int_equal(m->n_classes, 2);
    assert_int_equal(m->n, 1);
    assert_int_equal(m->items[0].label, 1);
    qv_manifest_free(m);
}

static void label_files_are_text(void **state)
{
    fixture *f = *state;
    char *path, *labels;
    qv_assert_ok(f->ctx, qv_path_join(f->ctx, &path, f->dir, "six.labels"));
    put(f, "six.labels", "\xEF\xBB\xBFjoy = happiness\r\nanger\r\n");
    qv_assert_ok(f->ctx, qv_labels_expand(f->ctx, &labels, path));
    assert_string_equal(labels, "joy?=happiness,anger?");
    free(labels);
    put(f, "six.labels", "joy? = happiness\nanger?\n"); /* as --labels has it: the line was optional before */
    qv_assert_ok(f->ctx, qv_labels_expand(f->ctx, &labels, path));
    assert_string_equal(labels, "joy?=happiness,anger?");
    free(labels);
    put(f, "six.labels", "# six\rjoy = happiness # merged\ranger\r");
    qv_assert_ok(f->ctx, qv_labels_expand(f->ctx, &labels, path));
    assert_string_equal(labels, "joy?=happiness,anger?");
    free(labels);
    qv_assert_ok(f->ctx, qv_write_file(f->ctx, path, "joy\0anger", 9));
    assert_int_equal(qv_labels_expand(f->ctx, &labels, path), QV_ERR_DATA);
    qv_test_says(qv_ctx_message(f->ctx), "six.labels:1: a NUL byte");
    free(path);
}

/* A column that is none would cost hours and then make a report that nobody can read. */
static void more_than_a_report_shows_is_refused(void **state)
{
    static const struct {
        const char *header;
        int most;
        const char *want;
    } cases[] = {{"file,start,speaker,emotion\n", QV_MOST_CLASSES, "1001 different emotions, at most 1000"},
                 {"file,start,speaker,corpus,emotion\n", QV_MOST_CORPORA, "more than 1000 different values of 'corpus'"}};
    fixture *f = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int more = 0; more <= 1; more++) {
            qv_buf b = {0};
            qv_manifest *m;
            qv_buf_puts(&b, cases[i].header);
            for (int k = 0; k < cases[i].most + more; k++) qv_buf_printf(&b, "a.wav,%d,s,v%d%s\n", k, k, i ? ",joy" : "");
            assert_int_equal(read_with(f, &m, b.data, training), more ? QV_ERR_DATA : QV_OK);
            if (more) qv_test_says(qv_ctx_message(f->ctx), cases[i].want);
            qv_manifest_free(m);
            qv_buf_free(&b);
        }
}

/* Several manifests: without a column, the file's name is that of the corpus. */
static void names_of_files_are_names_of_corpora(void **state)
{
    static const char *const names[] = {"li\nst.csv", "caf\xE9.csv"};
    fixture *f = *state;
    for (int i = 0; i < 2; i++) {
        char *other;
        qv_buf both = {0};
        qv_manifest *m;
        put(f, "m.csv", "file,speaker,emotion\na.wav,1,joy\n");
        put(f, names[i], "file,speaker,emotion\nb.wav,1,joy\n");
        qv_assert_ok(f->ctx, qv_path_join(f->ctx, &other, f->dir, names[i]));
        qv_buf_printf(&both, "%s,%s", f->path, other);
        assert_int_equal(qv_manifest_read_list(f->ctx, &m, both.data, &training), QV_ERR_DATA);
        qv_test_says(qv_ctx_message(f->ctx), "rename it, or give it a column `corpus`");
        put(f, names[i], "file,speaker,emotion,corpus\nb.wav,1,joy,other\n");
        qv_assert_ok(f->ctx, qv_manifest_read_list(f->ctx, &m, both.data, &training));
        qv_manifest_free(m);
        qv_buf_free(&both);
        free(other);
    }
    size_t n;
    assert_memory_equal(qv_corpus_name("lists/two.v1.csv", &n), "two.v1", 6);
    assert_int_equal(n, 6); /* whoever trains on a corpus and whoever is judged by that call it the same */
    qv_corpus_name(".hidden", &n);
    assert_int_equal(n, 7);
}

static void prediction_needs_only_files(void **state)
{
    fixture *f = *state;
    qv_manifest *m;
    qv_manifest_options o = {0};
    qv_assert_ok(f->ctx, read_with(f, &m, "file\na.wav\nb.wav\n", o));
    assert_int_equal(m->n, 2);
    assert_null(m->items[0].emotion);
    assert_int_equal(m->items[0].label, -1);
    assert_string_equal(m->items[1].speaker, "?");
    assert_int_equal(m->n_classes, 0);
    qv_manifest_free(m);
    o.allow_missing = true;
    qv_assert_ok(f->ctx, read_with(f, &m, "file\nnone.wav\na.wav\nno.wav\n", o));
    assert_int_equal(m->n, 3);
    qv_manifest_free(m);
    assert_int_equal(read_with(f, &m, "file\nnone.wav\na.wav\nnone.wav\n", o), QV_ERR_DATA);
    qv_test_says(qv_ctx_message(f->ctx), "m.csv:4: none.wav stands already in line 2");
}

static void expect_file(fixture *f, const char *path, const char *want)
{
    char *text;
    size_t size;
    qv_assert_ok(f->ctx, qv_read_file(f->ctx, path, 1 << 20, &text, &size));
    assert_string_equal(text, want);
    free(text);
}

static void writes_relative_and_absolute(void **state)
{
    fixture *f = *state;
    qv_manifest *m;
    qv_assert_ok(f->ctx, read_with(f, &m,
                                   "file,speaker,emotion,note,start,end,channel\n"
                                   "a.wav,,joy,\"say \"\"hi\"\"\",0.25,1.5,2\n"
                                   "\"sub/with, comma.wav\",7,joy,,,2,\n",
                                   training));
    char *out, *deep;
    put(f, "out/deep/keep", "");
    qv_assert_ok(f->ctx, qv_path_join(f->ctx, &deep, f->dir, "out/deep/x.csv"));
    qv_assert_ok(f->ctx, qv_manifest_write(f->ctx, m, deep, NULL));
    expect_file(f, deep,
                "file,speaker,emotion,start,end,channel,note\n"
                "../../a.wav,,joy,0.25,1.5,2,\"say \"\"hi\"\"\"\n"
                "\"../../sub/with, comma.wav\",7,joy,,2,,\n");
    qv_manifest *again;
    qv_assert_ok(f->ctx, qv_manifest_read(f->ctx, &again, deep, &training));
    assert_int_equal(again->n, 2);
    assert_string_equal(again->items[0].speaker, "?");
    assert_true(again->items[0].end == 1.5);
    assert_true(again->items[0].channel == 2 && again->items[1].channel == 0);
    qv_manifest_free(again);

    qv_assert_ok(f->ctx, qv_path_join(f->ctx, &out, f->dir, "sub/x.csv"));
    qv_assert_ok(f->ctx, qv_manifest_write(f->ctx, m, out, NULL));
    char *text;
    size_t size;
    qv_assert_ok(f->ctx, qv_read_file(f->ctx, out, 1 << 20, &text, &size));
    assert_non_null(strstr(text, "\n../a.wav,"));
    assert_non_null(strstr(text, "\n\"with, comma.wav\","));
    free(text);

    FILE *tmp = tmpfile();
    char line[4096];
    qv_assert_ok(f->ctx, qv_manifest_write(f->ctx, m, NULL, tmp));
    rewind(tmp);
    assert_non_null(fgets(line, sizeof line, tmp));
    assert_non_null(fgets(line, sizeof line, tmp));
    assert_int_equal(line[0], '/');
    fclose(tmp);
    FILE *full = fopen("/dev/full", "w");
    if (full) {
        assert_int_equal(qv_manifest_write(f->ctx, m, NULL, full), QV_ERR_IO);
        fclose(full);
    }
    free(out), free(deep);
    qv_manifest_free(m);
}

static void built_by_hand(void **state)
{
    fixture *f = *state;
    qv_manifest *m;
    qv_assert_ok(f->ctx, qv_manifest_new(f->ctx, &m));
    for (int i = 0; i < 100; i++) {
        char speaker[8];
        snprintf(speaker, sizeof speaker, "%02d", i % 7);
        qv_assert_ok(f->ctx, qv_manifest_add(f->ctx, m, f->path, "x", speaker, i % 3 ? "b" : "a", NULL));
    }
    qv_assert_ok(f->ctx, qv_manifest_add(f->ctx, m, f->path, "x", NULL, NULL, "male"));
    qv_assert_ok(f->ctx, qv_manifest_finish(f->ctx, m, NULL));
    assert_int_equal(m->n_speakers, 8);
    assert_int_equal(m->n_classes, 2);
    assert_int_equal(m->items[99].label, 0);
    assert_int_equal(m->items[100].label, -1);
    assert_string_equal(m->speakers[m->items[12].speaker_id], "05");
    qv_assert_ok(f->ctx, qv_manifest_finish(f->ctx, m, "b=z"));
    assert_int_equal(m->n, 66);
    assert_string_equal(m->items[0].emotion, "z");
    qv_manifest_free(m);
}

/* Each allocation on the way fails once: no crash, no leak, the status says so. */
static void every_allocation_may_fail(void **state)
{
    fixture *f = *state;
    put(f, "m.csv", five);
    qv_manifest_options o = {.need_emotion = true, .labels = "joy=happiness,happiness,anger"};
    qv_status s = QV_ERR_MEMORY;
    size_t nth = 1;
    for (; s == QV_ERR_MEMORY && nth < 10000; nth++) {
        qv_manifest *m;
        qv_ctx_fail_alloc(f->ctx, nth);
        s = qv_manifest_read(f->ctx, &m, f->path, &o);
        assert_true(s == QV_OK || s == QV_ERR_MEMORY);
        qv_manifest_free(m);
    }
    qv_ctx_fail_alloc(f->ctx, 0);
    assert_int_equal(s, QV_OK);
    assert_true(nth > 30);
}

static uint64_t hash_of(fixture *f, const char *text)
{
    qv_manifest *m;
    qv_assert_ok(f->ctx, read_with(f, &m, text, training));
    uint64_t hash = m->hash;
    qv_manifest_free(m);
    return hash;
}

/* The same list made elsewhere is the same; each cell counts, and in which row and column it stands. */
static void hash_is_of_the_rows_not_of_their_place(void **state)
{
    fixture *f = *state;
    uint64_t here = hash_of(f, "file,speaker,emotion,note\na.wav,1,joy,\nsub/e.wav,2,anger,x\n");
    qv_buf b = {0};
    qv_buf_printf(&b, "note,file,emotion,speaker\r\n,%s/a.wav,joy,1\r\n\"x\",%s/sub/e.wav,anger,2\r\n", f->dir, f->dir);
    assert_true(hash_of(f, b.data) == here);
    qv_buf_free(&b);
    static const char *const others[] = {
        "file,speaker,emotion,note\na.wav,1,joy,\nsub/e.wav,3,anger,x\n",
        "file,speaker,emotion,note\na.wav,1,anger,\nsub/e.wav,2,joy,x\n",
        "file,speaker,emotion,note\na.wav,1,joy,\nb.wav,2,anger,x\n",
        "file,speaker,emotion,note\nsub/e.wav,2,anger,x\na.wav,1,joy,\n",
        "file,speaker,emotion,gender\na.wav,1,joy,\nsub/e.wav,2,anger,x\n",
        "file,speaker,emotion,notes\na.wav,1,joy,\nsub/e.wav,2,anger,x\n",
        "file,speaker,emotion,note,start\na.wav,1,joy,,\nsub/e.wav,2,anger,x,0.5\n",
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) assert_true(hash_of(f, others[i]) != here);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reads_columns_in_any_order, setup, teardown),
        cmocka_unit_test_setup_teardown(refuses_by_line, setup, teardown),
        cmocka_unit_test_setup_teardown(reads_times_as_strtod_does, setup, teardown),
        cmocka_unit_test_setup_teardown(labels_select_merge_and_order, setup, teardown),
        cmocka_unit_test_setup_teardown(hash_is_of_the_rows_not_of_their_place, setup, teardown),
        cmocka_unit_test_setup_teardown(labels_are_checked, setup, teardown),
        cmocka_unit_test_setup_teardown(label_files_are_text, setup, teardown),
        cmocka_unit_test_setup_teardown(more_than_a_report_shows_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(names_of_files_are_names_of_corpora, setup, teardown),
        cmocka_unit_test_setup_teardown(prediction_needs_only_files, setup, teardown),
        cmocka_unit_test_setup_teardown(writes_relative_and_absolute, setup, teardown),
        cmocka_unit_test_setup_teardown(built_by_hand, setup, teardown),
        cmocka_unit_test_setup_teardown(every_allocation_may_fail, setup, teardown),
    };
    return cmocka_run_group_tests_name("manifest", tests, NULL, NULL);
}
