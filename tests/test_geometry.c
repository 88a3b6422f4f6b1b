/* How the kernels deal rows and find elements (kernels/geometry.h), also far beyond what a test could allocate. */
#include "kernels/geometry.h"
#include "support/support.h"

/* Every row and vector belongs to exactly one thread of the grid, which the device can launch. */
static void assert_covers(const qv_rows *g, uint64_t rows, uint32_t vectors)
{
    assert_true(g->rows == rows && g->vectors == vectors);
    assert_true(g->width >= 1 && g->lanes >= 1 && g->lanes <= rows);
    assert_true(g->threads % 32 == 0 && g->threads <= QV_BLOCK);
    assert_true(g->threads >= g->width * g->lanes && g->threads < g->width * g->lanes + 32);
    assert_true(g->chunk % g->lanes == 0);
    assert_true(g->blocks >= 1 && g->blocks <= QV_GRID_X);
    assert_true((uint64_t)g->blocks * g->chunk >= rows && (uint64_t)(g->blocks - 1) * g->chunk < rows);
    assert_true(g->columns >= 1 && g->columns <= QV_GRID_Y);
    assert_true((uint64_t)g->columns * g->width >= vectors && (uint64_t)(g->columns - 1) * g->width < vectors);
}

static void rows_are_dealt_without_rest(void **state)
{
    (void)state;
    const uint64_t rows[] = {1, 2, 31, 32, 33, 255, 256, 257, 4096, 65537, (1u << 31) - 1, 1ull << 31, 1ull << 32, (1ull << 40) + 7};
    const uint32_t vectors[] = {1, 2, 3, 7, 8, 31, 32, 33, 129, 255, 256, 257, 1000, QV_GRID_Y * QV_BLOCK};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (size_t k = 0; k < sizeof vectors / sizeof *vectors; k++) {
            qv_rows pass = qv_pass_rows(rows[i], vectors[k]), sums = qv_sums_rows(rows[i], vectors[k]);
            assert_covers(&pass, rows[i], vectors[k]);
            assert_covers(&sums, rows[i], vectors[k]);
            assert_true(sums.blocks <= QV_SUM_BLOCKS);
        }
    }
}

static void one_block_takes_all_rows(void **state)
{
    (void)state;
    for (uint32_t blocks = 1; blocks <= 1024; blocks += 31) {
        qv_rows merge = qv_merge_rows(blocks, 100), pool = qv_pool_rows(blocks, 132, 4);
        const uint32_t many = QV_GRID_Y * 4 + 1;
        const qv_rows wide = qv_merge_rows(blocks, many);
        assert_covers(&merge, blocks, 100);
        assert_covers(&wide, blocks, many);
        assert_covers(&pool, blocks, 33);
        assert_int_equal(merge.blocks, 1);
        assert_int_equal(pool.blocks, 1);
    }
}

/* More columns of blocks than a grid has: said by 0, not by a wrong number. */
static void too_many_channels_are_told(void **state)
{
    (void)state;
    assert_int_equal(qv_pass_rows(1, QV_GRID_Y * QV_BLOCK + 1).columns, 0);
    assert_int_equal(qv_merge_rows(4, QV_GRID_Y * QV_BLOCK + 1).columns, 0);
}

static void offsets_do_not_wrap(void **state)
{
    (void)state;
    assert_true(qv_offset(1ull << 31, 64, 15, 4) == (1ull << 37) + 60);
    assert_true(qv_offset((1ull << 31) + 1, 33, 32, 1) == 33ull * ((1ull << 31) + 1) + 32);
    assert_true(qv_offset(3, UINT32_MAX, 0x40000000u, 4) == 3ull * UINT32_MAX + (1ull << 32));
    assert_true(qv_flat_blocks((1ull << 33) + 1, 4) == (1ull << 21) + 1);
    assert_true(qv_flat_blocks(4096, 4) == 1 && qv_flat_blocks(4097, 4) == 2 && qv_flat_blocks(1, 1) == 1);
}

/* Steps against divisions, from rows of which the last lie beyond 2^32. */
static void walk_agrees_with_division(void **state)
{
    (void)state;
    static const struct {
        int32_t h, w, bands;
    } planes[] = {{1, 1, 1}, {1, 3, 4}, {7, 5, 2}, {64, 64, 4}, {1, 65536, 256}, {46340, 46340, 1}, {1, INT32_MAX, 1}};
    const uint64_t starts[] = {0, 5, (1ull << 31) - 100, (1ull << 33) + 12345};
    const uint32_t lanes[] = {1, 7, 64, 256};
    for (size_t i = 0; i < sizeof planes / sizeof *planes; i++) {
        for (size_t k = 0; k < 16; k++) {
            uint64_t row = starts[k % 4];
            qv_plane g = qv_plane_of(planes[i].h, planes[i].w, planes[i].bands, lanes[k / 4]);
            uint64_t w = (uint64_t)planes[i].w, hw = (uint64_t)planes[i].h * w, bands = (uint64_t)planes[i].bands;
            if (row / hw > INT32_MAX - 1000000) continue; /* more samples than a tensor can have */
            qv_spot s = qv_spot_of(&g, row);
            for (int step = 0; step < 2000; step++, row += lanes[k / 4], qv_spot_step(&g, &s)) {
                assert_true(s.n == row / hw && s.p == row % hw && s.q == row % w);
                assert_true(qv_spot_band(&g, &s) == row / hw * bands + row % w * bands / w);
            }
        }
    }
}

static void planes_that_overflow_are_refused(void **state)
{
    (void)state;
    assert_true(qv_plane_fits(1, INT32_MAX, 1) && qv_plane_fits(64, 64, 256));
    assert_false(qv_plane_fits(65536, 32768, 1));
    assert_false(qv_plane_fits(1, 1 << 24, 256));
    assert_false(qv_plane_fits(0, 4, 1) || qv_plane_fits(4, 0, 1) || qv_plane_fits(4, 4, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_dealt_without_rest), cmocka_unit_test(one_block_takes_all_rows),
        cmocka_unit_test(too_many_channels_are_told),  cmocka_unit_test(offsets_do_not_wrap),
        cmocka_unit_test(walk_agrees_with_division),   cmocka_unit_test(planes_that_overflow_are_refused),
    };
    return cmocka_run_group_tests_name("geometry", tests, NULL, NULL);
}
