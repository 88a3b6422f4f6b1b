/* adamw: both averages and the step over all parameters in one launch. Bytes an element: reads 16, writes 12: the
 * minimum. Rate and step number come from device memory, so that a captured step follows its schedule and its bias
 * correction: 1 - b^t = -expm1(t log b) keeps its digits where b is near 1 and t small. */
#include <math.h>

#include "kernels/flat.cuh"

namespace {

struct adamw_of {
    const qv_step_state *state;
    const float *grad, *scale; /* scale: NULL, or one number */
    float *param, *moment, *square;
    qv_adamw_attr a;
    float log1, log2; /* of the betas */

    template <int V> struct loaded {
        qv_raw<float, V> grad, param, moment, square;
    };
    template <int V> __device__ loaded<V> load(size_t i) const
    {
        return {qv_fetch<V>(grad + i), qv_fetch<V>(param + i), qv_fetch<V>(moment + i), qv_fetch<V>(square + i)};
    }
    template <int V> __device__ void take(size_t i, const loaded<V> &in) const
    {
        const float rate = state->lr, times = scale ? *scale : 1.0f, t = (float)(state->step + 1);
        const float first = -expm1f(t * log1), second = -expm1f(t * log2);
        const qv_pack<V> raw = qv_unpack(in.grad);
        qv_pack<V> p = qv_unpack(in.param), m = qv_unpack(in.moment), v = qv_unpack(in.square);
#pragma unroll
        for (int k = 0; k < V; k++) {
            const float g = times * raw.v[k], decay = i + (size_t)k < (size_t)a.decayed ? a.weight_decay : 0.0f;
            m.v[k] = fmaf(a.beta1, m.v[k], (1 - a.beta1) * g);
            v.v[k] = fmaf(a.beta2, v.v[k], (1 - a.beta2) * g * g);
            const float step = m.v[k] / first / (sqrtf(v.v[k] / second) + a.eps);
            p.v[k] = fmaf(-rate, fmaf(decay, p.v[k], step), p.v[k]);
        }
        qv_store(param + i, p);
        qv_store(moment + i, m);
        qv_store(square + i, v);
    }
};

} // namespace

extern "C" int qv_cuda_adamw(const qv_call *c, size_t *need)
{
    if (need) return qv_no_scratch(need);
    const qv_adamw_attr &a = c->op->a.adamw;
    const adamw_of f = {qv_data<const qv_step_state>(c->in[0]),
                        qv_data(c->in[1]),
                        qv_data(c->in[2]),
                        qv_data<float>(c->out[0]),
                        qv_data<float>(c->out[1]),
                        qv_data<float>(c->out[2]),
                        a,
                        (float)log((double)a.beta1),
                        (float)log((double)a.beta2)};
    if (a.decayed < 0 || !qv_floats(c->in[1], c->in[2], c->out[0], c->out[1], c->out[2])) return QV_REFUSED;
    return qv_flat_run<float>(f, qv_tensor_len(&c->out[0]), c->stream, f.grad, f.param, f.moment, f.square);
}
