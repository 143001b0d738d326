/*
 * The archive's directory and its entries behind zip_read.h. All numbers of the file are compared with its length before they are used. Owns the table, the
 * names and unpacked copies; the map is the caller's.
 */
#include "zip_read.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum {
    LOCAL_BYTES = 30,
    CENTRAL_BYTES = 46,
    END_BYTES = 22,
    END64_BYTES = 56,
    LOCATOR_BYTES = 20,
    COMMENT_LIMIT = 65535,
    MAX_ENTRIES = 200000,
    FLAG_ENCRYPTED = 1,
    STORED = 0,
    DEFLATED = 8
};
static const uint32_t local_mark = 0x04034b50, central_mark = 0x02014b50, end_mark = 0x06054b50, end64_mark = 0x06064b50, locator_mark = 0x07064b50;

static uint64_t number(const unsigned char *at, int bytes)
{
    uint64_t value = 0;
    while (bytes-- > 0) value = value << 8 | at[bytes];
    return value;
}

static sky_status refuse(const struct sky_zip *zip, const char *name, const char *what)
{
    if (name) sky_fail(SKY_FORMAT, zip->path, "entry '%s' of the archive: %s", name, what);
    else sky_fail(SKY_FORMAT, zip->path, "%s", what);
    return sky_hint("the archive is damaged or was made to mislead: fetch or write it again");
}

bool sky_zip_is(const struct sky_map *map)
{
    return map->count >= 4 && (number(map->bytes, 4) == local_mark || number(map->bytes, 4) == end_mark);
}

struct directory {
    uint64_t at, bytes, count;
};

/* The record at the very end, whose comment ends with the file; for large archives, and for torch's, a longer one before it. */
static sky_status find_directory(const struct sky_zip *zip, struct directory *out)
{
    const unsigned char *bytes = zip->map->bytes;
    const size_t size = zip->map->count;
    if (size < END_BYTES) return refuse(zip, NULL, "shorter than an empty archive");
    size_t end = size - END_BYTES;
    const size_t first = end > COMMENT_LIMIT ? end - COMMENT_LIMIT : 0;
    while (!(number(bytes + end, 4) == end_mark && number(bytes + end + 20, 2) == size - END_BYTES - end)) {
        if (end == first) return refuse(zip, NULL, "the archive's directory is missing: it was cut short");
        end--;
    }
    *out = (struct directory){number(bytes + end + 16, 4), number(bytes + end + 12, 4), number(bytes + end + 10, 2)};
    if (number(bytes + end + 4, 2) || number(bytes + end + 6, 2)) return refuse(zip, NULL, "an archive in several parts");
    if (end >= LOCATOR_BYTES && number(bytes + end - LOCATOR_BYTES, 4) == locator_mark) {
        const uint64_t at = number(bytes + end - LOCATOR_BYTES + 8, 8);
        if (at > end - LOCATOR_BYTES || end - LOCATOR_BYTES - at < END64_BYTES || number(bytes + at, 4) != end64_mark)
            return refuse(zip, NULL, "its zip64 directory is missing");
        *out = (struct directory){number(bytes + at + 48, 8), number(bytes + at + 40, 8), number(bytes + at + 32, 8)};
        end = (size_t)at;
    }
    if (out->at > end || out->bytes > end - out->at) return refuse(zip, NULL, "its directory lies outside the file");
    if (out->count > MAX_ENTRIES || out->count > out->bytes / CENTRAL_BYTES) return refuse(zip, NULL, "its directory has fewer entries than it says");
    return SKY_OK;
}

/* Fields of 0xffffffff are in the zip64 extra field, in the order: size, packed size, place. */
static sky_status read_extra(const struct sky_zip *zip, const unsigned char *extra, size_t bytes, struct sky_zip_entry *entry)
{
    uint64_t *const wide[3] = {&entry->bytes, &entry->packed_bytes, &entry->at};
    bool needed = false;
    for (int i = 0; i < 3; i++) needed = needed || *wide[i] == UINT32_MAX;
    while (needed && bytes >= 4) {
        size_t length = (size_t)number(extra + 2, 2), used = 0;
        if (length > bytes - 4) break;
        if (number(extra, 2) == 1) {
            for (int i = 0; i < 3; i++) {
                if (*wide[i] != UINT32_MAX) continue;
                if (used + 8 > length) return refuse(zip, entry->name, "its zip64 sizes are missing");
                *wide[i] = number(extra + 4 + used, 8);
                used += 8;
            }
            return SKY_OK;
        }
        extra += 4 + length;
        bytes -= 4 + length;
    }
    return needed ? refuse(zip, entry->name, "its zip64 sizes are missing") : SKY_OK;
}

/* From the local header to the data. */
static sky_status find_data(const struct sky_zip *zip, const struct directory *directory, struct sky_zip_entry *entry)
{
    const unsigned char *bytes = zip->map->bytes;
    const size_t length = strlen(entry->name);
    if (entry->at > directory->at || directory->at - entry->at < LOCAL_BYTES || number(bytes + entry->at, 4) != local_mark)
        return refuse(zip, entry->name, "it does not begin where the directory says");
    const uint64_t head = LOCAL_BYTES + number(bytes + entry->at + 26, 2) + number(bytes + entry->at + 28, 2);
    if (head > directory->at - entry->at || entry->packed_bytes > directory->at - entry->at - head)
        return refuse(zip, entry->name, "its data lie outside the archive");
    if (number(bytes + entry->at + 26, 2) != length || memcmp(bytes + entry->at + LOCAL_BYTES, entry->name, length) != 0)
        return refuse(zip, entry->name, "it has another name in front of its data");
    entry->at += head;
    return SKY_OK;
}

static sky_status read_entry(struct sky_zip *zip, const struct directory *directory, const unsigned char **at, const unsigned char *end)
{
    struct sky_zip_entry *entry = &zip->entries[zip->count];
    const unsigned char *head = *at;
    if (end - head < CENTRAL_BYTES || number(head, 4) != central_mark) return refuse(zip, NULL, "its directory is damaged");
    const size_t name = (size_t)number(head + 28, 2), extra = (size_t)number(head + 30, 2), comment = (size_t)number(head + 32, 2);
    if ((size_t)(end - head) < CENTRAL_BYTES + name + extra + comment) return refuse(zip, NULL, "its directory is damaged");
    if (!name || memchr(head + CENTRAL_BYTES, 0, name)) return refuse(zip, NULL, "an entry without a proper name");
    SKY_TRY(sky_alloc(&entry->name, name + 1, 1, "an entry's name"));
    zip->count++; /* from here on it is freed with the rest */
    memcpy(entry->name, head + CENTRAL_BYTES, name);
    const uint64_t method = number(head + 10, 2);
    entry->deflated = method == DEFLATED;
    entry->crc = (uint32_t)number(head + 16, 4);
    entry->packed_bytes = number(head + 20, 4), entry->bytes = number(head + 24, 4), entry->at = number(head + 42, 4);
    if (number(head + 8, 2) & FLAG_ENCRYPTED) return refuse(zip, entry->name, "it is encrypted");
    if (method != STORED && method != DEFLATED) return refuse(zip, entry->name, "it is packed in a way that is not read (stored and deflated are)");
    SKY_TRY(read_extra(zip, head + CENTRAL_BYTES + name, extra, entry));
    if (!entry->deflated && entry->bytes != entry->packed_bytes) return refuse(zip, entry->name, "it is stored, yet has two sizes");
    *at = head + CENTRAL_BYTES + name + extra + comment;
    return find_data(zip, directory, entry);
}

static int by_place(const void *a, const void *b)
{
    const struct sky_zip_entry *x = a, *y = b;
    if (x->at != y->at) return x->at < y->at ? -1 : 1;
    return x->packed_bytes < y->packed_bytes ? -1 : x->packed_bytes > y->packed_bytes; /* an empty entry before the one that starts there */
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct sky_zip_entry *)a)->name, ((const struct sky_zip_entry *)b)->name);
}

static sky_status read_directory(struct sky_zip *zip)
{
    struct directory directory = {0, 0, 0};
    SKY_TRY(find_directory(zip, &directory));
    SKY_TRY(sky_alloc(&zip->entries, (size_t)directory.count + 1, sizeof *zip->entries, "an archive's directory"));
    const unsigned char *at = zip->map->bytes + directory.at, *end = at + directory.bytes;
    for (uint64_t i = 0; i < directory.count; i++) SKY_TRY(read_entry(zip, &directory, &at, end));
    qsort(zip->entries, (size_t)zip->count, sizeof *zip->entries, by_place);
    for (int64_t i = 1; i < zip->count; i++)
        if (zip->entries[i].at < zip->entries[i - 1].at + zip->entries[i - 1].packed_bytes)
            return refuse(zip, zip->entries[i].name, "it overlaps another entry");
    qsort(zip->entries, (size_t)zip->count, sizeof *zip->entries, by_name);
    for (int64_t i = 1; i < zip->count; i++)
        if (by_name(&zip->entries[i], &zip->entries[i - 1]) == 0) return refuse(zip, zip->entries[i].name, "it comes twice");
    return SKY_OK;
}

sky_status sky_zip_open(struct sky_zip *zip, const char *path, const struct sky_map *map, size_t unpacked_limit)
{
    *zip = (struct sky_zip){.path = path, .map = map, .unpacked_limit = unpacked_limit};
    const sky_status status = read_directory(zip);
    if (status != SKY_OK) sky_zip_close(zip);
    return status;
}

void sky_zip_close(struct sky_zip *zip)
{
    for (int64_t i = 0; i < zip->count; i++) {
        free(zip->entries[i].name);
        free(zip->entries[i].unpacked);
    }
    free(zip->entries);
    memset(zip, 0, sizeof *zip);
}

struct sky_zip_entry *sky_zip_find(const struct sky_zip *zip, const char *name)
{
    const struct sky_zip_entry key = {.name = (char *)name}; /* read only */
    return zip->count ? bsearch(&key, zip->entries, (size_t)zip->count, sizeof *zip->entries, by_name) : NULL;
}

/* zlib counts in 32 bits: large data go through in pieces. */
static uint32_t checksum(const unsigned char *bytes, uint64_t count)
{
    enum { PIECE = 1 << 30 };
    uLong crc = crc32(0, NULL, 0);
    while (count) {
        const uint64_t part = count < PIECE ? count : PIECE;
        crc = crc32(crc, bytes, (uInt)part);
        bytes += part;
        count -= part;
    }
    return (uint32_t)crc;
}

/* True when the packed bytes are exactly one deflate stream of the promised length. */
static bool inflate_whole(const unsigned char *from, uint64_t from_bytes, unsigned char *to, uint64_t to_bytes)
{
    enum { PIECE = 1 << 30 };
    z_stream stream = {.next_in = (Bytef *)(uintptr_t)from, .next_out = to}; /* zlib only reads its input */
    int result = Z_OK;
    if (inflateInit2(&stream, -MAX_WBITS) != Z_OK) return false;
    uint64_t given = 0, room = 0;
    while (result == Z_OK) {
        if (stream.avail_in == 0 && given < from_bytes) {
            stream.next_in = (Bytef *)(uintptr_t)(from + given);
            stream.avail_in = (uInt)(from_bytes - given < PIECE ? from_bytes - given : PIECE);
            given += stream.avail_in;
        }
        if (stream.avail_out == 0 && room < to_bytes) {
            stream.next_out = to + room;
            stream.avail_out = (uInt)(to_bytes - room < PIECE ? to_bytes - room : PIECE);
            room += stream.avail_out;
        }
        result = inflate(&stream, Z_NO_FLUSH); /* Z_BUF_ERROR when it can go no further */
    }
    const bool whole = result == Z_STREAM_END && given == from_bytes && stream.avail_in == 0 && room == to_bytes && stream.avail_out == 0;
    inflateEnd(&stream);
    return whole;
}

sky_status sky_zip_read(struct sky_zip *zip, struct sky_zip_entry *entry, const unsigned char **out)
{
    if (entry->deflated && !entry->unpacked) {
        if (entry->bytes > zip->unpacked_limit - zip->unpacked_bytes) return refuse(zip, entry->name, "it unpacks to far more than weights do");
        SKY_TRY(sky_alloc(&entry->unpacked, (size_t)entry->bytes + 1, 1, "an unpacked entry"));
        zip->unpacked_bytes += (size_t)entry->bytes;
        if (!inflate_whole(zip->map->bytes + entry->at, entry->packed_bytes, entry->unpacked, entry->bytes))
            return refuse(zip, entry->name, "its deflated data are damaged");
    }
    const unsigned char *bytes = entry->deflated ? entry->unpacked : zip->map->bytes + entry->at;
    if (!entry->checked && checksum(bytes, entry->bytes) != entry->crc) return refuse(zip, entry->name, "its checksum is wrong");
    entry->checked = true;
    *out = bytes;
    return SKY_OK;
}
