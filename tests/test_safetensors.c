/* Named tensors in a file: round trips, hostile files, and the exchange with Python.
 *
 * With arguments it is the C side of tests/python/check_safetensors.py:
 *   test_safetensors write FILE   the sample of make_sample
 *   test_safetensors check FILE   refuses any file that does not hold the same sample */
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/safetensors.h"
#include "support/support.h"

/* ---- the sample: every dtype, an odd number of bytes, no elements, no dimensions, eight dimensions ---- */

static const uint8_t BYTES[3] = {0, 127, 255};
static const int32_t INTS[2][2] = {{INT32_MIN, -1}, {0, INT32_MAX}};
static const int64_t LONGS[1] = {INT64_MIN};
static const float FLOATS[2][3] = {{0x1p-149f, -0.0f, 1.5f}, {INFINITY, -3e38f, 0x1.fffffep0f}};
static const double DOUBLES[3] = {0x1p-1074, -INFINITY, 0x1.fffffffffffffp0};
static const char TEXT[] = "{\"tab\":\"\\t\"}\nsecond line, \xC3\xA4\xE2\x82\xAC\xF0\x9F\x8E\xB5";

static const struct {
    const char *name;
    qv_st_dtype dtype;
    int ndim;
    size_t shape[8];
    const void *data;
    size_t bytes;
} SAMPLE[] = {
    {"bytes", QV_ST_U8, 1, {3}, BYTES, sizeof BYTES},
    {"ints", QV_ST_I32, 2, {2, 2}, INTS, sizeof INTS},
    {"scalar", QV_ST_I64, 0, {0}, LONGS, sizeof LONGS},
    {"floats", QV_ST_F32, 2, {2, 3}, FLOATS, sizeof FLOATS},
    {"none", QV_ST_F64, 3, {4, 0, 5}, NULL, 0},
    {"a \"quoted\"\n\xC3\xA4.name", QV_ST_F64, 8, {1, 1, 3, 1, 1, 1, 1, 1}, DOUBLES, sizeof DOUBLES},
};
enum { SAMPLES = sizeof SAMPLE / sizeof *SAMPLE };

static qv_status write_sample(qv_ctx *ctx, const char *path)
{
    qv_status status = QV_OK;
    qv_st_writer *w = NULL;
    QV_TRY(qv_st_writer_new(ctx, &w));
    for (int i = 0; i < SAMPLES; i++)
        QV_TRY(qv_st_add(ctx, w, SAMPLE[i].name, SAMPLE[i].dtype, SAMPLE[i].ndim, SAMPLE[i].shape, SAMPLE[i].data));
    QV_TRY(qv_st_add_meta(ctx, w, "text", TEXT));
    QV_TRY(qv_st_add_meta(ctx, w, "empty", ""));
    QV_TRY(qv_st_write(ctx, w, path));
done:
    qv_st_writer_free(w);
    return status;
}

static qv_status check_sample(qv_ctx *ctx, const qv_st_file *f)
{
    if (qv_st_count(f) != SAMPLES || qv_st_meta_count(f) != 2)
        return qv_fail(ctx, QV_ERR_DATA, "%zu tensors and %zu metadata", qv_st_count(f), qv_st_meta_count(f));
    for (int i = 0; i < SAMPLES; i++) {
        const qv_st_tensor *t;
        qv_status status = qv_st_need(ctx, f, SAMPLE[i].name, SAMPLE[i].dtype, SAMPLE[i].ndim, SAMPLE[i].shape, &t);
        if (status != QV_OK) return status;
        if (t->bytes != SAMPLE[i].bytes || (t->bytes && memcmp(t->data, SAMPLE[i].data, t->bytes) != 0) ||
            (uintptr_t)t->data % qv_st_dtype_size(t->dtype) != 0)
            return qv_fail(ctx, QV_ERR_DATA, "data of '%s' differs or is not aligned", SAMPLE[i].name);
    }
    const char *text = qv_st_meta(f, "text"), *empty = qv_st_meta(f, "empty");
    if (!text || strcmp(text, TEXT) != 0 || !empty || *empty || qv_st_meta(f, "tex"))
        return qv_fail(ctx, QV_ERR_DATA, "metadata differ");
    return QV_OK;
}

/* ---- files in the making ---- */

typedef struct fixture {
    qv_ctx *ctx;
    char *dir, *path;
    qv_st_file *file;
} fixture;

static int setup(void **state)
{
    fixture *x = calloc(1, sizeof *x);
    x->ctx = qv_test_ctx();
    x->dir = qv_test_tmpdir();
    qv_assert_ok(x->ctx, qv_path_join(x->ctx, &x->path, x->dir, "x.safetensors"));
    *state = x;
    return 0;
}

static int teardown(void **state)
{
    fixture *x = *state;
    qv_st_close(x->file);
    qv_test_rmdir(x->dir);
    free(x->path);
    qv_ctx_free(x->ctx);
    free(x);
    return 0;
}

/* Plain and without fsync, since thousands of files are written. */
static void put_file(const fixture *x, const void *data, size_t n)
{
    FILE *f = fopen(x->path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static void put_header(const fixture *x, const char *header, size_t data)
{
    qv_buf b = {0};
    uint64_t length = strlen(header);
    qv_buf_add(&b, &length, sizeof length);
    qv_buf_puts(&b, header);
    for (size_t i = 0; i < data; i++) qv_buf_add(&b, "\1", 1);
    qv_assert_ok(x->ctx, qv_buf_check(x->ctx, &b));
    put_file(x, b.data, b.len);
    qv_buf_free(&b);
}

/* Opens and closes again; what was accepted must be sound, which is looked at byte by byte. */
static qv_status try_open(const fixture *x)
{
    qv_st_file *f;
    qv_status status = qv_st_open(x->ctx, &f, x->path);
    if (status != QV_OK) {
        assert_null(f);
        assert_true(status == QV_ERR_DATA || status == QV_ERR_MEMORY);
        return status;
    }
    unsigned sum = 0;
    for (size_t i = 0; i < qv_st_count(f); i++) {
        const qv_st_tensor *t = qv_st_at(f, i);
        const unsigned char *p = t->data;
        assert_ptr_equal(qv_st_find(f, t->name), t);
        assert_int_equal(t->bytes, t->count * qv_st_dtype_size(t->dtype));
        for (size_t k = 0; k < t->bytes; k++) sum += p[k];
    }
    for (size_t i = 0; i < qv_st_meta_count(f); i++) {
        const char *key, *value;
        qv_st_meta_at(f, i, &key, &value);
        sum += (unsigned)(strlen(key) + strlen(value));
    }
    assert_true(sum > 0);
    qv_st_close(f);
    return QV_OK;
}

/* ---- tests ---- */

static void sample_comes_back(void **state)
{
    fixture *x = *state;
    qv_assert_ok(x->ctx, write_sample(x->ctx, x->path));
    qv_assert_ok(x->ctx, qv_st_open(x->ctx, &x->file, x->path));
    qv_assert_ok(x->ctx, check_sample(x->ctx, x->file));
    for (size_t i = 1; i < qv_st_count(x->file); i++)
        assert_true(strcmp(qv_st_at(x->file, i - 1)->name, qv_st_at(x->file, i)->name) < 0);
    assert_null(qv_st_find(x->file, "absent"));
}

static void same_additions_give_same_bytes(void **state)
{
    fixture *x = *state;
    char *first, *second;
    size_t n, m;
    qv_assert_ok(x->ctx, write_sample(x->ctx, x->path));
    qv_assert_ok(x->ctx, qv_read_file(x->ctx, x->path, 1 << 20, &first, &n));
    qv_assert_ok(x->ctx, write_sample(x->ctx, x->path));
    qv_assert_ok(x->ctx, qv_read_file(x->ctx, x->path, 1 << 20, &second, &m));
    assert_int_equal(n, m);
    assert_memory_equal(first, second, n);
    uint64_t length;
    memcpy(&length, first, sizeof length);
    assert_int_equal(length % 8, 0);
    free(first), free(second);
}

static void empty_file_of_tensors_is_sound(void **state)
{
    fixture *x = *state;
    qv_st_writer *w;
    qv_assert_ok(x->ctx, qv_st_writer_new(x->ctx, &w));
    qv_assert_ok(x->ctx, qv_st_write(x->ctx, w, x->path));
    qv_st_writer_free(w);
    qv_assert_ok(x->ctx, qv_st_open(x->ctx, &x->file, x->path));
    assert_int_equal(qv_st_count(x->file), 0);
    assert_null(qv_st_find(x->file, "a"));
}

static void wrong_additions_are_refused(void **state)
{
    fixture *x = *state;
    static const size_t shape[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1}, large[2] = {SIZE_MAX / 4, 5};
    qv_st_writer *w;
    qv_assert_ok(x->ctx, qv_st_writer_new(x->ctx, &w));
    qv_assert_ok(x->ctx, qv_st_add(x->ctx, w, "a", QV_ST_U8, 1, shape, BYTES));
    assert_int_equal(qv_st_add(x->ctx, w, "a", QV_ST_U8, 1, shape, BYTES), QV_ERR_USAGE);
    assert_int_equal(qv_st_add(x->ctx, w, "", QV_ST_U8, 1, shape, BYTES), QV_ERR_USAGE);
    assert_int_equal(qv_st_add(x->ctx, w, "__metadata__", QV_ST_U8, 1, shape, BYTES), QV_ERR_USAGE);
    assert_int_equal(qv_st_add(x->ctx, w, "\xFF", QV_ST_U8, 1, shape, BYTES), QV_ERR_USAGE);
    assert_int_equal(qv_st_add(x->ctx, w, "b", QV_ST_U8, 9, shape, BYTES), QV_ERR_USAGE);
    assert_int_equal(qv_st_add(x->ctx, w, "b", QV_ST_U8, -1, shape, BYTES), QV_ERR_USAGE);
    assert_int_equal(qv_st_add(x->ctx, w, "b", QV_ST_U8, 2, large, BYTES), QV_ERR_USAGE);
    qv_assert_ok(x->ctx, qv_st_add_meta(x->ctx, w, "k", "v"));
    assert_int_equal(qv_st_add_meta(x->ctx, w, "k", "w"), QV_ERR_USAGE);
    assert_int_equal(qv_st_add_meta(x->ctx, w, "l", "\xC0\x80"), QV_ERR_USAGE);
    qv_assert_ok(x->ctx, qv_st_write(x->ctx, w, x->path));
    qv_st_writer_free(w);
    qv_assert_ok(x->ctx, qv_st_open(x->ctx, &x->file, x->path));
    assert_int_equal(qv_st_count(x->file), 1);
}

static void sizes_that_overflow_together_are_refused(void **state)
{
    fixture *x = *state;
    static const size_t half[1] = {SIZE_MAX / 2};
    qv_st_writer *w;
    qv_assert_ok(x->ctx, qv_st_writer_new(x->ctx, &w));
    qv_assert_ok(x->ctx, qv_st_add(x->ctx, w, "a", QV_ST_U8, 1, half, BYTES));
    qv_assert_ok(x->ctx, qv_st_add(x->ctx, w, "b", QV_ST_U8, 1, half, BYTES));
    assert_int_equal(qv_st_write(x->ctx, w, x->path), QV_ERR_USAGE);
    assert_false(qv_path_exists(x->path));
    qv_st_writer_free(w);
}

#define A(body) "{\"a\":{" body "}}"

static void lying_headers_are_named(void **state)
{
    fixture *x = *state;
    static const struct {
        const char *header;
        size_t data;
        const char *message; /* NULL: accepted */
    } cases[] = {
        {A("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]"), 8, NULL},
        {A("\"data_offsets\":[0,8],\"shape\":[2,1],\"dtype\":\"F32\"") "  ", 8, NULL},
        {A("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]"), 9, "9 bytes of data, the tensors cover 8"},
        {A("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]"), 7, "'a': data from byte 0 to 8"},
        {A("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]"), 8, "'a': data from byte 8 to 0"},
        {A("\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]"), 8,
         "'a': 8 bytes of data, dtype and shape ask for 12"},
        {A("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[1,5]"), 5,
         "'a': data from byte 1 on, which is not aligned"},
        {A("\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]"), 2, "'a': data from byte 1 on, expected 0"},
        {A("\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[0,4]"), 4, "'a': dtype 'F16' is not one of"},
        {A("\"dtype\":1,\"shape\":[2],\"data_offsets\":[0,8]"), 8, "'a': no dtype"},
        {A("\"dtype\":\"F32\",\"shape\":2,\"data_offsets\":[0,8]"), 8, "'a': no shape"},
        {A("\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]"), 8, "'a': dimension 0 of the shape is no size"},
        {A("\"dtype\":\"F32\",\"shape\":[1,2.0],\"data_offsets\":[0,8]"), 8,
         "'a': dimension 1 of the shape is no size"},
        {A("\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,1]"), 1, "'a': 9 dimensions"},
        {A("\"dtype\":\"U8\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]"), 0,
         "'a': the product of the shape overflows"},
        {A("\"dtype\":\"F64\",\"shape\":[2305843009213693952],\"data_offsets\":[0,0]"), 0,
         "'a': the product of the shape overflows"},
        {A("\"dtype\":\"U8\",\"shape\":[9223372036854775807],\"data_offsets\":[0,9223372036854775807]"), 1,
         "but the file has 1 bytes"},
        {A("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0]"), 8, "'a': data_offsets are not two sizes"},
        {A("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,99999999999999999999]"), 8, "not valid JSON"},
        {A("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"x\":0"), 8, "'a': 4 keys"},
        {A("\"dtype\":\"F32\",\"shape\":[[2]],\"data_offsets\":[0,8]"), 8, "nested deeper than 3"},
        {"{\"a\":1}", 0, "'a': its entry is no JSON object"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_"
         "offsets\":[0,2]}}",
         2, "'b': data from byte 0 on, expected 1 (tensors overlap)"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_"
         "offsets\":[2,3]}}",
         3, "'b': data from byte 2 on, expected 1 (bytes of no tensor between)"},
        {"{\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]},\"z\":{\"dtype\":\"U8\",\"shape\":[0],\"data_"
         "offsets\":[1,1]},"
         "\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}",
         2, NULL},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_"
         "offsets\":[0,1]}}",
         1, "not valid JSON"},
        {"{\"\\u0000\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "not valid JSON"},
        {"{\"\xFF\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "not valid JSON"},
        {"{\"\\u001b[31m\":{}}", 0, "'?[31m': no dtype"},
        {"{\"__metadata__\":{\"k\":\"v\"}}", 0, NULL},
        {"{\"__metadata__\":{\"k\":1}}", 0, "the value of 'k' in __metadata__ is no text"},
        {"{\"__metadata__\":[]}", 0, "__metadata__ is no JSON object"},
        {"{} {}", 0, "not valid JSON"},
        {"[]", 0, "the header is no JSON object"},
        {" {\"__metadata__\":{\"k\":\"v\"}}", 0, "the header is no JSON object"},
        {"{", 0, "not valid JSON"},
        {"", 0, "the header is no JSON object"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put_header(x, cases[i].header, cases[i].data);
        qv_status status = try_open(x);
        const char *message = status == QV_OK ? "accepted" : qv_ctx_message(x->ctx);
        bool right = cases[i].message
                         ? status == QV_ERR_DATA && strstr(message, cases[i].message) && strstr(message, x->path)
                         : status == QV_OK;
        if (!right) fail_msg("%s with %zu bytes: %s", cases[i].header, cases[i].data, message);
    }
}

static void long_names_are_cut_in_messages(void **state)
{
    fixture *x = *state;
    qv_buf b = {0};
    qv_buf_puts(&b, "{\"");
    for (int i = 0; i < 3000; i++) qv_buf_puts(&b, "\xE2\x82\xAC");
    qv_buf_puts(&b, "\":{}}");
    put_header(x, b.data, 0);
    qv_buf_free(&b);
    assert_int_equal(try_open(x), QV_ERR_DATA);
    assert_non_null(strstr(qv_ctx_message(x->ctx), "\xE2\x82\xAC...': no dtype"));
}

static void lying_lengths_are_refused(void **state)
{
    fixture *x = *state;
    static const uint64_t lengths[] = {3, 1 << 20, (uint64_t)1 << 40, UINT64_MAX - 8, UINT64_MAX};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        char file[10] = {0};
        memcpy(file, &lengths[i], 8);
        memcpy(file + 8, "{}", 2);
        put_file(x, file, sizeof file);
        assert_int_equal(try_open(x), QV_ERR_DATA);
    }
    /* A header within the file that is larger than any that is read: a hole, it takes no space on disk. */
    FILE *f = fopen(x->path, "wb");
    uint64_t length = (uint64_t)1 << 30;
    assert_true(fwrite(&length, sizeof length, 1, f) == 1 && fflush(f) == 0);
    assert_int_equal(ftruncate(fileno(f), (off_t)length + 8), 0);
    fclose(f);
    assert_int_equal(try_open(x), QV_ERR_DATA);
    assert_int_equal(qv_st_open(x->ctx, &x->file, x->dir), QV_ERR_DATA);
    assert_int_equal(qv_st_open(x->ctx, &x->file, "/nowhere/x"), QV_ERR_IO);
}
/* Nor does it wait for somebody who writes to it. */
static void a_pipe_is_no_file(void **state)
{
    fixture *x = *state;
    assert_int_equal(mkfifo(x->path, 0600), 0);
    assert_int_equal(try_open(x), QV_ERR_DATA);
    qv_test_says(qv_ctx_message(x->ctx), "is not a regular file");
}

static void every_truncation_is_refused(void **state)
{
    fixture *x = *state;
    char *good;
    size_t n;
    qv_assert_ok(x->ctx, write_sample(x->ctx, x->path));
    qv_assert_ok(x->ctx, qv_read_file(x->ctx, x->path, 1 << 20, &good, &n));
    for (size_t cut = 0; cut < n; cut++) {
        put_file(x, good, cut);
        assert_int_equal(try_open(x), QV_ERR_DATA);
    }
    free(good);
}

/* Any byte of length and header changed to any of these: refused, or sound (as where a letter of a name changed). */
static void every_changed_byte_is_survived(void **state)
{
    fixture *x = *state;
    static const unsigned char values[] = "\0\1\x1f \"'+-.,0189:[]{}\\eEtnu\x7f\x80\xc3\xff";
    char *good;
    size_t n, refused = 0, accepted = 0;
    uint64_t length;
    qv_assert_ok(x->ctx, write_sample(x->ctx, x->path));
    qv_assert_ok(x->ctx, qv_read_file(x->ctx, x->path, 1 << 20, &good, &n));
    memcpy(&length, good, sizeof length);
    for (size_t at = 0; at < 8 + length; at++) {
        char old = good[at];
        for (size_t v = 0; v < sizeof values - 1; v++) {
            good[at] = (char)values[v];
            put_file(x, good, n);
            if (try_open(x) == QV_OK)
                accepted++;
            else
                refused++;
        }
        good[at] = old;
    }
    print_message("%zu changes: %zu refused, %zu accepted and sound\n", refused + accepted, refused, accepted);
    assert_true(refused > accepted);
    free(good);
}

static void every_failed_allocation_is_reported(void **state)
{
    fixture *x = *state;
    qv_assert_ok(x->ctx, write_sample(x->ctx, x->path));
    bool done = false;
    for (size_t nth = 1; !done; nth++) {
        assert_true(nth < 50);
        qv_ctx_fail_alloc(x->ctx, nth);
        qv_status status = qv_st_open(x->ctx, &x->file, x->path);
        done = status == QV_OK;
        if (!done) assert_int_equal(status, QV_ERR_MEMORY);
    }
    qv_assert_ok(x->ctx, check_sample(x->ctx, x->file));
    done = false;
    for (size_t nth = 1; !done; nth++) {
        assert_true(nth < 50);
        qv_ctx_fail_alloc(x->ctx, nth);
        qv_status status = write_sample(x->ctx, x->path);
        done = status == QV_OK;
        if (!done) assert_int_equal(status, QV_ERR_MEMORY);
    }
    qv_ctx_fail_alloc(x->ctx, 0);
}

static qv_status count_file(qv_ctx *ctx, void *user, const char *path)
{
    (void)ctx, (void)path;
    ++*(int *)user;
    return QV_OK;
}

/* A full disk, played by a limit on the size of files. */
static void full_disk_leaves_the_old_file(void **state)
{
    fixture *x = *state;
    static const double large[32768];
    static const size_t shape[1] = {32768};
    struct rlimit old, small;
    qv_st_writer *w;
    qv_assert_ok(x->ctx, write_sample(x->ctx, x->path));
    qv_assert_ok(x->ctx, qv_st_writer_new(x->ctx, &w));
    qv_assert_ok(x->ctx, qv_st_add(x->ctx, w, "large", QV_ST_F64, 1, shape, large));
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = old;
    small.rlim_cur = 100000;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    qv_status status = qv_st_write(x->ctx, w, x->path);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    qv_st_writer_free(w);
    assert_int_equal(status, QV_ERR_IO);
    assert_non_null(strstr(qv_ctx_message(x->ctx), strerror(EFBIG)));
    int files = 0;
    qv_assert_ok(x->ctx, qv_walk(x->ctx, x->dir, count_file, &files));
    assert_int_equal(files, 1);
    qv_assert_ok(x->ctx, qv_st_open(x->ctx, &x->file, x->path));
    qv_assert_ok(x->ctx, check_sample(x->ctx, x->file));
}

static void needs_are_exact(void **state)
{
    fixture *x = *state;
    static const size_t right[2] = {2, 3}, wrong[2] = {3, 2};
    const qv_st_tensor *t;
    qv_assert_ok(x->ctx, write_sample(x->ctx, x->path));
    qv_assert_ok(x->ctx, qv_st_open(x->ctx, &x->file, x->path));
    qv_assert_ok(x->ctx, qv_st_need(x->ctx, x->file, "floats", QV_ST_F32, 2, right, &t));
    assert_int_equal(qv_st_need(x->ctx, x->file, "floats", QV_ST_F32, 2, wrong, &t), QV_ERR_DATA);
    assert_null(t);
    assert_non_null(strstr(qv_ctx_message(x->ctx), "'floats' is F32 [2, 3], expected F32 [3, 2]"));
    assert_int_equal(qv_st_need(x->ctx, x->file, "floats", QV_ST_F64, 2, right, &t), QV_ERR_DATA);
    assert_int_equal(qv_st_need(x->ctx, x->file, "floats", QV_ST_F32, 1, right, &t), QV_ERR_DATA);
    assert_int_equal(qv_st_need(x->ctx, x->file, "flats", QV_ST_F32, 2, right, &t), QV_ERR_DATA);
    assert_non_null(strstr(qv_ctx_message(x->ctx), "no tensor 'flats'"));
}

static int exchange(const char *what, const char *path)
{
    qv_ctx *ctx = qv_test_ctx();
    qv_st_file *f = NULL;
    qv_status status = QV_OK;
    if (strcmp(what, "write") == 0) {
        QV_TRY(write_sample(ctx, path));
    } else {
        QV_TRY(qv_st_open(ctx, &f, path));
        QV_TRY(check_sample(ctx, f));
    }
done:
    if (status != QV_OK) fprintf(stderr, "%s\n", qv_ctx_message(ctx));
    qv_st_close(f);
    qv_ctx_free(ctx);
    return status != QV_OK;
}

int main(int argc, char **argv)
{
    if (argc == 3) return exchange(argv[1], argv[2]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sample_comes_back, setup, teardown),
        cmocka_unit_test_setup_teardown(same_additions_give_same_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(empty_file_of_tensors_is_sound, setup, teardown),
        cmocka_unit_test_setup_teardown(wrong_additions_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(sizes_that_overflow_together_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(lying_headers_are_named, setup, teardown),
        cmocka_unit_test_setup_teardown(long_names_are_cut_in_messages, setup, teardown),
        cmocka_unit_test_setup_teardown(lying_lengths_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_pipe_is_no_file, setup, teardown),
        cmocka_unit_test_setup_teardown(every_truncation_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(every_changed_byte_is_survived, setup, teardown),
        cmocka_unit_test_setup_teardown(every_failed_allocation_is_reported, setup, teardown),
        cmocka_unit_test_setup_teardown(full_disk_leaves_the_old_file, setup, teardown),
        cmocka_unit_test_setup_teardown(needs_are_exact, setup, teardown),
    };
    return cmocka_run_group_tests_name("safetensors", tests, NULL, NULL);
}
