#include "base/nearest.h"

#include <ctype.h>
#include <string.h>

enum { QV_NEAREST_MAX = 64 };

static int lower(const char *s, size_t i) { return tolower((unsigned char)s[i]); }

static size_t min2(size_t a, size_t b) { return a < b ? a : b; }

/* Restricted Damerau-Levenshtein distance; three rows of the table at a time. */
static size_t distance(const char *a, size_t na, const char *b, size_t nb)
{
    size_t rows[3][QV_NEAREST_MAX + 1];
    size_t *before = rows[0], *last = rows[1], *row = rows[2];
    for (size_t j = 0; j <= nb; j++) row[j] = j;
    for (size_t i = 1; i <= na; i++) {
        size_t *spare = before;
        before = last;
        last = row;
        row = spare;
        row[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            size_t replaced = last[j - 1] + (lower(a, i - 1) != lower(b, j - 1));
            row[j] = min2(replaced, 1 + min2(last[j], row[j - 1]));
            if (i > 1 && j > 1 && lower(a, i - 1) == lower(b, j - 2) && lower(a, i - 2) == lower(b, j - 1)) {
                row[j] = min2(row[j], before[j - 2] + 1);
            }
        }
    }
    return row[nb];
}

const char *qv_nearest(const char *word, const char *const *names, size_t n)
{
    const char *best = NULL;
    size_t best_distance = QV_NEAREST_MAX, nw = strlen(word);
    if (nw > QV_NEAREST_MAX) return NULL;
    for (size_t i = 0; i < n; i++) {
        size_t ni = strlen(names[i]);
        if (ni > QV_NEAREST_MAX) continue;
        size_t longer = ni > nw ? ni : nw;
        size_t d = distance(word, nw, names[i], ni);
        if (d < best_distance && d <= (longer < 3 ? 1 : longer / 3)) {
            best = names[i];
            best_distance = d;
        }
    }
    return best;
}
