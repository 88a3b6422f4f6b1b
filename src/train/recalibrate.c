#include "train/recalibrate.h"

#include <math.h>
#include <stdlib.h>

/* One batch norm: what its batches merge to. */
typedef struct tally {
    int mean, var; /* its running statistics, which the list leaves as those of the batch */
    size_t channels;
    double values; /* behind each of a batch's means */
    double *sums;  /* [2][channels]: the mean of all values so far, the sum of their squared distances from it (M2) */
} tally;

typedef struct tallies {
    tally *all;
    size_t n;
    double *sums, *batch; /* of all; one batch norm's means and variances */
    int batches;
} tallies;

/* The running statistics that an op updates, canonical or fused. */
static bool finds_running(const qv_op *op, int *mean, int *var)
{
    int at = op->kind == QV_OP_BN_FINALIZE  ? 1
             : op->kind == QV_OP_BN_MEASURE ? 2
             : op->kind == QV_OP_BLOCK_END  ? 3
                                            : -1;
    if (at < 0 || op->out[at] < 0) return false;
    *mean = op->out[at], *var = op->out[at + 1];
    return true;
}

static qv_status find_norms(qv_ctx *ctx, const qv_program *p, tallies *t)
{
    const qv_op_list *l = &p->lists[QV_LIST_MEASURE];
    qv_status status = QV_OK;
    size_t channels = 0, widest = 0;
    QV_TRY(qv_alloc(ctx, &t->all, l->n, sizeof *t->all));
    for (size_t i = 0; i < l->n; i++) {
        tally *x = &t->all[t->n];
        if (!finds_running(&l->ops[i], &x->mean, &x->var)) continue;
        x->channels = qv_buffer_len(&p->buffers[x->mean]);
        x->values = (double)l->ops[i].a.bn.count;
        channels += x->channels;
        if (x->channels > widest) widest = x->channels;
        t->n++;
    }
    QV_TRY(qv_alloc(ctx, &t->sums, 2 * channels, sizeof *t->sums));
    QV_TRY(qv_alloc(ctx, &t->batch, 2 * widest, sizeof *t->batch));
    double *at = t->sums;
    for (size_t i = 0; i < t->n; at += 2 * t->all[i].channels, i++) t->all[i].sums = at;
done:
    return status;
}

/* As Chan, Golub and LeVeque merge samples: no difference of large squares. K batches of M values are there; with one
 * more, of mean m and unbiased variance v, the mean moves by d / (K + 1), d = m - mean, and M2 grows by
 * (M - 1) v + d^2 M K / (K + 1). */
static void add_batch(tallies *t, qv_exec *e)
{
    const double k = t->batches;
    for (size_t i = 0; i < t->n; i++) {
        const tally *x = &t->all[i];
        double *mean = x->sums, *m2 = mean + x->channels, *m = t->batch, *v = m + x->channels;
        qv_exec_read(e, x->mean, 0, x->channels, m);
        qv_exec_read(e, x->var, 0, x->channels, v);
        for (size_t c = 0; c < x->channels; c++) {
            const double d = m[c] - mean[c];
            mean[c] += d / (k + 1);
            m2[c] += (x->values - 1) * v[c] + d * d * x->values * k / (k + 1);
        }
    }
    t->batches++;
}

static qv_status put_statistics(qv_ctx *ctx, const tallies *t, qv_exec *e)
{
    const double k = t->batches;
    for (size_t i = 0; i < t->n; i++) {
        const tally *x = &t->all[i];
        double *mean = x->sums, *m2 = mean + x->channels;
        for (size_t c = 0; c < x->channels; c++) {
            m2[c] /= k * x->values - 1; /* unbiased */
            if (!isfinite(mean[c]) || !isfinite(m2[c]))
                return qv_fail(ctx, QV_ERR_NUMERIC, "the statistics of a batch norm are not finite");
        }
        qv_exec_write(e, x->mean, 0, x->channels, mean);
        qv_exec_write(e, x->var, 0, x->channels, m2);
    }
    return QV_OK;
}

/* All windows of the training recordings, mixed, and the first of them again behind the last, to fill its batch. */
static qv_status list_windows(qv_ctx *ctx, qv_trainer *t, const qv_dataset *d, qv_window **out, size_t *count)
{
    static const uint32_t key[2] = {0, 0};
    const qv_net_config *c = &qv_trainer_net(t)->config;
    const int patch = c->frames;
    qv_status status = QV_OK;
    size_t n_items, n = 0, at = 0;
    const size_t *items = qv_trainer_items(t, &n_items);
    int32_t *order = NULL;
    for (size_t i = 0; i < n_items; i++) n += (size_t)qv_window_count(d->utterances[items[i]].frames, patch, true);
    QV_TRY(qv_alloc(ctx, out, n + (size_t)c->batch, sizeof **out));
    QV_TRY(qv_alloc(ctx, &order, n, sizeof *order));
    qv_epoch_order(order, n, key, 0);
    for (size_t i = 0; i < n_items; i++) {
        int frames = d->utterances[items[i]].frames, of_it = qv_window_count(frames, patch, true);
        for (int k = 0; k < of_it; k++)
            (*out)[order[at++]] = (qv_window){(int32_t)items[i], qv_window_start(frames, patch, true, k)};
    }
    for (size_t i = 0; i < (size_t)c->batch; i++) (*out)[n + i] = (*out)[i % n];
    *count = n;
done:
    free(order);
    return status;
}

static qv_status run_batch(qv_ctx *ctx, qv_trainer *t, const qv_window *windows)
{
    const qv_net *net = qv_trainer_net(t);
    qv_exec *e = qv_trainer_exec(t);
    size_t batch = (size_t)net->config.batch;
    qv_step_state state = {.set_size = 1, .batch = (uint32_t)batch};
    qv_exec_write_bytes(e, net->state, 0, sizeof state, &state);
    qv_exec_write_bytes(e, net->windows, 0, batch * sizeof *windows, windows);
    qv_status status = qv_exec_run(ctx, e, QV_LIST_MEASURE);
    return status == QV_OK ? qv_exec_check(ctx, e) : status;
}

qv_status qv_recalibrate(qv_ctx *ctx, qv_trainer *t, const qv_dataset *d)
{
    const qv_net *net = qv_trainer_net(t);
    qv_exec *e = qv_trainer_exec(t);
    qv_status status = QV_OK;
    tallies sums = {0};
    qv_window *windows = NULL;
    size_t n = 0;
    if (net->program->lists[QV_LIST_MEASURE].n == 0)
        return qv_fail(ctx, QV_ERR_INTERNAL, "the program cannot measure batch norms");
    QV_TRY(find_norms(ctx, net->program, &sums));
    QV_TRY(list_windows(ctx, t, d, &windows, &n));
    for (size_t first = 0; first < n; first += (size_t)net->config.batch) {
        QV_TRY(qv_poll(ctx));
        QV_TRY(run_batch(ctx, t, windows + first));
        add_batch(&sums, e);
    }
    QV_TRY(put_statistics(ctx, &sums, e));
done:
    free(sums.all);
    free(sums.sums);
    free(sums.batch);
    free(windows);
    return status;
}
