/* From axes to cells, and from the names of cells to cells. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "study/plan_own.h"

enum { MOST_COMBINATIONS = 4096, LONGEST_FILE = 200 };

/* Combinations from one level of the axis to its next. */
static size_t stride_of(const qv_study *s, size_t axis)
{
    size_t stride = 1;
    for (size_t a = axis + 1; a < s->n_axes; a++) stride *= s->axes[a].n;
    return stride;
}

static int level_at(const qv_study *s, size_t combination, size_t axis)
{
    return (int)(combination / stride_of(s, axis) % s->axes[axis].n);
}

static int find_level(const qv_study_axis *a, const char *name)
{
    for (size_t i = 0; i < a->n; i++)
        if (strcmp(a->levels[i].name, name) == 0) return (int)i;
    return -1;
}

static qv_status unknown_level(qv_ctx *ctx, const qv_study *s, int line, const qv_study_axis *only, const char *word)
{
    const char *names[256];
    size_t n = 0;
    for (size_t a = 0; a < s->n_axes; a++)
        for (size_t k = 0; k < s->axes[a].n && n < 256; k++)
            if (!only || only == &s->axes[a]) names[n++] = s->axes[a].levels[k].name;
    return qv_study_unknown(ctx, s, line, "level", word, names, n);
}

/* One word of a CELL: the axis and the level that it names. */
static qv_status read_word(qv_ctx *ctx, const qv_study *s, int line, const char *word, size_t *axis, int *level)
{
    const char *equals = strchr(word, '=');
    size_t found = 0;
    if (equals) {
        const char *names[64];
        for (size_t a = 0; a < s->n_axes; a++) {
            names[a] = s->axes[a].name;
            if (strlen(names[a]) != (size_t)(equals - word) || strncmp(names[a], word, strlen(names[a])) != 0) continue;
            *axis = a;
            *level = find_level(&s->axes[a], equals + 1);
            return *level >= 0 ? QV_OK : unknown_level(ctx, s, line, &s->axes[a], equals + 1);
        }
        char name[64];
        snprintf(name, sizeof name, "%.*s", (int)(equals - word), word);
        return qv_study_unknown(ctx, s, line, "axis", name, names, s->n_axes);
    }
    for (size_t a = 0; a < s->n_axes; a++) {
        int k = find_level(&s->axes[a], word);
        if (k < 0) continue;
        *axis = a;
        *level = k;
        found++;
    }
    if (found == 1) return QV_OK;
    if (found == 0) return unknown_level(ctx, s, line, NULL, word);
    return qv_fail(ctx, QV_ERR_DATA, "%s:%d: more than one axis has a level %s; write AXIS=%s", s->path, line, word,
                   word);
}

qv_status qv_study_match(qv_ctx *ctx, const qv_study *s, int line, const char *cells, bool *matches)
{
    char word[QV_STUDY_WORD];
    int wanted[64];
    for (size_t a = 0; a < sizeof wanted / sizeof *wanted; a++) wanted[a] = -1;
    for (const char *at = cells; qv_study_word(&at, word);) {
        size_t axis = 0;
        int level = 0;
        qv_status status = read_word(ctx, s, line, word, &axis, &level);
        if (status != QV_OK) return status;
        if (wanted[axis] >= 0)
            return qv_fail(ctx, QV_ERR_DATA, "%s:%d: \"%s\" names two levels of the axis %s", s->path, line, cells,
                           s->axes[axis].name);
        wanted[axis] = level;
    }
    for (size_t i = 0; i < s->n_combinations; i++) {
        matches[i] = true;
        for (size_t a = 0; a < s->n_axes; a++)
            matches[i] = matches[i] && (wanted[a] < 0 || wanted[a] == level_at(s, i, a));
    }
    return QV_OK;
}

qv_status qv_study_find(qv_ctx *ctx, const qv_study *s, int line, const char *cell, int *index)
{
    bool *matches = NULL, *named = NULL;
    qv_buf names = {0};
    size_t n = 0;
    qv_status status = QV_OK;
    QV_TRY(qv_alloc(ctx, &matches, s->n_combinations, sizeof *matches));
    QV_TRY(qv_alloc(ctx, &named, s->n_cells, sizeof *named));
    QV_TRY(qv_study_match(ctx, s, line, cell, matches));
    for (size_t i = 0; i < s->n_combinations; i++)
        if (matches[i]) named[s->cell_of[i]] = true;
    for (size_t c = 0; c < s->n_cells; c++) {
        if (!named[c]) continue;
        *index = (int)c;
        if (n++ < 4) qv_buf_printf(&names, "%s\"%s\"", n > 1 ? ", " : "", s->cells[c].name);
    }
    if (n != 1)
        status = qv_fail(ctx, QV_ERR_DATA, "%s:%d: \"%s\" fits %zu cells (%s%s); name a level of each axis that counts",
                         s->path, line, cell, n, names.failed || !names.data ? "" : names.data, n > 4 ? ", .." : "");
done:
    qv_buf_free(&names);
    free(matches);
    free(named);
    return status;
}

/* ---- settings of a combination ---- */

/* Set elsewhere: by [corpus], by the seeds, by the command line. */
static qv_status check_key(qv_ctx *ctx, const char *key)
{
    static const char *const theirs[][2] = {{"corpus.manifest", "[corpus NAME] has it: manifest = FILE"},
                                            {"corpus.labels", "[corpus NAME] has it: labels = LIST"},
                                            {"corpus.licence", "it goes with checkpoints, which a study does not keep"},
                                            {"split.folds", "[corpus NAME] has it: folds = SPEC"},
                                            {"train.seed", "[study] has it: seeds = N and first_seed = N"},
                                            {"split.mode", "a study tests by speakers"},
                                            {"split.test_fraction", "the folds of a study have no use for it"},
                                            {"eval.bn", "a study has both, side by side"},
                                            {"run.threads", "--threads of the command line has it"}};
    for (size_t i = 0; i < sizeof theirs / sizeof *theirs; i++)
        if (strcmp(theirs[i][0], key) == 0)
            return qv_fail(ctx, QV_ERR_DATA, "%s cannot be set here: %s", key, theirs[i][1]);
    return QV_OK;
}

static qv_status assign(qv_ctx *ctx, const qv_study *s, qv_settings *to, int line, const char *key, const char *value)
{
    qv_status status = check_key(ctx, key);
    if (status == QV_OK) status = qv_settings_set(ctx, to, key, value);
    if (status == QV_ERR_USAGE) status = QV_ERR_DATA; /* it is the file that is wrong */
    return status == QV_OK ? QV_OK : qv_fail_prefix(ctx, status, "%s:%d", s->path, line);
}

/* "section.key=value, section.key=value" */
static qv_status assign_level(qv_ctx *ctx, const qv_study *s, qv_settings *to, const qv_study_level *level)
{
    char word[QV_STUDY_WORD];
    for (const char *at = level->assignments; qv_study_word(&at, word);) {
        char *equals = strchr(word, '=');
        if (!equals || strlen(word) == QV_STUDY_WORD - 1)
            return qv_fail(ctx, QV_ERR_DATA,
                           "%s:%d: level %s: expected section.key=value of at most %d bytes, found %.60s", s->path,
                           level->line, level->name, QV_STUDY_WORD - 2, word);
        *equals = '\0';
        qv_status status = assign(ctx, s, to, level->line, word, equals + 1);
        if (status != QV_OK) return status;
    }
    return QV_OK;
}

static qv_status make_settings(qv_ctx *ctx, const qv_study *s, size_t combination, bool *const *matches,
                               qv_settings *out)
{
    qv_status status = QV_OK;
    QV_TRY(qv_settings_init(ctx, out));
    for (size_t i = 0; i < s->n_assignments; i++) {
        const qv_study_assignment *a = &s->assignments[i];
        if (!a->cells) QV_TRY(assign(ctx, s, out, a->line, a->key, a->value));
    }
    for (size_t a = 0; a < s->n_axes; a++)
        QV_TRY(assign_level(ctx, s, out, &s->axes[a].levels[level_at(s, combination, a)]));
    for (size_t i = 0; i < s->n_assignments; i++) {
        const qv_study_assignment *a = &s->assignments[i];
        if (a->cells && matches[i][combination]) QV_TRY(assign(ctx, s, out, a->line, a->key, a->value));
    }
    QV_TRY(qv_settings_idle(ctx, out));
done:
    if (status != QV_OK) qv_settings_free(out);
    return status;
}

/* Adds the combination as a cell, or finds the cell that trains the same. */
static qv_status add_combination(qv_ctx *ctx, qv_study *s, size_t combination, bool *const *matches)
{
    qv_status status = QV_OK;
    qv_buf text = {0};
    qv_study_cell cell = {0};
    QV_TRY(make_settings(ctx, s, combination, matches, &cell.settings));
    QV_TRY(qv_settings_changed(ctx, &cell.settings, &text));
    QV_TRY(qv_strdup(ctx, &cell.identity, text.data ? text.data : ""));
    size_t c = 0;
    while (c < s->n_cells && strcmp(s->cells[c].identity, cell.identity) != 0) c++;
    s->cell_of[combination] = (int)c;
    if (c < s->n_cells) goto done;
    QV_TRY(qv_alloc(ctx, &cell.level, s->n_axes, sizeof *cell.level));
    for (size_t a = 0; a < s->n_axes; a++) cell.level[a] = level_at(s, combination, a);
    QV_TRY(qv_grow(ctx, &s->cells, &s->cap_cells, s->n_cells + 1, sizeof *s->cells));
    s->cells[s->n_cells++] = cell;
    cell = (qv_study_cell){0};
done:
    qv_settings_free(&cell.settings);
    free(cell.identity);
    free(cell.level);
    qv_buf_free(&text);
    return status;
}

/* Whether the cell of this combination is the same whatever the axis says; an axis of one level is named all the same.
 */
static bool is_idle(const qv_study *s, size_t combination, size_t axis)
{
    size_t stride = stride_of(s, axis), n = s->axes[axis].n;
    size_t first = combination - (size_t)level_at(s, combination, axis) * stride;
    for (size_t k = 0; k < n; k++)
        if (s->cell_of[first + k * stride] != s->cell_of[combination]) return false;
    return n > 1;
}

/* A cell has the levels of its first combination, without those of axes that change nothing there. */
static void drop_idle_levels(const qv_study *s, qv_study_cell *c)
{
    size_t combination = 0;
    for (size_t a = 0; a < s->n_axes; a++) combination = combination * s->axes[a].n + (size_t)c->level[a];
    for (size_t a = 0; a < s->n_axes; a++)
        if (is_idle(s, combination, a)) c->level[a] = -1;
}

/* A level's name as it stands in a cell's: with its axis where another axis has the same. */
static void print_level(const qv_study *s, size_t axis, int level, qv_buf *b)
{
    const char *name = s->axes[axis].levels[level].name;
    bool shared = false;
    for (size_t a = 0; a < s->n_axes; a++) shared = shared || (a != axis && find_level(&s->axes[a], name) >= 0);
    bool number = strspn(name, "0123456789.+-eE") == strlen(name); /* "0.1" alone says little */
    if (shared || number) qv_buf_printf(b, "%s=", s->axes[axis].name);
    qv_buf_puts(b, name);
}

static qv_status name_cell(qv_ctx *ctx, const qv_study *s, qv_study_cell *c)
{
    qv_status status = QV_OK;
    qv_buf b = {0};
    for (size_t a = 0; a < s->n_axes; a++) {
        if (c->level[a] < 0) continue;
        if (b.len) qv_buf_puts(&b, " ");
        print_level(s, a, c->level[a], &b);
    }
    if (!b.len) qv_buf_puts(&b, "all");
    QV_TRY(qv_buf_check(ctx, &b));
    QV_TRY(qv_strdup(ctx, &c->name, b.data));
    QV_TRY(qv_strdup(ctx, &c->file, b.data));
    for (char *p = c->file; *p; p++)
        if (*p == ' ') *p = '_';
done:
    qv_buf_free(&b);
    return status;
}

/* Cells have folders of their own names, which file systems cut at 255 bytes. */
static qv_status check_files(qv_ctx *ctx, const qv_study *s)
{
    for (size_t c = 0; c < s->n_cells; c++) {
        const qv_study_cell *cell = &s->cells[c];
        if (strlen(cell->file) > LONGEST_FILE)
            return qv_fail(ctx, QV_ERR_DATA,
                           "%s: the cell \"%.60s..\" has a name of more than %d letters; shorten the "
                           "names of levels",
                           s->path, cell->name, LONGEST_FILE);
        for (size_t k = 0; k < c; k++)
            if (strcmp(s->cells[k].file, cell->file) == 0)
                return qv_fail(ctx, QV_ERR_DATA,
                               "%s: the cells \"%s\" and \"%s\" would keep their records in one "
                               "folder, %s; give a level another name",
                               s->path, s->cells[k].name, cell->name, cell->file);
    }
    return QV_OK;
}

/* How often a level sets a key. */
static int times_set(const qv_study_level *level, const char *key)
{
    char word[QV_STUDY_WORD];
    const size_t length = strlen(key);
    int times = 0;
    for (const char *at = level->assignments; qv_study_word(&at, word);)
        times += strncmp(word, key, length) == 0 && word[length] == '=';
    return times;
}

bool qv_study_sets_only(const qv_study_level *level, const char *key)
{
    char word[QV_STUDY_WORD];
    size_t words = 0;
    for (const char *at = level->assignments; qv_study_word(&at, word);) words++;
    return words == 1 && times_set(level, key) == 1;
}

/* The first axis that sets the key, but for one; NULL: none. */
static const qv_study_axis *axis_that_sets(const qv_study *s, const char *key, const qv_study_axis *but)
{
    for (size_t a = 0; a < s->n_axes; a++)
        for (size_t k = 0; k < s->axes[a].n; k++)
            if (&s->axes[a] != but && times_set(&s->axes[a].levels[k], key)) return &s->axes[a];
    return NULL;
}

/* What one axis sets no other may set: one of the two would do nothing, and a comparison would not be what it says. */
static qv_status check_level_keys(qv_ctx *ctx, const qv_study *s, const qv_study_axis *axis, const qv_study_level *level)
{
    char key[QV_STUDY_WORD];
    for (const char *at = level->assignments; qv_study_word(&at, key);) {
        key[strcspn(key, "=")] = '\0';
        const qv_study_axis *other = axis_that_sets(s, key, axis);
        if (times_set(level, key) > 1)
            return qv_fail(ctx, QV_ERR_DATA, "%s:%d: level %s sets %s twice", s->path, level->line, level->name, key);
        if (other)
            return qv_fail(ctx, QV_ERR_DATA,
                           "%s:%d: level %s of the axis %s sets %s, which the axis %s sets too: one of them would do "
                           "nothing; leave it to one axis",
                           s->path, level->line, level->name, axis->name, key, other->name);
    }
    return QV_OK;
}

/* A record says once which instructions made it, so all are made with the same. */
static qv_status check_machine(qv_ctx *ctx, const qv_study *s)
{
    static const char key[] = "run.isa";
    const qv_study_axis *axis = axis_that_sets(s, key, NULL);
    if (axis)
        return qv_fail(ctx, QV_ERR_DATA, "%s:%d: the axis %s sets %s, which is of all trainings: [settings] has it",
                       s->path, axis->line, axis->name, key);
    for (size_t i = 0; i < s->n_assignments; i++)
        if (s->assignments[i].cells && strcmp(s->assignments[i].key, key) == 0)
            return qv_fail(ctx, QV_ERR_DATA, "%s:%d: [cells %s] sets %s, which is of all trainings: [settings] has it",
                           s->path, s->assignments[i].line, s->assignments[i].cells, key);
    return QV_OK;
}

static qv_status check_keys(qv_ctx *ctx, const qv_study *s)
{
    qv_status status = QV_OK;
    QV_TRY(check_machine(ctx, s));
    for (size_t a = 0; a < s->n_axes; a++)
        for (size_t k = 0; k < s->axes[a].n; k++) QV_TRY(check_level_keys(ctx, s, &s->axes[a], &s->axes[a].levels[k]));
    for (size_t i = 0; i < s->n_assignments; i++) {
        const qv_study_assignment *x = &s->assignments[i];
        const qv_study_axis *axis = x->cells ? axis_that_sets(s, x->key, NULL) : NULL;
        if (axis)
            return qv_fail(ctx, QV_ERR_DATA,
                           "%s:%d: [cells %s] sets %s, which the axis %s sets too: that axis would do nothing there; "
                           "leave it to the axis",
                           s->path, x->line, x->cells, x->key, axis->name);
    }
done:
    return status;
}

/* Of two [cells] that set one key for the same cell the later one counts, which may only be more special. */
static qv_status check_overlap(qv_ctx *ctx, const qv_study *s, const qv_study_assignment *early, const bool *of_early,
                               const qv_study_assignment *late, const bool *of_late)
{
    size_t both = 0, more = 0;
    if (strcmp(early->key, late->key) != 0 || strcmp(early->value, late->value) == 0) return QV_OK;
    for (size_t i = 0; i < s->n_combinations; i++) {
        both += of_early[i] && of_late[i];
        more += of_late[i] && !of_early[i];
    }
    if (both == 0 || more == 0) return QV_OK;
    return qv_fail(
        ctx, QV_ERR_DATA,
        "%s:%d: [cells %s] sets %s to %s, and [cells %s] (line %d) to %s: some cells are in both; only cells that "
        "are all in the earlier one may be set anew",
        s->path, late->line, late->cells, late->key, late->value, early->cells, early->line, early->value);
}

static qv_status check_overlaps(qv_ctx *ctx, const qv_study *s, bool *const *matches)
{
    qv_status status = QV_OK;
    for (size_t i = 0; i < s->n_assignments; i++)
        for (size_t k = 0; k < i && matches[i]; k++)
            if (matches[k])
                QV_TRY(check_overlap(ctx, s, &s->assignments[k], matches[k], &s->assignments[i], matches[i]));
done:
    return status;
}

static qv_status count_combinations(qv_ctx *ctx, qv_study *s)
{
    s->n_combinations = 1;
    for (size_t a = 0; a < s->n_axes; a++) {
        if (s->axes[a].n == 0)
            return qv_fail(ctx, QV_ERR_DATA, "%s:%d: axis %s has no levels: setting = section.key and values = a, b",
                           s->path, s->axes[a].line, s->axes[a].name);
        s->n_combinations *= s->axes[a].n;
        if (s->n_combinations > MOST_COMBINATIONS || s->n_axes > 64)
            return qv_fail(ctx, QV_ERR_DATA, "%s: the axes make more than %d cells", s->path, MOST_COMBINATIONS);
    }
    return QV_OK;
}

qv_status qv_study_cells(qv_ctx *ctx, qv_study *s)
{
    qv_status status = QV_OK;
    bool **matches = NULL;
    QV_TRY(count_combinations(ctx, s));
    QV_TRY(check_keys(ctx, s));
    QV_TRY(qv_alloc(ctx, &s->cell_of, s->n_combinations, sizeof *s->cell_of));
    QV_TRY(qv_alloc(ctx, &matches, s->n_assignments, sizeof *matches));
    for (size_t i = 0; i < s->n_assignments; i++) {
        const qv_study_assignment *a = &s->assignments[i];
        if (!a->cells) continue;
        QV_TRY(qv_alloc(ctx, &matches[i], s->n_combinations, sizeof **matches));
        QV_TRY(qv_study_match(ctx, s, a->line, a->cells, matches[i]));
    }
    QV_TRY(check_overlaps(ctx, s, matches));
    for (size_t i = 0; i < s->n_combinations; i++) QV_TRY(add_combination(ctx, s, i, matches));
    for (size_t c = 0; c < s->n_cells; c++) {
        drop_idle_levels(s, &s->cells[c]);
        QV_TRY(name_cell(ctx, s, &s->cells[c]));
    }
    QV_TRY(check_files(ctx, s));
done:
    for (size_t i = 0; matches && i < s->n_assignments; i++) free(matches[i]);
    free(matches);
    return status;
}
