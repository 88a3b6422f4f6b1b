/* conv, conv_grad_x, conv_grad_w: direct convolutions of any kernel, stride, padding, groups and channels, where
 * cuDNN has no plan; and the stem, for which they are the better choice.
 *
 * Weights float, activations and weights float or bf16; sums in float, in an order that the shape alone decides.
 *
 * The stem (3x3, one input channel) moves next to nothing but y, or dy: elements of y, 1 written forward, 1 read for
 * the weights' gradient; x is 1/cout of that and comes out of the cache. A thread keeps its channels' weights (or
 * the sums of their gradients) in registers and walks down the rows of y as the passes of batch norm do.
 *
 * All else is a matrix product whose operands are looked up in the tensors as it goes (implicit GEMM): a block makes
 * a tile of the result out of slices of 16 terms in shared memory, a thread 4 x 2 elements of it. No tensor cores:
 * a fallback. The weights' gradient sums over all positions, so it is cut into pieces, merged by a second launch. */
#include "kernels/device.cuh"

namespace {

/* One convolution. ci, co: channels of a group. */
struct conv_shape {
    uint32_t h, w, p, q, kernel, groups, ci, co;
    int32_t stride, pad;
    uint64_t inputs, outputs; /* positions over all samples */
};

/* Where in an [h, w] image tap (r, t) of output position (p, q) reads; -1 in the padding. */
__device__ inline int32_t input_of(const conv_shape &s, uint32_t p, uint32_t q, uint32_t r, uint32_t t)
{
    const int32_t h = (int32_t)(p * (uint32_t)s.stride + r) - s.pad, w = (int32_t)(q * (uint32_t)s.stride + t) - s.pad;
    const bool inside = h >= 0 && w >= 0 && h < (int32_t)s.h && w < (int32_t)s.w;
    return inside ? h * (int32_t)s.w + w : -1;
}

/* Elements of one sample's x and of one position of x, of y. */
__device__ inline uint64_t image_of_x(const conv_shape &s) { return (uint64_t)s.h * s.w * s.groups * s.ci; }
__device__ inline uint64_t row_of_x(const conv_shape &s) { return (uint64_t)s.groups * s.ci; }
__device__ inline uint64_t row_of_y(const conv_shape &s) { return (uint64_t)s.groups * s.co; }

template <class T> __device__ inline float number(const T *p) { return qv_load<1>(p).v[0]; }

/* Operands of the products: one index stands still, the other runs. */

/* x round an output position m; k: tap and channel. */
template <class T> struct window_of_x {
    const T *x;
    uint32_t p, q;

    __device__ window_of_x(const conv_shape &s, const T *data, uint32_t group, uint64_t m)
        : x(data + m / (s.p * s.q) * image_of_x(s) + group * s.ci), p((uint32_t)(m / s.q % s.p)), q((uint32_t)(m % s.q))
    {
    }
    __device__ float get(const conv_shape &s, uint32_t k) const
    {
        const uint32_t tap = k / s.ci;
        const int32_t at = input_of(s, p, q, tap / s.kernel, tap % s.kernel);
        return at < 0 ? 0.0f : number(x + (uint64_t)at * row_of_x(s) + k % s.ci);
    }
};

/* dy round an input position m; k: tap and channel. */
template <class T> struct window_of_dy {
    const T *dy;
    int32_t h, w; /* with the padding before them */

    __device__ window_of_dy(const conv_shape &s, const T *data, uint32_t group, uint64_t m)
        : dy(data + m / (s.h * s.w) * s.p * s.q * row_of_y(s) + group * s.co), h((int32_t)(m / s.w % s.h) + s.pad),
          w((int32_t)(m % s.w) + s.pad)
    {
    }
    __device__ float get(const conv_shape &s, uint32_t k) const
    {
        const uint32_t tap = k / s.co;
        const int32_t p = h - (int32_t)(tap / s.kernel), q = w - (int32_t)(tap % s.kernel);
        if (p < 0 || q < 0 || p % s.stride || q % s.stride) return 0;
        const uint32_t row = (uint32_t)(p / s.stride), column = (uint32_t)(q / s.stride);
        return row < s.p && column < s.q ? number(dy + ((uint64_t)row * s.q + column) * row_of_y(s) + k % s.co) : 0.0f;
    }
};

/* Weights of an output channel o, by tap and input channel. */
template <class W> struct weights_of_output {
    const W *w;

    __device__ weights_of_output(const conv_shape &s, const W *data, uint32_t group, uint64_t o)
        : w(data + ((uint64_t)group * s.co + o) * s.kernel * s.kernel * s.ci)
    {
    }
    __device__ float get(const conv_shape &, uint32_t k) const { return number(w + k); }
};

/* Weights of an input channel i, by tap and output channel. */
template <class W> struct weights_of_input {
    const W *w;

    __device__ weights_of_input(const conv_shape &s, const W *data, uint32_t group, uint64_t i)
        : w(data + (uint64_t)group * s.co * s.kernel * s.kernel * s.ci + i)
    {
    }
    __device__ float get(const conv_shape &s, uint32_t k) const
    {
        return number(w + ((uint64_t)(k % s.co) * s.kernel * s.kernel + k / s.co) * s.ci);
    }
};

/* dy of an output channel, by position. */
template <class T> struct channel_of_dy {
    const T *dy;

    __device__ channel_of_dy(const conv_shape &s, const T *data, uint32_t group, uint64_t o)
        : dy(data + group * s.co + o)
    {
    }
    __device__ float get(const conv_shape &s, uint32_t k) const { return number(dy + k * row_of_y(s)); }
};

/* x that one tap and channel see, by output position. */
template <class T> struct channel_of_x {
    const T *x;
    uint32_t r, t;

    __device__ channel_of_x(const conv_shape &s, const T *data, uint32_t group, uint64_t column)
        : x(data + group * s.ci + column % s.ci), r((uint32_t)(column / s.ci) / s.kernel),
          t((uint32_t)(column / s.ci) % s.kernel)
    {
    }
    __device__ float get(const conv_shape &s, uint32_t k) const
    {
        const int32_t at = input_of(s, k / s.q % s.p, k % s.q, r, t);
        return at < 0 ? 0.0f : number(x + k / (s.p * s.q) * image_of_x(s) + (uint64_t)at * row_of_x(s));
    }
};

/* out[piece][row * step + group * columns + column] = sum over the piece's k of a(row, k) b(column, k). */
struct product {
    conv_shape s;
    const void *a, *b;
    void *out;
    uint64_t rows, step, group_step; /* elements from row to row, from group to group */
    uint64_t piece_step;
    uint32_t columns, depth, chunk; /* terms of a piece */
};

enum { TILE_M = 64, TILE_N = 32, TILE_K = 16, THREADS = 256, EACH_M = 4, EACH_N = 2 };

/* Grid: tiles of rows, tiles of columns, groups and pieces. Operand A is read by T, B by W. */
template <template <class> class A, class TA, template <class> class B, class TB, class TO>
__global__ void __launch_bounds__(THREADS) multiply(product g)
{
    QV_SHARED(float, left, [TILE_K][TILE_M + 4]);
    QV_SHARED(float, right, [TILE_K][TILE_N + 2]);
    const uint32_t group = blockIdx.z % g.s.groups, piece = blockIdx.z / g.s.groups, t = threadIdx.x;
    /* What this thread brings: 4 terms of one row, 2 of one column. What it makes: 4 rows, 2 columns. */
    const uint32_t am = t / 4, ak = t % 4 * 4, bn = t / 8, bk = t % 8 * 2, row = t / 16 * EACH_M,
                   column = t % 16 * EACH_N;
    const uint64_t m = (uint64_t)blockIdx.x * TILE_M + am, n = (uint64_t)blockIdx.y * TILE_N + bn;
    const A<TA> a(g.s, static_cast<const TA *>(g.a), group, m < g.rows ? m : 0);
    const B<TB> b(g.s, static_cast<const TB *>(g.b), group, n < g.columns ? n : 0);
    const uint64_t begin = (uint64_t)piece * g.chunk, stop = begin + g.chunk;
    const uint64_t end = stop < g.depth ? stop : g.depth;
    float sum[EACH_M][EACH_N] = {};
    for (uint64_t k = begin; k < end; k += TILE_K) {
#pragma unroll
        for (uint32_t i = 0; i < 4; i++)
            left[ak + i][am] = m < g.rows && k + ak + i < end ? a.get(g.s, (uint32_t)k + ak + i) : 0.0f;
#pragma unroll
        for (uint32_t i = 0; i < 2; i++)
            right[bk + i][bn] = n < g.columns && k + bk + i < end ? b.get(g.s, (uint32_t)k + bk + i) : 0.0f;
        __syncthreads();
#pragma unroll
        for (int i = 0; i < TILE_K; i++) {
#pragma unroll
            for (int y = 0; y < EACH_M; y++) {
#pragma unroll
                for (int x = 0; x < EACH_N; x++) sum[y][x] = fmaf(left[i][row + y], right[i][column + x], sum[y][x]);
            }
        }
        __syncthreads();
    }
#pragma unroll
    for (int y = 0; y < EACH_M; y++) {
#pragma unroll
        for (int x = 0; x < EACH_N; x++) {
            const uint64_t r = (uint64_t)blockIdx.x * TILE_M + row + y, c = (uint64_t)blockIdx.y * TILE_N + column + x;
            if (r >= g.rows || c >= g.columns) continue;
            TO *to = static_cast<TO *>(g.out) + piece * g.piece_step + r * g.step + group * g.group_step + c;
            qv_store(to, qv_pack<1>{{sum[y][x]}});
        }
    }
}

template <template <class> class A, class TA, template <class> class B, class TB, class TO>
int run_product(const product &g, uint32_t pieces, void *stream)
{
    const uint64_t x = qv_up(g.rows, TILE_M), y = qv_up(g.columns, TILE_N), z = (uint64_t)g.s.groups * pieces;
    if (x > QV_GRID_X || y > QV_GRID_Y || z > QV_GRID_Y) return QV_REFUSED;
    QV_LAUNCH((multiply<A, TA, B, TB, TO>), dim3((uint32_t)x, (uint32_t)y, (uint32_t)z), dim3(THREADS), stream, g);
    return qv_launch_error();
}

/* Pieces of the weights' gradient, one column each. */
struct piece_sum {
    using loaded = float;
    const float *part;
    uint64_t step;
    uint32_t column;
    float sum[1];

    __device__ inline loaded load(uint64_t piece) const { return part[piece * step + column]; }
    __device__ inline void take(const loaded &v, uint64_t) { sum[0] += v; }
};

template <class W> __global__ void __launch_bounds__(QV_BLOCK) merge_pieces(const float *part, W *dw, qv_rows g)
{
    const qv_place at = qv_place_of(g, 0);
    piece_sum f = {part, g.vectors, at.column, {}};
    qv_each_row<4>(g, at, f);
    qv_join_lanes<qv_sum>(f.sum, g, at);
    if (at.lane == 0 && at.column < g.vectors) qv_store(dw + at.column, qv_pack<1>{{f.sum[0]}});
}

template <class W> int run_merge(const qv_call *c, uint32_t pieces)
{
    const qv_tensor &dw = c->out[0];
    const qv_rows g = qv_merge_rows(pieces, (uint32_t)qv_tensor_len(&dw));
    if (g.columns == 0) return QV_REFUSED;
    QV_LAUNCH((merge_pieces<W>), dim3(1, g.columns), dim3(g.threads), c->stream,
              static_cast<const float *>(c->scratch), qv_data<W>(dw), g);
    return qv_launch_error();
}

/* --- the stem: 3x3, one channel in --- */

enum { TAPS = 9 };

struct stem_operands {
    conv_shape s;
    const void *x, *w, *dy;
    void *y;
    float *part; /* [blocks][cout][TAPS] */
};

/* What the nine taps of a row of y see. */
template <class T> struct stem_window {
    const T *x;
    conv_shape s;
    qv_plane plane; /* of y */
    qv_spot spot;

    __device__ inline void next(float (&v)[TAPS])
    {
        const uint32_t p = spot.p / plane.w;
        const T *image = x + spot.n * image_of_x(s);
#pragma unroll
        for (uint32_t k = 0; k < TAPS; k++) {
            const int32_t at = input_of(s, p, spot.q, k / 3, k % 3);
            v[k] = at < 0 ? 0.0f : number(image + at);
        }
        qv_spot_step(&plane, &spot);
    }
};

template <class T, int V> struct stem_rows {
    struct loaded {
        float x[TAPS];
    };
    stem_window<T> window;
    T *y;
    uint32_t channels, column;
    qv_pack<V> w[TAPS];

    __device__ inline loaded load(uint64_t)
    {
        loaded in;
        window.next(in.x);
        return in;
    }
    __device__ inline void take(const loaded &in, uint64_t row) const
    {
        qv_pack<V> r = {};
#pragma unroll
        for (int k = 0; k < TAPS; k++) {
#pragma unroll
            for (int i = 0; i < V; i++) r.v[i] = fmaf(in.x[k], w[k].v[i], r.v[i]);
        }
        qv_store(y + qv_offset(row, channels, column, V), r);
    }
};

template <class T, class W, int V>
__global__ void __launch_bounds__(QV_BLOCK, 2) stem_forward(stem_operands o, qv_rows g, qv_plane plane)
{
    const qv_place at = qv_place_of(g, blockIdx.x);
    if (at.row >= at.end) return;
    stem_rows<T, V> f = {{static_cast<const T *>(o.x), o.s, plane, qv_spot_of(&plane, at.row)},
                         static_cast<T *>(o.y),
                         o.s.co,
                         at.column,
                         {}};
    const W *w = static_cast<const W *>(o.w) + (size_t)at.column * V * TAPS;
#pragma unroll
    for (int k = 0; k < TAPS; k++) {
#pragma unroll
        for (int i = 0; i < V; i++) f.w[k].v[i] = number(w + i * TAPS + k);
    }
    qv_each_row<1>(g, at, f);
}

template <class T, int V> struct stem_grad_rows {
    struct loaded {
        float x[TAPS];
        qv_raw<T, V> dy;
    };
    stem_window<T> window;
    const T *dy;
    uint32_t channels, column;
    float sum[V][TAPS];

    __device__ inline loaded load(uint64_t row)
    {
        loaded in;
        in.dy = qv_fetch<V>(dy + qv_offset(row, channels, column, V));
        window.next(in.x);
        return in;
    }
    __device__ inline void take(const loaded &in, uint64_t)
    {
        const qv_pack<V> d = qv_unpack(in.dy);
#pragma unroll
        for (int i = 0; i < V; i++) {
#pragma unroll
            for (int k = 0; k < TAPS; k++) sum[i][k] = fmaf(d.v[i], in.x[k], sum[i][k]);
        }
    }
};

enum { STEM_CHANNELS = 64, WARPS = QV_BLOCK / 32 };

/* All channels in one block, a power of two vectors wide, so that the lanes of a warp that hold the same channels are
 * a multiple of the width apart. */
template <class T, int V>
__global__ void __launch_bounds__(QV_BLOCK, 2) stem_gradient(stem_operands o, qv_rows g, qv_plane plane)
{
    QV_SHARED(float, s, [WARPS][STEM_CHANNELS * TAPS]);
    const uint32_t block = qv_last_first(), weights = o.s.co * TAPS;
    const qv_place at = qv_place_of(g, block);
    stem_grad_rows<T, V> f = {{static_cast<const T *>(o.x), o.s, plane, qv_spot_of(&plane, at.row)},
                              static_cast<const T *>(o.dy),
                              o.s.co,
                              at.column,
                              {}};
    qv_each_row<1>(g, at, f);
    const uint32_t warp = threadIdx.x / 32, lane = threadIdx.x % 32;
#pragma unroll
    for (int i = 0; i < V; i++) {
#pragma unroll
        for (int k = 0; k < TAPS; k++) {
            float v = f.sum[i][k];
            for (uint32_t far = 16; far >= g.width; far /= 2) v += __shfl_xor_sync(0xffffffffu, v, (int)far);
            if (lane < g.width) s[warp][(lane * V + i) * TAPS + k] = v;
        }
    }
    __syncthreads();
    for (uint32_t j = threadIdx.x; j < weights; j += blockDim.x) {
        float sum = 0;
        for (uint32_t i = 0; i < blockDim.x / 32; i++) sum += s[i][j];
        o.part[(size_t)block * weights + j] = sum;
    }
}

/* --- launchers --- */

conv_shape shape_of(const qv_conv_attr &a, const qv_tensor &x, const qv_tensor &y)
{
    return {(uint32_t)x.h,
            (uint32_t)x.w,
            (uint32_t)y.h,
            (uint32_t)y.w,
            (uint32_t)a.kernel,
            (uint32_t)a.groups,
            (uint32_t)(x.c / a.groups),
            (uint32_t)(y.c / a.groups),
            a.stride,
            a.pad,
            qv_positions(x),
            qv_positions(y)};
}

/* What else would be read beyond an end, or not fit 32 bits. Weights in bf16 come with activations in bf16 only. */
bool fits(const qv_conv_attr &a, const qv_tensor &x, const qv_tensor &w, const qv_tensor &y)
{
    const int32_t limit = 1 << 28;
    if (a.kernel < 1 || a.stride < 1 || a.pad < 0 || a.groups < 1) return false;
    if (a.kernel > limit || a.stride > limit || a.pad > limit || x.h > limit || x.w > limit) return false;
    if (qv_tensor_len(&x) == 0 || qv_tensor_len(&y) == 0 || x.n != y.n || x.c % a.groups || y.c % a.groups)
        return false;
    if (w.n != y.c || w.h != a.kernel || w.w != a.kernel || w.c != x.c / a.groups) return false;
    if ((int64_t)(y.h - 1) * a.stride + a.kernel > (int64_t)x.h + 2 * a.pad ||
        (int64_t)(y.w - 1) * a.stride + a.kernel > (int64_t)x.w + 2 * a.pad)
        return false;
    const double taps = (double)a.kernel * a.kernel;
    return qv_alike(x, y) && (w.dtype != QV_BF16 || x.dtype == QV_BF16) && qv_plane_fits(x.h, x.w, 1) &&
           qv_plane_fits(y.h, y.w, 1) && qv_positions(y) <= INT32_MAX && taps * y.c * w.c <= INT32_MAX &&
           taps * y.c <= INT32_MAX;
}

bool is_stem(const qv_conv_attr &a, const qv_tensor &x) { return a.kernel == 3 && x.c == 1; }

/* f(T(), W()) for the types of activations and of weights. */
template <class F> int by_types(const qv_tensor &x, const qv_tensor &w, F f)
{
    if (w.dtype == QV_BF16) return f(qv_bf16(), qv_bf16());
    return x.dtype == QV_BF16 ? f(qv_bf16(), float()) : f(float(), float());
}

template <class T, class W, int V> int run_stem(const qv_call *c, const stem_operands &o)
{
    const qv_rows g = qv_pass_rows(o.s.outputs, o.s.co / V);
    if (g.columns == 0) return QV_REFUSED;
    QV_LAUNCH((stem_forward<T, W, V>), dim3(g.blocks, g.columns), dim3(g.threads), c->stream, o, g,
              qv_plane_of(c->out[0].h, c->out[0].w, 1, g.lanes));
    return qv_launch_error();
}

/* Does the block of stem_gradient hold these channels, V at a time? */
bool holds(const conv_shape &s, uint32_t v)
{
    const uint32_t width = s.co / v;
    return s.co % v == 0 && s.co <= STEM_CHANNELS && width <= 32 && (width & (width - 1)) == 0;
}

template <class T, int V> int run_stem_gradient(const qv_call *c, const stem_operands &o)
{
    const qv_rows g = qv_sums_rows(o.s.outputs, o.s.co / V);
    QV_LAUNCH((stem_gradient<T, V>), dim3(g.blocks), dim3(g.threads), c->stream, o, g,
              qv_plane_of(c->in[1].h, c->in[1].w, 1, g.lanes));
    return qv_launch_error();
}

/* As many pieces as fill a device, of at least 256 terms. */
uint32_t pieces_of(const conv_shape &s)
{
    const uint64_t columns = (uint64_t)s.kernel * s.kernel * s.ci;
    const uint64_t tiles = qv_up(s.co, TILE_M) * qv_up(columns, TILE_N) * s.groups;
    const uint64_t fill = qv_up(QV_SUM_BLOCKS, tiles), most = qv_up(s.outputs, 256);
    return (uint32_t)(fill < most ? fill : most);
}

template <class T> int gradient_product(const qv_call *c, const conv_shape &s, uint32_t pieces)
{
    const uint32_t columns = s.kernel * s.kernel * s.ci, depth = (uint32_t)s.outputs;
    const uint64_t all = (uint64_t)s.groups * s.co * columns;
    const product g = {s,
                       c->in[1].data,
                       c->in[0].data,
                       c->scratch,
                       s.co,
                       columns,
                       (uint64_t)s.co * columns,
                       all,
                       columns,
                       depth,
                       (uint32_t)qv_up(depth, pieces)};
    return run_product<channel_of_dy, T, channel_of_x, T, float>(g, pieces, c->stream);
}

} // namespace

extern "C" int qv_cuda_conv(const qv_call *c, size_t *need)
{
    const qv_tensor &x = c->in[0], &w = c->in[1], &y = c->out[0];
    const qv_conv_attr &a = c->op->a.conv;
    if (!fits(a, x, w, y)) return QV_REFUSED;
    if (need) return qv_no_scratch(need);
    const conv_shape s = shape_of(a, x, y);
    return by_types(x, w, [&](auto type, auto weight) {
        using T = decltype(type);
        using W = decltype(weight);
        if (is_stem(a, x)) {
            const stem_operands o = {s, x.data, w.data, nullptr, y.data, nullptr};
            return qv_wide<T>(s.co, y.data) ? run_stem<T, W, qv_wide_of<T>>(c, o) : run_stem<T, W, 1>(c, o);
        }
        const uint32_t depth = s.kernel * s.kernel * s.ci;
        const product g = {s,    x.data, w.data, y.data, s.outputs, (uint64_t)s.groups * s.co,
                           s.co, 0,      s.co,   depth,  depth};
        return run_product<window_of_x, T, weights_of_output, W, T>(g, 1, c->stream);
    });
}

extern "C" int qv_cuda_conv_grad_x(const qv_call *c, size_t *need)
{
    const qv_tensor &dy = c->in[0], &w = c->in[1], &dx = c->out[0];
    const qv_conv_attr &a = c->op->a.conv;
    if (!fits(a, dx, w, dy)) return QV_REFUSED;
    if (need) return qv_no_scratch(need);
    const conv_shape s = shape_of(a, dx, dy);
    return by_types(dx, w, [&](auto type, auto weight) {
        using T = decltype(type);
        using W = decltype(weight);
        const uint32_t depth = s.kernel * s.kernel * s.co;
        const product g = {s,    dy.data, w.data, dx.data, s.inputs, (uint64_t)s.groups * s.ci,
                           s.ci, 0,       s.ci,   depth,   depth};
        return run_product<window_of_dy, T, weights_of_input, W, T>(g, 1, c->stream);
    });
}

extern "C" int qv_cuda_conv_grad_w(const qv_call *c, size_t *need)
{
    const qv_tensor &x = c->in[0], &dy = c->in[1], &dw = c->out[0];
    const qv_conv_attr &a = c->op->a.conv;
    if (!fits(a, x, dw, dy)) return QV_REFUSED;
    const conv_shape s = shape_of(a, x, dy);
    const uint32_t pieces = pieces_of(s);
    const size_t weights = qv_tensor_len(&dw);
    return by_types(x, dw, [&](auto type, auto weight) {
        using T = decltype(type);
        using W = decltype(weight);
        constexpr uint32_t V = qv_wide_of<T>;
        const uint32_t wide = is_stem(a, x) && holds(s, V) ? qv_sums_rows(s.outputs, s.co / V).blocks : 0;
        const uint32_t narrow = is_stem(a, x) && holds(s, 1) ? qv_sums_rows(s.outputs, s.co).blocks : 0;
        const uint32_t blocks = wide > narrow ? wide : narrow;
        if (need) return *need = sizeof(float) * weights * (blocks > pieces ? blocks : pieces), 0;
        const stem_operands o = {s, x.data, nullptr, dy.data, nullptr, static_cast<float *>(c->scratch)};
        const bool fit = wide && qv_wide<T>(s.co, dy.data);
        const int error = fit      ? run_stem_gradient<T, V>(c, o)
                          : narrow ? run_stem_gradient<T, 1>(c, o)
                                   : gradient_product<T>(c, s, pieces);
        return error ? error : run_merge<W>(c, fit ? wide : narrow ? narrow : pieces);
    });
}
