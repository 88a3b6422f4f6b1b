/* One file, one byte a run: fcntl's record locks, which end with the process that holds them, also over NFS. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/io.h"
#include "study/study_own.h"

qv_status qv_run_lock_open(qv_ctx *ctx, qv_run_lock *l, const char *out)
{
    *l = (qv_run_lock){.fd = -1};
    qv_status status = qv_path_join(ctx, &l->path, out, "lock");
    if (status != QV_OK) return status;
    l->fd = open(l->path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
    return l->fd >= 0 ? QV_OK : qv_fail_errno(ctx, "cannot open %s", l->path);
}

void qv_run_lock_close(qv_run_lock *l)
{
    if (l->path && l->fd >= 0) close(l->fd);
    free(l->path);
    *l = (qv_run_lock){.fd = -1};
}

/* A byte far beyond the end of the empty file, the same for a name whatever the plan. */
static struct flock byte_of(const char *name, short type)
{
    uint64_t h = XXH3_64bits(name, strlen(name));
    return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)(h >> 2), .l_len = 1};
}

static qv_status lock(qv_ctx *ctx, qv_run_lock *l, struct flock byte, bool wait, bool *taken)
{
    int got;
    do got = fcntl(l->fd, wait ? F_SETLKW : F_SETLK, &byte);
    while (got != 0 && errno == EINTR);
    *taken = got == 0;
    if (*taken || errno == EACCES || errno == EAGAIN) return QV_OK;
    return qv_fail_errno(ctx, "%s: this file system does not lock; give an --out on one that does", l->path);
}

qv_status qv_run_lock_take(qv_ctx *ctx, qv_run_lock *l, const char *name, bool wait, bool *taken)
{
    return lock(ctx, l, byte_of(name, F_WRLCK), wait, taken);
}

qv_status qv_run_lock_share(qv_ctx *ctx, qv_run_lock *l, const char *name)
{
    bool taken;
    return lock(ctx, l, byte_of(name, F_RDLCK), true, &taken);
}

void qv_run_lock_leave(qv_run_lock *l, const char *name)
{
    struct flock byte = byte_of(name, F_UNLCK);
    fcntl(l->fd, F_SETLK, &byte);
}
