/* "(A - B) - (C - D)" to a weight for every cell. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "study/plan_own.h"

enum { DEEPEST = 16, LONGEST_CELL = 512 };

typedef struct parser {
    qv_ctx *ctx;
    const qv_study *s;
    qv_comparison *c;
    const char *at;
} parser;

static qv_status expected(const parser *p, const char *what)
{
    return qv_fail(p->ctx, QV_ERR_DATA, "%s:%d: comparison %s: expected %s %s%.40s", p->s->path, p->c->line, p->c->name,
                   what, *p->at ? "before: " : "at the end", p->at);
}

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == ','; }
static void skip_blanks(parser *p) { p->at += strspn(p->at, " \t,"); }

/* A plus or minus that stands alone; within a word it belongs to the name. */
static bool is_sign(const char *at) { return (*at == '-' || *at == '+') && (is_blank(at[1]) || at[1] == '('); }

static qv_status sum(parser *p, double weight, int depth);

/* Levels up to a sign, a bracket or the end. */
static qv_status cell(parser *p, double weight)
{
    char text[LONGEST_CELL];
    size_t n = 0;
    int index = 0;
    while (*p->at && *p->at != '(' && *p->at != ')') {
        if (is_sign(p->at) && (n == 0 || is_blank(p->at[-1]))) break;
        if (n + 1 >= sizeof text) return expected(p, "a shorter cell");
        text[n++] = *p->at++;
    }
    text[n] = '\0';
    if (n == 0) return expected(p, "a cell");
    qv_status status = qv_study_find(p->ctx, p->s, p->c->line, text, &index);
    if (status == QV_OK) p->c->weight[index] += weight;
    return status;
}

static qv_status term(parser *p, double weight, int depth)
{
    skip_blanks(p);
    if (*p->at != '(') return cell(p, weight);
    if (depth == DEEPEST) return expected(p, "fewer brackets");
    p->at++;
    qv_status status = sum(p, weight, depth + 1);
    if (status != QV_OK) return status;
    if (*p->at != ')') return expected(p, ")");
    p->at++;
    return QV_OK;
}

static qv_status sum(parser *p, double weight, int depth)
{
    qv_status status = term(p, weight, depth);
    skip_blanks(p);
    while (status == QV_OK && is_sign(p->at)) {
        double sign = *p->at++ == '-' ? -1 : 1;
        status = term(p, sign * weight, depth);
        skip_blanks(p);
    }
    return status;
}

qv_status qv_study_contrast(qv_ctx *ctx, const qv_study *s, qv_comparison *c)
{
    parser p = {ctx, s, c, c->difference};
    double total = 0, size = 0;
    if (!c->difference)
        return qv_fail(ctx, QV_ERR_DATA, "%s:%d: comparison %s has no difference = CELL - CELL", s->path, c->line,
                       c->name);
    qv_status status = qv_alloc(ctx, &c->weight, s->n_cells, sizeof *c->weight);
    if (status == QV_OK) status = sum(&p, 1, 0);
    if (status == QV_OK && *p.at) status = expected(&p, "a sign with blanks round it, or the end");
    if (status != QV_OK) return status;
    for (size_t i = 0; i < s->n_cells; i++) {
        total += c->weight[i];
        size += fabs(c->weight[i]);
    }
    if (size == 0)
        return qv_fail(ctx, QV_ERR_DATA, "%s:%d: comparison %s: the cells cancel, so nothing is compared", s->path,
                       c->line, c->name);
    if (total != 0)
        return qv_fail(ctx, QV_ERR_DATA, "%s:%d: comparison %s adds up to %+g cells; a difference adds up to none",
                       s->path, c->line, c->name, total);
    return QV_OK;
}
