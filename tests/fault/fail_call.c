/*
 * For failing_io_test.sh: loaded before the C library, it lets one call of one function on paths that contain FAIL_PATH fail with FAIL_ERRNO: the FAIL_AT-th.
 * With FAIL_AT = 0 it only counts; the number of calls is written to FAIL_COUNT at the end. A failing write has written half of its bytes before.
 */
#define _GNU_SOURCE /* RTLD_NEXT */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static long calls;

__attribute__((destructor)) static void tell(void)
{
    const char *path = getenv("FAIL_COUNT");
    FILE *file = path ? fopen(path, "w") : NULL;
    if (!file) return;
    fprintf(file, "%ld\n", calls);
    fclose(file);
}

/* Whether this call is the one to fail; errno is set then. */
static int fails(const char *function, const char *path)
{
    const char *chosen = getenv("FAIL_CALL"), *part = getenv("FAIL_PATH"), *at = getenv("FAIL_AT"), *code = getenv("FAIL_ERRNO");
    if (!chosen || !part || !at || !code || strcmp(chosen, function) != 0 || !strstr(path, part)) return 0;
    if (++calls != strtol(at, NULL, 10)) return 0;
    errno = (int)strtol(code, NULL, 10);
    return 1;
}

static const char *path_of(int fd, char out[4096])
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    const ssize_t length = readlink(link, out, 4095);
    out[length > 0 ? length : 0] = 0;
    return out;
}

int open(const char *path, int flags, ...)
{
    int (*next)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open");
    va_list arguments;
    va_start(arguments, flags);
    const mode_t mode = flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    return fails("open", path) ? -1 : next(path, flags, mode);
}

ssize_t write(int fd, const void *bytes, size_t count)
{
    char path[4096];
    ssize_t (*next)(int, const void *, size_t) = (ssize_t(*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
    if (!fails("write", path_of(fd, path))) return next(fd, bytes, count);
    const int code = errno;
    if (next(fd, bytes, count / 2) < 0) return -1;
    errno = code;
    return -1;
}

int fsync(int fd)
{
    char path[4096];
    int (*next)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    return fails("fsync", path_of(fd, path)) ? -1 : next(fd);
}

int rename(const char *from, const char *to)
{
    int (*next)(const char *, const char *) = (int (*)(const char *, const char *))dlsym(RTLD_NEXT, "rename");
    return fails("rename", to) ? -1 : next(from, to);
}

int mkdir(const char *path, mode_t mode)
{
    int (*next)(const char *, mode_t) = (int (*)(const char *, mode_t))dlsym(RTLD_NEXT, "mkdir");
    return fails("mkdir", path) ? -1 : next(path, mode);
}

int unlink(const char *path)
{
    int (*next)(const char *) = (int (*)(const char *))dlsym(RTLD_NEXT, "unlink");
    return fails("unlink", path) ? -1 : next(path);
}
