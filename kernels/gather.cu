/* gather: a batch of normalized patches out of the resident feature matrix, augmented and mixed.
 *
 * Images differ only in that a band has several values side by side. Reads 4 bytes (features are floats; twice that in
 * a mixture) and writes one element for each of x, float or bf16, plus the normalization's two rows, which stay in the
 * cache. A block takes 1024 neighbouring vectors of one sample's patch; its first thread draws what the patch shows
 * (kernels/patch.h), once for all of them. */
#include "kernels/device.cuh"
#include "kernels/patch.h"

namespace {

enum { ITEMS = 4 };

struct gather_operands {
    const qv_step_state *state;
    const float *feats;
    const qv_utterance *utts;
    const float *norm;
    const int32_t *order;
    const qv_window *windows; /* NULL: the sampler's */
    const float *quantiles;   /* NULL: no mixture */
    void *x;
    int32_t *labels, *others;
    float *share;
    uint32_t samples, frames, mels, channels; /* of x */
    uint32_t values;                          /* mels * channels: of a frame */
    qv_gather_attr a;
};

/* What a block needs to know of its sample. */
struct sample {
    qv_patch own, other;
    float share;
};

__device__ inline qv_patch drawn(const gather_operands &o, uint32_t row)
{
    return qv_patch_drawn(o.state, o.utts, o.order, &o.a, row, (int32_t)o.frames, (int32_t)o.mels);
}

__device__ inline void draw(const gather_operands &o, uint32_t n, sample &s)
{
    const uint32_t row = o.state->first + n;
    s.own = o.windows ? qv_patch_given(o.utts, o.windows[n]) : drawn(o, row);
    if (blockIdx.y == 0) o.labels[n] = s.own.label;
    if (!o.quantiles) return;
    s.other = o.windows ? qv_patch_given(o.utts, o.windows[o.samples - 1 - n]) : drawn(o, qv_mix_partner(o.state, row));
    s.share = qv_mix_share(o.state, row, o.quantiles);
    if (blockIdx.y == 0) o.others[n] = s.other.label, o.share[n] = s.share;
}

/* Does value i of a frame show nothing? */
__device__ inline bool blank(const gather_operands &o, const qv_patch &p, int32_t i)
{
    const int32_t m = o.channels == 1 ? i : i / (int32_t)o.channels;
    return qv_in_spans(p.mel, m) || qv_patch_mel(&p, m, (int32_t)o.mels) < 0;
}

/* V values from i on of frame t. */
template <int V> __device__ inline qv_pack<V> show(const gather_operands &o, const qv_patch &p, int32_t t, int32_t i)
{
    qv_pack<V> r = {};
    if (qv_patch_blank(&p, t)) return r;
    const float *frame = o.feats + qv_patch_frame(&p, t) * o.values, *norm = o.norm + (size_t)p.norm * 2 * o.values;
    const qv_pack<V> mean = qv_load<V>(norm + i), scale = qv_load<V>(norm + o.values + i);
    if (qv_patch_straight(&p)) {
        r = qv_load<V>(frame + i);
    } else {
#pragma unroll
        for (int j = 0; j < V; j++) {
            const int32_t from = qv_patch_value(&p, i + j, (int32_t)o.mels, (int32_t)o.channels);
            r.v[j] = frame[from < 0 ? 0 : from];
        }
    }
#pragma unroll
    for (int j = 0; j < V; j++) r.v[j] = blank(o, p, i + j) ? 0.0f : (r.v[j] + p.gain - mean.v[j]) * scale.v[j];
    return r;
}

/* Grid: samples along x, tiles of a patch along y. */
template <class T, int V> __global__ void __launch_bounds__(QV_BLOCK) patches(gather_operands o)
{
    QV_SHARED(sample, shared, [1]);
    const uint32_t n = blockIdx.x, vectors = o.values / V;
    if (threadIdx.x == 0) draw(o, n, shared[0]);
    __syncthreads();
    const sample &s = shared[0];
    for (uint32_t k = 0; k < ITEMS; k++) {
        const uint32_t i = (blockIdx.y * ITEMS + k) * QV_BLOCK + threadIdx.x;
        const int32_t frame = (int32_t)(i / vectors), at = (int32_t)(i % vectors * V);
        if (frame >= (int32_t)o.frames) return;
        qv_pack<V> r = show<V>(o, s.own, frame, at);
        if (o.quantiles) {
            const qv_pack<V> other = show<V>(o, s.other, frame, at);
#pragma unroll
            for (int j = 0; j < V; j++) r.v[j] = fmaf(s.share, r.v[j], (1.0f - s.share) * other.v[j]);
        }
        qv_store(static_cast<T *>(o.x) + ((size_t)n * o.frames + (uint32_t)frame) * o.values + (uint32_t)at, r);
    }
}

template <class T, int V> int run(const gather_operands &o, void *stream)
{
    const uint64_t tiles = qv_up((uint64_t)o.frames * (o.values / V), (uint64_t)ITEMS * QV_BLOCK);
    if (tiles > QV_GRID_Y) return QV_REFUSED;
    QV_LAUNCH((patches<T, V>), dim3(o.samples, (uint32_t)tiles), dim3(QV_BLOCK), stream, o);
    return qv_launch_error();
}

gather_operands operands(const qv_call *c)
{
    const qv_tensor &x = c->out[0];
    gather_operands o = {};
    o.a = c->op->a.gather;
    o.state = qv_data<const qv_step_state>(c->in[0]);
    o.feats = qv_data(c->in[1]);
    o.utts = qv_data<const qv_utterance>(c->in[2]);
    o.norm = qv_data(c->in[3]);
    o.order = qv_data<const int32_t>(c->in[4]);
    o.windows = o.a.windows ? qv_data<const qv_window>(c->in[5]) : nullptr;
    o.quantiles = qv_data(c->in[6]);
    o.x = x.data;
    o.labels = qv_data<int32_t>(c->out[1]);
    o.others = qv_data<int32_t>(c->out[2]);
    o.share = qv_data<float>(c->out[3]);
    o.samples = (uint32_t)x.n, o.frames = (uint32_t)x.h, o.mels = (uint32_t)x.w, o.channels = (uint32_t)x.c;
    o.values = o.mels * o.channels;
    return o;
}

bool has_all(const gather_operands &o)
{
    if (o.a.windows ? !o.windows : !o.order) return false;
    if (o.quantiles && (!o.others || !o.share)) return false;
    return o.a.time_masks <= QV_MASKS && o.a.mel_masks <= QV_MASKS;
}

} // namespace

extern "C" int qv_cuda_gather(const qv_call *c, size_t *need)
{
    if (need) return qv_no_scratch(need);
    const qv_tensor &x = c->out[0];
    if (qv_tensor_len(&x) == 0 || !qv_plane_fits(x.h, x.w, x.c)) return QV_REFUSED;
    if (c->in[1].c != x.w * x.c || c->in[3].c != x.w * x.c) return QV_REFUSED;
    if (!qv_floats(c->in[1], c->in[3], c->in[6], c->out[3])) return QV_REFUSED;
    const gather_operands o = operands(c);
    if (!has_all(o)) return QV_REFUSED;
    return qv_by_type(x, [&](auto type) {
        using T = decltype(type);
        return qv_wide<T>(o.values, o.feats, o.norm, o.x) ? run<T, qv_wide_of<T>>(o, c->stream) : run<T, 1>(o, c->stream);
    });
}
