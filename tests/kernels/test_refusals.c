/* Calls that the hand-written kernels must refuse before anything is launched: shapes that do not belong together, types
 * that do not, operands that are missing. On whatever implements the CUDA runtime, as test_kernels.c. */
#include <cuda_runtime_api.h>
#include <math.h>

#include "kernels/bf16.h"
#include "kernels/geometry.h"
#include "kernels/table.h"
#include "support/op_check.h"
#include "support/support.h"
#include "device.h"

static qv_tensor shape(int n, int h, int w, int c) { return (qv_tensor){NULL, n, h, w, c, QV_REAL}; }

/* --- what is wrong with one operand of a call that is right --- */

/* "i0.h+": operand 0 of the inputs, or o0 of the outputs, has one more of n, h, w or c; "n0": none of it; "t": it is in
 * bf16; "-": it is missing. Only what a kernel looks at: a vector's length is its caller's word. */
static const char *const wrong_operands[QV_OP_COUNT] = {
    [QV_OP_BN_STATS] = "i0.n0 i0.c0 o0.t o1.t",
    [QV_OP_BN_FINALIZE] = "o0.c0 i0.t i1.t o0.t o1.t o2.t",
    [QV_OP_BN_APPLY] = "i0.n0 i0.c+ o0.c+ i0.t o0.t i1.t i2.t i3.t i4.t",
    [QV_OP_BN_GRAD_SUMS] = "i1.n0 i1.h0 i1.c+ i0.c+ i0.t i1.t i2.t i3.t i4.t i5.t o0.t o1.t",
    [QV_OP_BN_GRAD_APPLY] = "i1.n0 i1.h0 i1.c+ i0.c+ i0.t i1.t i2.t i3.t i4.t i5.t i6.t i7.t o0.t",
    [QV_OP_RELU] = "o0.n0 i0.t o0.t",
    [QV_OP_RELU_GRAD] = "o0.n0 i0.t i1.t o0.t",
    [QV_OP_ADD] = "o0.n0 i0.t i1.t o0.t",
    [QV_OP_SHAKE_COEF] = "o0.n0 o0.t o1.t",
    [QV_OP_SHAKE_ADD] = "o0.n0 i0.c+ o0.c+ o0.h0 i1.n+ i1.h+ i1.w+ i1.c0 i1.t i0.t i2.t o0.t",
    [QV_OP_SHAKE_GRAD] = "i0.n0 i0.c+ o0.c+ i0.h0 i1.n+ i1.h+ i1.w+ i1.c0 i1.t i0.t o0.t",
    [QV_OP_SCALE] = "i0.n0 i0.c+ o0.c+ i0.h0 i1.n+ i1.h+ i1.w+ i1.c0 i1.t i0.t o0.t",
    [QV_OP_SHIFT] = "i0.n0 i0.h0 i0.w0 i0.c0 i0.n+ o0.n+ o0.h+ o0.w+ o0.c+ i0.c+ i0.t o0.t",
    [QV_OP_SHIFT_GRAD] = "o0.n0 o0.h0 o0.w0 o0.c0 o0.n+ i0.n+ i0.h+ i0.w+ i0.c+ o0.c+ i0.t o0.t",
    [QV_OP_BN_SHAKE_ADD] = "o0.n0 o0.h0 o0.c+ i0.c+ i5.n+ i5.h+ i5.w+ i5.c0 i0.t i6.t o0.t i1.t i2.t i3.t i4.t i5.t",
    [QV_OP_BN_MEASURE] = "i0.n0 o0.t o1.t o2.t o3.t o4.c0",
    [QV_OP_BLOCK_END] = "o0.n0 o0.h0 o0.c+ i0.c+ i5.n+ i5.h+ i5.w+ i5.c0 i0.t i6.t o0.t i1.t i2.t i3.t i4.t i5.t i7.t "
                        "i8.t i9.t i10.t o1.t o2.t o3.t o4.t o5.c0",
    [QV_OP_POOL] = "i0.n0 i0.h0 i0.n+ i0.c+ o0.n+ o0.h+ o0.c+ o0.t",
    [QV_OP_POOL_GRAD] = "o0.n0 o0.h0 o0.n+ o0.c+ i0.n+ i0.h+ i0.c+ i0.t",
    [QV_OP_LOSS] = "i0.n0 i0.c0 i0.h+ i0.w+ i0.t i2.t i4.t i3.- o0.t o1.t o2.t",
    [QV_OP_UNIT] = "i0.n0 i0.h+ i0.w+ i0.c0 i0.n+ i0.c+ o0.n+ o0.h+ o0.w+ o0.c+ o1.n+ o1.c+ i0.t o0.t o1.t",
    [QV_OP_UNIT_GRAD] = "i0.n0 i0.h+ i0.w+ i0.c0 i0.n+ i0.c+ i1.n+ i1.h+ i1.w+ i1.c+ i2.n+ i3.n+ o0.n+ o0.h+ o0.w+ o0.c+ "
                        "i0.t i1.t i2.t i3.t o0.t",
    [QV_OP_MARGIN] = "i0.n0 i0.c0 i0.h+ i0.w+ i0.t i2.t i3.t i3.- i4.- i5.t o0.t o1.t o2.t o2.- o3.t o4.t",
    [QV_OP_CENTER] = "i0.n0 i0.c0 i0.h+ i0.w+ i0.c+ i0.t i2.t i3.t i4.- i5.t o0.h+ o0.w+ o0.c+ o0.t o1.t o2.t",
    [QV_OP_CLIP] = "i0.n0 i0.c0 i0.t o0.t",
    [QV_OP_SGD] = "i1.t i2.t o0.t o1.t",
    [QV_OP_ADAMW] = "i1.t i2.t o0.t o1.t o2.t",
    [QV_OP_GATHER] = "i1.c+ i3.c+ i1.t i3.t i6.t o0.n0 o0.h0 o0.w0 o0.c0 o0.w+ o0.c+ o3.t o2.- o3.-",
};

/* A copy of a problem's operand on the device. */
static qv_tensor on_device(qv_op_kind kind, bool output, int i, const qv_tensor *t)
{
    const size_t size = qv_operand_size(kind, output, i, NULL), n = qv_tensor_len(t), bytes = n * (size ? size : sizeof(float));
    qv_tensor d = {NULL, t->n, t->h, t->w, t->c, t->dtype};
    if (n == 0) return d;
    float *reals = calloc(n, sizeof *reals);
    assert_non_null(reals);
    for (size_t k = 0; k < n && t->data && !size; k++) reals[k] = (float)((const double *)t->data)[k];
    d.data = device_alloc(bytes);
    check(cudaMemset(d.data, 0, bytes));
    if (t->data) check(cudaMemcpy(d.data, size ? t->data : reals, bytes, cudaMemcpyDefault));
    free(reals);
    return d;
}

typedef struct right_call {
    qv_problem p;
    qv_tensor in[QV_MAX_IN], out[QV_MAX_OUT];
} right_call;

static void right_call_free(right_call *r)
{
    for (int i = 0; i < QV_MAX_IN; i++)
        if (r->in[i].data) device_free(r->in[i].data);
    for (int i = 0; i < QV_MAX_OUT; i++)
        if (r->out[i].data) device_free(r->out[i].data);
    qv_problem_free(&r->p);
}

/* The op's first case with all operands that are named in the text. */
static void right_call_new(right_call *r, qv_op_kind kind, const char *named)
{
    for (size_t k = 0;; k++) {
        if (!qv_problem_make(&r->p, kind, k, qv_test_seed())) fail_msg("no case of %s has %s", qv_op_info_of(kind).name, named);
        bool all = true;
        for (const char *at = named; all && (at = strpbrk(at, "io")) != NULL; at++) {
            int i = atoi(at + 1);
            all = qv_tensor_len(*at == 'i' ? &r->p.in[i] : &r->p.out[i]) > 0;
        }
        if (all) break;
        qv_problem_free(&r->p);
    }
    qv_op_info info = qv_op_info_of(kind);
    memset(r->in, 0, sizeof r->in);
    memset(r->out, 0, sizeof r->out);
    for (int i = 0; i < info.n_in; i++) r->in[i] = on_device(kind, false, i, &r->p.in[i]);
    for (int i = 0; i < info.n_out; i++) r->out[i] = on_device(kind, true, i, &r->p.out[i]);
}

/* What the op says of the call with one operand spoilt, NULL: with none. */
static int answer_to(const right_call *r, const char *spoilt)
{
    qv_tensor in[QV_MAX_IN], out[QV_MAX_OUT];
    qv_call call = {.op = &r->p.op, .in = in, .out = out};
    qv_op_fn fn = qv_kernels[r->p.op.kind];
    memcpy(in, r->in, sizeof in);
    memcpy(out, r->out, sizeof out);
    if (spoilt) {
        qv_tensor *t = *spoilt == 'i' ? &in[atoi(spoilt + 1)] : &out[atoi(spoilt + 1)];
        const char *how = strchr(spoilt, '.') + 1;
        int32_t *length = *how == 'n' ? &t->n : *how == 'h' ? &t->h : *how == 'w' ? &t->w : &t->c;
        if (*how == 't')
            t->dtype = QV_BF16;
        else if (*how == '-')
            *t = (qv_tensor){0};
        else
            *length = how[1] == '+' ? *length + 1 : 0;
    }
    size_t need = 0;
    int error = fn(&call, &need);
    call.scratch = device_alloc(need);
    if (!error) error = fn(&call, NULL);
    check(cudaDeviceSynchronize());
    device_free(call.scratch);
    return error;
}

/* How many of the wrong operands the op takes. */
static int taken(qv_op_kind kind, const char *wrong)
{
    int n = 0;
    right_call r;
    right_call_new(&r, kind, wrong);
    assert_int_equal(answer_to(&r, NULL), 0);
    for (const char *at = wrong; *at; at += strcspn(at, " "), at += strspn(at, " ")) {
        if (answer_to(&r, at) == QV_REFUSED) continue;
        print_error("%s takes %.*s\n", qv_op_info_of(kind).name, (int)strcspn(at, " "), at);
        n++;
    }
    right_call_free(&r);
    return n;
}

static void one_wrong_operand_is_refused(void **state)
{
    (void)state;
    int n = 0;
    for (int kind = 0; kind < QV_OP_COUNT; kind++)
        if (wrong_operands[kind]) n += taken((qv_op_kind)kind, wrong_operands[kind]);
    assert_int_equal(n, 0);
}

/* Where a batch norm's gradient comes through a shake, which it need not. */
static void coefficients_of_other_images_are_refused(void **state)
{
    (void)state;
    assert_int_equal(taken(QV_OP_BN_GRAD_SUMS, "i6.n+ i6.h+ i6.w+ i6.c0 i6.t"), 0);
    assert_int_equal(taken(QV_OP_BN_GRAD_APPLY, "i8.n+ i8.h+ i8.w+ i8.c0 i8.t"), 0);
}

/* --- what is wrong with the op itself --- */

/* One whole number in the attributes of a call that is right and has the operands that are named. */
typedef struct wrong_attribute {
    qv_op_kind kind;
    const char *named;
    size_t at;
    int64_t value;
    bool wide; /* 64 bits */
} wrong_attribute;

#define WRONG(kind, named, field, value) {kind, named, offsetof(qv_op, a.field), value, sizeof(((qv_op *)0)->a.field) == 8}

static void one_wrong_attribute_is_refused(void **state)
{
    (void)state;
    static const wrong_attribute wrong[] = {
        WRONG(QV_OP_BN_FINALIZE, "i0", bn.count, 1),
        WRONG(QV_OP_BN_MEASURE, "i0", bn.count, 1),
        WRONG(QV_OP_BLOCK_END, "o1", bn.count, 1),
        WRONG(QV_OP_BN_APPLY, "i0", bn.repeat, 0),
        WRONG(QV_OP_BN_APPLY, "i0", bn.repeat, 3),
        WRONG(QV_OP_BN_GRAD_SUMS, "i0", bn.repeat, 0),
        WRONG(QV_OP_BN_GRAD_SUMS, "i0", bn.repeat, 3),
        WRONG(QV_OP_BN_GRAD_SUMS, "i6", bn.repeat, 2),
        WRONG(QV_OP_BN_GRAD_APPLY, "i0", bn.repeat, 0),
        WRONG(QV_OP_BN_GRAD_APPLY, "i0", bn.repeat, 3),
        WRONG(QV_OP_BN_GRAD_APPLY, "i8", bn.repeat, 2),
        WRONG(QV_OP_SHAKE_COEF, "o0", shake.layer, -1),
        WRONG(QV_OP_SHAKE_COEF, "o0", shake.layer, 65536),
        WRONG(QV_OP_SHAKE_COEF, "o0", shake.affine, -1),
        WRONG(QV_OP_SHAKE_COEF, "o0", shake.affine, (1 << 22) + 1),
        WRONG(QV_OP_SGD, "i0", sgd.decayed, -1),
        WRONG(QV_OP_ADAMW, "i0", adamw.decayed, -1),
        WRONG(QV_OP_GATHER, "i5", gather.windows, 0), /* then it needs an order ... */
        WRONG(QV_OP_GATHER, "i4", gather.windows, 1), /* ... and here the windows */
        WRONG(QV_OP_GATHER, "o0", gather.time_masks, QV_MASKS + 1),
        WRONG(QV_OP_GATHER, "o0", gather.mel_masks, QV_MASKS + 1),
    };
    for (size_t k = 0; k < sizeof wrong / sizeof *wrong; k++) {
        const wrong_attribute *w = &wrong[k];
        right_call r;
        right_call_new(&r, w->kind, w->named);
        assert_int_equal(answer_to(&r, NULL), 0);
        const int32_t narrow = (int32_t)w->value;
        memcpy((char *)&r.p.op + w->at, w->wide ? (const void *)&w->value : &narrow, w->wide ? 8 : 4);
        if (answer_to(&r, NULL) != QV_REFUSED) fail_msg("%s takes wrong attribute %zu", qv_op_info_of(w->kind).name, k);
        right_call_free(&r);
    }
}

static void angles_that_no_margin_has_are_refused(void **state)
{
    (void)state;
    static const float wrong[] = {0, 0.5f, 1.5f, QV_SPHERE_MOST + 0.5f, QV_SPHERE_MOST + 1, NAN};
    right_call r;
    right_call_new(&r, QV_OP_MARGIN, "i6"); /* the step, which only A-Softmax asks for */
    assert_int_equal(r.p.op.a.margin.kind, QV_MARGIN_SPHERE);
    assert_int_equal(answer_to(&r, NULL), 0);
    assert_int_equal(answer_to(&r, "i6.-"), QV_REFUSED);
    for (size_t k = 0; k < sizeof wrong / sizeof *wrong; k++) {
        r.p.op.a.margin.m = wrong[k];
        assert_int_equal(answer_to(&r, NULL), QV_REFUSED);
    }
    right_call_free(&r);
}

/* --- one after the other --- */

static int answer(qv_op_kind kind, const qv_tensor *in, const qv_tensor *out, qv_op op)
{
    op.kind = (int32_t)kind;
    qv_call call = {.op = &op, .in = in, .out = out};
    size_t need;
    int error = qv_kernels[kind](&call, &need);
    return error ? error : qv_kernels[kind](&call, NULL);
}

/* What does not belong together is refused before anything is launched. */
static void wrong_shapes_are_refused(void **state)
{
    (void)state;
    float *d = device_alloc(4096);
    qv_tensor in[QV_MAX_IN], out[QV_MAX_OUT];
    qv_op bn = {.a.bn = {.eps = 1e-5f, .repeat = 1, .count = 8}};
    for (int i = 0; i < QV_MAX_IN; i++) in[i] = (qv_tensor){d, 2, 2, 2, 4, QV_REAL};
    for (int i = 0; i < QV_MAX_OUT; i++) out[i] = (qv_tensor){d, 2, 2, 2, 4, QV_REAL};
    assert_int_equal(answer(QV_OP_SHAKE_ADD, in, out, (qv_op){0}), QV_REFUSED);
    assert_int_equal(answer(QV_OP_SHAKE_GRAD, in, out, (qv_op){0}), QV_REFUSED);
    assert_int_equal(answer(QV_OP_BN_SHAKE_ADD, in, out, bn), QV_REFUSED);
    assert_int_equal(answer(QV_OP_BN_GRAD_SUMS, in, out, bn), QV_REFUSED);
    assert_int_equal(answer(QV_OP_BN_GRAD_APPLY, in, out, bn), QV_REFUSED);
    bn.a.bn.repeat = 2;
    assert_int_equal(answer(QV_OP_BN_APPLY, in, out, bn), QV_REFUSED);
    bn.a.bn.count = 1;
    assert_int_equal(answer(QV_OP_BN_FINALIZE, in, out, bn), QV_REFUSED);
    assert_int_equal(answer(QV_OP_LOSS, in, out, (qv_op){0}), QV_REFUSED);
    assert_int_equal(answer(QV_OP_GATHER, in, out, (qv_op){0}), QV_REFUSED);
    assert_int_equal(answer(QV_OP_SHIFT, in, out, (qv_op){0}), QV_REFUSED);
    assert_int_equal(answer(QV_OP_SHIFT_GRAD, in, out, (qv_op){0}), QV_REFUSED);
    out[0].c = 8;
    assert_int_equal(answer(QV_OP_SCALE, in, out, (qv_op){0}), QV_REFUSED);
    out[0].c = 4;
    assert_int_equal(answer(QV_OP_SHAKE_COEF, in, out, (qv_op){.a.shake.affine = (1 << 22) + 1}), QV_REFUSED);
    out[0].c = 257;
    assert_int_equal(answer(QV_OP_SHAKE_COEF, in, out, (qv_op){0}), QV_REFUSED);
    in[0].n = out[0].n = 0;
    assert_int_equal(answer(QV_OP_RELU, in, out, (qv_op){0}), QV_REFUSED);
    assert_int_equal(answer(QV_OP_BN_STATS, in, out, bn), QV_REFUSED);
    assert_int_equal(answer(QV_OP_POOL, in, out, (qv_op){0}), QV_REFUSED);
    assert_int_equal(cudaDeviceSynchronize(), cudaSuccess);
    device_free(d);
}

/* One thing after the other that a convolution of 3x3, 4 channels to 8, must not have. Refused when scratch is asked
 * for, as nothing has been allocated yet. */
static void wrong_convolutions_are_refused(void **state)
{
    (void)state;
    enum { X, W, Y };
    const struct {
        qv_conv_attr a;
        int operand;
        qv_tensor instead;
    } wrong[] = {
        {{0, 1, 1, 1}, W, {.n = 8, .c = 4}}, /* no kernel */
        {{3, 0, 1, 1}, X, {.n = 2, .h = 4, .w = 4, .c = 4}},
        {{3, 1, -1, 1}, X, {.n = 2, .h = 8, .w = 8, .c = 4}},
        {{3, 1, 1, 0}, X, {.n = 2, .h = 4, .w = 4, .c = 4}},
        {{3, 1, 1, 1}, X, {.n = 0, .h = 4, .w = 4, .c = 4}}, /* nothing of it, or of another number */
        {{3, 1, 1, 1}, X, {.n = 1, .h = 4, .w = 4, .c = 4}},
        {{3, 1, 1, 1}, Y, {.n = 2, .h = 4, .w = 0, .c = 8}},
        {{3, 1, 1, 1}, Y, {.n = 3, .h = 4, .w = 4, .c = 8}},
        {{3, 1, 1, 2}, X, {.n = 2, .h = 4, .w = 4, .c = 9}}, /* channels that groups do not divide; w has 4 a group */
        {{3, 1, 1, 3}, X, {.n = 2, .h = 4, .w = 4, .c = 12}},
        {{3, 1, 1, 1}, W, {.n = 7, .h = 3, .w = 3, .c = 4}}, /* weights of another shape */
        {{3, 1, 1, 1}, W, {.n = 8, .h = 1, .w = 3, .c = 4}},
        {{3, 1, 1, 1}, W, {.n = 8, .h = 3, .w = 1, .c = 4}},
        {{3, 1, 1, 1}, W, {.n = 8, .h = 3, .w = 3, .c = 2}},
        {{3, 1, 1, 1}, Y, {.n = 2, .h = 5, .w = 4, .c = 8}}, /* windows beyond the padding */
        {{3, 1, 1, 1}, Y, {.n = 2, .h = 4, .w = 5, .c = 8}},
        {{3, 2, 1, 1}, Y, {.n = 2, .h = 3, .w = 2, .c = 8}},
        {{3, 1, 1, 1}, Y, {.n = 2, .h = 4, .w = 4, .c = 8, .dtype = QV_BF16}}, /* types that do not go together */
        {{3, 1, 1, 1}, W, {.n = 8, .h = 3, .w = 3, .c = 4, .dtype = QV_BF16}},
    };
    const qv_tensor good[] = {shape(2, 4, 4, 4), shape(8, 3, 3, 4), shape(2, 4, 4, 8)};
    float *d = device_alloc(1 << 16), *to = device_alloc(1 << 16);
    check(cudaMemset(d, 0, 1 << 16));
    for (int kind = QV_OP_CONV; kind <= QV_OP_CONV_GRAD_W; kind++) {
        for (size_t i = 0; i <= sizeof wrong / sizeof *wrong; i++) {
            bool right = i == sizeof wrong / sizeof *wrong;
            qv_tensor t[3] = {good[X], good[W], good[Y]};
            if (!right) t[wrong[i].operand] = wrong[i].instead;
            /* the operands of the op, by what they are to the convolution */
            const int order[][3] = {{X, W, Y}, {Y, W, X}, {X, Y, W}};
            const int *o = order[kind - QV_OP_CONV];
            qv_tensor in[QV_MAX_IN] = {t[o[0]], t[o[1]]}, out[QV_MAX_OUT] = {t[o[2]]};
            in[0].data = in[1].data = d;
            out[0].data = to;
            qv_op op = {.kind = (int32_t)kind, .a.conv = right ? (qv_conv_attr){3, 1, 1, 1} : wrong[i].a};
            qv_call call = {.op = &op, .in = in, .out = out};
            size_t need = 0;
            int error = qv_kernels[kind](&call, &need);
            if (right) {
                call.scratch = device_alloc(need);
                if (!error) error = qv_kernels[kind](&call, NULL);
                check(cudaDeviceSynchronize());
                device_free(call.scratch);
            }
            if (error != (right ? 0 : QV_REFUSED)) fail_msg("%s, case %zu: %d", qv_op_info_of((qv_op_kind)kind).name, i, error);
        }
    }
    device_free(d);
    device_free(to);
}

/* Products with more tiles than a grid has room for: of columns, of groups, of rows. */
static void grids_past_the_limit_are_refused(void **state)
{
    (void)state;
    enum { PAST = QV_GRID_Y + 1 };
    const struct {
        qv_op_kind kind;
        qv_tensor in[2], out;
    } calls[] = {
        {QV_OP_CONV, {shape(1, 1, 1, 1), shape(32 * PAST, 1, 1, 1)}, shape(1, 1, 1, 32 * PAST)},
        {QV_OP_CONV, {shape(1, 1, 1, PAST), shape(PAST, 1, 1, 1)}, shape(1, 1, 1, PAST)},
        {QV_OP_CONV_GRAD_X, {shape(1 << 27, 1, 1, 1), shape(1, 1, 1, 1)}, shape(1 << 27, 64, 32, 1)},
    };
    float *d = device_alloc(64);
    for (size_t k = 0; k < sizeof calls / sizeof *calls; k++) {
        const qv_op op = {.kind = (int32_t)calls[k].kind, .a.conv = {1, 1, 0, k == 1 ? PAST : 1}};
        qv_tensor in[QV_MAX_IN] = {calls[k].in[0], calls[k].in[1]}, out[QV_MAX_OUT] = {calls[k].out};
        in[0].data = in[1].data = out[0].data = d;
        const qv_call call = {.op = &op, .in = in, .out = out};
        assert_int_equal(qv_kernels[op.kind](&call, NULL), QV_REFUSED);
    }
    device_free(d);
}

/* An op whose operands are all 8x1x1x4, which coefficients may be too (8 channels wide where it takes two branches),
 * with one of them as bf16. */
static int answer_with(qv_op_kind kind, int wide_in, int wide_out, int in_bf16, int out_bf16)
{
    qv_op_info info = qv_op_info_of(kind);
    qv_tensor in[QV_MAX_IN] = {0}, out[QV_MAX_OUT] = {0};
    float *d = device_alloc(4096), *to = device_alloc(4096);
    check(cudaMemset(d, 0, 4096));
    check(cudaMemset(to, 0, 4096));
    for (int i = 0; i < info.n_in; i++)
        in[i] = (qv_tensor){d, 8, 1, 1, i == wide_in ? 8 : 4, i == in_bf16 ? QV_BF16 : QV_REAL};
    for (int i = 0; i < info.n_out; i++) {
        if (qv_operand_size(kind, true, i, NULL)) continue; /* counters may be absent */
        out[i] = (qv_tensor){to, 8, 1, 1, i == wide_out ? 8 : 4, i == out_bf16 ? QV_BF16 : QV_REAL};
    }
    qv_op op = {.kind = (int32_t)kind, .a.bn = {.eps = 1e-5f, .repeat = 1, .count = 8}};
    qv_call call = {.op = &op, .in = in, .out = out};
    size_t need = 0;
    int error = qv_kernels[kind](&call, &need);
    call.scratch = device_alloc(need);
    if (!error) error = qv_kernels[kind](&call, NULL);
    check(cudaDeviceSynchronize());
    device_free(call.scratch);
    device_free(d);
    device_free(to);
    return error;
}

/* One operand in bf16 among floats: a parameter, a coefficient, or one of several activations. */
static void mixed_operands_are_refused(void **state)
{
    (void)state;
    const struct {
        qv_op_kind kind;
        int wide_in, wide_out;
    } ops[] = {{QV_OP_BN_APPLY, -1, -1},    {QV_OP_BN_GRAD_SUMS, -1, -1}, {QV_OP_BN_GRAD_APPLY, -1, -1},
               {QV_OP_RELU, -1, -1},        {QV_OP_RELU_GRAD, -1, -1},    {QV_OP_ADD, -1, -1},
               {QV_OP_SHAKE_ADD, 0, -1},    {QV_OP_SHAKE_GRAD, -1, 0},    {QV_OP_BN_SHAKE_ADD, 0, -1},
               {QV_OP_BN_FINALIZE, -1, -1}, {QV_OP_SCALE, -1, -1}};
    for (size_t k = 0; k < sizeof ops / sizeof *ops; k++) {
        qv_op_info info = qv_op_info_of(ops[k].kind);
        bool shaken = ops[k].kind == QV_OP_BN_GRAD_SUMS || ops[k].kind == QV_OP_BN_GRAD_APPLY;
        int wide = shaken ? 1 : ops[k].wide_in; /* all operands given: with coefficients x has two branches */
        int wide_out = ops[k].kind == QV_OP_BN_GRAD_APPLY ? 0 : ops[k].wide_out;
        assert_int_equal(answer_with(ops[k].kind, wide, wide_out, -1, -1), 0);
        for (int i = 0; i < info.n_in; i++)
            assert_int_equal(answer_with(ops[k].kind, wide, wide_out, i, -1), QV_REFUSED);
        for (int i = 0; i < info.n_out; i++)
            if (!qv_operand_size(ops[k].kind, true, i, NULL))
                assert_int_equal(answer_with(ops[k].kind, wide, wide_out, -1, i), QV_REFUSED);
    }
}

int main(void)
{
    if (!device_there()) return 0;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_wrong_operand_is_refused),
        cmocka_unit_test(coefficients_of_other_images_are_refused),
        cmocka_unit_test(one_wrong_attribute_is_refused),
        cmocka_unit_test(angles_that_no_margin_has_are_refused),
        cmocka_unit_test(grids_past_the_limit_are_refused),
        cmocka_unit_test(wrong_shapes_are_refused),
        cmocka_unit_test(wrong_convolutions_are_refused),
        cmocka_unit_test(mixed_operands_are_refused),
    };
    return cmocka_run_group_tests_name("refusals", tests, NULL, NULL);
}
