/* Any bytes as a settings file; what is accepted prints to a text that reads back to the same. */
#include "fuzz.h"
#include "train/settings.h"

static void reread(qv_ctx *ctx, const qv_settings *s)
{
    qv_settings again;
    qv_buf text = {0}, values = {0};
    qv_settings_print(s, &text);
    qv_fuzz_promise(qv_settings_init(ctx, &again) == QV_OK, "there are defaults");
    qv_fuzz_promise(qv_settings_parse(ctx, &again, "printed", text.data) == QV_OK, "what was printed is read");
    qv_fuzz_promise(qv_settings_differ(s, &again, "", &values) == NULL, "settings are the same when read back");
    qv_settings_free(&again);
    qv_buf_free(&text);
    qv_buf_free(&values);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    qv_ctx *ctx = qv_fuzz_ctx();
    qv_settings s;
    qv_fuzz_promise(qv_settings_init(ctx, &s) == QV_OK, "there are defaults");
    qv_status status = qv_settings_read(ctx, &s, qv_fuzz_file(0, data, size));
    qv_fuzz_refused(ctx, status);
    if (status == QV_OK) {
        qv_feature_config c = qv_settings_features(&s);
        qv_fuzz_refused(ctx, qv_feature_check(ctx, &c));
        reread(ctx, &s);
    }
    qv_settings_free(&s);
    qv_ctx_free(ctx);
    return 0;
}
