/* plan.json and study.ini of a study's folder. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/io.h"
#include "base/json.h"
#include "base/text.h"
#include "study/study_own.h"

enum { LARGEST_PLAN = 64 << 20, FORMAT = 1, MOST = 100000, MOST_SEEDS = 10000 };

/* ---- made ---- */

/* unread[m->n]: recordings that some cell could not read. */
static qv_status hash_parts(qv_ctx *ctx, char **out, const qv_manifest *m, const qv_fold *fold, const bool *unread)
{
    unsigned char *parts;
    char hash[32];
    qv_status status = qv_alloc(ctx, &parts, m->n, 1);
    if (status != QV_OK) return status;
    for (size_t i = 0; i < m->n; i++)
        parts[i] = unread[i] ? QV_PART_UNUSED : fold->part[i] == QV_PART_VAL ? QV_PART_TRAIN : fold->part[i];
    snprintf(hash, sizeof hash, "%016llx", (unsigned long long)XXH3_64bits(parts, m->n));
    free(parts);
    return qv_strdup(ctx, out, hash);
}

static qv_status plan_fold(qv_ctx *ctx, qv_plan_fold *out, const qv_manifest *m, const qv_fold *fold,
                           const bool *unread)
{
    qv_status status = QV_OK;
    QV_TRY(qv_strdup(ctx, &out->name, fold->name));
    QV_TRY(qv_alloc(ctx, &out->speakers, (size_t)m->n_speakers, sizeof *out->speakers));
    QV_TRY(hash_parts(ctx, &out->parts, m, fold, unread));
    out->train = fold->items[QV_PART_TRAIN];
    out->val = fold->items[QV_PART_VAL];
    out->test = fold->items[QV_PART_TEST];
    for (int k = 0; k < m->n_speakers; k++) {
        size_t i = 0;
        while (i < m->n && !(m->items[i].speaker_id == k && fold->part[i] == QV_PART_TEST)) i++;
        if (i < m->n) QV_TRY(qv_strdup(ctx, &out->speakers[out->n_speakers++], m->speakers[k]));
    }
done:
    return status;
}

/* Marks what the cell's front end could not read, and raises *most to how many those are. */
static void mark_unread(const qv_features *f, bool *unread, size_t *most)
{
    for (size_t i = 0; i < f->n; i++) unread[i] = unread[i] || f->entries[i].frames == 0;
    if (f->skipped > *most) *most = f->skipped;
}

static qv_status plan_corpus(qv_ctx *ctx, qv_plan_corpus *out, const qv_study *s, const qv_study_corpora *corpora,
                             size_t corpus)
{
    const qv_study_corpus *c = &s->corpora[corpus];
    const qv_study_data *d = qv_study_data_of(corpora, corpus, 0);
    const qv_manifest *m = d->manifest;
    char hash[32];
    bool *unread = NULL;
    qv_buf names = {0};
    qv_status status = QV_OK;
    snprintf(hash, sizeof hash, "%016llx", (unsigned long long)m->hash);
    QV_TRY(qv_strdup(ctx, &out->name, c->name));
    qv_path_names(&names, m->path);
    QV_TRY(qv_buf_check(ctx, &names));
    out->manifest = names.data;
    qv_calm(out->manifest);
    names = (qv_buf){0};
    QV_TRY(qv_strdup(ctx, &out->hash, hash));
    snprintf(hash, sizeof hash, "%016llx", (unsigned long long)qv_features_content(d->features));
    QV_TRY(qv_strdup(ctx, &out->content, hash));
    out->recordings = m->n;
    QV_TRY(qv_alloc(ctx, &unread, m->n, sizeof *unread));
    for (size_t k = 0; k < s->n_cells; k++)
        mark_unread(qv_study_data_of(corpora, corpus, k)->features, unread, &out->skipped);
    QV_TRY(qv_alloc(ctx, &out->classes, (size_t)m->n_classes, sizeof *out->classes));
    for (int i = 0; i < m->n_classes; i++) QV_TRY(qv_strdup(ctx, &out->classes[out->n_classes++], m->classes[i]));
    QV_TRY(qv_alloc(ctx, &out->folds, d->folds->n, sizeof *out->folds));
    for (size_t i = 0; i < d->folds->n; i++) {
        out->n_folds++;
        QV_TRY(plan_fold(ctx, &out->folds[i], m, &d->folds->folds[i], unread));
    }
done:
    qv_buf_free(&names);
    free(unread);
    return status;
}

qv_status qv_plan_make(qv_ctx *ctx, qv_plan *p, const qv_study *s, const qv_study_corpora *c, const char *command)
{
    qv_status status = QV_OK;
    qv_buf defaults = {0};
    *p = (qv_plan){.seeds = s->seeds};
    QV_TRY(qv_settings_defaults(ctx, &defaults));
    QV_TRY(qv_strdup(ctx, &p->defaults, defaults.data));
    if (command) QV_TRY(qv_strdup(ctx, &p->command, command));
    if (command) qv_calm(p->command); /* JSON has no paths that are not UTF-8 */
    QV_TRY(qv_alloc(ctx, &p->corpora, s->n_corpora, sizeof *p->corpora));
    for (size_t i = 0; i < s->n_corpora; i++) {
        p->n_corpora++;
        QV_TRY(plan_corpus(ctx, &p->corpora[i], s, c, i));
    }
    QV_TRY(qv_plan_take_starts(ctx, p, s));
done:
    qv_buf_free(&defaults);
    return status;
}

void qv_plan_free(qv_plan *p)
{
    for (size_t i = 0; i < p->n_corpora; i++) {
        qv_plan_corpus *c = &p->corpora[i];
        for (size_t k = 0; k < c->n_folds; k++) {
            qv_free_texts(c->folds[k].speakers, c->folds[k].n_speakers);
            free(c->folds[k].name);
            free(c->folds[k].parts);
        }
        qv_free_texts(c->classes, c->n_classes);
        free(c->folds);
        free(c->name);
        free(c->manifest);
        free(c->hash);
        free(c->content);
    }
    free(p->corpora);
    qv_plan_free_starts(p);
    free(p->command);
    free(p->defaults);
    *p = (qv_plan){0};
}

/* ---- written ---- */

static json_t *corpus_json(const qv_plan_corpus *c)
{
    json_t *folds = json_array();
    int failed = 0;
    for (size_t i = 0; i < c->n_folds; i++) {
        const qv_plan_fold *f = &c->folds[i];
        failed |= json_array_append_new(folds, json_pack("{s:s, s:I, s:I, s:I, s:s?, s:o}", "name", f->name, "train",
                                                         (json_int_t)f->train, "val", (json_int_t)f->val, "test",
                                                         (json_int_t)f->test, "parts", f->parts, "speakers",
                                                         qv_json_names(f->speakers, f->n_speakers)));
    }
    json_t *corpus =
        json_pack("{s:s, s:s, s:s, s:s*, s:I, s:I, s:o, s:o}", "name", c->name, "manifest", c->manifest, "hash",
                  c->hash, "content", c->content, "recordings", (json_int_t)c->recordings, "skipped",
                  (json_int_t)c->skipped, "classes", qv_json_names(c->classes, c->n_classes), "folds", folds);
    if (!failed) return corpus;
    json_decref(corpus);
    return NULL;
}

qv_status qv_plan_write(qv_ctx *ctx, const qv_plan *p, const char *out)
{
    qv_status status = QV_OK;
    char *path = NULL, *text = NULL;
    json_t *corpora = json_array();
    int failed = 0;
    for (size_t i = 0; i < p->n_corpora; i++) failed |= json_array_append_new(corpora, corpus_json(&p->corpora[i]));
    json_t *root = json_pack("{s:i, s:i, s:s?, s:s?, s:o, s:o}", "format", FORMAT, "seeds", p->seeds, "command",
                             p->command, "defaults", p->defaults, "starts", qv_plan_starts_json(p), "corpora", corpora);
    if (!failed) text = qv_json_text(root, JSON_INDENT(1));
    json_decref(root);
    if (!text) return qv_fail(ctx, QV_ERR_DATA, "%s/plan.json: a name in it is not UTF-8, or there is no memory", out);
    QV_TRY(qv_path_join(ctx, &path, out, "plan.json"));
    QV_TRY(qv_write_file(ctx, path, text, strlen(text)));
done:
    free(path);
    free(text);
    return status;
}

/* ---- read ---- */

static qv_status take_corpus(qv_ctx *ctx, const json_t *from, qv_plan_corpus *c)
{
    const json_t *folds = json_object_get(from, "folds");
    size_t n = json_array_size(folds);
    qv_status status = QV_OK;
    QV_TRY(qv_json_take_text(ctx, from, "name", &c->name));
    QV_TRY(qv_json_take_text(ctx, from, "manifest", &c->manifest));
    QV_TRY(qv_json_take_text(ctx, from, "hash", &c->hash));
    if (json_object_get(from, "content")) QV_TRY(qv_json_take_text(ctx, from, "content", &c->content));
    QV_TRY(qv_json_take_count(ctx, from, "recordings", &c->recordings));
    QV_TRY(qv_json_take_count(ctx, from, "skipped", &c->skipped));
    QV_TRY(qv_json_take_names(ctx, from, "classes", MOST, &c->classes, &c->n_classes));
    if (n < 1 || n > QV_MOST_FOLDS) return qv_json_wrong(ctx, "folds", "a list of them");
    QV_TRY(qv_alloc(ctx, &c->folds, n, sizeof *c->folds));
    for (size_t i = 0; i < n; i++) {
        qv_plan_fold *f = &c->folds[c->n_folds++];
        const json_t *fold = json_array_get(folds, i);
        QV_TRY(qv_json_take_text(ctx, fold, "name", &f->name));
        if (strchr(f->name, '/')) return qv_json_wrong(ctx, "name", "that of a fold, without /");
        for (size_t k = 0; k < i; k++) /* its records would count twice */
            if (strcmp(c->folds[k].name, f->name) == 0) return qv_json_wrong(ctx, "name", "another for each fold");
        QV_TRY(qv_json_take_count(ctx, fold, "train", &f->train));
        QV_TRY(qv_json_take_count(ctx, fold, "test", &f->test));
        QV_TRY(qv_json_take_names(ctx, fold, "speakers", MOST, &f->speakers, &f->n_speakers));
        if (!json_is_string(json_object_get(fold, "parts"))) continue;
        QV_TRY(qv_json_take_count(ctx, fold, "val", &f->val));
        QV_TRY(qv_json_take_text(ctx, fold, "parts", &f->parts));
    }
done:
    return status;
}

static qv_status take_plan(qv_ctx *ctx, const json_t *root, qv_plan *p, const qv_study *s)
{
    const json_t *corpora = json_object_get(root, "corpora");
    const char *command = json_string_value(json_object_get(root, "command"));
    const char *defaults = json_string_value(json_object_get(root, "defaults"));
    size_t seeds = 0;
    qv_status status = QV_OK;
    if (json_integer_value(json_object_get(root, "format")) != FORMAT) return qv_json_wrong(ctx, "format", "1");
    QV_TRY(qv_json_take_count(ctx, root, "seeds", &seeds));
    if (seeds < 1 || seeds > MOST_SEEDS) return qv_json_wrong(ctx, "seeds", "1 to 10000");
    p->seeds = (int)seeds;
    if (command) QV_TRY(qv_strdup(ctx, &p->command, command));
    if (defaults) QV_TRY(qv_strdup(ctx, &p->defaults, defaults));
    if (json_array_size(corpora) != s->n_corpora) return qv_json_wrong(ctx, "corpora", "those of study.ini");
    QV_TRY(qv_alloc(ctx, &p->corpora, s->n_corpora, sizeof *p->corpora));
    for (size_t i = 0; i < s->n_corpora; i++) {
        p->n_corpora++;
        QV_TRY(take_corpus(ctx, json_array_get(corpora, i), &p->corpora[i]));
        if (strcmp(p->corpora[i].name, s->corpora[i].name) != 0)
            return qv_json_wrong(ctx, "corpora", "those of study.ini");
    }
    QV_TRY(qv_plan_read_starts(ctx, p, json_object_get(root, "starts")));
done:
    return status;
}

qv_status qv_plan_read(qv_ctx *ctx, qv_plan *p, const qv_study *s, const char *out)
{
    qv_status status = QV_OK;
    char *path = NULL, *text = NULL;
    size_t size;
    json_t *root = NULL;
    json_error_t error;
    *p = (qv_plan){0};
    QV_TRY(qv_path_join(ctx, &path, out, "plan.json"));
    if (!qv_path_exists(path)) {
        status = qv_fail(ctx, QV_ERR_USAGE, "%s holds no study that was begun (no plan.json)", out);
        goto done;
    }
    QV_TRY(qv_read_file(ctx, path, LARGEST_PLAN, &text, &size));
    root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    status = root ? take_plan(ctx, root, p, s) : qv_fail(ctx, QV_ERR_DATA, "line %d: %s", error.line, error.text);
    if (status != QV_OK) qv_fail_prefix(ctx, status, "%s (the study's own command writes it again)", path);
done:
    if (status != QV_OK) qv_plan_free(p);
    json_decref(root);
    free(text);
    free(path);
    return status;
}

/* ---- compared ---- */

bool qv_plan_same_fold(const qv_plan_fold *a, const qv_plan_fold *b)
{
    if (strcmp(a->name, b->name) != 0 || a->test != b->test || a->n_speakers != b->n_speakers) return false;
    if (a->parts && b->parts ? strcmp(a->parts, b->parts) != 0 : a->train != b->train) return false;
    for (size_t k = 0; k < a->n_speakers; k++)
        if (strcmp(a->speakers[k], b->speakers[k]) != 0) return false;
    return true;
}

static bool same_folds(const qv_plan_corpus *a, const qv_plan_corpus *b)
{
    for (size_t f = 0; f < a->n_folds; f++)
        if (!qv_plan_same_fold(&a->folds[f], &b->folds[f])) return false;
    return true;
}

/* Where one of the two does not say, there is nothing to hold against the other. */
bool qv_plan_same_content(const qv_plan_corpus *a, const qv_plan_corpus *b)
{
    return !a->content || !b->content || strcmp(a->content, b->content) == 0;
}

/* The line of `lines` with the name that `line` has up to its " = "; NULL: none. */
static const char *line_of(const char *lines, const char *line)
{
    const char *equals = strstr(line, " = ");
    for (const char *at = lines; equals && *at; at += strcspn(at, "\n"), at += *at == '\n')
        if (strncmp(at, line, (size_t)(equals - line) + 3) == 0) return at;
    return NULL;
}

/* A setting that one of the two does not have stands in the other at what leaves all as it is. */
qv_status qv_plan_same_defaults(qv_ctx *ctx, const qv_plan *a, const qv_plan *b, const char *name_a,
                                const char *name_b)
{
    for (const char *x = a->defaults; x && b->defaults && *x; x += strcspn(x, "\n"), x += *x == '\n') {
        const char *y = line_of(b->defaults, x);
        const int nx = (int)strcspn(x, "\n"), ny = y ? (int)strcspn(y, "\n") : nx;
        if (y && (nx != ny || memcmp(x, y, (size_t)nx) != 0))
            return qv_fail(ctx, QV_ERR_DATA,
                           "%s comes of a program with the default %.*s, %s of one with %.*s: settings that leave it out "
                           "are not the same, and need another --out",
                           name_a, nx, x, name_b, ny, y);
    }
    return QV_OK;
}

qv_status qv_plan_same(qv_ctx *ctx, const qv_plan *a, const qv_plan *b, const char *name_a, const char *name_b)
{
    qv_status status = qv_plan_same_defaults(ctx, a, b, name_a, name_b);
    if (status == QV_OK) status = qv_plan_same_starts(ctx, a, b, name_a, name_b);
    if (status != QV_OK) return status;
    for (size_t i = 0; i < a->n_corpora; i++) {
        const qv_plan_corpus *x = &a->corpora[i], *y = &b->corpora[i];
        if (strcmp(x->hash, y->hash) != 0)
            return qv_fail(ctx, QV_ERR_DATA,
                           "corpus %s: the manifest of %s has the hash %s, that of %s %s; results of two "
                           "manifests are not one study, and need another --out",
                           x->name, name_a, x->hash, name_b, y->hash);
        if (x->skipped != y->skipped)
            return qv_fail(ctx, QV_ERR_DATA,
                           "corpus %s: %zu of its recordings could not be read for %s, %zu for %s; trainings on other "
                           "recordings are not one study: give the same files, or another --out",
                           x->name, x->skipped, name_a, y->skipped, name_b);
        if (!qv_plan_same_content(x, y))
            return qv_fail(
                ctx, QV_ERR_DATA,
                "corpus %s: the files of its recordings have the hash %s for %s, %s for %s: what some of them hold "
                "is another; give the same files, or another --out",
                x->name, x->content, name_a, y->content, name_b);
        if (x->n_folds != y->n_folds || !same_folds(x, y))
            return qv_fail(
                ctx, QV_ERR_DATA,
                "corpus %s: %s and %s have other folds, or others of its recordings could not be read; they need "
                "another --out",
                x->name, name_a, name_b);
    }
    return QV_OK;
}

/* ---- settled ---- */

typedef struct seed_search {
    uint64_t first;
    int seeds; /* as many as the study has at least */
} seed_search;

static qv_status look_at_record(qv_ctx *ctx, void *user, const char *path)
{
    seed_search *at = user;
    static const char fold[] = "fold-", mark[] = ".seed-"; /* "fold-3.seed-2.jsonl" */
    const char *base = qv_path_base(path), *number = strrchr(base, '.');
    char *end;
    (void)ctx;
    while (number && number > base && strncmp(number, mark, sizeof mark - 1) != 0) number--;
    if (strncmp(base, fold, sizeof fold - 1) != 0 || !number || number == base) return QV_OK;
    number += sizeof mark - 1;
    if (*number < '0' || *number > '9') return QV_OK;
    const uint64_t seed = strtoull(number, &end, 10);
    if (strcmp(end, ".jsonl") != 0 || seed < at->first || seed - at->first >= MOST_SEEDS) return QV_OK;
    const int seeds = (int)(seed - at->first) + 1;
    if (seeds > at->seeds) at->seeds = seeds;
    return QV_OK;
}

/* Up to the last seed of which OUT has a record; 0: it has none, though it may have folders for them. */
static qv_status seeds_recorded(qv_ctx *ctx, const qv_study *s, const char *out, int *seeds)
{
    char *records = NULL;
    seed_search at = {.first = s->first_seed};
    qv_status status = qv_path_join(ctx, &records, out, "records");
    if (status == QV_OK && qv_path_exists(records)) status = qv_walk(ctx, records, look_at_record, &at);
    free(records);
    *seeds = at.seeds;
    return status;
}

/* The plan of OUT; zeroed where there is none that counts. Before the first record nothing speaks against another, but
 * that somebody works by this one, and one that is damaged is written anew. */
static qv_status read_begun(qv_ctx *ctx, qv_plan *then, const qv_study *s, const char *out, bool counts)
{
    char *path = NULL;
    qv_status status = qv_path_join(ctx, &path, out, "plan.json");
    *then = (qv_plan){0};
    if (status == QV_OK && counts && qv_path_exists(path)) status = qv_plan_read(ctx, then, s, out);
    free(path);
    return status == QV_ERR_DATA ? QV_OK : status;
}

/* What repeats the study says how many seeds, where its file says otherwise and nobody has asked. */
static qv_status add_seeds(qv_ctx *ctx, qv_plan *p)
{
    static const char start[] = "quaver study"; /* right behind it: what follows a "--" is no option */
    const size_t whole = strlen(p->command), n = sizeof start - 1;
    const int head = (int)(strncmp(p->command, start, n) == 0 ? n : whole);
    qv_buf b = {0};
    qv_buf_printf(&b, "%.*s --seeds %d%s", head, p->command, p->seeds, p->command + head);
    const qv_status status = qv_buf_check(ctx, &b);
    if (status != QV_OK) {
        qv_buf_free(&b);
        return status;
    }
    free(p->command);
    p->command = b.data;
    return QV_OK;
}

qv_status qv_plan_settle(qv_ctx *ctx, qv_plan *p, const qv_study *s, const char *out, int asked, bool alone)
{
    qv_status status = QV_OK;
    qv_plan then = {0};
    int recorded;
    QV_TRY(seeds_recorded(ctx, s, out, &recorded));
    QV_TRY(read_begun(ctx, &then, s, out, recorded > 0 || !alone));
    if (then.corpora) QV_TRY(qv_plan_same(ctx, &then, p, out, "this command"));
    const int had = then.seeds > recorded ? then.seeds : recorded; /* a plan that is damaged says nothing */
    p->seeds = asked ? asked : s->seeds;
    if (asked && asked < had) {
        status = qv_fail(ctx, QV_ERR_USAGE,
                         "--seeds %d: %s has %d already, and what is taken away after looking is chosen; "
                         "another --out begins anew",
                         asked, out, had);
        goto done;
    }
    if (p->seeds < had) qv_info(ctx, "%s has %d seeds already and goes on with them", out, had);
    if (p->seeds < had) p->seeds = had;
    if (p->command && !asked && p->seeds != s->seeds) status = add_seeds(ctx, p);
done:
    qv_plan_free(&then);
    return status;
}

/* ---- the folder ---- */

qv_status qv_study_of_folder(qv_ctx *ctx, qv_study **s, const char *out)
{
    char *path = NULL;
    *s = NULL;
    qv_status status = qv_path_join(ctx, &path, out, "study.ini");
    if (status == QV_OK && !qv_path_exists(path))
        status = qv_fail(ctx, QV_ERR_USAGE, "%s holds no study (no study.ini); give the --out folder of one", out);
    if (status == QV_OK) status = qv_study_read(ctx, s, path, NULL, 0);
    free(path);
    return status;
}

/* Where the piece of two texts begins in which they differ first, pieces being what stands between these letters. */
static size_t differing_piece(const char *a, const char *b, const char *between)
{
    size_t begin = 0;
    for (size_t i = 0; a[i] && a[i] == b[i]; i++)
        if (strchr(between, a[i])) begin = i + 1;
    return begin;
}

/* The first line in which two texts differ; of a cell, "cell NAME:KEY = VALUE;KEY = VALUE;...", its name and the
 * setting that is another, where both have it. */
static qv_status refuse(qv_ctx *ctx, const char *out, const char *then, const char *now)
{
    enum { SHOWN = 300 };
    size_t line = differing_piece(then, now, "\n"), piece = differing_piece(then + line, now + line, ":;");
    const char *a = then + line, *b = now + line, *end = "\n";
    size_t key = strcspn(a + piece, "=\n");
    const bool setting = strncmp(a, "cell ", 5) == 0 && piece > 0 && a[piece + key] == '=' &&
                         strncmp(a + piece, b + piece, key + 1) == 0;
    const size_t name = setting ? strcspn(a, ":") + 1 : 0;
    if (setting) a += piece, b += piece, end = ";\n";
    int na = (int)strcspn(a, end), nb = (int)strcspn(b, end);
    return qv_fail(
        ctx, QV_ERR_USAGE,
        "%s was begun with another study: %.*s%s\"%.*s\" then, \"%.*s\" now. What is compared stands before the first "
        "run: another --out begins anew (with --reuse %s it takes over the runs that are the same)",
        out, (int)(name < SHOWN ? name : SHOWN), then + line, name ? " " : "", na < SHOWN ? na : SHOWN, a,
        nb < SHOWN ? nb : SHOWN, b, out);
}

qv_status qv_study_same(qv_ctx *ctx, const char *out, const qv_study *then, const qv_study *now)
{
    qv_buf a = {0}, b = {0};
    qv_study_identity(then, &a);
    qv_study_identity(now, &b);
    qv_status status = qv_buf_check(ctx, a.failed ? &a : &b);
    if (status == QV_OK && strcmp(a.data, b.data) != 0) status = refuse(ctx, out, a.data, b.data);
    qv_buf_free(&a);
    qv_buf_free(&b);
    return status;
}

/* Both write a report.html, and each would take the other's away. */
static qv_status refuse_run(qv_ctx *ctx, const char *out)
{
    char *path;
    qv_status status = qv_path_join(ctx, &path, out, "config.ini");
    if (status == QV_OK && qv_path_exists(path))
        status = qv_fail(ctx, QV_ERR_USAGE, "%s holds a run (config.ini); a study needs another --out", out);
    free(path);
    return status;
}

qv_status qv_study_check_folder(qv_ctx *ctx, const qv_study *s, const char *out, bool *begun)
{
    qv_status status = QV_OK;
    char *path = NULL;
    qv_study *then = NULL;
    QV_TRY(qv_path_join(ctx, &path, out, "study.ini"));
    *begun = qv_path_exists(path);
    if (!*begun) {
        status = refuse_run(ctx, out);
        goto done;
    }
    QV_TRY(qv_study_read(ctx, &then, path, NULL, 0));
    QV_TRY(qv_study_same(ctx, out, then, s));
done:
    qv_study_free(then);
    free(path);
    return status;
}

qv_status qv_study_claim_folder(qv_ctx *ctx, const qv_study *s, const char *out)
{
    qv_status status = QV_OK;
    char *path = NULL;
    bool begun;
    QV_TRY(qv_make_dirs(ctx, out));
    QV_TRY(qv_study_check_folder(ctx, s, out, &begun));
    if (begun) goto done;
    QV_TRY(qv_path_join(ctx, &path, out, "study.ini"));
    QV_TRY(qv_write_file(ctx, path, s->text, strlen(s->text)));
done:
    free(path);
    return status;
}
