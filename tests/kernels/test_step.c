/* The kernels of a training step that are no ops: from one width of numbers to the other, and on to the next step. On
 * whatever implements the CUDA runtime, as test_kernels.c. */
#include <cuda_runtime_api.h>
#include <math.h>

#include "kernels/bf16.h"
#include "kernels/geometry.h"
#include "kernels/step.h"
#include "support/support.h"
#include "device.h"

enum { MOST = 8 * 4096 + 5, GUARD = 8 };

/* Numbers of all sizes and signs, and those that are none. */
static void fill(float *x, size_t n)
{
    static const float odd[] = {0, -0.0f, INFINITY, -INFINITY, NAN, 0x1p-149f, 0x1.fffffep127f, 0x1.01p0f, 0x1.03p0f};
    uint64_t rng = qv_test_seed();
    for (size_t i = 0; i < n; i++)
        x[i] = i < sizeof odd / sizeof *odd ? odd[i] : (float)ldexp(qv_test_normal(&rng), (int)(i % 200) - 100);
}

/* Both ways, from and to `skew` elements behind a border of 16 bytes; what lies round the result must stay. */
static void converts(size_t n, size_t from_skew, size_t to_skew)
{
    static float wide[MOST], back[MOST + GUARD];
    static qv_bf16 narrow[MOST + GUARD];
    const size_t room = n + GUARD;
    float *from = device_alloc((from_skew + n) * sizeof *from), *again = device_alloc((from_skew + room) * sizeof *again);
    uint16_t *to = device_alloc((to_skew + room) * sizeof *to);
    fill(wide, n);
    check(cudaMemcpy(from + from_skew, wide, n * sizeof *wide, cudaMemcpyDefault));
    check(cudaMemset(to, 0xAA, (to_skew + room) * sizeof *to));
    check(cudaMemset(again, 0xAA, (from_skew + room) * sizeof *again));
    assert_int_equal(qv_cuda_to_bf16(from + from_skew, to + to_skew, n, NULL), 0);
    assert_int_equal(qv_cuda_from_bf16(to + to_skew, again + from_skew, n, NULL), 0);
    check(cudaMemcpy(narrow, to + to_skew, room * sizeof *narrow, cudaMemcpyDefault));
    check(cudaMemcpy(back, again + from_skew, room * sizeof *back, cudaMemcpyDefault));
    for (size_t i = 0; i < n; i++) {
        const qv_bf16 want = qv_bf16_of(wide[i]);
        const float value = qv_bf16_value(want);
        if (narrow[i].bits != want.bits || memcmp(&back[i], &value, sizeof value) != 0)
            fail_msg("element %zu of %zu, %zu and %zu off: %a became %04x and %a", i, n, from_skew, to_skew,
                     (double)wide[i], narrow[i].bits, (double)back[i]);
    }
    for (size_t i = n; i < room; i++) {
        uint32_t bits;
        memcpy(&bits, &back[i], sizeof bits);
        assert_true(narrow[i].bits == 0xAAAA && bits == 0xAAAAAAAA);
    }
    device_free(from);
    device_free(again);
    device_free(to);
}

static void widths_of_numbers_at_any_alignment(void **state)
{
    (void)state;
    static const size_t lengths[] = {1, 7, 8, 9, 256, 2047, MOST};
    static const size_t skews[][2] = {{0, 0}, {1, 0}, {0, 1}, {3, 5}};
    for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++)
        for (size_t s = 0; s < sizeof skews / sizeof *skews; s++) converts(lengths[k], skews[s][0], skews[s][1]);
    assert_int_equal(qv_cuda_to_bf16(NULL, NULL, 0, NULL), QV_REFUSED);
    assert_int_equal(qv_cuda_from_bf16(NULL, NULL, 0, NULL), QV_REFUSED);
}

/* Also past 2^32 steps, and round the end of the ring and of the rates. */
static void a_step_is_kept_and_the_next_one_begins(void **state)
{
    (void)state;
    enum { RING = 5, RATES = 3 };
    static const uint64_t steps[] = {0, 1, 4, 5, 14, (UINT64_C(1) << 32) + 7};
    const float loss[] = {1.5f, -2}, rates[RATES] = {0.5f, 0.25f, 0.125f};
    float ring[RING][2], *on_loss = device_alloc(sizeof loss), *on_rates = device_alloc(sizeof rates),
                         *on_ring = device_alloc(sizeof ring);
    qv_step_state *on_state = device_alloc(sizeof *on_state);
    check(cudaMemcpy(on_loss, loss, sizeof loss, cudaMemcpyDefault));
    check(cudaMemcpy(on_rates, rates, sizeof rates, cudaMemcpyDefault));
    for (size_t k = 0; k < sizeof steps / sizeof *steps; k++) {
        qv_step_state s = {.key = {1, 2}, .step = steps[k], .set_size = 3, .batch = 4, .first = 5, .lr = 9}, then = s;
        check(cudaMemset(on_ring, 0, sizeof ring));
        check(cudaMemcpy(on_state, &s, sizeof s, cudaMemcpyDefault));
        assert_int_equal(qv_cuda_advance(on_state, on_loss, on_ring, RING, on_rates, RATES, NULL), 0);
        check(cudaMemcpy(&s, on_state, sizeof s, cudaMemcpyDefault));
        check(cudaMemcpy(ring, on_ring, sizeof ring, cudaMemcpyDefault));
        then.step++;
        then.lr = rates[then.step % RATES];
        assert_memory_equal(&s, &then, sizeof s);
        for (uint64_t i = 0; i < RING; i++)
            for (int j = 0; j < 2; j++) assert_true(ring[i][j] == (i == steps[k] % RING ? loss[j] : 0));
    }
    assert_int_equal(qv_cuda_advance(on_state, on_loss, on_ring, 0, on_rates, RATES, NULL), QV_REFUSED);
    assert_int_equal(qv_cuda_advance(on_state, on_loss, on_ring, RING, on_rates, 0, NULL), QV_REFUSED);
    device_free(on_loss);
    device_free(on_rates);
    device_free(on_ring);
    device_free(on_state);
}

int main(void)
{
    if (!device_there()) return 0;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(widths_of_numbers_at_any_alignment),
        cmocka_unit_test(a_step_is_kept_and_the_next_one_begins),
    };
    return cmocka_run_group_tests_name("step", tests, NULL, NULL);
}
