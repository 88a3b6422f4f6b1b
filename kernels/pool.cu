/* pool, pool_grad: the mean over a sample's positions, and its transpose.
 *
 * Elements moved: pool reads x, pool_grad writes dx; what has one value a sample and channel is a
 * float and nothing beside it. A block of pool takes one sample and 32 channels
 * of it: 64 or 128 contiguous bytes a row, so that a batch of a few samples still fills the
 * device, and no second launch is needed. */
#include "kernels/device.cuh"

namespace {

template <class T, int V> struct position_sum {
    using loaded = qv_raw<T, V>;
    const T *x;
    uint64_t first;
    uint32_t channels, column;
    float sum[V];

    __device__ inline loaded load(uint64_t row) const
    {
        return qv_fetch<V>(x + qv_offset(first + row, channels, column, V));
    }
    __device__ inline void take(const loaded &in, uint64_t)
    {
        const qv_pack<V> p = qv_unpack(in);
#pragma unroll
        for (int i = 0; i < V; i++) sum[i] += p.v[i];
    }
};

/* g deals the positions of one sample; x of [N][rows][channels]. */
template <class T, int V>
__global__ void __launch_bounds__(QV_BLOCK, 4) average(const T *x, float *y, qv_rows g, uint32_t channels)
{
    const qv_place at = qv_place_of(g, 0);
    position_sum<T, V> p = {x, blockIdx.x * g.rows, channels, at.column, {}};
    qv_each_row<4>(g, at, p);
    qv_join_lanes<qv_sum>(p.sum, g, at);
    if (at.lane == 0 && at.column < g.vectors) {
        qv_pack<V> r;
#pragma unroll
        for (int i = 0; i < V; i++) r.v[i] = p.sum[i] / (float)g.rows;
        qv_store(y + qv_offset(blockIdx.x, channels, at.column, V), r);
    }
}

template <class T, int V>
__global__ void __launch_bounds__(QV_BLOCK) spread(const float *dy, T *dx, qv_rows g, qv_plane plane, uint32_t channels)
{
    const qv_place at = qv_place_of(g, blockIdx.x);
    if (at.row >= at.end) return;
    qv_spot spot = qv_spot_of(&plane, at.row);
    for (uint64_t row = at.row; row < at.end; row += g.lanes) {
        qv_pack<V> r = qv_load<V>(dy + qv_offset(spot.n, channels, at.column, V));
#pragma unroll
        for (int i = 0; i < V; i++) r.v[i] = r.v[i] / (float)plane.hw;
        qv_store(dx + qv_offset(row, channels, at.column, V), r);
        qv_spot_step(&plane, &spot);
    }
}

template <class T, int V> int run_pool(const qv_call *c)
{
    const qv_tensor &x = c->in[0];
    const uint64_t positions = (uint64_t)x.h * (uint64_t)x.w;
    const qv_rows g = qv_pool_rows(positions, (uint32_t)x.c, V);
    if (g.columns == 0) return QV_REFUSED;
    QV_LAUNCH((average<T, V>), dim3((uint32_t)x.n, g.columns), dim3(g.threads), c->stream, qv_data<const T>(x),
              qv_data<float>(c->out[0]), g, (uint32_t)x.c);
    return qv_launch_error();
}

template <class T, int V> int run_grad(const qv_call *c)
{
    const qv_tensor &dx = c->out[0];
    const qv_rows g = qv_pass_rows(qv_positions(dx), (uint32_t)dx.c / V);
    if (g.columns == 0) return QV_REFUSED;
    QV_LAUNCH((spread<T, V>), dim3(g.blocks, g.columns), dim3(g.threads), c->stream, qv_data(c->in[0]),
              qv_data<T>(dx), g, qv_plane_of(dx.h, dx.w, 1, g.lanes), (uint32_t)dx.c);
    return qv_launch_error();
}

/* image: the tensor with positions; point: the one without, in float. */
bool fits(const qv_tensor &image, const qv_tensor &point)
{
    return qv_tensor_len(&image) > 0 && qv_tensor_len(&point) == (size_t)image.n * (size_t)image.c &&
           qv_plane_fits(image.h, image.w, 1) && qv_floats(point);
}

} // namespace

extern "C" int qv_cuda_pool(const qv_call *c, size_t *need)
{
    if (need) return qv_no_scratch(need);
    const qv_tensor &x = c->in[0], &y = c->out[0];
    if (!fits(x, y)) return QV_REFUSED;
    return qv_by_type(x, [&](auto type) {
        using T = decltype(type);
        return qv_wide<T>((uint32_t)x.c, x.data, y.data) ? run_pool<T, qv_wide_of<T>>(c) : run_pool<T, 1>(c);
    });
}

extern "C" int qv_cuda_pool_grad(const qv_call *c, size_t *need)
{
    if (need) return qv_no_scratch(need);
    const qv_tensor &dy = c->in[0], &dx = c->out[0];
    if (!fits(dx, dy)) return QV_REFUSED;
    return qv_by_type(dx, [&](auto type) {
        using T = decltype(type);
        return qv_wide<T>((uint32_t)dx.c, dy.data, dx.data) ? run_grad<T, qv_wide_of<T>>(c) : run_grad<T, 1>(c);
    });
}
