/* margin: cross entropy whose right class must win by a margin, from cosines; its gradients, the plain logits and their
 * probabilities. As loss: a few thousand numbers whose gradient needs the weight of the whole batch, so one block. */
#include <math.h>

#include "kernels/labels.cuh"

namespace {

struct margin_operands {
    const float *cosines, *norm;
    qv_label_operands of;
    const qv_step_state *state;
    float *loss, *dcos, *dnorm, *logits, *probs;
    uint32_t samples, classes;
    qv_margin_attr a;
    float cosine, sine;            /* of the margin, ANGLE */
    float borders[QV_SPHERE_MOST]; /* cos(i pi / m), 0 < i < m */
};

/* A cosine with its margin, and the slope. */
struct bent {
    float value, slope;
};

__device__ inline float lambda_of(const margin_operands &o)
{
    if (o.a.kind != QV_MARGIN_SPHERE) return 0.0f;
    return fmaxf(o.a.lambda_min, o.a.lambda / fmaf(o.a.lambda_decay, (float)o.state->step, 1.0f));
}

/* Chebyshev's polynomials: cos(m t) = T_m(cos t), whose slope is m U_(m-1). */
__device__ inline bent sphere(const margin_operands &o, float lambda, float c)
{
    const int m = (int)o.a.m;
    float t0 = 1, t1 = c, u0 = 0, u1 = 1;
    int k = 0;
    for (int i = 1; i < m; i++) {
        const float t = fmaf(2 * c, t1, -t0), u = fmaf(2 * c, u1, -u0);
        t0 = t1, t1 = t, u0 = u1, u1 = u;
        k += c < o.borders[i];
    }
    const float sign = k % 2 ? -1.0f : 1.0f, value = fmaf(sign, t1, (float)(-2 * k));
    return {fmaf(lambda, c, value) / (1 + lambda), fmaf(sign * (float)m, u1, lambda) / (1 + lambda)};
}

__device__ inline bent wider_angle(const margin_operands &o, float c)
{
    const float sine = sqrtf(fmaxf((1 - c) * (1 + c), 0x1p-20f)), sum = fmaf(c, o.cosine, -sine * o.sine),
                slope = fmaf(c / sine, o.sine, o.cosine);
    if (c < -o.cosine) return {-2 - sum, -slope};
    return {sum, slope};
}

__device__ inline bent with_margin(const margin_operands &o, float lambda, float c)
{
    switch (o.a.kind) {
    case QV_MARGIN_SPHERE:
        return sphere(o, lambda, c);
    case QV_MARGIN_COSINE:
        return {c - o.a.m, 1};
    case QV_MARGIN_ANGLE:
        return wider_angle(o, c);
    default:
        return {c, 1};
    }
}

/* A row as one label sees it: its own logit bent, the largest of all, and the sum of exp(logit - max). */
struct view {
    int32_t label; /* -1: bends nothing */
    bent g;
    float a, max, sum;
};

__device__ inline float logit(const view &v, const float *c, uint32_t k)
{
    return v.a * (k == (uint32_t)v.label ? v.g.value : c[k]);
}

__device__ inline view view_of(const margin_operands &o, uint32_t n, int32_t label, float lambda)
{
    const float *c = o.cosines + (size_t)n * o.classes;
    view v = {label, {0, 0}, o.norm ? o.norm[n] : o.a.scale, 0, 0};
    if (label >= 0) v.g = with_margin(o, lambda, c[label]);
    v.max = logit(v, c, 0);
    for (uint32_t k = 1; k < o.classes; k++) v.max = fmaxf(v.max, logit(v, c, k));
    for (uint32_t k = 0; k < o.classes; k++) v.sum += expf(logit(v, c, k) - v.max);
    return v;
}

__device__ inline float target(const margin_operands &o, const view &v, uint32_t k)
{
    return (k == (uint32_t)v.label ? 1.0f - o.a.smoothing : 0.0f) + o.a.smoothing / (float)o.classes;
}

__device__ inline void write_plain(const margin_operands &o, uint32_t n)
{
    const float *c = o.cosines + (size_t)n * o.classes;
    const view v = view_of(o, n, -1, 0);
    for (uint32_t k = 0; k < o.classes; k++) {
        const float z = logit(v, c, k);
        o.logits[(size_t)n * o.classes + k] = z;
        o.probs[(size_t)n * o.classes + k] = expf(z - v.max) / v.sum;
    }
}

__device__ inline float label_loss(const margin_operands &o, uint32_t n, const view &v)
{
    const float *c = o.cosines + (size_t)n * o.classes;
    const float log_sum = logf(v.sum);
    float loss = 0;
    for (uint32_t k = 0; k < o.classes; k++) loss += target(o, v, k) * (log_sum - (logit(v, c, k) - v.max));
    return loss;
}

/* Adds the gradient of one label, of weight w in the mean. */
__device__ inline void add_gradient(const margin_operands &o, uint32_t n, const view &v, float w)
{
    const float *c = o.cosines + (size_t)n * o.classes;
    float outward = 0;
    for (uint32_t k = 0; k < o.classes; k++) {
        const bool right = k == (uint32_t)v.label;
        const float d = w * (expf(logit(v, c, k) - v.max) / v.sum - target(o, v, k));
        o.dcos[(size_t)n * o.classes + k] += d * v.a * (right ? v.g.slope : 1.0f);
        outward = fmaf(d, right ? v.g.value : c[k], outward);
    }
    if (o.dnorm) o.dnorm[n] += outward;
}

/* Each thread comes back to the rows that it began. */
__global__ void __launch_bounds__(QV_BLOCK) margin_entropy(margin_operands o, qv_rows g)
{
    const qv_place at = qv_place_of(g, 0);
    const float lambda = lambda_of(o);
    float sum[2] = {};
    for (uint64_t n = at.row; n < at.end; n += g.lanes) {
        const qv_row_labels r = qv_labels_of(o.of, (uint32_t)n);
        write_plain(o, (uint32_t)n);
#pragma unroll
        for (int i = 0; i < 2; i++)
            if (r.weight[i] > 0)
                sum[0] += r.weight[i] * label_loss(o, (uint32_t)n, view_of(o, (uint32_t)n, r.label[i], lambda));
        sum[1] += r.weight[0] + r.weight[1];
    }
    const float whole = qv_end_loss(o.loss, sum, g, at);
    for (uint64_t n = at.row; n < at.end; n += g.lanes) {
        const qv_row_labels r = qv_labels_of(o.of, (uint32_t)n);
        for (uint32_t k = 0; k < o.classes; k++) o.dcos[n * o.classes + k] = 0;
        if (o.dnorm) o.dnorm[n] = 0;
#pragma unroll
        for (int i = 0; i < 2; i++)
            if (r.weight[i] > 0)
                add_gradient(o, (uint32_t)n, view_of(o, (uint32_t)n, r.label[i], lambda), r.weight[i] / whole);
    }
}

bool is_possible(const qv_margin_attr &a, const qv_tensor &state)
{
    if (a.kind != QV_MARGIN_SPHERE) return true;
    return state.data && a.m >= 1 && a.m <= QV_SPHERE_MOST && a.m == floorf(a.m);
}

} // namespace

extern "C" int qv_cuda_margin(const qv_call *c, size_t *need)
{
    if (need) return qv_no_scratch(need);
    const qv_tensor &cosines = c->in[0], &norm = c->in[3], &dnorm = c->out[2];
    const qv_margin_attr &a = c->op->a.margin;
    if (qv_tensor_len(&cosines) == 0 || cosines.h != 1 || cosines.w != 1 || !is_possible(a, c->in[6]))
        return QV_REFUSED;
    if (!qv_floats(cosines, c->in[2], norm, c->in[5], c->out[0], c->out[1], dnorm, c->out[3], c->out[4]))
        return QV_REFUSED;
    if (!norm.data != !dnorm.data) return QV_REFUSED;
    const uint32_t classes = (uint32_t)cosines.c;
    margin_operands o = {qv_data(cosines),
                         qv_data(norm),
                         {qv_data<const int32_t>(c->in[1]), qv_data(c->in[2]), qv_data<const int32_t>(c->in[4]),
                          qv_data(c->in[5]), classes},
                         qv_data<const qv_step_state>(c->in[6]),
                         qv_data<float>(c->out[0]),
                         qv_data<float>(c->out[1]),
                         qv_data<float>(dnorm),
                         qv_data<float>(c->out[3]),
                         qv_data<float>(c->out[4]),
                         (uint32_t)cosines.n,
                         classes,
                         a,
                         (float)cos((double)a.m),
                         (float)sin((double)a.m),
                         {}};
    if (o.of.share && !o.of.others) return QV_REFUSED;
    for (int i = 1; i < (int)a.m && a.kind == QV_MARGIN_SPHERE; i++)
        o.borders[i] = (float)cos(i * 3.14159265358979323846 / (double)a.m);
    const qv_rows g = qv_rows_of(o.samples, 1, 1, 1, 1);
    QV_LAUNCH(margin_entropy, dim3(1), dim3(g.threads), c->stream, o, g);
    return qv_launch_error();
}
