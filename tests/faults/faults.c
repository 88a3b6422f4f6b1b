#define _GNU_SOURCE
#include "faults.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* The state of the one program that is under test; its threads share it. */
static struct {
    atomic_size_t seen;
    size_t nth;
    bool stay;
} faults[QV_FAULT_KINDS];

static FILE *_Atomic broken; /* the stream whose reading failed */

void qv_faults_set(qv_fault_kind kind, size_t n, bool stay)
{
    faults[kind].nth = n;
    faults[kind].stay = stay;
    atomic_store(&faults[kind].seen, 0);
}

size_t qv_faults_seen(qv_fault_kind kind) { return atomic_load(&faults[kind].seen); }

static bool fails(qv_fault_kind kind, int error)
{
    size_t i = atomic_fetch_add(&faults[kind].seen, 1) + 1, n = faults[kind].nth;
    if (n == 0 || (faults[kind].stay ? i < n : i != n)) return false;
    errno = error;
    return true;
}

static bool no_memory(void) { return fails(QV_FAULT_MEMORY, ENOMEM); }

#define REAL(type, name, ...) type __real_##name(__VA_ARGS__); type __wrap_##name(__VA_ARGS__)
REAL(void *, malloc, size_t n);
REAL(void *, calloc, size_t n, size_t size);
REAL(void *, realloc, void *p, size_t n);
REAL(void *, aligned_alloc, size_t align, size_t n);
REAL(char *, strdup, const char *s);
REAL(char *, realpath, const char *path, char *out);
REAL(FILE *, fopen, const char *path, const char *mode);
REAL(FILE *, fdopen, int fd, const char *mode);
REAL(int, open, const char *path, int flags, ...);
REAL(size_t, fread, void *p, size_t size, size_t n, FILE *f);
REAL(size_t, fwrite, const void *p, size_t size, size_t n, FILE *f);
REAL(int, ferror, FILE *f);
REAL(int, fseek, FILE *f, long at, int from);
REAL(int, fflush, FILE *f);
REAL(int, fclose, FILE *f);
REAL(int, fsync, int fd);
REAL(int, rename, const char *from, const char *to);
REAL(int, mkdir, const char *path, mode_t mode);
REAL(int, fstat, int fd, struct stat *st);
REAL(void *, mmap, void *at, size_t n, int prot, int flags, int fd, off_t from);
REAL(int, scandir, const char *dir, struct dirent ***out, int (*keep)(const struct dirent *),
     int (*compare)(const struct dirent **, const struct dirent **));
REAL(int, pthread_create, pthread_t *t, const pthread_attr_t *a, void *(*fn)(void *), void *user);
#undef REAL

void *__wrap_malloc(size_t n) { return no_memory() ? NULL : __real_malloc(n); }
void *__wrap_calloc(size_t n, size_t size) { return no_memory() ? NULL : __real_calloc(n, size); }
void *__wrap_realloc(void *p, size_t n) { return no_memory() ? NULL : __real_realloc(p, n); }
void *__wrap_aligned_alloc(size_t align, size_t n) { return no_memory() ? NULL : __real_aligned_alloc(align, n); }
char *__wrap_strdup(const char *s) { return no_memory() ? NULL : __real_strdup(s); }
char *__wrap_realpath(const char *path, char *out) { return no_memory() ? NULL : __real_realpath(path, out); }

static bool no_file(void) { return fails(QV_FAULT_IO, EMFILE); }
static bool no_disk(void) { return fails(QV_FAULT_IO, ENOSPC); }
static bool no_device(void) { return fails(QV_FAULT_IO, EIO); }

FILE *__wrap_fopen(const char *path, const char *mode) { return no_file() ? NULL : __real_fopen(path, mode); }
FILE *__wrap_fdopen(int fd, const char *mode) { return no_file() ? NULL : __real_fdopen(fd, mode); }

int __wrap_open(const char *path, int flags, ...)
{
    va_list ap;
    va_start(ap, flags);
    unsigned mode = va_arg(ap, unsigned);
    va_end(ap);
    return no_file() ? -1 : __real_open(path, flags, mode);
}

size_t __wrap_fread(void *p, size_t size, size_t n, FILE *f)
{
    if (!no_device()) return __real_fread(p, size, n, f);
    broken = f;
    return 0;
}

int __wrap_ferror(FILE *f) { return f == broken ? 1 : __real_ferror(f); }

/* What is printed is no file of ours. */
static bool is_printed(const FILE *f) { return f == stdout || f == stderr; }

size_t __wrap_fwrite(const void *p, size_t size, size_t n, FILE *f)
{
    return !is_printed(f) && no_disk() ? 0 : __real_fwrite(p, size, n, f);
}

int __wrap_fflush(FILE *f) { return !is_printed(f) && no_disk() ? EOF : __real_fflush(f); }

/* A stream is closed even where closing fails. */
int __wrap_fclose(FILE *f)
{
    bool failed = no_disk();
    int error = errno, result = __real_fclose(f);
    if (failed) errno = error;
    if (f == broken) broken = NULL;
    return failed ? EOF : result;
}

int __wrap_fseek(FILE *f, long at, int from) { return no_device() ? -1 : __real_fseek(f, at, from); }
int __wrap_fsync(int fd) { return no_device() ? -1 : __real_fsync(fd); }
int __wrap_rename(const char *from, const char *to) { return no_device() ? -1 : __real_rename(from, to); }
int __wrap_mkdir(const char *path, mode_t mode) { return no_disk() ? -1 : __real_mkdir(path, mode); }
int __wrap_fstat(int fd, struct stat *st) { return no_device() ? -1 : __real_fstat(fd, st); }

void *__wrap_mmap(void *at, size_t n, int prot, int flags, int fd, off_t from)
{
    return fails(QV_FAULT_IO, ENOMEM) ? MAP_FAILED : __real_mmap(at, n, prot, flags, fd, from);
}

int __wrap_scandir(const char *dir, struct dirent ***out, int (*keep)(const struct dirent *),
                   int (*compare)(const struct dirent **, const struct dirent **))
{
    return no_file() ? -1 : __real_scandir(dir, out, keep, compare);
}

int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*fn)(void *), void *user)
{
    return fails(QV_FAULT_MEMORY, EAGAIN) ? EAGAIN : __real_pthread_create(t, a, fn, user);
}
