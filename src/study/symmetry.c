#include "study/symmetry.h"

#include <math.h>
#include <stdlib.h>

#include "base/order.h"

static const double degrees = 57.295779513082321;

const char *const qv_symmetry_keys[QV_SYMMETRY_MEASURES] = {"centre",       "off_origin", "nearest_origin", "off_mean",
                                                            "nearest_mean", "spread",     "margin"};

/* Root mean squares of gaps on the circle may pass a half turn; two spreads may each be one. */
const qv_symmetry_range qv_symmetry_ranges[QV_SYMMETRY_MEASURES] = {{0, 1},   {0, 360}, {0, 180},   {0, 360},
                                                                    {0, 180}, {0, 180}, {-360, 180}};

double *qv_symmetry_at(qv_symmetry *s, int measure)
{
    double *const places[QV_SYMMETRY_MEASURES] = {&s->centre,         &s->origin.off_ideal, &s->origin.nearest,
                                                  &s->mean.off_ideal, &s->mean.nearest,     &s->spread,
                                                  &s->margin};
    return places[measure];
}

static double dot(const double *a, const double *b, size_t dims)
{
    double sum = 0;
    for (size_t k = 0; k < dims; k++) sum += a[k] * b[k];
    return sum;
}

/* NaN where one of the two has no direction. */
static double angle(const double *a, const double *b, size_t dims)
{
    double size = sqrt(dot(a, a, dims) * dot(b, b, dims));
    return size > 0 ? degrees * acos(fmax(-1, fmin(1, dot(a, b, dims) / size))) : NAN;
}

/* Root mean square distance of the gaps between neighbours on the circle from 360 / C. turns: [classes]. */
static double off_polygon(const double *means, int classes, double *turns)
{
    double sum = 0;
    for (int k = 0; k < classes; k++) {
        const double *m = means + 2 * (size_t)k;
        if (!(dot(m, m, 2) > 0)) return NAN;
        turns[k] = degrees * atan2(m[1], m[0]);
    }
    qv_sort(turns, (size_t)classes);
    for (int k = 0; k < classes; k++) {
        double next = k + 1 < classes ? turns[k + 1] : turns[0] + 360, off = next - turns[k] - 360.0 / classes;
        sum += off * off;
    }
    return sqrt(sum / classes);
}

/* means: [classes][dims] as seen from the point. */
static qv_class_angles angles_of(const double *means, int classes, size_t dims, double *turns)
{
    const bool simplex = dims + 1 >= (size_t)classes;
    const double ideal = degrees * acos(-1.0 / (classes - 1));
    double sum = 0, nearest = 180;
    for (int a = 0; a < classes; a++)
        for (int b = a + 1; b < classes; b++) {
            double between = angle(means + (size_t)a * dims, means + (size_t)b * dims, dims);
            sum += (between - ideal) * (between - ideal);
            if (between < nearest) nearest = between;
        }
    qv_class_angles r = {.off_ideal = simplex ? sqrt(sum / (0.5 * classes * (classes - 1))) : NAN, .nearest = nearest};
    if (!simplex && dims == 2) r.off_ideal = off_polygon(means, classes, turns);
    if (isnan(sum)) r.nearest = NAN;
    return r;
}

/* Means of the classes, then that of all, which is returned; *norms: mean of |e|. */
static double *sum_up(double *means, const double *e, const int *labels, size_t n, size_t dims, int classes,
                      double *counts, double *norms)
{
    double *all = means + (size_t)classes * dims;
    *norms = 0;
    for (size_t i = 0; i < n; i++) {
        double *own = means + (size_t)labels[i] * dims;
        for (size_t k = 0; k < dims; k++) own[k] += e[i * dims + k], all[k] += e[i * dims + k];
        *norms += sqrt(dot(e + i * dims, e + i * dims, dims)) / (double)n;
        counts[labels[i]]++;
    }
    for (int c = 0; c <= classes; c++)
        for (size_t k = 0; k < dims; k++) means[(size_t)c * dims + k] /= c < classes ? counts[c] : (double)n;
    return all;
}

/* Of each class, in degrees. */
static void measure_spreads(double *spreads, const double *means, const double *e, const int *labels, size_t n,
                            size_t dims, int classes, const double *counts)
{
    for (size_t i = 0; i < n; i++) {
        double off = angle(e + i * dims, means + (size_t)labels[i] * dims, dims);
        spreads[labels[i]] += off * off;
    }
    for (int c = 0; c < classes; c++) spreads[c] = sqrt(spreads[c] / counts[c]);
}

qv_status qv_symmetry_measure(qv_ctx *ctx, qv_symmetry *s, const double *embeddings, const int *labels, size_t n,
                              size_t dims, int classes)
{
    qv_status status = QV_OK;
    size_t of = (size_t)classes;
    double *means = NULL, *counts, *spreads, *turns, norms;
    *s = (qv_symmetry){0};
    QV_TRY(qv_alloc(ctx, &means, (of + 1) * dims + 3 * of, sizeof *means));
    counts = means + (of + 1) * dims, spreads = counts + of, turns = spreads + of;
    double *all = sum_up(means, embeddings, labels, n, dims, classes, counts, &norms);
    s->centre = sqrt(dot(all, all, dims)) / norms;
    measure_spreads(spreads, means, embeddings, labels, n, dims, classes, counts);
    s->origin = angles_of(means, classes, dims, turns);
    s->margin = 180;
    for (int a = 0; a < classes; a++) {
        s->spread += spreads[a] / classes;
        for (int b = a + 1; b < classes; b++) {
            double left = angle(means + (size_t)a * dims, means + (size_t)b * dims, dims) - spreads[a] - spreads[b];
            if (isnan(left) || left < s->margin) s->margin = left;
        }
    }
    if (isnan(s->spread)) s->margin = NAN;
    for (size_t c = 0; c < of; c++)
        for (size_t k = 0; k < dims; k++) means[c * dims + k] -= all[k];
    s->mean = angles_of(means, classes, dims, turns);
done:
    free(means);
    return status;
}
