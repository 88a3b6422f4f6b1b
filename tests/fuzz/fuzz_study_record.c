/* Any bytes as the record of a study's run. The hash of its first line would stop all that is not sound, so an input of
 * two lines runs with a hash that fits, too. What is accepted is written and read back to the same first line. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "fuzz.h"
#include "study/store.h"

static void write_and_read(qv_ctx *ctx, const qv_study_record *r)
{
    char path[128], *line;
    qv_study_record again = {0};
    snprintf(path, sizeof path, "%s/record.jsonl", qv_fuzz_folder());
    qv_fuzz_promise(qv_study_record_write(ctx, r, path) == QV_OK, "a record is written");
    qv_fuzz_promise(qv_study_record_read(ctx, &again, path) == QV_OK, "what was written is read");
    qv_fuzz_promise(qv_study_record_line(ctx, &line, path) == QV_OK, "its line is sound");
    qv_fuzz_promise(r->seed == again.seed && r->running.n_speakers == again.running.n_speakers &&
                        r->profiles[QV_PROFILE_SCALES].n == again.profiles[QV_PROFILE_SCALES].n &&
                        r->profiles[QV_PROFILE_APART].n == again.profiles[QV_PROFILE_APART].n && r->n_curve == again.n_curve &&
                        r->n_classes == again.n_classes && strcmp(r->cell, again.cell) == 0 &&
                        !r->failed == !again.failed,
                    "nothing is lost");
    free(line);
    qv_study_record_free(&again);
}

static void read_bytes(const uint8_t *data, size_t size)
{
    qv_ctx *ctx = qv_fuzz_ctx();
    qv_study_record r = {0};
    qv_status status = qv_study_record_read(ctx, &r, qv_fuzz_file(0, data, size));
    qv_fuzz_refused(ctx, status);
    if (status == QV_OK) write_and_read(ctx, &r);
    qv_study_record_free(&r);
    qv_ctx_free(ctx);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char key[] = "\"check\": \"", brief[] = "\"check\":\"";
    const uint8_t *end = size ? memchr(data, '\n', size) : NULL;
    read_bytes(data, size);
    if (!end) return 0;
    uint8_t *fit = malloc(size + 1);
    if (!fit) return 0;
    memcpy(fit, data, size);
    fit[size] = '\0';
    char hash[32], *text = (char *)fit + (end - data), *at = strstr(text, key);
    size_t skip = sizeof key - 1;
    if (!at) at = strstr(text, brief), skip = sizeof brief - 1;
    snprintf(hash, sizeof hash, "%016llx", (unsigned long long)XXH3_64bits(data, (size_t)(end - data)));
    if (at && (size_t)((char *)fit + size - at) >= skip + 16) {
        memcpy(at + skip, hash, 16);
        read_bytes(fit, size);
    }
    free(fit);
    return 0;
}
