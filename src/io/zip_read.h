/*
 * A restricted reader of zip archives, for torch's files: stored and deflated entries, zip64, nothing encrypted, nothing split. Every entry is checked
 * against its local header when the archive is opened; no two may overlap or have one name. A damaged archive is SKY_FORMAT.
 */
#ifndef SKY_IO_ZIP_READ_H
#define SKY_IO_ZIP_READ_H

#include "base/fs.h"
#include "skygem/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sky_zip_entry {
    char *name;
    bool deflated, checked; /* checked: its CRC-32 was compared */
    uint32_t crc;
    uint64_t at, packed_bytes, bytes; /* where its data begin in the archive, how long they are there, and unpacked */
    unsigned char *unpacked;          /* heap copy of a deflated entry, once read */
};

struct sky_zip {
    const char *path;         /* the caller's */
    const struct sky_map *map; /* the caller's */
    struct sky_zip_entry *entries; /* [count], sorted by name */
    int64_t count;
    size_t unpacked_bytes, unpacked_limit; /* of all deflated entries read so far, and what they may come to */
};

bool sky_zip_is(const struct sky_map *map); /* begins as an archive does */

/* Zero-initialise. Path and map must outlive it. */
sky_status sky_zip_open(struct sky_zip *zip, const char *path, const struct sky_map *map, size_t unpacked_limit);
void sky_zip_close(struct sky_zip *zip);
struct sky_zip_entry *sky_zip_find(const struct sky_zip *zip, const char *name); /* NULL when absent */

/* The entry's bytes, in the map or unpacked, valid until the archive is closed; its checksum is verified. */
sky_status sky_zip_read(struct sky_zip *zip, struct sky_zip_entry *entry, const unsigned char **out);

#endif
