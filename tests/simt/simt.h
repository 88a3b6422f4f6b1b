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

#ifdef __cplusplus
}
#endif
#endif
