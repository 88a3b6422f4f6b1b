/* The arithmetic of batch norm, in one place, so that forward and backward agree to the bit on
 * which side of zero a normalized value lies (the ReLU mask is recomputed, not stored). */
#ifndef QV_BN_CUH
#define QV_BN_CUH

#include "kernels/device.cuh"

/* Parameters of V neighbouring channels of one set of scale and shift; scale = rstd gamma. */
template <int V> struct qv_norm {
    qv_pack<V> mean, scale, beta;
};

/* at: the channel in mean and rstd; set: the one in gamma and beta. */
template <int V>
__device__ inline qv_norm<V> qv_norm_load(const float *mean, const float *rstd, const float *gamma, const float *beta,
                                          size_t at, size_t set)
{
    qv_norm<V> n;
    n.mean = qv_load<V>(mean + at);
    n.scale = qv_load<V>(gamma + set);
    n.beta = qv_load<V>(beta + set);
    const qv_pack<V> r = qv_load<V>(rstd + at);
#pragma unroll
    for (int i = 0; i < V; i++) n.scale.v[i] = __fmul_rn(r.v[i], n.scale.v[i]);
    return n;
}

/* off = x - mean, rounded. */
__device__ inline float qv_scaled(float off, float scale, float beta) { return fmaf(off, scale, beta); }

template <int V> __device__ inline float qv_normalize(float x, const qv_norm<V> &n, int i)
{
    return qv_scaled(__fsub_rn(x, n.mean.v[i]), n.scale.v[i], n.beta.v[i]);
}

/* What becomes of a channel's mean and biased variance. */
struct qv_finish {
    float *mean, *rstd, *rmean, *rvar;
    float eps, momentum, unbias; /* M / (M - 1) */

    __device__ inline void statistics(uint32_t c, float m, float var) const
    {
        const float keep = 1.0f - momentum;
        mean[c] = m;
        rstd[c] = 1.0f / sqrtf(var + eps);
        rmean[c] = keep * rmean[c] + momentum * m;
        rvar[c] = keep * rvar[c] + momentum * (var * unbias);
    }
};

/* out: mean rstd rmean rvar, one behind the other. */
inline qv_finish qv_finish_of(const qv_tensor *out, const qv_bn_attr &a)
{
    const float count = (float)a.count, others = (float)(a.count - 1);
    return {qv_data<float>(out[0]),
            qv_data<float>(out[1]),
            qv_data<float>(out[2]),
            qv_data<float>(out[3]),
            a.eps,
            a.momentum,
            count / others};
}

#endif
