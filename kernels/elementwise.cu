/* relu, relu_grad, add. Elements read and written, an element: 2; 3, or 4 with an addend; 3: each operand once.
 * Sums are made in float and rounded once, where they are stored. */
#include "kernels/flat.cuh"

namespace {

template <class T> struct relu_of {
    const T *x;
    T *y;

    template <int V> struct loaded {
        qv_raw<T, V> x;
    };
    template <int V> __device__ loaded<V> load(size_t i) const { return {qv_fetch<V>(x + i)}; }
    template <int V> __device__ void take(size_t i, const loaded<V> &in) const
    {
        qv_pack<V> r = qv_unpack(in.x);
#pragma unroll
        for (int k = 0; k < V; k++) r.v[k] = r.v[k] < 0 ? 0.0f : r.v[k];
        qv_store(y + i, r);
    }
};

template <class T> struct relu_grad_of {
    const T *dy, *y, *addend;
    T *dx;

    template <int V> struct loaded {
        qv_raw<T, V> dy, y, addend;
    };
    template <int V> __device__ loaded<V> load(size_t i) const
    {
        loaded<V> in = {qv_fetch<V>(dy + i), qv_fetch<V>(y + i), {}};
        if (addend) in.addend = qv_fetch<V>(addend + i);
        return in;
    }
    template <int V> __device__ void take(size_t i, const loaded<V> &in) const
    {
        const qv_pack<V> d = qv_unpack(in.dy), out = qv_unpack(in.y);
        qv_pack<V> r = qv_unpack(in.addend);
#pragma unroll
        for (int k = 0; k < V; k++) r.v[k] += out.v[k] > 0 ? d.v[k] : 0.0f;
        qv_store(dx + i, r);
    }
};

template <class T> struct sum_of {
    const T *a, *b;
    T *y;

    template <int V> struct loaded {
        qv_raw<T, V> a, b;
    };
    template <int V> __device__ loaded<V> load(size_t i) const { return {qv_fetch<V>(a + i), qv_fetch<V>(b + i)}; }
    template <int V> __device__ void take(size_t i, const loaded<V> &in) const
    {
        qv_pack<V> r = qv_unpack(in.a);
        const qv_pack<V> other = qv_unpack(in.b);
#pragma unroll
        for (int k = 0; k < V; k++) r.v[k] += other.v[k];
        qv_store(y + i, r);
    }
};

} // namespace

extern "C" int qv_cuda_relu(const qv_call *c, size_t *need)
{
    if (need) return qv_no_scratch(need);
    const qv_tensor &x = c->in[0], &y = c->out[0];
    if (!qv_alike(x, y)) return QV_REFUSED;
    return qv_by_type(x, [&](auto type) {
        using T = decltype(type);
        const relu_of<T> f = {qv_data<const T>(x), qv_data<T>(y)};
        return qv_flat_run<T>(f, qv_tensor_len(&y), c->stream, f.x, f.y);
    });
}

extern "C" int qv_cuda_relu_grad(const qv_call *c, size_t *need)
{
    if (need) return qv_no_scratch(need);
    const qv_tensor &dy = c->in[0], &y = c->in[1], &addend = c->in[2], &dx = c->out[0];
    if (!qv_alike(dy, y, addend, dx)) return QV_REFUSED;
    return qv_by_type(dy, [&](auto type) {
        using T = decltype(type);
        const relu_grad_of<T> f = {qv_data<const T>(dy), qv_data<const T>(y), qv_data<const T>(addend), qv_data<T>(dx)};
        return qv_flat_run<T>(f, qv_tensor_len(&dx), c->stream, f.dy, f.y, f.addend, f.dx);
    });
}

extern "C" int qv_cuda_add(const qv_call *c, size_t *need)
{
    if (need) return qv_no_scratch(need);
    const qv_tensor &a = c->in[0], &b = c->in[1], &y = c->out[0];
    if (!qv_alike(a, b, y)) return QV_REFUSED;
    return qv_by_type(a, [&](auto type) {
        using T = decltype(type);
        const sum_of<T> f = {qv_data<const T>(a), qv_data<const T>(b), qv_data<T>(y)};
        return qv_flat_run<T>(f, qv_tensor_len(&y), c->stream, f.a, f.b, f.y);
    });
}
