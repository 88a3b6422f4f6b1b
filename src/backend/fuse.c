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

void qv_program_fuse(qv_program *p)
{
    for (int k = 0; k < QV_LIST_COUNT; k++) {
        qv_op_list *l = &p->lists[k];
        for (size_t i = 0; i < l->n; i++) {
            if (l->ops[i].kind == QV_OP_SHAKE_ADD) fuse_forward(l, &l->ops[i]);
            if (l->ops[i].kind == QV_OP_SHAKE_GRAD) fuse_backward(l, &l->ops[i]);
        }
        remove_dropped(l);
    }
}
