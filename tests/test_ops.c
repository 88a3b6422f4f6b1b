/* Every op of ops.def on every backend of the host, against the reference in double. QV_OPS: names of ops, between commas;
 * only these. */
#define _GNU_SOURCE /* RTLD_DEFAULT */
#include <dlfcn.h>

#include "support/op_check.h"
#include "support/support.h"

static void check(const qv_op_runner *r, int begin, int end)
{
    int failed = 0;
    for (int kind = begin; kind < end; kind++) {
        int cases;
        if (!qv_test_wants_op(qv_op_info_of((qv_op_kind)kind).name)) continue;
        failed += qv_op_check(r, (qv_op_kind)kind, qv_test_seed(), &cases);
        assert_true(cases > 0);
    }
    assert_int_equal(failed, 0);
}

static void check_all(const qv_op_runner *r) { check(r, 0, QV_OP_COUNT); }

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
            char name[128];
            qv_pool *pool;
            snprintf(name, sizeof name, "cpu %s, %s, %d threads", isa, qv_cpu_conv_name().text, threads);
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

/* The direct convolutions, also where Winograd's are taken else: the library's, and the own ones with AVX2. */
static void direct_convolutions(void **state)
{
    (void)state;
    static const char *const sets[] = {NULL, "avx2"};
    qv_ctx *ctx = qv_test_ctx();
    qv_pool *pool;
    qv_assert_ok(ctx, qv_pool_new(ctx, &pool, 2));
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        qv_op_fn table[QV_OP_COUNT];
        qv_cpu_ops(table, sets[i], NULL);
        check(&(qv_op_runner){.name = sets[i] ? "cpu avx2, direct" : "cpu, direct", .table = table, .pool = pool, .large = true,
                              .cpu = &(qv_cpu_options){.isa = sets[i], .threads = 2, .direct = true}},
              QV_OP_CONV, QV_OP_CONV_GRAD_W + 1);
    }
    qv_pool_free(pool);
    qv_ctx_free(ctx);
}

/* A problem's operands in float. */
static qv_tensor in_float(const qv_tensor *t)
{
    qv_tensor f = *t;
    const double *from = t->data;
    float *to = calloc(qv_tensor_len(t) + 1, sizeof *to);
    assert_non_null(to);
    for (size_t i = 0; from && i < qv_tensor_len(t); i++) to[i] = (float)from[i];
    f.data = to;
    return f;
}

/* What the convolution gives with o->threads threads. */
static float *convolve(qv_ctx *ctx, const qv_problem *p, const qv_cpu_options *o)
{
    qv_tensor in[QV_MAX_IN] = {in_float(&p->in[0]), in_float(&p->in[1])}, out[QV_MAX_OUT] = {in_float(&p->out[0])};
    qv_call call = {.op = &p->op, .in = in, .out = out};
    qv_op_fn table[QV_OP_COUNT];
    qv_pool *pool;
    size_t need;
    qv_cpu_ops(table, NULL, NULL);
    qv_assert_ok(ctx, qv_pool_new(ctx, &pool, o->threads));
    qv_assert_ok(ctx, qv_cpu_plan(ctx, &p->op, in, out, o, &call.plan, &need));
    call.pool = pool;
    call.scratch = aligned_alloc(64, (need / 64 + 1) * 64);
    assert_non_null(call.scratch);
    assert_int_equal(table[p->op.kind](&call, NULL), 0);
    qv_cpu_plan_free(call.plan);
    qv_pool_free(pool);
    free(call.scratch), free(in[0].data), free(in[1].data);
    return out[0].data;
}

static void compare_threads(qv_ctx *ctx, int kind, qv_cpu_options o,
                            bool (*is_own)(const qv_cpu_options *, const qv_op *, const qv_tensor *, const qv_tensor *))
{
    qv_problem p;
    int compared = 0;
    for (size_t i = 0; qv_problem_make(&p, (qv_op_kind)kind, i, qv_test_seed()); i++) {
        if (!p.exact && is_own(&o, &p.op, p.in, p.out)) {
            o.threads = 1;
            float *one = convolve(ctx, &p, &o);
            o.threads = 5;
            float *five = convolve(ctx, &p, &o);
            assert_memory_equal(one, five, qv_tensor_len(&p.out[0]) * sizeof *one);
            free(one), free(five);
            compared++;
        }
        qv_problem_free(&p);
    }
    assert_true(compared >= 5);
}

static void own_convolutions_do_not_depend_on_threads(void **state)
{
    (void)state;
    if (!qv_test_wants_op("conv")) skip();
    qv_ctx *ctx = qv_test_ctx();
    for (int kind = QV_OP_CONV; kind <= QV_OP_CONV_GRAD_W; kind++) {
        compare_threads(ctx, kind, (qv_cpu_options){0}, qv_takes_winograd);
        compare_threads(ctx, kind, (qv_cpu_options){.isa = "avx2", .direct = true}, qv_takes_strips);
    }
    qv_ctx_free(ctx);
}

/* Whoever uses the library may have OpenMP code of its own; ours must not change how many threads that has. */
static void openmp_is_left_as_it_was(void **state)
{
    (void)state;
    int (*threads)(void);
    void (*set)(int);
    *(void **)&threads = dlsym(RTLD_DEFAULT, "omp_get_max_threads");
    *(void **)&set = dlsym(RTLD_DEFAULT, "omp_set_num_threads");
    if (!threads || !set) {
        print_message("SKIPPED: nobody here uses OpenMP, so that nothing can be left as it was\n");
        skip();
    }
    qv_ctx *ctx = qv_test_ctx();
    qv_problem p;
    set(3);
    const qv_cpu_options o = {.threads = 2, .direct = true};
    size_t planned = 0;
    for (size_t i = 0; qv_problem_make(&p, QV_OP_CONV_GRAD_W, i, qv_test_seed()); i++) {
        if (!qv_takes_strips(&o, &p.op, p.in, p.out) && planned++ < 10) { /* what the library does */
            free(convolve(ctx, &p, &o));
            assert_int_equal(threads(), 3);
        }
        qv_problem_free(&p);
    }
    assert_true(planned > 0);
    qv_ctx_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reference_in_double),
        cmocka_unit_test(reference_in_float),
        cmocka_unit_test(cpu),
        cmocka_unit_test(direct_convolutions),
        cmocka_unit_test(own_convolutions_do_not_depend_on_threads),
        cmocka_unit_test(openmp_is_left_as_it_was),
    };
    return cmocka_run_group_tests_name("ops", tests, NULL, NULL);
}
