/* How parameters start. */
#include <math.h>

#include "base/philox.h"
#include "net/net.h"

/* Two standard normal numbers from one draw (Box and Muller). */
static void normal_pair(const uint32_t v[4], double out[2])
{
    double u = 1.0 - ((double)v[0] + 0.5) * 0x1p-32;
    double t = ((double)v[1] + 0.5) * 0x1p-32 * 6.283185307179586;
    double r = sqrt(-2 * log(u));
    out[0] = r * cos(t);
    out[1] = r * sin(t);
}

void qv_init_values(const qv_program *p, int buffer, const uint32_t key[2], double *values)
{
    const qv_buffer *b = &p->buffers[buffer];
    size_t n = qv_buffer_len(b);
    /* The place among the parameters, not the id: the same numbers whatever buffers of other roles a program holds. */
    uint32_t place = 0;
    for (int i = 0; i < buffer; i++) place += p->buffers[i].role == QV_ROLE_PARAM;
    for (size_t i = 0; i < n; i += 2) {
        uint32_t counter[4] = {(uint32_t)i, place, (uint32_t)QV_DRAW_INIT << 24, 0};
        qv_philox4 r = qv_philox(counter, key);
        double pair[2] = {0, 0};
        if (b->init == QV_INIT_CONST) pair[0] = pair[1] = b->init_value;
        if (b->init == QV_INIT_NORMAL) normal_pair(r.v, pair);
        if (b->init == QV_INIT_UNIFORM)
            for (int k = 0; k < 2; k++) pair[k] = 2 * (double)qv_uniform(r.v[k]) - 1;
        double scale = b->init == QV_INIT_NORMAL || b->init == QV_INIT_UNIFORM ? b->init_value : 1;
        for (size_t k = 0; k < 2 && i + k < n; k++) values[i + k] = scale * pair[k];
    }
}
