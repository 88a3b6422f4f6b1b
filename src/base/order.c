#include "base/order.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void qv_sort(double *x, size_t n) { qsort(x, n, sizeof *x, ascending); }

double qv_quantile(const double *sorted, size_t n, double share)
{
    double at = share * (double)(n - 1), below = sorted[(size_t)floor(at)], above = sorted[(size_t)ceil(at)];
    return below + (at - floor(at)) * (above - below);
}

int qv_by_text(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }
