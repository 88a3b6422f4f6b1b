#include "base/random.h"

#include <math.h>

uint64_t qv_random_next(uint64_t *state)
{
    uint64_t z = (*state += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

double qv_random_uniform(uint64_t *state, double low, double high)
{
    return low + (high - low) * (double)(qv_random_next(state) >> 11) * 0x1p-53;
}

double qv_random_normal(uint64_t *state)
{
    double u = 1.0 - qv_random_uniform(state, 0, 1);
    double v = qv_random_uniform(state, 0, 1);
    return sqrt(-2 * log(u)) * cos(6.283185307179586 * v);
}
