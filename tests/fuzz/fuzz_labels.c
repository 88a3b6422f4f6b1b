/* Any text as a list of labels. */
#include <stdlib.h>
#include <string.h>

#include "data/labels.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    qv_ctx *ctx = qv_fuzz_ctx();
    qv_label_map map;
    char *text = malloc(size + 1);
    qv_fuzz_promise(text != NULL, "there is memory for the text");
    memcpy(text, data, size);
    text[size] = '\0';
    qv_status status = qv_label_map_parse(ctx, &map, text);
    qv_fuzz_refused(ctx, status);
    for (size_t i = 0; status == QV_OK && i < map.n; i++) {
        int class = qv_label_map_find(&map, map.from[i]);
        qv_fuzz_promise(class >= 0 && class < map.n_classes && class == map.to[i], "every name has its class");
    }
    qv_label_map_free(&map);
    free(text);
    qv_ctx_free(ctx);
    return 0;
}
