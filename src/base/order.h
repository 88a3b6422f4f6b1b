/* Order: of numbers and their statistics, of texts. */
#ifndef QV_BASE_ORDER_H
#define QV_BASE_ORDER_H

#include <stddef.h>

/* Ascending; no NaN among them. */
void qv_sort(double *x, size_t n);

/* The value below which a share in [0, 1] of n >= 1 sorted values lies, linear between the two nearest. */
double qv_quantile(const double *sorted, size_t n, double share);

/* Byte by byte, for qsort and bsearch over an array of char *. */
int qv_by_text(const void *a, const void *b);

#endif
