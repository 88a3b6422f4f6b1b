/* unit, unit_grad: rows to unit length, and back. Few and short rows (a batch of embeddings, the weights of a
 * classifier), so one block a row: the second pass over it finds it in the cache. */
#include "kernels/device.cuh"

namespace {

struct rows_of {
    const float *x, *y; /* unit: x; its gradient: dy and y */
    const float *norm, *dnorm;
    float *to, *length;
    uint32_t channels;
};

/* The sum over the block of `own`, in all its threads; once a kernel. */
__device__ inline float whole_sum(float own, const qv_rows &g, const qv_place &at)
{
    QV_SHARED(float, whole, [1]);
    float sum[1] = {own};
    qv_join_lanes<qv_sum>(sum, g, at);
    if (at.slot == 0) whole[0] = sum[0];
    __syncthreads();
    return whole[0];
}

__device__ inline float inverse_of(float length) { return length <= QV_NO_LENGTH ? 0.0f : 1.0f / length; }

__global__ void __launch_bounds__(QV_BLOCK) unit(rows_of o, qv_rows g)
{
    const qv_place at = qv_place_of(g, 0);
    const size_t row = (size_t)blockIdx.x * o.channels;
    float sum = 0;
    for (uint64_t c = at.row; c < at.end; c += g.lanes) sum = fmaf(o.x[row + c], o.x[row + c], sum);
    const float length = sqrtf(whole_sum(sum, g, at)), inverse = inverse_of(length);
    for (uint64_t c = at.row; c < at.end; c += g.lanes) o.to[row + c] = o.x[row + c] * inverse;
    if (at.slot == 0) o.length[blockIdx.x] = length;
}

__global__ void __launch_bounds__(QV_BLOCK) unit_grad(rows_of o, qv_rows g)
{
    const qv_place at = qv_place_of(g, 0);
    const size_t row = (size_t)blockIdx.x * o.channels;
    float sum = 0;
    for (uint64_t c = at.row; c < at.end; c += g.lanes) sum = fmaf(o.x[row + c], o.y[row + c], sum);
    const float along = whole_sum(sum, g, at), inverse = inverse_of(o.norm[blockIdx.x]),
                outward = o.dnorm ? o.dnorm[blockIdx.x] : 0.0f;
    for (uint64_t c = at.row; c < at.end; c += g.lanes) {
        const float y = o.y[row + c], across = fmaf(-y, along, o.x[row + c]);
        o.to[row + c] = fmaf(outward, y, across * inverse);
    }
}

/* All of these are [n,1,1,c]. */
template <class... X> bool are_rows(const qv_tensor &first, const X &...t)
{
    return qv_tensor_len(&first) > 0 && first.h == 1 && first.w == 1 &&
           ((t.n == first.n && t.h == 1 && t.w == 1 && t.c == first.c) && ...);
}

/* One number a row, or none. */
bool is_column(const qv_tensor &t, const qv_tensor &rows) { return !t.data || qv_tensor_len(&t) == (size_t)rows.n; }

} // namespace

extern "C" int qv_cuda_unit(const qv_call *c, size_t *need)
{
    if (need) return qv_no_scratch(need);
    const qv_tensor &x = c->in[0];
    if (!are_rows(x, c->out[0]) || !is_column(c->out[1], x)) return QV_REFUSED;
    if (!qv_floats(x, c->out[0], c->out[1])) return QV_REFUSED;
    const rows_of o = {qv_data(x),   nullptr, nullptr, nullptr, qv_data<float>(c->out[0]), qv_data<float>(c->out[1]),
                       (uint32_t)x.c};
    const qv_rows g = qv_rows_of(o.channels, 1, 1, 1, 1);
    QV_LAUNCH(unit, dim3((uint32_t)x.n), dim3(g.threads), c->stream, o, g);
    return qv_launch_error();
}

extern "C" int qv_cuda_unit_grad(const qv_call *c, size_t *need)
{
    if (need) return qv_no_scratch(need);
    const qv_tensor &dy = c->in[0], &y = c->in[1], &norm = c->in[2], &dnorm = c->in[3];
    if (!are_rows(dy, y, c->out[0]) || !is_column(norm, dy) || !is_column(dnorm, dy)) return QV_REFUSED;
    if (!qv_floats(dy, y, norm, dnorm, c->out[0])) return QV_REFUSED;
    const rows_of o = {qv_data(dy), qv_data(y),    qv_data(norm), qv_data(dnorm), qv_data<float>(c->out[0]),
                       nullptr,     (uint32_t)dy.c};
    const qv_rows g = qv_rows_of(o.channels, 1, 1, 1, 1);
    QV_LAUNCH(unit_grad, dim3((uint32_t)dy.n), dim3(g.threads), c->stream, o, g);
    return qv_launch_error();
}
