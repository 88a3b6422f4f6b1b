#define _GNU_SOURCE /* realpath(NULL), scandir */
#include "base/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"

/* Without waiting: a named pipe that nobody writes to is empty, and not a reason to hang. */
static qv_status open_file(qv_ctx *ctx, const char *path, const char *as, bool regular, FILE **out, struct stat *st)
{
    qv_status status = QV_OK;
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    *out = NULL;
    if (fd < 0) return qv_fail_errno(ctx, "cannot open %s", as);
    if (fstat(fd, st) != 0)
        status = qv_fail_errno(ctx, "cannot examine %s", as);
    else if (S_ISDIR(st->st_mode))
        status = qv_fail(ctx, QV_ERR_DATA, "%s is a folder, a file was expected", as);
    else if (regular && !S_ISREG(st->st_mode))
        status = qv_fail(ctx, QV_ERR_DATA, "%s is not a regular file", as);
    else if (fcntl(fd, F_SETFL, 0) != 0 || !(*out = fdopen(fd, "rb")))
        status = qv_fail_errno(ctx, "cannot open %s", as);
    if (status != QV_OK) close(fd);
    return status;
}

qv_status qv_open_read(qv_ctx *ctx, const char *path, FILE **out, struct stat *st)
{
    return open_file(ctx, path, path, false, out, st);
}

qv_status qv_open_regular(qv_ctx *ctx, const char *path, const char *as, FILE **out, struct stat *st)
{
    return open_file(ctx, path, as, true, out, st);
}

static qv_status too_large(qv_ctx *ctx, const char *path, size_t limit)
{
    return qv_fail(ctx, QV_ERR_DATA, "%s is larger than the %zu bytes that such a file may have", path, limit);
}

qv_status qv_read_file(qv_ctx *ctx, const char *path, size_t limit, char **data, size_t *size)
{
    qv_buf b = {0};
    struct stat st = {0};
    FILE *f;
    *data = NULL;
    *size = 0;
    qv_status status = qv_open_read(ctx, path, &f, &st);
    if (status != QV_OK) return status;
    if (st.st_size > 0 && (uint64_t)st.st_size > limit) { /* before any of it is read; a pipe's size is 0 */
        status = too_large(ctx, path, limit);
        goto done;
    }
    char chunk[65536];
    size_t n;
    while ((n = fread(chunk, 1, sizeof chunk, f)) > 0) {
        if (b.len + n > limit) {
            status = too_large(ctx, path, limit);
            goto done;
        }
        qv_buf_add(&b, chunk, n);
    }
    if (ferror(f)) {
        status = qv_fail_errno(ctx, "cannot read %s", path);
        goto done;
    }
    qv_buf_add(&b, "", 0);
    QV_TRY(qv_buf_check(ctx, &b));
    *data = b.data;
    *size = b.len;
    b = (qv_buf){0};
done:
    qv_buf_free(&b);
    fclose(f);
    return status;
}

static int line_of(const char *text, size_t offset)
{
    int line = 1;
    for (size_t i = 0; i < offset; i++) line += qv_ends_line(text, i);
    return line;
}

qv_status qv_text_check(qv_ctx *ctx, const char *name, const char *text, size_t size)
{
    size_t bad = qv_utf8_check(text, size);
    if (bad < size) {
        return qv_fail(ctx, QV_ERR_DATA, "%s:%d: byte 0x%02x is not UTF-8; save the file as UTF-8", name,
                       line_of(text, bad), (unsigned)(unsigned char)text[bad]);
    }
    size_t nul = strlen(text);
    if (nul < size) {
        return qv_fail(ctx, QV_ERR_DATA, "%s:%d: a NUL byte; this is not a text file", name, line_of(text, nul));
    }
    return QV_OK;
}

qv_status qv_read_text(qv_ctx *ctx, const char *path, size_t limit, char **text)
{
    static const char mark[] = "\xEF\xBB\xBF";
    size_t size;
    qv_status status = qv_read_file(ctx, path, limit, text, &size);
    if (status == QV_OK) status = qv_text_check(ctx, path, *text, size);
    if (status != QV_OK) {
        free(*text);
        *text = NULL;
        return status;
    }
    if (strncmp(*text, mark, sizeof mark - 1) == 0) memmove(*text, *text + (sizeof mark - 1), size - (sizeof mark - 1) + 1);
    return QV_OK;
}

/* Never through a link that somebody has laid there, nor over what is there. */
static FILE *open_new(const char *path, mode_t mode)
{
    enum { FLAGS = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC };
    int fd = open(path, FLAGS, mode);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "wb");
    if (fd >= 0 && !f) close(fd);
    return f;
}

/* Digits that no other process has, one of the same number on another machine or in another container either. */
static void put_unlike_any(qv_buf *b)
{
    uint32_t drawn;
    if (getrandom(&drawn, sizeof drawn, 0) != sizeof drawn) drawn = (uint32_t)(1e9 * fmod(qv_now(), 1));
    qv_buf_printf(b, "%ld%010lu", (long)getpid(), (unsigned long)drawn);
}

static bool is_below(const char *path, const char *folder)
{
    const size_t n = strlen(folder);
    return strncmp(path, folder, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

/* Whether the entry stands in /dev or /proc: something of the system, to be had by opening it, lost by replacing it. */
static bool is_of_system(qv_ctx *ctx, const char *path)
{
    char *dir = NULL, *real = NULL;
    if (qv_path_dir(ctx, &dir, path) == QV_OK) real = realpath(dir, NULL);
    const bool is = real && ((is_below(real, "/dev") && !is_below(real, "/dev/shm")) || is_below(real, "/proc"));
    free(dir);
    free(real);
    return is;
}

/* The same of what a link leads to, /dev/stdout for one, which may be an open file like any other. */
static bool leads_to_system(qv_ctx *ctx, const char *path)
{
    char link[4096];
    if (is_of_system(ctx, path)) return true;
    const ssize_t n = readlink(path, link, sizeof link - 1);
    if (n <= 0) return false;
    link[n] = '\0';
    return *link == '/' && is_of_system(ctx, link);
}

/* In the words of who gave the path: the file beside it that could not be made is no concern of theirs. */
static qv_status fail_open(qv_ctx *ctx, const char *path)
{
    int reason = errno;
    char *dir;
    qv_status status = qv_path_dir(ctx, &dir, path);
    if (status != QV_OK) return status;
    if (reason == ENOENT && !qv_path_exists(dir)) {
        status = qv_fail(ctx, QV_ERR_IO, "cannot write %s: there is no folder %s; make it first", path, dir);
    } else {
        errno = reason;
        status = qv_fail_errno(ctx, "cannot write %s", path);
    }
    free(dir);
    return status;
}

qv_status qv_out_open(qv_ctx *ctx, qv_out *o, const char *path)
{
    qv_status status = QV_OK;
    qv_buf tmp = {0};
    struct stat st = {0};
    *o = (qv_out){0};
    bool there = stat(path, &st) == 0;
    if (!*path) return qv_fail(ctx, QV_ERR_USAGE, "the name of the file to write is empty");
    if (there && !S_ISREG(st.st_mode))
        return qv_fail(ctx, QV_ERR_IO, "%s is %s; only a regular file can be replaced", path,
                       S_ISDIR(st.st_mode) ? "a folder" : "no regular file");
    if (leads_to_system(ctx, path))
        return qv_fail(ctx, QV_ERR_IO, "%s is of the system, and no file to be replaced; name a file", path);
    QV_TRY(qv_strdup(ctx, &o->path, path));
    qv_buf_printf(&tmp, "%s.tmp-", path);
    put_unlike_any(&tmp);
    QV_TRY(qv_buf_check(ctx, &tmp));
    o->tmp = tmp.data;
    tmp = (qv_buf){0};
    o->f = open_new(o->tmp, there ? st.st_mode & 0666 : 0666); /* who may not read the old one sees nothing of the new */
    if (!o->f)
        status = fail_open(ctx, path);
    else if (there)
        /* what the umask has cut; not all file systems have permissions */
        (void)fchmod(fileno(o->f), st.st_mode & 0666);
done:
    qv_buf_free(&tmp);
    if (status != QV_OK) qv_out_close(o);
    return status;
}

/* So that the new name itself survives a power cut. */
static void sync_parent(qv_ctx *ctx, const char *path)
{
    char *dir = NULL;
    if (qv_path_dir(ctx, &dir, path) != QV_OK) return;
    int fd = open(dir, O_RDONLY | O_DIRECTORY);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    free(dir);
}

qv_status qv_out_commit(qv_ctx *ctx, qv_out *o)
{
    qv_status status = QV_OK;
    if (fflush(o->f) != 0 || ferror(o->f) || fsync(fileno(o->f)) != 0) {
        status = qv_fail_errno(ctx, "cannot write %s", o->path);
        goto done;
    }
    FILE *f = o->f;
    o->f = NULL;
    if (fclose(f) != 0) {
        status = qv_fail_errno(ctx, "cannot write %s", o->path);
        goto done;
    }
    if (rename(o->tmp, o->path) != 0) {
        status = qv_fail_errno(ctx, "cannot write %s", o->path);
        goto done;
    }
    sync_parent(ctx, o->path);
    free(o->tmp);
    o->tmp = NULL;
done:
    qv_out_close(o);
    return status;
}

void qv_out_close(qv_out *o)
{
    if (o->f) fclose(o->f);
    if (o->tmp) unlink(o->tmp);
    free(o->tmp);
    free(o->path);
    *o = (qv_out){0};
}

size_t qv_out_left_over(const char *entry)
{
    static const char middle[] = ".tmp-";
    size_t digits = strlen(entry);
    while (digits > 0 && entry[digits - 1] >= '0' && entry[digits - 1] <= '9') digits--;
    const size_t n = sizeof middle - 1;
    return entry[digits] && digits > n && memcmp(entry + digits - n, middle, n) == 0 ? digits - n : 0;
}

void qv_out_sweep(const char *dir, const char *name)
{
    DIR *d = opendir(dir);
    if (!d) return;
    const size_t n = strlen(name);
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        if (n > 0 && qv_out_left_over(e->d_name) == n && strncmp(e->d_name, name, n) == 0)
            unlinkat(dirfd(d), e->d_name, 0);
    closedir(d);
}

qv_status qv_lock_take(qv_ctx *ctx, qv_lock *l, const char *dir, uint64_t what, bool *taken)
{
    qv_status status = QV_OK;
    char *path = NULL;
    *l = (qv_lock){0};
    *taken = true;
    QV_TRY(qv_path_join(ctx, &path, dir, ".lock"));
    int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (fd < 0) {
        if (errno != EACCES && errno != EROFS && errno != EPERM) status = qv_fail_errno(ctx, "cannot open %s", path);
        goto done;
    }
    l->file = fd + 1;
    struct flock range = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)(what & INT64_MAX), .l_len = 1};
    if (range.l_start == INT64_MAX) range.l_start--; /* the byte's end must be a position, too */
    if (fcntl(fd, F_OFD_SETLK, &range) == 0) goto done;
    *taken = errno != EAGAIN && errno != EACCES;
    if (*taken)
        qv_warn(ctx, "%s cannot be locked (%s): nothing keeps other processes from writing there too", dir,
                strerror(errno));
    qv_lock_release(l);
done:
    free(path);
    return status;
}

void qv_lock_release(qv_lock *l)
{
    if (l->file) close(l->file - 1);
    *l = (qv_lock){0};
}

qv_status qv_out_try(qv_ctx *ctx, const char *path)
{
    qv_out o;
    qv_status status = qv_out_open(ctx, &o, path);
    qv_out_close(&o);
    return status;
}

qv_status qv_write_file(qv_ctx *ctx, const char *path, const void *data, size_t size)
{
    qv_out o;
    qv_status status = qv_out_open(ctx, &o, path);
    if (status != QV_OK) return status;
    if (fwrite(data, 1, size, o.f) != size) {
        status = qv_fail_errno(ctx, "cannot write %s", path);
        qv_out_close(&o);
        return status;
    }
    return qv_out_commit(ctx, &o);
}

qv_status qv_path_join(qv_ctx *ctx, char **out, const char *dir, const char *name)
{
    *out = NULL;
    if (name[0] == '/' || dir[0] == '\0' || strcmp(dir, ".") == 0) return qv_strdup(ctx, out, name);
    qv_buf b = {0};
    bool slash = dir[strlen(dir) - 1] == '/';
    qv_buf_printf(&b, "%s%s%s", dir, slash ? "" : "/", name);
    return qv_buf_take(ctx, &b, out);
}

qv_status qv_write_in(qv_ctx *ctx, const char *dir, const char *name, const void *data, size_t size)
{
    char *path;
    qv_status status = qv_path_join(ctx, &path, dir, name);
    if (status == QV_OK) status = qv_write_file(ctx, path, data, size);
    free(path);
    return status;
}

qv_status qv_path_dir(qv_ctx *ctx, char **out, const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash) return qv_strdup(ctx, out, ".");
    if (slash == path) return qv_strdup(ctx, out, "/");
    qv_status status = qv_strdup(ctx, out, path);
    if (status == QV_OK) (*out)[slash - path] = '\0';
    return status;
}

const char *qv_path_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

void qv_path_names(qv_buf *out, const char *paths)
{
    for (bool first = true; *paths; first = false) {
        size_t whole = strcspn(paths, ","), end = whole;
        while (end > 1 && paths[end - 1] == '/') end--;
        size_t start = end;
        while (start > 0 && paths[start - 1] != '/') start--;
        qv_buf_printf(out, "%s%.*s", first ? "" : ", ", (int)(end - start), paths + start);
        paths += whole + (paths[whole] == ',');
    }
}

qv_status qv_path_absolute(qv_ctx *ctx, char **out, const char *path)
{
    *out = realpath(path, NULL);
    return *out ? QV_OK : qv_fail_errno(ctx, "cannot find %s", path);
}

bool qv_path_exists(const char *path) { return access(path, F_OK) == 0; }

bool qv_is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

qv_status qv_make_dirs(qv_ctx *ctx, const char *path)
{
    char *p = NULL;
    if (!*path) return qv_fail(ctx, QV_ERR_USAGE, "the name of the folder to write to is empty");
    qv_status status = qv_strdup(ctx, &p, path);
    if (status != QV_OK) return status;
    for (char *s = p + 1;; s++) {
        if (*s != '/' && *s != '\0') continue;
        char end = *s;
        *s = '\0';
        if (mkdir(p, 0777) != 0 && !(errno == EEXIST && qv_is_dir(p))) {
            status = errno == EEXIST ? qv_fail(ctx, QV_ERR_IO, "%s is there and is no folder", p)
                                     : qv_fail_errno(ctx, "cannot make the folder %s", p);
            break;
        }
        *s = end;
        if (end == '\0') break;
    }
    free(p);
    return status;
}

static int keep_entry(const struct dirent *e) { return e->d_name[0] != '.' && strcmp(e->d_name, "__MACOSX") != 0; }

static int by_name(const struct dirent **a, const struct dirent **b) { return strcmp((*a)->d_name, (*b)->d_name); }

/* A folder that is being walked, and those above it. */
typedef struct folder {
    const struct folder *up;
    dev_t device;
    ino_t inode;
    int links; /* that lead here from the top */
} folder;

enum { MOST_LINKS = 3 }; /* to folders, one within the other: the number of ways grows with each */

static bool is_walked(const folder *f, const struct stat *st)
{
    while (f && !(f->device == st->st_dev && f->inode == st->st_ino)) f = f->up;
    return f != NULL;
}

static qv_status walk_folder(qv_ctx *ctx, const char *dir, const folder *f, qv_walk_fn fn, void *user);

static qv_status walk_entry(qv_ctx *ctx, const char *path, const folder *up, qv_walk_fn fn, void *user)
{
    struct stat st;
    qv_status status = qv_poll(ctx);
    if (status != QV_OK) return status;
    if (lstat(path, &st) != 0) /* gone since its folder was listed, or not to be seen */
        return errno == ENOENT ? QV_OK : qv_fail_errno(ctx, "cannot examine %s", path);
    const bool is_link = S_ISLNK(st.st_mode);
    const bool leads = !is_link || stat(path, &st) == 0;
    if (!leads || S_ISREG(st.st_mode)) return fn(ctx, user, path);
    if (!S_ISDIR(st.st_mode) || is_walked(up, &st)) return QV_OK;
    const folder f = {up, st.st_dev, st.st_ino, up->links + is_link};
    if (f.links > MOST_LINKS)
        return qv_fail(ctx, QV_ERR_DATA, "%s: more than %d links to folders within each other", path, MOST_LINKS);
    return walk_folder(ctx, path, &f, fn, user);
}

static qv_status walk_folder(qv_ctx *ctx, const char *dir, const folder *f, qv_walk_fn fn, void *user)
{
    struct dirent **entries = NULL;
    int n = scandir(dir, &entries, keep_entry, by_name);
    if (n < 0) return qv_fail_errno(ctx, "cannot list the folder %s", dir);
    qv_status status = QV_OK;
    for (int i = 0; i < n; i++) {
        char *path = NULL;
        if (status == QV_OK) status = qv_path_join(ctx, &path, dir, entries[i]->d_name);
        if (status == QV_OK) status = walk_entry(ctx, path, f, fn, user);
        free(path);
        free(entries[i]);
    }
    free(entries);
    return status;
}

qv_status qv_walk(qv_ctx *ctx, const char *dir, qv_walk_fn fn, void *user)
{
    struct stat st;
    if (stat(dir, &st) != 0) return qv_fail_errno(ctx, "cannot list the folder %s", dir);
    return walk_folder(ctx, dir, &(folder){.device = st.st_dev, .inode = st.st_ino}, fn, user);
}

size_t qv_walk_root(const char *dir)
{
    const size_t n = strlen(dir);
    return n == 0 || strcmp(dir, ".") == 0 ? 0 : dir[n - 1] == '/' ? n : n + 1; /* as qv_path_join */
}

bool qv_has_ending(const char *path, const char *words)
{
    const char *dot = strrchr(qv_path_base(path), '.');
    const size_t n = dot ? strlen(dot + 1) : 0;
    for (const char *s = words; n && *s; s += strspn(s, " ")) {
        const size_t word = strcspn(s, " ");
        if (word == n && strncasecmp(s, dot + 1, n) == 0) return true;
        s += word;
    }
    return false;
}

bool qv_is_lfs_pointer(const void *head, size_t n)
{
    static const char first[] = "version https://git-lfs";
    return n >= sizeof first - 1 && memcmp(head, first, sizeof first - 1) == 0;
}
