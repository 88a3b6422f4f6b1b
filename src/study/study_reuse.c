#include "study/study_reuse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/io.h"

qv_status qv_reuse_open(qv_ctx *ctx, qv_reuse *x, const char *folder, const qv_plan *p)
{
    qv_status status = QV_OK;
    *x = (qv_reuse){.folder = folder};
    QV_TRY(qv_study_of_folder(ctx, &x->study, folder));
    QV_TRY(qv_plan_read(ctx, &x->plan, x->study, folder));
    QV_TRY(qv_plan_same_defaults(ctx, &x->plan, p, folder, "this command"));
done:
    return status;
}

void qv_reuse_close(qv_reuse *x)
{
    qv_plan_free(&x->plan);
    qv_study_free(x->study);
    *x = (qv_reuse){0};
}

/* Also in the fold's place, from which a training's draws follow. */
static bool same_fold(const qv_plan_corpus *a, const qv_plan_corpus *b, size_t fold)
{
    return strcmp(a->hash, b->hash) == 0 && a->skipped == b->skipped && qv_plan_same_content(a, b) &&
           fold < a->n_folds && qv_plan_same_fold(&a->folds[fold], &b->folds[fold]);
}

/* The same run as the other study numbers it; false where it has none. */
static bool find_run(const qv_reuse *x, const qv_study *s, const qv_plan *p, const qv_run_id *run, qv_run_id *other)
{
    const qv_plan_corpus *ours = &p->corpora[run->corpus];
    *other = (qv_run_id){.fold = run->fold, .seed = run->seed};
    while (other->corpus < x->plan.n_corpora && !same_fold(&x->plan.corpora[other->corpus], ours, run->fold))
        other->corpus++;
    while (other->cell < x->study->n_cells &&
           strcmp(x->study->cells[other->cell].identity, s->cells[run->cell].identity) != 0)
        other->cell++;
    return other->corpus < x->plan.n_corpora && other->cell < x->study->n_cells &&
           qv_plan_same_start(&x->plan, p, s->cells[run->cell].settings.init_from);
}

static qv_status rename_text(qv_ctx *ctx, char **text, const char *name)
{
    free(*text);
    *text = NULL;
    return qv_strdup(ctx, text, name);
}

/* The study that the record was trained for, as its page calls it. */
static qv_status name_origin(qv_ctx *ctx, const qv_reuse *x, qv_study_record *record)
{
    char hash[32];
    if (record->reused) return QV_OK;
    snprintf(hash, sizeof hash, "%016llx", (unsigned long long)XXH3_64bits(x->study->text, strlen(x->study->text)));
    return qv_strdup(ctx, &record->reused, hash);
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
    QV_TRY(name_origin(ctx, x, &record));
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
