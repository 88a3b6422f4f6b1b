/* From a study's folder to its three files. */
#include "study/study_report.h"

#include <stdlib.h>

#include "base/io.h"

static const char *const files[] = {"report.csv", "report.tex", "report.html"};

qv_status qv_findings_read(qv_ctx *ctx, qv_findings *f, const char *out)
{
    qv_status status = QV_OK;
    *f = (qv_findings){0};
    QV_TRY(qv_study_of_folder(ctx, &f->study, out));
    QV_TRY(qv_plan_read(ctx, &f->plan, f->study, out));
    QV_TRY(qv_results_gather(ctx, &f->results, f->study, &f->plan, out));
    QV_TRY(qv_results_compare(ctx, &f->results));
done:
    if (status != QV_OK) qv_findings_free(f);
    return status;
}

void qv_findings_free(qv_findings *f)
{
    qv_results_free(&f->results);
    qv_plan_free(&f->plan);
    qv_study_free(f->study);
    *f = (qv_findings){0};
}

/* *path (may be NULL) gets the file's path. */
static qv_status write_text(qv_ctx *ctx, const char *out, const char *name, const qv_buf *b, char **path)
{
    char *file = NULL;
    qv_status status = QV_OK;
    QV_TRY(qv_buf_check(ctx, b));
    QV_TRY(qv_path_join(ctx, &file, out, name));
    QV_TRY(qv_write_file(ctx, file, b->data, b->len));
    if (path) *path = file, file = NULL;
done:
    free(file);
    return status;
}

static qv_status take_answer(qv_ctx *ctx, const qv_results *r, char **answer)
{
    qv_buf b = {0};
    qv_study_answer(r, &b);
    *answer = b.data;
    qv_status status = qv_buf_check(ctx, &b);
    if (status != QV_OK) qv_buf_free(&b), *answer = NULL;
    return status;
}

/* Waits for another process that writes them. Nothing is made in a folder that holds no study. */
static qv_status lock_reports(qv_ctx *ctx, qv_run_lock *lock, const char *out)
{
    qv_study *s = NULL;
    bool taken;
    qv_status status = qv_study_of_folder(ctx, &s, out);
    qv_study_free(s);
    if (status == QV_OK) status = qv_run_lock_open(ctx, lock, out);
    if (status == QV_OK) status = qv_run_lock_take(ctx, lock, "report", true, &taken);
    return status;
}

/* Whoever writes last has read last: of two processes that end at the same time, none puts an interim report over that
 * of all runs. */
qv_status qv_study_report(qv_ctx *ctx, const char *out, char **path, char **answer)
{
    qv_status status = QV_OK;
    qv_findings f = {0};
    qv_buf page = {0}, csv = {0}, tex = {0};
    qv_run_lock lock = {.fd = -1};
    if (path) *path = NULL;
    if (answer) *answer = NULL;
    QV_TRY(lock_reports(ctx, &lock, out));
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) qv_out_sweep(out, files[i]);
    QV_TRY(qv_findings_read(ctx, &f, out));
    QV_TRY(qv_study_page(ctx, &page, &f.results));
    qv_study_csv(&csv, &f.results);
    qv_study_tex(&tex, &f.results);
    QV_TRY(write_text(ctx, out, files[0], &csv, NULL));
    QV_TRY(write_text(ctx, out, files[1], &tex, NULL));
    QV_TRY(write_text(ctx, out, files[2], &page, path));
    if (answer) QV_TRY(take_answer(ctx, &f.results, answer));
done:
    qv_run_lock_close(&lock);
    if (status != QV_OK && path) free(*path), *path = NULL;
    qv_buf_free(&page);
    qv_buf_free(&csv);
    qv_buf_free(&tex);
    qv_findings_free(&f);
    return status;
}
