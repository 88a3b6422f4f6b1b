/* Any bytes as a NumPy file; what is accepted gives as many finite frames as its header says, whole or in part. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data/npy.h"
#include "fuzz.h"

static void read_all(qv_ctx *ctx, qv_npy *npy, size_t size)
{
    int64_t n = npy->rows * npy->columns;
    qv_fuzz_promise(n * npy->size <= (int64_t)size, "the numbers are in the file");
    float *all = malloc((size_t)n * sizeof *all), *last = malloc((size_t)npy->columns * sizeof *last);
    qv_fuzz_promise(all && last, "there is memory");
    qv_status status = qv_npy_rows(ctx, npy, 0, npy->rows, all);
    qv_fuzz_refused(ctx, status);
    if (status == QV_OK) {
        for (int64_t i = 0; i < n; i++) qv_fuzz_promise(isfinite(all[i]), "frames are finite");
        qv_fuzz_promise(qv_npy_rows(ctx, npy, npy->rows - 1, 1, last) == QV_OK, "a part of them can be read");
        size_t row = (size_t)npy->columns * sizeof *last;
        qv_fuzz_promise(memcmp(last, all + n - npy->columns, row) == 0, "and is the same");
    }
    free(all);
    free(last);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    qv_ctx *ctx = qv_fuzz_ctx();
    qv_npy npy;
    qv_status status = qv_npy_open(ctx, &npy, qv_fuzz_file(0, data, size));
    qv_fuzz_refused(ctx, status);
    if (status == QV_OK) {
        read_all(ctx, &npy, size);
        qv_npy_close(&npy);
    }
    qv_ctx_free(ctx);
    return 0;
}
