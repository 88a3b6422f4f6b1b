/* How many kernels one training step of the reference network launches on a GPU: as the canonical list, with pairs of
 * ops fused, and with blocks fused. Counted from the lists; an op of cuDNN or cuBLAS counts as one. */
#include <stdio.h>

#include "net/net.h"

/* Launches of an op (kernels/): sums over all rows take a second one where they have no tickets. */
static int launches_of(const qv_op *op)
{
    const bool sums = op->kind == QV_OP_BN_STATS || (op->kind == QV_OP_BN_GRAD_SUMS && op->out[2] < 0);
    return sums ? 2 : 1;
}

/* fusions: -1 for none, or a qv_fusions. */
static qv_status count(qv_ctx *ctx, const char *name, int fusions)
{
    qv_status status = QV_OK;
    const qv_net_config c = {.order = QV_ORDER_PREACT_BN,
                             .width = 32,
                             .blocks = 2,
                             .groups = 1,
                             .bands = 1,
                             .forward = QV_SHAKE_SHAKE,
                             .backward = QV_SHAKE_SHAKE,
                             .level = QV_LEVEL_SAMPLE,
                             .gamma0 = 0.1f,
                             .bn_eps = 1e-5f,
                             .bn_momentum = 0.1f,
                             .frames = 64,
                             .mels = 64,
                             .classes = 4,
                             .batch = 64,
                             .set_size = 64};
    qv_net *net = NULL;
    int launches = 0;
    QV_TRY(qv_net_new(ctx, &net, &c, NULL));
    if (fusions >= 0) QV_TRY(qv_program_fuse(ctx, net->program, (qv_fusions)fusions));
    const qv_op_list *l = &net->program->lists[QV_LIST_TRAIN];
    for (size_t i = 0; i < l->n; i++) launches += launches_of(&l->ops[i]);
    printf("%-10s %3zu ops, %3d launches a step\n", name, l->n, launches);
done:
    qv_net_free(net);
    return status;
}

int main(void)
{
    qv_status status = QV_OK;
    qv_ctx *ctx = qv_ctx_new();
    if (!ctx) return 1;
    QV_TRY(count(ctx, "canonical", -1));
    QV_TRY(count(ctx, "pairs", QV_FUSE_PAIRS));
    QV_TRY(count(ctx, "blocks", QV_FUSE_BLOCKS));
done:
    if (status != QV_OK) fprintf(stderr, "bench_launches: %s\n", qv_ctx_message(ctx));
    qv_ctx_free(ctx);
    return status == QV_OK ? 0 : 1;
}
