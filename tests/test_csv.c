/* The CSV reader and writer, UTF-8, nearest names. */
#include "base/csv.h"
#include "base/nearest.h"
#include "support/support.h"

/* Cells joined by | and records by /, each with its line, as "1:a|b/3:c"; or the message. */
static char *parse(const char *text, size_t size)
{
    qv_ctx *ctx = qv_test_ctx();
    qv_csv r;
    qv_buf b = {0};
    char *copy = malloc(size + 1);
    memcpy(copy, text, size);
    copy[size] = '\0';
    qv_status s = qv_csv_open(ctx, &r, "t.csv", copy, size);
    for (bool more = true; s == QV_OK && more;) {
        s = qv_csv_next(ctx, &r, &more);
        if (s != QV_OK || !more) break;
        qv_buf_printf(&b, "%s%d:", b.len ? "/" : "", r.row_line);
        for (size_t i = 0; i < r.n; i++) qv_buf_printf(&b, "%s%s", i ? "|" : "", r.cells[i]);
    }
    if (s != QV_OK) {
        qv_buf_free(&b);
        qv_buf_puts(&b, qv_ctx_message(ctx));
    }
    qv_csv_close(&r);
    qv_ctx_free(ctx);
    qv_buf_puts(&b, "");
    return b.data;
}

static void reads_what_rfc_4180_describes(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want, *why;
    } cases[] = {
        {"a,b\nc,d\n", "1:a|b/2:c|d", "plain"},
        {"a,b\r\nc,d", "1:a|b/2:c|d", "CRLF, no end of line at the end"},
        {"a\rb\r", "1:a/2:b", "lone CR"},
        {"\xEF\xBB\xBF\"a\",b\n", "1:a|b", "byte order mark before a quote"},
        {"\"a,b\",\"c\"\"d\",\"\"\n", "1:a,b|c\"d|", "comma and quote inside quotes"},
        {"\"a\nb\r\nc\",d\ne,f\n", "1:a\nb\r\nc|d/4:e|f", "records over several lines"},
        {"\"a\rb\"\nc\n", "1:a\rb/3:c", "lone CR inside quotes"},
        {",,\n", "1:||", "empty cells"},
        {"a,\n", "1:a|", "empty last cell"},
        {"a,", "1:a|", "empty last cell at the end of the text"},
        {"\n\r\na\n\n\nb\n\n", "3:a/6:b", "empty lines"},
        {"", "", "nothing"},
        {" a , b\n", "1: a | b", "blanks belong to the cell"},
        {"\xC3\xA4,\xE4\xB8\xAD,\xF0\x9F\x98\x80\n", "1:\xC3\xA4|\xE4\xB8\xAD|\xF0\x9F\x98\x80", "2, 3 and 4 bytes"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *got = parse(cases[i].text, strlen(cases[i].text));
        if (strcmp(got, cases[i].want) != 0) print_error("%s\n", cases[i].why);
        assert_string_equal(got, cases[i].want);
        free(got);
    }
}

static void refuses_with_the_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"a,b\nc,\"d\ne\nf", "t.csv:2: a quote is opened and never closed"},
        {"a,b\n\"c\"d,e\n", "t.csv:2: text after a closing quote"},
        {"a,b\n\nc\"d,e\n", "t.csv:3: a quote in the middle of a cell"},
        {"a\nb\n\xFF\n", "t.csv:3: byte 0xff is not UTF-8"},
        {"\"a\nb\n\xC3\"", "t.csv:3: byte 0xc3 is not UTF-8"},
        {"\"", "t.csv:1: a quote is opened and never closed"},
        {"\"\"\"", "t.csv:1: a quote is opened and never closed"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *got = parse(cases[i].text, strlen(cases[i].text));
        assert_memory_equal(got, cases[i].want, strlen(cases[i].want));
        free(got);
    }
    char *got = parse("a\nb\0c\n", 6);
    assert_string_equal(got, "t.csv:2: a NUL byte; this is not a text file");
    free(got);
    char *wide = malloc(QV_CSV_MAX_CELLS + 1);
    memset(wide, ',', QV_CSV_MAX_CELLS);
    got = parse(wide, QV_CSV_MAX_CELLS);
    assert_string_equal(got, "t.csv:1: more than 4096 cells");
    free(got);
    got = parse(wide, QV_CSV_MAX_CELLS - 1);
    assert_int_equal(strlen(got), 2 + QV_CSV_MAX_CELLS - 1);
    free(got);
    free(wide);
}

static void knows_utf8(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t good;
    } cases[] = {
        {"a\xC3\xA9z", 4},       {"\xC0\x80", 0},
        {"\xC1\xBF", 0},         {"\xE0\x9F\xBF", 0},
        {"\xE0\xA0\x80", 3},     {"\xED\x9F\xBF", 3},
        {"\xED\xA0\x80", 0},     {"\xF0\x8F\xBF\xBF", 0},
        {"\xF0\x90\x80\x80", 4}, {"\xF4\x8F\xBF\xBF", 4},
        {"\xF4\x90\x80\x80", 0}, {"\xF5\x80\x80\x80", 0},
        {"\xE4\xB8", 0},         {"x\x80", 1},
        {"\xF0\x9F\x98", 0},     {"\xE4\xB8\x41", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(qv_utf8_check(cases[i].bytes, strlen(cases[i].bytes)), cases[i].good);
    }
}

/* Whatever is written is read back cell by cell, and the writer never makes a text the reader refuses. */
static void writes_what_it_reads(void **state)
{
    (void)state;
    static const char *const pieces[] = {"a", ",", "\"", "\n", "\r", "\r\n", " ", "\xC3\xA4", "\"\"", "x,y"};
    uint64_t seed = qv_test_seed();
    qv_ctx *ctx = qv_test_ctx();
    for (int round = 0; round < 500; round++) {
        char cells[4][64];
        const char *list[4];
        size_t n = 1 + qv_test_next(&seed) % 4;
        for (size_t i = 0; i < n; i++) {
            cells[i][0] = '\0';
            for (uint64_t k = qv_test_next(&seed) % 6; k > 0; k--) {
                strcat(cells[i], pieces[qv_test_next(&seed) % (sizeof pieces / sizeof *pieces)]);
            }
            list[i] = cells[i];
        }
        qv_buf b = {0};
        qv_csv_write(&b, list, n);
        qv_csv r;
        bool more;
        qv_assert_ok(ctx, qv_csv_open(ctx, &r, "t.csv", b.data, b.len));
        qv_assert_ok(ctx, qv_csv_next(ctx, &r, &more));
        assert_true(more);
        assert_int_equal(r.n, n);
        for (size_t i = 0; i < n; i++) assert_string_equal(r.cells[i], cells[i]);
        qv_assert_ok(ctx, qv_csv_next(ctx, &r, &more));
        assert_false(more);
        qv_csv_close(&r);
    }
    qv_ctx_free(ctx);
}

static void random_bytes_do_no_harm(void **state)
{
    (void)state;
    static const char alphabet[] = ",,\"\"\n\r a\xC3\xA4\xFF";
    uint64_t seed = qv_test_seed();
    int refused = 0;
    for (int round = 0; round < 3000; round++) {
        char text[24];
        size_t n = qv_test_next(&seed) % sizeof text;
        for (size_t i = 0; i < n; i++) text[i] = alphabet[qv_test_next(&seed) % (sizeof alphabet - 1)];
        char *got = parse(text, n);
        refused += strstr(got, "t.csv:") != NULL;
        free(got);
    }
    assert_in_range(refused, 1, 2999);
}

static void finds_the_nearest_name(void **state)
{
    (void)state;
    static const char *const names[] = {"anger", "happiness", "neutral", "sadness", "joy"};
    static const struct {
        const char *word, *want;
    } cases[] = {
        {"hapiness", "happiness"}, {"Anger", "anger"}, {"angre", "anger"},     {"sadnes", "sadness"}, {"jo", "joy"},
        {"boredom", NULL},         {"", NULL},         {"neutarl", "neutral"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *got = qv_nearest(cases[i].word, names, 5);
        if (!cases[i].want)
            assert_null(got);
        else
            assert_string_equal(got ? got : "nothing", cases[i].want);
    }
    char endless[200];
    memset(endless, 'a', sizeof endless - 1);
    endless[sizeof endless - 1] = '\0';
    assert_null(qv_nearest(endless, names, 5));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_rfc_4180_describes),
        cmocka_unit_test(refuses_with_the_line),
        cmocka_unit_test(knows_utf8),
        cmocka_unit_test(writes_what_it_reads),
        cmocka_unit_test(random_bytes_do_no_harm),
        cmocka_unit_test(finds_the_nearest_name),
    };
    return cmocka_run_group_tests_name("csv", tests, NULL, NULL);
}
