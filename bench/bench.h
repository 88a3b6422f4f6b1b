/* What the benches share: a context that warns, options, and how long they measure. */
#ifndef QV_BENCH_BENCH_H
#define QV_BENCH_BENCH_H

#include "train/settings.h"

/* Its warnings go to stderr: that cuDNN has no plan for a convolution explains a figure. NULL: no memory. */
qv_ctx *qv_bench_ctx(void);

/* A setting given as text; ends the process with 2 where it makes no sense. */
void qv_bench_set(qv_ctx *ctx, qv_settings *s, const char *name, const char *value);
/* The same of an option that is a setting by a shorter name, "width" of net.width: those of value 0 in a table of
 * getopt_long. */
void qv_bench_option(qv_ctx *ctx, qv_settings *s, const char *option, const char *value);

/* The whole number that an option was given, from `least` on; ends the process with 2 where there is none. */
int qv_bench_number(const char *option, const char *value, int least);
/* The same of any number from 0 to `most`. */
double qv_bench_real(const char *option, const char *value, double most);
/* The next number, from 1 on, of an option's list "8,16,64"; false at its end. */
bool qv_bench_next(const char *option, const char **list, int *value);

/* Seconds that are measured of a figure where nobody says, after half as many of warm-up. A GPU that was idle raises
 * its clocks within some tenths of a second, and steps of a millisecond would be over by then. On the processor 0:
 * rounds are as long as their steps say. */
double qv_bench_span(const qv_settings *s);
/* Whether one more run belongs to the warm-up: at least `least` of them, and where there is a span so many that half of
 * it has passed since the first one, which plans and captures, ended. runs, since: how many there were, and when the
 * first ended. */
bool qv_bench_is_cold(double span, int least, int runs, double since);
/* Of runs that take so many seconds, how many make a round, so that all rounds together take the span. */
int qv_bench_runs(double span, int rounds, double seconds);

/* In ascending order. */
void qv_bench_sort(double *times, int n);

#endif
