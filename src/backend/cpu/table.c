/* The CPU backend's table: the reference in float, its rows replaced by what this processor does best. */
#include <string.h>

#include "backend/cpu/cpu.h"

const qv_isa *qv_isa_best(const char *max_isa)
{
#if QV_X86
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                  __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
    if (max_isa && strcmp(max_isa, "avx512") != 0) avx512 = false;
    if (max_isa && strcmp(max_isa, "base") == 0) avx2 = false;
    if (avx512) return &qv_isa_avx512;
    if (avx2) return &qv_isa_avx2;
#endif
    (void)max_isa;
    return &qv_isa_base;
}

void qv_cpu_ops(qv_op_fn table[QV_OP_COUNT], const char *max_isa, const char **isa)
{
    const qv_isa *best = qv_isa_best(max_isa);
    for (int i = 0; i < QV_OP_COUNT; i++) table[i] = best->ops[i] ? best->ops[i] : qv_ref32_ops[i];
    table[QV_OP_CONV] = table[QV_OP_CONV_GRAD_X] = table[QV_OP_CONV_GRAD_W] = qv_cpu_conv;
    if (isa) *isa = best->name;
}
