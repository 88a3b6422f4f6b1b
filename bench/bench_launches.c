/* How many kernels one training step of a network launches on a GPU, and the bytes that they move: as the canonical
 * list, with pairs of ops fused, and with blocks fused; and how many bytes three more fusions would save. Counted from
 * the lists; an op of cuDNN or cuBLAS counts as one. Bytes: the least that each op has to move (op_case.h), activations
 * in bf16. The copies of weights and gradients that bf16 wants are not among the ops and are left out. */
#include <stdio.h>

#include "backend/check/problem.h"
#include "bench.h"
#include "net/net.h"
#include "op_case.h"

/* Launches of an op (kernels/): sums over all rows take a second one where they have no tickets. */
static int launches_of(const qv_op *op)
{
    const bool sums = op->kind == QV_OP_BN_STATS || (op->kind == QV_OP_BN_GRAD_SUMS && op->out[2] < 0);
    return sums ? 2 : 1;
}

static qv_tensor tensor_of(const qv_program *p, const qv_op *op, bool output, int i)
{
    const int32_t id = output ? op->out[i] : op->in[i];
    if (id < 0) return (qv_tensor){0};
    const qv_buffer *b = &p->buffers[id];
    qv_tensor t = {NULL, b->n, b->h, b->w, b->c, b->dtype == QV_ACT ? QV_BF16 : QV_REAL};
    const size_t record = qv_operand_size((qv_op_kind)op->kind, output, i, NULL);
    if (b->dtype == QV_BYTES && record > 0)
        t = (qv_tensor){NULL, 1, 1, 1, (int32_t)(qv_buffer_len(b) / record), QV_REAL};
    return t;
}

static double bytes_of(const qv_program *p, const qv_op *op)
{
    qv_tensor in[QV_MAX_IN] = {{0}}, out[QV_MAX_OUT] = {{0}};
    const qv_op_info info = qv_op_info_of((qv_op_kind)op->kind);
    for (int i = 0; i < info.n_in; i++) in[i] = tensor_of(p, op, false, i);
    for (int i = 0; i < info.n_out; i++) out[i] = tensor_of(p, op, true, i);
    return op_case_bytes(op, in, out);
}

static double buffer_bytes(const qv_program *p, int32_t id)
{
    return (double)qv_buffer_bytes(&p->buffers[id], (qv_sizes){.real = 4, .act = 2});
}

/* The last batch norm applied where the mean over positions is taken, so that nothing in between is written and read;
 * and the gradient, which is the same at all positions, not spread over them, but read from the mean's. */
static double saved_by_pool(const qv_program *p, const qv_op_list *l)
{
    double bytes = 0;
    for (size_t i = 0; i < l->n; i++)
        for (size_t k = 0; k < l->n; k++) {
            const qv_op *first = &l->ops[i], *then = &l->ops[k];
            if (first->out[0] != then->in[0]) continue;
            if (first->kind == QV_OP_BN_APPLY && then->kind == QV_OP_POOL) bytes += 2 * buffer_bytes(p, first->out[0]);
            if (first->kind != QV_OP_POOL_GRAD) continue;
            if (then->kind == QV_OP_BN_GRAD_SUMS) bytes += 2 * buffer_bytes(p, first->out[0]);
            if (then->kind == QV_OP_BN_GRAD_APPLY) bytes += buffer_bytes(p, first->out[0]);
        }
    return bytes;
}

/* Two batch norms with one gradient behind them, a branch's last and the shortcut's: both their sums from one reading
 * of it, and both their gradients from another. */
static double saved_by_sharing(const qv_program *p, const qv_op_list *l)
{
    double bytes = 0;
    for (size_t i = 0; i < l->n; i++)
        for (size_t k = i + 1; k < l->n; k++) {
            const qv_op *a = &l->ops[i], *b = &l->ops[k];
            const bool batch_norms = a->kind == QV_OP_BN_GRAD_SUMS || a->kind == QV_OP_BN_GRAD_APPLY;
            if (batch_norms && a->kind == b->kind && a->in[0] == b->in[0]) bytes += buffer_bytes(p, a->in[0]);
        }
    return bytes;
}

/* Statistics taken where a convolution writes, instead of by a bn_measure that reads it again. */
static double saved_by_statistics(const qv_program *p, const qv_op_list *l)
{
    double bytes = 0;
    for (size_t i = 0; i < l->n; i++)
        for (size_t k = 0; k < l->n; k++)
            if (l->ops[i].kind == QV_OP_CONV && l->ops[k].kind == QV_OP_BN_MEASURE &&
                l->ops[k].in[0] == l->ops[i].out[0])
                bytes += buffer_bytes(p, l->ops[i].out[0]);
    return bytes;
}

static void print_saving(const char *what, double saved, double bytes)
{
    printf("  %-58s would save %8.2f MB a step, %.2f %%\n", what, 1e-6 * saved, 100 * saved / bytes);
}

/* fusions: -1 for none, or a qv_fusions. */
static qv_status count(qv_ctx *ctx, const char *name, int fusions, int width, int blocks)
{
    qv_status status = QV_OK;
    const qv_net_config c = {.order = QV_ORDER_PREACT_BN,
                             .width = width,
                             .blocks = blocks,
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
    double bytes = 0;
    QV_TRY(qv_net_new(ctx, &net, &c, NULL));
    if (fusions >= 0) QV_TRY(qv_program_fuse(ctx, net->program, (qv_fusions)fusions));
    const qv_op_list *l = &net->program->lists[QV_LIST_TRAIN];
    for (size_t i = 0; i < l->n; i++) {
        launches += launches_of(&l->ops[i]);
        bytes += bytes_of(net->program, &l->ops[i]);
    }
    printf("%-10s %3zu ops, %3d launches, %8.2f MB a step\n", name, l->n, launches, 1e-6 * bytes);
    if (fusions != QV_FUSE_BLOCKS) goto done;
    print_saving("the last batch norm and the mean as one pass, both ways", saved_by_pool(net->program, l), bytes);
    print_saving("statistics in the convolutions' epilogues", saved_by_statistics(net->program, l), bytes);
    print_saving("sums and gradients shared by bn3 and the shortcut's", saved_by_sharing(net->program, l), bytes);
done:
    qv_net_free(net);
    return status;
}

int main(void)
{
    qv_status status = QV_OK;
    qv_ctx *ctx = qv_bench_ctx();
    if (!ctx) return 1;
    static const struct {
        const char *name;
        int width, blocks;
    } presets[] = {{"reference", 32, 2}, {"small", 16, 1}};
    for (size_t i = 0; i < sizeof presets / sizeof presets[0]; i++) {
        printf("%s, order preact-bn, 64 patches of 64x64, activations in bf16:\n", presets[i].name);
        QV_TRY(count(ctx, "canonical", -1, presets[i].width, presets[i].blocks));
        QV_TRY(count(ctx, "pairs", QV_FUSE_PAIRS, presets[i].width, presets[i].blocks));
        QV_TRY(count(ctx, "blocks", QV_FUSE_BLOCKS, presets[i].width, presets[i].blocks));
    }
done:
    if (status != QV_OK) fprintf(stderr, "bench_launches: %s\n", qv_ctx_message(ctx));
    qv_ctx_free(ctx);
    return status == QV_OK ? 0 : 1;
}
