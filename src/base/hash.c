#include "base/hash.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/io.h"

qv_status qv_hash_file(qv_ctx *ctx, const char *path, XXH128_hash_t *hash)
{
    XXH3_state_t *state = NULL;
    char *chunk = NULL;
    const size_t size = 1 << 16;
    size_t n;
    struct stat st;
    FILE *f;
    qv_status status = qv_open_read(ctx, path, &f, &st);
    if (status != QV_OK) return status;
    QV_TRY(qv_alloc(ctx, &chunk, size, 1));
    state = XXH3_createState();
    if (!state) {
        status = qv_fail(ctx, QV_ERR_MEMORY, "no memory for a hash");
        goto done;
    }
    XXH3_128bits_reset(state);
    while ((n = fread(chunk, 1, size, f)) > 0) XXH3_128bits_update(state, chunk, n);
    if (ferror(f)) {
        status = qv_fail_errno(ctx, "cannot read %s", path);
        goto done;
    }
    *hash = XXH3_128bits_digest(state);
done:
    XXH3_freeState(state);
    free(chunk);
    fclose(f);
    return status;
}

qv_status qv_hash_file_text(qv_ctx *ctx, const char *path, char text[QV_HASH_TEXT])
{
    XXH128_hash_t h;
    qv_status status = qv_hash_file(ctx, path, &h);
    if (status == QV_OK)
        snprintf(text, QV_HASH_TEXT, "%016llx%016llx", (unsigned long long)h.high64, (unsigned long long)h.low64);
    return status;
}
