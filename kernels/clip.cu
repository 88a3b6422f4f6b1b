/* clip: the length of all gradients, and what they are multiplied by where that is too much. One read of each, by at
 * most QV_SUM_BLOCKS blocks whose sums a second launch of one block adds up: in a fixed order, and without the host. */
#include <float.h>
#include <math.h>

#include "kernels/device.cuh"

namespace {

__global__ void __launch_bounds__(QV_BLOCK) sum_squares(const float *grad, float *part, qv_rows g)
{
    const qv_place at = qv_place_of(g, blockIdx.x);
    float sum[1] = {};
    for (uint64_t i = at.row; i < at.end; i += g.lanes) sum[0] = fmaf(grad[i], grad[i], sum[0]);
    qv_join_lanes<qv_sum>(sum, g, at);
    if (at.slot == 0) part[blockIdx.x] = sum[0];
}

__global__ void __launch_bounds__(QV_BLOCK) choose_scale(const float *part, float most, float *scale, qv_rows g)
{
    const qv_place at = qv_place_of(g, 0);
    float sum[1] = {};
    for (uint64_t i = at.row; i < at.end; i += g.lanes) sum[0] += part[i];
    qv_join_lanes<qv_sum>(sum, g, at);
    if (at.slot > 0) return;
    const float length = sqrtf(sum[0]);
    if (!(length <= FLT_MAX))
        *scale = NAN; /* which no step survives unseen */
    else
        *scale = length <= most ? 1.0f : most / length;
}

} // namespace

extern "C" int qv_cuda_clip(const qv_call *c, size_t *need)
{
    const size_t len = qv_tensor_len(&c->in[0]);
    if (len == 0 || !qv_floats(c->in[0], c->out[0])) return QV_REFUSED;
    const qv_rows g = qv_rows_of(len, 1, 1, 8, QV_SUM_BLOCKS), last = qv_rows_of(g.blocks, 1, 1, 1, 1);
    if (need) return (*need = g.blocks * sizeof(float)), 0;
    float *part = static_cast<float *>(c->scratch);
    QV_LAUNCH(sum_squares, dim3(g.blocks), dim3(g.threads), c->stream, qv_data(c->in[0]), part, g);
    QV_LAUNCH(choose_scale, dim3(1), dim3(last.threads), c->stream, part, c->op->a.clip.most,
              qv_data<float>(c->out[0]), last);
    return qv_launch_error();
}
