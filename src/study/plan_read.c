/* The study file, line by line. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/ini.h"
#include "base/io.h"
#include "base/nearest.h"
#include "base/real.h"
#include "study/plan_own.h"

enum { LARGEST_FILE = 1 << 20, MOST_NAME = 40 };

typedef struct reader {
    qv_study *s;
    bool seeds, first_seed, alpha, expect; /* were given; expect: of the comparison at hand */
} reader;

/* Names become parts of file names. */
static qv_status check_name(qv_ctx *ctx, const char *what, const char *name)
{
    static const char fit[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t n = strlen(name);
    if (n > 0 && n <= MOST_NAME && strspn(name, fit) == n && name[0] != '.' && strcmp(name, "-") != 0) return QV_OK;
    return qv_fail(ctx, QV_ERR_DATA, "%s \"%.60s\": a name has 1 to %d letters, digits, '.', '_' or '-'", what, name,
                   MOST_NAME);
}

/* A key given twice is a mistake. */
static qv_status check_new(qv_ctx *ctx, bool given, const qv_ini_line *l)
{
    return given ? qv_fail(ctx, QV_ERR_DATA, "%s is given twice in [%s]", l->key, l->section) : QV_OK;
}

static qv_status set_once(qv_ctx *ctx, char **field, const qv_ini_line *l)
{
    qv_status status = check_new(ctx, *field != NULL, l);
    if (status != QV_OK) return status;
    if (!*l->value) return qv_fail(ctx, QV_ERR_DATA, "%s has no value", l->key);
    return qv_strdup(ctx, field, l->value);
}

static qv_status unknown_key(qv_ctx *ctx, const qv_ini_line *l, const char *const *names, size_t n)
{
    const char *near = qv_nearest(l->key, names, n);
    qv_buf list = {0};
    for (size_t i = 0; i < n; i++) qv_buf_printf(&list, "%s%s", i ? ", " : "", names[i]);
    qv_status status = near ? qv_fail(ctx, QV_ERR_DATA, "[%s] has no %s; did you mean %s?", l->section, l->key, near)
                            : qv_fail(ctx, QV_ERR_DATA, "[%s] has no %s; it has %s", l->section, l->key,
                                      list.failed ? "others" : list.data);
    qv_buf_free(&list);
    return status;
}

static qv_status whole_number(qv_ctx *ctx, const char *key, const char *value, double low, double high, double *out)
{
    if (qv_read_real(value, out) && *out >= low && *out <= high && *out == floor(*out)) return QV_OK;
    return qv_fail(ctx, QV_ERR_DATA, "%s = %.60s: expected a whole number from %g to %g", key, value, low, high);
}

/* A number that may be given once. */
static qv_status number_once(qv_ctx *ctx, bool *given, const qv_ini_line *l, double low, double high, double *out)
{
    qv_status status = whole_number(ctx, l->key, l->value, low, high, out);
    if (status == QV_OK) status = check_new(ctx, *given, l);
    *given = true;
    return status;
}

static qv_status read_alpha(qv_ctx *ctx, reader *r, const qv_ini_line *l)
{
    double alpha;
    if (!qv_read_real(l->value, &alpha) || !(alpha > 0 && alpha <= 0.5))
        return qv_fail(ctx, QV_ERR_DATA, "alpha = %.60s: expected a number above 0, at most 0.5", l->value);
    qv_status status = check_new(ctx, r->alpha, l);
    r->alpha = true;
    r->s->alpha = alpha;
    return status;
}

static qv_status read_study(qv_ctx *ctx, reader *r, const qv_ini_line *l)
{
    static const char *const keys[] = {"question", "seeds", "first_seed", "alpha", "baseline", "claim"};
    qv_study *s = r->s;
    double x = 0;
    if (strcmp(l->key, "question") == 0) return set_once(ctx, &s->question, l);
    qv_ini_cut_comment(l->value);
    if (strcmp(l->key, "alpha") == 0) return read_alpha(ctx, r, l);
    if (strcmp(l->key, "baseline") == 0) {
        s->baseline_line = l->line;
        return set_once(ctx, &s->baseline_text, l);
    }
    if (strcmp(l->key, "claim") == 0) {
        s->claim_line = l->line;
        return set_once(ctx, &s->claim, l);
    }
    qv_status status = QV_OK;
    if (strcmp(l->key, "seeds") == 0) {
        status = number_once(ctx, &r->seeds, l, 1, 10000, &x);
        s->seeds = status == QV_OK ? (int)x : 1;
    } else if (strcmp(l->key, "first_seed") == 0) {
        status = number_once(ctx, &r->first_seed, l, 0, 0x1p53, &x);
        s->first_seed = status == QV_OK ? (uint64_t)x : 1;
    } else {
        status = unknown_key(ctx, l, keys, sizeof keys / sizeof *keys);
    }
    return status;
}

static qv_status read_embedded(qv_ctx *ctx, qv_study_corpus *c, const qv_ini_line *l)
{
    const char *at = l->value;
    char words[3][QV_STUDY_WORD];
    double speakers, sentences;
    qv_status status = QV_OK;
    if (!qv_study_word(&at, words[0]) || !qv_study_word(&at, words[1]) || qv_study_word(&at, words[2]))
        return qv_fail(ctx, QV_ERR_DATA, "embedded = %.60s: expected SPEAKERS SENTENCES, as in 8 3", l->value);
    QV_TRY(whole_number(ctx, "embedded: speakers", words[0], 2, 99, &speakers));
    QV_TRY(whole_number(ctx, "embedded: sentences", words[1], 1, 99, &sentences));
    QV_TRY(check_new(ctx, c->speakers > 0, l));
    c->speakers = (int)speakers;
    c->sentences = (int)sentences;
done:
    return status;
}

static qv_status read_corpus(qv_ctx *ctx, qv_study *s, const qv_ini_line *l)
{
    static const char *const keys[] = {"manifest", "embedded", "folds", "labels"};
    qv_study_corpus *c = &s->corpora[s->n_corpora - 1];
    if (strcmp(l->key, "manifest") == 0) return set_once(ctx, &c->manifest, l);
    if (strcmp(l->key, "folds") == 0) return set_once(ctx, &c->folds, l);
    qv_ini_cut_comment(l->value);
    if (strcmp(l->key, "labels") == 0) return set_once(ctx, &c->labels, l);
    if (strcmp(l->key, "embedded") == 0) return read_embedded(ctx, c, l);
    return unknown_key(ctx, l, keys, sizeof keys / sizeof *keys);
}

static qv_status add_level(qv_ctx *ctx, qv_study_axis *a, const char *name, const char *assignments, int line)
{
    qv_status status = QV_OK;
    qv_study_level *level;
    QV_TRY(check_name(ctx, "level", name));
    for (size_t i = 0; i < a->n; i++)
        if (strcmp(a->levels[i].name, name) == 0)
            return qv_fail(ctx, QV_ERR_DATA, "axis %s has the level %s twice", a->name, name);
    QV_TRY(qv_grow(ctx, &a->levels, &a->cap, a->n + 1, sizeof *a->levels));
    level = &a->levels[a->n++];
    *level = (qv_study_level){.line = line};
    QV_TRY(qv_strdup(ctx, &level->name, name));
    QV_TRY(qv_strdup(ctx, &level->assignments, assignments));
done:
    return status;
}

/* "values = 0.1, 1" with "setting = shake.gamma0", in any order. */
static qv_status short_levels(qv_ctx *ctx, qv_study_axis *a, int line)
{
    char word[QV_STUDY_WORD];
    qv_buf text = {0};
    qv_status status = QV_OK;
    if (!a->setting || !a->values) return QV_OK;
    for (const char *at = a->values; qv_study_word(&at, word);) {
        text.len = 0;
        qv_buf_printf(&text, "%s=%s", a->setting, word);
        QV_TRY(qv_buf_check(ctx, &text));
        QV_TRY(add_level(ctx, a, word, text.data, line));
    }
done:
    qv_buf_free(&text);
    return status;
}

static qv_status read_axis(qv_ctx *ctx, qv_study *s, const qv_ini_line *l)
{
    static const char *const keys[] = {"setting", "values"};
    qv_study_axis *a = &s->axes[s->n_axes - 1];
    qv_status status = QV_OK;
    qv_ini_cut_comment(l->value);
    bool is_short = strcmp(l->key, keys[0]) == 0 || strcmp(l->key, keys[1]) == 0;
    if (!is_short && *l->value && !strchr(l->value, '=') && qv_nearest(l->key, keys, 2)) /* no level looks so */
        return unknown_key(ctx, l, keys, 2);
    if ((is_short && a->n > 0) || (!is_short && (a->setting || a->values)))
        return qv_fail(ctx, QV_ERR_DATA, "an axis has either setting and values, or a line a level; [%s] mixes them",
                       l->section);
    if (!is_short) return add_level(ctx, a, l->key, l->value, l->line);
    QV_TRY(set_once(ctx, l->key[0] == 's' ? &a->setting : &a->values, l));
    QV_TRY(short_levels(ctx, a, l->line));
done:
    return status;
}

static qv_status read_assignment(qv_ctx *ctx, qv_study *s, const qv_ini_line *l, const char *cells)
{
    qv_status status = QV_OK;
    qv_study_assignment *a;
    qv_ini_cut_comment(l->value);
    for (size_t i = 0; i < s->n_assignments; i++) {
        a = &s->assignments[i];
        if (strcmp(a->key, l->key) == 0 && (cells ? a->cells && strcmp(a->cells, cells) == 0 : !a->cells))
            return qv_fail(ctx, QV_ERR_DATA, "%s is given twice in [%s]", l->key, l->section);
    }
    QV_TRY(qv_grow(ctx, &s->assignments, &s->cap_assignments, s->n_assignments + 1, sizeof *s->assignments));
    a = &s->assignments[s->n_assignments++];
    *a = (qv_study_assignment){.line = l->line};
    if (cells) QV_TRY(qv_strdup(ctx, &a->cells, cells));
    QV_TRY(qv_strdup(ctx, &a->key, l->key));
    QV_TRY(qv_strdup(ctx, &a->value, l->value));
done:
    return status;
}

static qv_status read_expect(qv_ctx *ctx, reader *r, qv_comparison *c, const qv_ini_line *l)
{
    char word[QV_STUDY_WORD];
    qv_status status = check_new(ctx, r->expect, l);
    if (status != QV_OK) return status;
    r->expect = true;
    c->ua = c->gap = false;
    for (const char *at = l->value; qv_study_word(&at, word);) {
        if (strcmp(word, "ua") == 0)
            c->ua = true;
        else if (strcmp(word, "gap") == 0)
            c->gap = true;
        else
            return qv_fail(ctx, QV_ERR_DATA, "expect = %.60s: expected ua, gap or both", word);
    }
    return c->ua || c->gap ? QV_OK : qv_fail(ctx, QV_ERR_DATA, "expect: expected ua, gap or both");
}

static qv_status read_comparison(qv_ctx *ctx, reader *r, const qv_ini_line *l)
{
    static const char *const keys[] = {"title", "difference", "expect"};
    qv_comparison *c = &r->s->comparisons[r->s->n_comparisons - 1];
    if (strcmp(l->key, "title") == 0) return set_once(ctx, &c->title, l);
    qv_ini_cut_comment(l->value);
    if (strcmp(l->key, "difference") == 0) {
        c->line = l->line;
        return set_once(ctx, &c->difference, l);
    }
    if (strcmp(l->key, "expect") == 0) return read_expect(ctx, r, c, l);
    return unknown_key(ctx, l, keys, sizeof keys / sizeof *keys);
}

/* ---- sections ---- */

/* Another element of a list whose elements begin with their name; a name that it has is refused. */
static qv_status add_named(qv_ctx *ctx, void *list, size_t *n, size_t *cap, size_t size, const char *what,
                           const char *name)
{
    char **at = list;
    for (size_t i = 0; i < *n; i++)
        if (strcmp(*(char **)(void *)(*at + i * size), name) == 0)
            return qv_fail(ctx, QV_ERR_DATA, "[%s %s] stands there already", what, name);
    qv_status status = qv_grow(ctx, list, cap, *n + 1, size);
    if (status != QV_OK) return status;
    memset(*at + *n * size, 0, size);
    return qv_strdup(ctx, (char **)(void *)(*at + (*n)++ * size), name);
}

static qv_status open_corpus(qv_ctx *ctx, qv_study *s, const char *name, int line)
{
    qv_status status = add_named(ctx, &s->corpora, &s->n_corpora, &s->cap_corpora, sizeof *s->corpora, "corpus", name);
    if (status == QV_OK) s->corpora[s->n_corpora - 1].line = line;
    return status;
}

static qv_status open_axis(qv_ctx *ctx, qv_study *s, const char *name, int line)
{
    qv_status status = add_named(ctx, &s->axes, &s->n_axes, &s->cap_axes, sizeof *s->axes, "axis", name);
    if (status == QV_OK) s->axes[s->n_axes - 1].line = line;
    return status;
}

static qv_status open_comparison(qv_ctx *ctx, reader *r, const char *name, int line)
{
    qv_study *s = r->s;
    r->expect = false;
    qv_status status = add_named(ctx, &s->comparisons, &s->n_comparisons, &s->cap_comparisons, sizeof *s->comparisons,
                                 "compare", name);
    if (status != QV_OK) return status;
    qv_comparison *c = &s->comparisons[s->n_comparisons - 1];
    c->line = line;
    c->ua = c->gap = true;
    return QV_OK;
}

static qv_status unknown_section(qv_ctx *ctx, const char *section)
{
    char word[QV_INI_SECTION];
    snprintf(word, sizeof word, "%.*s", (int)strcspn(section, " \t"), section);
    const char *near = qv_nearest(word, qv_study_sections, QV_STUDY_SECTIONS);
    return near ? qv_fail(ctx, QV_ERR_DATA, "there is no section [%s]; did you mean [%s]?", section, near)
                : qv_fail(ctx, QV_ERR_DATA,
                          "there is no section [%s]; a study has [study], [corpus NAME], [settings], [axis NAME], "
                          "[cells CELL] and [compare NAME]",
                          section);
}

static qv_status open_section(qv_ctx *ctx, reader *r, const qv_ini_line *l)
{
    const char *name;
    qv_study_section kind = qv_study_section_of(l->section, &name);
    switch (kind) {
    case QV_SECTION_STUDY:
    case QV_SECTION_SETTINGS:
        return *name ? qv_fail(ctx, QV_ERR_DATA, "[%s] takes no name", qv_study_sections[kind]) : QV_OK;
    case QV_SECTION_CELLS:
        return *name ? QV_OK : qv_fail(ctx, QV_ERR_DATA, "[cells] names the levels of cells: [cells shaken]");
    case QV_SECTION_CORPUS:
    case QV_SECTION_AXIS:
    case QV_SECTION_COMPARE:
        break;
    default:
        return unknown_section(ctx, l->section);
    }
    qv_status status = check_name(ctx, qv_study_sections[kind], name);
    if (status != QV_OK) return status;
    if (kind == QV_SECTION_CORPUS) return open_corpus(ctx, r->s, name, l->line);
    return kind == QV_SECTION_AXIS ? open_axis(ctx, r->s, name, l->line) : open_comparison(ctx, r, name, l->line);
}

static qv_status read_line(qv_ctx *ctx, void *user, const qv_ini_line *l)
{
    reader *r = user;
    const char *name;
    if (!l->key) return open_section(ctx, r, l);
    switch (qv_study_section_of(l->section, &name)) {
    case QV_SECTION_STUDY:
        return read_study(ctx, r, l);
    case QV_SECTION_SETTINGS:
        return read_assignment(ctx, r->s, l, NULL);
    case QV_SECTION_CORPUS:
        return read_corpus(ctx, r->s, l);
    case QV_SECTION_AXIS:
        return read_axis(ctx, r->s, l);
    case QV_SECTION_CELLS:
        return read_assignment(ctx, r->s, l, name);
    case QV_SECTION_COMPARE:
        return read_comparison(ctx, r, l);
    default:
        return qv_fail(ctx, QV_ERR_DATA, "%s stands before the first section; a study begins with [study]", l->key);
    }
}

/* ---- the whole ---- */

static qv_status check_corpora(qv_ctx *ctx, qv_study *s)
{
    qv_status status = QV_OK;
    if (s->n_corpora == 0)
        return qv_fail(ctx, QV_ERR_DATA, "%s: no corpus; a section [corpus NAME] with manifest = FILE names one",
                       s->path);
    for (size_t i = 0; i < s->n_corpora; i++) {
        qv_study_corpus *c = &s->corpora[i];
        if (!c->manifest == !c->speakers)
            return qv_fail(ctx, QV_ERR_DATA,
                           "%s:%d: corpus %s needs either manifest = FILE or embedded = SPEAKERS SENTENCES", s->path,
                           c->line, c->name);
        if (!c->folds) QV_TRY(qv_strdup(ctx, &c->folds, "speaker"));
        if (!c->labels) QV_TRY(qv_strdup(ctx, &c->labels, ""));
    }
done:
    return status;
}

qv_status qv_study_parse(qv_ctx *ctx, qv_study **out, const char *path, const char *text)
{
    qv_status status = QV_OK;
    qv_study *s = NULL;
    *out = NULL;
    QV_TRY(qv_text_check(ctx, path, text, strlen(text))); /* what it says goes into a page */
    QV_TRY(qv_alloc(ctx, &s, 1, sizeof *s));
    s->seeds = 1;
    s->first_seed = 1;
    s->alpha = 0.05;
    s->baseline = -1;
    QV_TRY(qv_strdup(ctx, &s->path, path));
    QV_TRY(qv_strdup(ctx, &s->text, text));
    QV_TRY(qv_ini_parse(ctx, path, text, read_line, &(reader){.s = s}));
    QV_TRY(check_corpora(ctx, s));
    QV_TRY(qv_study_resolve(ctx, s));
    *out = s;
    s = NULL;
done:
    qv_study_free(s);
    return status;
}

qv_status qv_study_read(qv_ctx *ctx, qv_study **out, const char *path, const qv_study_given *given, size_t n)
{
    qv_status status = QV_OK;
    char *text = NULL;
    qv_buf whole = {0};
    *out = NULL;
    QV_TRY(qv_read_text(ctx, path, LARGEST_FILE, &text));
    QV_TRY(qv_study_override(ctx, &whole, path, text, given, n));
    QV_TRY(qv_study_parse(ctx, out, path, whole.data));
done:
    qv_buf_free(&whole);
    free(text);
    return status;
}

static void free_parts(qv_study *s)
{
    for (size_t i = 0; i < s->n_corpora; i++) {
        free(s->corpora[i].name);
        free(s->corpora[i].manifest);
        free(s->corpora[i].folds);
        free(s->corpora[i].labels);
    }
    for (size_t i = 0; i < s->n_axes; i++) {
        for (size_t k = 0; k < s->axes[i].n; k++) {
            free(s->axes[i].levels[k].name);
            free(s->axes[i].levels[k].assignments);
        }
        free(s->axes[i].levels);
        free(s->axes[i].name);
        free(s->axes[i].setting);
        free(s->axes[i].values);
    }
    for (size_t i = 0; i < s->n_assignments; i++) {
        free(s->assignments[i].cells);
        free(s->assignments[i].key);
        free(s->assignments[i].value);
    }
}

void qv_study_free(qv_study *s)
{
    if (!s) return;
    free_parts(s);
    for (size_t i = 0; i < s->n_comparisons; i++) {
        free(s->comparisons[i].name);
        free(s->comparisons[i].title);
        free(s->comparisons[i].difference);
        free(s->comparisons[i].weight);
    }
    for (size_t i = 0; i < s->n_cells; i++) {
        free(s->cells[i].name);
        free(s->cells[i].file);
        free(s->cells[i].level);
        free(s->cells[i].identity);
        qv_settings_free(&s->cells[i].settings);
    }
    free(s->path);
    free(s->text);
    free(s->question);
    free(s->baseline_text);
    free(s->claim);
    free(s->corpora);
    free(s->axes);
    free(s->assignments);
    free(s->comparisons);
    free(s->cells);
    free(s->cell_of);
    free(s);
}
