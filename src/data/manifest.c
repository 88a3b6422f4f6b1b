#include "data/manifest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/csv.h"
#include "base/io.h"
#include "base/nearest.h"
#include "base/order.h"
#include "data/labels.h"
#include "data/manifest_own.h"

const char *const qv_manifest_columns[QV_COLUMNS] = {
    [QV_COLUMN_FILE] = "file",     [QV_COLUMN_SPEAKER] = "speaker", [QV_COLUMN_EMOTION] = "emotion",
    [QV_COLUMN_GENDER] = "gender", [QV_COLUMN_SESSION] = "session", [QV_COLUMN_START] = "start",
    [QV_COLUMN_END] = "end",       [QV_COLUMN_CHANNEL] = "channel", [QV_COLUMN_SPLIT] = "split",
    [QV_COLUMN_FOLD] = "fold",     [QV_COLUMN_CORPUS] = "corpus",
};

/* The manifest and the capacities of its lists of items and, where they are added, of sources. */
typedef struct manifest_store {
    qv_manifest m;
    size_t cap, cap_sources;
} manifest_store;

char **qv_item_text(qv_item *item, int column)
{
    switch (column) {
    case QV_COLUMN_FILE:
        return &item->name;
    case QV_COLUMN_SPEAKER:
        return &item->speaker;
    case QV_COLUMN_EMOTION:
        return &item->emotion;
    case QV_COLUMN_GENDER:
        return &item->gender;
    case QV_COLUMN_SESSION:
        return &item->session;
    case QV_COLUMN_SPLIT:
        return &item->split;
    case QV_COLUMN_FOLD:
        return &item->fold;
    case QV_COLUMN_CORPUS:
        return &item->corpus;
    default:
        return NULL;
    }
}

bool qv_column_names(int column)
{
    return column == QV_COLUMN_SPEAKER || column == QV_COLUMN_EMOTION || column == QV_COLUMN_SESSION ||
           column == QV_COLUMN_GENDER || column == QV_COLUMN_SPLIT || column == QV_COLUMN_FOLD ||
           column == QV_COLUMN_CORPUS;
}

qv_status qv_check_name(qv_ctx *ctx, int column, const char *text)
{
    const char *name = qv_manifest_columns[column], *blank = qv_edge_blank(text);
    if (qv_has_control(text))
        return qv_fail(ctx, QV_ERR_DATA, "a control character in the name of the '%s'", name);
    if (!blank) return QV_OK;
    return qv_fail(ctx, QV_ERR_DATA, "the %s '%s' begins or ends with %s and would count as another; delete that", name,
                   text, blank);
}

static void free_item(qv_item *item, int n_extra)
{
    free(item->file);
    for (int c = 0; c < QV_COLUMNS; c++) {
        char **text = qv_item_text(item, c);
        if (text) free(*text);
    }
    qv_free_texts(item->extra, (size_t)n_extra);
}

static void forget_numbers(qv_manifest *m)
{
    qv_free_texts(m->classes, (size_t)m->n_classes);
    qv_free_texts(m->speakers, (size_t)m->n_speakers);
    m->classes = m->speakers = NULL;
    m->n_classes = m->n_speakers = 0;
}

void qv_manifest_free(qv_manifest *m)
{
    if (!m) return;
    for (size_t i = 0; i < m->n; i++) free_item(&m->items[i], m->n_extra);
    forget_numbers(m);
    qv_free_texts(m->extra, (size_t)m->n_extra);
    qv_free_texts(m->corpora, (size_t)m->n_corpora);
    qv_free_texts(m->sources, (size_t)m->n_sources);
    free(m->items);
    free(m->path);
    free(m);
}

qv_status qv_manifest_new(qv_ctx *ctx, qv_manifest **out)
{
    manifest_store *store;
    qv_status status = qv_alloc(ctx, &store, 1, sizeof *store);
    *out = status == QV_OK ? &store->m : NULL;
    return status;
}

qv_status qv_manifest_append(qv_ctx *ctx, qv_manifest *m, qv_item **item)
{
    manifest_store *store = (manifest_store *)m;
    qv_status status = qv_grow(ctx, &m->items, &store->cap, m->n + 1, sizeof *m->items);
    if (status != QV_OK) return status;
    *item = &m->items[m->n++];
    **item = (qv_item){.end = -1, .label = -1, .speaker_id = -1, .corpus_id = -1};
    return QV_OK;
}

qv_status qv_manifest_add_source(qv_ctx *ctx, qv_manifest *m, const char *path)
{
    manifest_store *store = (manifest_store *)m;
    const size_t n = (size_t)m->n_sources;
    qv_status status = qv_grow(ctx, &m->sources, &store->cap_sources, n + 1, sizeof *m->sources);
    if (status == QV_OK) status = qv_strdup(ctx, &m->sources[n], path);
    if (status == QV_OK) m->n_sources++;
    return status;
}

void qv_manifest_keep(qv_manifest *m, const bool *keep)
{
    size_t kept = 0;
    for (size_t i = 0; i < m->n; i++) {
        if (keep[i])
            m->items[kept++] = m->items[i];
        else
            free_item(&m->items[i], m->n_extra);
    }
    m->n = kept;
}

static qv_status copy_text(qv_ctx *ctx, char **out, const char *text)
{
    return text && text[0] ? qv_strdup(ctx, out, text) : QV_OK;
}

qv_status qv_manifest_add(qv_ctx *ctx, qv_manifest *m, const char *file, const char *name, const char *speaker,
                          const char *emotion, const char *gender)
{
    qv_status status = QV_OK;
    qv_item *item;
    QV_TRY(qv_manifest_append(ctx, m, &item));
    QV_TRY(qv_strdup(ctx, &item->file, file));
    QV_TRY(qv_strdup(ctx, &item->name, name));
    QV_TRY(qv_strdup(ctx, &item->speaker, speaker && speaker[0] ? speaker : QV_NO_SPEAKER));
    QV_TRY(copy_text(ctx, &item->emotion, emotion));
    QV_TRY(copy_text(ctx, &item->gender, gender));
done:
    return status;
}

static int find_text(char *const *list, int n, const char *text)
{
    char *const *hit = n > 0 ? bsearch(&text, list, (size_t)n, sizeof *list, qv_by_text) : NULL;
    return hit ? (int)(hit - list) : -1;
}

/* Sorted distinct values of a column; items without a value are passed over. */
static qv_status distinct(qv_ctx *ctx, const qv_manifest *m, int column, char ***out, int *n_out)
{
    qv_status status = QV_OK;
    char **texts = NULL, **names = NULL;
    size_t n = 0, n_names = 0;
    QV_TRY(qv_alloc(ctx, &texts, m->n, sizeof *texts));
    QV_TRY(qv_alloc(ctx, &names, m->n, sizeof *names));
    for (size_t i = 0; i < m->n; i++) {
        char *text = *qv_item_text(&m->items[i], column);
        if (text) texts[n++] = text;
    }
    qsort(texts, n, sizeof *texts, qv_by_text);
    for (size_t i = 0; i < n; i++) {
        if (i > 0 && strcmp(texts[i], texts[i - 1]) == 0) continue;
        QV_TRY(qv_strdup(ctx, &names[n_names], texts[i]));
        n_names++;
    }
    *out = names;
    *n_out = (int)n_names;
    names = NULL;
done:
    qv_free_texts(names, n_names);
    free(texts);
    return status;
}

/* Every name of the map must be an emotion of the manifest. */
static qv_status check_names(qv_ctx *ctx, const qv_label_map *map, char *const *emotions, int n)
{
    qv_status status = QV_OK;
    qv_buf found = {0};
    for (size_t i = 0; i < map->n; i++) {
        if (map->optional[i] || find_text(emotions, n, map->from[i]) >= 0) continue;
        const char *near = qv_nearest(map->from[i], (const char *const *)emotions, (size_t)n);
        for (int j = 0; j < n; j++) qv_buf_printf(&found, "%s%s", j ? ", " : "", emotions[j]);
        QV_TRY(qv_buf_check(ctx, &found));
        status = qv_fail(ctx, QV_ERR_USAGE, "labels: no recording has the emotion '%s'%s%s%s; found: %s", map->from[i],
                         near ? ", did you mean '" : "", near ? near : "", near ? "'?" : "", n ? found.data : "none");
        goto done;
    }
done:
    qv_buf_free(&found);
    return status;
}

static void say_dropped(qv_ctx *ctx, const qv_manifest *m, size_t dropped, const qv_label_map *map,
                        char *const *emotions, int n)
{
    qv_buf names = {0};
    for (int i = 0; i < n; i++) {
        if (qv_label_map_find(map, emotions[i]) < 0) qv_buf_printf(&names, "%s%s", names.len ? ", " : "", emotions[i]);
    }
    if (!names.failed && names.len) {
        qv_info(ctx, "%s: %zu recordings of other emotions left out (%s)", m->path ? m->path : "labels", dropped,
                names.data);
    }
    qv_buf_free(&names);
}

/* Renames emotions to their classes; drops what has none unless the options keep it. */
static qv_status relabel(qv_ctx *ctx, qv_manifest *m, const qv_label_map *map, bool keep, size_t *dropped)
{
    size_t kept = 0;
    *dropped = 0;
    for (size_t i = 0; i < m->n; i++) {
        qv_item *item = &m->items[i];
        int label = item->emotion ? qv_label_map_find(map, item->emotion) : -1;
        if (label < 0 && !keep) {
            free_item(item, m->n_extra);
            *item = (qv_item){0};
            (*dropped)++;
            continue;
        }
        m->items[kept] = *item;
        if (kept != i) *item = (qv_item){0};
        item = &m->items[kept++];
        item->label = label;
        if (label < 0) continue;
        char *name;
        qv_status status = qv_strdup(ctx, &name, map->classes[label]);
        if (status != QV_OK) return status;
        free(item->emotion);
        item->emotion = name;
    }
    m->n = kept;
    return QV_OK;
}

/* Classes that may be absent and are: nothing could be learned of them. */
static qv_status drop_absent(qv_ctx *ctx, qv_manifest *m)
{
    int *number, kept = 0;
    qv_buf names = {0};
    qv_status status = qv_alloc(ctx, &number, (size_t)m->n_classes, sizeof *number);
    if (status != QV_OK) return status;
    for (size_t i = 0; i < m->n; i++) {
        if (m->items[i].label >= 0) number[m->items[i].label] = 1;
    }
    for (int c = 0; c < m->n_classes; c++) {
        if (!number[c]) {
            qv_buf_printf(&names, "%s%s", names.len ? ", " : "", m->classes[c]);
            free(m->classes[c]);
            continue;
        }
        number[c] = kept;
        m->classes[kept++] = m->classes[c];
    }
    m->n_classes = kept;
    for (size_t i = 0; i < m->n; i++) {
        if (m->items[i].label >= 0) m->items[i].label = number[m->items[i].label];
    }
    if (names.len && !names.failed)
        qv_info(ctx, "%s: no recording of %s: not among the classes", m->path ? m->path : "labels", names.data);
    qv_buf_free(&names);
    free(number);
    return QV_OK;
}

/* The map's classes become the manifest's. */
static qv_status number_by_map(qv_ctx *ctx, qv_manifest *m, const qv_manifest_options *options, qv_label_map *map)
{
    qv_status status = QV_OK;
    char **emotions = NULL;
    int n = 0;
    size_t dropped;
    QV_TRY(distinct(ctx, m, QV_COLUMN_EMOTION, &emotions, &n));
    if (!options->allow_absent) QV_TRY(check_names(ctx, map, emotions, n));
    QV_TRY(relabel(ctx, m, map, options->keep_unlisted, &dropped));
    if (dropped) say_dropped(ctx, m, dropped, map, emotions, n);
    m->classes = map->classes;
    m->n_classes = map->n_classes;
    map->classes = NULL;
    if (!options->allow_absent) QV_TRY(drop_absent(ctx, m));
done:
    qv_free_texts(emotions, (size_t)n);
    return status;
}

static qv_status number_all(qv_ctx *ctx, qv_manifest *m)
{
    qv_status status = distinct(ctx, m, QV_COLUMN_EMOTION, &m->classes, &m->n_classes);
    if (status != QV_OK) return status;
    for (size_t i = 0; i < m->n; i++) {
        const char *emotion = m->items[i].emotion;
        m->items[i].label = emotion ? find_text(m->classes, m->n_classes, emotion) : -1;
    }
    return QV_OK;
}

/* map: NULL for all emotions that there are. */
static qv_status number(qv_ctx *ctx, qv_manifest *m, const qv_manifest_options *options, qv_label_map *map)
{
    qv_status status = QV_OK;
    forget_numbers(m);
    QV_TRY(map ? number_by_map(ctx, m, options, map) : number_all(ctx, m));
    if (options->need_emotion && m->n_classes > QV_MOST_CLASSES) {
        status = qv_fail(ctx, QV_ERR_DATA,
                         "%s: %d different emotions, at most %d are taken; is the column the right one? --labels selects some",
                         m->path ? m->path : "the manifest", m->n_classes, QV_MOST_CLASSES);
        goto done;
    }
    QV_TRY(distinct(ctx, m, QV_COLUMN_SPEAKER, &m->speakers, &m->n_speakers));
    for (size_t i = 0; i < m->n; i++) {
        m->items[i].speaker_id = find_text(m->speakers, m->n_speakers, m->items[i].speaker);
    }
done:
    return status;
}

qv_status qv_manifest_number(qv_ctx *ctx, qv_manifest *m, const qv_manifest_options *options)
{
    qv_label_map map = {0};
    qv_status status = options->labels ? qv_label_map_parse(ctx, &map, options->labels) : QV_OK;
    if (status == QV_OK) status = number(ctx, m, options, options->labels ? &map : NULL);
    qv_label_map_free(&map);
    return status;
}

qv_status qv_manifest_number_as(qv_ctx *ctx, qv_manifest *m, const qv_manifest_options *options, char *const *classes,
                                int n_classes)
{
    qv_label_map map = {0};
    qv_status status = qv_label_map_of(ctx, &map, classes, n_classes);
    if (status == QV_OK) status = number(ctx, m, options, &map);
    qv_label_map_free(&map);
    return status;
}

static int by_letters(const void *a, const void *b)
{
    int order = strcasecmp(*(char *const *)a, *(char *const *)b);
    return order ? order : qv_by_text(a, b);
}

static qv_status warn_of_like(qv_ctx *ctx, const qv_manifest *m, const char *what, char *const *names, int n)
{
    char **order;
    qv_status status = qv_alloc(ctx, &order, (size_t)n, sizeof *order);
    if (status != QV_OK) return status;
    memcpy(order, names, (size_t)n * sizeof *order);
    qsort(order, (size_t)n, sizeof *order, by_letters);
    for (int i = 1; i < n; i++) {
        if (strcasecmp(order[i - 1], order[i]) != 0) continue;
        qv_warn(ctx, "%s: '%s' and '%s' are two %s, though only the case of letters differs; if they are one, write it "
                "in one way", m->path, order[i - 1], order[i], what);
        break;
    }
    free(order);
    return QV_OK;
}

/* U+0300 to U+036F: accents that follow their letter, as some systems write the names of files. */
static bool has_combining(const char *s)
{
    for (; *s; s++) {
        const unsigned char a = (unsigned char)s[0], b = (unsigned char)s[1];
        if (a == 0xCC || (a == 0xCD && b < 0xB0)) return true;
    }
    return false;
}

/* U+00C0 to U+024F: letters with their accents. */
static bool has_composed(const char *s)
{
    for (; *s; s++) {
        const unsigned char a = (unsigned char)s[0], b = (unsigned char)s[1];
        if ((a == 0xC3 && b >= 0x80) || (a > 0xC3 && a < 0xC9) || (a == 0xC9 && b < 0x90)) return true;
    }
    return false;
}

static void warn_of_accents(qv_ctx *ctx, const qv_manifest *m, const char *what, char *const *names, int n)
{
    const char *apart = NULL, *together = NULL;
    for (int i = 0; i < n; i++) {
        if (!apart && has_combining(names[i])) apart = names[i];
        if (!together && has_composed(names[i])) together = names[i];
    }
    if (apart && together)
        qv_warn(ctx, "%s: among the %s, '%s' is written with accents as characters of their own and '%s' is not; one "
                     "name in both ways counts as two", m->path, what, apart, together);
}

qv_status qv_manifest_warn_of_like(qv_ctx *ctx, const qv_manifest *m)
{
    warn_of_accents(ctx, m, "speakers", m->speakers, m->n_speakers);
    warn_of_accents(ctx, m, "emotions", m->classes, m->n_classes);
    qv_status status = warn_of_like(ctx, m, "speakers", m->speakers, m->n_speakers);
    return status == QV_OK ? warn_of_like(ctx, m, "emotions", m->classes, m->n_classes) : status;
}

qv_status qv_manifest_check_classes(qv_ctx *ctx, const qv_manifest *m)
{
    if (m->n_classes >= 2) return QV_OK;
    return qv_fail(ctx, QV_ERR_USAGE,
                   "%s has recordings of %s%s alone; training tells two or more emotions apart: look at its column "
                   "emotion, and at what --labels selects",
                   m->path, m->n_classes ? "the emotion " : "no emotion", m->n_classes ? m->classes[0] : "");
}

qv_status qv_manifest_finish(qv_ctx *ctx, qv_manifest *m, const char *labels)
{
    qv_manifest_options options = {.labels = labels};
    return qv_manifest_number(ctx, m, &options);
}

static qv_status note_corpus(qv_ctx *ctx, qv_manifest *m, qv_item *item)
{
    for (int k = 0; k < m->n_corpora; k++) {
        if (strcmp(m->corpora[k], item->corpus) == 0) return (item->corpus_id = k), QV_OK;
    }
    if (m->n_corpora == QV_MOST_CORPORA)
        return qv_fail(ctx, QV_ERR_DATA, "%s: more than %d different values of 'corpus'; is the column the right one?",
                       m->path ? m->path : "the manifest", QV_MOST_CORPORA);
    qv_status status = qv_strdup(ctx, &m->corpora[m->n_corpora], item->corpus);
    if (status == QV_OK) item->corpus_id = m->n_corpora++;
    return status;
}

qv_status qv_manifest_corpora(qv_ctx *ctx, qv_manifest *m)
{
    qv_status status = QV_OK;
    qv_buf name = {0};
    QV_TRY(qv_alloc(ctx, &m->corpora, m->n, sizeof *m->corpora));
    for (size_t i = 0; i < m->n; i++) {
        if (m->items[i].corpus) QV_TRY(note_corpus(ctx, m, &m->items[i]));
    }
    for (size_t i = 0; i < m->n && m->n_corpora > 1; i++) {
        qv_item *item = &m->items[i];
        if (!item->corpus || strcmp(item->speaker, QV_NO_SPEAKER) == 0) continue;
        name.len = 0;
        qv_buf_printf(&name, "%s/%s", item->corpus, item->speaker);
        QV_TRY(qv_buf_check(ctx, &name));
        free(item->speaker);
        item->speaker = NULL;
        QV_TRY(qv_strdup(ctx, &item->speaker, name.data));
    }
done:
    qv_buf_free(&name);
    return status;
}

/* Real folder and own name: a link keeps its name. */
static qv_status absolute_path(qv_ctx *ctx, char **out, const char *file)
{
    qv_status status = QV_OK;
    char *dir = NULL, *real = NULL;
    QV_TRY(qv_path_dir(ctx, &dir, file));
    QV_TRY(qv_path_absolute(ctx, &real, dir));
    QV_TRY(qv_path_join(ctx, out, real, qv_path_base(file)));
done:
    free(dir);
    free(real);
    return status;
}

/* The way from the folder `from` to `to`, both absolute and without "..". */
static qv_status relative_path(qv_ctx *ctx, char **out, const char *from, const char *to)
{
    size_t common = 0, i = 0;
    qv_buf b = {0};
    for (; from[i] && from[i] == to[i]; i++) {
        if (from[i] == '/') common = i + 1;
    }
    if (from[i] == '\0' && to[i] == '/') common = i + 1;
    const char *rest = common <= i ? from + common : "";
    if (rest[0]) qv_buf_puts(&b, "../");
    for (; *rest; rest++) {
        if (*rest == '/') qv_buf_puts(&b, "../");
    }
    qv_buf_puts(&b, to + common);
    return qv_buf_take(ctx, &b, out);
}

/* Seconds to the nanosecond, as any locale reads them. */
static void format_time(char out[32], double seconds)
{
    long long ns = (long long)(seconds * 1e9 + 0.5);
    int n = snprintf(out, 32, "%lld.%09lld", ns / 1000000000, ns % 1000000000);
    while (n > 0 && out[n - 1] == '0') out[--n] = '\0';
    if (n > 0 && out[n - 1] == '.') out[n - 1] = '\0';
}

void qv_item_part(const qv_item *item, char cells[QV_PART_CELLS][32])
{
    for (int k = 0; k < QV_PART_CELLS; k++) cells[k][0] = '\0';
    if (item->start > 0) format_time(cells[0], item->start);
    if (item->end >= 0) format_time(cells[1], item->end);
    if (item->channel > 0) snprintf(cells[2], sizeof cells[2], "%d", item->channel);
}

bool qv_manifest_has_parts(const qv_manifest *m)
{
    for (size_t i = 0; i < m->n; i++)
        if (m->items[i].start > 0 || m->items[i].end >= 0 || m->items[i].channel > 0) return true;
    return false;
}

static bool column_used(const qv_manifest *m, int column)
{
    if (column <= QV_COLUMN_EMOTION) return true;
    for (size_t i = 0; i < m->n; i++) {
        qv_item *item = &m->items[i];
        char **text = qv_item_text(item, column);
        if (text && *text) return true;
        if (column == QV_COLUMN_START && item->start > 0) return true;
        if (column == QV_COLUMN_END && item->end >= 0) return true;
        if (column == QV_COLUMN_CHANNEL && item->channel > 0) return true;
    }
    return false;
}

static qv_status check_cell(qv_ctx *ctx, const qv_item *item, const char *column, const char *cell)
{
    if (!cell || qv_is_utf8(cell)) return QV_OK;
    return qv_fail(ctx, QV_ERR_DATA, "%s: the %s '%s' is not UTF-8, which a manifest must be; rename it", item->name,
                   column, cell);
}

/* What reading the manifest again would refuse, and by then with a line that nobody wrote. */
static qv_status check_row(qv_ctx *ctx, const qv_manifest *m, qv_item *item, const char *path)
{
    qv_status status = check_cell(ctx, item, qv_manifest_columns[QV_COLUMN_FILE], path);
    for (int c = QV_COLUMN_SPEAKER; status == QV_OK && c < QV_COLUMNS; c++) {
        char **text = qv_item_text(item, c);
        if (!text || !*text) continue;
        status = check_cell(ctx, item, qv_manifest_columns[c], *text);
        if (status != QV_OK || !qv_column_names(c)) continue;
        status = qv_check_name(ctx, c, *text);
        if (status != QV_OK) qv_fail_prefix(ctx, status, "%s", item->name);
    }
    for (int i = 0; status == QV_OK && i < m->n_extra; i++) status = check_cell(ctx, item, m->extra[i], item->extra[i]);
    return status;
}

static qv_status write_row(qv_ctx *ctx, qv_buf *b, const qv_manifest *m, qv_item *item, const char *base,
                           const bool *used)
{
    const char *cells[QV_CSV_MAX_CELLS + QV_COLUMNS];
    char numbers[QV_PART_CELLS][32];
    char *absolute = NULL, *relative = NULL;
    size_t n = 0;
    qv_status status = QV_OK;
    QV_TRY(absolute_path(ctx, &absolute, item->file));
    if (base) QV_TRY(relative_path(ctx, &relative, base, absolute));
    QV_TRY(check_row(ctx, m, item, base ? relative : absolute));
    qv_item_part(item, numbers);
    for (int c = 0; c < QV_COLUMNS; c++) {
        if (!used[c]) continue;
        char **text = qv_item_text(item, c);
        cells[n++] = text ? *text : numbers[c - QV_COLUMN_START];
    }
    cells[QV_COLUMN_FILE] = base ? relative : absolute;
    if (strcmp(item->speaker, QV_NO_SPEAKER) == 0) cells[QV_COLUMN_SPEAKER] = "";
    for (int i = 0; i < m->n_extra; i++) cells[n++] = item->extra ? item->extra[i] : NULL;
    qv_csv_write(b, cells, n);
done:
    free(absolute);
    free(relative);
    return status;
}

static qv_status format_manifest(qv_ctx *ctx, qv_buf *b, const qv_manifest *m, const char *base)
{
    const char *header[QV_CSV_MAX_CELLS + QV_COLUMNS];
    bool used[QV_COLUMNS];
    size_t n = 0;
    qv_status status = QV_OK;
    for (int c = 0; c < QV_COLUMNS; c++) {
        used[c] = column_used(m, c);
        if (used[c]) header[n++] = qv_manifest_columns[c];
    }
    for (int i = 0; i < m->n_extra; i++) header[n++] = m->extra[i];
    qv_csv_write(b, header, n);
    for (size_t i = 0; i < m->n; i++) QV_TRY(write_row(ctx, b, m, &m->items[i], base, used));
    QV_TRY(qv_buf_check(ctx, b));
done:
    return status;
}

qv_status qv_manifest_write(qv_ctx *ctx, const qv_manifest *m, const char *path, FILE *f)
{
    qv_status status = QV_OK;
    qv_buf b = {0};
    char *dir = NULL, *base = NULL;
    if (path) {
        QV_TRY(qv_path_dir(ctx, &dir, path));
        QV_TRY(qv_path_absolute(ctx, &base, dir));
    }
    QV_TRY(format_manifest(ctx, &b, m, base));
    if (path) {
        status = qv_write_file(ctx, path, b.data, b.len);
    } else if (fwrite(b.data, 1, b.len, f) != b.len || fflush(f) != 0) {
        status = qv_fail_errno(ctx, "cannot write the manifest");
    }
done:
    qv_buf_free(&b);
    free(dir);
    free(base);
    return status;
}
