/* A kernel launch: what a GPU of compute capability 9 refuses, else work for the stream. */
#include "tests/simt/memory.h"
#include "tests/simt/plant.h"
#include "tests/simt/sched.h"
#include "tests/simt/stream.h"

namespace simt {

namespace {

enum { INVALID_VALUE = 1, INVALID_CONFIGURATION = 9, UNKNOWN = 999 };

int check(const Launch &l, const void *kernel)
{
    const uint64_t threads = uint64_t(l.block.x) * l.block.y * l.block.z;
    if (!threads || threads > MAX_THREADS || l.block.z > 64) return INVALID_CONFIGURATION;
    if (!l.grid.x || !l.grid.y || !l.grid.z || l.grid.x > INT_MAX || l.grid.y > 65535 || l.grid.z > 65535)
        return INVALID_CONFIGURATION;
    return l.shared_bytes > dynamic_limit(kernel) ? INVALID_VALUE : 0;
}

} // namespace

void launch(const Launch &shape, const void *kernel, std::function<void()> body)
{
    const Hold hold;
    if (planted("lost", shape.name)) lose_device();
    int error = call_fails() ? UNKNOWN : check(shape, kernel);
    if (planted("launch", shape.name)) return;
    if (!error) error = enqueue(shape.stream, [shape, body = std::move(body)] { run_grid(shape, body); });
    note_error(error);
}

int launch_error() { return take_error(); }

} // namespace simt
