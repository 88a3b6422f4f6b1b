/* Comparisons and verdict from the figures of cells. */
#ifndef QV_STUDY_STUDY_COMPARE_H
#define QV_STUDY_STUDY_COMPARE_H

#include "study/study_results.h"

/* Fills comparisons, verdict, claimed and upheld of what was gathered. QV_ERR_INTERRUPTED: between two comparisons. */
qv_status qv_results_compare(qv_ctx *ctx, qv_results *r);

/* "significant", "not shown", "cannot be said", "runs failed" or "interim". */
const char *qv_comparison_verdict(const qv_results *r, const qv_comparison_result *c);

/* The smallest corrected p that a comparison on this corpus can come out with, whatever the runs say. */
double qv_plan_smallest_p(const qv_study *s, const qv_plan *p, size_t corpus);
/* Says so where not all comparisons of the claim can be significant, and where weights to begin with know the tested. */
void qv_plan_warn(qv_ctx *ctx, const qv_study *s, const qv_plan *p);

#endif
