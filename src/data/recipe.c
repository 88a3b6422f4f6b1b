#include "data/recipe.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/csv.h"
#include "base/io.h"
#include "base/nearest.h"
#include "data/corpus_report.h"
#include "data/features.h"
#include "data/manifest_own.h"
#include "data/pattern.h"

const qv_recipe qv_recipes[] = {
#define QV_RECIPE(...) {__VA_ARGS__},
#include "data/recipes.def"
#undef QV_RECIPE
};
const size_t qv_n_recipes = sizeof qv_recipes / sizeof *qv_recipes;

/* Spellings of a gender where a recipe has no map of its own. */
static const char common_genders[] = "m=male male=male man=male f=female female=female w=female woman=female";

qv_status qv_recipe_find(qv_ctx *ctx, const qv_recipe **out, const char *name)
{
    const char *names[sizeof qv_recipes / sizeof *qv_recipes];
    for (size_t i = 0; i < qv_n_recipes; i++) {
        names[i] = qv_recipes[i].name;
        *out = &qv_recipes[i];
        if (strcmp(names[i], name) == 0) return QV_OK;
    }
    *out = NULL;
    const char *near = qv_nearest(name, names, qv_n_recipes);
    if (near) return qv_fail(ctx, QV_ERR_USAGE, "there is no recipe '%s'; did you mean '%s'?", name, near);
    return qv_fail(ctx, QV_ERR_USAGE, "there is no recipe '%s'; quaver corpus list shows them all", name);
}

bool qv_map_find(const char *map, const char *key, size_t n_key, const char **value, size_t *n_value)
{
    for (const char *s = map; s && *s; s += strspn(s, " ")) {
        size_t n = strcspn(s, "="), total = strcspn(s, " ");
        if (n == n_key && strncasecmp(s, key, n) == 0) {
            *value = s + n + 1;
            *n_value = total - n - 1;
            return true;
        }
        s += total;
    }
    return false;
}

void qv_corpus_report_free(qv_corpus_report *r)
{
    for (size_t i = 0; i < r->n_unknown; i++) free(r->unknown[i]);
    free(r->unknown);
    qv_buf_free(&r->text);
    *r = (qv_corpus_report){0};
}

enum { EXTRA = -1, FILTER = -2 };

typedef struct scan {
    const qv_recipe *recipe;
    qv_pattern *pattern;
    bool on_path;
    int *column; /* [groups] a column of the manifest, EXTRA, or FILTER: one of the recipe's `keep` */
    size_t root; /* bytes of a path up to what stands below the folder */
    qv_manifest *m;
    qv_corpus_report *report;
} scan;

static qv_status copy_range(qv_ctx *ctx, char **out, const char *s, size_t n)
{
    qv_status status = qv_alloc(ctx, out, n + 1, 1);
    if (status == QV_OK) memcpy(*out, s, n);
    return status;
}

static qv_status not_understood(qv_ctx *ctx, scan *s, const char *name)
{
    qv_corpus_report *r = s->report;
    qv_status status = qv_grow(ctx, &r->unknown, &r->cap_unknown, r->n_unknown + 1, sizeof *r->unknown);
    if (status == QV_OK) status = qv_strdup(ctx, &r->unknown[r->n_unknown], name);
    if (status == QV_OK) r->n_unknown++;
    return status;
}

static bool is_other_part(const scan *s, const char *subject)
{
    for (int g = 0; g < qv_pattern_groups(s->pattern); g++) {
        const char *name = qv_pattern_group_name(s->pattern, g), *want;
        size_t begin, end, n;
        if (s->column[g] != FILTER || !qv_map_find(s->recipe->keep, name, strlen(name), &want, &n)) continue;
        if (!qv_pattern_range(s->pattern, g, &begin, &end)) return true;
        if (end - begin != n || strncasecmp(subject + begin, want, n) != 0) return true;
    }
    return false;
}

/* The groups of a match into the columns of an item. */
static qv_status fill_columns(qv_ctx *ctx, const scan *s, qv_item *item, const char *subject)
{
    qv_status status = QV_OK;
    int extra = 0;
    QV_TRY(qv_alloc(ctx, &item->extra, (size_t)s->m->n_extra, sizeof *item->extra));
    for (int g = 0; g < qv_pattern_groups(s->pattern); g++) {
        size_t begin, end;
        if (s->column[g] == FILTER) continue;
        char **cell = s->column[g] == EXTRA ? &item->extra[extra++] : qv_item_text(item, s->column[g]);
        if (!qv_pattern_range(s->pattern, g, &begin, &end) || end == begin) continue;
        QV_TRY(copy_range(ctx, cell, subject + begin, end - begin));
    }
done:
    return status;
}

/* Replaces a code by what the map says; false where it says nothing. */
static qv_status translate(qv_ctx *ctx, char **text, const char *map, bool *known)
{
    const char *value;
    char *copy;
    size_t n;
    *known = qv_map_find(map, *text, strlen(*text), &value, &n);
    if (!*known) return QV_OK;
    qv_status status = copy_range(ctx, &copy, value, n);
    if (status != QV_OK) return status;
    free(*text);
    *text = copy;
    return QV_OK;
}

/* From the group `gender` if the pattern has it, else from the speaker. */
static qv_status find_gender(qv_ctx *ctx, const scan *s, qv_item *item)
{
    const char *map = s->recipe->genders, *value;
    size_t n;
    bool known;
    if (item->gender) return translate(ctx, &item->gender, map ? map : common_genders, &known);
    if (!map) return QV_OK;
    size_t length = strlen(item->speaker);
    bool found = qv_map_find(map, item->speaker, length, &value, &n);
    if (!found && length > 0 && isdigit((unsigned char)item->speaker[length - 1])) {
        const char *parity = (item->speaker[length - 1] - '0') % 2 ? "odd" : "even";
        found = qv_map_find(map, parity, strlen(parity), &value, &n);
    }
    return found ? copy_range(ctx, &item->gender, value, n) : QV_OK;
}

static qv_status add_recording(qv_ctx *ctx, scan *s, const char *path, const char *subject, bool *known)
{
    qv_status status = QV_OK;
    qv_item *item;
    *known = true;
    QV_TRY(qv_manifest_append(ctx, s->m, &item));
    QV_TRY(fill_columns(ctx, s, item, subject));
    *known = item->emotion != NULL;
    if (*known && s->recipe->emotions) QV_TRY(translate(ctx, &item->emotion, s->recipe->emotions, known));
    if (!*known) {
        qv_manifest_drop_last(s->m);
        goto done;
    }
    if (!item->speaker) QV_TRY(qv_strdup(ctx, &item->speaker, QV_NO_SPEAKER));
    QV_TRY(find_gender(ctx, s, item));
    QV_TRY(qv_strdup(ctx, &item->name, path + s->root));
    QV_TRY(qv_strdup(ctx, &item->file, path));
    s->report->found++;
done:
    return status;
}

static qv_status visit(qv_ctx *ctx, void *user, const char *path)
{
    scan *s = user;
    const char *below = path + s->root, *subject = s->on_path ? below : qv_path_base(path);
    bool matched, known = false;
    qv_status status = QV_OK;
    QV_TRY(qv_poll(ctx));
    if (!qv_is_audio(path)) {
        s->report->no_audio++;
        goto done;
    }
    QV_TRY(qv_pattern_match(ctx, s->pattern, subject, &matched));
    matched = matched && qv_utf8_check(below, strlen(below)) == strlen(below);
    if (matched && is_other_part(s, subject)) {
        s->report->other_part++;
        goto done;
    }
    if (matched) QV_TRY(add_recording(ctx, s, path, subject, &known));
    if (!known) QV_TRY(not_understood(ctx, s, below));
done:
    return status;
}

/* What each group of the pattern means; the others become columns of their own. */
static qv_status name_columns(qv_ctx *ctx, scan *s)
{
    qv_status status = QV_OK;
    int n = qv_pattern_groups(s->pattern);
    bool emotion = false;
    QV_TRY(qv_alloc(ctx, &s->column, (size_t)n, sizeof *s->column));
    QV_TRY(qv_alloc(ctx, &s->m->extra, (size_t)n, sizeof *s->m->extra));
    for (int g = 0; g < n; g++) {
        const char *name = qv_pattern_group_name(s->pattern, g), *value;
        size_t n_value;
        s->column[g] = qv_map_find(s->recipe->keep, name, strlen(name), &value, &n_value) ? FILTER : EXTRA;
        for (int c = 0; c < QV_COLUMNS; c++) {
            if (strcmp(name, qv_manifest_columns[c]) == 0) s->column[g] = c;
        }
        int c = s->column[g];
        emotion = emotion || c == QV_COLUMN_EMOTION;
        if (c == QV_COLUMN_FILE || c == QV_COLUMN_START || c == QV_COLUMN_END) {
            status =
                qv_fail(ctx, QV_ERR_USAGE, "pattern: a group cannot be named '%s', which a name does not tell", name);
            goto done;
        }
        if (c == EXTRA) QV_TRY(qv_strdup(ctx, &s->m->extra[s->m->n_extra++], name));
    }
    if (!emotion) {
        status = qv_fail(ctx, QV_ERR_USAGE, "the pattern has no group (?<emotion>...): nothing tells the emotion");
    }
done:
    return status;
}

static qv_status open_pattern(qv_ctx *ctx, scan *s, const qv_corpus_options *o)
{
    const char *regex = s->recipe->pattern ? s->recipe->pattern : o->pattern;
    if (!regex) {
        return qv_fail(ctx, QV_ERR_USAGE,
                       "recipe '%s' needs a pattern, such as "
                       "--pattern '^(?<speaker>[^_]+)_(?<emotion>[^_]+)_'",
                       s->recipe->name);
    }
    if (s->recipe->pattern && o->pattern) {
        return qv_fail(ctx, QV_ERR_USAGE, "recipe '%s' has a pattern of its own; --pattern goes with `pattern`",
                       s->recipe->name);
    }
    s->on_path = s->recipe->pattern ? s->recipe->on_path : strchr(regex, '/') != NULL;
    qv_status status = qv_pattern_new(ctx, &s->pattern, regex);
    return status == QV_OK ? name_columns(ctx, s) : status;
}

static qv_status check_found(qv_ctx *ctx, const scan *s, const char *dir, bool lenient)
{
    const qv_corpus_report *r = s->report;
    if (r->n_unknown > 0 && !lenient) {
        const bool own = !s->recipe->pattern && r->found == 0; /* a regular expression from the command line */
        return qv_fail(ctx, QV_ERR_DATA,
                       "%zu names in %s are not understood by recipe '%s', such as %s; %s", r->n_unknown, dir,
                       s->recipe->name, r->unknown[0],
                       own ? "the pattern must match with the ending (.wav and the like)" : "--lenient leaves them out");
    }
    if (r->found > 0) return QV_OK;
    return qv_fail(ctx, QV_ERR_DATA,
                   "no recording of recipe '%s' in %s (%zu files of other kinds, %zu of other parts of "
                   "the corpus)",
                   s->recipe->name, dir, r->no_audio, r->other_part);
}

qv_status qv_corpus_scan(qv_ctx *ctx, qv_manifest **out, qv_corpus_report *report, const qv_recipe *recipe,
                         const char *dir, const qv_corpus_options *options)
{
    qv_status status = QV_OK;
    scan s = {.recipe = recipe, .report = report};
    char *root = NULL;
    size_t n = strlen(dir);
    *out = NULL;
    while (n > 1 && dir[n - 1] == '/') n--;
    QV_TRY(copy_range(ctx, &root, dir, n));
    if (!qv_is_dir(root)) {
        status = qv_fail(ctx, QV_ERR_USAGE, "%s is not a folder; a corpus is the folder with its recordings", dir);
        goto done;
    }
    s.root = strcmp(root, ".") == 0 ? 0 : strcmp(root, "/") == 0 ? 1 : n + 1;
    QV_TRY(qv_manifest_new(ctx, &s.m));
    QV_TRY(open_pattern(ctx, &s, options));
    QV_TRY(qv_walk(ctx, root, visit, &s));
    QV_TRY(qv_manifest_finish(ctx, s.m, NULL));
    QV_TRY(qv_corpus_compare(ctx, report, recipe, s.m, root));
    QV_TRY(check_found(ctx, &s, dir, options->lenient));
    QV_TRY(qv_corpus_twins(ctx, report, s.m, options->unique));
    QV_TRY(qv_manifest_finish(ctx, s.m, options->labels));
    QV_TRY(qv_corpus_table(ctx, report, recipe, s.m));
    *out = s.m;
    s.m = NULL;
done:
    qv_manifest_free(s.m);
    qv_pattern_free(s.pattern);
    free(s.column);
    free(root);
    return status;
}
