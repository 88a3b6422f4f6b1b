/* What a backend of fewer bits may do to a problem, and what comes of it. */
#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "backend/check/maker.h"

enum { BITS_TF32 = 11, BITS_BF16 = 8 };

/* v in so many bits, to nearest, ties to even. */
static double round_to(double v, int bits)
{
    int exponent;
    frexp(v, &exponent);
    double unit = ldexp(1, (exponent < FLT_MIN_EXP ? FLT_MIN_EXP : exponent) - bits);
    return rint(v / unit) * unit;
}

/* Convolutions alone are computed in fewer bits; the linear layer keeps all of them in every precision. */
static bool is_conv(const qv_problem *p)
{
    return p->op.kind == QV_OP_CONV || p->op.kind == QV_OP_CONV_GRAD_X || p->op.kind == QV_OP_CONV_GRAD_W;
}

/* By how much TF32's converting of operands, which may cut, changes a product where that was not done beforehand: 2^-10
 * of each at most. */
static double conversion(const qv_problem *p, qv_precision precision)
{
    return p->fed && precision == QV_PRECISION_TF32 ? 2 * 0x1p-10 : 0;
}

void qv_problem_round(qv_problem *p, qv_precision precision)
{
    qv_op_kind kind = (qv_op_kind)p->op.kind;
    int bits = precision == QV_PRECISION_TF32 ? BITS_TF32 : BITS_BF16;
    if (precision == QV_PRECISION_FP32 || p->fed) return;
    for (int i = 0; i < qv_op_info_of(kind).n_in; i++) {
        double *v = p->in[i].data;
        bool stored = precision == QV_PRECISION_BF16 && qv_operand_is_activation(kind, false, i);
        for (size_t k = 0; v && (stored || is_conv(p)) && k < qv_tensor_len(&p->in[i]); k++)
            v[k] = round_to(v[k], bits);
    }
}

/* Tensor cores multiply exactly and add in 24 bits or more, but cut what is below the last of them instead of rounding
 * (Fasi, Higham, Mikaitis, Pranesh 2021). Such errors have a common sign: each of n additions errs by up to 2 u. */
static void bound_cut_sums(const qv_problem *p, qv_precision precision, const qv_tensor *expect, double *const *bound)
{
    size_t lengths[QV_MAX_OUT] = {0};
    double factors[QV_MAX_OUT];
    qv_sum_lengths(p, lengths);
    for (int k = 0; k < QV_MAX_OUT; k++) factors[k] = 2 * (double)lengths[k] + 4 + conversion(p, precision) / QV_U;
    qv_bound_by_magnitude(p, expect, bound, factors);
}

/* Weights that a device has in float and multiplies in bf16, rounded to nearest: what that takes from each of them
 * reaches the result as the weight itself would. Activations are stored in bf16, which changes nothing any more. */
static void bound_rounded_weights(const qv_problem *p, const qv_tensor *expect, double *bound)
{
    qv_problem rest = *p;
    size_t lengths[QV_MAX_OUT] = {0}, n = qv_tensor_len(expect);
    const double *w = p->in[1].data;
    double *lost = qv_room(&rest.in[1], sizeof *lost), *more = calloc(n + 1, sizeof *more);
    for (size_t i = 0; lost && i < qv_tensor_len(&p->in[1]); i++) lost[i] = w[i] - round_to(w[i], BITS_BF16);
    qv_sum_lengths(p, lengths);
    const double factors[QV_MAX_OUT] = {1 / QV_U + 2 * (double)lengths[0] + 4}; /* the sums are of rounded weights */
    if (lost && more) qv_bound_by_magnitude(&rest, expect, &more, factors);
    for (size_t i = 0; i < n; i++) bound[i] += lost && more ? more[i] : NAN;
    free(lost), free(more);
}

void qv_bound_bf16(const qv_tensor *expect, double *bound)
{
    const double *want = expect->data;
    for (size_t i = 0; i < qv_tensor_len(expect); i++) {
        double low = round_to(want[i] - bound[i], BITS_BF16), high = round_to(want[i] + bound[i], BITS_BF16);
        bound[i] = fmax(bound[i], fmax(want[i] - low, high - want[i]));
    }
}

void qv_problem_bound_in(const qv_problem *p, qv_precision precision, const qv_tensor *expect, double *const *bound)
{
    qv_op_kind kind = (qv_op_kind)p->op.kind;
    if (precision != QV_PRECISION_FP32 && is_conv(p))
        bound_cut_sums(p, precision, expect, bound);
    else
        qv_problem_bound(p, expect, bound);
    bool weights = kind == QV_OP_CONV || kind == QV_OP_CONV_GRAD_X;
    if (precision == QV_PRECISION_BF16 && p->fed && weights) bound_rounded_weights(p, expect, bound[0]);
    bool narrow = kind == QV_OP_CONV_GRAD_W; /* cuDNN has no gradient of the weights in more bits than its operands */
    for (int k = 0; k < qv_op_info_of(kind).n_out && precision == QV_PRECISION_BF16; k++)
        if (narrow || qv_operand_is_activation(kind, true, k)) qv_bound_bf16(&expect[k], bound[k]);
}
