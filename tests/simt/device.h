/* CUDA's device language as plain C++17, for kernels compiled without nvcc.
 *
 * Only what kernels use is here: what is missing does not compile, and is then added. Every
 * operation at which threads meet is called through a Site, so that a diagnosis names its
 * source line. */
#ifndef SIMT_DEVICE_H
#define SIMT_DEVICE_H

#include <climits>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <tuple>
#include <type_traits>
#include <utility>

#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)

struct uint3 {
    unsigned x, y, z;
};
struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned vx = 1, unsigned vy = 1, unsigned vz = 1) : x(vx), y(vy), z(vz) {}
};
struct alignas(8) int2 {
    int x, y;
};
struct alignas(16) int4 {
    int x, y, z, w;
};
struct alignas(8) uint2 {
    unsigned x, y;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
struct alignas(8) float2 {
    float x, y;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(16) double2 {
    double x, y;
};

static inline int2 make_int2(int x, int y) { return {x, y}; }
static inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
static inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
static inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
static inline float2 make_float2(float x, float y) { return {x, y}; }
static inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
static inline double2 make_double2(double x, double y) { return {x, y}; }

namespace simt {

/* What a kernel sees of the block and of the thread that runs. */
struct BlockView {
    uint3 index;
    dim3 size, grid;
};
struct ThreadView {
    uint3 index;
    const BlockView *block;
};
extern const ThreadView *cur;

struct Launch {
    const char *name;
    dim3 grid, block;
    size_t shared_bytes;
    void *stream;
};
/* Checks the shape as a GPU would and enqueues; `body` runs the kernel once, in every thread. */
void launch(const Launch &shape, const void *kernel, std::function<void()> body);
int launch_error();
int kernel_error();

/* The object of this block that belongs to `key`; new ones are filled with 0xFF. */
void *shared_object(const void *key, const char *name, size_t bytes, size_t align);
void *dynamic_shared(size_t align);
template <class T> T &shared(const void *key, const char *name)
{
    return *static_cast<T *>(shared_object(key, name, sizeof(T), alignof(T)));
}

enum class WarpOp { Idx, Up, Down, Xor, Ballot, Sync };

struct Site {
    const char *file;
    int line;

    void syncthreads() const;
    int syncthreads_count(int predicate) const;
    int syncthreads_or(int predicate) const { return syncthreads_count(predicate) != 0; }
    int syncthreads_and(int predicate) const { return syncthreads_count(!predicate) == 0; }
    void syncwarp(unsigned mask = 0xffffffffu) const;
    void threadfence() const;
    void acquire_grid() const;

    unsigned ballot(unsigned mask, int predicate) const;
    int any(unsigned mask, int predicate) const { return ballot(mask, predicate) != 0; }
    int all(unsigned mask, int predicate) const { return ballot(mask, !predicate) == 0; }
    template <class T> T shfl(unsigned mask, T v, int lane, int width = 32) const
    {
        return exchange(WarpOp::Idx, mask, v, static_cast<unsigned>(lane), width);
    }
    template <class T> T shfl_up(unsigned mask, T v, unsigned delta, int width = 32) const
    {
        return exchange(WarpOp::Up, mask, v, delta, width);
    }
    template <class T> T shfl_down(unsigned mask, T v, unsigned delta, int width = 32) const
    {
        return exchange(WarpOp::Down, mask, v, delta, width);
    }
    template <class T> T shfl_xor(unsigned mask, T v, int lanes, int width = 32) const
    {
        return exchange(WarpOp::Xor, mask, v, static_cast<unsigned>(lanes), width);
    }

    float4 load4(const float *p) const
    {
        check_aligned(p, alignof(float4));
        p += loads_ahead();
        return *reinterpret_cast<const float4 *>(p);
    }
    void store4(float *p, float4 v) const
    {
        check_aligned(p, alignof(float4));
        *reinterpret_cast<float4 *>(p) = v;
    }

    /* Whatever lies there: as bytes, since it may have been written as something else. */
    uint4 load16(const void *p) const
    {
        uint4 v;
        check_aligned(p, alignof(uint4));
        std::memcpy(&v, static_cast<const float *>(p) + loads_ahead(), sizeof v);
        return v;
    }
    void store16(void *p, uint4 v) const
    {
        check_aligned(p, alignof(uint4));
        std::memcpy(p, &v, sizeof v);
    }

    void check_aligned(const void *p, size_t align) const;
    /* Elements that a planted fault moves 16-byte loads of the kernel at hand (plant.h), 0 without. */
    int loads_ahead() const { return ahead; }
    static int ahead;
    uint64_t warp_operation(WarpOp op, unsigned mask, uint64_t value, unsigned operand, int width) const;

private:
    template <class T> T exchange(WarpOp op, unsigned mask, T v, unsigned operand, int width) const
    {
        static_assert(std::is_arithmetic<T>::value && (sizeof(T) == 4 || sizeof(T) == 8), "shuffles move 4 or 8 bytes");
        uint64_t bits = 0;
        std::memcpy(&bits, &v, sizeof(T));
        bits = warp_operation(op, mask, bits, operand, width);
        std::memcpy(&v, &bits, sizeof(T));
        return v;
    }
};

template <class... P> class Launcher {
public:
    Launcher(const Launch &shape, void (*kernel)(P...)) : shape_(shape), kernel_(kernel) {}
    template <class... A> void operator()(A &&...a) const
    {
        static_assert((std::is_trivially_copyable<P>::value && ...), "kernel arguments are plain data");
        static_assert((!std::is_reference<P>::value && ...), "kernel arguments are passed by value");
        launch(shape_, reinterpret_cast<const void *>(kernel_),
               [kernel = kernel_, args = std::tuple<P...>(std::forward<A>(a)...)] { std::apply(kernel, args); });
    }

private:
    Launch shape_;
    void (*kernel_)(P...);
};
template <class... P>
Launcher<P...> launcher(const char *name, void (*kernel)(P...), dim3 grid, dim3 block, size_t shared_bytes, void *stream)
{
    return Launcher<P...>({name, grid, block, shared_bytes, stream}, kernel);
}

} // namespace simt

/* Atomic on the word, ordering nothing else, as on the GPU. */
int atomicAdd(int *p, int v);
unsigned atomicAdd(unsigned *p, unsigned v);
unsigned long long atomicAdd(unsigned long long *p, unsigned long long v);
float atomicAdd(float *p, float v);
int atomicMax(int *p, int v);
unsigned atomicMax(unsigned *p, unsigned v);
int atomicMin(int *p, int v);
unsigned atomicMin(unsigned *p, unsigned v);
unsigned atomicInc(unsigned *p, unsigned limit);
unsigned atomicExch(unsigned *p, unsigned v);
int atomicExch(int *p, int v);
unsigned atomicCAS(unsigned *p, unsigned expected, unsigned v);
int atomicCAS(int *p, int expected, int v);
unsigned atomicOr(unsigned *p, unsigned v);
unsigned atomicAnd(unsigned *p, unsigned v);

#define threadIdx (simt::cur->index)
#define blockIdx (simt::cur->block->index)
#define blockDim (simt::cur->block->size)
#define gridDim (simt::cur->block->grid)
#define warpSize 32

/* Named, not function-like: the arguments follow in the source. */
#define __syncthreads simt::Site{__FILE__, __LINE__}.syncthreads
#define __syncthreads_count simt::Site{__FILE__, __LINE__}.syncthreads_count
#define __syncthreads_or simt::Site{__FILE__, __LINE__}.syncthreads_or
#define __syncthreads_and simt::Site{__FILE__, __LINE__}.syncthreads_and
#define __syncwarp simt::Site{__FILE__, __LINE__}.syncwarp
#define __threadfence simt::Site{__FILE__, __LINE__}.threadfence
#define __ballot_sync simt::Site{__FILE__, __LINE__}.ballot
#define __any_sync simt::Site{__FILE__, __LINE__}.any
#define __all_sync simt::Site{__FILE__, __LINE__}.all
#define __shfl_sync simt::Site{__FILE__, __LINE__}.shfl
#define __shfl_up_sync simt::Site{__FILE__, __LINE__}.shfl_up
#define __shfl_down_sync simt::Site{__FILE__, __LINE__}.shfl_down
#define __shfl_xor_sync simt::Site{__FILE__, __LINE__}.shfl_xor

template <class T> static inline T __ldg(const T *p) { return *p; }
template <class T> static inline T __ldcg(const T *p) { return *p; }

static inline float __fadd_rn(float a, float b) { return a + b; }
static inline float __fsub_rn(float a, float b) { return a - b; }
static inline float __fmul_rn(float a, float b) { return a * b; }
static inline float __fdiv_rn(float a, float b) { return a / b; }
static inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
static inline float __fsqrt_rn(float a) { return sqrtf(a); }
static inline float __frcp_rn(float a) { return 1.0f / a; }
static inline float rsqrtf(float a) { return 1.0f / sqrtf(a); }
static inline float __saturatef(float a) { return a > 0.0f ? (a < 1.0f ? a : 1.0f) : 0.0f; }

static inline unsigned __umulhi(unsigned a, unsigned b)
{
    return static_cast<unsigned>((static_cast<uint64_t>(a) * b) >> 32);
}
static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b)
{
    return static_cast<unsigned long long>((static_cast<unsigned __int128>(a) * b) >> 64);
}
static inline int __popc(unsigned a) { return __builtin_popcount(a); }
static inline int __clz(int a) { return a ? __builtin_clz(static_cast<unsigned>(a)) : 32; }
static inline int __ffs(int a) { return __builtin_ffs(a); }

template <class To, class From> static inline To simt_bits(From a)
{
    static_assert(sizeof(To) == sizeof(From), "same size");
    To r;
    std::memcpy(&r, &a, sizeof r);
    return r;
}
static inline unsigned __float_as_uint(float a) { return simt_bits<unsigned>(a); }
static inline int __float_as_int(float a) { return simt_bits<int>(a); }
static inline float __uint_as_float(unsigned a) { return simt_bits<float>(a); }
static inline float __int_as_float(int a) { return simt_bits<float>(a); }
static inline float __uint2float_rn(unsigned a) { return static_cast<float>(a); }
static inline float __int2float_rn(int a) { return static_cast<float>(a); }
static inline float __ull2float_rn(unsigned long long a) { return static_cast<float>(a); }

static inline int min(int a, int b) { return a < b ? a : b; }
static inline unsigned min(unsigned a, unsigned b) { return a < b ? a : b; }
static inline long min(long a, long b) { return a < b ? a : b; }
static inline unsigned long min(unsigned long a, unsigned long b) { return a < b ? a : b; }
static inline float min(float a, float b) { return fminf(a, b); }
static inline int max(int a, int b) { return a > b ? a : b; }
static inline unsigned max(unsigned a, unsigned b) { return a > b ? a : b; }
static inline long max(long a, long b) { return a > b ? a : b; }
static inline unsigned long max(unsigned long a, unsigned long b) { return a > b ? a : b; }
static inline float max(float a, float b) { return fmaxf(a, b); }

#endif
