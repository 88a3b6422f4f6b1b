#include "backend/cuda/dnn_key.h"

#include <stdio.h>

static bool is_product(const qv_dnn_key *key) { return key->kind == QV_DNN_PRODUCT; }

qv_dnn_tensor qv_dnn_tensor_of(const qv_dnn_key *key, qv_dnn_operand operand)
{
    static const qv_dnn_tensor tensors[][3] = {
        [QV_DNN_CONV] = {QV_DNN_X, QV_DNN_W, QV_DNN_Y},
        [QV_DNN_CONV_GRAD_X] = {QV_DNN_Y, QV_DNN_W, QV_DNN_X},
        [QV_DNN_CONV_GRAD_W] = {QV_DNN_X, QV_DNN_Y, QV_DNN_W},
    };
    return tensors[key->kind][operand];
}

/* Positions of the output along an axis of the input. */
static int64_t outputs(const qv_dnn_key *key, int64_t size)
{
    int64_t room = size + 2 * (int64_t)key->pad - key->kernel;
    return room < 0 ? 0 : room / key->stride + 1;
}

void qv_dnn_dims(const qv_dnn_key *key, qv_dnn_tensor t, int64_t dims[4])
{
    const int64_t shapes[][4] = {
        [QV_DNN_X] = {key->n, key->cin, key->h, key->w},
        [QV_DNN_W] = {key->cout, key->cin / key->groups, key->kernel, key->kernel},
        [QV_DNN_Y] = {key->n, key->cout, outputs(key, key->h), outputs(key, key->w)},
    };
    for (int i = 0; i < 4; i++) dims[i] = shapes[t][i];
}

static void operand_dims(const qv_dnn_key *key, qv_dnn_operand operand, int64_t dims[4])
{
    if (!is_product(key)) {
        qv_dnn_dims(key, qv_dnn_tensor_of(key, operand), dims);
        return;
    }
    dims[0] = operand == QV_DNN_B ? key->depth : key->rows;
    dims[1] = operand == QV_DNN_A ? key->depth : key->columns;
    dims[2] = dims[3] = 1;
}

static int64_t element_bytes(const qv_dnn_key *key) { return key->precision == QV_PRECISION_BF16 ? 2 : 4; }

/* -1 where it is more than QV_DNN_MAX_BYTES. */
static int64_t bytes_of(const qv_dnn_key *key, qv_dnn_operand operand)
{
    int64_t dims[4], bytes = element_bytes(key);
    operand_dims(key, operand, dims);
    for (int i = 0; i < 4; i++) {
        if (dims[i] > 0 && bytes > QV_DNN_MAX_BYTES / dims[i]) return -1;
        bytes *= dims[i];
    }
    return bytes;
}

size_t qv_dnn_bytes(const qv_dnn_key *key, qv_dnn_operand operand) { return (size_t)bytes_of(key, operand); }

void qv_dnn_key_text(const qv_dnn_key *key, char text[QV_DNN_TEXT])
{
    static const char *const kinds[] = {"conv", "conv_grad_x", "conv_grad_w", "product"};
    bool known = key->kind >= 0 && key->kind <= QV_DNN_PRODUCT;
    const char *precision = key->precision >= 0 && key->precision <= QV_PRECISION_BF16
                                ? qv_precision_name(key->precision)
                                : "unknown precision";
    if (!known) {
        snprintf(text, QV_DNN_TEXT, "operation of unknown kind %d", key->kind);
    } else if (is_product(key)) {
        snprintf(text, QV_DNN_TEXT, "product a%s [%d,%d] b%s [%d,%d]%s, %s", key->transpose_a ? "^T" : "", key->rows,
                 key->depth, key->transpose_b ? "^T" : "", key->depth, key->columns,
                 key->accumulate ? " accumulated" : "", precision);
    } else {
        snprintf(text, QV_DNN_TEXT, "%s x [%d,%d,%d,%d] %dx%d stride %d pad %d groups %d -> %d channels, %s",
                 kinds[key->kind], key->n, key->h, key->w, key->cin, key->kernel, key->kernel, key->stride, key->pad,
                 key->groups, key->cout, precision);
    }
}

typedef struct field {
    const char *name;
    int32_t value, low, high;
} field;

static qv_status check_fields(qv_ctx *ctx, const char *text, const field *f, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (f[i].value >= f[i].low && f[i].value <= f[i].high) continue;
        return qv_fail(ctx, QV_ERR_USAGE, "%s: %s is %d; it must lie between %d and %d", text, f[i].name, f[i].value,
                       f[i].low, f[i].high);
    }
    return QV_OK;
}

/* Fields of the other kinds must be 0, else equal questions would have unequal keys. */
static qv_status check_ranges(qv_ctx *ctx, const char *text, const qv_dnn_key *k)
{
    bool product = is_product(k);
    int32_t conv_low = product ? 0 : 1, conv_high = product ? 0 : INT32_MAX;
    int32_t product_low = product ? 1 : 0, product_high = product ? INT32_MAX : 0;
    const field fields[] = {
        {"precision", k->precision, 0, QV_PRECISION_BF16},
        {"n", k->n, conv_low, conv_high},
        {"h", k->h, conv_low, conv_high},
        {"w", k->w, conv_low, conv_high},
        {"cin", k->cin, conv_low, conv_high},
        {"cout", k->cout, conv_low, conv_high},
        {"kernel", k->kernel, conv_low, conv_high},
        {"stride", k->stride, conv_low, conv_high},
        {"pad", k->pad, 0, conv_high},
        {"groups", k->groups, conv_low, conv_high},
        {"rows", k->rows, product_low, product_high},
        {"columns", k->columns, product_low, product_high},
        {"depth", k->depth, product_low, product_high},
        {"transpose_a", k->transpose_a, 0, product},
        {"transpose_b", k->transpose_b, 0, product},
        {"accumulate", k->accumulate, 0, product},
    };
    return check_fields(ctx, text, fields, sizeof fields / sizeof fields[0]);
}

static qv_status check_convolution(qv_ctx *ctx, const char *text, const qv_dnn_key *k)
{
    if (k->cin % k->groups != 0 || k->cout % k->groups != 0)
        return qv_fail(ctx, QV_ERR_USAGE, "%s: %d groups do not divide both %d and %d channels", text, k->groups,
                       k->cin, k->cout);
    int64_t y[4];
    qv_dnn_dims(k, QV_DNN_Y, y);
    if (y[2] < 1 || y[3] < 1)
        return qv_fail(ctx, QV_ERR_USAGE, "%s: the kernel is larger than the padded input, so that nothing comes out",
                       text);
    return QV_OK;
}

qv_status qv_dnn_check(qv_ctx *ctx, const qv_dnn_key *key)
{
    qv_status status = QV_OK;
    char text[QV_DNN_TEXT];
    qv_dnn_key_text(key, text);
    const field kind = {"kind", key->kind, 0, QV_DNN_PRODUCT};
    QV_TRY(check_fields(ctx, text, &kind, 1));
    QV_TRY(check_ranges(ctx, text, key));
    if (!is_product(key)) QV_TRY(check_convolution(ctx, text, key));
    for (int i = QV_DNN_A; i <= QV_DNN_OUT; i++)
        if (bytes_of(key, (qv_dnn_operand)i) < 0)
            return qv_fail(ctx, QV_ERR_USAGE, "%s: operand %s has more than %lld bytes", text,
                           (const char *const[]){"a", "b", "out"}[i], (long long)QV_DNN_MAX_BYTES);
done:
    return status;
}
