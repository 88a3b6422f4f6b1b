/* advance: one thread, once a step. It stands at the end of the captured step, where it costs one launch, and
 * saves the host from writing step and rate between replays. */
#include "kernels/device.cuh"
#include "kernels/step.h"

namespace {

struct advance_operands {
    qv_step_state *state;
    const float *loss, *rates;
    float *ring;
    uint32_t ring_size, n_rates;
};

__global__ void advance(advance_operands o)
{
    if (threadIdx.x > 0) return;
    const uint64_t step = o.state->step;
    float *kept = o.ring + step % o.ring_size * 2;
    kept[0] = o.loss[0];
    kept[1] = o.loss[1];
    o.state->step = step + 1;
    o.state->lr = o.rates[(step + 1) % o.n_rates];
}

} // namespace

extern "C" int qv_cuda_advance(qv_step_state *state, const float *loss, float *ring, uint32_t ring_size,
                               const float *rates, uint32_t n_rates, void *stream)
{
    if (ring_size == 0 || n_rates == 0) return QV_REFUSED;
    const advance_operands o = {state, loss, rates, ring, ring_size, n_rates};
    QV_LAUNCH(advance, dim3(1), dim3(32), stream, o);
    return qv_launch_error();
}

/* All kernels are built for the same GPUs, so any will do. */
extern "C" int qv_cuda_find_kernel(void) { return qv_kernel_error(advance); }
