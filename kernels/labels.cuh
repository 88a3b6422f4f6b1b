/* What the losses share: the labels of a row of the batch, and the end of the sum over rows. */
#ifndef QV_LABELS_CUH
#define QV_LABELS_CUH

#include "kernels/device.cuh"

/* Operands that say so; others, with share: NULL for rows of one label. */
struct qv_label_operands {
    const int32_t *labels;
    const float *weight; /* of a class */
    const int32_t *others;
    const float *share;
    uint32_t classes;
};

/* Up to two labels of a row, the share of each, and its weight: the share times that of the class. */
struct qv_row_labels {
    int32_t label[2];
    float share[2], weight[2];
};

/* A label that names no class is as good as none. */
__device__ inline qv_row_labels qv_labels_of(const qv_label_operands &o, uint32_t n)
{
    const float share = o.share ? o.share[n] : 1.0f;
    qv_row_labels r = {{o.labels[n], o.share ? o.others[n] : -1}, {share, 1.0f - share}, {}};
#pragma unroll
    for (int i = 0; i < 2; i++) {
        const bool known = r.label[i] >= 0 && (uint32_t)r.label[i] < o.classes;
        r.share[i] = known ? r.share[i] : 0.0f;
        r.weight[i] = known ? r.share[i] * o.weight[r.label[i]] : 0.0f;
    }
    return r;
}

/* loss[0] = sum[0], loss[1] = sum[1], of all threads of the one block that makes a loss; returns the latter. */
__device__ inline float qv_end_loss(float *loss, float (&sum)[2], const qv_rows &g, const qv_place &at)
{
    QV_SHARED(float, whole, [1]);
    qv_join_lanes<qv_sum>(sum, g, at);
    if (at.slot == 0) {
        loss[0] = sum[0];
        loss[1] = whole[0] = sum[1];
    }
    __syncthreads();
    return whole[0];
}

#endif
