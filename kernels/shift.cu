/* shift, shift_grad: the two paths of the shifted shortcut to half of both axes, and back. Nothing is computed, so that
 * every value arrives to the bit. Elements moved, an element of y: shift reads 1 and writes 1; shift_grad reads 1 and
 * writes an element of dx, half of which are zeros. */
#include "kernels/device.cuh"

namespace {

/* Extents of the two images and channels of a path. */
struct shift_shape {
    uint32_t h, w, half_h, half_w, channels;
};

__device__ inline uint64_t row_of(uint32_t n, uint32_t h, uint32_t w, uint32_t p, uint32_t q)
{
    return ((uint64_t)n * h + p) * w + q;
}

/* Rows of y. */
template <class T, int V> struct path_rows {
    struct loaded {
        qv_raw<T, V> plain, shifted;
    };
    const T *x;
    T *y;
    shift_shape shape;
    uint32_t column;
    qv_plane plane;
    qv_spot spot;

    __device__ inline loaded load(uint64_t)
    {
        const uint32_t p = 2 * (spot.p / shape.half_w), q = 2 * spot.q;
        const uint64_t row = row_of(spot.n, shape.h, shape.w, p, q);
        loaded in = {qv_fetch<V>(x + qv_offset(row, shape.channels, column, V)), {}};
        if (p + 1 < shape.h && q + 1 < shape.w)
            in.shifted = qv_fetch<V>(x + qv_offset(row + shape.w + 1, shape.channels, column, V));
        qv_spot_step(&plane, &spot);
        return in;
    }
    __device__ inline void take(const loaded &in, uint64_t row) const
    {
        T *to = y + qv_offset(row, 2 * shape.channels, column, V);
        qv_store(to, qv_unpack(in.plain));
        qv_store(to + shape.channels, qv_unpack(in.shifted));
    }
};

/* Rows of dx. */
template <class T, int V> struct source_rows {
    using loaded = qv_raw<T, V>;
    const T *dy;
    T *dx;
    shift_shape shape;
    uint32_t column;
    qv_plane plane;
    qv_spot spot;

    __device__ inline loaded load(uint64_t)
    {
        const uint32_t p = spot.p / shape.w, q = spot.q;
        loaded in = {};
        if (p % 2 == q % 2) {
            const uint64_t row = row_of(spot.n, shape.half_h, shape.half_w, p / 2, q / 2);
            in = qv_fetch<V>(dy + qv_offset(row, 2 * shape.channels, column, V) + p % 2 * shape.channels);
        }
        qv_spot_step(&plane, &spot);
        return in;
    }
    __device__ inline void take(const loaded &in, uint64_t row) const
    {
        qv_store(dx + qv_offset(row, shape.channels, column, V), qv_unpack(in));
    }
};

template <template <class, int> class Rows, class T, int V>
__global__ void __launch_bounds__(QV_BLOCK) move_rows(const T *from, T *to, qv_rows g, qv_plane plane, shift_shape shape)
{
    const qv_place at = qv_place_of(g, blockIdx.x);
    if (at.row >= at.end) return;
    Rows<T, V> f = {from, to, shape, at.column, plane, qv_spot_of(&plane, at.row)};
    qv_each_row<4>(g, at, f);
}

template <template <class, int> class Rows, class T, int V> int run(const qv_call *c, const shift_shape &shape)
{
    const qv_tensor &to = c->out[0];
    const qv_rows g = qv_pass_rows(qv_positions(to), shape.channels / V);
    if (g.columns == 0) return QV_REFUSED;
    QV_LAUNCH((move_rows<Rows, T, V>), dim3(g.blocks, g.columns), dim3(g.threads), c->stream,
              qv_data<const T>(c->in[0]), qv_data<T>(to), g, qv_plane_of(to.h, to.w, 1, g.lanes), shape);
    return qv_launch_error();
}

template <template <class, int> class Rows>
int shift(const qv_call *c, size_t *need, const qv_tensor &large, const qv_tensor &small)
{
    if (need) return qv_no_scratch(need);
    if (qv_tensor_len(&large) == 0 || !qv_plane_fits(large.h, large.w, 1) || small.n != large.n ||
        small.h != (large.h + 1) / 2 || small.w != (large.w + 1) / 2 || small.c != 2 * large.c || !qv_alike(large, small))
        return QV_REFUSED;
    const shift_shape shape = {(uint32_t)large.h, (uint32_t)large.w, (uint32_t)small.h, (uint32_t)small.w,
                               (uint32_t)large.c};
    return qv_by_type(large, [&](auto type) {
        using T = decltype(type);
        return qv_wide<T>(shape.channels, large.data, small.data) ? run<Rows, T, qv_wide_of<T>>(c, shape)
                                                                   : run<Rows, T, 1>(c, shape);
    });
}

} // namespace

extern "C" int qv_cuda_shift(const qv_call *c, size_t *need) { return shift<path_rows>(c, need, c->in[0], c->out[0]); }

extern "C" int qv_cuda_shift_grad(const qv_call *c, size_t *need)
{
    return shift<source_rows>(c, need, c->out[0], c->in[0]);
}
