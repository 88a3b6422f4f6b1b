/* Texts of JSON values, and values that are checked as they are taken, for what Jansson does not do. */
#ifndef QV_BASE_JSON_H
#define QV_BASE_JSON_H

#include <jansson.h>

#include "base/status.h"

/* The text of an object or array, for free(); NULL where there is no memory, a text in it is not valid UTF-8, or root
 * is NULL. Flags are those of json_dumps, which must not be used: it passes over a key that its buffer has no room for.
 */
char *qv_json_text(const json_t *root, size_t flags);

/* A list of texts; NULL as above. */
json_t *qv_json_names(char *const *names, size_t n);

/* QV_ERR_DATA: under the key stands something else than was expected. */
qv_status qv_json_wrong(qv_ctx *ctx, const char *key, const char *expected);
/* What stands under a key of an object, or qv_json_wrong. A text, and each of the 1 to `most` texts of a list, is a
 * copy; *n counts those that are there, also after a failure. A count: 0 to QV_JSON_COUNT_MAX. */
enum { QV_JSON_COUNT_MAX = 1000000000 };
qv_status qv_json_take_text(qv_ctx *ctx, const json_t *from, const char *key, char **out);
qv_status qv_json_take_count(qv_ctx *ctx, const json_t *from, const char *key, size_t *out);
qv_status qv_json_take_names(qv_ctx *ctx, const json_t *from, const char *key, size_t most, char ***out, size_t *n);

#endif
