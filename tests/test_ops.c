/* Every op of ops.def on every backend of the host, against the reference in double. */
#include "support/op_check.h"
#include "support/support.h"

static void check_all(const qv_op_runner *r)
{
    int failed = 0;
    for (int kind = 0; kind < QV_OP_COUNT; kind++) {
        int cases;
        failed += qv_op_check(r, (qv_op_kind)kind, qv_test_seed(), &cases);
        assert_true(cases > 0);
    }
    assert_int_equal(failed, 0);
}

static void reference_in_double(void **state)
{
    (void)state;
    check_all(&(qv_op_runner){.name = "ref", .table = qv_ref_ops, .f64 = true});
}

static void reference_in_float(void **state)
{
    (void)state;
    check_all(&(qv_op_runner){.name = "ref32", .table = qv_ref32_ops});
}

/* Every instruction set that this processor has, with one thread and with a number that cuts rows unevenly. */
static void cpu(void **state)
{
    (void)state;
    static const char *const sets[] = {"base", "avx2", "avx512"};
    qv_ctx *ctx = qv_test_ctx();
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        qv_op_fn table[QV_OP_COUNT];
        const char *isa;
        qv_cpu_ops(table, sets[i], &isa);
        if (strcmp(isa, sets[i]) != 0) {
            print_message("SKIPPED: this processor has no %s\n", sets[i]);
            continue;
        }
        for (int threads = 1; threads <= 3; threads += 2) {
            char name[64];
            qv_pool *pool;
            snprintf(name, sizeof name, "cpu %s, %s, %d threads", isa, qv_cpu_conv_name(), threads);
            qv_assert_ok(ctx, qv_pool_new(ctx, &pool, threads));
            check_all(&(qv_op_runner){.name = name,
                                      .table = table,
                                      .pool = pool,
                                      .large = threads > 1,
                                      .cpu = &(qv_cpu_options){.isa = sets[i], .threads = threads}});
            qv_pool_free(pool);
        }
    }
    qv_ctx_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reference_in_double),
        cmocka_unit_test(reference_in_float),
        cmocka_unit_test(cpu),
    };
    return cmocka_run_group_tests_name("ops", tests, NULL, NULL);
}
