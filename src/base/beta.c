#include "base/beta.h"

#include <float.h>
#include <math.h>

static double beta_fraction(double a, double b, double x)
{
    enum { MOST_TERMS = 100000 };
    const double tiny = 1e-300;
    double c = 1, d = 1 - (a + b) * x / (a + 1);
    d = 1 / (fabs(d) < tiny ? tiny : d);
    double h = d;
    for (int m = 1; m < MOST_TERMS; m++) {
        double factor = 1;
        for (int odd = 0; odd < 2; odd++) {
            double num = odd ? -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
                             : m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
            d = 1 + num * d;
            c = 1 + num / c;
            d = 1 / (fabs(d) < tiny ? tiny : d);
            c = fabs(c) < tiny ? tiny : c;
            factor = d * c;
            h *= factor;
        }
        if (fabs(factor - 1) < 4 * DBL_EPSILON) break;
    }
    return h;
}

double qv_beta_inc(double a, double b, double x)
{
    if (!(x > 0)) return isnan(x) ? NAN : 0;
    if (x >= 1) return 1;
    double front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x));
    if (x < (a + 1) / (a + b + 2)) return front * beta_fraction(a, b, x) / a;
    return 1 - front * beta_fraction(b, a, 1 - x) / b;
}

double qv_beta_quantile(double a, double b, double p)
{
    double low = 0, high = 1;
    while (high - low > 0x1p-52) {
        double middle = 0.5 * (low + high);
        if (qv_beta_inc(a, b, middle) < p)
            low = middle;
        else
            high = middle;
    }
    return 0.5 * (low + high);
}
