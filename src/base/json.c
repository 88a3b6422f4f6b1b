#include "base/json.h"

#include "base/buf.h"

/* Fails when the buffer has failed before, too: Jansson asks nobody how writing a key went. */
static int add(const char *text, size_t n, void *user)
{
    qv_buf *b = user;
    qv_buf_add(b, text, n);
    return b->failed ? -1 : 0;
}

char *qv_json_text(const json_t *root, size_t flags)
{
    qv_buf b = {0};
    if (root && json_dump_callback(root, add, &b, flags) == 0 && !b.failed) return b.data;
    qv_buf_free(&b);
    return NULL;
}

json_t *qv_json_names(char *const *names, size_t n)
{
    json_t *list = json_array();
    int failed = 0;
    for (size_t i = 0; i < n; i++) failed |= json_array_append_new(list, json_string(names[i]));
    if (!failed) return list;
    json_decref(list);
    return NULL;
}
