/*
 * Where locate's pictures come from: files and folders named by hand, a list, standard input (paths line by line, or JPEG pictures one behind the other as
 * cameras and ffmpeg give them), or a folder that is watched. One at a time, as they come.
 */
#ifndef SKY_CLI_FRAMES_H
#define SKY_CLI_FRAMES_H

#include "args.h"
#include "retrieve/gather.h"

#include <stddef.h>

/* A picture, in a file or in memory. Valid until the next one is asked for. */
struct sky_frame {
    const char *name;     /* its path, or "stdin#3"; NULL: there are no more */
    const uint8_t *bytes; /* [count]; NULL: read the file */
    size_t count;
    double modified; /* seconds since 1970 of the file; NaN: not known */
};

struct sky_frames;

/* list and watch may be NULL; else no operand may be given. An operand "-" stands for standard input, alone. SKY_USAGE when there is nothing, or too much. */
sky_status sky_frames_open(struct sky_frames **out, const struct sky_args *args, const char *list, const char *watch);
void sky_frames_close(struct sky_frames *frames);

/* Waits for one. A signal ends a stream like its end; of pictures that were named or listed it leaves some out: SKY_INTERRUPTED. */
sky_status sky_frames_next(struct sky_frames *frames, struct sky_frame *out);

#endif
