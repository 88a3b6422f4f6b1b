/* Any bytes as a recording: read whole, and a part of it, at its own and at another rate. */
#include <math.h>

#include "data/audio.h"
#include "fuzz.h"

static void read_part(qv_ctx *ctx, const char *path, double start, double end, int rate)
{
    qv_audio a;
    qv_status status = qv_audio_read(ctx, &a, path, start, end, rate);
    qv_fuzz_refused(ctx, status);
    if (status == QV_OK) {
        qv_fuzz_promise(a.n > 0, "a recording that was read has samples");
        for (size_t i = 0; i < a.n; i++) qv_fuzz_promise(isfinite(a.samples[i]), "samples are finite");
    }
    qv_audio_free(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    qv_ctx *ctx = qv_fuzz_ctx();
    const char *path = qv_fuzz_file(0, data, size);
    read_part(ctx, path, 0, -1, 16000);
    read_part(ctx, path, 0.01, 0.02, 8000);
    qv_ctx_free(ctx);
    return 0;
}
