/* sgd: momentum, Nesterov or not, over all parameters in one launch, since they lie behind each
 * other. Bytes an element: reads 12 (gradient, parameter, momentum), writes 8: the minimum. The
 * learning rate comes from device memory, so that a captured step follows its schedule. */
#include "kernels/flat.cuh"

namespace {

struct sgd_of {
    const qv_step_state *state;
    const float *grad, *scale; /* scale: NULL, or one number */
    float *param, *moment;
    qv_sgd_attr a;

    template <int V> struct loaded {
        qv_raw<float, V> grad, param, moment;
    };
    template <int V> __device__ loaded<V> load(size_t i) const
    {
        return {qv_fetch<V>(grad + i), qv_fetch<V>(param + i), qv_fetch<V>(moment + i)};
    }
    template <int V> __device__ void take(size_t i, const loaded<V> &in) const
    {
        const float rate = state->lr, times = scale ? *scale : 1.0f;
        const qv_pack<V> raw = qv_unpack(in.grad);
        qv_pack<V> p = qv_unpack(in.param), m = qv_unpack(in.moment);
#pragma unroll
        for (int k = 0; k < V; k++) {
            const float g = times * raw.v[k];
            const float d = i + (size_t)k < (size_t)a.decayed ? fmaf(a.weight_decay, p.v[k], g) : g;
            m.v[k] = fmaf(a.momentum, m.v[k], d);
            p.v[k] = fmaf(-rate, a.nesterov ? fmaf(a.momentum, m.v[k], d) : m.v[k], p.v[k]);
        }
        qv_store(param + i, p);
        qv_store(moment + i, m);
    }
};

} // namespace

extern "C" int qv_cuda_sgd(const qv_call *c, size_t *need)
{
    if (need) return qv_no_scratch(need);
    const sgd_of f = {qv_data<const qv_step_state>(c->in[0]), qv_data(c->in[1]), qv_data(c->in[2]),
                      qv_data<float>(c->out[0]), qv_data<float>(c->out[1]), c->op->a.sgd};
    if (f.a.decayed < 0 || !qv_floats(c->in[1], c->in[2], c->out[0], c->out[1])) return QV_REFUSED;
    return qv_flat_run<float>(f, qv_tensor_len(&c->out[0]), c->stream, f.grad, f.param, f.moment);
}
