/* Any bytes as a safetensors file; all that an accepted one promises is read. */
#include <string.h>

#include "base/csv.h"
#include "base/safetensors.h"
#include "fuzz.h"

static void look_at(const qv_st_file *f, size_t i)
{
    const qv_st_tensor *t = qv_st_at(f, i);
    size_t count = 1, sum = 0;
    for (int d = 0; d < t->ndim; d++) count *= t->shape[d];
    qv_fuzz_promise(count == t->count && t->bytes == count * qv_st_dtype_size(t->dtype), "sizes fit the shape");
    qv_fuzz_promise((uintptr_t)t->data % qv_st_dtype_size(t->dtype) == 0, "data is aligned");
    for (size_t k = 0; k < t->bytes; k++) sum += ((const unsigned char *)t->data)[k];
    qv_fuzz_promise(sum <= 255 * t->bytes, "all data can be read");
    qv_fuzz_promise(qv_utf8_check(t->name, strlen(t->name)) == strlen(t->name), "names are UTF-8");
    qv_fuzz_promise(qv_st_find(f, t->name) == t, "a tensor is found by its name");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    qv_ctx *ctx = qv_fuzz_ctx();
    qv_st_file *f;
    qv_status status = qv_st_open(ctx, &f, qv_fuzz_file(0, data, size));
    qv_fuzz_refused(ctx, status);
    if (status == QV_OK) {
        for (size_t i = 0; i < qv_st_count(f); i++) look_at(f, i);
        for (size_t i = 0; i < qv_st_meta_count(f); i++) {
            const char *key, *value;
            qv_st_meta_at(f, i, &key, &value);
            qv_fuzz_promise(qv_st_meta(f, key) == value, "metadata is found by its key");
        }
        qv_st_close(f);
    }
    qv_ctx_free(ctx);
    return 0;
}
