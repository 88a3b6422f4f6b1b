/* Texts of JSON values, for what Jansson does not do. */
#ifndef QV_BASE_JSON_H
#define QV_BASE_JSON_H

#include <jansson.h>

/* The text of an object or array, for free(); NULL where there is no memory, a text in it is not valid UTF-8, or root
 * is NULL. Flags are those of json_dumps, which must not be used: it passes over a key that its buffer has no room for.
 */
char *qv_json_text(const json_t *root, size_t flags);

/* A list of texts; NULL as above. */
json_t *qv_json_names(char *const *names, size_t n);

#endif
