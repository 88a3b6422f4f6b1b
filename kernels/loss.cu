/* loss: weighted cross entropy with label smoothing, its gradient and the probabilities.
 *
 * Bytes: 12 a logit. A batch is a few thousand numbers and the gradient needs the weight of the
 * whole batch first, so one block does all of it: a second launch would cost more than the work. */
#include "kernels/labels.cuh"

namespace {

struct loss_operands {
    const float *logits;
    qv_label_operands of;
    float *loss, *dlogits, *probs;
    uint32_t samples, classes;
    float smoothing;
};

/* What the smoothed targets of the row give to class k, weights included. */
__device__ inline float target(const loss_operands &o, const qv_row_labels &r, uint32_t k)
{
    float hit = 0;
#pragma unroll
    for (int i = 0; i < 2; i++) hit += k == (uint32_t)r.label[i] ? r.weight[i] : 0.0f;
    return (1.0f - o.smoothing) * hit + o.smoothing / (float)o.classes * (r.weight[0] + r.weight[1]);
}

/* Writes the probabilities of row n; returns the sum over its targets of log(sum of exp(logit - max)) + max - logit. */
__device__ inline float row_loss(const loss_operands &o, const qv_row_labels &r, uint32_t n)
{
    const float *x = o.logits + (size_t)n * o.classes;
    float *p = o.probs + (size_t)n * o.classes;
    float max = x[0], sum = 0, loss = 0;
    for (uint32_t k = 1; k < o.classes; k++) max = fmaxf(max, x[k]);
    for (uint32_t k = 0; k < o.classes; k++) {
        p[k] = expf(x[k] - max);
        sum += p[k];
    }
    const float log_sum = logf(sum);
    const bool counts = r.weight[0] + r.weight[1] > 0;
    for (uint32_t k = 0; k < o.classes; k++) {
        p[k] /= sum;
        if (counts) loss += target(o, r, k) * (log_sum - (x[k] - max));
    }
    return loss;
}

/* Each thread comes back to the rows whose probabilities it wrote itself. */
__global__ void __launch_bounds__(QV_BLOCK) cross_entropy(loss_operands o, qv_rows g)
{
    const qv_place at = qv_place_of(g, 0);
    float sum[2] = {};
    for (uint64_t n = at.row; n < at.end; n += g.lanes) {
        const qv_row_labels r = qv_labels_of(o.of, (uint32_t)n);
        sum[0] += row_loss(o, r, (uint32_t)n);
        sum[1] += r.weight[0] + r.weight[1];
    }
    const float whole = qv_end_loss(o.loss, sum, g, at);
    for (uint64_t n = at.row; n < at.end; n += g.lanes) {
        const qv_row_labels r = qv_labels_of(o.of, (uint32_t)n);
        const float w = r.weight[0] + r.weight[1];
        for (uint32_t k = 0; k < o.classes; k++) {
            const size_t i = n * o.classes + k;
            o.dlogits[i] = w > 0 ? (w * o.probs[i] - target(o, r, k)) / whole : 0.0f;
        }
    }
}

} // namespace

extern "C" int qv_cuda_loss(const qv_call *c, size_t *need)
{
    if (need) return qv_no_scratch(need);
    const qv_tensor &logits = c->in[0];
    if (qv_tensor_len(&logits) == 0 || logits.h != 1 || logits.w != 1) return QV_REFUSED;
    if (!qv_floats(logits, c->in[2], c->in[4], c->out[0], c->out[1], c->out[2])) return QV_REFUSED;
    const uint32_t classes = (uint32_t)logits.c;
    const loss_operands o = {qv_data(logits),
                             {qv_data<const int32_t>(c->in[1]), qv_data(c->in[2]), qv_data<const int32_t>(c->in[3]),
                              qv_data(c->in[4]), classes},
                             qv_data<float>(c->out[0]),
                             qv_data<float>(c->out[1]),
                             qv_data<float>(c->out[2]),
                             (uint32_t)logits.n,
                             classes,
                             c->op->a.loss.smoothing};
    if (o.of.share && !o.of.others) return QV_REFUSED;
    const qv_rows g = qv_rows_of(o.samples, 1, 1, 1, 1);
    QV_LAUNCH(cross_entropy, dim3(1), dim3(g.threads), c->stream, o, g);
    return qv_launch_error();
}
