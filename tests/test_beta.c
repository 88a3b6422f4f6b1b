/* The beta distribution against closed forms. */
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
                                       cmocka_unit_test(quantile_is_the_inverse)};
    return cmocka_run_group_tests_name("beta", tests, NULL, NULL);
}
