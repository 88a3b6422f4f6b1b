#include "train/branches.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "train/snapshot.h"

enum { MOST_RECORDINGS = 128 };

/* Sums of squares over the windows so far. */
typedef struct sums {
    const qv_op *op; /* the block's shake_add */
    double apart, together, output;
} sums;

typedef struct measuring {
    qv_trainer *twin; /* the same network, of which every buffer can be read */
    sums *blocks;
    size_t n;
    double *z, *y, *probs; /* of one batch */
} measuring;

/* Values of a buffer that belong to the first `samples` of its batch. */
static size_t read_samples(const measuring *m, int id, size_t samples, double *to)
{
    const qv_buffer *b = &qv_trainer_net(m->twin)->program->buffers[id];
    size_t n = qv_buffer_len(b) / (size_t)b->n * samples;
    qv_exec_read(qv_trainer_exec(m->twin), id, 0, n, to);
    return n;
}

static void add_block(measuring *m, sums *s, size_t samples)
{
    size_t n = read_samples(m, s->op->out[0], samples, m->y);
    size_t half = (size_t)qv_trainer_net(m->twin)->program->buffers[s->op->out[0]].c;
    read_samples(m, s->op->in[0], samples, m->z);
    for (size_t i = 0; i < n; i++) {
        const double *row = m->z + i / half * 2 * half + i % half;
        s->apart += (row[0] - row[half]) * (row[0] - row[half]);
        s->together += (row[0] + row[half]) * (row[0] + row[half]);
        s->output += m->y[i] * m->y[i];
    }
}

static qv_status find_blocks(qv_ctx *ctx, measuring *m)
{
    const qv_net *net = qv_trainer_net(m->twin);
    const qv_op_list *l = &net->program->lists[QV_LIST_EVAL];
    qv_status status = QV_OK;
    size_t largest = 0;
    QV_TRY(qv_alloc(ctx, &m->blocks, l->n, sizeof *m->blocks));
    for (size_t i = 0; i < l->n; i++) {
        if (l->ops[i].kind != QV_OP_SHAKE_ADD) continue;
        size_t len = qv_buffer_len(&net->program->buffers[l->ops[i].out[0]]);
        if (len > largest) largest = len;
        m->blocks[m->n++].op = &l->ops[i];
    }
    QV_TRY(qv_alloc(ctx, &m->z, 2 * largest, sizeof *m->z));
    QV_TRY(qv_alloc(ctx, &m->y, largest, sizeof *m->y));
    QV_TRY(qv_alloc(ctx, &m->probs, (size_t)net->config.batch * (size_t)net->config.classes, sizeof *m->probs));
done:
    return status;
}

static qv_status open_twin(qv_ctx *ctx, measuring *m, qv_trainer *t, const qv_settings *s, const qv_dataset *d)
{
    qv_status status = QV_OK;
    qv_snapshot weights = {0};
    qv_settings cpu = *s; /* its texts stay the caller's */
    if (cpu.device == QV_DEVICE_CUDA) cpu.device = QV_DEVICE_CPU;
    cpu.precision = QV_PRECISION_FP32;
    QV_TRY(qv_snapshot_take(ctx, &weights, t));
    QV_TRY(qv_trainer_new(ctx, &m->twin, &cpu, d, &(qv_trainer_options){.no_fuse = true, .keep_buffers = true},
                          qv_trainer_net(t)->config.classes));
    qv_snapshot_restore(&weights, m->twin);
done:
    qv_snapshot_free(&weights);
    return status;
}

/* A batch of middle windows a time: they are what lies in the buffers then. */
static qv_status add_recordings(qv_ctx *ctx, measuring *m, const size_t *items, size_t n)
{
    size_t batch = (size_t)qv_trainer_net(m->twin)->config.batch;
    for (size_t first = 0; first < n; first += batch) {
        size_t samples = n - first < batch ? n - first : batch;
        qv_status status = qv_trainer_predict(ctx, m->twin, items + first, samples, false, m->probs);
        if (status != QV_OK) return status;
        for (size_t k = 0; k < m->n; k++) add_block(m, &m->blocks[k], samples);
    }
    return QV_OK;
}

static qv_branches branches_of(const qv_program *p, const sums *s)
{
    qv_branches b = {.moved = sqrt(s->apart / 4 / s->output), .apart = sqrt(s->apart / s->together)};
    memcpy(b.layer, p->layers[s->op->layer], sizeof b.layer);
    size_t len = strlen(b.layer);
    if (len && b.layer[len - 1] == '.') b.layer[len - 1] = '\0';
    return b;
}

qv_status qv_branches_measure(qv_ctx *ctx, qv_trainer *t, const qv_settings *s, const qv_dataset *d,
                              const size_t *items, size_t n, qv_branches **out, size_t *n_out)
{
    qv_status status = QV_OK;
    measuring m = {0};
    size_t some[MOST_RECORDINGS], count = n < MOST_RECORDINGS ? n : MOST_RECORDINGS;
    *out = NULL;
    *n_out = 0;
    for (size_t i = 0; i < count; i++) some[i] = items[i * n / count]; /* spread over all */
    QV_TRY(open_twin(ctx, &m, t, s, d));
    QV_TRY(find_blocks(ctx, &m));
    QV_TRY(add_recordings(ctx, &m, some, count));
    QV_TRY(qv_alloc(ctx, out, m.n, sizeof **out));
    for (size_t k = 0; k < m.n; k++) (*out)[k] = branches_of(qv_trainer_net(m.twin)->program, &m.blocks[k]);
    *n_out = m.n;
done:
    qv_trainer_free(m.twin);
    free(m.blocks);
    free(m.z);
    free(m.y);
    free(m.probs);
    return status;
}
