/* Calls of the C library that fail on purpose. The test program is linked so that every call the project itself makes of
 * the functions in faults.c comes here first (ld's --wrap): what is tested is the program as it is built for everyone. */
#ifndef QV_TEST_FAULTS_H
#define QV_TEST_FAULTS_H

#include <stdbool.h>
#include <stddef.h>

typedef enum qv_fault_kind { QV_FAULT_MEMORY, QV_FAULT_IO, QV_FAULT_KINDS } qv_fault_kind;

/* The nth call of that kind from now fails, and with `stay` every later one too. n = 0: none does. */
void qv_faults_set(qv_fault_kind kind, size_t n, bool stay);
/* Calls of that kind since then. */
size_t qv_faults_seen(qv_fault_kind kind);

#endif
