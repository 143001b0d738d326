/*
 * Where one JPEG picture ends and the next begins in a stream of them. Looks at markers only.
 */
#ifndef SKY_CLI_JPEG_STREAM_H
#define SKY_CLI_JPEG_STREAM_H

#include <stdbool.h>
#include <stddef.h>

enum sky_jpeg_found {
    SKY_JPEG_NONE,  /* no picture begins here; *start: bytes that can be dropped */
    SKY_JPEG_BEGUN, /* one begins at *start and has not ended yet */
    SKY_JPEG_WHOLE  /* *start, *length; a damaged one goes up to where it stops being a JPEG, and a cut one, at the stream's end, up to that */
};
enum sky_jpeg_found sky_jpeg_find(const unsigned char *bytes, size_t count, bool ended, size_t *start, size_t *length);

#endif
