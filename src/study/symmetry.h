/* How evenly the classes of an embedding stand around its middle: the paper's "symmetrically distributed representation
 * without margin", measured. Angles are in degrees. */
#ifndef QV_STUDY_SYMMETRY_H
#define QV_STUDY_SYMMETRY_H

#include "base/status.h"

/* Between the directions of the class means, seen from one point. */
typedef struct qv_class_angles {
    double off_ideal; /* root mean square distance from the even arrangement: with d >= C - 1 dimensions every two of C
                         classes at acos(-1 / (C - 1)) (the simplex); with d = 2 neighbours at 360 / C (the polygon);
                         NaN for dimensions between, for which no such arrangement is known */
    double nearest;   /* the smallest angle between two classes */
} qv_class_angles;

/* NaN where a measure has no meaning: a class without embeddings, a mean without a direction. */
typedef struct qv_symmetry {
    double centre;                /* |mean| / mean of |e|: 0 where the embeddings balance about the origin */
    qv_class_angles origin, mean; /* seen from the origin, and from the mean of all embeddings */
    double spread; /* root mean square angle between an embedding and the mean of its class, seen from the
                      origin; mean of the classes */
    double margin; /* smallest, over all two classes, of their angle from the origin less both spreads */
} qv_symmetry;

/* The measures one by one: key in records and tables, and the place of its value. */
enum { QV_SYMMETRY_MEASURES = 7 };
extern const char *const qv_symmetry_keys[QV_SYMMETRY_MEASURES];
typedef struct qv_symmetry_range {
    double low, high;
} qv_symmetry_range;
extern const qv_symmetry_range qv_symmetry_ranges[QV_SYMMETRY_MEASURES]; /* that their values cannot leave */
double *qv_symmetry_at(qv_symmetry *s, int measure);

/* embeddings [n][dims]; labels [n], each below `classes` (at least 2). QV_ERR_MEMORY. */
qv_status qv_symmetry_measure(qv_ctx *ctx, qv_symmetry *s, const double *embeddings, const int *labels, size_t n,
                              size_t dims, int classes);

#endif
