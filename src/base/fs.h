/*
 * Files and folders: whole reads, atomic writes (temporary name, fsync, rename, fsync of the folder), sorted listings, locks, maps.
 * Every failure names the path and errno's text.
 */
#ifndef SKY_BASE_FS_H
#define SKY_BASE_FS_H

#include "skygem/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Reads a whole file into a heap block (one NUL byte behind it); caller frees. Refuses files above max_bytes. */
sky_status sky_file_read(const char *path, size_t max_bytes, char **out, size_t *out_bytes);

/* Writes through "PATH.tmp-PID": close and rename happen in commit; abort removes the temporary file. A folder, device or pipe at PATH is refused. Zero-initialise. */
struct sky_atomic_file {
    int fd; /* valid while open_now */
    bool open_now;
    char *path, *temporary;
};
sky_status sky_atomic_open(struct sky_atomic_file *file, const char *path);
sky_status sky_atomic_write(struct sky_atomic_file *file, const void *bytes, size_t count);
sky_status sky_atomic_commit(struct sky_atomic_file *file); /* fsync, close, rename, fsync of the folder; aborts itself on failure */
void sky_atomic_abort(struct sky_atomic_file *file);        /* no-op when not open */
sky_status sky_atomic_probe(const char *path);               /* whether it could be written: before long work whose result goes there */
sky_status sky_file_write_atomic(const char *path, const void *bytes, size_t count);

/* Appends one line (newline added) with a single write(2). After a failure the file is as it was. */
sky_status sky_file_append_line(int fd, const char *path, const char *line);
sky_status sky_file_append(int fd, const char *path, const void *bytes, size_t count); /* likewise, of any bytes */

/* A folder's entries, sorted by byte order, without "." and "..". Zero-initialise; free with sky_listing_free. */
struct sky_listing {
    struct sky_entry {
        char *name;
        bool is_folder; /* links are followed */
        bool is_file;
    } *entries;
    int64_t count;
};
sky_status sky_folder_list(const char *path, struct sky_listing *out);
void sky_listing_free(struct sky_listing *listing);

bool sky_path_is_folder(const char *path);
bool sky_path_is_file(const char *path);
sky_status sky_folder_make(const char *path); /* with parents; fine when it is there */
sky_status sky_path_join(char **out, const char *folder, const char *name); /* heap; an absolute `name` stands alone */
sky_status sky_path_folder(char **out, const char *path);                  /* heap; "." when there is none */
const char *sky_path_base(const char *path);                               /* behind the last '/' */
sky_status sky_free_bytes(const char *path, size_t *out);                  /* room left on that file system */

/* A read-only map of a whole file. Zero-initialise; sky_map_close. */
struct sky_map {
    const unsigned char *bytes;
    size_t count;
};
sky_status sky_map_open(struct sky_map *map, const char *path);
void sky_map_close(struct sky_map *map);

/* One process a folder: flock on FOLDER/run.lock, holder's pid inside. Busy: SKY_USAGE naming the pid. Zero is closed. */
struct sky_lock {
    int fd_plus_one;
};
sky_status sky_lock_take(struct sky_lock *lock, const char *folder);
void sky_lock_release(struct sky_lock *lock);

#endif
