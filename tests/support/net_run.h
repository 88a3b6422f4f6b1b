/* A network on a device with data of its own, for tests that take whole steps: coefficients and, if wanted, the
 * gradient at the logits come from the host. */
#ifndef QV_TEST_NET_RUN_H
#define QV_TEST_NET_RUN_H

#include "backend/exec.h"
#include "net/net.h"

/* A network that qv_net_check accepts, small enough to be run in milliseconds. */
qv_net_config qv_random_net(uint64_t *random);
/* Another head for it. Centers that stand still, so that a step can be repeated; an embedding of two numbers where one
 * would leave a margin no gradient. */
void qv_give_head(qv_net_config *c, qv_head_kind head);
/* As a C initializer, for messages. */
void qv_print_net(const qv_net_config *c, char *out, size_t size);

typedef struct qv_net_run {
    qv_net *net;
    qv_exec *exec;
    int parameters, gradients; /* whole regions */
    int dlogits;
    size_t n_parameters, n_input, n_logits;
} qv_net_run;

typedef struct qv_net_run_options {
    qv_exec_options exec;
    bool host_coefficients;  /* alpha and beta of each block are written, not drawn */
    bool host_dlogits;       /* the loss does not run; the host writes the gradient at the logits */
    const char *host_buffer; /* no op writes it: the host does */
    bool embedding;          /* qv_net_options.embedding */
} qv_net_run_options;

/* Parameters, statistics, patches, labels, class weights and coefficients are all drawn from `seed`: the same on every
 * device. Scales and shifts are moved off their starts, so that no gradient is zero by symmetry. */
void qv_net_run_new(qv_ctx *ctx, qv_net_run *r, const qv_net_config *c, uint64_t seed, const qv_net_run_options *o);
void qv_net_run_free(qv_net_run *r);

/* One step with learning rate 0; returns its loss. */
double qv_net_run_step(qv_ctx *ctx, qv_net_run *r);

/* A whole buffer, released with free(). */
double *qv_net_run_read(const qv_net_run *r, int buffer, size_t *n);
void qv_net_run_write(qv_net_run *r, int buffer, const double *values);
/* The buffer of that name, which must be there. */
int qv_net_run_find(const qv_net_run *r, const char *name);

/* Euclidean length of x - y, of x where y is NULL. */
double qv_distance(const double *x, const double *y, size_t n);

#endif
