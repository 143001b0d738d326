/*
 * Files and folders behind fs.h, on POSIX calls. A write is either whole and on the disk, or it did not happen. Heap results belong to the
 * caller; handles hold what their closing function frees.
 */
#include "fs.h"

#include "memory.h"
#include "str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

enum { IO_STEP_BYTES = 1 << 30, NEW_FILE_MODE = 0666, NEW_FOLDER_MODE = 0777 }; /* modes: before the user's umask */

/* ---- whole files ---- */

sky_status sky_file_read(const char *path, size_t max_bytes, char **out, size_t *out_bytes)
{
    sky_status status = SKY_OK;
    char *text = NULL;
    size_t count = 0, capacity = 0;
    struct stat info;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return sky_fail_errno(path, "cannot open");
    const size_t expected = !fstat(fd, &info) && S_ISREG(info.st_mode) ? (size_t)info.st_size : 0;
    for (;;) {
        if (expected > max_bytes || count > max_bytes) {
            status = sky_fail(SKY_FORMAT, path, "is larger than %zu bytes, the most a file of this kind may have", max_bytes);
            goto done;
        }
        if (count + 1 >= capacity) { /* room for the size the file claims, one byte to see its end and one NUL */
            char *grown = NULL;
            capacity = capacity ? capacity * 2 : expected + 2 < 4096 ? 4096 : expected + 2;
            grown = realloc(text, capacity);
            if (!grown) {
                status = sky_fail(SKY_NOMEM, path, "cannot allocate %zu bytes to read it", capacity);
                goto done;
            }
            text = grown;
        }
        const size_t room = capacity - count - 1;
        const ssize_t got = read(fd, text + count, room < IO_STEP_BYTES ? room : IO_STEP_BYTES);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) {
            status = sky_fail_errno(path, "cannot read");
            goto done;
        }
        if (got == 0) break;
        count += (size_t)got;
    }
    text[count] = 0;
    *out = text;
    *out_bytes = count;
    text = NULL;
done:
    free(text);
    close(fd);
    return status;
}

static sky_status write_all(int fd, const char *path, const void *bytes, size_t count)
{
    const char *at = bytes;
    while (count) {
        const ssize_t written = write(fd, at, count < IO_STEP_BYTES ? count : IO_STEP_BYTES);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return sky_fail_errno(path, "cannot write");
        at += written;
        count -= (size_t)written;
    }
    return SKY_OK;
}

static sky_status append(int fd, const char *path, const char *line)
{
    const size_t length = strlen(line);
    const struct iovec parts[2] = {{(void *)line, length}, {"\n", 1}};
    ssize_t written;
    do written = writev(fd, parts, 2);
    while (written < 0 && errno == EINTR);
    if (written < 0) return sky_fail_errno(path, "cannot append");
    if ((size_t)written < length) SKY_TRY(write_all(fd, path, line + written, length - (size_t)written)); /* a disk nearly full */
    if ((size_t)written <= length) SKY_TRY(write_all(fd, path, "\n", 1));
    return SKY_OK;
}

/* After a failure the file ends where it did. */
static sky_status cut_back(int fd, off_t end, sky_status status, const char *what)
{
    if (status == SKY_OK || end < 0 || !ftruncate(fd, end)) return status;
    return sky_hint("its last %s is only half there", what);
}

sky_status sky_file_append_line(int fd, const char *path, const char *line)
{
    const off_t end = lseek(fd, 0, SEEK_END);
    return cut_back(fd, end, append(fd, path, line), "line");
}

sky_status sky_file_append(int fd, const char *path, const void *bytes, size_t count)
{
    const off_t end = lseek(fd, 0, SEEK_END);
    return cut_back(fd, end, write_all(fd, path, bytes, count), "record");
}

/* ---- atomic writes ---- */

/* A rename would put a file in the place of a device or a pipe. */
static sky_status check_target(const char *path)
{
    struct stat info;
    if (!*path) return sky_fail(SKY_IO, "a file to write", "its path is empty");
    if (stat(path, &info) || S_ISREG(info.st_mode)) return SKY_OK;
    sky_fail(SKY_IO, path, S_ISDIR(info.st_mode) ? "is a folder, not a file to write" : "is no regular file: what is written there would take its place");
    return sky_hint("name a file");
}

sky_status sky_atomic_open(struct sky_atomic_file *file, const char *path)
{
    sky_status status = SKY_OK;
    struct sky_text temporary = {0};
    memset(file, 0, sizeof *file);
    SKY_TRY(check_target(path));
    sky_text_format(&temporary, "%s.tmp-%ld", path, (long)getpid());
    SKY_TRY_DONE(sky_text_status(&temporary, path));
    SKY_TRY_DONE(sky_strdup(&file->path, path, path));
    file->fd = open(temporary.text, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, NEW_FILE_MODE);
    if (file->fd < 0) {
        status = sky_fail_errno(path, "cannot create its temporary file");
        goto done;
    }
    file->temporary = temporary.text;
    file->open_now = true;
    temporary.text = NULL;
done:
    if (status != SKY_OK) {
        free(file->path);
        memset(file, 0, sizeof *file);
    }
    sky_text_free(&temporary);
    return status;
}

sky_status sky_atomic_write(struct sky_atomic_file *file, const void *bytes, size_t count)
{
    return write_all(file->fd, file->path, bytes, count);
}

/* A rename is on the disk when its folder is. */
static sky_status sync_folder_of(const char *path)
{
    sky_status status = SKY_OK;
    char *folder = NULL;
    SKY_TRY(sky_path_folder(&folder, path));
    const int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || (fsync(fd) && errno != EINVAL)) status = sky_fail_errno(folder, "cannot flush the folder"); /* EINVAL: nothing to flush there */
    if (fd >= 0) close(fd);
    free(folder);
    return status;
}

sky_status sky_atomic_commit(struct sky_atomic_file *file)
{
    sky_status status = SKY_OK;
    if (fsync(file->fd)) status = sky_fail_errno(file->path, "cannot flush to disk");
    if (close(file->fd) && status == SKY_OK) status = sky_fail_errno(file->path, "cannot close");
    if (status == SKY_OK && rename(file->temporary, file->path)) status = sky_fail_errno(file->path, "cannot rename its temporary file");
    if (status != SKY_OK) unlink(file->temporary);
    else status = sync_folder_of(file->path);
    free(file->temporary);
    free(file->path);
    memset(file, 0, sizeof *file);
    return status;
}

void sky_atomic_abort(struct sky_atomic_file *file)
{
    if (!file->open_now) return;
    close(file->fd);
    unlink(file->temporary);
    free(file->temporary);
    free(file->path);
    memset(file, 0, sizeof *file);
}

sky_status sky_atomic_probe(const char *path)
{
    struct sky_atomic_file file = {0};
    SKY_TRY(sky_atomic_open(&file, path));
    sky_atomic_abort(&file);
    return SKY_OK;
}

sky_status sky_file_write_atomic(const char *path, const void *bytes, size_t count)
{
    struct sky_atomic_file file = {0};
    sky_status status = SKY_OK;
    SKY_TRY_DONE(sky_atomic_open(&file, path));
    SKY_TRY_DONE(sky_atomic_write(&file, bytes, count));
    SKY_TRY_DONE(sky_atomic_commit(&file));
done:
    sky_atomic_abort(&file);
    return status;
}

/* ---- folders ---- */

static int compare_entries(const void *a, const void *b)
{
    return strcmp(((const struct sky_entry *)a)->name, ((const struct sky_entry *)b)->name);
}

sky_status sky_folder_list(const char *path, struct sky_listing *out)
{
    sky_status status = SKY_OK;
    struct sky_listing list = {0};
    int64_t capacity = 0;
    DIR *folder = opendir(path);
    if (!folder) return sky_fail_errno(path, "cannot open the folder");
    for (;;) {
        struct stat info;
        errno = 0;
        const struct dirent *found = readdir(folder);
        if (!found && errno) {
            status = sky_fail_errno(path, "cannot read the folder");
            goto done;
        }
        if (!found) break;
        if (!strcmp(found->d_name, ".") || !strcmp(found->d_name, "..")) continue;
        SKY_TRY_DONE(sky_grow(&list.entries, list.count, &capacity, sizeof *list.entries, path));
        struct sky_entry *entry = &list.entries[list.count];
        memset(entry, 0, sizeof *entry);
        SKY_TRY_DONE(sky_strdup(&entry->name, found->d_name, path));
        list.count++;
        if (found->d_type == DT_REG || found->d_type == DT_DIR) {
            entry->is_file = found->d_type == DT_REG;
            entry->is_folder = found->d_type == DT_DIR;
        } else if (!fstatat(dirfd(folder), found->d_name, &info, 0)) { /* a link, or a file system that does not tell; a dangling link is neither */
            entry->is_file = S_ISREG(info.st_mode);
            entry->is_folder = S_ISDIR(info.st_mode);
        }
    }
    if (list.count) qsort(list.entries, (size_t)list.count, sizeof *list.entries, compare_entries);
    *out = list;
    memset(&list, 0, sizeof list);
done:
    closedir(folder);
    sky_listing_free(&list);
    return status;
}

void sky_listing_free(struct sky_listing *listing)
{
    for (int64_t i = 0; i < listing->count; i++) free(listing->entries[i].name);
    free(listing->entries);
    memset(listing, 0, sizeof *listing);
}

bool sky_path_is_folder(const char *path)
{
    struct stat info;
    return !stat(path, &info) && S_ISDIR(info.st_mode);
}

bool sky_path_is_file(const char *path)
{
    struct stat info;
    return !stat(path, &info) && S_ISREG(info.st_mode);
}

sky_status sky_folder_make(const char *path)
{
    sky_status status = SKY_OK;
    char *part = NULL;
    SKY_TRY(sky_strdup(&part, path, path));
    for (char *at = part; *at;) {
        at += strspn(at, "/");
        at += strcspn(at, "/");
        const char kept = *at;
        *at = 0;
        if (mkdir(part, NEW_FOLDER_MODE)) {
            const int code = errno; /* a parent that is there may answer EROFS or EACCES before EEXIST */
            if (!sky_path_is_folder(part)) {
                errno = code == EEXIST ? ENOTDIR : code;
                status = sky_fail_errno(part, "cannot make the folder");
                goto done;
            }
        }
        *at = kept;
    }
done:
    free(part);
    return status;
}

sky_status sky_free_bytes(const char *path, size_t *out)
{
    struct statvfs info;
    if (statvfs(path, &info)) return sky_fail_errno(path, "cannot ask for free space");
    if (!sky_multiply_size(info.f_bavail, info.f_frsize, out)) *out = SIZE_MAX;
    return SKY_OK;
}

/* ---- paths ---- */

sky_status sky_path_join(char **out, const char *folder, const char *name)
{
    struct sky_text path = {0};
    const size_t length = strlen(folder);
    if (name[0] == '/' || !length) return sky_strdup(out, name, name);
    sky_text_format(&path, "%s%s%s", folder, folder[length - 1] == '/' ? "" : "/", name);
    SKY_TRY(sky_text_status(&path, name));
    *out = path.text;
    return SKY_OK;
}

sky_status sky_path_folder(char **out, const char *path)
{
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/') length--; /* "a/b/" names what "a/b" names */
    while (length && path[length - 1] != '/') length--;
    while (length > 1 && path[length - 1] == '/') length--;
    SKY_TRY(sky_strdup(out, length ? path : ".", path));
    if (length) (*out)[length] = 0;
    return SKY_OK;
}

const char *sky_path_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* ---- maps ---- */

sky_status sky_map_open(struct sky_map *map, const char *path)
{
    sky_status status = SKY_OK;
    struct stat info;
    void *bytes = NULL;
    memset(map, 0, sizeof *map);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return sky_fail_errno(path, "cannot open");
    if (fstat(fd, &info)) {
        status = sky_fail_errno(path, "cannot ask for its size");
    } else if (!S_ISREG(info.st_mode)) {
        status = sky_fail(SKY_IO, path, "is not a regular file");
    } else if (info.st_size == 0) {
        map->bytes = (const unsigned char *)""; /* mmap refuses zero bytes */
    } else {
        bytes = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (bytes == MAP_FAILED) {
            status = sky_fail_errno(path, "cannot map");
        } else {
            map->bytes = bytes;
            map->count = (size_t)info.st_size;
        }
    }
    close(fd);
    return status;
}

void sky_map_close(struct sky_map *map)
{
    if (map->count) munmap((void *)map->bytes, map->count);
    memset(map, 0, sizeof *map);
}

/* ---- the lock of a run folder ---- */

static sky_status take_lock(int fd, const char *path, const char *folder)
{
    char pid[24] = "";
    if (flock(fd, LOCK_EX | LOCK_NB)) {
        if (errno != EWOULDBLOCK) return sky_fail_errno(path, "cannot lock");
        const ssize_t got = pread(fd, pid, sizeof pid - 1, 0);
        pid[got > 0 ? got : 0] = 0;
        pid[strcspn(pid, "\n")] = 0;
        sky_fail(SKY_USAGE, folder, "is in use by another run (process %s)", *pid ? pid : "unknown");
        return sky_hint("wait for it to end, or give another folder with -o");
    }
    snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
    if (ftruncate(fd, 0)) return sky_fail_errno(path, "cannot write");
    return write_all(fd, path, pid, strlen(pid));
}

sky_status sky_lock_take(struct sky_lock *lock, const char *folder)
{
    sky_status status = SKY_OK;
    char *path = NULL;
    SKY_TRY(sky_path_join(&path, folder, "run.lock"));
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, NEW_FILE_MODE);
    if (fd < 0) status = sky_fail_errno(path, "cannot open");
    else status = take_lock(fd, path, folder);
    if (status == SKY_OK) lock->fd_plus_one = fd + 1;
    else if (fd >= 0) close(fd);
    free(path);
    return status;
}

/* The file stays: removing it would let a third process lock a name that a second one is about to lock. */
void sky_lock_release(struct sky_lock *lock)
{
    if (lock->fd_plus_one) close(lock->fd_plus_one - 1);
    lock->fd_plus_one = 0;
}
