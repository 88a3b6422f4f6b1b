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

qv_status qv_json_wrong(qv_ctx *ctx, const char *key, const char *expected)
{
    return qv_fail(ctx, QV_ERR_DATA, "\"%s\" is not what was expected: %s", key, expected);
}

qv_status qv_json_take_text(qv_ctx *ctx, const json_t *from, const char *key, char **out)
{
    const char *text = json_string_value(json_object_get(from, key));
    return text ? qv_strdup(ctx, out, text) : qv_json_wrong(ctx, key, "a text");
}

qv_status qv_json_take_count(qv_ctx *ctx, const json_t *from, const char *key, size_t *out)
{
    const json_t *v = json_object_get(from, key);
    json_int_t n = json_integer_value(v);
    if (!json_is_integer(v) || n < 0 || n > QV_JSON_COUNT_MAX)
        return qv_json_wrong(ctx, key, "a whole number from 0 to 1000000000");
    *out = (size_t)n;
    return QV_OK;
}

qv_status qv_json_take_names(qv_ctx *ctx, const json_t *from, const char *key, size_t most, char ***out, size_t *n)
{
    const json_t *list = json_object_get(from, key);
    size_t count = json_array_size(list);
    if (count < 1 || count > most)
        return qv_fail(ctx, QV_ERR_DATA, "\"%s\" is not what was expected: 1 to %zu names", key, most);
    qv_status status = qv_alloc(ctx, out, count, sizeof **out);
    for (size_t i = 0; status == QV_OK && i < count; i++) {
        const char *name = json_string_value(json_array_get(list, i));
        status = name ? qv_strdup(ctx, &(*out)[i], name) : qv_json_wrong(ctx, key, "names");
        if (status == QV_OK) (*n)++;
    }
    return status;
}
