/* Power spectra of 16 real signals at once.
 *
 * The signals' samples lie beside each other (lane innermost), so each butterfly is plain vector
 * arithmetic without a shuffle, on any vector width. A lane's result does not depend on what the
 * other lanes hold, nor on the instruction set: sums are never reordered or contracted. */
#ifndef QV_DATA_FFT_H
#define QV_DATA_FFT_H

#include "base/status.h"

enum { QV_LANES = 16, QV_FFT_MIN = 16, QV_FFT_MAX = 65536 };

typedef float qv_lanes __attribute__((vector_size(QV_LANES * sizeof(float))));

/* Compiles a function once an instruction set; the dynamic loader picks the best. Not under the
 * sanitizers, whose run time is not yet up when the loader asks. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define QV_SANITIZED 1
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define QV_SANITIZED 1
#endif
#if defined(__x86_64__) && defined(__GLIBC__) && !defined(QV_SANITIZED)
#define QV_MULTIVERSION __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define QV_MULTIVERSION
#endif

typedef struct qv_fft qv_fft;

/* n points: a power of two from QV_FFT_MIN to QV_FFT_MAX. Tables only: one may serve many threads. */
qv_status qv_fft_new(qv_ctx *ctx, qv_fft **out, int n);
void qv_fft_free(qv_fft *f);

/* Lanes of work space that qv_fft_power needs. */
size_t qv_fft_work(const qv_fft *f);

/* power[k] = |sum over j < length of window[j] x[j] exp(-2 pi i j k / n)|^2 for k in [0, n/2], with
 * x = samples + lane * hop; length <= n. Reads samples up to (QV_LANES - 1) * hop + length. */
void qv_fft_power(const qv_fft *f, const float *samples, size_t hop, const float *window, int length, qv_lanes *work,
                  qv_lanes *power);

/* Memory for n lanes, aligned for them, zeroed; released with free(). */
qv_status qv_lanes_alloc(qv_ctx *ctx, qv_lanes **out, size_t n);

#endif
