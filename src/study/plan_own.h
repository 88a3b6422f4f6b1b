/* Inside the study file: what reading hands to resolving. */
#ifndef QV_STUDY_PLAN_OWN_H
#define QV_STUDY_PLAN_OWN_H

#include "study/plan.h"

/* QV_ERR_DATA "PATH:LINE: ...", with the nearest of names where there is one. */
qv_status qv_study_unknown(qv_ctx *ctx, const qv_study *s, int line, const char *what, const char *word,
                           const char *const *names, size_t n);
/* The next word of *at into word[64], words being parted by blanks and commas; false at the end. Longer ones are cut.
 */
bool qv_study_word(const char **at, char word[64]);

/* Cells, baseline, claim and comparisons of a file that was read. */
qv_status qv_study_resolve(qv_ctx *ctx, qv_study *s);
/* All cells with their settings; combinations that train the same are one. */
qv_status qv_study_cells(qv_ctx *ctx, qv_study *s);
/* Which combinations a CELL text names: matches[n_combinations]. */
qv_status qv_study_match(qv_ctx *ctx, const qv_study *s, int line, const char *cells, bool *matches);
/* The one cell that it names. */
qv_status qv_study_find(qv_ctx *ctx, const qv_study *s, int line, const char *cell, int *index);
/* The weights of a difference. */
qv_status qv_study_contrast(qv_ctx *ctx, const qv_study *s, qv_comparison *c);

#endif
