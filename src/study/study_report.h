/* report.html, report.csv and report.tex of a study's folder. */
#ifndef QV_STUDY_STUDY_REPORT_H
#define QV_STUDY_STUDY_REPORT_H

#include "study/study_compare.h"

/* What a study's folder holds and says, from study.ini, plan.json and records/. Stays where it was read. */
typedef struct qv_findings {
    qv_study *study;
    qv_plan plan;
    qv_results results; /* borrows the other two */
} qv_findings;
qv_status qv_findings_read(qv_ctx *ctx, qv_findings *f, const char *out);
void qv_findings_free(qv_findings *f);

/* Makes all three files, one process at a time; a caller that holds locks of the folder loses them. `path` and `answer`
 * (each may be NULL) get that of the page and its first sentences, for free(). */
qv_status qv_study_report(qv_ctx *ctx, const char *out, char **path, char **answer);

/* The answer in two sentences, made from the numbers. */
void qv_study_answer(const qv_results *r, qv_buf *b);

/* p with so many digits after the point (fixed), or so many that say something, and as many more as it takes to stand
 * on the side of alpha that it is on: 0.0503, not 0.05. */
void qv_study_p(qv_buf *b, double p, int digits, bool fixed, double alpha);

/* The parts. */
qv_status qv_study_page(qv_ctx *ctx, qv_buf *b, const qv_results *r);
void qv_study_csv(qv_buf *b, const qv_results *r);
void qv_study_tex(qv_buf *b, const qv_results *r);

/* Pictures, each one <figure>, of one corpus. */
void qv_study_scatter(qv_buf *b, const qv_results *r, size_t corpus);
void qv_study_forest(qv_buf *b, const qv_results *r, size_t corpus, bool gap);
void qv_study_curves(qv_buf *b, const qv_results *r, size_t corpus);
/* Nothing where no two settings differ in shake.gamma0 alone. */
void qv_study_gamma(qv_buf *b, const qv_results *r, size_t corpus);
/* Scales, and how the branches stand to each other, block by block: one figure each, where a cell has them. */
void qv_study_profiles(qv_buf *b, const qv_results *r, size_t corpus);
/* Nothing where no cell has an embedding of two dimensions. */
void qv_study_embeddings(qv_buf *b, const qv_results *r, size_t corpus);

#endif
