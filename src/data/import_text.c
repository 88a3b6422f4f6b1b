/* CSV of nkululeko and Hugging Face, JSONL of EmoBox. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/csv.h"
#include "base/io.h"
#include "data/import_own.h"

enum { LIST_MAX = 1 << 28 };

/* What foreign lists call our columns. */
static const char huggingface_names[] = "file_name=file label=emotion speaker_id=speaker";

/* The column of that name, by the user's words, then the format's, then our own; -1: none. */
static int column_named(const qv_import *in, const char *name, const char *foreign)
{
    const char *value;
    size_t n;
    for (int c = 0; c < QV_COLUMNS; c++) {
        const char *own = qv_manifest_columns[c];
        if (qv_map_find(in->options->columns, own, strlen(own), &value, &n)) {
            if (strlen(name) == n && memcmp(name, value, n) == 0) return c;
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
static const char *key_of(const qv_import *in, int column, char text[64])
{
    static const char names[] = "file=wav emotion=emo";
    const char *own = qv_manifest_columns[column], *value;
    size_t n;
    if (!qv_map_find(in->options->columns, own, strlen(own), &value, &n) &&
        !qv_map_find(names, own, strlen(own), &value, &n))
        return own;
    snprintf(text, 64, "%.*s", (int)n, value);
    return text;
}

static qv_status import_object(qv_ctx *ctx, qv_import *in, const char *path, int line, const json_t *object)
{
    const char *row[QV_COLUMNS] = {0};
    for (int c = 0; c < QV_COLUMNS; c++) {
        char name[64];
        const char *key = key_of(in, c, name);
        const json_t *value = c == QV_COLUMN_CHANNEL ? NULL : json_object_get(object, key); /* theirs counts channels */
        row[c] = json_string_value(value);
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
    int number = 0;
    QV_TRY(qv_read_text(ctx, path, LIST_MAX, &text));
    for (char *line = text, *next; line; line = next) {
        json_error_t error;
        next = strchr(line, '\n');
        if (next) *next++ = '\0';
        number++;
        if (line[strspn(line, " \t\r")] == '\0') continue;
        json_t *object = json_loads(line, JSON_REJECT_DUPLICATES, &error);
        if (json_is_object(object))
            status = import_object(ctx, in, path, number, object);
        else
            status = qv_fail(ctx, QV_ERR_DATA, "%s:%d: not a JSON object: %s", path, number,
                             object ? "another value" : error.text);
        json_decref(object);
        if (status != QV_OK) goto done;
    }
done:
    free(text);
    return status;
}
