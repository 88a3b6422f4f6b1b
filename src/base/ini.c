#include "base/ini.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

typedef struct reader {
    const char *name;
    qv_ini_fn fn;
    void *user;
    char section[QV_INI_SECTION];
    int line;
} reader;

static bool is_comment(const char *t) { return *t == ';' || *t == '#'; }

void qv_ini_cut_comment(char *value)
{
    for (char *p = value; *p; p++)
        if (is_comment(p) && p > value && qv_is_blank(p[-1])) {
            *p = '\0';
            qv_trimmed(value);
            return;
        }
}

static qv_status bad_line(qv_ctx *ctx, const reader *r, const char *expected, const char *found)
{
    return qv_fail(ctx, QV_ERR_DATA, "%s:%d: expected %s, found %.40s", r->name, r->line, expected, found);
}

static qv_status give(qv_ctx *ctx, const reader *r, const char *key, char *value)
{
    qv_ini_line l = {r->section, key, value, r->line};
    qv_status status = r->fn(ctx, r->user, &l);
    return status == QV_OK ? QV_OK : qv_fail_prefix(ctx, status, "%s:%d", r->name, r->line);
}

static qv_status read_section(qv_ctx *ctx, reader *r, char *t)
{
    size_t n = strcspn(t, "]");
    const char *rest = t + n + (t[n] == ']');
    rest += strspn(rest, " \t");
    if (t[n] != ']' || n > sizeof r->section || (*rest && !is_comment(rest))) return bad_line(ctx, r, "[section]", t);
    t[n] = '\0';
    snprintf(r->section, sizeof r->section, "%s", qv_trimmed(t + 1));
    return give(ctx, r, NULL, NULL);
}

static qv_status read_line(qv_ctx *ctx, reader *r, char *text)
{
    char *t = qv_trimmed(text);
    if (!*t || is_comment(t)) return QV_OK;
    if (*t == '[') return read_section(ctx, r, t);
    size_t n = strcspn(t, "=:");
    if (n == 0 || !t[n]) return bad_line(ctx, r, "key = value", t);
    t[n] = '\0';
    return give(ctx, r, qv_trimmed(t), qv_trimmed(t + n + 1));
}

qv_status qv_ini_parse(qv_ctx *ctx, const char *name, const char *text, qv_ini_fn fn, void *user)
{
    static const char bom[] = "\xEF\xBB\xBF";
    qv_status status = QV_OK;
    char *copy = NULL;
    size_t n;
    reader r = {.name = name, .fn = fn, .user = user};
    QV_TRY(qv_strdup(ctx, &copy, text + (strncmp(text, bom, 3) == 0 ? 3 : 0)));
    for (char *line = copy; (n = qv_line_bytes(line)) > 0; line += n) {
        if (qv_ends_line(line, n - 1)) line[n - 1] = '\0';
        r.line++;
        QV_TRY(read_line(ctx, &r, line));
    }
done:
    free(copy);
    return status;
}
