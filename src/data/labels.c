#include "data/labels.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/io.h"
#include "base/text.h"

enum { QV_LABELS_MAX = 1000, QV_LABELS_FILE_MAX = 1 << 20 };

static qv_status copy_trimmed(qv_ctx *ctx, char **out, const char *s, size_t n, const char *labels)
{
    while (n > 0 && (*s == ' ' || *s == '\t')) s++, n--;
    while (n > 0 && (s[n - 1] == ' ' || s[n - 1] == '\t')) n--;
    *out = NULL;
    if (n == 0) {
        return qv_fail(ctx, QV_ERR_USAGE, "labels '%s': an empty name; write anger,joy=happiness,...", labels);
    }
    qv_status status = qv_strndup(ctx, out, s, n);
    if (status != QV_OK) return status;
    if (!qv_has_control(*out)) return QV_OK;
    free(*out);
    *out = NULL;
    return qv_fail(ctx, QV_ERR_USAGE, "labels '%s': a control character in a name", labels);
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
    while (n_from > 0 && s[n_from - 1] == ' ') n_from--;
    bool optional = n_from > 0 && s[n_from - 1] == '?';
    QV_TRY(copy_trimmed(ctx, &from, s, n_from - optional, labels));
    if (qv_label_map_find(map, from) >= 0) {
        status = qv_fail(ctx, QV_ERR_USAGE, "labels '%s': '%s' is named twice", labels, from);
        goto done;
    }
    if (equals) {
        QV_TRY(copy_trimmed(ctx, &to, equals + 1, n - (size_t)(equals + 1 - s), labels));
    } else {
        QV_TRY(qv_strdup(ctx, &to, from));
    }
    map->to[map->n] = class_index(map, to);
    map->optional[map->n] = optional;
    map->from[map->n++] = from;
    from = NULL;
done:
    free(from);
    return status;
}

static qv_status make_room(qv_ctx *ctx, qv_label_map *map, size_t n)
{
    qv_status status = QV_OK;
    *map = (qv_label_map){0};
    QV_TRY(qv_alloc(ctx, &map->from, n, sizeof *map->from));
    QV_TRY(qv_alloc(ctx, &map->to, n, sizeof *map->to));
    QV_TRY(qv_alloc(ctx, &map->optional, n, sizeof *map->optional));
    QV_TRY(qv_alloc(ctx, &map->classes, n, sizeof *map->classes));
done:
    return status;
}

qv_status qv_label_map_of(qv_ctx *ctx, qv_label_map *map, char *const *names, int n)
{
    qv_status status = QV_OK;
    QV_TRY(make_room(ctx, map, (size_t)n));
    for (int i = 0; i < n; i++) {
        QV_TRY(qv_strdup(ctx, &map->from[i], names[i]));
        map->n++;
        QV_TRY(qv_strdup(ctx, &map->classes[i], names[i]));
        map->n_classes++;
        map->to[i] = i;
        map->optional[i] = true;
    }
done:
    if (status != QV_OK) qv_label_map_free(map);
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
    QV_TRY(make_room(ctx, map, n));
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
    qv_free_texts(map->from, map->n);
    qv_free_texts(map->classes, (size_t)map->n_classes);
    free(map->to);
    free(map->optional);
    *map = (qv_label_map){0};
}

int qv_label_map_find(const qv_label_map *map, const char *emotion)
{
    for (size_t i = 0; i < map->n; i++) {
        if (strcmp(map->from[i], emotion) == 0) return map->to[i];
    }
    return -1;
}

/* One line of a label file, without its comment: "joy = happiness" as "joy?=happiness", and "joy? = happiness" too. */
static void add_line(qv_buf *b, const char *line, size_t n)
{
    static const char blanks[] = " \t\r\n";
    size_t from = 0, to;
    while (from < n && strchr(blanks, line[from])) from++;
    while (n > from && strchr(blanks, line[n - 1])) n--;
    if (from == n) return;
    const char *equals = memchr(line + from, '=', n - from);
    to = equals ? (size_t)(equals - line) : n;
    while (to > from && strchr(blanks, line[to - 1])) to--;
    to -= to > from && line[to - 1] == '?';
    qv_buf_printf(b, "%s%.*s?", b->len && b->data[b->len - 1] != '|' ? "," : "", (int)(to - from), line + from);
    if (!equals) return;
    for (equals++; equals < line + n && strchr(blanks, *equals); equals++) {
    }
    qv_buf_printf(b, "=%.*s", (int)(line + n - equals), equals);
}

static qv_status add_file(qv_ctx *ctx, qv_buf *b, const char *path)
{
    char *text;
    size_t before = b->len;
    qv_status status = qv_read_text(ctx, path, QV_LABELS_FILE_MAX, &text);
    if (status != QV_OK) return status;
    int number = 1;
    for (const char *line = text; *line; number++) {
        size_t all = qv_line_bytes(line), n = 0;
        while (n < all && line[n] != '#') n++;
        if (memchr(line, ',', n) || memchr(line, '|', n)) {
            status = qv_fail(ctx, QV_ERR_DATA, "%s:%d: one emotion a line was expected, such as `joy = happiness`", path,
                             number);
            goto done;
        }
        add_line(b, line, n);
        line += all;
    }
    if (b->len == before) status = qv_fail(ctx, QV_ERR_DATA, "%s: no emotion in it", path);
done:
    free(text);
    return status;
}

const char *qv_labels_part(const char *labels, const char **part, size_t *n)
{
    size_t end = strcspn(labels, "|"), from = strspn(labels, " "), to = end;
    while (to > from && labels[to - 1] == ' ') to--;
    if (from > end) from = end;
    *part = labels + from;
    *n = to > from ? to - from : 0;
    return labels[end] ? labels + end + 1 : NULL;
}

qv_status qv_labels_expand(qv_ctx *ctx, char **out, const char *labels)
{
    static const char ending[] = ".labels";
    const size_t end = sizeof ending - 1;
    qv_status status = QV_OK;
    qv_buf b = {0};
    char *file = NULL;
    *out = NULL;
    for (const char *s = labels, *part; s;) {
        size_t n;
        s = qv_labels_part(s, &part, &n);
        if (n > end && memcmp(part + n - end, ending, end) == 0) {
            QV_TRY(qv_strndup(ctx, &file, part, n));
            QV_TRY(add_file(ctx, &b, file));
            free(file);
            file = NULL;
        } else {
            qv_buf_add(&b, part, n);
        }
        if (s) qv_buf_puts(&b, "|");
    }
    QV_TRY(qv_buf_take(ctx, &b, out));
done:
    free(file);
    qv_buf_free(&b);
    return status;
}
