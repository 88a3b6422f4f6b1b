/* The two paths of the shifted shortcut, and back: whole rows of channels are copied. */
#include "backend/cpu/isa/isa.h"

typedef struct shift_args {
    const float *from;
    float *to;
    size_t h, w, half_h, half_w, channels; /* of the larger image, of the smaller one, and of one path */
} shift_args;

static void shift_lines(void *user, int chunk, size_t begin, size_t end)
{
    const shift_args *a = user;
    const size_t c = a->channels;
    (void)chunk;
    for (size_t line = begin; line < end; line++) {
        const size_t p = 2 * (line % a->half_h);
        const float *x = a->from + (line / a->half_h * a->h + p) * a->w * c, *below = x + a->w * c;
        float *y = a->to + line * a->half_w * 2 * c;
        for (size_t q = 0; q < a->w; q += 2, y += 2 * c) {
            memcpy(y, x + q * c, c * sizeof *y);
            if (p + 1 < a->h && q + 1 < a->w)
                memcpy(y + c, below + (q + 1) * c, c * sizeof *y);
            else
                memset(y + c, 0, c * sizeof *y);
        }
    }
}

static void unshift_lines(void *user, int chunk, size_t begin, size_t end)
{
    const shift_args *a = user;
    const size_t c = a->channels;
    (void)chunk;
    for (size_t line = begin; line < end; line++) {
        const size_t p = line % a->h;
        const float *dy = a->from + ((line / a->h * a->half_h + p / 2) * a->half_w * 2 + p % 2) * c;
        float *dx = a->to + line * a->w * c;
        memset(dx, 0, a->w * c * sizeof *dx);
        for (size_t q = p % 2; q < a->w; q += 2) memcpy(dx + q * c, dy + q / 2 * 2 * c, c * sizeof *dx);
    }
}

static shift_args args_of(const qv_call *call, const qv_tensor *large, const qv_tensor *small)
{
    shift_args a = {call->in[0].data,    call->out[0].data, (size_t)large->h, (size_t)large->w, (size_t)small->h,
                    (size_t)small->w, (size_t)large->c};
    return a;
}

int QV_FN(qv_shift)(const qv_call *call, size_t *need)
{
    if (need) return qv_no_scratch(need);
    const qv_tensor *y = &call->out[0];
    shift_args a = args_of(call, &call->in[0], y);
    qv_parallel(qv_pool_for(call, qv_tensor_len(y)), (size_t)y->n * a.half_h, 1, shift_lines, &a);
    return 0;
}

int QV_FN(qv_shift_grad)(const qv_call *call, size_t *need)
{
    if (need) return qv_no_scratch(need);
    const qv_tensor *dx = &call->out[0];
    shift_args a = args_of(call, dx, &call->in[0]);
    qv_parallel(qv_pool_for(call, qv_tensor_len(dx)), (size_t)dx->n * a.h, 1, unshift_lines, &a);
    return 0;
}
