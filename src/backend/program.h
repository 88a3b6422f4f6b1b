/* A program: a network as flat lists of ops over buffers with fixed shapes. No op decides
 * anything while it runs, so the same program runs on every backend, can be compared buffer
 * by buffer, and its memory is planned before the first step. */
#ifndef QV_PROGRAM_H
#define QV_PROGRAM_H

#include "backend/backend.h"
#include "base/buf.h"

/* Who owns a buffer's content, and for how long. */
typedef enum qv_role {
    QV_ROLE_PARAM,   /* trained; they lie behind each other, those with weight decay first */
    QV_ROLE_GRAD,    /* the same layout as PARAM */
    QV_ROLE_MOMENT,  /* the optimizer's, the same layout as PARAM */
    QV_ROLE_SQUARE,  /* its second average, where it has one; the same layout */
    QV_ROLE_RUNNING, /* running statistics */
    QV_ROLE_IO,      /* written or read by the host between runs; lives for ever */
    QV_ROLE_EXTERN,  /* memory that the host binds: features */
    QV_ROLE_WORK,    /* lives from its first to its last use within one run of a list */
    QV_ROLE_COUNT
} qv_role;

/* What an optimizer remembers: only who goes on with a training needs it. */
static inline bool qv_role_is_memory(qv_role r) { return r == QV_ROLE_MOMENT || r == QV_ROLE_SQUARE; }

/* How a parameter starts. */
typedef enum qv_init { QV_INIT_ZERO, QV_INIT_CONST, QV_INIT_NORMAL, QV_INIT_UNIFORM } qv_init;

/* Bytes of a QV_REAL and of a QV_ACT. */
typedef struct qv_sizes {
    size_t real, act;
} qv_sizes;

typedef struct qv_buffer {
    char name[56];
    qv_dtype dtype;
    qv_role role;
    int32_t n, h, w, c; /* count of elements is their product; bytes for QV_BYTES */
    int32_t alias;      /* -1, or a QV_ROLE whose whole region this buffer is (the optimizer's view) */
    qv_init init;
    float init_value;   /* constant, standard deviation or half-width */
    bool decayed;       /* weight decay holds (PARAM) */
    size_t offset;      /* in bytes, in the region of its role; set by the plan */
} qv_buffer;

/* What a training leaves and an evaluation needs: parameters and running statistics. */
static inline bool qv_buffer_is_learned(const qv_buffer *b)
{
    return (b->role == QV_ROLE_PARAM || b->role == QV_ROLE_RUNNING) && b->alias < 0;
}

/* TRAIN is one whole step: batch, forward, loss, backward, update. EVAL computes probabilities of
 * given windows with the running statistics and even coefficients. MEASURE, where it is wanted, leaves in place of the
 * running statistics those of the given windows, with even coefficients (train/recalibrate.h). */
typedef enum qv_list { QV_LIST_TRAIN, QV_LIST_EVAL, QV_LIST_MEASURE, QV_LIST_COUNT } qv_list;

typedef struct qv_op_list {
    qv_op *ops;
    size_t n, cap;
} qv_op_list;

typedef struct qv_program {
    qv_buffer *buffers;
    size_t n_buffers, cap_buffers;
    qv_op_list lists[QV_LIST_COUNT];
    char (*layers)[32]; /* names that ops refer to */
    size_t n_layers, cap_layers;
    qv_sizes sizes;                    /* set by the plan */
    size_t region_bytes[QV_ROLE_COUNT]; /* set by the plan */
} qv_program;

void qv_program_free(qv_program *p);

/* Builds a program. The first failure stays in `status`; later additions do nothing, so that lowering
 * reads as the network does and asks once at its end. */
typedef struct qv_builder {
    qv_ctx *ctx;
    qv_program *p;
    qv_list list;
    int layer;
    qv_status status;
    qv_op nothing; /* what qv_add_op hands out after a failure */
} qv_builder;

int qv_add_buffer(qv_builder *b, qv_buffer buffer, const char *fmt, ...) QV_PRINTF(3, 4);
void qv_add_layer(qv_builder *b, const char *fmt, ...) QV_PRINTF(2, 3);
/* Appends an op to the builder's list. `in` and `out` hold as many ids as the op's row has operands. */
qv_op *qv_add_op(qv_builder *b, qv_op_kind kind, const int *in, const int *out);

/* Elements (bytes for QV_BYTES) of a buffer; its bytes. */
size_t qv_buffer_len(const qv_buffer *b);
size_t qv_buffer_bytes(const qv_buffer *b, qv_sizes sizes);

/* Which runs of ops a backend has one op for. PAIRS: bn_apply + shake_add -> bn_shake_add, and shake_grad into the
 * batch norm's backward ops. BLOCKS: these, and what saves a GPU launches and bytes: bn_stats + bn_finalize ->
 * bn_measure; bn_shake_add with the shortcut's bn_apply before it and the next bn_measure behind it -> block_end;
 * tickets for bn_grad_sums. */
typedef enum qv_fusions { QV_FUSE_PAIRS, QV_FUSE_BLOCKS } qv_fusions;

/* Replaces runs of ops by fused ones. The buffers between them are no longer written. Before the plan: BLOCKS adds
 * buffers of counters (role IO), whose memory must start as zeros. */
qv_status qv_program_fuse(qv_ctx *ctx, qv_program *p, qv_fusions which);

/* Gives every buffer its place: WORK buffers whose lives do not meet share memory unless keep_buffers. */
qv_status qv_program_plan(qv_ctx *ctx, qv_program *p, qv_sizes sizes, bool keep_buffers);

/* For each buffer of role WORK: first and last op of `list` that touches it; first > last where none does. */
qv_status qv_program_lifetimes(qv_ctx *ctx, const qv_program *p, qv_list list, int32_t **first, int32_t **last);

#endif
