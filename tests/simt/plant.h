/* Faults that a test plants, one a process: SIMT_PLANT=KIND:WHAT of the environment. What they must lead to is that
 * some test fails (tests/cuda/plants.sh). A plant that was never reached is reported at the end, status 86.
 *
 *   wait:N       cudaStreamWaitEvent does nothing on the Nth stream that was made (from 0)
 *   sync:0       cudaEventSynchronize does not wait
 *   capture:N    steps N and N + 1 of every captured graph change places
 *   set:0        cudaMemsetAsync does nothing
 *   launch:NAME  kernels whose launch names NAME do not run
 *   lost:NAME    nor do these, and every call fails from then on, as after an address that is not there
 *   far:NAME     their 16-byte loads read the vector behind the one they should */
#ifndef SIMT_PLANT_H
#define SIMT_PLANT_H

namespace simt
{

bool planted(const char *kind, const char *name);
bool planted(const char *kind, long number);
/* The number behind KIND:, or -1. */
long plant_number(const char *kind);

} // namespace simt

#endif
