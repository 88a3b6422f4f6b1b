#include "base/safetensors.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/io.h"
#include "base/json.h"
#include "base/text.h"

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "safetensors files are little-endian; this machine would have to swap every element"
#endif

/* The format allows 100 MB; a sixth of it describes some 150,000 tensors, and keeps what a hostile
 * header can cost in memory (about twenty times its size, once parsed) within bounds. */
enum { MAX_HEADER = 16 << 20, MAX_DEPTH = 3, SHOWN = 96 };

static const char META[] = "__metadata__";

static const struct {
    const char *name;
    size_t size;
} DTYPES[] = {
    [QV_ST_U8] = {"U8", 1},   [QV_ST_I32] = {"I32", 4}, [QV_ST_I64] = {"I64", 8},
    [QV_ST_F32] = {"F32", 4}, [QV_ST_F64] = {"F64", 8},
};
enum { DTYPE_COUNT = sizeof DTYPES / sizeof *DTYPES };

const char *qv_st_dtype_name(qv_st_dtype d) { return DTYPES[d].name; }

size_t qv_st_dtype_size(qv_st_dtype d) { return DTYPES[d].size; }

static bool multiply(size_t a, size_t b, size_t *product)
{
    if (b != 0 && a > SIZE_MAX / b) return false;
    *product = a * b;
    return true;
}

/* Sets count and bytes from dtype and shape; false where they overflow. */
static bool measure(qv_st_tensor *t)
{
    t->count = 1;
    bool fits = true;
    for (int i = 0; i < t->ndim; i++) fits = fits && multiply(t->count, t->shape[i], &t->count);
    return fits && multiply(t->count, DTYPES[t->dtype].size, &t->bytes);
}

/* A name from a foreign file, made fit for a terminal and of bounded length. */
static const char *shown(const char *name, char out[SHOWN])
{
    size_t n = 0;
    for (; n < SHOWN - 1 && name[n]; n++) out[n] = iscntrl((unsigned char)name[n]) ? '?' : name[n];
    if (name[n]) {
        n = SHOWN - 4;
        while (n > 0 && ((unsigned char)name[n] & 0xC0) == 0x80) n--;
        memcpy(out + n, "...", 3);
        n += 3;
    }
    out[n] = '\0';
    return out;
}

/* "F32 [3, 4]" */
static const char *described(qv_st_dtype dtype, int ndim, const size_t *shape, qv_buf *b)
{
    qv_buf_printf(b, "%s [", DTYPES[dtype].name);
    for (int i = 0; i < ndim; i++) qv_buf_printf(b, "%s%zu", i ? ", " : "", shape[i]);
    qv_buf_puts(b, "]");
    return b->failed ? "?" : b->data;
}

/* ---- writing ---- */

struct qv_st_writer {
    qv_st_tensor *tensors; /* their names are keys of `names` */
    size_t n, cap;
    json_t *names;
    json_t *meta;
};

qv_status qv_st_writer_new(qv_ctx *ctx, qv_st_writer **out)
{
    qv_status status = QV_OK;
    qv_st_writer *w = NULL;
    *out = NULL;
    QV_TRY(qv_alloc(ctx, &w, 1, sizeof *w));
    w->names = json_object();
    w->meta = json_object();
    if (!w->names || !w->meta) {
        status = qv_fail(ctx, QV_ERR_MEMORY, "no memory for a list of tensors");
        goto done;
    }
    *out = w;
    w = NULL;
done:
    qv_st_writer_free(w);
    return status;
}

void qv_st_writer_free(qv_st_writer *w)
{
    if (!w) return;
    free(w->tensors);
    json_decref(w->names);
    json_decref(w->meta);
    free(w);
}

/* Puts a string (or true for NULL) under a key that must be new. */
static qv_status put_new(qv_ctx *ctx, json_t *object, const char *what, const char *key, const char *value)
{
    char text[SHOWN];
    if (json_object_get(object, key))
        return qv_fail(ctx, QV_ERR_USAGE, "%s '%s' was added twice", what, shown(key, text));
    if (!qv_is_utf8(key) || (value && !qv_is_utf8(value)))
        return qv_fail(ctx, QV_ERR_USAGE, "%s '%s' cannot be stored: its text is not valid UTF-8", what, shown(key, text));
    if (json_object_set_new(object, key, value ? json_string(value) : json_true()) == 0) return QV_OK;
    return qv_fail(ctx, QV_ERR_MEMORY, "no memory for %s '%s'", what, shown(key, text));
}

qv_status qv_st_add(qv_ctx *ctx, qv_st_writer *w, const char *name, qv_st_dtype dtype, int ndim, const size_t *shape,
                    const void *data)
{
    char text[SHOWN];
    if (!*name || strcmp(name, META) == 0)
        return qv_fail(ctx, QV_ERR_USAGE, "'%s' cannot be the name of a tensor", name);
    if (ndim < 0 || ndim > QV_ST_MAX_DIMS)
        return qv_fail(ctx, QV_ERR_USAGE, "tensor '%s' has %d dimensions, at most %d can be stored", shown(name, text),
                       ndim, QV_ST_MAX_DIMS);
    qv_st_tensor t = {.dtype = dtype, .ndim = ndim, .data = data};
    for (int i = 0; i < ndim; i++) t.shape[i] = shape[i];
    if (!measure(&t)) return qv_fail(ctx, QV_ERR_USAGE, "the size of tensor '%s' overflows", shown(name, text));
    qv_status status = qv_grow(ctx, &w->tensors, &w->cap, w->n + 1, sizeof *w->tensors);
    if (status == QV_OK) status = put_new(ctx, w->names, "tensor", name, NULL);
    if (status != QV_OK) return status;
    t.name = json_object_iter_key(json_object_iter_at(w->names, name));
    w->tensors[w->n++] = t;
    return QV_OK;
}

qv_status qv_st_add_meta(qv_ctx *ctx, qv_st_writer *w, const char *key, const char *value)
{
    return put_new(ctx, w->meta, "metadata", key, value);
}

/* The header's entry of a tensor that begins at byte *offset, NULL without memory; moves the offset on. */
static json_t *header_entry(const qv_st_tensor *t, size_t *offset)
{
    json_t *shape = json_array();
    size_t begin = *offset;
    *offset += t->bytes;
    for (int i = 0; i < t->ndim; i++)
        if (json_array_append_new(shape, json_integer((json_int_t)t->shape[i])) != 0) {
            json_decref(shape);
            return NULL;
        }
    return json_pack("{s:s, s:o, s:[I,I]}", "dtype", DTYPES[t->dtype].name, "shape", shape, "data_offsets",
                     (json_int_t)begin, (json_int_t)*offset);
}

/* Header text for tensors in the order in which they are written, padded to a multiple of 8. */
static qv_status make_header(qv_ctx *ctx, const qv_st_writer *w, const size_t *order, qv_buf *out)
{
    json_t *root = json_object();
    int failed = json_object_size(w->meta) > 0 ? json_object_set(root, META, w->meta) : 0;
    size_t offset = 0;
    for (size_t i = 0; i < w->n; i++) {
        const qv_st_tensor *t = &w->tensors[order[i]];
        failed |= json_object_set_new(root, t->name, header_entry(t, &offset));
    }
    char *text = failed ? NULL : qv_json_text(root, JSON_COMPACT);
    json_decref(root);
    if (!text) return qv_fail(ctx, QV_ERR_MEMORY, "no memory for the header of %zu tensors", w->n);
    qv_buf_puts(out, text);
    free(text);
    while (!out->failed && out->len % 8 != 0) qv_buf_puts(out, " ");
    if (out->len > MAX_HEADER)
        return qv_fail(ctx, QV_ERR_USAGE, "names and metadata of the tensors take %zu bytes, at most %d can be stored",
                       out->len, MAX_HEADER);
    return qv_buf_check(ctx, out);
}

/* Indices of the tensors, wide elements first, else as added. Fails where all sizes together overflow. */
static qv_status write_order(qv_ctx *ctx, const qv_st_writer *w, size_t **order)
{
    qv_status status = qv_alloc(ctx, order, w->n, sizeof **order);
    if (status != QV_OK) return status;
    size_t k = 0, total = 0;
    for (size_t size = 8; size > 0; size /= 2)
        for (size_t i = 0; i < w->n; i++)
            if (DTYPES[w->tensors[i].dtype].size == size) (*order)[k++] = i;
    for (size_t i = 0; i < w->n; i++) {
        if (w->tensors[i].bytes > (size_t)INT64_MAX - total)
            return qv_fail(ctx, QV_ERR_USAGE, "the size of all tensors together overflows");
        total += w->tensors[i].bytes;
    }
    return QV_OK;
}

static qv_status put_bytes(qv_ctx *ctx, qv_out *o, const void *data, size_t n)
{
    if (n == 0 || fwrite(data, 1, n, o->f) == n) return QV_OK;
    return qv_fail_errno(ctx, "cannot write %s", o->path);
}

qv_status qv_st_write(qv_ctx *ctx, qv_st_writer *w, const char *path)
{
    qv_status status = QV_OK;
    qv_buf header = {0};
    qv_out o = {0};
    size_t *order = NULL;
    QV_TRY(write_order(ctx, w, &order));
    QV_TRY(make_header(ctx, w, order, &header));
    QV_TRY(qv_out_open(ctx, &o, path));
    uint64_t length = header.len;
    QV_TRY(put_bytes(ctx, &o, &length, sizeof length));
    QV_TRY(put_bytes(ctx, &o, header.data, header.len));
    for (size_t i = 0; i < w->n; i++) QV_TRY(put_bytes(ctx, &o, w->tensors[order[i]].data, w->tensors[order[i]].bytes));
    QV_TRY(qv_out_commit(ctx, &o));
done:
    qv_out_close(&o);
    qv_buf_free(&header);
    free(order);
    return status;
}

/* ---- reading ---- */

typedef struct meta_entry {
    const char *key, *value;
} meta_entry;

struct qv_st_file {
    char *path;
    json_t *header; /* owns names and metadata */
    unsigned char *data;
    size_t data_size;
    qv_st_tensor *tensors;
    size_t n;
    meta_entry *meta;
    size_t meta_n;
};

/* Looked at before the parser builds anything, since it recurses. */
static bool too_deep(const char *text, size_t n)
{
    int depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        if (quoted) {
            if (c == '\\')
                i++;
            else
                quoted = c != '"';
        } else if (c == '"') {
            quoted = true;
        } else if (c == '{' || c == '[') {
            if (++depth > MAX_DEPTH) return true;
        } else if (c == '}' || c == ']') {
            depth--;
        }
    }
    return false;
}

static qv_status parse_header(qv_ctx *ctx, qv_st_file *f, const char *text, size_t n)
{
    json_error_t e;
    if (n == 0 || text[0] != '{') return qv_fail(ctx, QV_ERR_DATA, "%s: the header is no JSON object", f->path);
    if (too_deep(text, n))
        return qv_fail(ctx, QV_ERR_DATA, "%s: the header is nested deeper than %d levels", f->path, MAX_DEPTH);
    f->header = json_loadb(text, n, JSON_REJECT_DUPLICATES, &e);
    if (f->header) return QV_OK;
    char reason[SHOWN];
    return qv_fail(ctx, QV_ERR_DATA, "%s: the header is not valid JSON: %s, at byte %d of it", f->path,
                   shown(e.text, reason), e.position);
}

static qv_status read_dtype(qv_ctx *ctx, const json_t *entry, qv_st_tensor *t)
{
    const char *name = json_string_value(json_object_get(entry, "dtype"));
    if (!name) return qv_fail(ctx, QV_ERR_DATA, "no dtype");
    for (int i = 0; i < DTYPE_COUNT; i++) {
        if (strcmp(name, DTYPES[i].name) != 0) continue;
        t->dtype = (qv_st_dtype)i;
        return QV_OK;
    }
    char text[SHOWN];
    return qv_fail(ctx, QV_ERR_DATA, "dtype '%s' is not one of U8, I32, I64, F32, F64", shown(name, text));
}

/* A size of the JSON; false for anything that is not an integer of at least 0. */
static bool read_size(const json_t *v, size_t *out)
{
    if (!json_is_integer(v) || json_integer_value(v) < 0) return false;
    uint64_t value = (uint64_t)json_integer_value(v);
    *out = (size_t)value;
    return value <= SIZE_MAX;
}

static qv_status read_shape(qv_ctx *ctx, const json_t *entry, qv_st_tensor *t)
{
    const json_t *shape = json_object_get(entry, "shape");
    if (!json_is_array(shape)) return qv_fail(ctx, QV_ERR_DATA, "no shape");
    size_t n = json_array_size(shape);
    if (n > QV_ST_MAX_DIMS) return qv_fail(ctx, QV_ERR_DATA, "%zu dimensions, at most %d are read", n, QV_ST_MAX_DIMS);
    t->ndim = (int)n;
    for (size_t i = 0; i < n; i++)
        if (!read_size(json_array_get(shape, i), &t->shape[i]))
            return qv_fail(ctx, QV_ERR_DATA, "dimension %zu of the shape is no size", i);
    return measure(t) ? QV_OK : qv_fail(ctx, QV_ERR_DATA, "the product of the shape overflows");
}

static qv_status read_offsets(qv_ctx *ctx, const qv_st_file *f, const json_t *entry, qv_st_tensor *t)
{
    const json_t *offsets = json_object_get(entry, "data_offsets");
    size_t begin, end;
    if (!json_is_array(offsets) || json_array_size(offsets) != 2 || !read_size(json_array_get(offsets, 0), &begin) ||
        !read_size(json_array_get(offsets, 1), &end))
        return qv_fail(ctx, QV_ERR_DATA, "data_offsets are not two sizes");
    if (begin > end || end > f->data_size)
        return qv_fail(ctx, QV_ERR_DATA, "data from byte %zu to %zu, but the file has %zu bytes of data", begin, end,
                       f->data_size);
    if (end - begin != t->bytes)
        return qv_fail(ctx, QV_ERR_DATA, "%zu bytes of data, dtype and shape ask for %zu", end - begin, t->bytes);
    if (begin % DTYPES[t->dtype].size != 0)
        return qv_fail(ctx, QV_ERR_DATA, "data from byte %zu on, which is not aligned to %zu bytes", begin,
                       DTYPES[t->dtype].size);
    t->data = f->data + begin;
    return QV_OK;
}

static qv_status read_tensor(qv_ctx *ctx, const qv_st_file *f, const json_t *entry, qv_st_tensor *t)
{
    qv_status status = QV_OK;
    QV_TRY(json_is_object(entry) ? QV_OK : qv_fail(ctx, QV_ERR_DATA, "its entry is no JSON object"));
    QV_TRY(read_dtype(ctx, entry, t));
    QV_TRY(read_shape(ctx, entry, t));
    if (json_object_size(entry) != 3) {
        status = qv_fail(ctx, QV_ERR_DATA, "%zu keys, expected dtype, shape and data_offsets", json_object_size(entry));
        goto done;
    }
    QV_TRY(read_offsets(ctx, f, entry, t));
done:
    if (status != QV_OK) {
        char text[SHOWN];
        qv_fail_prefix(ctx, status, "%s: tensor '%s'", f->path, shown(t->name, text));
    }
    return status;
}

static qv_status read_meta(qv_ctx *ctx, qv_st_file *f, json_t *meta)
{
    if (!json_is_object(meta)) return qv_fail(ctx, QV_ERR_DATA, "%s: %s is no JSON object", f->path, META);
    qv_status status = qv_alloc(ctx, &f->meta, json_object_size(meta), sizeof *f->meta);
    const char *key;
    json_t *value;
    json_object_foreach(meta, key, value)
    {
        char text[SHOWN];
        if (status != QV_OK) break;
        if (!json_is_string(value))
            status =
                qv_fail(ctx, QV_ERR_DATA, "%s: the value of '%s' in %s is no text", f->path, shown(key, text), META);
        else
            f->meta[f->meta_n++] = (meta_entry){key, json_string_value(value)};
    }
    return status;
}

static int by_place(const void *a, const void *b)
{
    const qv_st_tensor *x = a, *y = b;
    const unsigned char *p = x->data, *q = y->data;
    if (p != q) return p < q ? -1 : 1;
    return (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const qv_st_tensor *)a)->name, ((const qv_st_tensor *)b)->name);
}

/* Every byte of the data belongs to exactly one tensor. */
static qv_status check_cover(qv_ctx *ctx, qv_st_file *f)
{
    char text[SHOWN];
    qsort(f->tensors, f->n, sizeof *f->tensors, by_place);
    size_t at = 0;
    for (size_t i = 0; i < f->n; i++) {
        const qv_st_tensor *t = &f->tensors[i];
        size_t begin = (size_t)((const unsigned char *)t->data - f->data);
        if (begin != at)
            return qv_fail(ctx, QV_ERR_DATA, "%s: tensor '%s': data from byte %zu on, expected %zu (%s)", f->path,
                           shown(t->name, text), begin, at,
                           begin < at ? "tensors overlap" : "bytes of no tensor between");
        at += t->bytes;
    }
    if (at == f->data_size) return QV_OK;
    return qv_fail(ctx, QV_ERR_DATA, "%s: %zu bytes of data, the tensors cover %zu", f->path, f->data_size, at);
}

static qv_status read_entries(qv_ctx *ctx, qv_st_file *f)
{
    qv_status status = QV_OK;
    const char *name;
    json_t *entry;
    QV_TRY(qv_alloc(ctx, &f->tensors, json_object_size(f->header), sizeof *f->tensors));
    json_object_foreach(f->header, name, entry)
    {
        if (strcmp(name, META) == 0) {
            QV_TRY(read_meta(ctx, f, entry));
            continue;
        }
        qv_st_tensor *t = &f->tensors[f->n++];
        t->name = name;
        QV_TRY(read_tensor(ctx, f, entry, t));
    }
    QV_TRY(check_cover(ctx, f));
    qsort(f->tensors, f->n, sizeof *f->tensors, by_name);
done:
    return status;
}

static qv_status get_bytes(qv_ctx *ctx, FILE *in, const char *path, void *out, size_t n)
{
    if (fread(out, 1, n, in) == n) return QV_OK;
    if (ferror(in)) return qv_fail_errno(ctx, "cannot read %s", path);
    return qv_fail(ctx, QV_ERR_DATA, "%s became shorter while it was read", path);
}

/* Length and text of the header, and the size of the data behind it, in a file of so many bytes. */
static qv_status read_header(qv_ctx *ctx, qv_st_file *f, FILE *in, uint64_t size, char **text, size_t *n)
{
    qv_status status = QV_OK;
    uint64_t length;
    if (size < sizeof length) {
        status = qv_fail(ctx, QV_ERR_DATA, "%s: %" PRIu64 " bytes are too few for a safetensors file", f->path, size);
        goto done;
    }
    QV_TRY(get_bytes(ctx, in, f->path, &length, sizeof length));
    if (length > size - sizeof length || length > MAX_HEADER) {
        status = qv_fail(ctx, QV_ERR_DATA,
                         "%s: a header of %" PRIu64 " bytes in a file of %" PRIu64 " bytes (at most %d are read): "
                         "not a safetensors file, or cut short",
                         f->path, length, size, MAX_HEADER);
        goto done;
    }
    size -= sizeof length + length;
    if (size > SIZE_MAX / 2) {
        status = qv_fail(ctx, QV_ERR_DATA, "%s: too large for this machine", f->path);
        goto done;
    }
    f->data_size = (size_t)size;
    *n = (size_t)length;
    QV_TRY(qv_alloc(ctx, text, *n, 1));
    QV_TRY(get_bytes(ctx, in, f->path, *text, *n));
done:
    return status;
}

qv_status qv_st_open(qv_ctx *ctx, qv_st_file **out, const char *path)
{
    qv_status status = QV_OK;
    qv_st_file *f = NULL;
    char *text = NULL;
    size_t n = 0;
    struct stat st;
    FILE *in;
    *out = NULL;
    status = qv_open_regular(ctx, path, path, &in, &st);
    if (status != QV_OK) return status;
    QV_TRY(qv_alloc(ctx, &f, 1, sizeof *f));
    QV_TRY(qv_strdup(ctx, &f->path, path));
    QV_TRY(read_header(ctx, f, in, (uint64_t)st.st_size, &text, &n));
    QV_TRY(parse_header(ctx, f, text, n));
    QV_TRY(qv_alloc(ctx, &f->data, f->data_size, 1));
    QV_TRY(read_entries(ctx, f));
    QV_TRY(get_bytes(ctx, in, path, f->data, f->data_size));
    *out = f;
    f = NULL;
done:
    free(text);
    qv_st_close(f);
    fclose(in);
    return status;
}

void qv_st_close(qv_st_file *f)
{
    if (!f) return;
    json_decref(f->header);
    free(f->path);
    free(f->data);
    free(f->tensors);
    free(f->meta);
    free(f);
}

size_t qv_st_count(const qv_st_file *f) { return f->n; }

const qv_st_tensor *qv_st_at(const qv_st_file *f, size_t i) { return &f->tensors[i]; }

const qv_st_tensor *qv_st_find(const qv_st_file *f, const char *name)
{
    const qv_st_tensor key = {.name = name};
    return bsearch(&key, f->tensors, f->n, sizeof key, by_name);
}

qv_status qv_st_need(qv_ctx *ctx, const qv_st_file *f, const char *name, qv_st_dtype dtype, int ndim,
                     const size_t *shape, const qv_st_tensor **out)
{
    const qv_st_tensor *t = qv_st_find(f, name);
    *out = t;
    if (!t) return qv_fail(ctx, QV_ERR_DATA, "%s: no tensor '%s'", f->path, name);
    bool same = t->dtype == dtype && t->ndim == ndim;
    for (int i = 0; same && i < ndim; i++) same = t->shape[i] == shape[i];
    if (same) return QV_OK;
    *out = NULL;
    qv_buf found = {0}, wanted = {0};
    qv_status status = qv_fail(ctx, QV_ERR_DATA, "%s: tensor '%s' is %s, expected %s", f->path, name,
                               described(t->dtype, t->ndim, t->shape, &found), described(dtype, ndim, shape, &wanted));
    qv_buf_free(&found);
    qv_buf_free(&wanted);
    return status;
}

const char *qv_st_meta(const qv_st_file *f, const char *key)
{
    for (size_t i = 0; i < f->meta_n; i++)
        if (strcmp(f->meta[i].key, key) == 0) return f->meta[i].value;
    return NULL;
}

size_t qv_st_meta_count(const qv_st_file *f) { return f->meta_n; }

void qv_st_meta_at(const qv_st_file *f, size_t i, const char **key, const char **value)
{
    *key = f->meta[i].key;
    *value = f->meta[i].value;
}
