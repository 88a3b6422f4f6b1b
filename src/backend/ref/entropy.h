/* What the losses share: the labels of a row, and the softmax. */
#ifndef QV_REF_ENTROPY_H
#define QV_REF_ENTROPY_H

#include <math.h>

#include "backend/ref/ref.h"

/* Up to two labels of a row, the share of each, and its weight: the share times that of the class. */
typedef struct qv_ref_labels {
    int32_t label[2];
    double share[2], weight[2];
} qv_ref_labels;

/* The operands that say so; those of mixtures may be absent. A label that names no class is none: -1. */
static inline qv_ref_labels qv_ref_labels_of(const qv_tensor *labels, const qv_tensor *class_weights,
                                             const qv_tensor *others, const qv_tensor *shares, size_t n)
{
    const qv_real *weight = class_weights->data, *share = shares->data;
    const int32_t *own = labels->data, *other = others->data;
    double l = share ? (double)share[n] : 1;
    qv_ref_labels r = {{own[n], share ? other[n] : -1}, {l, 1 - l}, {0}};
    for (int i = 0; i < 2; i++) {
        bool known = r.label[i] >= 0 && r.label[i] < class_weights->c;
        if (!known) r.label[i] = -1, r.share[i] = 0;
        if (known) r.weight[i] = r.share[i] * (double)weight[r.label[i]];
    }
    return r;
}

/* Of MARGIN and CENTER, whose operands stand in the same order. */
static inline qv_ref_labels qv_ref_head_labels(const qv_call *call, size_t n)
{
    return qv_ref_labels_of(&call->in[1], &call->in[2], &call->in[4], &call->in[5], n);
}

/* Probability that the smoothed target of a label gives to class k. */
static inline double qv_ref_target(double smoothing, size_t classes, int32_t label, size_t k)
{
    return (k == (size_t)label ? 1 - smoothing : 0) + smoothing / (double)classes;
}

/* p[K] = softmax(p); returns log(sum of exp(p)). */
static inline double qv_ref_softmax(double *p, size_t classes)
{
    double max = p[0], sum = 0;
    for (size_t k = 1; k < classes; k++) max = fmax(max, p[k]);
    for (size_t k = 0; k < classes; k++) sum += p[k] = exp(p[k] - max);
    for (size_t k = 0; k < classes; k++) p[k] /= sum;
    return max + log(sum);
}

#endif
