/* A study file that was read, made a study: cells, baseline, claim, comparisons; and what makes it this study. */
#include <string.h>

#include "study/plan_own.h"

static qv_status read_claim(qv_ctx *ctx, qv_study *s)
{
    char word[QV_STUDY_WORD];
    const char *names[256];
    size_t n = 0;
    bool any = false;
    for (size_t i = 0; i < s->n_comparisons; i++) {
        s->comparisons[i].claimed = !s->claim;
        if (n < 256) names[n++] = s->comparisons[i].name;
    }
    for (const char *at = s->claim ? s->claim : ""; qv_study_word(&at, word);) {
        size_t i = 0;
        while (i < s->n_comparisons && strcmp(s->comparisons[i].name, word) != 0) i++;
        if (i == s->n_comparisons) return qv_study_unknown(ctx, s, s->claim_line, "comparison", word, names, n);
        s->comparisons[i].claimed = true;
        any = true;
    }
    return any || !s->claim ? QV_OK
                            : qv_fail(ctx, QV_ERR_DATA, "%s:%d: claim = %s: expected names of comparisons", s->path,
                                      s->claim_line, s->claim);
}

qv_status qv_study_resolve(qv_ctx *ctx, qv_study *s)
{
    qv_status status = QV_OK;
    QV_TRY(qv_study_cells(ctx, s));
    if (s->baseline_text) QV_TRY(qv_study_find(ctx, s, s->baseline_line, s->baseline_text, &s->baseline));
    QV_TRY(read_claim(ctx, s));
    for (size_t i = 0; i < s->n_comparisons; i++) QV_TRY(qv_study_contrast(ctx, s, &s->comparisons[i]));
done:
    return status;
}

void qv_study_identity(const qv_study *s, qv_buf *out)
{
    if (s->question) qv_buf_printf(out, "question = %s\n", s->question);
    qv_buf_puts(out, "alpha = ");
    qv_buf_real(out, s->alpha);
    qv_buf_printf(out, "\nfirst_seed = %llu\n", (unsigned long long)s->first_seed);
    if (s->baseline >= 0) qv_buf_printf(out, "baseline = %s\n", s->cells[s->baseline].name);
    for (size_t i = 0; i < s->n_corpora; i++) {
        const qv_study_corpus *c = &s->corpora[i];
        qv_buf_printf(out, "corpus %s: folds %s, labels %s, embedded %d %d\n", c->name, c->folds, c->labels,
                      c->speakers, c->sentences);
    }
    for (size_t i = 0; i < s->n_cells; i++) {
        qv_buf_printf(out, "cell %s:", s->cells[i].name);
        for (const char *p = s->cells[i].identity; *p; p++) qv_buf_add(out, *p == '\n' ? ";" : p, 1);
        qv_buf_puts(out, "\n");
    }
    for (size_t i = 0; i < s->n_comparisons; i++) {
        const qv_comparison *c = &s->comparisons[i];
        qv_buf_printf(out, "compare %s:%s%s%s", c->name, c->ua ? " ua" : "", c->gap ? " gap" : "",
                      c->claimed ? " claim" : "");
        for (size_t k = 0; k < s->n_cells; k++)
            if (c->weight[k] != 0) qv_buf_printf(out, " %+g %s", c->weight[k], s->cells[k].name);
        qv_buf_puts(out, "\n");
    }
}
