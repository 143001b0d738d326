/*
 * The marker walk behind jpeg_stream.h. Pictures within a picture's headers (thumbnails) are jumped over with their segment. Keeps nothing.
 */
#include "jpeg_stream.h"

enum { SOI = 0xd8, EOI = 0xd9, SOS = 0xda, TEM = 0x01, RST0 = 0xd0, RST7 = 0xd7, FILL = 0xff };

/* The next 0xff 0xd8 0xff at or behind `at`; count when there is none. */
static size_t find_start(const unsigned char *bytes, size_t count, size_t at)
{
    for (; at + 2 < count; at++)
        if (bytes[at] == 0xff && bytes[at + 1] == SOI && bytes[at + 2] == 0xff) return at;
    return count;
}

/* Behind the picture that begins at bytes[0]; 0: it goes on behind `count`. */
static size_t find_end(const unsigned char *bytes, size_t count)
{
    size_t at = 2;
    while (at + 1 < count) {
        const unsigned char marker = bytes[at + 1];
        if (bytes[at] != 0xff) return at; /* no marker where one must be: damaged, and it ends here */
        if (marker == FILL) {
            at++;
            continue;
        }
        if (marker == EOI) return at + 2;
        if (marker == SOI) return at; /* the next one begins before this one ends */
        if (marker == TEM || (marker >= RST0 && marker <= RST7)) {
            at += 2;
            continue;
        }
        if (at + 3 >= count) return 0;
        at += 2 + ((size_t)bytes[at + 2] << 8 | bytes[at + 3]);
        if (marker != SOS) continue;
        /* coded data: up to a marker that is neither a stuffed zero nor a restart */
        while (at + 1 < count && !(bytes[at] == 0xff && bytes[at + 1] != 0 && bytes[at + 1] != FILL && !(bytes[at + 1] >= RST0 && bytes[at + 1] <= RST7))) at++;
    }
    return 0;
}

enum sky_jpeg_found sky_jpeg_find(const unsigned char *bytes, size_t count, bool ended, size_t *start, size_t *length)
{
    *start = find_start(bytes, count, 0), *length = 0;
    if (*start == count) {
        *start = ended ? count : count > 2 ? count - 2 : 0; /* the last two may be a beginning */
        return SKY_JPEG_NONE;
    }
    *length = find_end(bytes + *start, count - *start);
    if (!*length && !ended) return SKY_JPEG_BEGUN;
    if (!*length) *length = count - *start;
    return SKY_JPEG_WHOLE;
}
