/* What bench/fused_conv.h promises, in plain loops, where there is no cuDNN: see fake_dnn.cc. Patterns with statistics
 * and a batch norm before all of x are refused, so that what is not supported is met too. */
#include <cmath>
#include <cstring>
#include <vector>

extern "C" {
#include "bench/fused_conv.h"
#include "kernels/bf16.h"
}

#include "tests/simt/fail.h"
#include "tests/simt/memory.h"
#include "tests/simt/stream.h"

struct fused_dnn {
    int plans;
};

struct fused_plan {
    fused_key key;
    fused_dnn *of;
};

namespace {

/* Numbers of an operand, which must lie whole in live memory of the device. */
struct Memory {
    void *data;
    bool narrow;

    double operator[](size_t i) const
    {
        return narrow ? static_cast<double>(qv_bf16_value(static_cast<qv_bf16 *>(data)[i]))
                      : static_cast<double>(static_cast<float *>(data)[i]);
    }
    double put(size_t i, double v) const
    {
        if (narrow)
            static_cast<qv_bf16 *>(data)[i] = qv_bf16_of(static_cast<float>(v));
        else
            static_cast<float *>(data)[i] = static_cast<float>(v);
        return (*this)[i];
    }
};

Memory memory(const char *name, const void *p, size_t n, bool narrow)
{
    if (reinterpret_cast<uintptr_t>(p) % 16) simt::fail("%s of a fused plan is not on 16 bytes", name);
    if (!simt::device_holds(p, n * (narrow ? sizeof(qv_bf16) : sizeof(float))))
        simt::fail("%s of a fused plan is not in live memory of the device", name);
    return {const_cast<void *>(p), narrow};
}

/* x as the convolution reads it. */
std::vector<double> applied(const fused_key &k, const void *const *t)
{
    const size_t channels = static_cast<size_t>(k.conv.cin),
                 n = static_cast<size_t>(k.conv.n) * k.conv.h * k.conv.w * channels;
    const bool narrow = k.conv.precision == QV_PRECISION_BF16;
    const Memory x = memory("x", t[FUSED_X], n, narrow);
    std::vector<double> v(n);
    for (size_t i = 0; i < n; i++) v[i] = x[i];
    if (!(k.parts & FUSED_APPLY)) return v;
    const Memory scale = memory("scale", t[FUSED_SCALE], channels, false);
    const Memory bias = memory("bias", t[FUSED_BIAS], channels, false);
    for (size_t i = 0; i < n; i++) {
        v[i] = std::fmax(0, scale[i % channels] * v[i] + bias[i % channels]);
        if (narrow) v[i] = static_cast<double>(qv_bf16_value(qv_bf16_of(static_cast<float>(v[i]))));
    }
    return v;
}

double dot(const fused_key &key, const std::vector<double> &x, const Memory &w, const int at[4])
{
    const qv_dnn_key &k = key.conv;
    const int ci = k.cin / k.groups, first = at[3] / (k.cout / k.groups) * ci;
    double sum = 0;
    for (int r = 0; r < k.kernel; r++)
        for (int s = 0; s < k.kernel; s++) {
            const int u = at[1] * k.stride + r - k.pad, v = at[2] * k.stride + s - k.pad;
            if (u < 0 || u >= k.h || v < 0 || v >= k.w) continue;
            const size_t from = ((static_cast<size_t>(at[0]) * k.h + u) * k.w + v) * k.cin + first;
            const size_t by = ((static_cast<size_t>(at[3]) * k.kernel + r) * k.kernel + s) * ci;
            for (int i = 0; i < ci; i++) sum += x[from + i] * w[by + i];
        }
    return sum;
}

void compute(const fused_key &key, const void *const *t)
{
    const qv_dnn_key &k = key.conv;
    const bool narrow = k.precision == QV_PRECISION_BF16, stats = (key.parts & FUSED_STATS) != 0;
    const int p_end = (k.h + 2 * k.pad - k.kernel) / k.stride + 1, q_end = (k.w + 2 * k.pad - k.kernel) / k.stride + 1;
    const size_t pitch = key.pitch ? key.pitch : k.cout, channels = static_cast<size_t>(k.cout);
    const std::vector<double> x = applied(key, t);
    const Memory w = memory("w", t[FUSED_W], channels * k.kernel * k.kernel * (k.cin / k.groups), narrow);
    const Memory y = memory("y", t[FUSED_Y], (static_cast<size_t>(k.n) * p_end * q_end - 1) * pitch + channels, narrow);
    std::vector<double> sum(channels), squares(channels);
    for (int n = 0; n < k.n; n++)
        for (int p = 0; p < p_end; p++)
            for (int q = 0; q < q_end; q++)
                for (int o = 0; o < k.cout; o++) {
                    const int at[4] = {n, p, q, o};
                    const double v =
                        y.put(((static_cast<size_t>(n) * p_end + p) * q_end + q) * pitch + o, dot(key, x, w, at));
                    sum[o] += v, squares[o] += v * v;
                }
    if (!stats) return;
    const Memory to_sum = memory("sum", t[FUSED_SUM], channels, false);
    const Memory to_squares = memory("squares", t[FUSED_SQUARES], channels, false);
    for (size_t o = 0; o < channels; o++) to_sum.put(o, sum[o]), to_squares.put(o, squares[o]);
}

} // namespace

extern "C" {

qv_status fused_open(qv_ctx *, fused_dnn **out, const qv_dnn_options *)
{
    *out = new fused_dnn{0};
    return QV_OK;
}

void fused_close(fused_dnn *d)
{
    if (d && d->plans != 0) simt::fail("%d fused plans were not given back", d->plans);
    delete d;
}

qv_status fused_plans(qv_ctx *ctx, fused_dnn *d, const fused_key *key, fused_plan **plans, int most, int *n)
{
    *n = 0;
    if (simt::capture_forbids()) simt::fail("a fused plan is made while a stream is captured");
    if (key->parts == FUSED_BOTH && key->pitch == 0) return qv_fail(ctx, QV_ERR_UNSUPPORTED, "cuDNN: no engine");
    for (; *n < most && *n < 2; ++*n, ++d->plans) plans[*n] = new fused_plan{*key, d};
    return QV_OK;
}

void fused_plan_free(fused_plan *p)
{
    if (p) p->of->plans--;
    delete p;
}

size_t fused_workspace(const fused_plan *) { return 0; }

const char *fused_describe(const fused_plan *) { return "plain loops"; }

qv_status fused_run(qv_ctx *ctx, fused_dnn *, const fused_plan *p, void *stream,
                    const void *const tensors[FUSED_TENSORS], void *)
{
    const simt::Hold hold;
    const fused_key key = p->key;
    std::vector<const void *> t(tensors, tensors + FUSED_TENSORS);
    const int error = simt::enqueue(stream, [key, t] { compute(key, t.data()); });
    return error ? qv_fail(ctx, QV_ERR_DEVICE, "the stream refuses a fused plan: error %d", error) : QV_OK;
}

} // extern "C"
