/* The project's own bf16 (kernels/bf16.h), by itself and, where the toolkit's header is, against cuda_bf16.h on the
 * host: all 65536 patterns, and the rounding of floats round every border. */
#include <math.h>

#include "kernels/bf16.h"
#include "support/support.h"

#if QV_TEST_CUDA_BF16
uint16_t qv_cuda_bf16_of(float f);
float qv_cuda_bf16_value(uint16_t bits);
#endif

static float float_of(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static uint32_t bits_of(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

/* Every pattern survives the way there and back; a NaN as a NaN. */
static void all_patterns_survive(void **state)
{
    (void)state;
    for (uint32_t bits = 0; bits < 0x10000; bits++) {
        const qv_bf16 h = {(uint16_t)bits};
        const float f = qv_bf16_value(h);
        assert_int_equal(bits_of(f), bits << 16);
        if (isnan(f))
            assert_true(isnan(qv_bf16_value(qv_bf16_of(f))));
        else
            assert_int_equal(qv_bf16_of(f).bits, bits);
    }
}

/* Between each pattern and the next: below, on and above the middle. On it the even one is taken. */
static void rounds_to_nearest_even(void **state)
{
    (void)state;
    for (uint32_t bits = 0; bits < 0x10000; bits++) {
        if ((bits & 0x7fff) >= 0x7f80) continue; /* infinite, or NaN */
        assert_int_equal(qv_bf16_of(float_of(bits << 16 | 0x7fff)).bits, bits);
        assert_int_equal(qv_bf16_of(float_of(bits << 16 | 0x8000)).bits, bits + (bits & 1));
        assert_int_equal(qv_bf16_of(float_of(bits << 16 | 0x8001)).bits, bits + 1);
    }
}

static void agrees_with_the_toolkit(void **state)
{
    (void)state;
#if QV_TEST_CUDA_BF16
    uint64_t rng = qv_test_seed();
    for (uint32_t bits = 0; bits < 0x10000; bits++) {
        const float value = qv_bf16_value((qv_bf16){(uint16_t)bits}), theirs = qv_cuda_bf16_value((uint16_t)bits);
        assert_int_equal(bits_of(value), bits_of(theirs));
        const uint32_t low[] = {0, 1, 0x7fff, 0x8000, 0x8001, 0xffff, (uint32_t)(qv_test_next(&rng) & 0xffff)};
        for (size_t i = 0; i < sizeof low / sizeof *low; i++) {
            const float f = float_of(bits << 16 | low[i]);
            assert_int_equal(qv_bf16_of(f).bits, qv_cuda_bf16_of(f));
        }
    }
#else
    print_message("SKIPPED: no CUDA toolkit, so no cuda_bf16.h to compare with\n");
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_patterns_survive),
        cmocka_unit_test(rounds_to_nearest_even),
        cmocka_unit_test(agrees_with_the_toolkit),
    };
    return cmocka_run_group_tests_name("bf16", tests, NULL, NULL);
}
