/* The block that runs: its threads, what each waits for. One block runs at a time. */
#ifndef SIMT_SCHED_H
#define SIMT_SCHED_H

#include <functional>

#include "tests/simt/device.h"

namespace simt {

struct Fiber;

enum { WARP = 32, MAX_THREADS = 1024 };

enum class State { Ready, Barrier, Warp, Returned };

struct Thread : ThreadView {
    Fiber *fiber;
    unsigned linear; /* x fastest */
    State state;
    Site site;     /* where it waits */
    uint64_t word; /* what it gives to a warp operation, then what it gets; of a barrier, the count */
    WarpOp op;
    unsigned mask, operand;
    int width;
};

/* The thread that runs; nullptr on the host. */
Thread *running();
/* Kernel of the launch that runs. */
const Launch *running_launch();

/* Runs all blocks of a launch, one after the other. Called on the main fiber. */
void run_grid(const Launch &launch, const std::function<void()> &body);

} // namespace simt

#endif
