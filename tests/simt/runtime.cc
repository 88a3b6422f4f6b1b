/* The fake runtime's device, memory, copies and errors. */
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <set>

#include <cuda_runtime_api.h>

#include "tests/simt/fail.h"
#include "tests/simt/memory.h"
#include "tests/simt/plant.h"
#include "tests/simt/simt.h"
#include "tests/simt/stream.h"

namespace {

enum { MULTIPROCESSORS = 4, VERSION = 12040 };

/* What a test may change. */
struct {
    int count = 1, major = 9, minor = 0, driver = VERSION;
    size_t memory = simt::DEVICE_TOTAL;
    cudaError_t kernels = cudaSuccess; /* what asking for one answers */
} machine;
long calls_left; /* until one fails */
bool lost;       /* all do */

thread_local int error_now;
int resources[simt::RESOURCES];
std::map<const void *, size_t> limits;
std::set<void *> pinned;

cudaError_t note(cudaError_t e) { return static_cast<cudaError_t>(simt::note_error(e)); }

void check_given_back()
{
    const size_t device = simt::device_live();
    const int *r = resources;
    if (device || r[simt::HOST_MEMORY] || r[simt::STREAMS] || r[simt::EVENTS] || r[simt::GRAPHS])
        simt::fail("not given back at the end: device memory %zu, host memory %d, streams %d, events %d, graphs %d", device,
                   r[simt::HOST_MEMORY], r[simt::STREAMS], r[simt::EVENTS], r[simt::GRAPHS]);
}

/* At the end of the program, as soon as there is anything to give back. */
void watch_end()
{
    static const int registered = std::atexit(check_given_back);
    if (registered) simt::fail("atexit refuses");
}

/* Is [p, p + bytes) what the kind of copy says: live device memory, or none of it? */
bool fits(const void *p, size_t bytes, bool on_device)
{
    return on_device ? simt::device_holds(p, bytes) : p && !simt::in_device(p);
}

bool copy_fits(void *to, const void *from, size_t bytes, cudaMemcpyKind kind)
{
    if (kind < cudaMemcpyHostToHost || kind > cudaMemcpyDefault) return false;
    const bool any = kind == cudaMemcpyDefault;
    const bool to_device = any ? simt::in_device(to) : kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
    const bool from_device = any ? simt::in_device(from) : kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
    return fits(to, bytes, to_device) && fits(from, bytes, from_device);
}

/* The memory is looked at when the copy runs, as the GPU does with pinned memory. */
cudaError_t copy(void *to, const void *from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream)
{
    if (!bytes) return cudaSuccess;
    if (simt::call_fails()) return cudaErrorUnknown;
    if (!copy_fits(to, from, bytes, kind)) return cudaErrorInvalidValue;
    return static_cast<cudaError_t>(simt::enqueue(stream, [=] {
        if (!copy_fits(to, from, bytes, kind)) simt::fail("a copy runs after its memory was freed");
        std::memmove(to, from, bytes);
    }));
}

cudaError_t copy_2d(char *to, size_t to_pitch, const char *from, size_t from_pitch, size_t width, size_t height,
                    cudaMemcpyKind kind, cudaStream_t stream)
{
    if (!width || !height) return cudaSuccess;
    if (width > to_pitch || width > from_pitch) return cudaErrorInvalidValue;
    for (size_t i = 0; i < height; i++)
        if (!copy_fits(to + i * to_pitch, from + i * from_pitch, width, kind)) return cudaErrorInvalidValue;
    return static_cast<cudaError_t>(simt::enqueue(stream, [=] {
        for (size_t i = 0; i < height; i++) {
            if (!copy_fits(to + i * to_pitch, from + i * from_pitch, width, kind))
                simt::fail("a copy runs after its memory was freed");
            std::memmove(to + i * to_pitch, from + i * from_pitch, width);
        }
    }));
}

cudaError_t set(void *p, int value, size_t bytes, cudaStream_t stream)
{
    if (!bytes) return cudaSuccess;
    if (simt::call_fails()) return cudaErrorUnknown;
    if (!simt::device_holds(p, bytes)) return cudaErrorInvalidValue;
    return static_cast<cudaError_t>(simt::enqueue(stream, [=] {
        if (!simt::device_holds(p, bytes)) simt::fail("a memset runs after its memory was freed");
        std::memset(p, value, bytes);
    }));
}

cudaError_t host_alloc(void **p, size_t bytes)
{
    const simt::Hold hold;
    if (!p) return cudaErrorInvalidValue;
    watch_end();
    *p = simt::call_fails() ? nullptr : std::malloc(bytes ? bytes : 1);
    if (!*p) return cudaErrorMemoryAllocation;
    pinned.insert(*p);
    simt::count_resource(simt::HOST_MEMORY, 1);
    return cudaSuccess;
}

int attribute(cudaDeviceAttr attr)
{
    switch (attr) {
    case cudaDevAttrMaxThreadsPerBlock: return 1024;
    case cudaDevAttrWarpSize: return 32;
    case cudaDevAttrMultiProcessorCount: return MULTIPROCESSORS;
    case cudaDevAttrComputeCapabilityMajor: return machine.major;
    case cudaDevAttrComputeCapabilityMinor: return machine.minor;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: return simt::SHARED_LIMIT;
    default: return -1;
    }
}

struct ErrorName {
    cudaError_t error;
    const char *name, *text;
};
const ErrorName error_names[] = {
    {cudaSuccess, "cudaSuccess", "no error"},
    {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    {cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration", "invalid configuration argument"},
    {cudaErrorInsufficientDriver, "cudaErrorInsufficientDriver", "CUDA driver version is insufficient for CUDA runtime version"},
    {cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
    {cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
    {cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
    {cudaErrorStreamCaptureUnsupported, "cudaErrorStreamCaptureUnsupported", "operation not permitted when stream is capturing"},
    {cudaErrorStreamCaptureInvalidated, "cudaErrorStreamCaptureInvalidated", "the capture failed earlier"},
    {cudaErrorStreamCaptureUnmatched, "cudaErrorStreamCaptureUnmatched", "the capture was begun on another stream"},
    {cudaErrorStreamCaptureUnjoined, "cudaErrorStreamCaptureUnjoined", "a captured stream was not joined"},
    {cudaErrorStreamCaptureIsolation, "cudaErrorStreamCaptureIsolation", "a captured stream depends on work outside"},
    {cudaErrorStreamCaptureWrongThread, "cudaErrorStreamCaptureWrongThread", "the capture was begun by another thread"},
    {cudaErrorStreamCaptureImplicit, "cudaErrorStreamCaptureImplicit", "the legacy stream would depend on a capture"},
    {cudaErrorCapturedEvent, "cudaErrorCapturedEvent", "the event was recorded in a capture"},
    {cudaErrorUnknown, "cudaErrorUnknown", "unknown error"},
};

const ErrorName &name_of(cudaError_t e)
{
    static const ErrorName unknown = {cudaSuccess, "unrecognized error code", "unrecognized error code"};
    for (const ErrorName &n : error_names)
        if (n.error == e) return n;
    return unknown;
}

} // namespace

namespace simt {

int note_error(int error)
{
    if (error) error_now = error;
    return error;
}

int last_error() { return error_now; }

int take_error()
{
    const int e = error_now;
    error_now = 0;
    return e;
}

size_t dynamic_limit(const void *kernel)
{
    const auto it = limits.find(kernel);
    return it == limits.end() ? size_t(SHARED_STATIC_LIMIT) : it->second;
}

void set_dynamic_limit(const void *kernel, size_t bytes) { limits[kernel] = bytes; }

bool call_fails() { return lost || (calls_left && !--calls_left); }

void lose_device() { lost = true; }

int kernel_error()
{
    const Hold hold;
    return call_fails() ? cudaErrorUnknown : machine.kernels;
}

void count_resource(Resource what, int change)
{
    watch_end();
    resources[what] += change;
}

} // namespace simt

cudaError_t cudaGetDeviceCount(int *count)
{
    const simt::Hold hold;
    if (!count) return note(cudaErrorInvalidValue);
    *count = machine.count;
    return note(machine.count ? cudaSuccess : cudaErrorNoDevice);
}

/* All devices are one, whose memory they share. */
cudaError_t cudaSetDevice(int device)
{
    const simt::Hold hold;
    return note(device < 0 || device >= machine.count ? cudaErrorInvalidDevice : cudaSuccess);
}

cudaError_t cudaGetDevice(int *device)
{
    const simt::Hold hold;
    if (!device) return note(cudaErrorInvalidValue);
    *device = 0;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *prop, int device)
{
    const simt::Hold hold;
    if (!prop) return note(cudaErrorInvalidValue);
    if (device < 0 || device >= machine.count) return note(cudaErrorInvalidDevice);
    *prop = {};
    std::strcpy(prop->name, "SIMT emulation");
    for (int i = 0; i < 16; i++) prop->uuid.bytes[i] = static_cast<char>(16 * device + i);
    prop->totalGlobalMem = machine.memory;
    prop->sharedMemPerBlock = simt::SHARED_STATIC_LIMIT;
    prop->sharedMemPerBlockOptin = simt::SHARED_LIMIT;
    prop->warpSize = 32;
    prop->maxThreadsPerBlock = 1024;
    prop->major = machine.major;
    prop->minor = machine.minor;
    prop->multiProcessorCount = MULTIPROCESSORS;
    return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attr, int device)
{
    const simt::Hold hold;
    if (device < 0 || device >= machine.count) return note(cudaErrorInvalidDevice);
    const int known = attribute(attr);
    if (!value || known < 0) return note(cudaErrorInvalidValue);
    *value = known;
    return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int *version)
{
    const simt::Hold hold;
    if (!version) return note(cudaErrorInvalidValue);
    *version = machine.driver;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version)
{
    const simt::Hold hold;
    if (!version) return note(cudaErrorInvalidValue);
    *version = VERSION;
    return cudaSuccess;
}

cudaError_t cudaGetLastError(void) { return static_cast<cudaError_t>(simt::take_error()); }

cudaError_t cudaPeekAtLastError(void) { return static_cast<cudaError_t>(simt::last_error()); }

const char *cudaGetErrorString(cudaError_t error) { return name_of(error).text; }

const char *cudaGetErrorName(cudaError_t error) { return name_of(error).name; }

cudaError_t cudaFuncSetAttribute(const void *func, enum cudaFuncAttribute attr, int value)
{
    const simt::Hold hold;
    if (!func || attr != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 || value > simt::SHARED_LIMIT)
        return note(cudaErrorInvalidValue);
    simt::set_dynamic_limit(func, static_cast<size_t>(value));
    return cudaSuccess;
}

cudaError_t cudaMalloc(void **p, size_t size)
{
    const simt::Hold hold;
    if (!p) return note(cudaErrorInvalidValue);
    if (simt::capture_forbids()) return note(cudaErrorStreamCaptureUnsupported);
    watch_end();
    const size_t used = simt::device_used();
    const bool room = used <= machine.memory && size <= machine.memory - used && !simt::call_fails();
    *p = size && room ? simt::device_alloc(size) : nullptr;
    return note(*p || !size ? cudaSuccess : cudaErrorMemoryAllocation);
}

cudaError_t cudaFree(void *p)
{
    const simt::Hold hold;
    if (simt::capture_forbids()) return note(cudaErrorStreamCaptureUnsupported);
    simt::drain();
    return note(!p || simt::device_free(p) ? cudaSuccess : cudaErrorInvalidValue);
}

cudaError_t cudaMallocHost(void **p, size_t size) { return note(host_alloc(p, size)); }

cudaError_t cudaHostAlloc(void **p, size_t size, unsigned int) { return note(host_alloc(p, size)); }

cudaError_t cudaFreeHost(void *p)
{
    const simt::Hold hold;
    if (!p) return cudaSuccess;
    if (!pinned.erase(p)) return note(cudaErrorInvalidValue);
    simt::drain();
    std::free(p);
    simt::count_resource(simt::HOST_MEMORY, -1);
    return cudaSuccess;
}

cudaError_t cudaMallocAsync(void **p, size_t size, cudaStream_t) { return cudaMalloc(p, size); }

cudaError_t cudaFreeAsync(void *p, cudaStream_t stream)
{
    const simt::Hold hold;
    if (!p || !simt::device_holds(p, 0)) return note(cudaErrorInvalidValue);
    return note(static_cast<cudaError_t>(simt::enqueue(stream, [p] {
        if (!simt::device_free(p)) simt::fail("memory freed twice, or not at its start");
    })));
}

/* Waits, as with memory that is not pinned. */
cudaError_t cudaMemcpy(void *dst, const void *src, size_t count, enum cudaMemcpyKind kind)
{
    const simt::Hold hold;
    if (simt::capture_forbids()) return note(cudaErrorStreamCaptureUnsupported);
    const cudaError_t e = copy(dst, src, count, kind, nullptr);
    return e ? note(e) : cudaStreamSynchronize(nullptr);
}

cudaError_t cudaMemcpyAsync(void *dst, const void *src, size_t count, enum cudaMemcpyKind kind, cudaStream_t stream)
{
    const simt::Hold hold;
    return note(copy(dst, src, count, kind, stream));
}

cudaError_t cudaMemcpy2DAsync(void *dst, size_t dpitch, const void *src, size_t spitch, size_t width, size_t height,
                              enum cudaMemcpyKind kind, cudaStream_t stream)
{
    const simt::Hold hold;
    return note(copy_2d(static_cast<char *>(dst), dpitch, static_cast<const char *>(src), spitch, width, height, kind, stream));
}

cudaError_t cudaMemset(void *p, int value, size_t count)
{
    const simt::Hold hold;
    if (simt::capture_forbids()) return note(cudaErrorStreamCaptureUnsupported);
    return note(set(p, value, count, nullptr));
}

cudaError_t cudaMemsetAsync(void *p, int value, size_t count, cudaStream_t stream)
{
    const simt::Hold hold;
    if (simt::planted("set", 0L)) return cudaSuccess;
    return note(set(p, value, count, stream));
}

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total)
{
    const simt::Hold hold;
    if (!free_bytes || !total) return note(cudaErrorInvalidValue);
    *total = machine.memory;
    *free_bytes = machine.memory - std::min(machine.memory, simt::device_used());
    return cudaSuccess;
}

extern "C" void simt_set_device(int count, int major, int minor, int driver)
{
    const simt::Hold hold;
    machine.count = count;
    machine.major = major;
    machine.minor = minor;
    machine.driver = driver;
}

extern "C" void simt_set_kernels(int error) { machine.kernels = static_cast<cudaError_t>(error); }

extern "C" void simt_set_memory(size_t bytes) { machine.memory = bytes ? bytes : simt::DEVICE_TOTAL; }

extern "C" void simt_fail_call(long nth) { calls_left = nth; }

extern "C" long simt_calls_left(void) { return calls_left; }

extern "C" int simt_resources(void)
{
    const simt::Hold hold;
    int n = static_cast<int>(simt::device_live());
    for (int r : resources) n += r;
    return n;
}
