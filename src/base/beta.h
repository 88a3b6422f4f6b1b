/* The beta distribution. */
#ifndef QV_BASE_BETA_H
#define QV_BASE_BETA_H

/* Regularized incomplete beta function I_x(a, b): the probability that Beta(a, b) is at most x.
 * a, b > 0, x in [0, 1]. Continued fraction 26.5.8 of Abramowitz and Stegun, evaluated by Lentz's method; absolute
 * error below 1e-12 for a, b up to 300, and below 5e-11 up to 1e4: large logarithms of gamma are rounded. */
double qv_beta_inc(double a, double b, double x);

/* The x with I_x(a, b) = p, to within 2^-52. */
double qv_beta_quantile(double a, double b, double p);

#endif
