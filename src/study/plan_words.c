/* Words of a study file, and those that it does not have. */
#include <stdio.h>
#include <string.h>

#include "base/nearest.h"
#include "study/plan_own.h"

const char *const qv_study_sections[QV_STUDY_SECTIONS] = {"study", "settings", "corpus", "axis", "cells", "compare"};

qv_status qv_study_unknown(qv_ctx *ctx, const qv_study *s, int line, const char *what, const char *word,
                           const char *const *names, size_t n)
{
    const char *near = qv_nearest(word, names, n);
    qv_buf list = {0};
    for (size_t i = 0; i < n && i < 12; i++) qv_buf_printf(&list, "%s%s", i ? ", " : "", names[i]);
    qv_status status = near ? qv_fail(ctx, QV_ERR_DATA, "%s:%d: there is no %s %.60s; did you mean %s?", s->path, line,
                                      what, word, near)
                            : qv_fail(ctx, QV_ERR_DATA, "%s:%d: there is no %s %.60s; there are %s", s->path, line,
                                      what, word, list.failed || !list.data ? "none" : list.data);
    qv_buf_free(&list);
    return status;
}

bool qv_study_word(const char **at, char word[QV_STUDY_WORD])
{
    const char *p = *at + strspn(*at, " \t,");
    size_t n = strcspn(p, " \t,");
    snprintf(word, QV_STUDY_WORD, "%.*s", n < QV_STUDY_WORD ? (int)n : QV_STUDY_WORD - 1, p);
    *at = p + n;
    return n > 0;
}

qv_study_section qv_study_section_of(const char *section, const char **name)
{
    size_t n = strcspn(section, " \t");
    *name = section + n + strspn(section + n, " \t");
    for (int i = 0; i < QV_STUDY_SECTIONS; i++)
        if (strlen(qv_study_sections[i]) == n && strncmp(qv_study_sections[i], section, n) == 0)
            return (qv_study_section)i;
    return QV_SECTION_UNKNOWN;
}
