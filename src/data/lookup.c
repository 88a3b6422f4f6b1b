#include "data/lookup.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/csv.h"
#include "base/io.h"
#include "base/text.h"
#include "data/pattern.h"
#include "data/recipe.h"

enum { QV_LOOKUP_FILE_MAX = 1 << 28, QV_LOOKUP_NAME_MAX = 64 };

/* What reading needs beside the result. */
typedef struct loader {
    qv_lookup *t;
    qv_pattern *files, *line;
    size_t root;      /* bytes of a path up to what stands below the folder */
    const char *path; /* of the file at hand, below the folder */
    int *file_value;  /* [groups of files] index of the value */
    int *line_value;  /* [groups of line] */
    char **given;     /* [n_names] values that the file's path gives */
    const int *cell;  /* CSV: [cells] index of the value, -1: none */
    struct seen {
        dev_t device;
        ino_t folder;
        char *name;
    } *seen; /* [n_seen] files that were read: the folder of the tables may lie in that of the corpus. By name, since two
                may be links to one content */
    size_t n_seen, cap_seen;
} loader;

bool qv_expand(qv_buf *out, const char *template, qv_value_fn value, const void *user)
{
    while (*template) {
        size_t plain = strcspn(template, "{");
        qv_buf_add(out, template, plain);
        template += plain;
        if (!*template) break;
        size_t n = strcspn(++template, "}");
        const char *text = value(user, template, n);
        if (!text) return false;
        qv_buf_puts(out, text);
        template += n + (template[n] == '}');
    }
    return true;
}

int qv_lookup_name(const qv_lookup *t, const char *name)
{
    for (int i = 0; i < t->n_names; i++) {
        if (strcmp(t->names[i], name) == 0) return i;
    }
    return -1;
}

static qv_status add_name(qv_ctx *ctx, qv_lookup *t, const char *name, size_t n, int *index)
{
    char text[QV_LOOKUP_NAME_MAX];
    snprintf(text, sizeof text, "%.*s", (int)n, name);
    *index = qv_lookup_name(t, text);
    if (*index >= 0) return QV_OK;
    *index = t->n_names;
    qv_status status = qv_strdup(ctx, &t->names[t->n_names], text);
    if (status == QV_OK) t->n_names++;
    return status;
}

static size_t map_size(const char *map)
{
    size_t n = 0;
    for (const char *s = map; s && *s; s += strcspn(s, " "), s += strspn(s, " ")) n++;
    return n;
}

/* Names of all values: those of the path, of the line, of the cells. */
static qv_status name_values(qv_ctx *ctx, loader *l)
{
    qv_status status = QV_OK;
    int files = qv_pattern_groups(l->files), line = l->line ? qv_pattern_groups(l->line) : 0, index;
    QV_TRY(qv_alloc(ctx, &l->t->names, (size_t)(files + line) + map_size(l->t->rule->cells), sizeof *l->t->names));
    QV_TRY(qv_alloc(ctx, &l->file_value, (size_t)files, sizeof *l->file_value));
    QV_TRY(qv_alloc(ctx, &l->line_value, (size_t)line, sizeof *l->line_value));
    for (int g = 0; g < files; g++) {
        const char *name = qv_pattern_group_name(l->files, g);
        QV_TRY(add_name(ctx, l->t, name, strlen(name), &l->file_value[g]));
    }
    for (int g = 0; g < line; g++) {
        const char *name = qv_pattern_group_name(l->line, g);
        QV_TRY(add_name(ctx, l->t, name, strlen(name), &l->line_value[g]));
    }
    for (const char *s = l->t->rule->cells; s && *s; s += strspn(s, " ")) {
        size_t key = strcspn(s, "="), all = strcspn(s, " ");
        QV_TRY(add_name(ctx, l->t, s + key + 1, all - key - 1, &index));
        s += all;
    }
    QV_TRY(qv_alloc(ctx, &l->given, (size_t)l->t->n_names, sizeof *l->given));
done:
    return status;
}

/* In the place of what the path may have said. */
static qv_status set_value(qv_ctx *ctx, char **value, const char *s, size_t n)
{
    free(*value);
    return qv_strndup(ctx, value, s, n);
}

/* What the groups of a match say; an empty group says nothing. */
static qv_status take_groups(qv_ctx *ctx, const qv_pattern *p, const int *index, const char *subject, char **values)
{
    for (int g = 0; g < qv_pattern_groups(p); g++) {
        size_t begin, end;
        if (!qv_pattern_range(p, g, &begin, &end) || begin == end) continue;
        qv_status status = set_value(ctx, &values[index[g]], subject + begin, end - begin);
        if (status != QV_OK) return status;
    }
    return QV_OK;
}

/* A zeroed row at the end with the values of the path. */
static qv_status open_row(qv_ctx *ctx, loader *l, int line, qv_lookup_row **row)
{
    qv_lookup *t = l->t;
    qv_status status = QV_OK;
    QV_TRY(qv_grow(ctx, &t->rows, &t->cap, t->n + 1, sizeof *t->rows));
    *row = &t->rows[t->n++];
    **row = (qv_lookup_row){.file = l->path, .line = line};
    QV_TRY(qv_alloc(ctx, &(*row)->values, (size_t)t->n_names, sizeof *(*row)->values));
    for (int i = 0; i < t->n_names; i++) {
        if (l->given[i]) QV_TRY(qv_strdup(ctx, &(*row)->values[i], l->given[i]));
    }
done:
    return status;
}

typedef struct row_values {
    const qv_lookup *t;
    const qv_lookup_row *row;
} row_values;

static const char *value_of_row(const void *user, const char *name, size_t n)
{
    const row_values *v = user;
    for (int i = 0; i < v->t->n_names; i++) {
        if (strlen(v->t->names[i]) == n && memcmp(v->t->names[i], name, n) == 0) return v->row->values[i];
    }
    return NULL;
}

static qv_status close_row(qv_ctx *ctx, loader *l, qv_lookup_row *row)
{
    qv_buf key = {0};
    row_values v = {l->t, row};
    bool whole = qv_expand(&key, l->t->rule->key, value_of_row, &v);
    qv_status status = qv_buf_take(ctx, &key, &row->key);
    if (status == QV_OK && !whole)
        status = qv_fail(ctx, QV_ERR_DATA, "%s:%d: the line does not say which recording it is about (%s)", l->path,
                         row->line, l->t->rule->key);
    return status;
}

static qv_status read_lines(qv_ctx *ctx, loader *l, char *text)
{
    qv_status status = QV_OK;
    int number = 0;
    for (char *rest = text, *line; (line = qv_next_line(&rest)) != NULL;) {
        bool matched;
        qv_lookup_row *row;
        number++;
        QV_TRY(qv_pattern_match(ctx, l->line, line, &matched));
        if (!matched) continue;
        QV_TRY(open_row(ctx, l, number, &row));
        QV_TRY(take_groups(ctx, l->line, l->line_value, line, row->values));
        QV_TRY(close_row(ctx, l, row));
    }
done:
    return status;
}

/* Which value each cell of the header is; every name of the map must be there, once. */
static qv_status read_header(qv_ctx *ctx, loader *l, const qv_csv *csv, int *cell)
{
    const char *map = l->t->rule->cells, *value;
    size_t n, found = 0;
    for (size_t i = 0; i < csv->n; i++) {
        char name[QV_LOOKUP_NAME_MAX];
        cell[i] = -1;
        if (!qv_map_find(map, csv->cells[i], strlen(csv->cells[i]), &value, &n)) continue;
        snprintf(name, sizeof name, "%.*s", (int)n, value);
        cell[i] = qv_lookup_name(l->t, name);
        for (size_t j = 0; j < i; j++)
            if (cell[j] == cell[i])
                return qv_fail(ctx, QV_ERR_DATA, "%s:%d: columns %zu and %zu both stand for '%s'", l->path,
                               csv->row_line, j + 1, i + 1, name);
        found++;
    }
    if (found >= map_size(map)) return QV_OK;
    return qv_fail(ctx, QV_ERR_DATA,
                   "%s:%d: not the expected columns; these were expected (and what they stand for): %s", l->path,
                   csv->row_line, map);
}

static qv_status read_cells(qv_ctx *ctx, loader *l, char *text, size_t size)
{
    qv_status status = QV_OK;
    qv_csv csv;
    int *cell = NULL;
    size_t cells;
    bool more;
    QV_TRY(qv_csv_open(ctx, &csv, l->path, text, size));
    QV_TRY(qv_csv_next(ctx, &csv, &more));
    cells = csv.n;
    QV_TRY(qv_alloc(ctx, &cell, cells, sizeof *cell));
    if (more) QV_TRY(read_header(ctx, l, &csv, cell));
    while (more) {
        qv_lookup_row *row;
        QV_TRY(qv_csv_next(ctx, &csv, &more));
        if (!more) break;
        if (csv.n != cells) {
            status = qv_fail(ctx, QV_ERR_DATA, "%s:%d: %zu cells where the header has %zu", l->path, csv.row_line,
                             csv.n, cells);
            goto done;
        }
        QV_TRY(open_row(ctx, l, csv.row_line, &row));
        for (size_t i = 0; i < cells; i++) {
            const char *said = csv.cells[i];
            if (cell[i] >= 0 && *said) QV_TRY(set_value(ctx, &row->values[cell[i]], said, strlen(said)));
        }
        QV_TRY(close_row(ctx, l, row));
    }
done:
    free(cell);
    qv_csv_close(&csv);
    return status;
}

/* Each byte as the character of that number; for the few old files that are not UTF-8. */
static qv_status from_latin1(qv_ctx *ctx, char **text, size_t *size)
{
    char *out;
    qv_status status = qv_alloc(ctx, &out, 2 * *size + 1, 1);
    size_t n = 0;
    if (status != QV_OK) return status;
    for (size_t i = 0; i < *size; i++) {
        unsigned char c = (unsigned char)(*text)[i];
        if (c < 0x80) {
            out[n++] = (char)c;
        } else {
            out[n++] = (char)(0xC0 | c >> 6);
            out[n++] = (char)(0x80 | (c & 0x3F));
        }
    }
    free(*text);
    *text = out;
    *size = n;
    return QV_OK;
}

static qv_status read_text(qv_ctx *ctx, loader *l, const char *path, char **text, size_t *size)
{
    qv_status status = QV_OK;
    QV_TRY(qv_read_file(ctx, path, QV_LOOKUP_FILE_MAX, text, size));
    if (qv_is_lfs_pointer(*text, *size)) {
        status = qv_fail(ctx, QV_ERR_DATA,
                         "%s: a git-lfs pointer, not the table; run `git lfs pull` where it came from", path);
        goto done;
    }
    if (strlen(*text) < *size) {
        status = qv_fail(ctx, QV_ERR_DATA, "%s: a NUL byte; this is not a text in an 8-bit coding", path);
        goto done;
    }
    if (qv_utf8_check(*text, *size) < *size) {
        l->t->latin1++;
        QV_TRY(from_latin1(ctx, text, size));
    }
done:
    if (status != QV_OK) {
        free(*text);
        *text = NULL;
    }
    return status;
}

static qv_status note_seen(qv_ctx *ctx, loader *l, const char *path, bool *before)
{
    struct stat st;
    char *folder = NULL;
    qv_status status = QV_OK;
    *before = false;
    QV_TRY(qv_path_dir(ctx, &folder, path));
    if (stat(folder, &st) != 0) {
        status = qv_fail_errno(ctx, "cannot examine %s", folder);
        goto done;
    }
    for (size_t i = 0; i < l->n_seen && !*before; i++)
        *before = l->seen[i].device == st.st_dev && l->seen[i].folder == st.st_ino &&
                  strcmp(l->seen[i].name, qv_path_base(path)) == 0;
    if (*before) goto done;
    QV_TRY(qv_grow(ctx, &l->seen, &l->cap_seen, l->n_seen + 1, sizeof *l->seen));
    l->seen[l->n_seen] = (struct seen){.device = st.st_dev, .folder = st.st_ino};
    QV_TRY(qv_strdup(ctx, &l->seen[l->n_seen].name, qv_path_base(path)));
    l->n_seen++;
done:
    free(folder);
    return status;
}

static qv_status visit(qv_ctx *ctx, void *user, const char *path)
{
    loader *l = user;
    qv_lookup *t = l->t;
    const char *below = path + l->root;
    char *text = NULL;
    size_t size;
    bool matched, before;
    qv_status status = QV_OK;
    QV_TRY(qv_pattern_match(ctx, l->files, below, &matched));
    if (!matched) goto done;
    QV_TRY(note_seen(ctx, l, path, &before));
    if (before) goto done;
    QV_TRY(qv_grow(ctx, &t->files, &t->cap_files, t->n_files + 1, sizeof *t->files));
    QV_TRY(qv_strdup(ctx, &t->files[t->n_files].path, path));
    l->path = t->files[t->n_files].below = t->files[t->n_files].path + l->root;
    t->n_files++;
    for (int i = 0; i < t->n_names; i++) {
        free(l->given[i]);
        l->given[i] = NULL;
    }
    QV_TRY(take_groups(ctx, l->files, l->file_value, below, l->given));
    QV_TRY(read_text(ctx, l, path, &text, &size));
    if (l->line) {
        QV_TRY(read_lines(ctx, l, text));
    } else {
        char *taken = text; /* the reader of cells keeps it */
        text = NULL;
        QV_TRY(read_cells(ctx, l, taken, size));
    }
done:
    free(text);
    return status;
}

static int by_key(const void *a, const void *b)
{
    const qv_lookup_row *x = a, *y = b;
    int order = strcasecmp(x->key, y->key);
    if (order == 0) order = strcmp(x->file, y->file);
    return order ? order : x->line - y->line;
}

qv_status qv_lookup_read(qv_ctx *ctx, qv_lookup **out, const qv_lookup_rule *rule, const char *const *dirs,
                         size_t n_dirs)
{
    qv_status status = QV_OK;
    loader l = {0};
    *out = NULL;
    QV_TRY(qv_alloc(ctx, &l.t, 1, sizeof *l.t));
    l.t->rule = rule;
    QV_TRY(qv_pattern_new(ctx, &l.files, rule->files));
    if (rule->line) QV_TRY(qv_pattern_new(ctx, &l.line, rule->line));
    QV_TRY(name_values(ctx, &l));
    for (size_t i = 0; i < n_dirs; i++) {
        if (!dirs[i]) continue;
        l.root = qv_walk_root(dirs[i]);
        QV_TRY(qv_walk(ctx, dirs[i], visit, &l));
    }
    if (l.t->n) qsort(l.t->rows, l.t->n, sizeof *l.t->rows, by_key);
    *out = l.t;
    l.t = NULL;
done:
    if (l.t) qv_free_texts(l.given, (size_t)l.t->n_names);
    if (*out) qv_free_texts(l.given, (size_t)(*out)->n_names);
    free(l.file_value);
    free(l.line_value);
    for (size_t i = 0; i < l.n_seen; i++) free(l.seen[i].name);
    free(l.seen);
    qv_pattern_free(l.files);
    qv_pattern_free(l.line);
    qv_lookup_free(l.t);
    return status;
}

void qv_lookup_free(qv_lookup *t)
{
    if (!t) return;
    for (size_t i = 0; i < t->n; i++) {
        free(t->rows[i].key);
        qv_free_texts(t->rows[i].values, (size_t)t->n_names);
    }
    free(t->rows);
    qv_free_texts(t->names, (size_t)t->n_names);
    for (size_t i = 0; i < t->n_files; i++) free(t->files[i].path);
    free(t->files);
    free(t);
}

size_t qv_lookup_find(const qv_lookup *t, const char *key, size_t *first)
{
    size_t low = 0, high = t->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcasecmp(t->rows[middle].key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *first = low;
    while (low < t->n && strcasecmp(t->rows[low].key, key) == 0) low++;
    return low - *first;
}
