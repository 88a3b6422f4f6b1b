/* What every test program may use. */
#ifndef QV_TEST_SUPPORT_H
#define QV_TEST_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/io.h"
#include "base/status.h"

/* Seed of all random data of the run: QV_SEED of the environment, else 1. Printed by
 * qv_test_main with the line that runs the same again. */
uint64_t qv_test_seed(void);

/* Whether an op of that name is to be looked at: QV_OPS of the environment, names between commas; not set: all. */
bool qv_test_wants_op(const char *name);

/* Next of a fixed sequence (base/random.h), and numbers from it. */
uint64_t qv_test_next(uint64_t *state);
double qv_test_uniform(uint64_t *state, double low, double high);
double qv_test_normal(uint64_t *state);

/* A fresh private folder, removed with all its content by qv_test_rmdir. */
char *qv_test_tmpdir(void);
void qv_test_rmdir(char *dir);

/* A file dir/name with the text, and the folders on the way to it. */
void qv_test_put(qv_ctx *ctx, const char *dir, const char *name, const char *text);
/* Fails the test, showing what is there, where `want` does not stand in a text (NULL: none), or in a file. */
void qv_test_says(const char *text, const char *want);
void qv_test_file_says(qv_ctx *ctx, const char *dir, const char *name, const char *want);

/* A context whose messages go to stderr. */
qv_ctx *qv_test_ctx(void);

/* Fails the test with the context's message when `s` is not QV_OK. */
#define qv_assert_ok(ctx, s) qv_test_ok((ctx), (s), __FILE__, __LINE__)
void qv_test_ok(qv_ctx *ctx, qv_status s, const char *file, int line);

/* Folder of a real corpus ("emodb"), or NULL after a loud line on stderr. */
const char *qv_test_corpus(const char *name);

#endif
