/* The file of --embeddings. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/csv.h"
#include "base/io.h"
#include "cli/cli.h"
#include "train/metrics.h"

enum { NAMED = QV_CLI_ROW_CELLS + 3 }; /* columns before the numbers, at most */

/* Returns how many columns stand before the numbers. */
static size_t add_header(qv_buf *out, qv_cli_rows rows, const char **cells, char (*text)[32], size_t dims)
{
    size_t n = qv_cli_row_names(rows, cells);
    cells[n++] = "speaker";
    cells[n++] = "true";
    cells[n++] = "predicted";
    for (size_t k = 0; k < dims; k++) {
        snprintf(text[k], sizeof text[k], "e%zu", k + 1);
        cells[n + k] = text[k];
    }
    qv_csv_write(out, cells, n + dims);
    return n;
}

qv_status qv_cli_embeddings(qv_ctx *ctx, const char *path, const qv_cli_judged *j)
{
    qv_status status = QV_OK;
    const char **cells = NULL;
    char(*text)[32] = NULL;
    qv_buf out = {0};
    const qv_model_answers *a = j->answers;
    size_t dims = (size_t)a->dims, classes = (size_t)j->checkpoint->n_classes;
    const qv_cli_rows rows = qv_cli_rows_of(j->manifest);
    char numbers[QV_PART_CELLS][32];
    QV_TRY(qv_alloc(ctx, &cells, NAMED + dims, sizeof *cells));
    QV_TRY(qv_alloc(ctx, &text, dims, sizeof *text));
    size_t named = add_header(&out, rows, cells, text, dims);
    for (size_t i = 0; i < j->manifest->n; i++) {
        const qv_item *item = &j->manifest->items[i];
        if (j->features->entries[i].frames == 0 || (j->left_out && j->left_out[i])) continue;
        size_t n = qv_cli_row_cells(rows, item, numbers, cells);
        cells[n++] = strcmp(item->speaker, QV_NO_SPEAKER) != 0 ? item->speaker : NULL; /* empty, as in a manifest */
        cells[n++] = item->emotion;
        cells[n] = j->checkpoint->classes[qv_largest(a->probs + i * classes, j->checkpoint->n_classes)];
        for (size_t k = 0; k < dims; k++) snprintf(text[k], sizeof text[k], "%.9g", a->embeddings[i * dims + k]);
        qv_csv_write(&out, cells, named + dims);
    }
    QV_TRY(qv_buf_check(ctx, &out));
    status = qv_write_file(ctx, path, out.data, out.len);
done:
    qv_buf_free(&out);
    free(cells);
    free(text);
    return status;
}
