/* Memory of the device: one reserved range of addresses, of which the front holds the shared
 * memory of the block that runs and the rest is handed out once, never again. */
#ifndef SIMT_MEMORY_H
#define SIMT_MEMORY_H

#include <cstddef>
#include <cstdint>

namespace simt {

struct Arena {
    char *base, *device, *end; /* shared memory: [base, device) */
};
const Arena &arena();
inline bool in_device(const void *p)
{
    return p >= arena().device && p < arena().end;
}

/* `bytes` of 0xFF on 256, between gaps that the sanitizer watches; nullptr when there is no
 * more, or when the test wants this one to fail. */
void *device_alloc(size_t bytes);
/* False: not the start of a live allocation. */
bool device_free(void *p);
/* Does [p, p + bytes) lie in one live allocation? */
bool device_holds(const void *p, size_t bytes);
size_t device_live();
size_t device_used();
constexpr size_t DEVICE_TOTAL = size_t(16) << 30;

/* A launch gets a new layout of shared memory, each block of it the same places anew. */
void shared_launch(size_t dynamic_bytes);
void shared_block();

enum { SHARED_STATIC_LIMIT = 48 * 1024, SHARED_LIMIT = 227 * 1024 };

} // namespace simt

#endif
