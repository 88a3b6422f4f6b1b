/* Sizes up to a border. */
#ifndef QV_BASE_ROUND_H
#define QV_BASE_ROUND_H

#include <stddef.h>

/* The first multiple of `to` from n on. */
static inline size_t qv_round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

#endif
