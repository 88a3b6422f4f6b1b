/* to_bf16, from_bf16: a region of parameters or gradients from one width to the other, in one launch for all of
 * them. Bytes an element: 6, the minimum. Eight elements a thread at a time where both sides allow it. */
#include "kernels/device.cuh"
#include "kernels/step.h"

namespace {

template <class From, class To>
__global__ void __launch_bounds__(QV_BLOCK) convert(const From *from, To *to, size_t n, bool wide)
{
    constexpr int V = 8;
    const size_t stride = (size_t)gridDim.x * QV_BLOCK, first = (size_t)blockIdx.x * QV_BLOCK + threadIdx.x;
    const size_t packs = wide ? n / V : 0;
    for (size_t i = first; i < packs; i += stride) qv_store(to + i * V, qv_load<V>(from + i * V));
    for (size_t i = packs * V + first; i < n; i += stride) qv_store(to + i, qv_load<1>(from + i));
}

template <class From, class To> int run(const From *from, To *to, size_t n, void *stream)
{
    const uint64_t most = 4096;
    const bool wide = reinterpret_cast<uintptr_t>(from) % 16 == 0 && reinterpret_cast<uintptr_t>(to) % 16 == 0;
    const uint64_t blocks = qv_up(wide ? qv_up(n, 8) : n, QV_BLOCK);
    if (n == 0) return QV_REFUSED;
    QV_LAUNCH((convert<From, To>), dim3((uint32_t)(blocks < most ? blocks : most)), dim3(QV_BLOCK), stream, from, to,
              n, wide);
    return qv_launch_error();
}

} // namespace

extern "C" int qv_cuda_to_bf16(const float *from, uint16_t *to, size_t n, void *stream)
{
    return run(from, reinterpret_cast<qv_bf16 *>(to), n, stream);
}

extern "C" int qv_cuda_from_bf16(const uint16_t *from, float *to, size_t n, void *stream)
{
    return run(reinterpret_cast<const qv_bf16 *>(from), to, n, stream);
}
