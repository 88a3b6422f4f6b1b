#include "study/study_records.h"

#include <stdlib.h>
#include <string.h>

#include "base/io.h"

qv_status qv_run_path(qv_ctx *ctx, char **path, const qv_study *s, const qv_plan *p, const char *out,
                      const qv_run_id *run)
{
    const qv_plan_corpus *c = &p->corpora[run->corpus];
    return qv_study_record_path(ctx, path, out, c->name, s->cells[run->cell].file, c->folds[run->fold].name, run->seed);
}

/* Cut to the line in which they differ. */
static qv_status another_study(qv_ctx *ctx, const char *what, const char *found, const char *wanted)
{
    size_t at = 0;
    for (size_t i = 0; found[i] && found[i] == wanted[i]; i++)
        if (found[i] == '\n') at = i + 1;
    return qv_fail(ctx, QV_ERR_DATA, "this is of another study: %s \"%.*s\" there, \"%.*s\" here; give another --out",
                   what, (int)strcspn(found + at, "\n"), found + at, (int)strcspn(wanted + at, "\n"), wanted + at);
}

/* Each is one of the fold's, and there once. */
static qv_status check_speakers(qv_ctx *ctx, const qv_record_scores *scores, const qv_plan_fold *fold)
{
    bool *seen;
    qv_status status = qv_alloc(ctx, &seen, fold->n_speakers, sizeof *seen);
    for (size_t i = 0; i < scores->n_speakers && status == QV_OK; i++) {
        const char *name = scores->speakers[i].name;
        size_t k = 0;
        while (k < fold->n_speakers && strcmp(fold->speakers[k], name) != 0) k++;
        if (k == fold->n_speakers)
            status =
                qv_fail(ctx, QV_ERR_DATA, "this is of other folds: it tests speaker %s, whom fold %s does not test",
                        name, fold->name);
        else if (seen[k])
            status = qv_fail(ctx, QV_ERR_DATA, "it has the speaker %s twice", name);
        else
            seen[k] = true;
    }
    free(seen);
    return status;
}

/* Fewer by no more than could not be read. */
static bool is_nearly(size_t n, size_t planned, size_t skipped) { return n <= planned && n + skipped >= planned; }

/* A fold may be called as one that trains on others, or tests more. */
static qv_status check_recordings(qv_ctx *ctx, const qv_record_scores *s, const qv_plan_corpus *c,
                                  const qv_plan_fold *fold)
{
    const size_t cells = c->n_classes * c->n_classes, trained = s->train.n + s->val.n,
                 planned = fold->train + fold->val;
    size_t tested = 0;
    for (size_t i = 0; i < s->n_speakers; i++)
        for (size_t k = 0; k < cells; k++) tested += s->speakers[i].confusion[k];
    if (!is_nearly(s->n_speakers, fold->n_speakers, c->skipped) || !is_nearly(tested, fold->test, c->skipped))
        return qv_fail(ctx, QV_ERR_DATA,
                       "this is of other folds: it tests %zu recordings of %zu speakers, fold %s tests %zu of %zu",
                       tested, s->n_speakers, fold->name, fold->test, fold->n_speakers);
    if (fold->parts && !is_nearly(trained, planned, c->skipped))
        return qv_fail(ctx, QV_ERR_DATA, "this is of other folds: it trains on %zu recordings, fold %s on %zu", trained,
                       fold->name, planned);
    return QV_OK;
}

qv_status qv_run_check(qv_ctx *ctx, const qv_study_record *r, const qv_study *s, const qv_plan *p, const qv_run_id *run)
{
    const qv_plan_corpus *corpus = &p->corpora[run->corpus];
    const qv_plan_fold *fold = &corpus->folds[run->fold];
    qv_status status = QV_OK;
    if (strcmp(r->settings, s->cells[run->cell].identity) != 0)
        return another_study(ctx, "the settings have", r->settings, s->cells[run->cell].identity);
    if (strcmp(r->manifest, corpus->hash) != 0)
        return another_study(ctx, "the manifest's hash is", r->manifest, corpus->hash);
    if ((size_t)r->n_classes != corpus->n_classes)
        return qv_fail(ctx, QV_ERR_DATA, "%d classes, the corpus has %zu", r->n_classes, corpus->n_classes);
    if (strcmp(r->fold, fold->name) != 0 || r->seed != run->seed)
        return qv_fail(ctx, QV_ERR_DATA,
                       "this is another run, fold %s with seed %llu; remove it, and the right one is trained", r->fold,
                       (unsigned long long)r->seed);
    if (r->failed) goto done; /* it tests nobody */
    const qv_record_scores *const scores[] = {&r->running, &r->even};
    for (int i = 0; i < 2; i++) {
        QV_TRY(check_speakers(ctx, scores[i], fold));
        QV_TRY(check_recordings(ctx, scores[i], corpus, fold));
    }
done:
    return status;
}

qv_status qv_run_read(qv_ctx *ctx, qv_study_record *r, const qv_study *s, const qv_plan *p, const qv_run_id *run,
                      const char *path)
{
    qv_status status = qv_study_record_read(ctx, r, path);
    if (status != QV_OK) return status;
    status = qv_run_check(ctx, r, s, p, run);
    if (status == QV_OK) return QV_OK;
    qv_study_record_free(r);
    return qv_fail_prefix(ctx, status, "%s", path);
}

static qv_status give_record(qv_ctx *ctx, const qv_study *s, const qv_plan *p, const char *out, const qv_run_id *run,
                             qv_record_fn fn, void *user)
{
    qv_status status = QV_OK;
    qv_study_record r = {0};
    char *path = NULL;
    QV_TRY(qv_run_path(ctx, &path, s, p, out, run));
    bool there = qv_path_exists(path);
    if (there) QV_TRY(qv_run_read(ctx, &r, s, p, run, path));
    QV_TRY(fn(ctx, user, there ? &r : NULL, run));
done:
    qv_study_record_free(&r);
    free(path);
    return status;
}

qv_status qv_records_each(qv_ctx *ctx, const qv_study *s, const qv_plan *p, const char *out, qv_record_fn fn,
                          void *user)
{
    qv_status status = QV_OK;
    for (int seed = 0; seed < p->seeds; seed++)
        for (size_t corpus = 0; corpus < p->n_corpora; corpus++)
            for (size_t fold = 0; fold < p->corpora[corpus].n_folds; fold++)
                for (size_t cell = 0; cell < s->n_cells; cell++) {
                    const qv_run_id run = {corpus, fold, cell, s->first_seed + (uint64_t)seed};
                    QV_TRY(qv_poll(ctx)); /* thousands of records take their time */
                    QV_TRY(give_record(ctx, s, p, out, &run, fn, user));
                }
done:
    return status;
}
