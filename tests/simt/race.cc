/* The race shim: kernels are compiled with -fsanitize=thread, and the functions that this calls
 * at every load and store are here instead of in libtsan.
 *
 * For each word of device and shared memory the last two writers and two readers are kept. Two
 * accesses of different threads to the same byte, one of them a write, not both atomic, with no
 * barrier between, are a race, in whatever order they happened to come. Time is cut into eras:
 * one begins with each block and at each of its barriers, so an era names block and generation.
 * Within an era the lanes of a warp are ordered by __syncwarp alone, through vector clocks.
 * What a thread knows when it fences is published by its next atomic operation on global memory: a thread of a later
 * block that acquires is ordered behind it. Which word the two meet at is not looked at. */
#include "tests/simt/race.h"

#include <algorithm>
#include <climits>
#include <cstdint>
#include <cstdio>
#include <string>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

#include "tests/simt/fail.h"
#include "tests/simt/memory.h"
#include "tests/simt/sched.h"

namespace simt {

namespace {

constexpr unsigned EPOCHS = 1u << 17;

/* Who, when and which bytes of the word, packed by hand: putting bit fields together was half of all the time. */
struct Access {
    enum : uint32_t { BYTES = 15, THREAD = 4, ATOMIC = 14, EPOCH = 15 }; /* four bits, then where the others begin */
    uint32_t era;  /* 0: none */
    uint32_t what; /* four bytes, ten bits of a thread, one of an atomic operation, seventeen of an epoch */
    uint32_t pc;   /* the program is linked below 4 GiB */

    uint32_t bytes() const { return what & BYTES; }
    uint32_t thread() const { return what >> THREAD & (MAX_THREADS - 1); }
    bool atomic() const { return what >> ATOMIC & 1; }
    uint32_t epoch() const { return what >> EPOCH; }
};
struct Cell {
    Access writer[2], reader[2];
};
/* What a block has published: its eras before `published`, and of this one what its threads did in epochs up to these. */
struct Block {
    uint32_t first, published; /* eras */
    std::vector<uint32_t> epochs;
};
struct Fence {
    uint32_t era; /* 0: none in this block */
    uint32_t clocks[WARP];
};

Cell *shadow;
uintptr_t base, shared_bytes, total_bytes;
uint32_t era, launch_first, block_first;
std::vector<Block> blocks; /* of this launch, in the order they ran */
uint32_t clocks[MAX_THREADS][WARP]; /* what a thread knows of each lane of its warp */
Fence fences[MAX_THREADS];          /* the last of each thread */
bool acquired[MAX_THREADS], any_acquired;
unsigned thread_count;

void next_era()
{
    if (++era == UINT32_MAX) fail("too many barriers for the race shim");
    for (unsigned t = 0; t < thread_count; t++) {
        std::fill(clocks[t], clocks[t] + WARP, 0u);
        clocks[t][t % WARP] = 1;
    }
}

void reserve_shadow()
{
    const Arena &a = arena();
    base = reinterpret_cast<uintptr_t>(a.base);
    shared_bytes = static_cast<size_t>(a.device - a.base);
    total_bytes = static_cast<size_t>(a.end - a.base);
    void *p = mmap(nullptr, total_bytes / 4 * sizeof(Cell), PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) fail("cannot reserve the shadow of device memory");
    shadow = static_cast<Cell *>(p);
}

/* What the thread does from now on can be told from what it did. */
void next_epoch(unsigned thread)
{
    if (++clocks[thread][thread % WARP] >= EPOCHS)
        fail("too many __syncwarp and __threadfence between two barriers for the race shim");
}

bool is_published(const Access &a)
{
    const auto later = [](uint32_t when, const Block &b) { return when < b.first; };
    const auto it = std::upper_bound(blocks.begin(), blocks.end(), a.era, later);
    if (it == blocks.begin()) return false;
    const Block &b = *(it - 1);
    return a.era < b.published || (a.era == b.published && a.epoch() <= b.epochs[a.thread()]);
}

/* By an atomic operation of the thread: what it knew at its last fence. */
void publish(unsigned thread)
{
    const Fence &f = fences[thread];
    Block &b = blocks.back();
    const unsigned first = thread / WARP * WARP;
    if (!f.era || f.era < b.published) return;
    if (f.era > b.published) {
        b.published = f.era;
        b.epochs.assign(MAX_THREADS, 0);
    }
    for (unsigned lane = 0; lane < WARP; lane++)
        b.epochs[first + lane] = std::max(b.epochs[first + lane], f.clocks[lane]);
}

/* Did `a` happen before what the running thread does now, by the program's own order? */
bool ordered(const Access &a, const Access &now, bool in_shared)
{
    if (a.era < launch_first) return true;
    if (a.era == now.era) {
        const uint32_t then = a.thread(), here = now.thread();
        return then == here || (then / WARP == here / WARP && clocks[here][then % WARP] >= a.epoch());
    }
    return a.era >= block_first || in_shared || (acquired[now.thread()] && is_published(a));
}

std::string place(uint32_t pc)
{
    char command[PATH_MAX + 64], exe[PATH_MAX], line[512] = "";
    const ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    exe[n > 0 ? n : 0] = 0;
    std::snprintf(command, sizeof command, "addr2line -Csfpe '%s' 0x%x 2>/dev/null", exe, pc - 1);
    if (FILE *f = popen(command, "r")) {
        if (!std::fgets(line, sizeof line, f)) line[0] = 0;
        pclose(f);
    }
    char number[32];
    std::snprintf(number, sizeof number, " [0x%x]", pc);
    std::string s = line;
    return s.substr(0, s.find('\n')) + number;
}

std::string describe(const Access &a, bool write)
{
    return std::string(a.atomic() ? "atomic " : "") + (write ? "write" : "read") + " by thread " + std::to_string(a.thread()) +
           (a.era >= block_first ? "" : " of another block") + ", " + place(a.pc);
}

[[noreturn]] void report(const Access &before, bool before_write, const Access &now, bool write, size_t offset)
{
    const std::string a = describe(before, before_write), b = describe(now, write);
    std::fprintf(stderr, "race on %s memory\n  %s\n  %s\n", offset < shared_bytes ? "shared" : "global", a.c_str(), b.c_str());
    fail("data race");
}

bool conflict(const Access &a, const Access &now, bool in_shared)
{
    return a.era && (a.bytes() & now.bytes()) && !(a.atomic() && now.atomic()) && !ordered(a, now, in_shared);
}

bool same_moment(const Access &a, const Access &now)
{
    return a.era == now.era && !((a.what ^ now.what) & ~Access::BYTES);
}

void note_write(Cell &c, const Access &now)
{
    for (Access &r : c.reader)
        if (!(r.bytes() & ~now.bytes())) r.era = 0;
    for (Access &w : c.writer) {
        if (!w.era || !same_moment(w, now)) continue;
        w.what |= now.bytes();
        w.pc = now.pc;
        return;
    }
    for (Access &w : c.writer)
        if (w.era && !(w.bytes() & ~now.bytes())) w.era = 0;
    const bool first = !c.writer[0].era || (c.writer[1].era && c.writer[0].era < c.writer[1].era);
    c.writer[!first] = now;
}

/* The first reader that is not ordered before now stays, so that of many at least two remain. */
void note_read(Cell &c, const Access &now, bool in_shared)
{
    for (Access &r : c.reader) {
        if (!r.era || !same_moment(r, now)) continue;
        r.what |= now.bytes();
        return;
    }
    const Access &r = c.reader[0];
    c.reader[r.era && !ordered(r, now, in_shared)] = now;
}

/* Is all that is known of the word older than `since`? Most words are met for the first time in a launch. */
inline bool older(const Cell &c, uint32_t since)
{
    return c.writer[0].era < since && c.writer[1].era < since && c.reader[0].era < since && c.reader[1].era < since;
}

void check_written(const Cell &c, const Access &now)
{
    if (c.writer[0].era < block_first && c.writer[1].era < block_first)
        fail("%s: shared memory that this block has not written", describe(now, false).c_str());
}

void write_word(Cell &c, const Access &now, bool in_shared, size_t offset)
{
    for (const Access &w : c.writer)
        if (conflict(w, now, in_shared)) report(w, true, now, true, offset);
    for (const Access &r : c.reader)
        if (conflict(r, now, in_shared)) report(r, false, now, true, offset);
    note_write(c, now);
}

void read_word(Cell &c, const Access &now, bool in_shared, size_t offset)
{
    for (const Access &w : c.writer)
        if (conflict(w, now, in_shared)) report(w, true, now, false, offset);
    if (in_shared) check_written(c, now);
    note_read(c, now, in_shared);
}

/* What is ordered before now, and before whatever may come, is forgotten at once: accesses of earlier launches, and
 * of shared memory those before the last barrier. */
inline void touch(Cell &c, const Access &now, bool write, bool in_shared, size_t offset)
{
    const bool first = older(c, in_shared ? era : launch_first);
    if (first && write) {
        c = {{now, {}}, {}};
    } else if (first) {
        if (in_shared) check_written(c, now);
        c.reader[0] = now;
        c.reader[1].era = 0;
    } else if (write) {
        write_word(c, now, in_shared, offset);
    } else {
        read_word(c, now, in_shared, offset);
    }
}

void access(uintptr_t offset, size_t bytes, bool write, bool atomic, const void *pc)
{
    if (!cur) return;
    const uint32_t thread = static_cast<const Thread *>(cur)->linear;
    const uint32_t epoch = clocks[thread][thread % WARP] & (EPOCHS - 1);
    const uint32_t who = thread << Access::THREAD | uint32_t(atomic) << Access::ATOMIC | epoch << Access::EPOCH;
    const uint32_t where = static_cast<uint32_t>(reinterpret_cast<uintptr_t>(pc));
    const bool in_shared = offset < shared_bytes;
    for (size_t end = offset + bytes; offset < end;) {
        const size_t skip = offset % 4, take = std::min(4 - skip, end - offset);
        const uint32_t touched = (((1u << take) - 1) << skip) & Access::BYTES;
        touch(shadow[offset / 4], {era, who | touched, where}, write, in_shared, offset);
        offset += take;
    }
}

inline void see(const void *p, size_t bytes, bool write, const void *pc)
{
    const uintptr_t offset = reinterpret_cast<uintptr_t>(p) - base;
    if (offset < total_bytes) access(offset, bytes, write, false, pc);
}

} // namespace

void race_launch()
{
    if (!shadow) reserve_shadow();
    thread_count = 0;
    next_era();
    launch_first = era;
    blocks.clear();
}

void race_block(unsigned threads)
{
    thread_count = threads;
    next_era();
    block_first = era;
    blocks.push_back({era, 0, {}});
    for (unsigned t = 0; t < threads; t++) fences[t].era = 0;
    std::fill(acquired, acquired + threads, false);
    any_acquired = false;
}

void race_barrier()
{
    next_era();
    if (any_acquired) std::fill(acquired, acquired + thread_count, true);
}

void race_syncwarp(unsigned first, unsigned mask)
{
    uint32_t joined[WARP] = {};
    for (unsigned lane = 0; lane < WARP; lane++)
        if (mask >> lane & 1)
            for (unsigned i = 0; i < WARP; i++) joined[i] = std::max(joined[i], clocks[first + lane][i]);
    for (unsigned lane = 0; lane < WARP; lane++) {
        if (!(mask >> lane & 1)) continue;
        std::copy(joined, joined + WARP, clocks[first + lane]);
        next_epoch(first + lane);
    }
}

void race_fence()
{
    const unsigned thread = running()->linear;
    fences[thread].era = era;
    std::copy(clocks[thread], clocks[thread] + WARP, fences[thread].clocks);
    next_epoch(thread);
}

void race_acquire() { acquired[running()->linear] = any_acquired = true; }

void race_atomic(const void *p, size_t bytes, const void *pc)
{
    const uintptr_t offset = reinterpret_cast<uintptr_t>(p) - base;
    if (offset >= total_bytes) return;
    access(offset, bytes, true, true, pc);
    if (cur && offset >= shared_bytes) publish(running()->linear);
}

void race_forget(const void *p, size_t bytes)
{
    if (!shadow) return;
    const uintptr_t page = 4096, first = reinterpret_cast<uintptr_t>(shadow + (reinterpret_cast<uintptr_t>(p) - base) / 4);
    const uintptr_t from = (first + page - 1) / page * page, to = (first + bytes / 4 * sizeof(Cell)) / page * page;
    if (from < to) madvise(reinterpret_cast<void *>(from), to - from, MADV_DONTNEED);
}

} // namespace simt

#define CALLER __builtin_return_address(0)

/* The names and signatures that compilers call: LLVM's ThreadSanitizer interface. */
extern "C" {

void __tsan_init(void) {}
void __tsan_func_entry(void *) {}
void __tsan_func_exit(void) {}
void __tsan_vptr_update(void **, void *) {}
void __tsan_vptr_read(void **) {}

void __tsan_read1(void *p) { simt::see(p, 1, false, CALLER); }
void __tsan_read2(void *p) { simt::see(p, 2, false, CALLER); }
void __tsan_read4(void *p) { simt::see(p, 4, false, CALLER); }
void __tsan_read8(void *p) { simt::see(p, 8, false, CALLER); }
void __tsan_read16(void *p) { simt::see(p, 16, false, CALLER); }
void __tsan_write1(void *p) { simt::see(p, 1, true, CALLER); }
void __tsan_write2(void *p) { simt::see(p, 2, true, CALLER); }
void __tsan_write4(void *p) { simt::see(p, 4, true, CALLER); }
void __tsan_write8(void *p) { simt::see(p, 8, true, CALLER); }
void __tsan_write16(void *p) { simt::see(p, 16, true, CALLER); }
void __tsan_unaligned_read2(void *p) { simt::see(p, 2, false, CALLER); }
void __tsan_unaligned_read4(void *p) { simt::see(p, 4, false, CALLER); }
void __tsan_unaligned_read8(void *p) { simt::see(p, 8, false, CALLER); }
void __tsan_unaligned_read16(void *p) { simt::see(p, 16, false, CALLER); }
void __tsan_unaligned_write2(void *p) { simt::see(p, 2, true, CALLER); }
void __tsan_unaligned_write4(void *p) { simt::see(p, 4, true, CALLER); }
void __tsan_unaligned_write8(void *p) { simt::see(p, 8, true, CALLER); }
void __tsan_unaligned_write16(void *p) { simt::see(p, 16, true, CALLER); }
void __tsan_read_range(void *p, unsigned long bytes) { simt::see(p, bytes, false, CALLER); }
void __tsan_write_range(void *p, unsigned long bytes) { simt::see(p, bytes, true, CALLER); }

void *__tsan_memcpy(void *to, const void *from, unsigned long bytes)
{
    simt::see(from, bytes, false, CALLER);
    simt::see(to, bytes, true, CALLER);
    return __builtin_memcpy(to, from, bytes);
}
void *__tsan_memmove(void *to, const void *from, unsigned long bytes)
{
    simt::see(from, bytes, false, CALLER);
    simt::see(to, bytes, true, CALLER);
    return __builtin_memmove(to, from, bytes);
}
void *__tsan_memset(void *to, int value, unsigned long bytes)
{
    simt::see(to, bytes, true, CALLER);
    return __builtin_memset(to, value, bytes);
}

} // extern "C"
