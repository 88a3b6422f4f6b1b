/* The weights that cells begin with (train.init_from): a path may lead to other weights tomorrow, so the plan knows
 * them by their hash. */
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/json.h"
#include "study/study_own.h"
#include "train/checkpoint.h"

static const qv_plan_start *find(const qv_plan *p, const char *file)
{
    for (size_t i = 0; i < p->n_starts; i++)
        if (strcmp(p->starts[i].file, file) == 0) return &p->starts[i];
    return NULL;
}

/* Speakers of the plan, whom one fold each tests, that the weights were trained on. */
static qv_status count_heard(qv_ctx *ctx, const char *file, const qv_plan *p, size_t *heard)
{
    qv_checkpoint *c = NULL;
    qv_status status = qv_checkpoint_open(ctx, &c, file);
    for (size_t i = 0; status == QV_OK && i < p->n_corpora; i++)
        for (size_t f = 0; f < p->corpora[i].n_folds; f++) {
            const qv_plan_fold *fold = &p->corpora[i].folds[f];
            for (size_t k = 0; k < fold->n_speakers; k++) *heard += qv_checkpoint_heard(c, fold->speakers[k]);
        }
    qv_checkpoint_close(c);
    return status;
}

static qv_status add_start(qv_ctx *ctx, qv_plan *p, const char *file)
{
    qv_plan_start *start = &p->starts[p->n_starts];
    char text[QV_HASH_TEXT];
    qv_status status = QV_OK;
    QV_TRY(qv_hash_file_text(ctx, file, text));
    p->n_starts++;
    QV_TRY(qv_strdup(ctx, &start->file, file));
    QV_TRY(qv_strdup(ctx, &start->hash, text));
    QV_TRY(count_heard(ctx, file, p, &start->heard));
done:
    return status;
}

qv_status qv_plan_take_starts(qv_ctx *ctx, qv_plan *p, const qv_study *s)
{
    qv_status status = QV_OK;
    QV_TRY(qv_alloc(ctx, &p->starts, s->n_cells, sizeof *p->starts));
    for (size_t k = 0; k < s->n_cells; k++) {
        const char *file = s->cells[k].settings.init_from;
        if (*file && !find(p, file)) QV_TRY(add_start(ctx, p, file));
    }
done:
    return status;
}

void qv_plan_free_starts(qv_plan *p)
{
    for (size_t i = 0; i < p->n_starts; i++) {
        free(p->starts[i].file);
        free(p->starts[i].hash);
    }
    free(p->starts);
}

json_t *qv_plan_starts_json(const qv_plan *p)
{
    json_t *list = json_array();
    int failed = 0;
    for (size_t i = 0; i < p->n_starts; i++) {
        const qv_plan_start *x = &p->starts[i];
        failed |= json_array_append_new(
            list, json_pack("{s:s, s:s, s:I}", "file", x->file, "hash", x->hash, "heard", (json_int_t)x->heard));
    }
    if (!failed) return list;
    json_decref(list);
    return NULL;
}

qv_status qv_plan_read_starts(qv_ctx *ctx, qv_plan *p, const json_t *list)
{
    qv_status status = QV_OK;
    QV_TRY(qv_alloc(ctx, &p->starts, json_array_size(list), sizeof *p->starts));
    while (p->n_starts < json_array_size(list)) {
        const json_t *from = json_array_get(list, p->n_starts);
        qv_plan_start *x = &p->starts[p->n_starts++];
        QV_TRY(qv_json_take_text(ctx, from, "file", &x->file));
        QV_TRY(qv_json_take_text(ctx, from, "hash", &x->hash));
        QV_TRY(qv_json_take_count(ctx, from, "heard", &x->heard));
    }
done:
    return status;
}

bool qv_plan_same_start(const qv_plan *a, const qv_plan *b, const char *file)
{
    const qv_plan_start *x = find(a, file), *y = find(b, file);
    return !*file || (x && y && strcmp(x->hash, y->hash) == 0);
}

qv_status qv_plan_same_starts(qv_ctx *ctx, const qv_plan *a, const qv_plan *b, const char *name_a, const char *name_b)
{
    for (size_t i = 0; i < b->n_starts; i++)
        if (!qv_plan_same_start(a, b, b->starts[i].file))
            return qv_fail(ctx, QV_ERR_DATA,
                           "%s and %s have other weights in %s, which trainings begin with; they are not one study, and "
                           "need another --out",
                           name_a, name_b, b->starts[i].file);
    return QV_OK;
}
