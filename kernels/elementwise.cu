/* relu, relu_grad, add. Bytes an element: 8; 12, or 16 with an addend; 12: each operand once. */
#include "kernels/flat.cuh"

namespace {

struct relu_of {
    const float *x;
    float *y;

    template <int V> __device__ void run(size_t i) const
    {
        qv_pack<V> r = qv_load<V>(x + i);
#pragma unroll
        for (int k = 0; k < V; k++) r.v[k] = r.v[k] < 0 ? 0.0f : r.v[k];
        qv_store<V>(y + i, r);
    }
};

struct relu_grad_of {
    const float *dy, *y, *addend;
    float *dx;

    template <int V> __device__ void run(size_t i) const
    {
        const qv_pack<V> d = qv_load<V>(dy + i), out = qv_load<V>(y + i);
        qv_pack<V> r = {};
        if (addend) r = qv_load<V>(addend + i);
#pragma unroll
        for (int k = 0; k < V; k++) r.v[k] += out.v[k] > 0 ? d.v[k] : 0.0f;
        qv_store<V>(dx + i, r);
    }
};

struct sum_of {
    const float *a, *b;
    float *y;

    template <int V> __device__ void run(size_t i) const
    {
        qv_pack<V> r = qv_load<V>(a + i);
        const qv_pack<V> other = qv_load<V>(b + i);
#pragma unroll
        for (int k = 0; k < V; k++) r.v[k] += other.v[k];
        qv_store<V>(y + i, r);
    }
};

/* For qv_wide: the tail of a flat vector has a path of its own, so every length will do. */
enum { ANY = 4 };

} // namespace

extern "C" int qv_cuda_relu(const qv_call *c, size_t *need)
{
    if (need) return (*need = 0), 0;
    const relu_of f = {qv_data(c->in[0]), qv_data<float>(c->out[0])};
    return qv_flat_run(f, qv_tensor_len(&c->out[0]), qv_wide(ANY, f.x, f.y), c->stream);
}

extern "C" int qv_cuda_relu_grad(const qv_call *c, size_t *need)
{
    if (need) return (*need = 0), 0;
    const relu_grad_of f = {qv_data(c->in[0]), qv_data(c->in[1]), qv_data(c->in[2]), qv_data<float>(c->out[0])};
    return qv_flat_run(f, qv_tensor_len(&c->out[0]), qv_wide(ANY, f.dy, f.y, f.addend, f.dx), c->stream);
}

extern "C" int qv_cuda_add(const qv_call *c, size_t *need)
{
    if (need) return (*need = 0), 0;
    const sum_of f = {qv_data(c->in[0]), qv_data(c->in[1]), qv_data<float>(c->out[0])};
    return qv_flat_run(f, qv_tensor_len(&c->out[0]), qv_wide(ANY, f.a, f.b, f.y), c->stream);
}
