#include "study/study_reuse.h"

#include <stdlib.h>
#include <string.h>

#include "base/io.h"

qv_status qv_reuse_open(qv_ctx *ctx, qv_reuse *x, const char *folder)
{
    qv_status status = QV_OK;
    *x = (qv_reuse){.folder = folder};
    QV_TRY(qv_study_of_folder(ctx, &x->study, folder));
    QV_TRY(qv_plan_read(ctx, &x->plan, x->study, folder));
done:
    return status;
}

void qv_reuse_close(qv_reuse *x)
{
    qv_plan_free(&x->plan);
    qv_study_free(x->study);
    *x = (qv_reuse){0};
}

/* The same run as the other study numbers it; false where it has none. */
static bool find_run(const qv_reuse *x, const qv_study *s, const qv_plan *p, const qv_run_id *run, qv_run_id *other)
{
    const qv_plan_corpus *ours = &p->corpora[run->corpus];
    *other = (qv_run_id){.seed = run->seed};
    while (other->corpus < x->plan.n_corpora && strcmp(x->plan.corpora[other->corpus].hash, ours->hash) != 0)
        other->corpus++;
    while (other->cell < x->study->n_cells &&
           strcmp(x->study->cells[other->cell].identity, s->cells[run->cell].identity) != 0)
        other->cell++;
    if (other->corpus == x->plan.n_corpora || other->cell == x->study->n_cells) return false;
    const qv_plan_corpus *theirs = &x->plan.corpora[other->corpus];
    while (other->fold < theirs->n_folds && strcmp(theirs->folds[other->fold].name, ours->folds[run->fold].name) != 0)
        other->fold++;
    return other->fold < theirs->n_folds;
}

static qv_status rename_text(qv_ctx *ctx, char **text, const char *name)
{
    free(*text);
    *text = NULL;
    return qv_strdup(ctx, text, name);
}

/* What the record says of its making stays. */
qv_status qv_reuse_take(qv_ctx *ctx, const qv_reuse *x, const qv_study *s, const qv_plan *p, const qv_run_id *run,
                        const char *path, bool *taken)
{
    qv_status status = QV_OK;
    qv_study_record record = {0};
    qv_run_id other;
    char *from = NULL;
    *taken = false;
    if (!find_run(x, s, p, run, &other)) return QV_OK;
    QV_TRY(qv_run_path(ctx, &from, x->study, &x->plan, x->folder, &other));
    if (!qv_path_exists(from)) goto done;
    QV_TRY(qv_study_record_read(ctx, &record, from));
    QV_TRY(rename_text(ctx, &record.corpus, p->corpora[run->corpus].name));
    QV_TRY(rename_text(ctx, &record.cell, s->cells[run->cell].name));
    status = qv_run_check(ctx, &record, s, p, run);
    if (status != QV_OK) {
        status = qv_fail_prefix(ctx, status, "%s", from);
        goto done;
    }
    QV_TRY(qv_study_record_write(ctx, &record, path));
    *taken = true;
done:
    qv_study_record_free(&record);
    free(from);
    return status;
}
