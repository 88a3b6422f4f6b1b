/* What a test may ask of the emulated device beyond CUDA's runtime. */
#ifndef SIMT_SIMT_H
#define SIMT_SIMT_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The nth allocation of device memory from now (1: the next) is refused; 0: none. */
void simt_fail_allocation(long nth);
size_t simt_live_allocations(void);

/* So many devices of that compute capability, and the CUDA version that the driver speaks; the start is 1, 9, 0, 12040. */
void simt_set_device(int count, int major, int minor, int driver);
/* The cudaError_t that asking for a kernel answers; 0: it is there, as at the start. */
void simt_set_kernels(int error);
/* How much memory there is; 0: all. */
void simt_set_memory(size_t bytes);
/* The nth call from now that makes something or enqueues work (memory, streams, events, copies, kernels, launches,
 * captures, graphs) fails; 0: none. Left is what remains of the count. */
void simt_fail_call(long nth);
long simt_calls_left(void);
/* So many of the next captures end broken, as by what somebody else does to the device meanwhile. */
void simt_break_captures(int n);
/* Things made and not given back: device and pinned memory, streams, events, graphs. */
int simt_resources(void);

#ifdef __cplusplus
}
#endif
#endif
