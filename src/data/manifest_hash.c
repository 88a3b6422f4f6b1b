/* Which list a manifest is, wherever it and its recordings lie. */
#include <string.h>

#include <xxhash.h>

#include "data/manifest_own.h"

/* Bytes at the beginning of both names that end with a slash and are the same, at most `n`. */
static size_t common_folder(const char *a, const char *b, size_t n)
{
    size_t end = 0;
    for (size_t i = 0; i < n && a[i] && a[i] == b[i]; i++)
        if (a[i] == '/') end = i + 1;
    return end;
}

/* Its terminator keeps one text apart from the next, and an empty text from one that is not there. */
static uint64_t add_text(uint64_t hash, const char *text)
{
    return text ? XXH3_64bits_withSeed(text, strlen(text) + 1, hash) : XXH3_64bits_withSeed("-", 1, hash);
}

static uint64_t add_item(uint64_t hash, const qv_manifest *m, qv_item *item, size_t folder)
{
    const double times[] = {item->start, item->end, item->channel};
    hash = add_text(hash, item->name + folder);
    for (int c = QV_COLUMN_FILE + 1; c < QV_COLUMNS; c++) {
        char **text = qv_item_text(item, c);
        if (text) hash = add_text(hash, *text);
    }
    for (int i = 0; i < m->n_extra; i++) hash = add_text(hash, item->extra[i]);
    return XXH3_64bits_withSeed(times, sizeof times, hash);
}

uint64_t qv_manifest_hash_rows(const qv_manifest *m)
{
    size_t folder = m->n ? strlen(m->items[0].name) : 0;
    uint64_t hash = 0;
    for (size_t i = 0; i < m->n; i++) folder = common_folder(m->items[0].name, m->items[i].name, folder);
    for (int i = 0; i < m->n_extra; i++) hash = add_text(hash, m->extra[i]);
    for (size_t i = 0; i < m->n; i++) hash = add_item(hash, m, &m->items[i], folder);
    return hash;
}
