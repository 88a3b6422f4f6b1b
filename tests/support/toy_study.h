/* Studies of milliseconds in a folder of their own, for tests of what studies do. */
#ifndef QV_TEST_TOY_STUDY_H
#define QV_TEST_TOY_STUDY_H

#include "study/study_report.h"
#include "support/support.h"

/* The parts of the toy's study file: two folds of four speakers and two seeds; three axes, of whose eight combinations
 * six differ, so that it has 24 runs; one comparison. */
extern const char qv_toy_study_head[], qv_toy_study_axes[], qv_toy_study_compare[];

/* The study of a text in three parts, which must be right. */
qv_study *qv_toy_study_parse(qv_ctx *ctx, const char *a, const char *b, const char *c);

/* The state of a test between qv_toy_study_setup and _teardown, cmocka's fixtures. */
typedef struct qv_toy_study {
    qv_ctx *ctx;
    char *dir, *cache;  /* removed with all that is in it; `cache` is in it */
    qv_study_options o; /* to be changed before a run: two threads, all else as by default */
    char out[256];
} qv_toy_study;

int qv_toy_study_setup(void **state);
int qv_toy_study_teardown(void **state);

/* The folder of that name in x->dir; until the next call. */
const char *qv_toy_study_folder(qv_toy_study *x, const char *name);
/* Of a file in the folder `out`; released with free(). */
char *qv_toy_study_path(qv_toy_study *x, const char *out, const char *name);
/* What stands in it, likewise. */
char *qv_toy_study_file(qv_toy_study *x, const char *out, const char *name);
void qv_toy_study_write(qv_toy_study *x, const char *out, const char *name, const char *text);

/* Runs the toy into the folder `out`, with more lines at the end of its file. */
qv_status qv_toy_study_run(qv_toy_study *x, const char *out, const char *more);
/* Runs the study of another text, which must go well. */
void qv_toy_study_run_text(qv_toy_study *x, const char *out, const char *text);

/* What the folder's records say; released with qv_findings_free(). */
void qv_toy_study_findings(qv_toy_study *x, qv_findings *f, const char *out);
/* The digest of the folder's records, of which there must be so many. */
uint64_t qv_toy_study_digest(qv_toy_study *x, const char *out, size_t runs);

#endif
