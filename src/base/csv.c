#include "base/csv.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"

qv_status qv_csv_open(qv_ctx *ctx, qv_csv *r, const char *name, char *text, size_t size)
{
    *r = (qv_csv){.name = name, .text = text, .size = size, .line = 1};
    if (size >= INT_MAX) return qv_fail(ctx, QV_ERR_DATA, "%s: %zu bytes are more than a table may have", name, size);
    qv_status status = qv_text_check(ctx, name, text, size);
    if (status != QV_OK) return status;
    if (size >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) r->pos = 3;
    return QV_OK;
}

void qv_csv_close(qv_csv *r)
{
    free(r->text);
    free(r->cells);
    *r = (qv_csv){0};
}

/* Ends the cell at `to`, steps over the separator at r->pos and says whether the record goes on. */
static bool end_cell(qv_csv *r, size_t to)
{
    bool goes_on = r->pos < r->size && r->text[r->pos] == ',';
    if (r->pos < r->size) {
        if (r->text[r->pos] == '\r' && r->text[r->pos + 1] == '\n') r->pos++;
        if (!goes_on) r->line++;
        r->pos++;
    }
    r->text[to] = '\0';
    return goes_on;
}

/* Unquotes from r->pos, just past the opening quote; *to is the end of what was made. */
static qv_status quoted_cell(qv_ctx *ctx, qv_csv *r, size_t *to)
{
    int opened = r->line;
    size_t out = r->pos;
    for (;; r->pos++) {
        if (r->pos >= r->size) {
            return qv_fail(ctx, QV_ERR_DATA, "%s:%d: a quote is opened and never closed", r->name, opened);
        }
        if (r->text[r->pos] == '"') {
            if (r->text[r->pos + 1] != '"') break;
            r->pos++;
        }
        r->line += qv_ends_line(r->text, r->pos);
        r->text[out++] = r->text[r->pos];
    }
    r->pos++;
    *to = out;
    char next = r->text[r->pos];
    if (next == ',' || next == '\r' || next == '\n' || next == '\0') return QV_OK;
    return qv_fail(ctx, QV_ERR_DATA, "%s:%d: text after a closing quote; a quote inside a quoted cell is written twice",
                   r->name, r->line);
}

static qv_status plain_cell(qv_ctx *ctx, qv_csv *r, size_t *to)
{
    r->pos += strcspn(r->text + r->pos, ",\r\n\"");
    *to = r->pos;
    if (r->text[r->pos] != '"') return QV_OK;
    return qv_fail(ctx, QV_ERR_DATA,
                   "%s:%d: a quote in the middle of a cell; quote the whole cell and write \"\" for \"", r->name,
                   r->line);
}

static void skip_empty_lines(qv_csv *r)
{
    for (; r->pos < r->size && (r->text[r->pos] == '\n' || r->text[r->pos] == '\r'); r->pos++) {
        r->line += qv_ends_line(r->text, r->pos);
    }
}

qv_status qv_csv_next(qv_ctx *ctx, qv_csv *r, bool *more)
{
    r->n = 0;
    skip_empty_lines(r);
    *more = r->pos < r->size;
    if (!*more) return QV_OK;
    r->row_line = r->line;
    for (bool goes_on = true; goes_on;) {
        if (r->n == QV_CSV_MAX_CELLS) {
            return qv_fail(ctx, QV_ERR_DATA, "%s:%d: more than %d cells", r->name, r->row_line, QV_CSV_MAX_CELLS);
        }
        qv_status status = qv_grow(ctx, &r->cells, &r->cap, r->n + 1, sizeof *r->cells);
        if (status != QV_OK) return status;
        bool quoted = r->text[r->pos] == '"';
        if (quoted) r->pos++;
        r->cells[r->n++] = r->text + r->pos;
        size_t to = r->pos;
        status = quoted ? quoted_cell(ctx, r, &to) : plain_cell(ctx, r, &to);
        if (status != QV_OK) return status;
        goes_on = end_cell(r, to);
    }
    return QV_OK;
}

static void write_cell(qv_buf *b, const char *cell, bool alone)
{
    size_t n = strlen(cell);
    bool spaced = n > 0 && (cell[0] == ' ' || cell[n - 1] == ' ');
    if (!spaced && !strpbrk(cell, ",\"\r\n") && !(alone && n == 0)) {
        qv_buf_add(b, cell, n);
        return;
    }
    qv_buf_puts(b, "\"");
    for (const char *quote; (quote = strchr(cell, '"')) != NULL; cell = quote + 1) {
        qv_buf_add(b, cell, (size_t)(quote - cell));
        qv_buf_puts(b, "\"\"");
    }
    qv_buf_puts(b, cell);
    qv_buf_puts(b, "\"");
}

void qv_csv_write(qv_buf *b, const char *const *cells, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (i > 0) qv_buf_puts(b, ",");
        write_cell(b, cells[i] ? cells[i] : "", n == 1);
    }
    qv_buf_puts(b, "\n");
}

void qv_csv_cell(qv_buf *b, const char *cell) { write_cell(b, cell, false); }

void qv_csv_header(qv_buf *b, const char *const *first, size_t n, const char *prefix, char *const *names, size_t n_names)
{
    for (size_t i = 0; i < n; i++) {
        if (i > 0) qv_buf_puts(b, ",");
        write_cell(b, first[i], false);
    }
    for (size_t i = 0; i < n_names; i++) {
        qv_buf name = {0};
        qv_buf_printf(&name, "%s%s", prefix, names[i]);
        qv_buf_puts(b, ",");
        if (!name.failed) write_cell(b, name.data, false);
        b->failed = b->failed || name.failed;
        qv_buf_free(&name);
    }
    qv_buf_puts(b, "\n");
}
