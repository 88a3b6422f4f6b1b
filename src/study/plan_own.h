/* Inside the study file: what reading hands to resolving. */
#ifndef QV_STUDY_PLAN_OWN_H
#define QV_STUDY_PLAN_OWN_H

#include "study/plan.h"

/* QV_ERR_DATA "PATH:LINE: ...", with the nearest of names where there is one. */
qv_status qv_study_unknown(qv_ctx *ctx, const qv_study *s, int line, const char *what, const char *word,
                           const char *const *names, size_t n);
/* Room for a word: a key with a path as its value. */
enum { QV_STUDY_WORD = 4352 };
/* The next word of *at, words being parted by blanks and commas; false at the end. Longer ones are cut, to be refused
 * as what nothing is called. */
bool qv_study_word(const char **at, char word[QV_STUDY_WORD]);

typedef enum qv_study_section {
    QV_SECTION_UNKNOWN = -1,
    QV_SECTION_STUDY,
    QV_SECTION_SETTINGS,
    QV_SECTION_CORPUS,
    QV_SECTION_AXIS,
    QV_SECTION_CELLS,
    QV_SECTION_COMPARE,
    QV_STUDY_SECTIONS
} qv_study_section;
extern const char *const qv_study_sections[QV_STUDY_SECTIONS]; /* their words */
/* "axis order" is QV_SECTION_AXIS with the name "order". */
qv_study_section qv_study_section_of(const char *section, const char **name);

/* The text of a file as if it had set what the command line sets. QV_ERR_USAGE where an axis compares it. */
qv_status qv_study_override(qv_ctx *ctx, qv_buf *out, const char *path, const char *text, const qv_study_given *given,
                            size_t n);

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
