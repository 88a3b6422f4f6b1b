/* The toolkit's bf16 on the host, for tests/test_bf16.c. */
#include <cstdint>
#include <cstring>
#include <cuda_bf16.h>

extern "C" std::uint16_t qv_cuda_bf16_of(float f)
{
    const __nv_bfloat16_raw raw = __float2bfloat16_rn(f);
    return raw.x;
}

extern "C" float qv_cuda_bf16_value(std::uint16_t bits)
{
    __nv_bfloat16_raw raw;
    raw.x = bits;
    return __bfloat162float(raw);
}
