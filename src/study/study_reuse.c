/* Records of other studies that trained the same: settings, recordings, fold and seed are what makes a training. */
#include "study/study_reuse.h"

#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "study/study_records.h"

typedef struct reusing {
    const qv_study *s;
    const qv_plan *p;
    qv_run_lock *lock;
    const char *from, *to;
    qv_study *theirs;
    qv_plan their_plan;
    size_t taken;
} reusing;

/* The same run as the other study numbers it; false where it has none. */
static bool find_run(const reusing *r, const qv_run_id *run, qv_run_id *other)
{
    const qv_study *s = r->theirs;
    const qv_plan_corpus *ours = &r->p->corpora[run->corpus];
    *other = *run;
    for (other->corpus = 0; other->corpus < r->their_plan.n_corpora; other->corpus++)
        if (strcmp(r->their_plan.corpora[other->corpus].hash, ours->hash) == 0) break;
    for (other->cell = 0; other->cell < s->n_cells; other->cell++)
        if (strcmp(s->cells[other->cell].identity, r->s->cells[run->cell].identity) == 0) break;
    if (other->corpus == r->their_plan.n_corpora || other->cell == s->n_cells) return false;
    const qv_plan_corpus *c = &r->their_plan.corpora[other->corpus];
    for (other->fold = 0; other->fold < c->n_folds; other->fold++)
        if (strcmp(c->folds[other->fold].name, ours->folds[run->fold].name) == 0) return true;
    return false;
}

static qv_status rename_text(qv_ctx *ctx, char **text, const char *name)
{
    free(*text);
    *text = NULL;
    return qv_strdup(ctx, text, name);
}

/* Theirs under our names. What it says of its making stays. */
static qv_status copy_record(qv_ctx *ctx, const reusing *r, const qv_run_id *run, const char *from, const char *to)
{
    qv_status status = QV_OK;
    qv_study_record record = {0};
    QV_TRY(qv_study_record_read(ctx, &record, from));
    QV_TRY(rename_text(ctx, &record.corpus, r->p->corpora[run->corpus].name));
    QV_TRY(rename_text(ctx, &record.cell, r->s->cells[run->cell].name));
    QV_TRY(qv_run_check(ctx, &record, r->s, r->p, run));
    QV_TRY(qv_study_record_write(ctx, &record, to));
done:
    qv_study_record_free(&record);
    return status;
}

/* Takes over what is missing and nobody trains at this moment. */
static qv_status look_at(qv_ctx *ctx, void *user, const qv_study_record *there, const qv_run_id *run)
{
    reusing *r = user;
    qv_status status = QV_OK;
    qv_run_id other;
    char *from = NULL, *to = NULL;
    bool mine = false;
    if (there || !find_run(r, run, &other)) return QV_OK;
    QV_TRY(qv_run_path(ctx, &from, r->theirs, &r->their_plan, r->from, &other));
    QV_TRY(qv_run_path(ctx, &to, r->s, r->p, r->to, run));
    if (!qv_path_exists(from)) goto done;
    QV_TRY(qv_run_lock_take(ctx, r->lock, to + strlen(r->to), false, &mine));
    if (mine && !qv_path_exists(to)) {
        QV_TRY(copy_record(ctx, r, run, from, to));
        r->taken++;
    }
done:
    if (mine) qv_run_lock_leave(r->lock, to + strlen(r->to));
    free(from);
    free(to);
    return status == QV_OK ? QV_OK : qv_fail_prefix(ctx, status, "%s", r->from);
}

qv_status qv_study_reuse(qv_ctx *ctx, const qv_study *s, const qv_plan *p, qv_run_lock *lock, const char *out,
                         const char *folder)
{
    qv_status status = QV_OK;
    reusing r = {.s = s, .p = p, .lock = lock, .from = folder, .to = out};
    QV_TRY(qv_study_of_folder(ctx, &r.theirs, folder));
    QV_TRY(qv_plan_read(ctx, &r.their_plan, r.theirs, folder));
    QV_TRY(qv_records_each(ctx, s, p, out, look_at, &r));
    qv_info(ctx, "%s: %zu records taken over", folder, r.taken);
done:
    qv_plan_free(&r.their_plan);
    qv_study_free(r.theirs);
    return status;
}
