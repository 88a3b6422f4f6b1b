/* `quaver selftest --device cuda` on the emulation: small cases only, in every precision.
 *
 * test_selftest [fp32|tf32|bf16] [all]: one precision; all cases, which takes minutes. */
#include "selftest/selftest.h"
#include "support/support.h"

static struct {
    const char *precision;
    bool all;
} choice;

/* Longer operands take minutes under the emulation; every path of a kernel is taken by shorter ones. */
enum { SMALL = 4096 };

static void print_row(void *user, const qv_selftest_row *r)
{
    const qv_verdict *v = &r->worst;
    const char *precision = user;
    if (r->failed == 0 && !choice.precision) return;
    print_message("%s %-8s %-22s %4zu cases %6.1f %% %s %s\n", precision, r->part, r->name, r->cases, 100 * v->share,
                  r->what, r->trouble);
    if (r->failed)
        print_error("    OUTSIDE: output %d element %zu: got %.9g, reference %.17g, allowed +-%.3g\n", v->output, v->at,
                    v->got, v->want, v->bound);
}

static void passes_in(void **state)
{
    char *precision = *state;
    if (choice.precision && strcmp(choice.precision, precision) != 0) return;
    qv_ctx *ctx = qv_test_ctx();
    qv_settings s;
    qv_selftest_result result;
    qv_assert_ok(ctx, qv_settings_init(ctx, &s));
    qv_assert_ok(ctx, qv_settings_set(ctx, &s, "run.device", "cuda"));
    qv_assert_ok(ctx, qv_settings_set(ctx, &s, "run.precision", precision));
    s.threads = 1;
    qv_selftest_options o = {.settings = &s,
                             .seed = qv_test_seed(),
                             .limit = choice.all ? 0 : SMALL,
                             .on_row = print_row,
                             .user = precision};
    qv_assert_ok(ctx, qv_selftest(ctx, &o, &result));
    print_message("%s: %s, %zu of %zu cases outside\n", precision, result.device, result.failed, result.cases);
    assert_true(result.cases > 1000);
    assert_int_equal(result.failed, 0);
    qv_settings_free(&s);
    qv_ctx_free(ctx);
}

int main(int argc, char **argv)
{
    if (argc > 1) choice.precision = argv[1];
    choice.all = argc > 2 && strcmp(argv[2], "all") == 0;
    static char fp32[] = "fp32", tf32[] = "tf32", bf16[] = "bf16";
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(passes_in, fp32),
        cmocka_unit_test_prestate(passes_in, tf32),
        cmocka_unit_test_prestate(passes_in, bf16),
    };
    return cmocka_run_group_tests_name("selftest on the emulation", tests, NULL, NULL);
}
