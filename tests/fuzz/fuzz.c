#define _GNU_SOURCE /* memfd_create */
#include "fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static char folder[64];

const char *qv_fuzz_file(int slot, const uint8_t *data, size_t size)
{
    static int files[QV_FUZZ_SLOTS];
    static char paths[QV_FUZZ_SLOTS][32];
    if (!files[slot]) {
        files[slot] = memfd_create("fuzz", 0);
        snprintf(paths[slot], sizeof paths[slot], "/proc/self/fd/%d", files[slot]);
    }
    qv_fuzz_promise(files[slot] > 0 && ftruncate(files[slot], 0) == 0, "there is a file in memory");
    for (size_t at = 0; at < size;) {
        ssize_t n = pwrite(files[slot], data + at, size - at, (off_t)at);
        qv_fuzz_promise(n > 0, "the file in memory can be written");
        at += (size_t)n;
    }
    return paths[slot];
}

static void empty_folder(void)
{
    DIR *d = opendir(folder);
    qv_fuzz_promise(d != NULL, "the folder is there");
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        if (e->d_name[0] != '.') unlinkat(dirfd(d), e->d_name, 0);
    closedir(d);
}

static void remove_folder(void)
{
    empty_folder();
    rmdir(folder);
}

const char *qv_fuzz_folder(void)
{
    if (folder[0]) {
        empty_folder();
        return folder;
    }
    snprintf(folder, sizeof folder, "%s/quaver-fuzz-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    qv_fuzz_promise(mkdtemp(folder) != NULL, "there is a folder");
    atexit(remove_folder);
    return folder;
}

void qv_fuzz_put(int slot, const char *name, const uint8_t *data, size_t size)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    qv_fuzz_promise(symlink(qv_fuzz_file(slot, data, size), path) == 0, "the file has its name");
}

qv_ctx *qv_fuzz_ctx(void)
{
    qv_ctx *ctx = qv_ctx_new();
    qv_fuzz_promise(ctx != NULL, "there is memory for a context");
    return ctx;
}

void qv_fuzz_promise(int holds, const char *what)
{
    if (holds) return;
    fprintf(stderr, "broken promise: %s\n", what);
    abort();
}

void qv_fuzz_refused(qv_ctx *ctx, qv_status status)
{
    if (status == QV_OK) return;
    qv_fuzz_promise(qv_ctx_message(ctx)[0] != '\0', "a failure has a message");
    qv_fuzz_promise(status != QV_ERR_INTERNAL && status != QV_ERR_INTERRUPTED, "the failure is the input's");
}
