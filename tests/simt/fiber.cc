#include "tests/simt/fiber.h"

#include <cstddef>
#include <cstdint>
#include <sys/mman.h>

#include "tests/simt/fail.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SIMT_ASAN 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define SIMT_ASAN 1
#endif
#ifdef SIMT_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

#if !defined(__x86_64__) && !defined(SIMT_UCONTEXT)
#define SIMT_UCONTEXT 1
#endif
#ifdef SIMT_UCONTEXT
#include <ucontext.h>
#endif

namespace simt {

struct Fiber {
#ifdef SIMT_UCONTEXT
    ucontext_t context;
#else
    void *sp;
#endif
    const void *bottom; /* of the stack; for the main fiber learnt at the first switch away */
    size_t size;
    void *fake_stack;
    Fiber *came_from;
    void (*entry)(void *);
    void *arg;
};

namespace {

constexpr size_t STACK = 128 * 1024, GUARD = 4096, RESERVE = 64;

Fiber main_fiber;
Fiber *entering; /* the fiber that is being switched to */

void leave(Fiber *from, const Fiber *to)
{
#ifdef SIMT_ASAN
    __sanitizer_start_switch_fiber(&from->fake_stack, to->bottom, to->size);
#else
    (void)from, (void)to;
#endif
}

void arrive(Fiber *self)
{
#ifdef SIMT_ASAN
    const void *bottom;
    size_t size;
    __sanitizer_finish_switch_fiber(self->fake_stack, &bottom, &size);
    if (self->came_from == &main_fiber) main_fiber.bottom = bottom, main_fiber.size = size;
#else
    (void)self;
#endif
}

/* Stacks are carved from large pieces; each keeps a page below it that faults. */
char *stack_new()
{
    static char *piece, *end;
    if (piece == end) {
        const size_t bytes = RESERVE * (STACK + GUARD);
        void *p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (p == MAP_FAILED) fail("no memory for %zu thread stacks", RESERVE);
        piece = static_cast<char *>(p);
        end = piece + bytes;
    }
    char *stack = piece;
    piece += STACK + GUARD;
    if (mprotect(stack, GUARD, PROT_NONE)) fail("cannot protect the end of a thread stack (too many threads resident?)");
    return stack + GUARD;
}

extern "C" void simt_fiber_start()
{
    Fiber *self = entering;
    arrive(self);
    self->entry(self->arg);
}

} // namespace

Fiber *fiber_main() { return &main_fiber; }

#ifdef SIMT_UCONTEXT

static void stack_prepare(Fiber *f, char *stack)
{
    getcontext(&f->context);
    f->context.uc_stack.ss_sp = stack;
    f->context.uc_stack.ss_size = STACK;
    f->context.uc_link = nullptr;
    makecontext(&f->context, simt_fiber_start, 0);
}

static void stack_switch(Fiber *from, Fiber *to) { swapcontext(&from->context, &to->context); }

#else

/* Saves what a called function must preserve, swaps stacks, and returns on the other one. */
extern "C" void simt_stack_switch(void **save, void *load);
asm(R"(
.text
.globl simt_stack_switch
.type simt_stack_switch, @function
simt_stack_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size simt_stack_switch, .-simt_stack_switch
)");

static void stack_prepare(Fiber *f, char *stack)
{
    /* A null caller, the address that the switch returns to, six registers. simt_fiber_start finds
     * the stack 8 beyond a multiple of 16, as after a call. */
    void **top = reinterpret_cast<void **>(stack + STACK) - 1;
    *top = nullptr;
    *--top = reinterpret_cast<void *>(simt_fiber_start);
    for (int i = 0; i < 6; i++) *--top = nullptr;
    f->sp = top;
}

static void stack_switch(Fiber *from, Fiber *to) { simt_stack_switch(&from->sp, to->sp); }

#endif

Fiber *fiber_new(void (*entry)(void *), void *arg)
{
    Fiber *f = new Fiber();
    char *stack = stack_new();
    f->bottom = stack;
    f->size = STACK;
    f->entry = entry;
    f->arg = arg;
    stack_prepare(f, stack);
    return f;
}

void fiber_switch(Fiber *from, Fiber *to)
{
    entering = to;
    to->came_from = from;
    leave(from, to);
    stack_switch(from, to);
    arrive(from);
}

} // namespace simt
