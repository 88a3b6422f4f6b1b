#include "data/npy.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "base/io.h"

/* numpy writes some hundred bytes; version 2.0 could claim 4 GiB. */
enum { PREFIX = 8, HEADER_MAX = 1 << 16, CHUNK = 1 << 14, DIMS_MAX = 8 };

/* Beyond it, squares summed over a corpus would no longer tell deviations apart. */
static const double largest = 1e30;

/* What the header's dictionary says. */
typedef struct header {
    char descr[16];
    bool fortran;
    int64_t shape[DIMS_MAX];
    int dims;
} header;

/* A place in the header's text, which ends with NUL. */
typedef struct cursor {
    qv_ctx *ctx;
    const char *path, *begin, *at;
} cursor;

static qv_status expected(const cursor *c, const char *what)
{
    char found[24];
    size_t n = 0;
    for (; n < sizeof found - 1 && c->at[n] >= ' ' && c->at[n] < 127; n++) found[n] = c->at[n];
    found[n] = '\0';
    return qv_fail(c->ctx, QV_ERR_DATA, "%s: byte %ld of the header: '%s' stands where %s was expected", c->path,
                   (long)(c->at - c->begin), found, what);
}

static void skip_blanks(cursor *c) { c->at += strspn(c->at, " \t\n"); }

static bool take(cursor *c, char one)
{
    skip_blanks(c);
    if (*c->at != one) return false;
    c->at++;
    return true;
}

/* A text in either kind of quotes, without escapes: none of ours has one. */
static qv_status take_text(cursor *c, char *out, size_t size)
{
    skip_blanks(c);
    char quote = *c->at;
    if (quote != '\'' && quote != '"') return expected(c, "a quoted text");
    size_t n = strcspn(c->at + 1, quote == '"' ? "\"\\\n" : "'\\\n");
    if (c->at[1 + n] != quote || n >= size) return expected(c, "a short quoted text");
    memcpy(out, c->at + 1, n);
    out[n] = '\0';
    c->at += n + 2;
    return QV_OK;
}

static qv_status take_bool(cursor *c, bool *out)
{
    skip_blanks(c);
    *out = strncmp(c->at, "True", 4) == 0;
    if (!*out && strncmp(c->at, "False", 5) != 0) return expected(c, "True or False");
    c->at += *out ? 4 : 5;
    return QV_OK;
}

/* A length; Python 2 wrote an L behind it. */
static qv_status take_length(cursor *c, int64_t *out)
{
    skip_blanks(c);
    size_t n = strspn(c->at, "0123456789");
    *out = 0;
    if (n == 0) return expected(c, "a length");
    for (size_t i = 0; i < n; i++) {
        int digit = c->at[i] - '0';
        if (*out > (INT64_MAX - digit) / 10) return expected(c, "a length of 63 bits");
        *out = *out * 10 + digit;
    }
    c->at += n;
    if (*c->at == 'L') c->at++;
    return QV_OK;
}

/* "()", "(3,)", "(3, 4)", "(3, 4,)". */
static qv_status take_shape(cursor *c, header *h)
{
    if (!take(c, '(')) return expected(c, "the opening parenthesis of a shape");
    for (h->dims = 0; !take(c, ')'); h->dims++) {
        if (h->dims == DIMS_MAX) return expected(c, "the end of a shape");
        qv_status status = take_length(c, &h->shape[h->dims]);
        if (status != QV_OK) return status;
        skip_blanks(c);
        if (!take(c, ',') && *c->at != ')') return expected(c, "a comma or the closing parenthesis of a shape");
    }
    return QV_OK;
}

static qv_status take_value(cursor *c, const char *key, header *h, unsigned *seen)
{
    static const char *const keys[] = {"descr", "fortran_order", "shape"};
    unsigned k = 0;
    while (k < 3 && strcmp(keys[k], key) != 0) k++;
    if (k == 3)
        return qv_fail(c->ctx, QV_ERR_DATA,
                       "%s: the header has a key '%s'; only descr, fortran_order and shape belong there", c->path, key);
    if (*seen & 1u << k) return qv_fail(c->ctx, QV_ERR_DATA, "%s: the header has the key '%s' twice", c->path, key);
    *seen |= 1u << k;
    if (k == 0) {
        skip_blanks(c);
        if (*c->at == '[') return expected(c, "a type of one number, such as '<f4' (arrays of records are not taken)");
        return take_text(c, h->descr, sizeof h->descr);
    }
    return k == 1 ? take_bool(c, &h->fortran) : take_shape(c, h);
}

/* {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), } in any order, then blanks. */
static qv_status parse(cursor *c, header *h)
{
    unsigned seen = 0;
    char key[24];
    if (!take(c, '{')) return expected(c, "an opening brace");
    while (!take(c, '}')) {
        qv_status status = take_text(c, key, sizeof key);
        if (status == QV_OK && !take(c, ':')) status = expected(c, "a colon");
        if (status == QV_OK) status = take_value(c, key, h, &seen);
        if (status != QV_OK) return status;
        skip_blanks(c);
        if (!take(c, ',') && *c->at != '}') return expected(c, "a comma or the closing brace");
    }
    skip_blanks(c);
    if (*c->at) return expected(c, "the end of the header");
    if (seen != 7)
        return qv_fail(c->ctx, QV_ERR_DATA, "%s: the header lacks one of descr, fortran_order and shape", c->path);
    return QV_OK;
}

/* Is the array one that can be used? */
static qv_status check(qv_ctx *ctx, qv_npy *npy, const header *h)
{
    const char *path = npy->path, *d = h->descr;
    if (strcmp(d, "<f2") == 0 || strcmp(d, "<f4") == 0 || strcmp(d, "<f8") == 0)
        npy->size = d[2] - '0';
    else
        return qv_fail(ctx, QV_ERR_DATA,
                       "%s holds numbers of type '%s'; save x.astype('<f4') (<f2 and <f8 are taken too)", path, d);
    if (h->dims != 2)
        return qv_fail(ctx, QV_ERR_DATA,
                       "%s: an array of %d dimension%s; frames x values were expected (one frame alone: x[None, :])",
                       path, h->dims, h->dims == 1 ? "" : "s");
    if (h->fortran)
        return qv_fail(
            ctx, QV_ERR_DATA,
            "%s: its columns are stored one after the other (Fortran order); save numpy.ascontiguousarray(x), "
            "frames x values",
            path);
    if (h->shape[0] < 1 || h->shape[0] > INT32_MAX)
        return qv_fail(ctx, QV_ERR_DATA, "%s: %lld frames; 1 to %d were expected", path, (long long)h->shape[0],
                       INT32_MAX);
    if (h->shape[1] < 1 || h->shape[1] > QV_NPY_COLUMNS)
        return qv_fail(ctx, QV_ERR_DATA, "%s: frames of %lld values; 1 to %d were expected", path,
                       (long long)h->shape[1], QV_NPY_COLUMNS);
    npy->rows = h->shape[0];
    npy->columns = (int32_t)h->shape[1];
    return QV_OK;
}

/* The array must be what is left of the file, to the byte. */
static qv_status check_length(qv_ctx *ctx, const qv_npy *npy, int64_t size)
{
    int64_t wanted = npy->rows * npy->columns * npy->size, there = size - npy->data_at; /* below 2^46 */
    if (there == wanted) return QV_OK;
    return qv_fail(ctx, QV_ERR_DATA, "%s: %lld bytes of numbers where %lld frames of %d values take %lld: it is %s",
                   npy->path, (long long)there, (long long)npy->rows, npy->columns, (long long)wanted,
                   there < wanted ? "cut short" : "no file of one array");
}

/* The header's text, NUL-terminated; its length stands in 2 bytes (version 1.0) or 4. */
static qv_status read_text(qv_ctx *ctx, qv_npy *npy, char **text)
{
    unsigned char head[PREFIX + 4];
    qv_status status = QV_OK;
    const size_t n = fread(head, 1, PREFIX, npy->f);
    if (n != PREFIX && ferror(npy->f)) return qv_fail_errno(ctx, "cannot read %s", npy->path);
    if (n != PREFIX || memcmp(head, "\x93NUMPY", 6) != 0)
        return qv_fail(ctx, QV_ERR_DATA, "%s is no NPY file (numpy.save writes them)", npy->path);
    if (head[6] < 1 || head[6] > 3 || head[7] != 0)
        return qv_fail(ctx, QV_ERR_DATA, "%s: version %d.%d of the NPY format; 1.0 to 3.0 are known", npy->path,
                       head[6], head[7]);
    size_t bytes = head[6] == 1 ? 2 : 4;
    bool cut = fread(head + PREFIX, 1, bytes, npy->f) != bytes;
    const uint32_t length = cut ? 0 : (uint32_t)qv_get_uint(head + PREFIX, bytes, false);
    if (length > HEADER_MAX)
        return qv_fail(ctx, QV_ERR_DATA, "%s: a header of %u bytes; at most %d are taken", npy->path, length,
                       HEADER_MAX);
    QV_TRY(qv_alloc(ctx, text, (size_t)length + 1, 1));
    cut = cut || fread(*text, 1, length, npy->f) != length;
    if (cut && ferror(npy->f))
        status = qv_fail_errno(ctx, "cannot read %s", npy->path);
    else if (cut || strlen(*text) != length)
        status =
            qv_fail(ctx, QV_ERR_DATA, "%s: its header is %s", npy->path, cut ? "cut short" : "no text: it holds a NUL");
    npy->data_at = (int64_t)(PREFIX + bytes + length);
done:
    return status;
}

qv_status qv_npy_open(qv_ctx *ctx, qv_npy *npy, const char *path)
{
    qv_status status = QV_OK;
    struct stat st;
    char *text = NULL;
    header h = {.dims = 0};
    *npy = (qv_npy){.path = path};
    QV_TRY(qv_open_regular(ctx, path, path, &npy->f, &st));
    QV_TRY(read_text(ctx, npy, &text));
    cursor c = {.ctx = ctx, .path = path, .begin = text, .at = text};
    QV_TRY(parse(&c, &h));
    QV_TRY(check(ctx, npy, &h));
    status = check_length(ctx, npy, (int64_t)st.st_size);
done:
    free(text);
    if (status != QV_OK) qv_npy_close(npy);
    return status;
}

float qv_npy_half(uint16_t bits)
{
    int exponent = bits >> 10 & 31, fraction = bits & 1023;
    float sign = bits >> 15 ? -1.0f : 1.0f;
    if (exponent == 31) return fraction ? NAN : sign * INFINITY;
    return sign * (exponent ? ldexpf((float)(1024 + fraction), exponent - 25) : ldexpf((float)fraction, -24));
}

/* A number of `size` bytes, least significant first. */
static double value_of(const unsigned char *p, int size)
{
    const uint64_t bits = qv_get_uint(p, (size_t)size, false);
    if (size == 2) return (double)qv_npy_half((uint16_t)bits);
    if (size == 8) {
        double x;
        memcpy(&x, &bits, sizeof x);
        return x;
    }
    uint32_t low = (uint32_t)bits;
    float x;
    memcpy(&x, &low, sizeof x);
    return (double)x;
}

qv_status qv_npy_rows(qv_ctx *ctx, qv_npy *npy, int64_t begin, int64_t n, float *out)
{
    unsigned char chunk[CHUNK];
    int64_t size = npy->size, total = n * npy->columns;
    if (fseeko(npy->f, (off_t)(npy->data_at + begin * npy->columns * size), SEEK_SET) != 0)
        return qv_fail_errno(ctx, "cannot read %s", npy->path);
    for (int64_t at = 0; at < total;) {
        int64_t left = total - at, count = left < CHUNK / size ? left : CHUNK / size;
        if (fread(chunk, (size_t)size, (size_t)count, npy->f) != (size_t)count)
            return ferror(npy->f) ? qv_fail_errno(ctx, "cannot read %s", npy->path)
                                  : qv_fail(ctx, QV_ERR_DATA, "%s became shorter while it was read", npy->path);
        for (int64_t i = 0; i < count; i++) {
            double x = value_of(chunk + i * size, npy->size);
            if (!(fabs(x) <= largest))
                return qv_fail(ctx, QV_ERR_DATA,
                               "%s: frame %lld, value %lld (counted from 0) is %g; numbers within +-%g were expected",
                               npy->path, (long long)(begin + (at + i) / npy->columns),
                               (long long)((at + i) % npy->columns), x, largest);
            out[at + i] = (float)x;
        }
        at += count;
    }
    return QV_OK;
}

void qv_npy_close(qv_npy *npy)
{
    if (npy->f) fclose(npy->f);
    npy->f = NULL;
}

bool qv_is_npy(const char *path) { return qv_has_ending(path, "npy"); }
