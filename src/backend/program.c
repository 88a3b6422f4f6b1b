#include "backend/program.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void qv_program_free(qv_program *p)
{
    if (!p) return;
    for (int i = 0; i < QV_LIST_COUNT; i++) free(p->lists[i].ops);
    free(p->buffers);
    free(p->layers);
    free(p);
}

int qv_add_buffer(qv_builder *b, qv_buffer buffer, const char *fmt, ...)
{
    qv_program *p = b->p;
    if (b->status == QV_OK)
        b->status = qv_grow(b->ctx, &p->buffers, &p->cap_buffers, p->n_buffers + 1, sizeof *p->buffers);
    if (b->status != QV_OK) return -1;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(buffer.name, sizeof buffer.name, fmt, ap);
    va_end(ap);
    p->buffers[p->n_buffers] = buffer;
    return (int)p->n_buffers++;
}

void qv_add_layer(qv_builder *b, const char *fmt, ...)
{
    qv_program *p = b->p;
    if (b->status == QV_OK)
        b->status = qv_grow(b->ctx, &p->layers, &p->cap_layers, p->n_layers + 1, sizeof *p->layers);
    if (b->status != QV_OK) return;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(p->layers[p->n_layers], sizeof p->layers[0], fmt, ap);
    va_end(ap);
    b->layer = (int)p->n_layers++;
}

qv_op *qv_add_op(qv_builder *b, qv_op_kind kind, const int *in, const int *out)
{
    qv_op_list *l = &b->p->lists[b->list];
    if (b->status == QV_OK) b->status = qv_grow(b->ctx, &l->ops, &l->cap, l->n + 1, sizeof *l->ops);
    if (b->status != QV_OK) return &b->nothing;
    qv_op_info info = qv_op_info_of(kind);
    qv_op *op = &l->ops[l->n++];
    memset(op, 0, sizeof *op);
    op->kind = (int32_t)kind;
    op->layer = b->layer;
    for (int i = 0; i < QV_MAX_IN; i++) op->in[i] = i < info.n_in ? in[i] : -1;
    for (int i = 0; i < QV_MAX_OUT; i++) op->out[i] = i < info.n_out ? out[i] : -1;
    return op;
}

size_t qv_buffer_len(const qv_buffer *b) { return (size_t)b->n * (size_t)b->h * (size_t)b->w * (size_t)b->c; }

size_t qv_buffer_bytes(const qv_buffer *b, qv_sizes sizes)
{
    const size_t size[] = {[QV_REAL] = sizes.real, [QV_ACT] = sizes.act, [QV_F32] = 4, [QV_I32] = 4, [QV_BYTES] = 1};
    return qv_buffer_len(b) * size[b->dtype];
}

