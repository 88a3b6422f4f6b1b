#include "data/corpus_report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/hash.h"
#include "base/io.h"
#include "data/manifest_own.h"

enum { QV_LIST_MAX = 20, QV_TABLE_MAX = 100, QV_LFS_MAX = 1024 };

void qv_corpus_report_free(qv_corpus_report *r)
{
    qv_free_texts(r->unknown, r->n_unknown);
    free(r->unlabelled_name);
    qv_buf_free(&r->text);
    *r = (qv_corpus_report){0};
}

static size_t count_emotion(const qv_manifest *m, const char *name, size_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < m->n; i++) {
        const char *emotion = m->items[i].emotion;
        count += emotion && strlen(emotion) == n && memcmp(emotion, name, n) == 0;
    }
    return count;
}

static bool names_word(const char *words, const char *word, size_t n)
{
    for (const char *s = words; s && *s; s += strspn(s, " ")) {
        size_t length = strcspn(s, " ");
        if (length == n && memcmp(s, word, n) == 0) return true;
        s += length;
    }
    return false;
}

/* Adds "anger 120 of 127" for each emotion that differs; true where none does. Without `part` all emotions count. */
static bool compare_emotions(const char *counts, const qv_manifest *m, const char *part, qv_buf *differences,
                             size_t *total)
{
    bool same = true;
    *total = 0;
    for (const char *s = counts; *s; s += strspn(s, " ")) {
        size_t n = strcspn(s, "="), expected = strtoul(s + n + 1, NULL, 10), found = count_emotion(m, s, n);
        if (part && !names_word(part, s, n)) expected = 0;
        *total += expected;
        if (found != expected) {
            qv_buf_printf(differences, "%s%.*s %zu of %zu", same ? "" : ", ", (int)n, s, found, expected);
            same = false;
        }
        s += strcspn(s, " ");
    }
    return same;
}

static void say_unknown(qv_corpus_report *r)
{
    if (r->n_unknown == 0) return;
    qv_buf_printf(&r->text, "not understood: %zu names\n", r->n_unknown);
    for (size_t i = 0; i < r->n_unknown && i < QV_LIST_MAX; i++) qv_buf_printf(&r->text, "  %s\n", r->unknown[i]);
    if (r->n_unknown > QV_LIST_MAX) qv_buf_printf(&r->text, "  and %zu more\n", r->n_unknown - QV_LIST_MAX);
}

/* Emotions of a well-known part, and how many recordings they have together. */
static size_t count_part(const qv_manifest *m, const char *part)
{
    size_t total = 0;
    for (const char *s = part; *s; s += strspn(s, " ")) {
        size_t n = strcspn(s, " ");
        total += count_emotion(m, s, n);
        s += n;
    }
    return total;
}

static bool is_edition(const char *counts, int speakers, const char *part, const qv_manifest *m)
{
    qv_buf rest = {0};
    size_t total;
    bool same = counts && (speakers == 0 || speakers == m->n_speakers) && compare_emotions(counts, m, part, &rest, &total);
    qv_buf_free(&rest);
    return same;
}

static void say_expected(qv_corpus_report *r, const qv_recipe *recipe, const qv_manifest *m)
{
    qv_buf differences = {0};
    size_t total;
    bool same = compare_emotions(recipe->expected, m, NULL, &differences, &total);
    bool all = is_edition(recipe->expected, recipe->speakers, NULL, m) ||
               is_edition(recipe->also_expected, recipe->also_speakers, NULL, m);
    bool part = !all && recipe->part && is_edition(recipe->expected, recipe->speakers, recipe->part, m);
    r->complete = all || part;
    if (all) qv_buf_printf(&r->text, "as expected: all %zu recordings of %d speakers\n", r->found, m->n_speakers);
    if (all && recipe->part)
        qv_buf_printf(&r->text, "of these, %s: %zu recordings\n", recipe->part, count_part(m, recipe->part));
    if (part)
        qv_buf_printf(&r->text, "as expected: the %zu recordings of %s, out of %zu\n", r->found, recipe->part, total);
    if (!r->complete)
        qv_buf_printf(&r->text, "NOT AS EXPECTED: %zu recordings of %d speakers, the corpus has %zu of %d%s%s\n",
                      r->found, m->n_speakers, total, recipe->speakers, same ? "" : ": ", same ? "" : differences.data);
    r->text.failed |= differences.failed;
    qv_buf_free(&differences);
}

/* Of corpora whose classes nobody has counted. */
static void say_number(qv_corpus_report *r, const qv_recipe *recipe, const qv_manifest *m)
{
    r->complete = r->found == recipe->recordings && (recipe->speakers == 0 || recipe->speakers == m->n_speakers);
    qv_buf_printf(&r->text, "%s: %zu recordings of %d speakers, the corpus has %zu",
                  r->complete ? "as expected" : "NOT AS EXPECTED", r->found, m->n_speakers, recipe->recordings);
    if (recipe->speakers) qv_buf_printf(&r->text, " of %d", recipe->speakers);
    qv_buf_puts(&r->text, "\n");
}

static void say_left_out(qv_corpus_report *r, const qv_recipe *recipe)
{
    for (int k = 0; k < QV_LEFT_OUT_MAX; k++) {
        if (r->left_out[k] > 0)
            qv_buf_printf(&r->text, "left out: %zu recordings, %s\n", r->left_out[k], recipe->left_out[k].why);
    }
    if (r->undecided) qv_buf_printf(&r->text, "left out: %zu recordings, whose raters do not agree on one label\n", r->undecided);
    if (r->unlabelled)
        qv_buf_printf(&r->text, "without a label: %zu recordings, such as %s\n", r->unlabelled, r->unlabelled_name);
}

qv_status qv_corpus_compare(qv_ctx *ctx, qv_corpus_report *r, const qv_recipe *recipe, const qv_manifest *m,
                            const char *dir)
{
    qv_buf_printf(&r->text, "%s\n%zu recordings in %s", recipe->title, r->found, dir);
    if (r->other_part)
        qv_buf_printf(&r->text, ", %zu of other parts left out (taken: %s)", r->other_part, recipe->keep);
    if (r->no_audio) qv_buf_printf(&r->text, ", %zu files of other kinds", r->no_audio);
    qv_buf_puts(&r->text, "\n");
    say_left_out(r, recipe);
    if (recipe->expected) say_expected(r, recipe, m);
    if (recipe->recordings) say_number(r, recipe, m);
    say_unknown(r);
    return qv_buf_check(ctx, &r->text);
}

qv_status qv_corpus_labels(qv_ctx *ctx, qv_corpus_report *r, const qv_lookup *t)
{
    size_t unused = 0;
    const qv_lookup_row *first = NULL;
    if (t->n_files == 0) {
        qv_buf_printf(&r->text, "not found: %s\n", t->rule->what);
        return qv_buf_check(ctx, &r->text);
    }
    qv_buf_printf(&r->text, "read: %zu lines of %zu files such as %s%s\n", t->n, t->n_files, t->files[0].below,
                  t->latin1 ? " (not UTF-8: read as Latin-1)" : "");
    for (size_t i = 0; i < t->n; i++) {
        if (t->rows[i].used) continue;
        if (!first) first = &t->rows[i];
        unused++;
    }
    if (unused && qv_lookup_name(t, "emotion") >= 0)
        qv_buf_printf(&r->text, "labels without a recording: %zu, such as %s (%s:%d)\n", unused, first->key, first->file,
                      first->line);
    return qv_buf_check(ctx, &r->text);
}

/* A recording's content, as far as it had to be looked at. */
typedef struct content {
    size_t item;
    off_t size;
    XXH128_hash_t hash;
    int channel;
} content;

static int by_size(const void *a, const void *b)
{
    const content *x = a, *y = b;
    if (x->size != y->size) return x->size < y->size ? -1 : 1;
    return x->item < y->item ? -1 : x->item > y->item;
}

static int by_content(const void *a, const void *b)
{
    const content *x = a, *y = b;
    if (x->size != y->size) return x->size < y->size ? -1 : 1;
    int order = XXH128_cmp(&x->hash, &y->hash);
    if (order != 0) return order;
    if (x->channel != y->channel) return x->channel - y->channel;
    return x->item < y->item ? -1 : x->item > y->item;
}

/* Only files of the same size can be equal; the others are never read. */
static qv_status hash_contents(qv_ctx *ctx, const qv_manifest *m, content *c)
{
    qv_status status = QV_OK;
    for (size_t i = 0; i < m->n; i++) {
        struct stat st;
        if (stat(m->items[i].file, &st) != 0) return qv_fail_errno(ctx, "cannot examine %s", m->items[i].file);
        c[i] = (content){.item = i, .size = st.st_size, .channel = m->items[i].channel};
        /* parts of one recording have its bytes in common and nothing else */
        if (m->items[i].start > 0 || m->items[i].end >= 0) c[i].size = -1 - (off_t)i;
    }
    qsort(c, m->n, sizeof *c, by_size);
    for (size_t i = 0; i < m->n; i++) {
        bool before = i > 0 && c[i - 1].size == c[i].size, after = i + 1 < m->n && c[i + 1].size == c[i].size;
        if ((before || after) && c[i].size > 0) QV_TRY(qv_hash_file(ctx, m->items[c[i].item].file, &c[i].hash));
        QV_TRY(qv_poll(ctx));
        qv_report(ctx, "duplicates", "files", (double)(i + 1), (double)m->n);
    }
    qsort(c, m->n, sizeof *c, by_content);
done:
    return status;
}

static bool is_lfs_pointer(const char *path, off_t size)
{
    char head[64];
    FILE *f = size > QV_LFS_MAX ? NULL : fopen(path, "rb");
    if (!f) return false;
    size_t n = fread(head, 1, sizeof head, f);
    fclose(f);
    return qv_is_lfs_pointer(head, n);
}

static void say_broken(qv_corpus_report *r, const qv_manifest *m, const content *c)
{
    size_t empty = 0, pointers = 0;
    const char *name = "";
    for (size_t i = 0; i < m->n; i++) {
        const qv_item *item = &m->items[c[i].item];
        bool none = c[i].size == 0, pointer = !none && is_lfs_pointer(item->file, c[i].size);
        empty += none;
        pointers += pointer;
        if (none || pointer) name = item->name;
    }
    if (empty) qv_buf_printf(&r->text, "warning: %zu files are empty, such as %s\n", empty, name);
    if (pointers) {
        qv_buf_printf(&r->text,
                      "warning: %zu files are Git LFS pointers, not recordings, such as %s; run `git lfs pull`\n",
                      pointers, name);
    }
}

/* A recording that is only listed to be judged has no emotion. */
static const char *how_they_differ(const qv_item *a, const qv_item *b)
{
    if (strcmp(a->emotion ? a->emotion : "", b->emotion ? b->emotion : "") != 0) return " (but not of the same emotion)";
    return strcmp(a->speaker, b->speaker) != 0 ? " (but not of the same speaker)" : "";
}

/* Bytes of a file's name without its ending. */
static size_t stem(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot ? (size_t)(dot - name) : strlen(name);
}

/* Unique within a corpus whose names tell what they are: what, who and which file name. */
static int by_meaning(const void *a, const void *b)
{
    const qv_item *x = *(const qv_item *const *)a, *y = *(const qv_item *const *)b;
    const char *values[][2] = {{qv_path_base(x->name), qv_path_base(y->name)},
                               {x->speaker, y->speaker},
                               {x->emotion, y->emotion},
                               {x->session ? x->session : "", y->session ? y->session : ""},
                               {x->split ? x->split : "", y->split ? y->split : ""}};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        const char *s = values[i][0], *t = values[i][1];
        size_t n = i == 0 ? stem(s) : strlen(s), k = i == 0 ? stem(t) : strlen(t);
        int order = strncasecmp(s, t, n < k ? n : k);
        if (order == 0 && n != k) order = n < k ? -1 : 1;
        if (order != 0) return order;
    }
    return x->channel - y->channel;
}

/* The same recording in two codings or at two rates: nothing but the name betrays it. */
static qv_status say_repeated_names(qv_ctx *ctx, qv_corpus_report *r, const qv_manifest *m)
{
    qv_status status = QV_OK;
    const qv_item **sorted = NULL, *a = NULL, *b = NULL;
    size_t n = 0, repeated = 0;
    QV_TRY(qv_alloc(ctx, &sorted, m->n, sizeof *sorted));
    for (size_t i = 0; i < m->n; i++) {
        if (m->items[i].end < 0 && m->items[i].emotion) sorted[n++] = &m->items[i];
    }
    qsort(sorted, n, sizeof *sorted, by_meaning);
    for (size_t i = 1; i < n; i++) {
        if (by_meaning(&sorted[i - 1], &sorted[i]) != 0) continue;
        if (!repeated++) a = sorted[i - 1], b = sorted[i];
    }
    if (repeated)
        qv_buf_printf(&r->text, "warning: %zu recordings have name, speaker and emotion of another, such as %s and %s\n",
                      repeated, a->name, b->name);
done:
    free(sorted);
    return status;
}

qv_status qv_corpus_twins(qv_ctx *ctx, qv_corpus_report *r, qv_manifest *m, bool unique)
{
    qv_status status = QV_OK;
    content *c = NULL;
    bool *once = NULL; /* [m->n] no later copy of another */
    size_t first = 0;
    QV_TRY(qv_alloc(ctx, &c, m->n, sizeof *c));
    QV_TRY(qv_alloc(ctx, &once, m->n, sizeof *once));
    for (size_t i = 0; i < m->n; i++) once[i] = true;
    QV_TRY(hash_contents(ctx, m, c));
    say_broken(r, m, c);
    for (size_t i = 1; i < m->n; i++) {
        bool same = c[i].size == c[first].size && c[i].size > 0 && XXH128_isEqual(c[i].hash, c[first].hash) &&
                    c[i].channel == c[first].channel; /* two voices of one file */
        if (!same) {
            first = i;
            continue;
        }
        const qv_item *a = &m->items[c[first].item], *b = &m->items[c[i].item];
        once[c[i].item] = false;
        if (r->duplicates++ < QV_LIST_MAX) {
            qv_buf_printf(&r->text, "same content: %s = %s%s\n", a->name, b->name, how_they_differ(a, b));
        }
    }
    if (r->duplicates > QV_LIST_MAX)
        qv_buf_printf(&r->text, "same content: and %zu more\n", r->duplicates - QV_LIST_MAX);
    if (r->duplicates) {
        qv_buf_printf(&r->text, "%zu recordings repeat another: %s\n", r->duplicates,
                      unique ? "left out" : "results may be too good; --unique leaves them out");
    }
    if (unique) qv_manifest_keep(m, once);
    QV_TRY(say_repeated_names(ctx, r, m));
    QV_TRY(qv_buf_check(ctx, &r->text));
done:
    free(c);
    free(once);
    return status;
}

static int longest(char *const *names, int n, int least)
{
    for (int i = 0; i < n; i++) {
        if ((int)strlen(names[i]) > least) least = (int)strlen(names[i]);
    }
    return least;
}

static void table_row(qv_buf *b, const qv_manifest *m, const char *name, int width, const char *gender,
                      const size_t *counts)
{
    size_t total = 0;
    qv_buf_printf(b, "  %-*s %-6s", width, name, gender ? gender : "");
    for (int c = 0; c < m->n_classes; c++) {
        int cell = (int)strlen(m->classes[c]);
        qv_buf_printf(b, "  %*zu", cell > 5 ? cell : 5, counts[c]);
        total += counts[c];
    }
    qv_buf_printf(b, "  %5zu\n", total);
}

static void table_head(qv_buf *b, const qv_manifest *m, int width)
{
    qv_buf_printf(b, "  %-*s %-6s", width, "speaker", "gender");
    for (int c = 0; c < m->n_classes; c++) qv_buf_printf(b, "  %5s", m->classes[c]);
    qv_buf_printf(b, "  %5s\n", "all");
}

qv_status qv_corpus_check_classes(qv_ctx *ctx, const qv_manifest *m, const char *path, const char *look_at)
{
    const int n = m->n_classes;
    if (n <= QV_MOST_CLASSES) return QV_OK;
    return qv_fail(ctx, QV_ERR_DATA,
                   "%s: %d different emotions, at most %d are taken; among them '%.40s', '%.40s' and '%.40s': if these "
                   "are none, look at %s; --labels selects some",
                   path, n, QV_MOST_CLASSES, m->classes[0], m->classes[n / 2], m->classes[n - 1], look_at);
}

qv_status qv_corpus_table(qv_ctx *ctx, qv_corpus_report *r, const qv_manifest *m)
{
    qv_status status = QV_OK;
    size_t *counts = NULL, classes = (size_t)m->n_classes;
    const char **genders = NULL;
    size_t speakers = (size_t)m->n_speakers, rows = speakers < QV_TABLE_MAX ? speakers : QV_TABLE_MAX;
    int width = longest(m->speakers, m->n_speakers, 7);
    QV_TRY(qv_alloc(ctx, &counts, (rows + 1) * classes, sizeof *counts)); /* the last: all speakers */
    QV_TRY(qv_alloc(ctx, &genders, rows, sizeof *genders));
    for (size_t i = 0; i < m->n; i++) {
        const qv_item *item = &m->items[i];
        const size_t s = (size_t)item->speaker_id;
        if (item->label < 0) continue;
        counts[rows * classes + (size_t)item->label]++;
        if (s >= rows) continue;
        counts[s * classes + (size_t)item->label]++;
        genders[s] = item->gender;
    }
    table_head(&r->text, m, width);
    for (size_t s = 0; s < rows; s++) {
        table_row(&r->text, m, m->speakers[s], width, genders[s], counts + s * classes);
    }
    if (speakers > rows) qv_buf_printf(&r->text, "  and %zu more speakers\n", speakers - rows);
    table_row(&r->text, m, "all", width, "", counts + rows * classes);
    if (speakers == 1 && strcmp(m->speakers[0], QV_NO_SPEAKER) == 0) {
        qv_buf_puts(&r->text, "warning: nothing tells the speakers; without them only random splits are possible\n");
    }
    QV_TRY(qv_buf_check(ctx, &r->text));
done:
    free(counts);
    free(genders);
    return status;
}
