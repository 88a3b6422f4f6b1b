#include "train/snapshot.h"

#include <stdlib.h>

qv_status qv_snapshot_take(qv_ctx *ctx, qv_snapshot *s, qv_trainer *t)
{
    const qv_program *p = qv_trainer_net(t)->program;
    size_t n = 0, at = 0;
    for (size_t i = 0; i < p->n_buffers; i++)
        if (qv_buffer_is_learned(&p->buffers[i])) n += qv_buffer_len(&p->buffers[i]);
    if (s->n != n) {
        qv_snapshot_free(s);
        qv_status status = qv_alloc(ctx, &s->values, n, sizeof *s->values);
        if (status != QV_OK) return status;
        s->n = n;
    }
    for (size_t i = 0; i < p->n_buffers; i++) {
        if (!qv_buffer_is_learned(&p->buffers[i])) continue;
        size_t len = qv_buffer_len(&p->buffers[i]);
        qv_exec_read(qv_trainer_exec(t), (int)i, 0, len, s->values + at);
        at += len;
    }
    return QV_OK;
}

void qv_snapshot_restore(const qv_snapshot *s, qv_trainer *t)
{
    const qv_program *p = qv_trainer_net(t)->program;
    size_t at = 0;
    for (size_t i = 0; i < p->n_buffers; i++) {
        if (!qv_buffer_is_learned(&p->buffers[i])) continue;
        size_t len = qv_buffer_len(&p->buffers[i]);
        qv_exec_write(qv_trainer_exec(t), (int)i, 0, len, s->values + at);
        at += len;
    }
}

void qv_snapshot_free(qv_snapshot *s)
{
    free(s->values);
    *s = (qv_snapshot){0};
}
