/* Comparisons and verdict from the figures of cells. */
#ifndef QV_STUDY_STUDY_COMPARE_H
#define QV_STUDY_STUDY_COMPARE_H

#include "study/study_results.h"

/* Fills comparisons, verdict, claimed and upheld. */
qv_status qv_results_compare(qv_ctx *ctx, qv_results *r);

#endif
