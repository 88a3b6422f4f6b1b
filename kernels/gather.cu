/* gather: a batch of normalized patches out of the resident feature matrix.
 *
 * Reads 4 bytes (features are floats) and writes one element for each of x, float or bf16, plus the normalization's
 * two rows, which stay in the cache. A block takes 1024 neighbouring vectors of one sample's patch; its first thread
 * finds the recording and draws the crop, exactly as the reference does, once for all of them. */
#include "base/philox.h"
#include "kernels/device.cuh"

namespace
{

enum { ITEMS = 4 };

struct gather_operands {
    const qv_step_state *state;
    const float *feats;
    const qv_utterance *utts;
    const float *norm;
    const int32_t *order;
    const qv_window *windows; /* NULL: the sampler's */
    void *x;
    int32_t *labels;
    uint32_t samples, frames, mels; /* of x */
};

/* What a block needs to know of its sample. frames 0: padding. */
struct source {
    int64_t first_frame;
    int32_t frames, start, norm, label;
};

__device__ inline source sampled(const gather_operands &o, uint32_t n)
{
    const qv_step_state s = *o.state;
    const uint64_t row = s.step * s.batch + s.first + n, epoch = row / s.set_size, position = row % s.set_size;
    const qv_utterance u = o.utts[o.order[epoch % 2 * s.set_size + position]];
    const uint32_t counter[4] = {(uint32_t)s.step, (uint32_t)position, (uint32_t)QV_DRAW_CROP << 24, (uint32_t)epoch};
    const uint32_t draw = qv_philox(counter, s.key).v[0] >> 8;
    const int64_t spare = (int64_t)u.frames - (int64_t)o.frames;
    /* In units of 2^-24, so that no product is rounded. */
    const int32_t start = spare > 0 ? (int32_t)(((uint64_t)draw * (uint64_t)(spare + 1)) >> 24) : 0;
    return {u.first_frame, u.frames, start, u.norm, u.label};
}

__device__ inline source given(const gather_operands &o, uint32_t n)
{
    const qv_window w = o.windows[n];
    if (w.utterance < 0) return {0, 0, 0, 0, -1};
    const qv_utterance u = o.utts[w.utterance];
    return {u.first_frame, u.frames, w.start, u.norm, u.label};
}

/* Grid: samples along x, tiles of a patch along y. */
template <class T, int V> __global__ void __launch_bounds__(QV_BLOCK) patches(gather_operands o)
{
    QV_SHARED(source, shared, [1]);
    const uint32_t n = blockIdx.x, vectors = o.mels / V;
    if (threadIdx.x == 0) {
        shared[0] = o.windows ? given(o, n) : sampled(o, n);
        if (blockIdx.y == 0) o.labels[n] = shared[0].label;
    }
    __syncthreads();
    const source s = shared[0];
    const float *norm = o.norm + (size_t)s.norm * 2 * o.mels;
    for (uint32_t k = 0; k < ITEMS; k++) {
        const uint32_t i = (blockIdx.y * ITEMS + k) * QV_BLOCK + threadIdx.x;
        const uint32_t frame = i / vectors, m = i % vectors * V;
        if (frame >= o.frames) return;
        qv_pack<V> r = {};
        if (s.frames > 0) {
            const uint64_t from = (uint64_t)s.first_frame + ((uint32_t)s.start + frame) % (uint32_t)s.frames;
            const qv_pack<V> mean = qv_load<V>(norm + m), scale = qv_load<V>(norm + o.mels + m);
            r = qv_load<V>(o.feats + from * o.mels + m);
#pragma unroll
            for (int j = 0; j < V; j++) r.v[j] = (r.v[j] - mean.v[j]) * scale.v[j];
        }
        qv_store(static_cast<T *>(o.x) + ((size_t)n * o.frames + frame) * o.mels + m, r);
    }
}

template <class T, int V> int run(const gather_operands &o, void *stream)
{
    const uint64_t tiles = qv_up((uint64_t)o.frames * (o.mels / V), (uint64_t)ITEMS * QV_BLOCK);
    if (tiles > QV_GRID_Y) return QV_REFUSED;
    QV_LAUNCH((patches<T, V>), dim3(o.samples, (uint32_t)tiles), dim3(QV_BLOCK), 0, stream, o);
    return qv_launch_error();
}

} // namespace

extern "C" int qv_cuda_gather(const qv_call *c, size_t *need)
{
    if (need) return (*need = 0), 0;
    const qv_tensor &x = c->out[0];
    const bool given = c->op->a.gather.windows != 0;
    const gather_operands o = {qv_data<const qv_step_state>(c->in[0]),
                               qv_data(c->in[1]),
                               qv_data<const qv_utterance>(c->in[2]),
                               qv_data(c->in[3]),
                               qv_data<const int32_t>(c->in[4]),
                               given ? qv_data<const qv_window>(c->in[5]) : nullptr,
                               x.data,
                               qv_data<int32_t>(c->out[1]),
                               (uint32_t)x.n,
                               (uint32_t)x.h,
                               (uint32_t)x.w};
    if (qv_tensor_len(&x) == 0 || x.c != 1 || !qv_plane_fits(x.h, x.w, 1)) return QV_REFUSED;
    if (given ? !o.windows : !o.order) return QV_REFUSED;
    if (!qv_floats(c->in[1], c->in[3])) return QV_REFUSED;
    return qv_by_type(x, [&](auto type) {
        using T = decltype(type);
        return qv_wide<T>(o.mels, o.feats, o.norm, o.x) ? run<T, qv_wide_of<T>>(o, c->stream) : run<T, 1>(o, c->stream);
    });
}
