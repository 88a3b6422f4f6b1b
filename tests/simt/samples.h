/* Kernels for the test of the emulation: right ones, and ones with a defect each. */
#ifndef SIMT_SAMPLES_H
#define SIMT_SAMPLES_H

#ifdef __cplusplus
extern "C" {
#endif

/* y[b] = sum of the 256 x of block b; variants leave out the barrier that they name. ONE_PAIR is no
 * sum: a single thread reads what a single other one writes. */
typedef enum sum_variant { SUM_RIGHT, SUM_NO_BARRIER, SUM_NO_REUSE_BARRIER, SUM_ONE_PAIR } sum_variant;
int sample_sum(void *stream, sum_variant v, const float *x, float *y, int blocks);
/* y[i] = x of the neighbour lane, through shared memory. */
int sample_lanes(void *stream, int syncwarp, const float *x, float *y);
/* y[9][32]: shuffles and votes of one warp, whose results the test knows. */
int sample_warp(void *stream, unsigned *y);
/* y[0] = the sum of all n x, by the last block to finish. */
typedef enum ticket_variant {
    TICKET_RIGHT,
    TICKET_NO_FENCE,
    TICKET_LATE_FENCE,   /* behind the atomic operation */
    TICKET_EARLY_FENCE,  /* before what is to be read */
    TICKET_OTHERS_FENCE, /* of a thread that draws no ticket */
    TICKET_NO_ACQUIRE
} ticket_variant;
int sample_ticket(void *stream, ticket_variant v, const float *x, float *part, unsigned *ticket, float *y, int blocks);
/* y[0] counts threads; atomic or not; across blocks or within one. */
int sample_count(void *stream, int atomic, int *y, int blocks, int threads);
/* y[i] = 2 x[i + over], i < n. */
int sample_double(void *stream, const float *x, float *y, int n, int over);
/* y[i] = 2 x[i + shift], i < 64, by float4; raw: read without qv_ld4. */
int sample_vector(void *stream, int raw, const float *x, float *y, int shift);

typedef enum defect {
    DEFECT_DIVERGENT_SHUFFLE,
    DEFECT_TWO_SITE_SHUFFLE,
    DEFECT_LANE_NOT_IN_MASK,
    DEFECT_SOURCE_NOT_IN_MASK,
    DEFECT_PARTIAL_WARP,
    DEFECT_WIDTH,
    DEFECT_SHUFFLE_AND_BARRIER,
    DEFECT_MASKS_IN_A_RING,
    DEFECT_DIVERGENT_BARRIER,
    DEFECT_TWO_SITE_BARRIER,
    DEFECT_EARLY_RETURN,
    DEFECT_SHARED_STATIC_OVERRUN,
    DEFECT_SHARED_DYNAMIC_OVERRUN,
    DEFECT_SHARED_UNWRITTEN,
    DEFECT_OVERFLOW,
    DEFECT_HALF_WORDS
} defect;
int sample_defect(void *stream, defect d, float *y, int threads);
/* Asks for what no GPU gives: the error comes back. */
int sample_shape(void *stream, unsigned grid_x, unsigned grid_y, unsigned block_x, unsigned block_z, unsigned long shared);
/* y[i] += x[i], one block of 64. */
int sample_add(void *stream, const float *x, float *y);

#ifdef __cplusplus
}
#endif
#endif
