/* Shards of one study, joined. */
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "study/study_report.h"

enum { LARGEST_RECORD = 8 << 20 };

typedef struct merging {
    const qv_study *s;
    const qv_plan *p;
    const char *from, *to;
    size_t copied, same;
} merging;

/* Byte by byte: also what a later program has added to it. */
static qv_status copy_file(qv_ctx *ctx, const char *from, const char *to)
{
    qv_status status = QV_OK;
    char *data = NULL, *folder = NULL;
    size_t size;
    QV_TRY(qv_read_file(ctx, from, LARGEST_RECORD, &data, &size));
    QV_TRY(qv_path_dir(ctx, &folder, to));
    QV_TRY(qv_make_dirs(ctx, folder));
    QV_TRY(qv_write_file(ctx, to, data, size));
done:
    free(data);
    free(folder);
    return status;
}

/* Copies a record that `to` lacks; one that it has must have the same result. */
static qv_status take_record(qv_ctx *ctx, void *user, const qv_study_record *r, size_t corpus, size_t fold, size_t cell,
                             int seed)
{
    merging *m = user;
    qv_status status = QV_OK;
    char *from = NULL, *to = NULL, *a = NULL, *b = NULL;
    const qv_plan_corpus *c = &m->p->corpora[corpus];
    uint64_t number = m->s->first_seed + (uint64_t)seed;
    if (!r) return QV_OK;
    QV_TRY(qv_study_record_path(ctx, &from, m->from, c->name, m->s->cells[cell].file, c->folds[fold].name, number));
    QV_TRY(qv_study_record_path(ctx, &to, m->to, c->name, m->s->cells[cell].file, c->folds[fold].name, number));
    if (!qv_path_exists(to)) {
        QV_TRY(copy_file(ctx, from, to));
        m->copied++;
        goto done;
    }
    QV_TRY(qv_study_record_line(ctx, &a, from));
    QV_TRY(qv_study_record_line(ctx, &b, to));
    m->same++;
    if (strcmp(a, b) != 0)
        status = qv_fail(
            ctx, QV_ERR_DATA,
            "%s and %s are of the same run but differ; programs or processors that compute other bits made them "
            "(see their second lines): keep one",
            from, to);
done:
    free(from);
    free(to);
    free(a);
    free(b);
    return status;
}

/* Plans of one study differ in the number of seeds at most. */
static qv_status same_corpora(qv_ctx *ctx, const qv_plan *a, const qv_plan *b, const char *folder)
{
    for (size_t i = 0; i < a->n_corpora; i++)
        if (strcmp(a->corpora[i].hash, b->corpora[i].hash) != 0 || a->corpora[i].n_folds != b->corpora[i].n_folds)
            return qv_fail(ctx, QV_ERR_DATA,
                           "%s: corpus %s has another manifest or other folds than the folder before it", folder,
                           a->corpora[i].name);
    return QV_OK;
}

static qv_status merge_one(qv_ctx *ctx, const char *out, const char *folder, qv_plan *joined)
{
    qv_status status = QV_OK;
    qv_study *s = NULL;
    qv_plan p = {0};
    merging m = {.from = folder, .to = out};
    QV_TRY(qv_study_of_folder(ctx, &s, folder));
    QV_TRY(qv_study_claim_folder(ctx, s, out));
    QV_TRY(qv_plan_read(ctx, &p, s, folder));
    if (joined->n_corpora) QV_TRY(same_corpora(ctx, joined, &p, folder));
    m.s = s;
    m.p = &p;
    QV_TRY(qv_records_each(ctx, s, &p, folder, take_record, &m));
    qv_info(ctx, "%s: %zu records copied, %zu were there already", folder, m.copied, m.same);
    if (p.seeds > joined->seeds) {
        qv_plan swap = *joined;
        *joined = p;
        p = swap;
    }
done:
    qv_plan_free(&p);
    qv_study_free(s);
    return status;
}

qv_status qv_study_merge(qv_ctx *ctx, const char *out, const char *const *folders, size_t n)
{
    qv_status status = QV_OK;
    qv_plan joined = {0};
    for (size_t i = 0; i < n; i++) QV_TRY(merge_one(ctx, out, folders[i], &joined));
    QV_TRY(qv_plan_write(ctx, &joined, out));
    QV_TRY(qv_study_report(ctx, out, NULL));
done:
    qv_plan_free(&joined);
    return status;
}
