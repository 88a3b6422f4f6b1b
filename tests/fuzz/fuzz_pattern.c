/* Any text as a pattern and, after its first line, as names that are matched with it. */
#include <stdlib.h>
#include <string.h>

#include "data/pattern.h"
#include "fuzz.h"

static void match(qv_ctx *ctx, qv_pattern *p, const char *subject)
{
    bool matched;
    qv_status status = qv_pattern_match(ctx, p, subject, &matched);
    qv_fuzz_refused(ctx, status);
    if (status != QV_OK || !matched) return;
    for (int g = 0; g < qv_pattern_groups(p); g++) {
        size_t begin, end;
        if (!qv_pattern_range(p, g, &begin, &end)) continue;
        qv_fuzz_promise(begin <= end && end <= strlen(subject), "a group lies inside the name");
        qv_fuzz_promise(qv_pattern_group_name(p, g)[0] != '\0', "a group has a name");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    qv_ctx *ctx = qv_fuzz_ctx();
    qv_pattern *p;
    char *text = malloc(size + 1);
    qv_fuzz_promise(text != NULL, "there is memory for the text");
    memcpy(text, data, size);
    text[size] = '\0';
    char *line = strchr(text, '\n');
    if (line) *line++ = '\0';
    qv_status status = qv_pattern_new(ctx, &p, text);
    qv_fuzz_refused(ctx, status);
    if (status == QV_OK) {
        match(ctx, p, line ? line : "03-01-05-01.wav");
        qv_pattern_free(p);
    }
    free(text);
    qv_ctx_free(ctx);
    return 0;
}
