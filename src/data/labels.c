#include "data/labels.h"

#include <stdlib.h>
#include <string.h>

enum { QV_LABELS_MAX = 1000 };

static qv_status copy_trimmed(qv_ctx *ctx, char **out, const char *s, size_t n, const char *labels)
{
    while (n > 0 && (*s == ' ' || *s == '\t')) s++, n--;
    while (n > 0 && (s[n - 1] == ' ' || s[n - 1] == '\t')) n--;
    *out = NULL;
    if (n == 0) {
        return qv_fail(ctx, QV_ERR_USAGE, "labels '%s': an empty name; write anger,joy=happiness,...", labels);
    }
    qv_status status = qv_alloc(ctx, out, n + 1, 1);
    if (status == QV_OK) memcpy(*out, s, n);
    return status;
}

/* Index of the class of that name, made where it is new; takes over `name`. */
static int class_index(qv_label_map *map, char *name)
{
    for (int i = 0; i < map->n_classes; i++) {
        if (strcmp(map->classes[i], name) == 0) {
            free(name);
            return i;
        }
    }
    map->classes[map->n_classes] = name;
    return map->n_classes++;
}

static qv_status add_entry(qv_ctx *ctx, qv_label_map *map, const char *s, size_t n, const char *labels)
{
    const char *equals = memchr(s, '=', n);
    size_t n_from = equals ? (size_t)(equals - s) : n;
    char *from = NULL, *to = NULL;
    qv_status status = QV_OK;
    QV_TRY(copy_trimmed(ctx, &from, s, n_from, labels));
    if (qv_label_map_find(map, from) >= 0) {
        status = qv_fail(ctx, QV_ERR_USAGE, "labels '%s': '%s' is named twice", labels, from);
        goto done;
    }
    if (equals) {
        QV_TRY(copy_trimmed(ctx, &to, equals + 1, n - n_from - 1, labels));
    } else {
        QV_TRY(qv_strdup(ctx, &to, from));
    }
    map->to[map->n] = class_index(map, to);
    map->from[map->n++] = from;
    from = NULL;
done:
    free(from);
    return status;
}

qv_status qv_label_map_parse(qv_ctx *ctx, qv_label_map *map, const char *labels)
{
    qv_status status = QV_OK;
    size_t n = 1;
    *map = (qv_label_map){0};
    for (const char *s = labels; *s; s++) n += *s == ',';
    if (n > QV_LABELS_MAX)
        return qv_fail(ctx, QV_ERR_USAGE, "labels: %zu names, at most %d are taken", n, QV_LABELS_MAX);
    QV_TRY(qv_alloc(ctx, &map->from, n, sizeof *map->from));
    QV_TRY(qv_alloc(ctx, &map->to, n, sizeof *map->to));
    QV_TRY(qv_alloc(ctx, &map->classes, n, sizeof *map->classes));
    for (const char *s = labels;;) {
        size_t length = strcspn(s, ",");
        QV_TRY(add_entry(ctx, map, s, length, labels));
        if (s[length] == '\0') break;
        s += length + 1;
    }
done:
    if (status != QV_OK) qv_label_map_free(map);
    return status;
}

void qv_label_map_free(qv_label_map *map)
{
    for (size_t i = 0; map->from && i < map->n; i++) free(map->from[i]);
    for (int i = 0; map->classes && i < map->n_classes; i++) free(map->classes[i]);
    free(map->from);
    free(map->to);
    free(map->classes);
    *map = (qv_label_map){0};
}

int qv_label_map_find(const qv_label_map *map, const char *emotion)
{
    for (size_t i = 0; i < map->n; i++) {
        if (strcmp(map->from[i], emotion) == 0) return map->to[i];
    }
    return -1;
}
