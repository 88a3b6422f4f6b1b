/* A manifest from its file, or from several: every complaint names the line. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include <xxhash.h>

#include "base/buf.h"
#include "base/csv.h"
#include "base/io.h"
#include "base/nearest.h"
#include "data/images.h"
#include "data/manifest_own.h"

enum { QV_MANIFEST_MAX_BYTES = 1 << 28 };

typedef struct reader {
    qv_csv csv;
    const char *path;
    char *dir;
    const qv_manifest_options *options;
    size_t n_cells;
    int column[QV_CSV_MAX_CELLS]; /* meaning of each cell, -1: an extra one */
    int cell_of[QV_COLUMNS];      /* cell of each meaning, -1: absent */
    size_t missing;               /* files that are not there */
    qv_buf first;                 /* of them */
} reader;

static qv_status fail_at(qv_ctx *ctx, const reader *r, const char *what, const char *text)
{
    return qv_fail(ctx, QV_ERR_DATA, "%s:%d: %s%s%s%s", r->path, r->csv.row_line, what, text ? " '" : "",
                   text ? text : "", text ? "'" : "");
}

static int column_named(const char *name)
{
    for (int c = 0; c < QV_COLUMNS; c++) {
        if (strcmp(name, qv_manifest_columns[c]) == 0) return c;
    }
    return -1;
}

static qv_status fail_missing(qv_ctx *ctx, const reader *r, const char *name)
{
    const char *near = qv_nearest(name, (const char *const *)r->csv.cells, r->csv.n);
    const char *separators = r->csv.n == 1 && strpbrk(r->csv.cells[0], ";\t") ? "; cells are separated by commas" : "";
    return qv_fail(ctx, QV_ERR_DATA, "%s:%d: no column '%s'%s%s%s; the first line must name %s%s", r->path,
                   r->csv.row_line, name, near ? " (is '" : "", near ? near : "", near ? "' meant?)" : "",
                   r->options->need_emotion ? "file,speaker,emotion" : "file", separators);
}

/* "Split" or " split" would be a column like any that nobody asks for, and another split than was meant. */
static qv_status refuse_likes(qv_ctx *ctx, const reader *r)
{
    for (size_t i = 0; i < r->n_cells; i++) {
        const char *name = r->csv.cells[i] + strspn(r->csv.cells[i], " \t");
        for (int c = 0; c < QV_COLUMNS && r->column[i] < 0; c++) {
            const size_t n = strlen(qv_manifest_columns[c]);
            if (r->cell_of[c] >= 0 || strncasecmp(name, qv_manifest_columns[c], n) != 0) continue;
            if (name[n + strspn(name + n, " \t")]) continue;
            return qv_fail(ctx, QV_ERR_DATA, "%s:%d: the column '%s' would not be understood; write '%s', or rename it",
                           r->path, r->csv.row_line, r->csv.cells[i], qv_manifest_columns[c]);
        }
    }
    return QV_OK;
}

static qv_status keep_extra(qv_ctx *ctx, qv_manifest *m, const char *name)
{
    qv_status status = qv_strdup(ctx, &m->extra[m->n_extra], name);
    if (status == QV_OK) m->n_extra++;
    return status;
}

static qv_status read_header(qv_ctx *ctx, reader *r, qv_manifest *m)
{
    qv_status status = QV_OK;
    bool more;
    QV_TRY(qv_csv_next(ctx, &r->csv, &more));
    if (!more) {
        status = qv_fail(ctx, QV_ERR_DATA, "%s: empty; the first line must name file,speaker,emotion", r->path);
        goto done;
    }
    for (int c = 0; c < QV_COLUMNS; c++) r->cell_of[c] = -1;
    r->n_cells = r->csv.n;
    QV_TRY(qv_alloc(ctx, &m->extra, r->n_cells, sizeof *m->extra));
    for (size_t i = 0; i < r->n_cells; i++) {
        const char *name = r->csv.cells[i];
        for (size_t j = 0; j < i; j++) {
            if (name[0] && strcmp(name, r->csv.cells[j]) == 0) {
                status = fail_at(ctx, r, "two columns have the name", name);
                goto done;
            }
        }
        r->column[i] = column_named(name);
        if (r->column[i] >= 0)
            r->cell_of[r->column[i]] = (int)i;
        else
            QV_TRY(keep_extra(ctx, m, name));
    }
    int required = r->options->need_emotion ? QV_COLUMN_EMOTION : QV_COLUMN_FILE;
    for (int c = QV_COLUMN_FILE; c <= required; c++) {
        if (r->cell_of[c] < 0) {
            status = fail_missing(ctx, r, qv_manifest_columns[c]);
            goto done;
        }
    }
    status = refuse_likes(ctx, r);
done:
    return status;
}

/* Digits with at most one point among them. The quotient of two exactly held numbers is rounded
 * once, so that 15 digits are read as well as strtod reads them, and in every locale. */
bool qv_parse_time(const char *s, double *out)
{
    double digits = 0, scale = 1;
    int kept = 0, seen = 0;
    bool fraction = false;
    for (; *s; s++) {
        if (*s == '.' && !fraction) {
            fraction = true;
            continue;
        }
        if (*s < '0' || *s > '9' || ++seen > 64) return false;
        if (kept >= 15) {
            if (!fraction) return false;
            continue;
        }
        digits = digits * 10 + (*s - '0');
        if (digits > 0) kept++;
        if (fraction) scale *= 10;
    }
    *out = digits / scale;
    return seen > 0 && *out <= QV_TIME_MAX;
}

static qv_status read_times(qv_ctx *ctx, const reader *r, qv_item *item)
{
    int start = r->cell_of[QV_COLUMN_START], end = r->cell_of[QV_COLUMN_END];
    const char *start_text = start >= 0 ? r->csv.cells[start] : "";
    const char *end_text = end >= 0 ? r->csv.cells[end] : "";
    if (start_text[0] && !qv_parse_time(start_text, &item->start)) {
        return fail_at(ctx, r, "start must be seconds, such as 1.25, not", start_text);
    }
    if (end_text[0] && !qv_parse_time(end_text, &item->end)) {
        return fail_at(ctx, r, "end must be seconds, such as 1.25, or empty, not", end_text);
    }
    if (item->end >= 0 && item->end <= item->start) return fail_at(ctx, r, "the end is not after the start:", end_text);
    return QV_OK;
}

static qv_status read_channel(qv_ctx *ctx, const reader *r, qv_item *item)
{
    int cell = r->cell_of[QV_COLUMN_CHANNEL];
    const char *text = cell >= 0 ? r->csv.cells[cell] : "";
    size_t n = strlen(text);
    if (n == 0) return QV_OK;
    item->channel = n < 4 && strspn(text, "0123456789") == n ? (int)strtol(text, NULL, 10) : 0;
    if (item->channel > 0) return QV_OK;
    return fail_at(ctx, r, "channel must be a number from 1, or empty for the average of all, not", text);
}

/* Opens nothing, but the file must be there, unless the options take it as it is: who has many to look for is told at
 * once how many. */
static qv_status find_recording(qv_ctx *ctx, reader *r, qv_item *item)
{
    struct stat st;
    if (stat(item->file, &st) != 0) {
        if (r->options->allow_missing || r->missing++ > 0) return QV_OK;
        qv_buf_printf(&r->first, "%s:%d: cannot find %s: %s", r->path, r->csv.row_line, item->file, strerror(errno));
        return QV_OK;
    }
    if (S_ISDIR(st.st_mode)) return fail_at(ctx, r, "a folder, a recording was expected:", item->file);
    item->device = (uint64_t)st.st_dev;
    item->inode = (uint64_t)st.st_ino;
    return QV_OK;
}

static qv_status fill_item(qv_ctx *ctx, reader *r, const qv_manifest *m, qv_item *item)
{
    qv_status status = QV_OK;
    int extra = 0;
    item->line = r->csv.row_line;
    QV_TRY(qv_alloc(ctx, &item->extra, (size_t)m->n_extra, sizeof *item->extra));
    for (size_t i = 0; i < r->n_cells; i++) {
        const char *cell = r->csv.cells[i];
        char **text = r->column[i] < 0 ? &item->extra[extra++] : qv_item_text(item, r->column[i]);
        if (qv_column_names(r->column[i]) && (status = qv_check_name(ctx, r->column[i], cell)) != QV_OK) {
            qv_fail_prefix(ctx, status, "%s:%d", r->path, r->csv.row_line);
            goto done;
        }
        if (text && (cell[0] || r->column[i] < 0)) QV_TRY(qv_strdup(ctx, text, cell));
    }
    if (!item->speaker) QV_TRY(qv_strdup(ctx, &item->speaker, QV_NO_SPEAKER));
    if (!item->name) {
        status = fail_at(ctx, r, "the file cell is empty", NULL);
        goto done;
    }
    if (!item->emotion && r->options->need_emotion) {
        status = fail_at(ctx, r, "the emotion cell is empty", NULL);
        goto done;
    }
    QV_TRY(read_times(ctx, r, item));
    QV_TRY(read_channel(ctx, r, item));
    QV_TRY(qv_path_join(ctx, &item->file, r->dir, item->name));
    QV_TRY(find_recording(ctx, r, item));
done:
    return status;
}

static qv_status read_rows(qv_ctx *ctx, reader *r, qv_manifest *m)
{
    qv_status status = QV_OK;
    for (;;) {
        bool more;
        qv_item *item;
        QV_TRY(qv_csv_next(ctx, &r->csv, &more));
        if (!more) break;
        if (r->csv.n != r->n_cells) {
            status = qv_fail(ctx, QV_ERR_DATA, "%s:%d: %zu cells where the header has %zu", r->path, r->csv.row_line,
                             r->csv.n, r->n_cells);
            goto done;
        }
        QV_TRY(qv_manifest_append(ctx, m, &item));
        QV_TRY(fill_item(ctx, r, m, item));
    }
    if (m->n == 0) status = qv_fail(ctx, QV_ERR_DATA, "%s: a header and no recordings", r->path);
    if (r->missing == 0) goto done;
    QV_TRY(qv_buf_check(ctx, &r->first));
    status = r->missing == 1
                 ? qv_fail(ctx, QV_ERR_DATA, "%s", r->first.data)
                 : qv_fail(ctx, QV_ERR_DATA, "%s; nor the files of %zu other rows", r->first.data, r->missing - 1);
done:
    qv_buf_free(&r->first);
    return status;
}

static int ascending(double x, double y) { return (x > y) - (x < y); }

/* Which recording a row means, whatever its path looks like. */
static int compare_recordings(const qv_item *x, const qv_item *y)
{
    if (x->device != y->device) return x->device < y->device ? -1 : 1;
    if (x->inode != y->inode) return x->inode < y->inode ? -1 : 1;
    int order = x->inode ? 0 : strcmp(x->file, y->file); /* of files that are missing there is nothing but the name */
    if (order == 0) order = ascending(x->start, y->start);
    if (order == 0) order = ascending(x->end, y->end);
    return order ? order : x->channel - y->channel;
}

/* Equal ones in the order of the rows, which lie in one array. */
static int by_recording(const void *a, const void *b)
{
    const qv_item *x = *(const qv_item *const *)a, *y = *(const qv_item *const *)b;
    int order = compare_recordings(x, y);
    return order ? order : (x > y) - (x < y);
}

static qv_status fail_again(qv_ctx *ctx, char *const *paths, const qv_item *again, const qv_item *first)
{
    bool elsewhere = again->source != first->source;
    return qv_fail(ctx, QV_ERR_DATA, "%s:%d: %s stands already in line %d%s%s; delete one of the two",
                   paths[again->source], again->line, again->name, first->line, elsewhere ? " of " : "",
                   elsewhere ? paths[first->source] : "");
}

/* Names the first row, in the order of paths[source], that repeats another: within a list it would count twice, in two
 * lists train in one corpus and be tested in the other. */
static qv_status refuse_duplicates(qv_ctx *ctx, const qv_manifest *m, char *const *paths)
{
    const qv_item **order, *first = NULL, *again = NULL;
    qv_status status = qv_alloc(ctx, &order, m->n, sizeof *order);
    if (status != QV_OK) return status;
    for (size_t i = 0; i < m->n; i++) order[i] = &m->items[i];
    qsort(order, m->n, sizeof *order, by_recording);
    for (size_t i = 1; i < m->n; i++) {
        if (compare_recordings(order[i - 1], order[i]) != 0 || (again && again < order[i])) continue;
        first = order[i - 1];
        again = order[i];
    }
    free(order);
    return again ? fail_again(ctx, paths, again, first) : QV_OK;
}

static qv_status read_table(qv_ctx *ctx, reader *r, qv_manifest *m)
{
    qv_status status = QV_OK;
    char *text;
    size_t size;
    QV_TRY(qv_strdup(ctx, &m->path, r->path));
    QV_TRY(qv_path_dir(ctx, &r->dir, r->path));
    QV_TRY(qv_read_file(ctx, r->path, QV_MANIFEST_MAX_BYTES, &text, &size));
    QV_TRY(qv_csv_open(ctx, &r->csv, r->path, text, size));
    QV_TRY(read_header(ctx, r, m));
    QV_TRY(read_rows(ctx, r, m));
    QV_TRY(refuse_duplicates(ctx, m, &m->path));
    m->hash = qv_manifest_hash_rows(m);
done:
    return status;
}

/* The rows as they are: nothing is numbered. */
static qv_status read_raw(qv_ctx *ctx, qv_manifest **out, const char *path, const qv_manifest_options *options)
{
    qv_status status = QV_OK;
    qv_manifest *m = NULL;
    reader *r = NULL;
    *out = NULL;
    if (qv_is_dir(path)) return qv_images_manifest(ctx, out, path);
    QV_TRY(qv_alloc(ctx, &r, 1, sizeof *r));
    r->path = path;
    r->options = options;
    QV_TRY(qv_manifest_new(ctx, &m));
    QV_TRY(read_table(ctx, r, m));
    *out = m;
    m = NULL;
done:
    qv_manifest_free(m);
    if (r) {
        qv_csv_close(&r->csv);
        free(r->dir);
    }
    free(r);
    return status;
}

static void hash_labels(qv_manifest *m, const char *labels)
{
    if (labels) m->hash = XXH3_64bits_withSeed(labels, strlen(labels), m->hash);
}

qv_status qv_manifest_read(qv_ctx *ctx, qv_manifest **out, const char *path, const qv_manifest_options *options)
{
    qv_status status = QV_OK;
    qv_manifest *m = NULL;
    *out = NULL;
    QV_TRY(read_raw(ctx, &m, path, options));
    QV_TRY(qv_manifest_corpora(ctx, m));
    QV_TRY(qv_manifest_number(ctx, m, options));
    QV_TRY(qv_manifest_warn_of_like(ctx, m));
    hash_labels(m, options->labels);
    *out = m;
    m = NULL;
done:
    qv_manifest_free(m);
    return status;
}

/* A text cut at each `separator`, blanks around the parts gone. */
static qv_status split_text(qv_ctx *ctx, char ***out, int *n, const char *text, char separator)
{
    qv_status status = QV_OK;
    size_t most = 1;
    for (const char *s = text; *s; s++) most += *s == separator;
    *n = 0;
    QV_TRY(qv_alloc(ctx, out, most, sizeof **out));
    for (const char *s = text, *end; s; s = end ? end + 1 : NULL) {
        end = strchr(s, separator);
        size_t from = strspn(s, " "), to = end ? (size_t)(end - s) : strlen(s);
        while (to > from && s[to - 1] == ' ') to--;
        QV_TRY(qv_strndup(ctx, &(*out)[*n], s + from, from < to ? to - from : 0));
        ++*n;
    }
done:
    return status;
}

/* Several manifests on their way into one. */
typedef struct gathering {
    qv_manifest *all;
    char **paths, **labels; /* [n], [n_labels] */
    int n, n_labels;
    uint64_t *hashes; /* [n] */
    char **classes;   /* [n_classes] of those gathered so far */
    int n_classes;
    size_t cap_classes;
} gathering;

const char *qv_corpus_name(const char *path, size_t *n)
{
    const char *base = qv_path_base(path), *dot = strrchr(base, '.');
    *n = dot && dot > base ? (size_t)(dot - base) : strlen(base);
    return base;
}

static qv_status check_corpus_name(qv_ctx *ctx, const gathering *g, const qv_manifest *m, const char *name, size_t n)
{
    if (qv_has_control(name) || qv_utf8_check(name, n) != n)
        return qv_fail(ctx, QV_ERR_DATA, "%s: its name is that of its corpus, and no text; rename it, or give it a column `corpus`",
                       m->path);
    for (size_t j = 0; j < g->all->n; j++) {
        const char *taken = g->all->items[j].corpus;
        if (strlen(taken) != n || memcmp(taken, name, n) != 0) continue;
        return qv_fail(
            ctx, QV_ERR_DATA,
            "%s: there is a corpus %s already, from %s; rename one of the files, or give it a column `corpus`",
            m->path, taken, g->paths[g->all->items[j].source]);
    }
    return QV_OK;
}

/* Of rows that do not say their corpus: that of their file. */
static qv_status fill_corpus(qv_ctx *ctx, const gathering *g, qv_manifest *m)
{
    size_t n;
    const char *name = qv_corpus_name(m->path, &n);
    bool checked = false;
    qv_status status = QV_OK;
    for (size_t i = 0; i < m->n; i++) {
        if (m->items[i].corpus) continue;
        if (!checked) QV_TRY(check_corpus_name(ctx, g, m, name, n));
        checked = true;
        QV_TRY(qv_strndup(ctx, &m->items[i].corpus, name, n));
    }
done:
    return status;
}

/* Columns that are not understood differ between manifests. */
static void drop_extra(qv_manifest *m)
{
    for (size_t i = 0; i < m->n; i++) {
        qv_free_texts(m->items[i].extra, (size_t)m->n_extra);
        m->items[i].extra = NULL;
    }
    qv_free_texts(m->extra, (size_t)m->n_extra);
    m->extra = NULL;
    m->n_extra = 0;
}

static qv_status move_items(qv_ctx *ctx, gathering *g, qv_manifest *m, int source)
{
    for (size_t i = 0; i < m->n; i++) {
        qv_item *item;
        qv_status status = qv_manifest_append(ctx, g->all, &item);
        if (status != QV_OK) return status;
        *item = m->items[i];
        item->source = source;
        m->items[i] = (qv_item){0};
    }
    return QV_OK;
}

static qv_status note_class(qv_ctx *ctx, gathering *g, const char *name)
{
    qv_status status = QV_OK;
    for (int c = 0; c < g->n_classes; c++)
        if (strcmp(g->classes[c], name) == 0) return QV_OK;
    QV_TRY(qv_grow(ctx, &g->classes, &g->cap_classes, (size_t)g->n_classes + 1, sizeof *g->classes));
    QV_TRY(qv_strdup(ctx, &g->classes[g->n_classes], name));
    g->n_classes++;
done:
    return status;
}

/* The union of the manifests' classes belongs to the hash, as one text of labels does. */
static qv_status number_classes(qv_ctx *ctx, const gathering *g, const qv_manifest_options *options)
{
    qv_buf text = {0};
    qv_status status = QV_OK;
    QV_TRY(qv_manifest_number_as(ctx, g->all, options, g->classes, g->n_classes));
    for (int c = 0; c < g->n_classes; c++) qv_buf_printf(&text, "%s%s", c ? "," : "", g->classes[c]);
    QV_TRY(qv_buf_check(ctx, &text));
    hash_labels(g->all, text.data);
done:
    qv_buf_free(&text);
    return status;
}

/* With labels of its own a manifest gets its classes now; their names are then those of the whole. */
static qv_status gather(qv_ctx *ctx, gathering *g, int k, const qv_manifest_options *options)
{
    qv_status status = QV_OK;
    qv_manifest *m = NULL;
    qv_manifest_options own = *options;
    own.labels = g->n_labels > 1 && g->labels[k][0] ? g->labels[k] : NULL;
    QV_TRY(read_raw(ctx, &m, g->paths[k], &own));
    if (m->images) {
        status = qv_fail(ctx, QV_ERR_USAGE, "%s is a folder of images, which are trained on alone", g->paths[k]);
        goto done;
    }
    hash_labels(m, own.labels);
    g->hashes[k] = m->hash;
    if (g->n_labels > 1) {
        QV_TRY(qv_manifest_number(ctx, m, &own));
        for (int c = 0; c < m->n_classes; c++) QV_TRY(note_class(ctx, g, m->classes[c]));
    }
    drop_extra(m);
    QV_TRY(fill_corpus(ctx, g, m));
    QV_TRY(move_items(ctx, g, m, k));
done:
    qv_manifest_free(m);
    return status;
}

static qv_status check_labels(qv_ctx *ctx, const gathering *g, const qv_manifest_options *options, int manifests)
{
    if (g->n_labels <= 1 || g->n_labels == manifests) return QV_OK;
    return qv_fail(ctx, QV_ERR_USAGE, "labels '%s': %d lists for %d manifest%s; give one for all, or one for each",
                   options->labels, g->n_labels, manifests, manifests > 1 ? "s" : "");
}

static qv_status gather_all(qv_ctx *ctx, gathering *g, const char *paths, const qv_manifest_options *options)
{
    qv_status status = QV_OK;
    QV_TRY(qv_alloc(ctx, &g->hashes, (size_t)g->n, sizeof *g->hashes));
    QV_TRY(qv_manifest_new(ctx, &g->all));
    QV_TRY(qv_strdup(ctx, &g->all->path, paths));
    for (int k = 0; k < g->n; k++) QV_TRY(gather(ctx, g, k, options));
    QV_TRY(qv_manifest_corpora(ctx, g->all));
    g->all->hash = XXH3_64bits(g->hashes, (size_t)g->n * sizeof *g->hashes);
    if (g->n_labels > 1) {
        QV_TRY(number_classes(ctx, g, options));
    } else {
        QV_TRY(qv_manifest_number(ctx, g->all, options));
        hash_labels(g->all, options->labels);
    }
    QV_TRY(qv_manifest_warn_of_like(ctx, g->all));
    QV_TRY(refuse_duplicates(ctx, g->all, g->paths));
    g->all->sources = g->paths;
    g->all->n_sources = g->n;
    g->paths = NULL;
done:
    return status;
}

qv_status qv_manifest_read_list(qv_ctx *ctx, qv_manifest **out, const char *paths, const qv_manifest_options *options)
{
    qv_status status = QV_OK;
    gathering g = {0};
    *out = NULL;
    if (options->labels) QV_TRY(split_text(ctx, &g.labels, &g.n_labels, options->labels, '|'));
    if (qv_path_exists(paths) || !strchr(paths, ',')) {
        QV_TRY(check_labels(ctx, &g, options, 1));
        status = qv_manifest_read(ctx, out, paths, options);
        goto done;
    }
    QV_TRY(split_text(ctx, &g.paths, &g.n, paths, ','));
    QV_TRY(check_labels(ctx, &g, options, g.n));
    QV_TRY(gather_all(ctx, &g, paths, options));
    *out = g.all;
    g.all = NULL;
done:
    qv_free_texts(g.paths, (size_t)g.n);
    qv_free_texts(g.labels, (size_t)g.n_labels);
    free(g.hashes);
    qv_free_texts(g.classes, (size_t)g.n_classes);
    qv_manifest_free(g.all);
    return status;
}
