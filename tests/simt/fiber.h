/* Stacks that the emulation switches between, all on one OS thread. */
#ifndef SIMT_FIBER_H
#define SIMT_FIBER_H

namespace simt {

struct Fiber;

/* The fiber that the program started on. */
Fiber *fiber_main();
/* A new one: the first switch to it calls entry(arg), which never returns. Fibers live until
 * the program ends; who is done with one keeps it for the next use. */
Fiber *fiber_new(void (*entry)(void *), void *arg);
void fiber_switch(Fiber *from, Fiber *to);

} // namespace simt

#endif
