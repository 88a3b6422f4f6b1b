/* What every implementation of an exec begins with. */
#ifndef QV_EXEC_OWN_H
#define QV_EXEC_OWN_H

#include "backend/exec.h"

/* The functions of exec.h, one implementation each. */
typedef struct qv_exec_class {
    void (*free)(qv_exec *e);
    qv_status (*run)(qv_ctx *ctx, qv_exec *e, qv_list list);
    qv_status (*submit)(qv_ctx *ctx, qv_exec *e, const qv_step_state *s);
    qv_status (*collect)(qv_ctx *ctx, qv_exec *e, double sums[2]);
    void (*read)(qv_exec *e, int buffer, size_t at, size_t n, double *dst);
    void (*write)(qv_exec *e, int buffer, size_t at, size_t n, const double *src);
    void (*read_bytes)(qv_exec *e, int buffer, size_t at, size_t n, void *dst);
    void (*write_bytes)(qv_exec *e, int buffer, size_t at, size_t n, const void *src);
    qv_status (*check)(qv_ctx *ctx, const qv_exec *e);
    qv_status (*bind)(qv_ctx *ctx, qv_exec *e, int buffer, const void *data, size_t bytes);
    double (*seconds)(const qv_exec *e, qv_list list, size_t i); /* of all runs that were timed */
} qv_exec_class;

struct qv_exec {
    const qv_exec_class *class;
    qv_program *p;
    qv_exec_options o;
    uint64_t depth; /* steps that may be on their way */
    size_t bytes;   /* of all memory held */
    size_t without_plan;              /* convolutions that the libraries have no plan for */
    uint64_t profiled[QV_LIST_COUNT]; /* runs whose ops were timed */
    char description[256];
};

/* What qv_exec_new does on the host, and on a GPU (src/backend/cuda, or no_cuda.c where it is not built). */
qv_status qv_host_exec_new(qv_ctx *ctx, qv_exec **out, qv_program *p, const qv_exec_options *o);
qv_status qv_cuda_exec_new(qv_ctx *ctx, qv_exec **out, qv_program *p, const qv_exec_options *o);

#endif
