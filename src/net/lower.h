/* Lowering's shared tools: activations, convolutions, batch norms, each with its backward part. */
#ifndef QV_NET_LOWER_H
#define QV_NET_LOWER_H

#include "net/net.h"

/* What lowering carries along. */
typedef struct qv_lowering {
    qv_builder b;
    qv_net *net;
    const char *scope; /* put before the names of buffers: "stage1.block0." */
} qv_lowering;

/* One convolution without bias. Weights are made once and shared by both lists. */
typedef struct qv_conv {
    const char *name;
    int w, dw; /* parameter and gradient */
    int cin, cout, kernel, stride, groups;
    int x, y; /* of the list at hand */
} qv_conv;

/* One batch norm: statistics over x, one or two sets of scale and shift. */
typedef struct qv_norm {
    const char *name;
    int gamma, beta, dgamma, dbeta;
    int rmean, rvar;
    int channels, repeat;
    bool relu;
    int x, y, mean, rstd; /* of the list at hand */
} qv_norm;

/* fan_channels: output channels of one branch, for He's standard deviation. */
void qv_conv_make(qv_lowering *l, qv_conv *c, const char *name, int cin, int cout, int kernel, int stride, int groups,
                  int fan_channels);
int qv_conv_forward(qv_lowering *l, qv_conv *c, int x);
/* Weight gradient; returns the gradient at x, or -1 when it is not wanted. */
int qv_conv_backward(qv_lowering *l, qv_conv *c, int dy, bool want_dx);

void qv_norm_make(qv_lowering *l, qv_norm *n, const char *name, int channels, int repeat, bool relu, float gamma0);
int qv_norm_forward(qv_lowering *l, qv_norm *n, int x);
/* addend: added to the gradient at x; -1: none. Returns the gradient at x. */
int qv_norm_backward(qv_lowering *l, qv_norm *n, int dy, int addend);

/* Batch norms of the list at hand take the statistics of their batch. */
bool qv_measures(const qv_lowering *l);

/* WORK buffer with the type and shape of `like` but c channels (0: the same). */
int qv_work_like(qv_lowering *l, int like, int c, const char *name);
int qv_work(qv_lowering *l, qv_dtype dtype, int n, int h, int w, int c, const char *name);
/* A parameter and its gradient and moment. Returns the parameter's id. */
int qv_param(qv_lowering *l, const char *name, int n, int h, int w, int c, qv_init init, float value, bool decayed,
             int *grad);
const qv_buffer *qv_buffer_at(const qv_lowering *l, int id);

#endif
