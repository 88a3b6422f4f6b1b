/* The records of a run folder: what is written reads back to the bit, what is damaged is refused with its line. */
#include <jansson.h>
#include <math.h>

#include "run/record.h"
#include "support/support.h"

static char *classes[] = {"anger", "j\"oy, mixed", "tr\xC3\xBCgt"};
enum { CLASSES = 3 };

typedef struct fixture {
    qv_ctx *ctx;
    char *dir;
    qv_records a, b; /* written, read */
} fixture;

static int setup(void **state)
{
    fixture *x = calloc(1, sizeof *x);
    x->ctx = qv_test_ctx();
    x->dir = qv_test_tmpdir();
    x->a.classes = x->b.classes = classes;
    x->a.n_classes = x->b.n_classes = CLASSES;
    *state = x;
    return 0;
}

static int teardown(void **state)
{
    fixture *x = *state;
    qv_records_free(&x->a);
    qv_records_free(&x->b);
    qv_test_rmdir(x->dir);
    qv_ctx_free(x->ctx);
    free(x);
    return 0;
}

static char *read_text(const fixture *x, const char *name)
{
    char *path, *text;
    size_t size;
    qv_assert_ok(x->ctx, qv_path_join(x->ctx, &path, x->dir, name));
    qv_assert_ok(x->ctx, qv_read_file(x->ctx, path, 1 << 20, &text, &size));
    free(path);
    return text;
}

static void write_text(const fixture *x, const char *name, const char *text)
{
    char *path;
    qv_assert_ok(x->ctx, qv_path_join(x->ctx, &path, x->dir, name));
    qv_assert_ok(x->ctx, qv_write_file(x->ctx, path, text, strlen(text)));
    free(path);
}

static void add_rows(fixture *x)
{
    uint64_t random = qv_test_seed();
    for (int i = 0; i < 20; i++) {
        qv_epoch_row e = {.epoch = i / 2 + 1,
                          .step = (uint64_t)1 << (2 * i),
                          .seconds = qv_test_uniform(&random, 0, 1e5),
                          .lr = qv_test_uniform(&random, 0, 1) * 1e-7,
                          .loss = qv_test_uniform(&random, 0, 9),
                          .train_ua = NAN,
                          .val_ua = NAN,
                          .test_ua = NAN,
                          .rate = 1000.5};
        if (i % 4 == 3) e.train_ua = 1.0 / 3, e.test_ua = qv_test_uniform(&random, 0, 1);
        snprintf(e.fold, sizeof e.fold, "%s", i % 2 ? "b.2" : "a");
        qv_assert_ok(x->ctx, qv_records_add_row(x->ctx, &x->a, &e));
    }
}

static void add_predictions(fixture *x)
{
    static const char *const files[] = {"wav/plain.wav", "a \"quoted\", name\nof two lines.wav", "\xC3\xA4.flac"};
    for (int i = 0; i < 6; i++) {
        double probs[CLASSES] = {0.25, 0.5, 0.25};
        qv_prediction p = {.file = (char *)(uintptr_t)files[i % 3],
                           .speaker = i % 2 ? "07" : "speaker, two",
                           .truth = i % 3,
                           .predicted = 1,
                           .probs = probs};
        snprintf(p.fold, sizeof p.fold, "%s", i < 3 ? "a" : "b.2");
        snprintf(p.part, sizeof p.part, "%s", i % 2 ? "val" : "test");
        qv_assert_ok(x->ctx, qv_records_add_prediction(x->ctx, &x->a, &p));
    }
}

static bool same(double a, double b) { return memcmp(&a, &b, sizeof a) == 0 || (isnan(a) && isnan(b)); }

static void records_read_back(void **state)
{
    fixture *x = *state;
    add_rows(x);
    add_predictions(x);
    qv_assert_ok(x->ctx, qv_records_write(x->ctx, &x->a, x->dir));
    qv_assert_ok(x->ctx, qv_records_read(x->ctx, &x->b, x->dir));
    assert_int_equal(x->b.n_rows, x->a.n_rows);
    for (size_t i = 0; i < x->a.n_rows; i++) {
        const qv_epoch_row *e = &x->a.rows[i], *r = &x->b.rows[i];
        assert_string_equal(r->fold, e->fold);
        assert_true(r->epoch == e->epoch && r->step == e->step);
        assert_true(same(r->seconds, e->seconds) && same(r->lr, e->lr) && same(r->loss, e->loss) &&
                    same(r->rate, e->rate));
        assert_true(same(r->train_ua, e->train_ua) && same(r->val_ua, e->val_ua) && same(r->test_ua, e->test_ua));
    }
    assert_int_equal(x->b.n_predictions, x->a.n_predictions);
    for (size_t i = 0; i < x->a.n_predictions; i++) {
        const qv_prediction *p = &x->a.predictions[i], *r = &x->b.predictions[i];
        assert_string_equal(r->fold, p->fold);
        assert_string_equal(r->part, p->part);
        assert_string_equal(r->file, p->file);
        assert_string_equal(r->speaker, p->speaker);
        assert_true(r->truth == p->truth && r->predicted == p->predicted);
        assert_memory_equal(r->probs, p->probs, CLASSES * sizeof *p->probs);
    }
}

/* Names that other programs rely on. */
static void columns_have_their_names(void **state)
{
    fixture *x = *state;
    add_rows(x);
    add_predictions(x);
    qv_assert_ok(x->ctx, qv_records_write(x->ctx, &x->a, x->dir));
    char *rows = read_text(x, "results.csv"), *predictions = read_text(x, "predictions.csv");
    rows[strcspn(rows, "\n")] = predictions[strcspn(predictions, "\n")] = '\0';
    assert_string_equal(rows,
                        "fold,epoch,step,seconds,lr,loss,train_ua,val_ua,test_ua,gap_val,gap_test,samples_per_second");
    assert_string_equal(predictions,
                        "fold,part,file,speaker,truth,predicted,p_anger,\"p_j\"\"oy, mixed\",p_tr\xC3\xBCgt");
    free(rows);
    free(predictions);
}

/* Names of any length, in letters of more than one byte, are read again. */
static void long_names_of_classes_read_back(void **state)
{
    static char first[302], second[302];
    static char *longest[] = {first, second};
    fixture *x = *state;
    for (int i = 0; i < 300; i += 2) memcpy(first + i, "\xC3\xA9", 2);
    memcpy(second, first, 300);
    first[300] = '1';
    second[300] = '2';
    x->a.classes = x->b.classes = longest;
    x->a.n_classes = x->b.n_classes = 2;
    qv_prediction p = {.fold = "a", .part = "test", .file = "f", .speaker = "s", .truth = 1, .probs = (double[]){0.25, 0.75}};
    qv_assert_ok(x->ctx, qv_records_add_prediction(x->ctx, &x->a, &p));
    qv_assert_ok(x->ctx, qv_records_write(x->ctx, &x->a, x->dir));
    qv_assert_ok(x->ctx, qv_records_read(x->ctx, &x->b, x->dir));
    assert_int_equal(x->b.predictions[0].truth, 1);
    char *text = read_text(x, "predictions.csv");
    qv_test_says(text, first);
    qv_test_says(text, second);
    free(text);
}

static void every_line_of_jsonl_is_an_object(void **state)
{
    fixture *x = *state;
    add_rows(x);
    qv_assert_ok(x->ctx, qv_records_write(x->ctx, &x->a, x->dir));
    char *text = read_text(x, "results.jsonl"), *line = text;
    for (size_t i = 0; i < x->a.n_rows; i++) {
        char *end = strchr(line, '\n');
        assert_non_null(end);
        *end = '\0';
        json_t *row = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
        assert_int_equal(json_object_size(row), 12);
        assert_string_equal(json_string_value(json_object_get(row, "fold")), x->a.rows[i].fold);
        assert_true(json_number_value(json_object_get(row, "loss")) == x->a.rows[i].loss);
        assert_true(json_is_null(json_object_get(row, "val_ua")));
        assert_true(json_is_null(json_object_get(row, "gap_test")) == isnan(x->a.rows[i].test_ua));
        json_decref(row);
        line = end + 1;
    }
    assert_string_equal(line, "");
    free(text);
}

static void nothing_there_is_an_empty_record(void **state)
{
    fixture *x = *state;
    qv_assert_ok(x->ctx, qv_records_read(x->ctx, &x->b, x->dir));
    assert_true(x->b.n_rows == 0 && x->b.n_predictions == 0);
}

static void dropping_keeps_the_rest(void **state)
{
    fixture *x = *state;
    add_rows(x);
    add_predictions(x);
    qv_records_drop(&x->a, "a", 4);
    assert_int_equal(x->a.n_rows, 10 + 4);
    for (size_t i = 0; i < x->a.n_rows; i++)
        assert_true(strcmp(x->a.rows[i].fold, "a") != 0 || x->a.rows[i].epoch <= 4);
    assert_int_equal(x->a.n_predictions, 3);
    for (size_t i = 0; i < 3; i++) assert_string_equal(x->a.predictions[i].fold, "b.2");
    qv_records_drop(&x->a, "no such fold", 0);
    assert_int_equal(x->a.n_rows, 14);
}

#define ROWS "fold,epoch,step,seconds,lr,loss,train_ua,val_ua,test_ua,gap_val,gap_test,samples_per_second\n"
#define PREDICTIONS "fold,part,file,speaker,truth,predicted,p_a,p_b,p_c\n"

static void damage_is_refused_with_its_line(void **state)
{
    static const struct {
        const char *name, *text, *message;
    } cases[] = {
        {"results.csv", ROWS "a,1,2,3,4,5,6,7,8,9,10,11\na,1,2,3\n", "results.csv:3"},
        {"results.csv", ROWS "a,1,2,3,4,5,6,7,8,9,10,11,12\n", "results.csv:2"},
        {"results.csv", ROWS "a,1,2,3,4,five,6,7,8,9,10,11\n", "results.csv:2"},
        {"results.csv", ROWS "a,1e99,2,3,4,5,6,7,8,9,10,11\n", "results.csv:2"},
        {"results.csv", ROWS "a,,2,3,4,5,6,7,8,9,10,11\n", "results.csv:2"},
        {"results.csv", ROWS "a,1,-2,3,4,5,6,7,8,9,10,11\n", "results.csv:2"},
        {"results.csv", ROWS "a,1,2,3,4,nan,6,7,8,9,10,11\n", "results.csv:2"},
        {"results.csv",
         ROWS "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa,1,2,3,4,5,6,7,8,9,10,11\n",
         "results.csv:2"},
        {"results.csv", ROWS "\"a,1,2\n", "results.csv:2"},
        {"results.csv", "\xFF\xFE", "results.csv:1"},
        {"predictions.csv", PREDICTIONS "a,test,f,s,anger,tr\xC3\xBCgt,0,1\n", "predictions.csv:2"},
        {"predictions.csv", PREDICTIONS "a,test,f,s,anger,sorrow,0,1,0\n", "predictions.csv:2"},
        {"predictions.csv", PREDICTIONS "a,testtest,f,s,anger,anger,0,1,0\n", "predictions.csv:2"},
        {"predictions.csv", PREDICTIONS "a,test,f,s,anger,anger,0,1,x\n", "predictions.csv:2"},
    };
    fixture *x = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_text(x, "results.csv", ROWS);
        write_text(x, "predictions.csv", PREDICTIONS);
        qv_assert_ok(x->ctx, qv_records_read(x->ctx, &x->b, x->dir));
        write_text(x, cases[i].name, cases[i].text);
        assert_int_equal(qv_records_read(x->ctx, &x->b, x->dir), QV_ERR_DATA);
        if (!strstr(qv_ctx_message(x->ctx), cases[i].message))
            print_error("case %zu: expected %s in: %s\n", i, cases[i].message, qv_ctx_message(x->ctx));
        assert_non_null(strstr(qv_ctx_message(x->ctx), cases[i].message));
    }
}

/* Parts of one file are told apart. What an older program wrote of them, or a record without any, is read as it is. */
static void parts_of_files_survive(void **state)
{
    static const char *const want[] = {"fold,part,file,start,end,channel,speaker,truth,predicted,p_anger,",
                                       "a,test,long.wav,1.25,2.5,,07,anger,anger,1.000000,0.000000,0.000000\n",
                                       "a,test,long.wav,2.5,,2,07,anger,anger,1.000000,0.000000,0.000000\n"};
    fixture *x = *state;
    qv_item items[] = {{.start = 1.25, .end = 2.5}, {.start = 2.5, .end = -1, .channel = 2}};
    x->a.parts = x->b.parts = true;
    for (int i = 0; i < 2; i++) {
        qv_prediction p = {
            .fold = "a", .part = "test", .file = "long.wav", .speaker = "07", .probs = (double[]){1, 0, 0}};
        qv_item_part(&items[i], p.place);
        qv_assert_ok(x->ctx, qv_records_add_prediction(x->ctx, &x->a, &p));
    }
    qv_assert_ok(x->ctx, qv_records_write(x->ctx, &x->a, x->dir));
    char *text = read_text(x, "predictions.csv");
    for (int i = 0; i < 3; i++) qv_test_says(text, want[i]);
    free(text);
    qv_assert_ok(x->ctx, qv_records_read(x->ctx, &x->b, x->dir));
    assert_int_equal(x->b.n_predictions, 2);
    for (int i = 0; i < 2; i++)
        for (int k = 0; k < QV_PART_CELLS; k++)
            assert_string_equal(x->a.predictions[i].place[k], x->b.predictions[i].place[k]);
    x->a.parts = false;
    qv_assert_ok(x->ctx, qv_records_write(x->ctx, &x->a, x->dir));
    qv_assert_ok(x->ctx, qv_records_read(x->ctx, &x->b, x->dir));
    assert_int_equal(x->b.n_predictions, 4);
    assert_string_equal(x->b.predictions[3].place[0], "");
    assert_string_equal(x->b.predictions[3].speaker, "07");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(parts_of_files_survive, setup, teardown),
        cmocka_unit_test_setup_teardown(records_read_back, setup, teardown),
        cmocka_unit_test_setup_teardown(columns_have_their_names, setup, teardown),
        cmocka_unit_test_setup_teardown(long_names_of_classes_read_back, setup, teardown),
        cmocka_unit_test_setup_teardown(every_line_of_jsonl_is_an_object, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_there_is_an_empty_record, setup, teardown),
        cmocka_unit_test_setup_teardown(dropping_keeps_the_rest, setup, teardown),
        cmocka_unit_test_setup_teardown(damage_is_refused_with_its_line, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
