/* Runs of canonical ops replaced by fused ones. */
#include <string.h>

#include "backend/program.h"

/* How many ops of the list read the buffer. */
static int count_readers(const qv_op_list *l, int32_t id)
{
    int n = 0;
    for (size_t i = 0; i < l->n; i++)
        for (int k = 0; k < QV_MAX_IN; k++) n += l->ops[i].in[k] == id;
    return n;
}

static qv_op *find_writer(qv_op_list *l, int32_t id, qv_op_kind kind)
{
    for (size_t i = 0; i < l->n; i++)
        if (l->ops[i].kind == (int32_t)kind && l->ops[i].out[0] == id) return &l->ops[i];
    return NULL;
}

static void drop(qv_op *op) { op->kind = -1; }

static void remove_dropped(qv_op_list *l)
{
    size_t n = 0;
    for (size_t i = 0; i < l->n; i++)
        if (l->ops[i].kind >= 0) l->ops[n++] = l->ops[i];
    l->n = n;
}

/* bn_apply writes z, shake_add alone reads it: one pass over u. */
static void fuse_forward(qv_op_list *l, qv_op *shake)
{
    qv_op *apply = find_writer(l, shake->in[0], QV_OP_BN_APPLY);
    if (!apply || apply->a.bn.relu || apply->a.bn.repeat != 1 || count_readers(l, shake->in[0]) != 1) return;
    int32_t alpha = shake->in[1], s = shake->in[2];
    memcpy(shake->in, apply->in, 5 * sizeof shake->in[0]);
    shake->in[5] = alpha;
    shake->in[6] = s;
    shake->kind = QV_OP_BN_SHAKE_ADD;
    shake->a.bn = apply->a.bn;
    drop(apply);
}

/* shake_grad writes dz, only a batch norm's two backward ops read it: they take g and the coefficients. */
static void fuse_backward(qv_op_list *l, qv_op *grad)
{
    enum { SUMS_COEF = 6, APPLY_COEF = 8 };
    int32_t dz = grad->out[0];
    qv_op *sums = NULL, *apply = NULL;
    for (size_t i = 0; i < l->n; i++) {
        qv_op *op = &l->ops[i];
        if (op->kind == QV_OP_BN_GRAD_SUMS && op->in[0] == dz) sums = op;
        if (op->kind == QV_OP_BN_GRAD_APPLY && op->in[0] == dz) apply = op;
    }
    if (!sums || !apply || count_readers(l, dz) != 2) return;
    sums->in[0] = apply->in[0] = grad->in[0];
    sums->in[SUMS_COEF] = apply->in[APPLY_COEF] = grad->in[1];
    drop(grad);
}

/* bn_stats, and bn_finalize of what it wrote: one op, which leaves var unwritten. */
static void fuse_measure(qv_op_list *l, qv_op *stats)
{
    enum { RSTD, RMEAN, RVAR };
    for (size_t i = 0; i < l->n; i++) {
        qv_op *finalize = &l->ops[i];
        if (finalize->kind != QV_OP_BN_FINALIZE || finalize->in[1] != stats->out[1] || finalize->in[1] < 0) continue;
        if (count_readers(l, stats->out[1]) != 1) return;
        stats->kind = QV_OP_BN_MEASURE;
        for (int k = RSTD; k <= RVAR; k++) stats->out[1 + k] = finalize->out[k];
        drop(finalize);
        return;
    }
}

/* The shortcut's batch norm goes into the op that ends its block, if nothing else reads it. */
static bool take_shortcut(qv_op_list *l, qv_op *shake)
{
    enum { S = 6, PARAMETERS = 4 };
    qv_op *apply = find_writer(l, shake->in[S], QV_OP_BN_APPLY);
    if (!apply || apply->a.bn.relu || apply->a.bn.repeat != 1 || count_readers(l, shake->in[S]) != 1) return false;
    memcpy(&shake->in[S], apply->in, (1 + PARAMETERS) * sizeof shake->in[0]);
    drop(apply);
    return true;
}

/* So do the statistics of what it writes. */
static bool take_measure(qv_op_list *l, qv_op *shake)
{
    enum { RESULTS = 4 };
    for (size_t i = 0; i < l->n; i++) {
        qv_op *measure = &l->ops[i];
        if (measure->kind != QV_OP_BN_MEASURE || measure->in[0] != shake->out[0]) continue;
        memcpy(&shake->out[1], measure->out, RESULTS * sizeof shake->out[0]);
        shake->a.bn = measure->a.bn;
        drop(measure);
        return true;
    }
    return false;
}

static void fuse_end(qv_op_list *l, qv_op *shake)
{
    for (int k = 7; k < QV_MAX_IN; k++) shake->in[k] = -1;
    const bool normalizes = take_shortcut(l, shake), measures = take_measure(l, shake);
    if (normalizes || measures) shake->kind = QV_OP_BLOCK_END;
}

static void fuse_pairs(qv_op_list *l)
{
    for (size_t i = 0; i < l->n; i++) {
        if (l->ops[i].kind == QV_OP_SHAKE_ADD) fuse_forward(l, &l->ops[i]);
        if (l->ops[i].kind == QV_OP_SHAKE_GRAD) fuse_backward(l, &l->ops[i]);
    }
    remove_dropped(l);
}

static void fuse_blocks(qv_op_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        if (l->ops[i].kind == QV_OP_BN_STATS) fuse_measure(l, &l->ops[i]);
    remove_dropped(l);
    for (size_t i = 0; i < l->n; i++)
        if (l->ops[i].kind == QV_OP_BN_SHAKE_ADD) fuse_end(l, &l->ops[i]);
    remove_dropped(l);
}

/* Where an op takes counters and of how many channels; false where it takes none. */
static bool takes_ticket(const qv_op *op, int *place, int32_t *counted)
{
    *place = op->kind == QV_OP_BN_MEASURE ? 4 : op->kind == QV_OP_BN_GRAD_SUMS ? 2 : 5;
    *counted = op->kind == QV_OP_BN_MEASURE ? op->in[0] : op->kind == QV_OP_BN_GRAD_SUMS ? op->in[1] : op->out[0];
    return op->kind == QV_OP_BN_MEASURE || op->kind == QV_OP_BN_GRAD_SUMS ||
           (op->kind == QV_OP_BLOCK_END && op->out[1] >= 0);
}

static qv_status add_tickets(qv_ctx *ctx, qv_program *p, qv_op_list *l)
{
    qv_builder b = {.ctx = ctx, .p = p};
    for (size_t i = 0; i < l->n; i++) {
        int place;
        int32_t counted;
        if (!takes_ticket(&l->ops[i], &place, &counted)) continue;
        const qv_buffer ticket = {.dtype = QV_I32,
                                  .role = QV_ROLE_IO,
                                  .n = 1,
                                  .h = 1,
                                  .w = 1,
                                  .c = qv_ticket_words(p->buffers[counted].c),
                                  .alias = -1};
        l->ops[i].out[place] = qv_add_buffer(&b, ticket, "ticket%zu", p->n_buffers);
    }
    return b.status;
}

qv_status qv_program_fuse(qv_ctx *ctx, qv_program *p, qv_fusions which)
{
    qv_status status = QV_OK;
    for (int k = 0; k < QV_LIST_COUNT; k++) {
        fuse_pairs(&p->lists[k]);
        if (which != QV_FUSE_BLOCKS) continue;
        fuse_blocks(&p->lists[k]);
        QV_TRY(add_tickets(ctx, p, &p->lists[k]));
    }
done:
    return status;
}
