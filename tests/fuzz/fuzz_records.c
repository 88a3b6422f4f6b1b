/* Any bytes as the records of a run folder: the first one chooses the file, 'r' results.csv, else predictions.csv.
 * What is accepted is written and read back to the same. */
#include <string.h>

#include "fuzz.h"
#include "run/record.h"

static char *const classes[] = {(char[]){"anger"}, (char[]){"joy"}};
enum { CLASSES = 2 };

static void write_and_read(qv_ctx *ctx, const qv_records *a)
{
    qv_records b = {.classes = classes, .n_classes = CLASSES};
    const char *folder = qv_fuzz_folder();
    qv_fuzz_promise(qv_records_write(ctx, a, folder) == QV_OK, "records are written");
    qv_fuzz_promise(qv_records_read(ctx, &b, folder) == QV_OK, "what was written is read");
    qv_fuzz_promise(a->n_rows == b.n_rows && a->n_predictions == b.n_predictions, "nothing is lost");
    for (size_t i = 0; i < b.n_rows; i++)
        qv_fuzz_promise(a->rows[i].epoch == b.rows[i].epoch && a->rows[i].step == b.rows[i].step &&
                            strcmp(a->rows[i].fold, b.rows[i].fold) == 0,
                        "rows are the same");
    for (size_t i = 0; i < b.n_predictions; i++)
        qv_fuzz_promise(strcmp(a->predictions[i].file, b.predictions[i].file) == 0, "predictions are the same");
    qv_records_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) return 0;
    qv_ctx *ctx = qv_fuzz_ctx();
    qv_records r = {.classes = classes, .n_classes = CLASSES};
    const char *folder = qv_fuzz_folder();
    qv_fuzz_put(0, data[0] == 'r' ? "results.csv" : "predictions.csv", data + 1, size - 1);
    qv_status status = qv_records_read(ctx, &r, folder);
    qv_fuzz_refused(ctx, status);
    if (status == QV_OK) write_and_read(ctx, &r);
    qv_records_free(&r);
    qv_ctx_free(ctx);
    return 0;
}
