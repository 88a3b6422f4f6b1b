/* Files: whole reads with a limit, atomic writes, paths, folders. */
#ifndef QV_BASE_IO_H
#define QV_BASE_IO_H

#include <stdio.h>
#include <sys/stat.h>

#include "base/buf.h"

/* Opens a file, not a folder, to be read; *st: what it is. */
qv_status qv_open_read(qv_ctx *ctx, const char *path, FILE **out, struct stat *st);
/* The same, and no pipe or device either: where its size is relied on. Messages call it `as`: the path, or "it". */
qv_status qv_open_regular(qv_ctx *ctx, const char *path, const char *as, FILE **out, struct stat *st);
/* Reads a whole file of at most `limit` bytes; appends a NUL that `size` does not count. */
qv_status qv_read_file(qv_ctx *ctx, const char *path, size_t limit, char **data, size_t *size);
/* QV_ERR_DATA "NAME:LINE: ..." where the text, which ends with a NUL of its own, is not UTF-8 or holds a NUL. */
qv_status qv_text_check(qv_ctx *ctx, const char *name, const char *text, size_t size);
/* Reads a file as qv_read_file does, a text in UTF-8 without a NUL; a byte order mark at its start is dropped. */
qv_status qv_read_text(qv_ctx *ctx, const char *path, size_t limit, char **text);

/* An output file that appears under its name complete or not at all: written beside
 * (PATH.tmp- and digits), flushed, fsynced and renamed by commit. A path that stands for something else than a
 * regular file (a folder, a device) is refused; a file that is replaced passes its permissions on. */
typedef struct qv_out {
    FILE *f;
    char *path, *tmp;
} qv_out;

qv_status qv_out_open(qv_ctx *ctx, qv_out *o, const char *path);
qv_status qv_out_commit(qv_ctx *ctx, qv_out *o);
/* Whether it could be opened, for who begins with hours of work; leaves nothing. */
qv_status qv_out_try(qv_ctx *ctx, const char *path);
/* Removes what was not committed; harmless after commit and on a zeroed qv_out. */
void qv_out_close(qv_out *o);
/* Bytes of NAME where the entry of a folder is what a process that was killed left beside NAME, else 0. */
size_t qv_out_left_over(const char *entry);
/* Removes what processes that were killed left beside DIR/NAME; only for who holds a lock on it. */
void qv_out_sweep(const char *dir, const char *name);

/* A lock that other processes see, on byte `what` of DIR/.lock; it ends with the process however that ends. */
typedef struct qv_lock {
    int file; /* descriptor + 1, 0: none */
} qv_lock;

/* *taken is false where somebody else holds it. A folder that cannot be written needs no lock, and one on a file
 * system without locks gets a warning: *taken is true for both. */
qv_status qv_lock_take(qv_ctx *ctx, qv_lock *l, const char *dir, uint64_t what, bool *taken);
/* Harmless on a zeroed lock. */
void qv_lock_release(qv_lock *l);

/* The whole buffer as one atomic file. */
qv_status qv_write_file(qv_ctx *ctx, const char *path, const void *data, size_t size);

/* The same as dir/name. */
qv_status qv_write_in(qv_ctx *ctx, const char *dir, const char *name, const void *data, size_t size);

/* "dir/name", or name alone where it is absolute or dir is empty or ".". Release with free(). */
qv_status qv_path_join(qv_ctx *ctx, char **out, const char *dir, const char *name);
/* The folder of a path, "." if it has none. */
qv_status qv_path_dir(qv_ctx *ctx, char **out, const char *path);
/* Last component, inside `path`. */
const char *qv_path_base(const char *path);
/* What people call a path, or a list of them: "a.csv, b" of "x/a.csv,y/b/". */
void qv_path_names(qv_buf *out, const char *paths);
/* Real absolute path of something that exists. */
qv_status qv_path_absolute(qv_ctx *ctx, char **out, const char *path);

bool qv_path_exists(const char *path);
bool qv_is_dir(const char *path);
/* mkdir -p, mode 0777 less umask. */
qv_status qv_make_dirs(qv_ctx *ctx, const char *path);

/* Calls fn for every regular file below dir, in byte order of the paths; names that start with "." and __MACOSX are
 * passed over, and so is what goes away meanwhile. Links are followed, but not to a folder that is being walked; one
 * that leads nowhere counts as a file. */
typedef qv_status (*qv_walk_fn)(qv_ctx *ctx, void *user, const char *path);
qv_status qv_walk(qv_ctx *ctx, const char *dir, qv_walk_fn fn, void *user);
/* Bytes of a path that qv_walk gives before what stands below dir. */
size_t qv_walk_root(const char *dir);

/* Whether the name ends with a point and one of the words, such as "wav flac", in any case. */
bool qv_has_ending(const char *path, const char *words);
/* Whether a file begins so (n bytes of it) that it is what git-lfs leaves in the place of another one. */
bool qv_is_lfs_pointer(const void *head, size_t n);

#endif
