/* "Did you mean": the known name nearest to a mistyped one. */
#ifndef QV_BASE_NEAREST_H
#define QV_BASE_NEAREST_H

#include <stddef.h>

/* The name with the fewest insertions, deletions, replacements and swaps of neighbours between it
 * and `word`, letter case apart; the first of equals. NULL where none is near: more than a third of
 * the longer one's letters differ (at least 1 may). */
const char *qv_nearest(const char *word, const char *const *names, size_t n);

#endif
