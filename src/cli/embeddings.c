/* The file of --embeddings. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/csv.h"
#include "base/io.h"
#include "cli/cli.h"

int qv_cli_largest(const double *p, int n)
{
    int best = 0;
    for (int k = 1; k < n; k++)
        if (p[k] > p[best]) best = k;
    return best;
}

enum { NAMED = 4 }; /* columns before the numbers */

static void add_header(qv_buf *out, const char **cells, char (*text)[32], int dims)
{
    static const char *const names[NAMED] = {"file", "speaker", "true", "predicted"};
    for (int k = 0; k < NAMED; k++) cells[k] = names[k];
    for (int k = 0; k < dims; k++) {
        snprintf(text[k], sizeof text[k], "e%d", k + 1);
        cells[NAMED + k] = text[k];
    }
    qv_csv_write(out, cells, (size_t)(NAMED + dims));
}

qv_status qv_cli_embeddings(qv_ctx *ctx, const char *path, const qv_cli_judged *j)
{
    qv_status status = QV_OK;
    const char **cells = NULL;
    char(*text)[32] = NULL;
    qv_buf out = {0};
    const qv_model_answers *a = j->answers;
    size_t dims = (size_t)a->dims;
    QV_TRY(qv_alloc(ctx, &cells, NAMED + dims, sizeof *cells));
    QV_TRY(qv_alloc(ctx, &text, dims, sizeof *text));
    add_header(&out, cells, text, a->dims);
    for (int k = 0; k < a->dims; k++) cells[NAMED + k] = text[k];
    for (size_t i = 0; i < j->manifest->n; i++) {
        const qv_item *item = &j->manifest->items[i];
        if (j->features->entries[i].frames == 0 || (j->left_out && j->left_out[i])) continue;
        cells[0] = item->name;
        cells[1] = strcmp(item->speaker, QV_NO_SPEAKER) != 0 ? item->speaker : NULL; /* empty, as in a manifest */
        cells[2] = item->emotion;
        cells[3] =
            j->checkpoint
                ->classes[qv_cli_largest(a->probs + i * (size_t)j->checkpoint->n_classes, j->checkpoint->n_classes)];
        for (size_t k = 0; k < dims; k++) snprintf(text[k], sizeof text[k], "%.9g", a->embeddings[i * dims + k]);
        qv_csv_write(&out, cells, NAMED + dims);
    }
    QV_TRY(qv_buf_check(ctx, &out));
    status = qv_write_file(ctx, path, out.data, out.len);
done:
    qv_buf_free(&out);
    free(cells);
    free(text);
    return status;
}
