/* The beta distribution against closed forms and exact sums. */
#include <math.h>

#include "base/beta.h"
#include "support/support.h"

static void cdf_has_closed_forms(void **state)
{
    (void)state;
    for (int i = 0; i <= 20; i++) {
        double x = i / 20.0, pi = acos(-1);
        assert_true(fabs(qv_beta_inc(1, 1, x) - x) <= 1e-14);
        assert_true(fabs(qv_beta_inc(2, 2, x) - x * x * (3 - 2 * x)) <= 1e-14);
        assert_true(fabs(qv_beta_inc(0.5, 0.5, x) - 2 / pi * asin(sqrt(x))) <= 1e-14);
        assert_true(fabs(qv_beta_inc(3, 1, x) - x * x * x) <= 1e-14);
        assert_true(fabs(qv_beta_inc(0.3, 4, x) + qv_beta_inc(4, 0.3, 1 - x) - 1) <= 1e-13);
    }
}

/* I_x(a, b) = sum of C(n, j) x^j (1 - x)^(n - j) over j from a to n = a + b - 1, in whole numbers: x is a fraction. */
static void large_parameters_are_as_near_as_is_said(void **state)
{
    (void)state;
    static const struct {
        double a, b, x, want, error;
    } cases[] = {{300, 200, 77 / 128.0, 0.5260026524738405, 1e-12},
                 {40, 300, 1 / 8.0, 0.6757851345429209, 1e-12},
                 {2500, 7500, 1 / 4.0, 0.5015355537184181, 5e-11},
                 {9000, 1000, 115 / 128.0, 0.298988871436614, 5e-11},
                 {10000, 5000, 85 / 128.0, 0.24900596622850715, 5e-11},
                 {100, 10000, 3 / 256.0, 0.9621581145388929, 5e-11},
                 {10000, 10000, 33 / 64.0, 0.9999950750312212, 5e-11}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_true(fabs(qv_beta_inc(cases[i].a, cases[i].b, cases[i].x) - cases[i].want) <= cases[i].error);
    for (double a = 0.1; a <= 1e4; a *= 1.01)
        assert_true(fabs(qv_beta_inc(a, a, 0.5) - 0.5) <= (a <= 300 ? 1e-12 : 5e-11));
}

static void quantile_is_the_inverse(void **state)
{
    (void)state;
    for (int i = 1; i < 40; i++) {
        double p = i / 40.0;
        assert_true(fabs(qv_beta_quantile(1, 1, p) - p) <= 1e-14);
        assert_true(fabs(qv_beta_inc(0.4, 0.4, qv_beta_quantile(0.4, 0.4, p)) - p) <= 1e-12);
        assert_true(fabs(qv_beta_quantile(0.4, 0.4, p) + qv_beta_quantile(0.4, 0.4, 1 - p) - 1) <= 1e-12);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(cdf_has_closed_forms),
                                       cmocka_unit_test(large_parameters_are_as_near_as_is_said),
                                       cmocka_unit_test(quantile_is_the_inverse)};
    return cmocka_run_group_tests_name("beta", tests, NULL, NULL);
}
