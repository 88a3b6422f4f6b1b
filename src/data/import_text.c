/* CSV of nkululeko and Hugging Face, JSONL of EmoBox. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/csv.h"
#include "base/io.h"
#include "base/nearest.h"
#include "base/text.h"
#include "data/import_own.h"

enum { LIST_MAX = 1 << 28, NAME_MAX_BYTES = 256 };

/* What foreign lists call our columns. */
static const char huggingface_names[] = "file_name=file label=emotion speaker_id=speaker";

/* The name that the user gives one of our columns, as a text; false: none is given. */
static bool given_name(const qv_import *in, int column, char text[NAME_MAX_BYTES])
{
    const char *own = qv_manifest_columns[column], *value;
    size_t n;
    if (!qv_map_find(in->options->columns, own, strlen(own), &value, &n)) return false;
    snprintf(text, NAME_MAX_BYTES, "%.*s", (int)n, value);
    for (char *s = text; *s; s++)
        if (*s == '~') *s = ' '; /* as maps write blanks */
    return true;
}

/* The column of that name, by the user's words, then the format's, then our own; -1: none. */
static int column_named(const qv_import *in, const char *name, const char *foreign)
{
    const char *value;
    char given[NAME_MAX_BYTES];
    size_t n;
    for (int c = 0; c < QV_COLUMNS; c++) {
        const char *own = qv_manifest_columns[c];
        if (given_name(in, c, given)) {
            if (strcmp(name, given) == 0) return c;
            continue;
        }
        if (strcmp(name, own) == 0) return c;
        if (qv_map_find(foreign, name, strlen(name), &value, &n) && strlen(own) == n && memcmp(own, value, n) == 0)
            return c;
    }
    return -1;
}

/* Cell of each column, -1: absent. */
static qv_status read_header(qv_ctx *ctx, const qv_import *in, const qv_csv *csv, const char *foreign, int *cell_of)
{
    qv_status status = QV_OK;
    qv_buf found = {0};
    for (int c = 0; c < QV_COLUMNS; c++) cell_of[c] = -1;
    for (size_t i = 0; i < csv->n; i++) {
        int c = column_named(in, csv->cells[i], foreign);
        qv_buf_printf(&found, "%s%s", i ? ", " : "", csv->cells[i]);
        if (c >= 0 && c != QV_COLUMN_CHANNEL && cell_of[c] < 0) cell_of[c] = (int)i;
    }
    QV_TRY(qv_buf_check(ctx, &found));
    for (int c = 0; c < QV_COLUMNS; c++) {
        char given[NAME_MAX_BYTES];
        if (cell_of[c] >= 0 || !given_name(in, c, given)) continue;
        const char *near = qv_nearest(given, (const char *const *)csv->cells, csv->n);
        status = qv_fail(ctx, QV_ERR_USAGE, "--columns %s=%s: %s:%d has no column of that name among: %s%s%s%s",
                         qv_manifest_columns[c], given, csv->name, csv->row_line, found.data,
                         near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
        goto done;
    }
    for (int c = QV_COLUMN_FILE; c <= QV_COLUMN_EMOTION; c++) {
        const char *own = qv_manifest_columns[c];
        if (cell_of[c] >= 0 || c == QV_COLUMN_SPEAKER) continue;
        status = qv_fail(ctx, QV_ERR_DATA, "%s:%d: no column for '%s' among: %s; --columns %s=NAME says which it is",
                         csv->name, csv->row_line, own, found.data, own);
        goto done;
    }
done:
    qv_buf_free(&found);
    return status;
}

static qv_status import_csv(qv_ctx *ctx, qv_import *in, const char *path, const char *foreign)
{
    qv_status status = QV_OK;
    qv_csv csv = {0};
    int cell_of[QV_COLUMNS];
    char *text;
    size_t size, cells;
    bool more;
    QV_TRY(qv_read_file(ctx, path, LIST_MAX, &text, &size));
    QV_TRY(qv_csv_open(ctx, &csv, path, text, size));
    QV_TRY(qv_csv_next(ctx, &csv, &more));
    cells = csv.n;
    if (more) QV_TRY(read_header(ctx, in, &csv, foreign, cell_of));
    while (more) {
        const char *row[QV_COLUMNS] = {0};
        QV_TRY(qv_csv_next(ctx, &csv, &more));
        if (!more) break;
        if (csv.n != cells) {
            status = qv_fail(ctx, QV_ERR_DATA, "%s:%d: %zu cells where the header has %zu", path, csv.row_line, csv.n,
                             cells);
            goto done;
        }
        for (int c = 0; c < QV_COLUMNS; c++) {
            if (cell_of[c] >= 0) row[c] = csv.cells[cell_of[c]];
        }
        QV_TRY(qv_import_row(ctx, in, path, csv.row_line, row));
    }
done:
    qv_csv_close(&csv);
    return status;
}

qv_status qv_import_nkululeko(qv_ctx *ctx, qv_import *in, const char *path) { return import_csv(ctx, in, path, NULL); }

qv_status qv_import_huggingface(qv_ctx *ctx, qv_import *in, const char *path)
{
    return import_csv(ctx, in, path, huggingface_names);
}

/* Names of EmoBox's keys, or the user's. */
static const char *key_of(const qv_import *in, int column, char text[NAME_MAX_BYTES])
{
    if (given_name(in, column, text)) return text;
    return column == QV_COLUMN_FILE ? "wav" : column == QV_COLUMN_EMOTION ? "emo" : qv_manifest_columns[column];
}

/* seen[c]: some line has a value for the column. */
static qv_status import_object(qv_ctx *ctx, qv_import *in, const char *path, int line, const json_t *object, bool *seen)
{
    const char *row[QV_COLUMNS] = {0};
    for (int c = 0; c < QV_COLUMNS; c++) {
        char name[NAME_MAX_BYTES];
        const char *key = key_of(in, c, name);
        const json_t *value = c == QV_COLUMN_CHANNEL ? NULL : json_object_get(object, key); /* theirs counts channels */
        row[c] = json_string_value(value);
        seen[c] = seen[c] || value;
        if (value && !row[c] && !json_is_null(value))
            return qv_fail(ctx, QV_ERR_DATA, "%s:%d: the value of \"%s\" is not a text", path, line, key);
        if (!row[c] && (c == QV_COLUMN_FILE || c == QV_COLUMN_EMOTION))
            return qv_fail(ctx, QV_ERR_DATA, "%s:%d: no \"%s\"", path, line, key);
    }
    return qv_import_row(ctx, in, path, line, row);
}

qv_status qv_import_emobox(qv_ctx *ctx, qv_import *in, const char *path)
{
    qv_status status = QV_OK;
    char *text = NULL;
    bool seen[QV_COLUMNS] = {false};
    int number = 0;
    QV_TRY(qv_read_text(ctx, path, LIST_MAX, &text));
    for (char *rest = text, *line; (line = qv_next_line(&rest)) != NULL;) {
        json_error_t error;
        number++;
        if (!*qv_trimmed(line)) continue;
        json_t *object = json_loads(line, JSON_REJECT_DUPLICATES, &error);
        if (json_is_object(object))
            status = import_object(ctx, in, path, number, object, seen);
        else
            status = qv_fail(ctx, QV_ERR_DATA, "%s:%d: not a JSON object: %s", path, number,
                             object ? "another value" : error.text);
        json_decref(object);
        if (status != QV_OK) goto done;
    }
    for (int c = 0; c < QV_COLUMNS; c++) {
        char given[NAME_MAX_BYTES];
        if (seen[c] || !given_name(in, c, given)) continue;
        status = qv_fail(ctx, QV_ERR_USAGE, "--columns %s=%s: no line of %s has \"%s\"", qv_manifest_columns[c], given,
                         path, given);
        goto done;
    }
done:
    free(text);
    return status;
}
