/* How the emulation stops: a diagnosis on stderr and the end of the process. */
#ifndef SIMT_FAIL_H
#define SIMT_FAIL_H

namespace simt {

enum { FAIL_STATUS = 86 };

/* Prints the message, the kernel and thread that run, and the seed; exits with FAIL_STATUS. */
[[noreturn]] void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* SIMT_SEED of the environment (0: everything ascending, 1: descending, else random orders),
 * read once; and the next number of the sequence that it starts. */
unsigned long long seed();
unsigned long long random_next();
/* A number below n. */
unsigned random_below(unsigned n);

} // namespace simt

#endif
