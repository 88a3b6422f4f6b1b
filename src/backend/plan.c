/* Where every buffer of a program lies. */
#include <stdlib.h>
#include <string.h>

#include "backend/program.h"
#include "base/round.h"

enum { ALIGN = 64 }; /* a cache line, and the widest vector */

/* Counts the op at `index` as a use of the buffers in ids. */
static void touch(const qv_program *p, const int32_t *ids, int n, int32_t index, int32_t *first, int32_t *last)
{
    for (int i = 0; i < n; i++) {
        int32_t id = ids[i];
        if (id < 0 || p->buffers[id].role != QV_ROLE_WORK) continue;
        if (first[id] > index) first[id] = index;
        if (last[id] < index) last[id] = index;
    }
}

qv_status qv_program_lifetimes(qv_ctx *ctx, const qv_program *p, qv_list list, int32_t **first, int32_t **last)
{
    qv_status status = QV_OK;
    *first = *last = NULL;
    QV_TRY(qv_alloc(ctx, first, p->n_buffers, sizeof **first));
    QV_TRY(qv_alloc(ctx, last, p->n_buffers, sizeof **last));
    for (size_t i = 0; i < p->n_buffers; i++) {
        (*first)[i] = INT32_MAX;
        (*last)[i] = -1;
    }
    const qv_op_list *l = &p->lists[list];
    for (size_t i = 0; i < l->n; i++) {
        touch(p, l->ops[i].in, QV_MAX_IN, (int32_t)i, *first, *last);
        touch(p, l->ops[i].out, QV_MAX_OUT, (int32_t)i, *first, *last);
    }
done:
    if (status != QV_OK) {
        free(*first);
        free(*last);
        *first = *last = NULL;
    }
    return status;
}

typedef struct placed {
    size_t begin, end;
    int32_t first, last;
} placed;

/* Lowest place of `bytes` that no buffer alive at the same time touches. `done` is sorted by begin. */
static size_t find_place(const placed *done, size_t n, size_t bytes, int32_t first, int32_t last)
{
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        if (done[i].first > last || done[i].last < first) continue;
        if (done[i].begin >= at + bytes) break;
        if (done[i].end > at) at = done[i].end;
    }
    return at;
}

static void insert_sorted(placed *done, size_t n, placed x)
{
    size_t i = n;
    while (i > 0 && done[i - 1].begin > x.begin) {
        done[i] = done[i - 1];
        i--;
    }
    done[i] = x;
}

typedef struct candidate {
    size_t bytes;
    int32_t id;
} candidate;

/* Large ones first; equal ones in program order. */
static int by_size(const void *a, const void *b)
{
    const candidate *x = a, *y = b;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? 1 : -1;
    return x->id - y->id;
}

/* Places the WORK buffers of one list from offset 0: lists never run at the same time. */
static qv_status place_list(qv_ctx *ctx, qv_program *p, qv_list list, size_t *total)
{
    qv_status status = QV_OK;
    int32_t *first = NULL, *last = NULL;
    candidate *order = NULL;
    placed *done = NULL;
    size_t n = 0, n_done = 0;
    QV_TRY(qv_program_lifetimes(ctx, p, list, &first, &last));
    QV_TRY(qv_alloc(ctx, &order, p->n_buffers, sizeof *order));
    QV_TRY(qv_alloc(ctx, &done, p->n_buffers, sizeof *done));
    for (size_t i = 0; i < p->n_buffers; i++)
        if (first[i] <= last[i])
            order[n++] = (candidate){qv_round_up(qv_buffer_bytes(&p->buffers[i], p->sizes), ALIGN), (int32_t)i};
    qsort(order, n, sizeof *order, by_size);
    for (size_t i = 0; i < n; i++) {
        int32_t id = order[i].id;
        size_t at = find_place(done, n_done, order[i].bytes, first[id], last[id]);
        p->buffers[id].offset = at;
        insert_sorted(done, n_done++, (placed){at, at + order[i].bytes, first[id], last[id]});
        if (at + order[i].bytes > *total) *total = at + order[i].bytes;
    }
done:
    free(done);
    free(order);
    free(last);
    free(first);
    return status;
}

/* All buffers of a role behind each other, those with weight decay first; returns where the rest begins. */
static size_t place_in_line(qv_program *p, qv_role role)
{
    size_t at = 0, rest = 0;
    for (int decayed = 1; decayed >= 0; decayed--) {
        rest = decayed ? 0 : at;
        for (size_t i = 0; i < p->n_buffers; i++) {
            qv_buffer *b = &p->buffers[i];
            if (b->role != role || b->alias >= 0 || b->decayed != (bool)decayed) continue;
            b->offset = at;
            at += qv_round_up(qv_buffer_bytes(b, p->sizes), ALIGN);
        }
    }
    p->region_bytes[role] = at;
    return rest;
}

/* The optimizer sees whole regions, padding included: it holds zeros and stays so. */
static void size_aliases(qv_program *p, size_t decayed_bytes)
{
    for (size_t i = 0; i < p->n_buffers; i++) {
        qv_buffer *b = &p->buffers[i];
        if (b->alias >= 0) b->c = (int32_t)(p->region_bytes[b->alias] / p->sizes.real);
    }
    for (int k = 0; k < QV_LIST_COUNT; k++)
        for (size_t i = 0; i < p->lists[k].n; i++) {
            qv_op *op = &p->lists[k].ops[i];
            if (op->kind == QV_OP_SGD) op->a.sgd.decayed = (int64_t)(decayed_bytes / p->sizes.real);
            if (op->kind == QV_OP_ADAMW) op->a.adamw.decayed = (int64_t)(decayed_bytes / p->sizes.real);
        }
}

qv_status qv_program_plan(qv_ctx *ctx, qv_program *p, qv_sizes sizes, bool keep_buffers)
{
    qv_status status = QV_OK;
    p->sizes = sizes;
    size_t decayed_bytes = 0;
    for (int r = 0; r < QV_ROLE_COUNT; r++) {
        if (r == QV_ROLE_WORK || r == QV_ROLE_EXTERN) continue;
        size_t rest = place_in_line(p, (qv_role)r);
        if (r == QV_ROLE_PARAM) decayed_bytes = rest;
    }
    if (p->region_bytes[QV_ROLE_PARAM] / sizes.real > INT32_MAX)
        return qv_fail(ctx, QV_ERR_USAGE, "a network of %zu parameters is too large", p->region_bytes[QV_ROLE_PARAM] / sizes.real);
    size_aliases(p, decayed_bytes);
    p->region_bytes[QV_ROLE_WORK] = 0;
    if (keep_buffers) {
        place_in_line(p, QV_ROLE_WORK);
    } else {
        for (int l = 0; l < QV_LIST_COUNT; l++)
            QV_TRY(place_list(ctx, p, (qv_list)l, &p->region_bytes[QV_ROLE_WORK]));
    }
done:
    return status;
}
