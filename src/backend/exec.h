/* A program loaded on a device, ready to run. */
#ifndef QV_EXEC_H
#define QV_EXEC_H

#include "backend/program.h"
#include "base/parallel.h"

typedef struct qv_exec qv_exec;

typedef struct qv_exec_options {
    qv_device device;
    qv_pool *pool;      /* CPU: threads, borrowed; NULL: one */
    bool no_fuse;       /* run the canonical list */
    bool keep_buffers;  /* every buffer keeps its content until the next run */
    bool poison;        /* fill a buffer with NaN when its life ends: finds uses after it */
    bool profile;       /* time every op */
    const char *isa;    /* CPU: best instruction set allowed, NULL: what there is */
    bool direct;        /* CPU: no Winograd convolutions */
} qv_exec_options;

/* Takes over the program (fuses it, plans its memory) but does not own it. Parameters and
 * running statistics hold zeros until written. QV_ERR_DEVICE, with what was found and what is
 * needed, where the device cannot be used. */
qv_status qv_exec_new(qv_ctx *ctx, qv_exec **out, qv_program *p, const qv_exec_options *o);
void qv_exec_free(qv_exec *e);

qv_status qv_exec_run(qv_ctx *ctx, qv_exec *e, qv_list list);

/* Elements [at, at + n) of a buffer of reals, converted to and from double. */
void qv_exec_read(qv_exec *e, int buffer, size_t at, size_t n, double *dst);
void qv_exec_write(qv_exec *e, int buffer, size_t at, size_t n, const double *src);
/* The same for buffers of other types, in bytes. */
void qv_exec_read_bytes(qv_exec *e, int buffer, size_t at, size_t n, void *dst);
void qv_exec_write_bytes(qv_exec *e, int buffer, size_t at, size_t n, const void *src);
/* Memory of a QV_ROLE_EXTERN buffer; must outlive the exec. */
void qv_exec_bind(qv_exec *e, int buffer, const void *data);

/* "cpu (avx512, Winograd, oneDNN 2.6.3, 2 threads)" and the like. */
const char *qv_exec_describe(const qv_exec *e);
/* Bytes of all memory that the exec holds. */
size_t qv_exec_bytes(const qv_exec *e);
/* Seconds spent in op i of the list since the start, with options.profile. */
double qv_exec_seconds(const qv_exec *e, qv_list list, size_t i);

#endif
