/* Settings of the command line, which win over those of the study file. */
#include <stdlib.h>
#include <string.h>

#include "base/ini.h"
#include "base/text.h"
#include "study/plan_own.h"

typedef struct search {
    const qv_study_given *given;
    size_t n;
    int *lines; /* that set one of them */
    size_t n_lines, cap;
} search;

static bool is_given(const search *x, const char *key, size_t length)
{
    for (size_t i = 0; i < x->n; i++)
        if (strlen(x->given[i].key) == length && strncmp(x->given[i].key, key, length) == 0) return true;
    return false;
}

/* What an axis compares is not for the command line to set. */
static qv_status check_axis(qv_ctx *ctx, const search *x, const qv_ini_line *l)
{
    char word[QV_STUDY_WORD];
    for (const char *at = l->value; qv_study_word(&at, word);) {
        size_t n = strcspn(word, "=");
        if (is_given(x, word, n))
            return qv_fail(ctx, QV_ERR_USAGE, "[%s] compares %.*s, so the command line cannot set it", l->section,
                           (int)n, word);
    }
    return QV_OK;
}

static qv_status look_at(qv_ctx *ctx, void *user, const qv_ini_line *l)
{
    search *x = user;
    const char *name;
    qv_study_section section = qv_study_section_of(l->section, &name);
    if (!l->key) return QV_OK;
    if (section == QV_SECTION_AXIS) return check_axis(ctx, x, l);
    if ((section != QV_SECTION_SETTINGS && section != QV_SECTION_CELLS) || !is_given(x, l->key, strlen(l->key)))
        return QV_OK;
    qv_status status = qv_grow(ctx, &x->lines, &x->cap, x->n_lines + 1, sizeof *x->lines);
    if (status == QV_OK) x->lines[x->n_lines++] = l->line;
    return status;
}

/* Those lines become comments, so that the others keep their numbers. */
static void put_text(qv_buf *out, const char *text, const search *x)
{
    size_t next = 0;
    for (int line = 1; *text; line++) {
        size_t n = qv_line_bytes(text);
        if (next < x->n_lines && x->lines[next] == line) {
            qv_buf_puts(out, "; ");
            next++;
        }
        qv_buf_add(out, text, n);
        text += n;
    }
}

qv_status qv_study_override(qv_ctx *ctx, qv_buf *out, const char *path, const char *text, const qv_study_given *given,
                            size_t n)
{
    qv_status status = QV_OK;
    search x = {.given = given, .n = n};
    if (n > 0) QV_TRY(qv_ini_parse(ctx, path, text, look_at, &x));
    qv_buf_puts(out, "");
    put_text(out, text, &x);
    if (n > 0) qv_buf_puts(out, "\n[settings]\n");
    for (size_t i = 0; i < n; i++) qv_buf_printf(out, "%s = %s\n", given[i].key, given[i].value);
    status = qv_buf_check(ctx, out);
done:
    free(x.lines);
    return status;
}
