/* Buffers, atomic files, folders, the pool, Philox. */
#include <errno.h>
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/parallel.h"
#include "base/philox.h"
#include "base/real.h"
#include "base/text.h"
#include "support/support.h"

static void buf_grows_and_keeps_text(void **state)
{
    (void)state;
    qv_buf b = {0};
    for (int i = 0; i < 1000; i++) qv_buf_printf(&b, "%d,", i);
    assert_int_equal(b.len, 10 * 2 + 90 * 3 + 900 * 4);
    assert_int_equal(strlen(b.data), b.len);
    assert_memory_equal(b.data + b.len - 4, "999,", 4);
    qv_buf_free(&b);
}

static void a_buf_gives_its_text_away(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_ctx_new();
    qv_buf b = {0};
    char *text;
    qv_buf_puts(&b, "text");
    const char *data = b.data;
    qv_assert_ok(ctx, qv_buf_take(ctx, &b, &text));
    assert_true(text == data && b.data == NULL && b.len == 0);
    free(text);
    qv_assert_ok(ctx, qv_buf_take(ctx, &b, &text)); /* of an empty one */
    assert_string_equal(text, "");
    free(text);
    b.failed = true;
    assert_int_equal(qv_buf_take(ctx, &b, &text), QV_ERR_MEMORY);
    assert_true(text == NULL && !b.failed);
    qv_ctx_free(ctx);
}

static void lines_end_in_three_ways(void **state)
{
    static const char *const lines[] = {"a", "", "b", "c", "", "d"};
    char text[] = "a\n\nb\r\nc\r\rd", ended[] = "e\n", none[] = "";
    char *rest = text, *line;
    size_t n = 0;
    (void)state;
    for (; (line = qv_next_line(&rest)) != NULL; n++) assert_string_equal(line, lines[n]);
    assert_int_equal(n, sizeof lines / sizeof *lines);
    rest = ended;
    assert_string_equal(qv_next_line(&rest), "e");
    assert_string_equal(qv_next_line(&rest), "");
    assert_null(qv_next_line(&rest));
    rest = none;
    assert_string_equal(qv_next_line(&rest), "");
    assert_null(qv_next_line(&rest));
}

static void reals_are_read_whole(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double x;
    } good[] = {{"0.025", 0.025}, {"-1e3", -1000}, {" 7", 7}, {"0x10", 16}, {"inf", INFINITY}, {"1.5", 1.5}};
    static const char *const bad[] = {"", " ", "x", "1,5", "1.5 ", "1.5x", "1e999", "1e-999", "."};
    double x;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(qv_read_real(good[i].text, &x) && x == good[i].x);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        x = 1;
        assert_false(qv_read_real(bad[i], &x));
        assert_true(x == 0);
    }
}

static void a_lack_of_resources_is_no_fault_of_a_file(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_test_ctx();
    errno = EMFILE;
    assert_int_equal(qv_fail_errno(ctx, "cannot open x"), QV_ERR_MEMORY);
    errno = ENOMEM;
    assert_int_equal(qv_fail_errno(ctx, "cannot open x"), QV_ERR_MEMORY);
    errno = ENOENT;
    assert_int_equal(qv_fail_errno(ctx, "cannot open x"), QV_ERR_IO);
    qv_ctx_free(ctx);
}

static void message_may_quote_itself(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_ctx_new();
    qv_fail(ctx, QV_ERR_DATA, "quote not closed");
    qv_fail_prefix(ctx, QV_ERR_DATA, "%s:%d", "a.csv", 3);
    assert_string_equal(qv_ctx_message(ctx), "a.csv:3: quote not closed");
    qv_fail(ctx, QV_ERR_DATA, "again: %s", qv_ctx_message(ctx));
    assert_string_equal(qv_ctx_message(ctx), "again: a.csv:3: quote not closed");
    qv_ctx_free(ctx);
}

/* A name from a file is shown, but does nothing. */
static void messages_do_not_steer_a_terminal(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_ctx_new();
    qv_fail(ctx, QV_ERR_DATA, "%s", "a\x1b[31mb\rc\x7f\xC2\x9B" "d \xC3\xA9\xC2\xA0\te\n");
    assert_string_equal(qv_ctx_message(ctx), "a?[31mb?c???d \xC3\xA9\xC2\xA0\te?");
    qv_fail(ctx, QV_ERR_DATA, "%s", "\xE2\x80\xAE" "1 \xE2\x81\xA6" "2 \xE2\x80\xA8" "3 \xE2\x80\xA6 caf\xE9.wav \xC3");
    assert_string_equal(qv_ctx_message(ctx), "???1 ???2 ???3 \xE2\x80\xA6 caf?.wav ?");
    qv_ctx_free(ctx);
}

static void nth_allocation_fails_once(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_ctx_new();
    qv_ctx_fail_alloc(ctx, 2);
    char *a = NULL, *b = NULL, *c = NULL;
    assert_int_equal(qv_alloc(ctx, &a, 3, 4), QV_OK);
    assert_int_equal(qv_alloc(ctx, &b, 3, 4), QV_ERR_MEMORY);
    assert_null(b);
    assert_int_equal(qv_alloc(ctx, &c, SIZE_MAX, 4), QV_ERR_MEMORY);
    free(a);
    qv_ctx_free(ctx);
}

static void uncommitted_file_leaves_nothing(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_test_ctx();
    char *dir = qv_test_tmpdir(), *path, *data;
    size_t size;
    qv_assert_ok(ctx, qv_path_join(ctx, &path, dir, "x.txt"));
    qv_assert_ok(ctx, qv_write_file(ctx, path, "old", 3));
    qv_out o;
    qv_assert_ok(ctx, qv_out_open(ctx, &o, path));
    fputs("new but not finished", o.f);
    qv_out_close(&o);
    qv_assert_ok(ctx, qv_read_file(ctx, path, 100, &data, &size));
    assert_string_equal(data, "old");
    free(data);
    assert_int_equal(qv_read_file(ctx, path, 2, &data, &size), QV_ERR_DATA);
    assert_int_equal(qv_read_file(ctx, dir, 100, &data, &size), QV_ERR_DATA);
    free(path);
    qv_test_rmdir(dir);
    qv_ctx_free(ctx);
}

static void lists_of_paths_have_names(void **state)
{
    (void)state;
    static const char *const cases[][2] = {{"emodb.csv", "emodb.csv"}, {"a/b/one.csv,c/two.csv", "one.csv, two.csv"},
                                           {"img/", "img"},            {"x/img//,y", "img, y"},
                                           {"", ""}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        qv_buf b = {0};
        qv_path_names(&b, cases[i][0]);
        assert_string_equal(b.data ? b.data : "", cases[i][1]);
        qv_buf_free(&b);
    }
}

static qv_status collect(qv_ctx *ctx, void *user, const char *path)
{
    (void)ctx;
    qv_buf_printf(user, "%s ", qv_path_base(path));
    return QV_OK;
}

static void what_is_no_file_is_not_replaced(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_test_ctx();
    char *dir = qv_test_tmpdir();
    assert_int_equal(qv_write_file(ctx, "/dev/null", "x", 1), QV_ERR_IO);
    assert_int_equal(qv_write_file(ctx, dir, "x", 1), QV_ERR_IO);
    /* An open file is a regular one, and yet its name in /proc, and a link to that, are the system's. */
    char file[4096], link[4096], open_file[64];
    snprintf(file, sizeof file, "%s/file", dir);
    snprintf(link, sizeof link, "%s/link", dir);
    qv_assert_ok(ctx, qv_write_file(ctx, file, "x", 1));
    FILE *f = fopen(file, "rb");
    snprintf(open_file, sizeof open_file, "/proc/self/fd/%d", fileno(f));
    assert_int_equal(symlink(open_file, link), 0);
    assert_int_equal(qv_write_file(ctx, open_file, "x", 1), QV_ERR_IO);
    assert_int_equal(qv_write_file(ctx, link, "x", 1), QV_ERR_IO);
    fclose(f);
    assert_int_equal(unlink(link), 0);
    assert_int_equal(symlink(file, link), 0);
    qv_assert_ok(ctx, qv_write_file(ctx, link, "y", 1));
    qv_test_rmdir(dir);
    qv_ctx_free(ctx);
}

/* Nobody can lay a link where the next is written, and processes of one number in two containers do not meet there. */
static void two_who_write_one_file_do_not_meet(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_test_ctx();
    qv_out a, b;
    char *dir = qv_test_tmpdir(), path[4096], *text;
    size_t size;
    snprintf(path, sizeof path, "%s/out", dir);
    qv_assert_ok(ctx, qv_out_open(ctx, &a, path));
    qv_assert_ok(ctx, qv_out_open(ctx, &b, path));
    assert_string_not_equal(a.tmp, b.tmp);
    fputs("a", a.f), fputs("b", b.f);
    qv_assert_ok(ctx, qv_out_commit(ctx, &a));
    qv_assert_ok(ctx, qv_out_commit(ctx, &b));
    qv_assert_ok(ctx, qv_read_file(ctx, path, 100, &text, &size));
    assert_string_equal(text, "b");
    free(text);
    qv_test_rmdir(dir);
    qv_ctx_free(ctx);
}

/* Neither waits for who may never come, nor reads what is too much anyway. */
static void strange_files_are_refused_at_once(void **state)
{
    (void)state;
    enum { TERABYTE = 40 };
    qv_ctx *ctx = qv_test_ctx();
    char *dir = qv_test_tmpdir(), path[4096], *text;
    size_t size;
    snprintf(path, sizeof path, "%s/pipe", dir);
    assert_int_equal(mkfifo(path, 0600), 0);
    qv_assert_ok(ctx, qv_read_file(ctx, path, 100, &text, &size));
    assert_int_equal(size, 0);
    free(text);
    snprintf(path, sizeof path, "%s/holes", dir);
    qv_assert_ok(ctx, qv_write_file(ctx, path, "x", 1));
    assert_int_equal(truncate(path, (off_t)1 << TERABYTE), 0);
    assert_int_equal(qv_read_file(ctx, path, (size_t)1 << (TERABYTE - 1), &text, &size), QV_ERR_DATA);
    qv_test_says(qv_ctx_message(ctx), "holes is larger than");
    qv_test_rmdir(dir);
    qv_ctx_free(ctx);
}

static void text_is_text(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_test_ctx();
    char *dir = qv_test_tmpdir(), path[4096], *text;
    snprintf(path, sizeof path, "%s/t", dir);
    qv_assert_ok(ctx, qv_write_file(ctx, path, "\xEF\xBB\xBF" "a\xC3\xA9\r\n", 8));
    qv_assert_ok(ctx, qv_read_text(ctx, path, 100, &text));
    assert_string_equal(text, "a\xC3\xA9\r\n");
    free(text);
    qv_assert_ok(ctx, qv_write_file(ctx, path, "a\nb\0c", 5));
    assert_int_equal(qv_read_text(ctx, path, 100, &text), QV_ERR_DATA);
    qv_test_says(qv_ctx_message(ctx), "t:2: a NUL byte");
    qv_assert_ok(ctx, qv_write_file(ctx, path, "a\xC3", 2));
    assert_int_equal(qv_read_text(ctx, path, 100, &text), QV_ERR_DATA);
    qv_test_says(qv_ctx_message(ctx), "t:1: byte 0xc3 is not UTF-8");
    assert_null(text);
    qv_test_rmdir(dir);
    qv_ctx_free(ctx);
}

static mode_t mode_of(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 0777;
}

/* What nobody else may read stays so when it is written again; what others may, too. */
static void permissions_are_passed_on(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_test_ctx();
    char *dir = qv_test_tmpdir(), path[4096];
    mode_t mask = umask(022);
    snprintf(path, sizeof path, "%s/x", dir);
    qv_assert_ok(ctx, qv_write_file(ctx, path, "x", 1));
    assert_int_equal(mode_of(path), 0644);
    assert_int_equal(chmod(path, 0600), 0);
    qv_out o;
    qv_assert_ok(ctx, qv_out_open(ctx, &o, path));
    assert_int_equal(mode_of(o.tmp), 0600);
    qv_assert_ok(ctx, qv_out_commit(ctx, &o));
    assert_int_equal(mode_of(path), 0600);
    assert_int_equal(chmod(path, 0664), 0); /* nor does the umask take any away */
    qv_assert_ok(ctx, qv_write_file(ctx, path, "y", 1));
    assert_int_equal(mode_of(path), 0664);
    umask(mask);
    qv_test_rmdir(dir);
    qv_ctx_free(ctx);
}

static void outputs_are_tried(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_test_ctx();
    char *dir = qv_test_tmpdir(), path[4096];
    qv_buf b = {0};
    snprintf(path, sizeof path, "%s/x", dir);
    qv_assert_ok(ctx, qv_out_try(ctx, path));
    qv_assert_ok(ctx, qv_walk(ctx, dir, collect, &b));
    assert_null(b.data); /* nothing is left */
    snprintf(path, sizeof path, "%s/none/x", dir);
    assert_int_equal(qv_out_try(ctx, path), QV_ERR_IO);
    assert_int_equal(qv_out_try(ctx, dir), QV_ERR_IO);
    assert_int_equal(qv_out_try(ctx, ""), QV_ERR_USAGE);
    assert_int_equal(qv_make_dirs(ctx, ""), QV_ERR_USAGE);
    snprintf(path, sizeof path, "%s/file", dir);
    qv_assert_ok(ctx, qv_write_file(ctx, path, "x", 1));
    assert_int_equal(qv_make_dirs(ctx, path), QV_ERR_IO);
    qv_test_says(qv_ctx_message(ctx), "file is there and is no folder");
    qv_test_rmdir(dir);
    qv_ctx_free(ctx);
}

static void a_lock_holds_until_it_is_released(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_test_ctx();
    char *dir = qv_test_tmpdir();
    qv_lock a, b, c;
    bool taken;
    qv_assert_ok(ctx, qv_lock_take(ctx, &a, dir, 7, &taken));
    assert_true(taken);
    qv_assert_ok(ctx, qv_lock_take(ctx, &b, dir, 7, &taken));
    assert_false(taken);
    qv_assert_ok(ctx, qv_lock_take(ctx, &c, dir, UINT64_MAX, &taken));
    assert_true(taken);
    qv_lock_release(&a);
    qv_lock_release(&b);
    qv_assert_ok(ctx, qv_lock_take(ctx, &b, dir, 7, &taken));
    assert_true(taken);
    qv_lock_release(&b);
    qv_lock_release(&c);
    qv_test_rmdir(dir);
    qv_ctx_free(ctx);
}

static void only_left_overs_are_swept(void **state)
{
    (void)state;
    static const char *const names[] = {"a", "a.tmp-12", "a.tmp-", "a.tmp-1x", "b.tmp-12", "aa.tmp-12"};
    qv_ctx *ctx = qv_test_ctx();
    char *dir = qv_test_tmpdir(), path[4096];
    for (int i = 0; i < 6; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        qv_assert_ok(ctx, qv_write_file(ctx, path, "", 0));
    }
    qv_out_sweep(dir, "a");
    for (int i = 0; i < 6; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        assert_int_equal(qv_path_exists(path), i != 1);
    }
    qv_test_rmdir(dir);
    qv_ctx_free(ctx);
}

static void walk_is_sorted_and_passes_over_hidden(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_test_ctx();
    char *dir = qv_test_tmpdir();
    static const char *const names[] = {"b/2", "b/1", "a/9", ".hidden/1", "c", "__MACOSX/1", "a/._x"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *path, *parent;
        qv_assert_ok(ctx, qv_path_join(ctx, &path, dir, names[i]));
        qv_assert_ok(ctx, qv_path_dir(ctx, &parent, path));
        qv_assert_ok(ctx, qv_make_dirs(ctx, parent));
        qv_assert_ok(ctx, qv_write_file(ctx, path, "", 0));
        free(path), free(parent);
    }
    qv_buf b = {0};
    qv_assert_ok(ctx, qv_walk(ctx, dir, collect, &b));
    assert_string_equal(b.data, "9 1 2 c ");
    qv_buf_free(&b);
    qv_test_rmdir(dir);
    qv_ctx_free(ctx);
}

/* As others write beside and rename, in a folder that is being walked. */
static qv_status remove_next(qv_ctx *ctx, void *user, const char *path)
{
    size_t *seen = user;
    char *next, *dir;
    qv_assert_ok(ctx, qv_path_dir(ctx, &dir, path));
    qv_assert_ok(ctx, qv_path_join(ctx, &next, dir, "2"));
    if (++*seen == 1) assert_int_equal(remove(next), 0);
    free(next), free(dir);
    return QV_OK;
}

static void walk_passes_over_what_goes_away(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_test_ctx();
    char *dir = qv_test_tmpdir();
    static const char *const names[] = {"1", "2", "3"};
    size_t seen = 0;
    for (size_t i = 0; i < 3; i++) qv_test_put(ctx, dir, names[i], "");
    qv_assert_ok(ctx, qv_walk(ctx, dir, remove_next, &seen));
    assert_int_equal(seen, 2);
    qv_test_rmdir(dir);
    qv_ctx_free(ctx);
}

/* Corpora are put together by links; one may lead up again, or nowhere. */
static void walk_follows_links(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_test_ctx();
    char *dir = qv_test_tmpdir(), path[4096];
    static const char *const links[][2] = {{"real", "link"}, {"..", "real/up"}, {"nothing", "gone"}};
    qv_buf b = {0};
    qv_test_put(ctx, dir, "real/1", "");
    for (size_t i = 0; i < sizeof links / sizeof *links; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, links[i][1]);
        assert_int_equal(symlink(links[i][0], path), 0);
    }
    qv_assert_ok(ctx, qv_walk(ctx, dir, collect, &b));
    assert_string_equal(b.data, "gone 1 1 ");
    assert_int_equal(qv_walk_root("."), 0);
    assert_int_equal(qv_walk_root("/"), 1);
    assert_int_equal(qv_walk_root("a"), 2);
    assert_int_equal(qv_walk_root("./a//"), 5);
    qv_buf_free(&b);
    qv_test_rmdir(dir);
    qv_ctx_free(ctx);
}

static void count_range(void *user, int chunk, size_t begin, size_t end)
{
    (void)chunk;
    unsigned char *seen = user;
    for (size_t i = begin; i < end; i++) seen[i]++;
}

static void parallel_covers_every_index_once(void **state)
{
    (void)state;
    qv_ctx *ctx = qv_test_ctx();
    static const size_t sizes[] = {0, 1, 15, 16, 17, 1000};
    for (int threads = 1; threads <= 5; threads++) {
        qv_pool *pool;
        qv_assert_ok(ctx, qv_pool_new(ctx, &pool, threads));
        for (int round = 0; round < 200; round++) {
            size_t n = sizes[round % 6];
            unsigned char seen[1000] = {0};
            qv_parallel(pool, n, 16, count_range, seen);
            for (size_t i = 0; i < sizeof seen; i++) assert_int_equal(seen[i], i < n);
        }
        qv_pool_free(pool);
    }
    qv_ctx_free(ctx);
}

/* Known answers of the authors' own test file (kat_vectors, philox4x32 10). */
static void philox_known_answers(void **state)
{
    (void)state;
    static const struct {
        uint32_t ctr[4], key[2], out[4];
    } cases[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        qv_philox4 r = qv_philox(cases[i].ctr, cases[i].key);
        assert_memory_equal(r.v, cases[i].out, sizeof r.v);
    }
    assert_true(qv_uniform(0) == 0.0f && qv_uniform(0xffffffffu) == 1.0f - 0x1p-24f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buf_grows_and_keeps_text),
        cmocka_unit_test(a_buf_gives_its_text_away),
        cmocka_unit_test(lines_end_in_three_ways),
        cmocka_unit_test(reals_are_read_whole),
        cmocka_unit_test(message_may_quote_itself),
        cmocka_unit_test(a_lack_of_resources_is_no_fault_of_a_file),
        cmocka_unit_test(messages_do_not_steer_a_terminal),
        cmocka_unit_test(nth_allocation_fails_once),
        cmocka_unit_test(uncommitted_file_leaves_nothing),
        cmocka_unit_test(what_is_no_file_is_not_replaced),
        cmocka_unit_test(lists_of_paths_have_names),
        cmocka_unit_test(two_who_write_one_file_do_not_meet),
        cmocka_unit_test(strange_files_are_refused_at_once),
        cmocka_unit_test(text_is_text),
        cmocka_unit_test(permissions_are_passed_on),
        cmocka_unit_test(outputs_are_tried),
        cmocka_unit_test(a_lock_holds_until_it_is_released),
        cmocka_unit_test(only_left_overs_are_swept),
        cmocka_unit_test(walk_is_sorted_and_passes_over_hidden),
        cmocka_unit_test(walk_passes_over_what_goes_away),
        cmocka_unit_test(walk_follows_links),
        cmocka_unit_test(parallel_covers_every_index_once),
        cmocka_unit_test(philox_known_answers),
    };
    return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
