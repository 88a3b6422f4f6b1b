#include "tests/simt/sched.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <string>
#include <unistd.h>
#include <vector>

#include "tests/simt/fail.h"
#include "tests/simt/fiber.h"
#include "tests/simt/memory.h"
#include "tests/simt/plant.h"
#include "tests/simt/race.h"

namespace simt {

const ThreadView *cur;

namespace {

/* Of the 32 lanes of a warp, a bit each. */
struct Warp {
    unsigned exists, returned, barrier, posted;
};

struct Block : BlockView {
    unsigned threads, returned, waiting;
    int count; /* predicates of the barrier that were true */
    Site site; /* of the barrier that the first of `waiting` came to */
};

const Launch *launch_now;
const std::function<void()> *body_now;
Block block;
Thread *threads[MAX_THREADS];
Warp warps[MAX_THREADS / WARP];
std::vector<Thread *> ready; /* to run in the next round */

bool same_site(const Site &a, const Site &b)
{
    return a.line == b.line && (a.file == b.file || !std::strcmp(a.file, b.file));
}

/* SIMT_DROP=FILE:LINE: the barrier of that line is as if it were not there. FILE may be the end of
 * the path. */
bool is_dropped(const Site &site)
{
    static const char *text = std::getenv("SIMT_DROP");
    if (!text) return false;
    static const char *colon = std::strrchr(text, ':');
    static const int line = colon ? std::atoi(colon + 1) : 0;
    if (site.line != line) return false;
    const size_t have = std::strlen(site.file), want = static_cast<size_t>(colon - text);
    return have >= want && !std::strncmp(site.file + have - want, text, want);
}

Thread &self() { return *const_cast<Thread *>(static_cast<const Thread *>(cur)); }

Warp &warp_of(const Thread &t) { return warps[t.linear / WARP]; }

unsigned bit_of(const Thread &t) { return 1u << (t.linear % WARP); }

const char *op_name(WarpOp op)
{
    switch (op) {
    case WarpOp::Idx: return "__shfl_sync";
    case WarpOp::Up: return "__shfl_up_sync";
    case WarpOp::Down: return "__shfl_down_sync";
    case WarpOp::Xor: return "__shfl_xor_sync";
    case WarpOp::Ballot: return "a vote";
    case WarpOp::Sync: return "__syncwarp";
    }
    return "?";
}

std::string describe(const Thread &t)
{
    const std::string at = std::string(" at ") + (t.site.file ? t.site.file : "?") + ":" + std::to_string(t.site.line);
    char mask[32];
    switch (t.state) {
    case State::Ready: return "can run";
    case State::Returned: return "returned";
    case State::Barrier: return "waits in __syncthreads" + at;
    case State::Warp:
        std::snprintf(mask, sizeof mask, ", mask 0x%08x", t.mask);
        return std::string("waits in ") + op_name(t.op) + at + mask;
    }
    return "?";
}

/* What the threads of the block do, neighbours that do the same in one line. */
void print_table()
{
    unsigned first = 0;
    std::string what = describe(*threads[0]);
    for (unsigned i = 1; i <= block.threads; i++) {
        const std::string next = i < block.threads ? describe(*threads[i]) : "";
        if (next == what) continue;
        std::fprintf(stderr, "  threads %u..%u: %s\n", first, i - 1, what.c_str());
        first = i;
        what = next;
    }
}

[[noreturn]] void fail_at(const Site &site, const std::string &what)
{
    print_table();
    fail("%s:%d: %s", site.file, site.line, what.c_str());
}

void wake(Thread &t)
{
    t.state = State::Ready;
    ready.push_back(&t);
}

void yield(Thread &t) { fiber_switch(t.fiber, fiber_main()); }

/* The running thread goes where a warp operation cannot find it: does a lane wait for it there? */
void check_not_needed(const Thread &t, const char *gone)
{
    const Warp &w = warp_of(t);
    const unsigned first = t.linear / WARP * WARP;
    for (unsigned left = w.posted; left; left &= left - 1) {
        const unsigned lane = static_cast<unsigned>(__builtin_ctz(left));
        const Thread &other = *threads[first + lane];
        if (other.mask & bit_of(t))
            fail_at(other.site, std::string(op_name(other.op)) + " of lane " + std::to_string(lane) + " waits for lane " +
                                    std::to_string(t.linear % WARP) + ", which " + gone);
    }
}

void thread_main(void *arg)
{
    Thread &t = *static_cast<Thread *>(arg);
    for (;;) {
        (*body_now)();
        if (block.waiting)
            fail_at(block.site, "thread " + std::to_string(t.linear) + " returned while others wait in __syncthreads");
        check_not_needed(t, "has returned");
        t.state = State::Returned;
        warp_of(t).returned |= bit_of(t);
        block.returned++;
        yield(t);
    }
}

void release_barrier()
{
    const int count = block.count;
    block.waiting = 0;
    block.count = 0;
    for (unsigned i = 0; i < block.threads; i++) {
        threads[i]->word = static_cast<uint64_t>(count);
        wake(*threads[i]);
    }
    for (unsigned w = 0; w * WARP < block.threads; w++) warps[w].barrier = 0;
    race_barrier();
}

/* The lane that a shuffle of `lane` reads: PTX ISA, shfl.sync. */
unsigned source_of(const Thread &t, unsigned lane)
{
    const unsigned width = static_cast<unsigned>(t.width), first = lane / width * width, last = first + width - 1;
    switch (t.op) {
    case WarpOp::Idx: return first + t.operand % width;
    case WarpOp::Up: return t.operand <= lane - first ? lane - t.operand : lane;
    case WarpOp::Down: return t.operand <= last - lane ? lane + t.operand : lane;
    case WarpOp::Xor: return (lane ^ t.operand) <= last ? lane ^ t.operand : lane;
    default: return lane;
    }
}

/* The running thread is in a warp operation at `site` as `t` tells. Is `other`, a lane of its mask,
 * in the same, or else in one that does not need the running thread and may end first? */
bool is_met(const Site &site, const Thread &t, const Thread &other)
{
    const bool same = other.mask == t.mask && other.op == t.op && same_site(other.site, site);
    if (!same && (other.mask & bit_of(t)))
        fail_at(site, std::string(op_name(t.op)) + ": lane " + std::to_string(other.linear % WARP) +
                          " of the mask is in another warp operation, which waits for this one");
    return same;
}

/* Are all lanes of the mask in the operation of the running thread? */
bool all_met(const Warp &w, unsigned first, const Thread &t)
{
    bool all = (w.posted & t.mask) == t.mask;
    for (unsigned left = w.posted & t.mask; left && all; left &= left - 1)
        all = is_met(t.site, t, *threads[first + static_cast<unsigned>(__builtin_ctz(left))]);
    return all;
}

/* All lanes of the mask have met: gives each its result. */
void complete(Warp &w, unsigned first, const Thread &last)
{
    uint64_t given[WARP] = {}, votes = 0;
    for (unsigned lane = 0; lane < WARP; lane++) {
        if (!(last.mask >> lane & 1)) continue;
        const Thread &t = *threads[first + lane];
        given[lane] = t.word;
        votes |= t.word ? uint64_t(1) << lane : 0;
    }
    for (unsigned lane = 0; lane < WARP; lane++) {
        if (!(last.mask >> lane & 1)) continue;
        Thread &t = *threads[first + lane];
        const unsigned source = source_of(t, lane);
        if (source >= WARP || !(last.mask >> source & 1))
            fail_at(t.site, std::string(op_name(t.op)) + " of lane " + std::to_string(lane) + " reads lane " +
                                std::to_string(source) + ", which is not in the mask");
        t.word = t.op == WarpOp::Ballot ? votes : given[source];
        wake(t);
    }
    w.posted &= ~last.mask;
    if (last.op == WarpOp::Sync) race_syncwarp(first, last.mask);
}

void check_can_post(const Site &site, const Thread &t)
{
    const Warp &w = warp_of(t);
    const std::string op = op_name(t.op);
    if (!(t.mask & bit_of(t))) fail_at(site, op + ": the caller is not in its own mask");
    if (t.mask & ~w.exists) fail_at(site, op + ": the mask names lanes that the block does not have");
    if (t.mask & w.returned) fail_at(site, op + ": the mask names lanes that have returned");
    if (t.mask & w.barrier) fail_at(site, op + ": the mask names lanes that wait in __syncthreads");
    if (t.width < 1 || t.width > WARP || (t.width & (t.width - 1)))
        fail_at(site, op + ": width " + std::to_string(t.width) + " is not a power of two up to 32");
    const unsigned met = t.mask & w.posted;
    if (met) is_met(site, t, *threads[t.linear / WARP * WARP + static_cast<unsigned>(__builtin_ctz(met))]);
}

void start_block(unsigned index)
{
    const dim3 g = block.grid;
    block.index = {index % g.x, index / g.x % g.y, index / g.x / g.y};
    block.returned = block.waiting = 0;
    block.count = 0;
    ready.clear();
    for (unsigned w = 0; w * WARP < block.threads; w++) {
        const unsigned lanes = std::min(block.threads - w * WARP, unsigned(WARP));
        warps[w] = {lanes == WARP ? ~0u : (1u << lanes) - 1, 0, 0, 0};
    }
    for (unsigned i = 0; i < block.threads; i++) {
        Thread &t = *threads[i];
        t.index = {i % block.size.x, i / block.size.x % block.size.y, i / block.size.x / block.size.y};
        t.site = {nullptr, 0};
        wake(t);
    }
    shared_block();
    race_block(block.threads);
}

void put_in_order(std::vector<Thread *> &list)
{
    if (seed() > 1) {
        for (size_t i = list.size(); i > 1; i--) std::swap(list[i - 1], list[random_below(static_cast<unsigned>(i))]);
        return;
    }
    const auto before = [](const Thread *a, const Thread *b) { return a->linear < b->linear; };
    if (!std::is_sorted(list.begin(), list.end(), before)) std::sort(list.begin(), list.end(), before);
    if (seed() == 1) std::reverse(list.begin(), list.end());
}

void run_block(unsigned index)
{
    static std::vector<Thread *> round;
    start_block(index);
    while (!ready.empty()) {
        round.swap(ready);
        ready.clear();
        put_in_order(round);
        for (Thread *t : round) {
            cur = t;
            fiber_switch(fiber_main(), t->fiber);
        }
    }
    if (block.returned != block.threads) {
        print_table();
        fail("no thread can go on");
    }
    cur = nullptr;
}

void prepare_threads(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (threads[i]) continue;
        threads[i] = new Thread();
        threads[i]->linear = i;
        threads[i]->block = &block;
        threads[i]->fiber = fiber_new(thread_main, threads[i]);
    }
}

} // namespace

Thread *running() { return cur ? &self() : nullptr; }

const Launch *running_launch() { return launch_now; }

int Site::ahead;

void run_grid(const Launch &launch, const std::function<void()> &body)
{
    if (cur) fail("a kernel cannot launch another");
    launch_now = &launch;
    Site::ahead = planted("far", launch.name) ? 4 : 0;
    body_now = &body;
    block.size = launch.block;
    block.grid = launch.grid;
    block.threads = launch.block.x * launch.block.y * launch.block.z;
    prepare_threads(block.threads);
    shared_launch(launch.shared_bytes);
    race_launch();
    const uint64_t all = uint64_t(launch.grid.x) * launch.grid.y * launch.grid.z;
    if (all > UINT_MAX) fail("%llu blocks are too many to emulate", static_cast<unsigned long long>(all));
    const unsigned blocks = static_cast<unsigned>(all);
    std::vector<unsigned> order;
    if (seed() > 1) {
        order.resize(blocks);
        std::iota(order.begin(), order.end(), 0u);
        for (unsigned i = blocks; i > 1; i--) std::swap(order[i - 1], order[random_below(i)]);
    }
    for (unsigned i = 0; i < blocks; i++) run_block(seed() > 1 ? order[i] : seed() == 1 ? blocks - 1 - i : i);
    launch_now = nullptr;
}

int Site::syncthreads_count(int predicate) const
{
    Thread &t = self();
    if (is_dropped(*this)) return predicate != 0;
    if (block.returned)
        fail_at(*this, "__syncthreads after " + std::to_string(block.returned) + " threads of the block have returned");
    if (block.waiting && !same_site(block.site, *this))
        fail_at(*this, std::string("__syncthreads, while other threads wait in another at ") + block.site.file + ":" +
                           std::to_string(block.site.line));
    check_not_needed(t, "is in __syncthreads");
    t.state = State::Barrier;
    t.site = block.site = *this;
    warp_of(t).barrier |= bit_of(t);
    block.count += predicate != 0;
    if (++block.waiting == block.threads) release_barrier();
    yield(t);
    return static_cast<int>(t.word);
}

void Site::syncthreads() const { syncthreads_count(0); }

uint64_t Site::warp_operation(WarpOp op, unsigned mask, uint64_t value, unsigned operand, int width) const
{
    Thread &t = self();
    Warp &w = warp_of(t);
    t.op = op;
    t.mask = mask;
    t.word = value;
    t.operand = operand;
    t.width = width;
    check_can_post(*this, t);
    t.state = State::Warp;
    t.site = *this;
    w.posted |= bit_of(t);
    const unsigned first = t.linear / WARP * WARP;
    if (all_met(w, first, t)) complete(w, first, t);
    yield(t);
    return t.word;
}

void Site::syncwarp(unsigned mask) const
{
    if (!is_dropped(*this)) warp_operation(WarpOp::Sync, mask, 0, 0, WARP);
}

unsigned Site::ballot(unsigned mask, int predicate) const
{
    return static_cast<unsigned>(warp_operation(WarpOp::Ballot, mask, predicate != 0, 0, WARP));
}

void Site::threadfence() const
{
    if (!is_dropped(*this)) race_fence();
}

void Site::acquire_grid() const { race_acquire(); }

void Site::check_aligned(const void *p, size_t align) const
{
    if (reinterpret_cast<uintptr_t>(p) % align)
        fail_at(*this, "a vector of " + std::to_string(align) + " bytes at an address that is not a multiple of it");
}

void fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    std::fflush(stdout);
    std::fprintf(stderr, "simt: ");
    std::vfprintf(stderr, format, args);
    va_end(args);
    std::fprintf(stderr, "\n");
    if (cur) {
        const uint3 b = block.index, t = cur->index;
        std::fprintf(stderr, "  in kernel %s, block (%u,%u,%u), thread (%u,%u,%u)\n", launch_now->name, b.x, b.y, b.z, t.x,
                     t.y, t.z);
    }
    std::fprintf(stderr, "  again: SIMT_SEED=%llu\n", seed());
    _exit(FAIL_STATUS);
}

unsigned long long seed()
{
    static const char *text = std::getenv("SIMT_SEED");
    static const unsigned long long value = text ? std::strtoull(text, nullptr, 10) : 0;
    return value;
}

/* SplitMix64. */
unsigned long long random_next()
{
    static uint64_t state = seed();
    uint64_t z = state += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

unsigned random_below(unsigned n) { return static_cast<unsigned>((random_next() >> 32) * n >> 32); }

} // namespace simt

namespace {

/* The whole operation at once; nobody else runs meanwhile. */
template <class T, class F> inline T atomic(T *p, const void *pc, F change)
{
    simt::race_atomic(p, sizeof(T), pc);
    const T old = *p;
    *p = change(old);
    return old;
}

} // namespace

#define CALLER __builtin_return_address(0)

int atomicAdd(int *p, int v)
{
    return atomic(p, CALLER, [v](int old) { return static_cast<int>(static_cast<unsigned>(old) + static_cast<unsigned>(v)); });
}
unsigned atomicAdd(unsigned *p, unsigned v)
{
    return atomic(p, CALLER, [v](unsigned old) { return old + v; });
}
unsigned long long atomicAdd(unsigned long long *p, unsigned long long v)
{
    return atomic(p, CALLER, [v](unsigned long long old) { return old + v; });
}
float atomicAdd(float *p, float v)
{
    return atomic(p, CALLER, [v](float old) { return old + v; });
}
int atomicMax(int *p, int v)
{
    return atomic(p, CALLER, [v](int old) { return old > v ? old : v; });
}
unsigned atomicMax(unsigned *p, unsigned v)
{
    return atomic(p, CALLER, [v](unsigned old) { return old > v ? old : v; });
}
int atomicMin(int *p, int v)
{
    return atomic(p, CALLER, [v](int old) { return old < v ? old : v; });
}
unsigned atomicMin(unsigned *p, unsigned v)
{
    return atomic(p, CALLER, [v](unsigned old) { return old < v ? old : v; });
}
unsigned atomicInc(unsigned *p, unsigned limit)
{
    return atomic(p, CALLER, [limit](unsigned old) { return old >= limit ? 0 : old + 1; });
}
unsigned atomicExch(unsigned *p, unsigned v)
{
    return atomic(p, CALLER, [v](unsigned) { return v; });
}
int atomicExch(int *p, int v)
{
    return atomic(p, CALLER, [v](int) { return v; });
}
unsigned atomicCAS(unsigned *p, unsigned expected, unsigned v)
{
    return atomic(p, CALLER, [=](unsigned old) { return old == expected ? v : old; });
}
int atomicCAS(int *p, int expected, int v)
{
    return atomic(p, CALLER, [=](int old) { return old == expected ? v : old; });
}
unsigned atomicOr(unsigned *p, unsigned v)
{
    return atomic(p, CALLER, [v](unsigned old) { return old | v; });
}
unsigned atomicAnd(unsigned *p, unsigned v)
{
    return atomic(p, CALLER, [v](unsigned old) { return old & v; });
}
