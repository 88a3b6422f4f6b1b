/* Any bytes as a feature cache. Its hashes would stop all but the first check, so an input longer than a header also
 * runs with hashes that fit: what an attacker would write, and what a flaw of the hash would let through. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <xxhash.h>

#include "data/cache.h"
#include "fuzz.h"

/* The header as src/data/cache.c lays it out: where those fields are that matter here. */
enum { DATA_AT = 4096, FRAMES = 48, DATA_HASH = 72, TABLE_HASH = 80, HEADER_HASH = 88, ITEMS = 3, BANDS = 2 };

static uint64_t get(const uint8_t *file, size_t at)
{
    uint64_t x;
    memcpy(&x, file + at, sizeof x);
    return x;
}

static void put(uint8_t *file, size_t at, uint64_t x) { memcpy(file + at, &x, sizeof x); }

static void fit_hashes(uint8_t *file, size_t size)
{
    uint64_t left = size - DATA_AT, data = get(file, FRAMES) * BANDS * sizeof(float);
    if (data <= left) {
        put(file, DATA_HASH, XXH3_64bits(file + DATA_AT, (size_t)data));
        put(file, TABLE_HASH, XXH3_64bits(file + DATA_AT + data, (size_t)(left - data)));
    }
    put(file, HEADER_HASH, XXH3_64bits(file, HEADER_HASH));
}

static void map(const uint8_t *file, size_t size)
{
    qv_ctx *ctx = qv_fuzz_ctx();
    qv_feature_entry entries[ITEMS] = {0};
    qv_features f = {.config = {.mels = BANDS}, .entries = entries, .n = ITEMS};
    const qv_cache_id id = {1, 2};
    bool hit;
    qv_fuzz_promise(qv_cache_map(ctx, &f, qv_fuzz_file(0, file, size), &id, &hit) == QV_OK, "damage is no failure");
    float sum = 0;
    for (int i = 0; hit && i < ITEMS; i++) {
        const float *frames = f.data + entries[i].first_frame * BANDS;
        for (int64_t k = 0; k < (int64_t)entries[i].frames * BANDS; k++) sum += frames[k];
        free(entries[i].skipped);
    }
    qv_fuzz_promise(isnan(sum) || sum <= HUGE_VALF, "all frames can be read");
    if (hit) munmap(f.map, f.map_size);
    qv_ctx_free(ctx);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    map(data, size);
    if (size < DATA_AT) return 0;
    uint8_t *file = malloc(size);
    if (!file) return 0;
    memcpy(file, data, size);
    fit_hashes(file, size);
    map(file, size);
    free(file);
    return 0;
}
