#include "tests/simt/memory.h"

#include <cstring>
#include <map>
#include <sys/mman.h>
#include <vector>

#include "tests/simt/device.h"
#include "tests/simt/fail.h"
#include "tests/simt/race.h"
#include "tests/simt/simt.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SIMT_ASAN 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define SIMT_ASAN 1
#endif
#ifdef SIMT_ASAN
#include <sanitizer/asan_interface.h>
#endif

namespace simt {

namespace {

constexpr size_t SHARED_BYTES = size_t(1) << 20, ALIGN = 256, REDZONE = 64, PAGE = 4096, AHEAD = size_t(4) << 20;

struct Object {
    const void *key;
    char *at;
    size_t bytes;
    unsigned long block; /* the last that used it */
};

std::vector<Object> objects; /* of shared memory, in this launch */
char *shared_end;
size_t static_bytes, dynamic_bytes_now;
unsigned long block_now;

std::map<char *, size_t> live;
char *device_next, *device_open; /* next to hand out; end of what may be touched */
size_t used;
long fail_countdown;

void poison(const char *p, size_t bytes)
{
#ifdef SIMT_ASAN
    ASAN_POISON_MEMORY_REGION(p, bytes);
#else
    (void)p, (void)bytes;
#endif
}

void unpoison(const char *p, size_t bytes)
{
#ifdef SIMT_ASAN
    ASAN_UNPOISON_MEMORY_REGION(p, bytes);
#else
    (void)p, (void)bytes;
#endif
}

size_t up(size_t n, size_t unit) { return (n + unit - 1) / unit * unit; }

/* Makes [.., end) accessible, poisoned, and some room beyond: what lies farther faults. */
void open_until(char *end)
{
    if (end <= device_open) return;
    const size_t bytes = up(static_cast<size_t>(end - device_open), AHEAD);
    if (mprotect(device_open, bytes, PROT_READ | PROT_WRITE)) fail("no memory for the device");
    poison(device_open, bytes);
    device_open += bytes;
}

Arena make_arena()
{
    const size_t bytes = SHARED_BYTES + DEVICE_TOTAL + AHEAD;
    void *p = mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) fail("cannot reserve %zu bytes of addresses", bytes);
    char *base = static_cast<char *>(p);
    if (mprotect(base, SHARED_BYTES, PROT_READ | PROT_WRITE)) fail("no memory for shared memory");
    poison(base, SHARED_BYTES);
    device_open = base + SHARED_BYTES;
    device_next = device_open + ALIGN;
    return {base, base + SHARED_BYTES, base + SHARED_BYTES + DEVICE_TOTAL};
}

char *shared_take(size_t bytes, size_t align)
{
    if (static_bytes + dynamic_bytes_now + bytes > SHARED_LIMIT)
        fail("%zu bytes of shared memory in a block; %d is the limit", static_bytes + dynamic_bytes_now + bytes,
             int(SHARED_LIMIT));
    const size_t at = up(reinterpret_cast<uintptr_t>(shared_end), align < 16 ? 16 : align);
    char *p = reinterpret_cast<char *>(at);
    shared_end = p + up(bytes, 8) + REDZONE;
    unpoison(p, bytes);
    return p;
}

} // namespace

const Arena &arena()
{
    static const Arena a = make_arena();
    return a;
}

void shared_launch(size_t dynamic_bytes)
{
    objects.clear();
    poison(arena().base, SHARED_BYTES);
    shared_end = arena().base + REDZONE;
    static_bytes = dynamic_bytes_now = 0;
    char *p = shared_take(dynamic_bytes, 16);
    dynamic_bytes_now = dynamic_bytes;
    objects.push_back({nullptr, p, dynamic_bytes, 0});
    block_now++;
}

void shared_block()
{
    block_now++;
    std::memset(objects[0].at, 0xFF, objects[0].bytes);
}

void *shared_object(const void *key, const char *name, size_t bytes, size_t align)
{
    for (Object &o : objects) {
        if (o.key != key) continue;
        if (o.block != block_now) std::memset(o.at, 0xFF, o.bytes);
        o.block = block_now;
        return o.at;
    }
    if (static_bytes + bytes > SHARED_STATIC_LIMIT)
        fail("%zu bytes of static shared memory with \"%s\"; %d is the limit", static_bytes + bytes, name,
             int(SHARED_STATIC_LIMIT));
    char *p = shared_take(bytes, align);
    static_bytes += bytes;
    std::memset(p, 0xFF, bytes);
    objects.push_back({key, p, bytes, block_now});
    return p;
}

void *dynamic_shared(size_t align)
{
    if (align > 16) fail("dynamic shared memory lies on 16 bytes, not on %zu", align);
    return objects[0].at;
}

void *device_alloc(size_t bytes)
{
    const Arena &a = arena();
    if (fail_countdown && !--fail_countdown) return nullptr;
    if (bytes > static_cast<size_t>(a.end - device_next)) return nullptr;
    const size_t room = up(bytes, ALIGN) + ALIGN;
    if (room > static_cast<size_t>(a.end - device_next)) return nullptr;
    char *p = device_next;
    device_next += room;
    open_until(device_next + AHEAD / 2);
    unpoison(p, bytes);
    std::memset(p, 0xFF, bytes);
    live[p] = bytes;
    used += bytes;
    return p;
}

bool device_free(void *p)
{
    const auto it = live.find(static_cast<char *>(p));
    if (it == live.end()) return false;
    char *first = it->first;
    const size_t bytes = it->second;
    live.erase(it);
    used -= bytes;
    poison(first, bytes);
    race_forget(first, bytes);
    char *whole = reinterpret_cast<char *>(up(reinterpret_cast<uintptr_t>(first), PAGE));
    if (whole + PAGE <= first + bytes) madvise(whole, static_cast<size_t>(first + bytes - whole) / PAGE * PAGE, MADV_DONTNEED);
    return true;
}

bool device_holds(const void *p, size_t bytes)
{
    const char *at = static_cast<const char *>(p);
    auto it = live.upper_bound(const_cast<char *>(at));
    if (it == live.begin()) return false;
    --it;
    const size_t offset = static_cast<size_t>(at - it->first);
    return offset <= it->second && bytes <= it->second - offset;
}

size_t device_live() { return live.size(); }

size_t device_used() { return used; }

} // namespace simt

extern "C" void simt_fail_allocation(long nth) { simt::fail_countdown = nth; }

extern "C" size_t simt_live_allocations(void) { return simt::device_live(); }
