/* Convolutions and products of src/backend/cuda/dnn.h in plain loops, where there is no cuDNN.
 *
 * Stricter than the libraries: operands must lie whole in live memory of the device, sums are in double, an output is
 * not read unless it accumulates, the workspace (of an odd size) is overwritten, and TF32 and BF16 round as they must.
 */
#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <vector>

#include <cuda_runtime_api.h>

extern "C" {
#include "kernels/bf16.h"
#include "tests/simt/fake_dnn.h"
}

#include "tests/simt/fail.h"
#include "tests/simt/memory.h"
#include "tests/simt/stream.h"

namespace {

bool (*refused)(const qv_dnn_key *);
long plans_made;

struct Less {
    bool operator()(const qv_dnn_key &a, const qv_dnn_key &b) const { return std::memcmp(&a, &b, sizeof a) < 0; }
};

/* The numbers of one operand, as the precision sees them. */
std::vector<double> read(const void *p, size_t n, int precision)
{
    std::vector<double> v(n);
    for (size_t i = 0; i < n; i++) {
        if (precision == QV_PRECISION_BF16) {
            v[i] = qv_bf16_value(static_cast<const qv_bf16 *>(p)[i]);
            continue;
        }
        float x = static_cast<const float *>(p)[i];
        if (precision == QV_PRECISION_TF32 && std::isfinite(x)) {
            uint32_t bits;
            std::memcpy(&bits, &x, sizeof bits);
            bits = (bits + 0xfffu + (bits >> 13 & 1u)) & ~0x1fffu;
            std::memcpy(&x, &bits, sizeof x);
        }
        v[i] = x;
    }
    return v;
}

size_t size_of(const qv_dnn_key &k) { return k.precision == QV_PRECISION_BF16 ? 2 : 4; }

void write(void *p, const std::vector<double> &v, const qv_dnn_key &k)
{
    for (size_t i = 0; i < v.size(); i++) {
        if (k.precision == QV_PRECISION_BF16) {
            qv_bf16 *out = static_cast<qv_bf16 *>(p) + i;
            *out = qv_bf16_of(static_cast<float>(v[i] + (k.accumulate ? static_cast<double>(qv_bf16_value(*out)) : 0)));
        } else {
            float *out = static_cast<float *>(p) + i;
            *out = static_cast<float>(v[i] + (k.accumulate ? static_cast<double>(*out) : 0));
        }
    }
}

struct Extents {
    size_t a, b, out;
};

int out_of(int extent, const qv_dnn_key &k) { return (extent + 2 * k.pad - k.kernel) / k.stride + 1; }

Extents extents(const qv_dnn_key &k)
{
    if (k.kind == QV_DNN_PRODUCT) {
        const size_t m = static_cast<size_t>(k.rows), n = static_cast<size_t>(k.columns),
                     d = static_cast<size_t>(k.depth);
        return {m * d, d * n, m * n};
    }
    const size_t x = static_cast<size_t>(k.n) * k.h * k.w * k.cin;
    const size_t y = static_cast<size_t>(k.n) * out_of(k.h, k) * out_of(k.w, k) * k.cout;
    const size_t w = static_cast<size_t>(k.cout) * k.kernel * k.kernel * (k.cin / k.groups);
    if (k.kind == QV_DNN_CONV) return {x, w, y};
    if (k.kind == QV_DNN_CONV_GRAD_X) return {y, w, x};
    return {x, y, w};
}

/* Calls f(index of x, of w, of y, n) for all terms of the convolution: n of x and w in a row go to one of y. */
template <class F> void each_row(const qv_dnn_key &k, F f)
{
    const int p_end = out_of(k.h, k), q_end = out_of(k.w, k), ci = k.cin / k.groups, co = k.cout / k.groups;
    for (int n = 0; n < k.n; n++)
        for (int p = 0; p < p_end; p++)
            for (int q = 0; q < q_end; q++)
                for (int r = 0; r < k.kernel; r++)
                    for (int s = 0; s < k.kernel; s++) {
                        const int u = p * k.stride + r - k.pad, v = q * k.stride + s - k.pad;
                        if (u < 0 || u >= k.h || v < 0 || v >= k.w) continue;
                        const size_t x = ((static_cast<size_t>(n) * k.h + u) * k.w + v) * k.cin;
                        const size_t y = ((static_cast<size_t>(n) * p_end + p) * q_end + q) * k.cout;
                        for (int o = 0; o < k.cout; o++) {
                            const size_t w = ((static_cast<size_t>(o) * k.kernel + r) * k.kernel + s) * ci;
                            f(x + static_cast<size_t>(o / co) * ci, w, y + o, ci);
                        }
                    }
}

void product(const qv_dnn_key &k, const std::vector<double> &a, const std::vector<double> &b, std::vector<double> &out)
{
    const size_t rows = static_cast<size_t>(k.rows), columns = static_cast<size_t>(k.columns),
                 depth = static_cast<size_t>(k.depth);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < columns; j++)
            for (size_t d = 0; d < depth; d++)
                out[i * columns + j] += a[k.transpose_a ? d * rows + i : i * depth + d] *
                                        b[k.transpose_b ? j * depth + d : d * columns + j];
}

void compute(const qv_dnn_key &k, const void *a_data, const void *b_data, void *out_data)
{
    const Extents e = extents(k);
    const std::vector<double> a = read(a_data, e.a, k.precision), b = read(b_data, e.b, k.precision);
    std::vector<double> out(e.out);
    const double *p = a.data(), *q = b.data();
    double *r = out.data();
    switch (k.kind) {
    case QV_DNN_CONV:
        each_row(k, [=](size_t x, size_t w, size_t y, int n) {
            double sum = r[y];
            for (int i = 0; i < n; i++) sum += p[x + i] * q[w + i];
            r[y] = sum;
        });
        break;
    case QV_DNN_CONV_GRAD_X:
        each_row(k, [=](size_t x, size_t w, size_t y, int n) {
            for (int i = 0; i < n; i++) r[x + i] += p[y] * q[w + i];
        });
        break;
    case QV_DNN_CONV_GRAD_W:
        each_row(k, [=](size_t x, size_t w, size_t y, int n) {
            for (int i = 0; i < n; i++) r[w + i] += p[x + i] * q[y];
        });
        break;
    default:
        product(k, a, b, out);
    }
    write(out_data, out, k);
}

void check_operand(const char *name, const void *p, size_t bytes)
{
    if (reinterpret_cast<uintptr_t>(p) % 16) simt::fail("%s of a plan is not on 16 bytes", name);
    if (!simt::device_holds(p, bytes))
        simt::fail("%s of a plan, %zu bytes, is not in live memory of the device", name, bytes);
}

bool overlap(const void *p, size_t n, const void *q, size_t m)
{
    const char *a = static_cast<const char *>(p), *b = static_cast<const char *>(q);
    return a < b + m && b < a + n;
}

} // namespace

struct qv_dnn_plan {
    qv_dnn_key key;
    size_t workspace;
};

struct qv_dnn {
    std::map<qv_dnn_key, std::unique_ptr<qv_dnn_plan>, Less> plans;
};

extern "C" {

void simt_dnn_refuse(bool (*refuse)(const qv_dnn_key *key)) { refused = refuse; }

long simt_dnn_plans(void) { return plans_made; }

qv_status qv_dnn_new(qv_ctx *ctx, qv_dnn **out, const qv_dnn_options *o)
{
    const simt::Hold hold;
    *out = nullptr;
    if (simt::call_fails()) return qv_fail(ctx, QV_ERR_DEVICE, "cuDNN: no handle");
    if (o->workspace_limit == 0) return qv_fail(ctx, QV_ERR_INTERNAL, "no workspace is allowed");
    *out = new qv_dnn;
    return QV_OK;
}

/* cublasDestroy waits for the device, whatever comes of it. */
void qv_dnn_free(qv_dnn *d)
{
    const simt::Hold hold;
    if (d) simt::synchronize();
    delete d;
}

const qv_dnn_plan *qv_dnn_known(const qv_dnn *d, const qv_dnn_key *key)
{
    const auto found = d->plans.find(*key);
    return found == d->plans.end() ? nullptr : found->second.get();
}

void qv_dnn_rest(qv_dnn *) {}

qv_status qv_dnn_plan_for(qv_ctx *ctx, qv_dnn *d, const qv_dnn_key *key, const qv_dnn_plan **out)
{
    const simt::Hold hold;
    if (simt::capture_forbids()) simt::fail("a plan is made while a stream is captured");
    if (refused && refused(key)) return qv_fail(ctx, QV_ERR_UNSUPPORTED, "cuDNN: no engine");
    if (simt::call_fails()) return qv_fail(ctx, QV_ERR_DEVICE, "cuDNN: no plan");
    std::unique_ptr<qv_dnn_plan> &plan = d->plans[*key];
    if (!plan) {
        const size_t workspace = 257 + 2 * (d->plans.size() % 100);
        plan.reset(new qv_dnn_plan{*key, workspace});
        plans_made++;
    }
    *out = plan.get();
    return QV_OK;
}

size_t qv_dnn_workspace(const qv_dnn_plan *plan) { return plan->workspace; }

const char *qv_dnn_plan_describe(const qv_dnn_plan *) { return "plain loops"; }

qv_status qv_dnn_run(qv_ctx *ctx, qv_dnn *, const qv_dnn_plan *plan, void *stream, const void *a, const void *b,
                     void *out, void *workspace)
{
    const simt::Hold hold;
    const qv_dnn_key k = plan->key;
    const size_t room = plan->workspace, size = size_of(k);
    if (simt::call_fails()) return qv_fail(ctx, QV_ERR_DEVICE, "cuDNN: execution failed");
    const int error = simt::enqueue(stream, [=] {
        const Extents e = extents(k);
        check_operand("operand a", a, e.a * size);
        check_operand("operand b", b, e.b * size);
        check_operand("the output", out, e.out * size);
        check_operand("the workspace", workspace, room);
        if (overlap(workspace, room, a, e.a * size) || overlap(workspace, room, b, e.b * size) ||
            overlap(workspace, room, out, e.out * size) || overlap(out, e.out * size, a, e.a * size) ||
            overlap(out, e.out * size, b, e.b * size))
            simt::fail("operands of a plan overlap");
        std::memset(workspace, 0xFF, room);
        compute(k, a, b, out);
    });
    return error ? qv_fail(ctx, QV_ERR_DEVICE, "the stream refuses a plan: error %d", error) : QV_OK;
}

const char *qv_dnn_describe(const qv_dnn *) { return "plain loops"; }

} // extern "C"
