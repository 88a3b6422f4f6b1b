/* Measures of symmetry on arrangements whose answers are known. */
#include <math.h>

#include "study/symmetry.h"
#include "support/support.h"

enum { MOST = 600 };
static const double turn = 6.283185307179586;

typedef struct cloud {
    double e[MOST * 3];
    int labels[MOST];
    size_t n, dims;
    int classes;
} cloud;

static void add(cloud *c, int label, const double *e)
{
    for (size_t k = 0; k < c->dims; k++) c->e[c->n * c->dims + k] = e[k];
    c->labels[c->n++] = label;
}

static qv_symmetry measured(const cloud *c)
{
    qv_ctx *ctx = qv_test_ctx();
    qv_symmetry s;
    qv_assert_ok(ctx, qv_symmetry_measure(ctx, &s, c->e, c->labels, c->n, c->dims, c->classes));
    qv_ctx_free(ctx);
    return s;
}

/* Two embeddings a class, `apart` turns to either side of its direction, at radius 2. */
static cloud polygon(int classes, double apart, double shift)
{
    cloud c = {.dims = 2, .classes = classes};
    for (int k = 0; k < classes; k++)
        for (int side = -1; side <= 1; side += 2) {
            double at = turn * ((double)k / classes + side * apart);
            add(&c, k, (double[]){2 * cos(at) + shift, 2 * sin(at)});
        }
    return c;
}

static void a_polygon_is_even_in_the_plane(void **state)
{
    (void)state;
    for (int classes = 3; classes <= 8; classes++) {
        cloud c = polygon(classes, 0.01, 0);
        qv_symmetry s = measured(&c);
        assert_true(s.centre < 1e-12 && s.origin.off_ideal < 1e-6 && s.mean.off_ideal < 1e-6);
        assert_true(fabs(s.origin.nearest - 360.0 / classes) < 1e-6);
        assert_true(fabs(s.spread - 3.6) < 1e-6);
        assert_true(fabs(s.margin - (360.0 / classes - 7.2)) < 1e-6);
    }
}

/* Seen from their own mean the classes stay where they were; from the origin they do not. */
static void a_shift_is_seen_from_the_origin_alone(void **state)
{
    (void)state;
    cloud c = polygon(5, 0, 10);
    qv_symmetry s = measured(&c);
    assert_true(s.mean.off_ideal < 1e-6 && fabs(s.mean.nearest - 72) < 1e-6);
    assert_true(s.origin.off_ideal > 30 && s.origin.nearest < 72 && s.centre > 0.9);
}

static void a_simplex_is_even_in_space(void **state)
{
    (void)state;
    static const double corners[4][3] = {{1, 1, 1}, {1, -1, -1}, {-1, 1, -1}, {-1, -1, 1}};
    cloud c = {.dims = 3, .classes = 4};
    for (int k = 0; k < 4; k++) add(&c, k, corners[k]);
    qv_symmetry s = measured(&c);
    assert_true(s.origin.off_ideal < 1e-6 && fabs(s.origin.nearest - 109.47122063449069) < 1e-9 && s.spread < 1e-6);
    c.e[0] = 3; /* one corner off */
    s = measured(&c);
    assert_true(s.origin.off_ideal > 5);
}

/* A hair's turn of one class turns one gap up and one down by as much. */
static void an_uneven_polygon_is_off_by_its_gaps(void **state)
{
    (void)state;
    cloud c = {.dims = 2, .classes = 4};
    const double at[] = {0, 100, 180, 270};
    for (int k = 0; k < 4; k++) add(&c, 3 - k, (double[]){cos(at[k] * turn / 360), sin(at[k] * turn / 360)});
    qv_symmetry s = measured(&c);
    assert_true(fabs(s.origin.off_ideal - sqrt(200.0 / 4)) < 1e-6);
    assert_true(fabs(s.origin.nearest - 80) < 1e-6 && fabs(s.margin - 80) < 1e-6);
}

static void what_has_no_meaning_is_nan(void **state)
{
    (void)state;
    cloud c = polygon(3, 0, 0);
    c.classes = 4; /* one without embeddings */
    qv_symmetry s = measured(&c);
    assert_true(isnan(s.origin.off_ideal) && isnan(s.origin.nearest) && isnan(s.spread) && isnan(s.margin));
    cloud between = {.dims = 3, .classes = 6};
    for (int k = 0; k < 6; k++) add(&between, k, (double[]){k == 0, k == 1 || k == 3, k == 2 || k >= 4 ? k : 0});
    assert_true(isnan(measured(&between).origin.off_ideal)); /* six classes in three dimensions */
    cloud zero = {.dims = 2, .classes = 2};
    add(&zero, 0, (double[]){0, 0});
    add(&zero, 1, (double[]){1, 0});
    assert_true(isnan(measured(&zero).origin.nearest));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_polygon_is_even_in_the_plane), cmocka_unit_test(a_shift_is_seen_from_the_origin_alone),
        cmocka_unit_test(a_simplex_is_even_in_space),     cmocka_unit_test(an_uneven_polygon_is_off_by_its_gaps),
        cmocka_unit_test(what_has_no_meaning_is_nan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
