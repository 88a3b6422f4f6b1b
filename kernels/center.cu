/* center: the center loss, its gradient, and the centers' step. A batch of embeddings is small and the centers may move
 * only when all rows have seen where they were: one block, a barrier between. */
#include "kernels/labels.cuh"

namespace {

struct center_operands {
    const float *x;
    qv_label_operands of;
    const float *entropy;
    float *centers, *loss, *dx;
    uint32_t samples, channels;
    qv_center_attr a;
};

/* Writes the gradient of one row; returns its weighted squared distances. */
__device__ inline float pull(const center_operands &o, uint32_t n, const qv_row_labels &r, float total)
{
    float sum = 0;
    for (uint32_t c = 0; c < o.channels; c++) {
        const size_t at = (size_t)n * o.channels + c;
        float d = 0;
        for (int i = 0; i < 2; i++) {
            if (!(r.weight[i] > 0)) continue;
            const float apart = o.x[at] - o.centers[(size_t)r.label[i] * o.channels + c];
            sum = fmaf(r.weight[i] * apart, apart, sum);
            d = fmaf(r.weight[i], apart, d);
        }
        o.dx[at] = d != 0 ? o.a.weight * d / total : 0.0f;
    }
    return 0.5f * o.a.weight * sum;
}

/* Moves one number of one center. */
__device__ inline void move(const center_operands &o, uint32_t k, uint32_t c)
{
    float *center = o.centers + (size_t)k * o.channels + c;
    float sum = 0, rows = 0;
    for (uint32_t n = 0; n < o.samples; n++) {
        const qv_row_labels r = qv_labels_of(o.of, n);
        for (int i = 0; i < 2; i++) {
            if (r.label[i] != (int32_t)k) continue;
            sum = fmaf(r.share[i], *center - o.x[(size_t)n * o.channels + c], sum);
            rows += r.share[i];
        }
    }
    *center -= o.a.rate * sum / (1 + rows);
}

__global__ void __launch_bounds__(QV_BLOCK) center(center_operands o, qv_rows g)
{
    const qv_place at = qv_place_of(g, 0);
    const float total = o.entropy[1];
    float sum[1] = {};
    for (uint64_t n = at.row; n < at.end; n += g.lanes)
        sum[0] += pull(o, (uint32_t)n, qv_labels_of(o.of, (uint32_t)n), total);
    qv_join_lanes<qv_sum>(sum, g, at);
    if (at.slot == 0) {
        o.loss[0] = o.entropy[0] + sum[0];
        o.loss[1] = total;
    }
    __syncthreads();
    for (uint64_t i = at.slot; i < (uint64_t)o.of.classes * o.channels; i += blockDim.x)
        move(o, (uint32_t)(i / o.channels), (uint32_t)(i % o.channels));
}

} // namespace

extern "C" int qv_cuda_center(const qv_call *c, size_t *need)
{
    if (need) return qv_no_scratch(need);
    const qv_tensor &x = c->in[0], &centers = c->out[0];
    if (qv_tensor_len(&x) == 0 || x.h != 1 || x.w != 1 || centers.h != 1 || centers.w != 1 || centers.c != x.c)
        return QV_REFUSED;
    if (!qv_floats(x, c->in[2], c->in[3], c->in[5], centers, c->out[1], c->out[2])) return QV_REFUSED;
    const center_operands o = {qv_data(x),
                               {qv_data<const int32_t>(c->in[1]), qv_data(c->in[2]), qv_data<const int32_t>(c->in[4]),
                                qv_data(c->in[5]), (uint32_t)centers.n},
                               qv_data(c->in[3]),
                               qv_data<float>(centers),
                               qv_data<float>(c->out[1]),
                               qv_data<float>(c->out[2]),
                               (uint32_t)x.n,
                               (uint32_t)x.c,
                               c->op->a.center};
    if (o.of.share && !o.of.others) return QV_REFUSED;
    const qv_rows g = qv_rows_of(o.samples, 1, 1, 1, 1);
    QV_LAUNCH(center, dim3(1), dim3(QV_BLOCK), c->stream, o, g);
    return qv_launch_error();
}
