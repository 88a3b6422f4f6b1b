/* Random numbers for made-up data (SplitMix64; Steele, Lea, Flood 2014). What a training draws comes from Philox. */
#ifndef QV_BASE_RANDOM_H
#define QV_BASE_RANDOM_H

#include <stdint.h>

/* Next of the sequence that starts with *state. */
uint64_t qv_random_next(uint64_t *state);
/* In [low, high). */
double qv_random_uniform(uint64_t *state, double low, double high);
/* Mean 0, deviation 1. */
double qv_random_normal(uint64_t *state);

#endif
