/* What the race shim is told by the scheduler and the runtime: race.cc, or norace.cc where
 * kernels are not compiled for it. */
#ifndef SIMT_RACE_H
#define SIMT_RACE_H

#include <cstddef>

namespace simt {

/* All earlier launches are ordered before this one. */
void race_launch();
void race_block(unsigned threads);
/* All threads of the block have met. */
void race_barrier();
/* The lanes of `mask` have met; first: the warp's lane 0. */
void race_syncwarp(unsigned first, unsigned mask);
/* Of the running thread; counts once an atomic operation of it follows. */
void race_fence();
/* The running thread may now read what other blocks wrote before a fence with an atomic operation behind it. */
void race_acquire();
/* An atomic operation of the running thread, by the code at `pc`. */
void race_atomic(const void *p, size_t bytes, const void *pc);
/* Memory that is handed out anew or given back. */
void race_forget(const void *p, size_t bytes);

} // namespace simt

#endif
