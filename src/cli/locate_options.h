/*
 * What the command line of skygem locate asks for, checked before anything is loaded: what cannot be together, what is out of range, what is not there.
 */
#ifndef SKY_CLI_LOCATE_OPTIONS_H
#define SKY_CLI_LOCATE_OPTIONS_H

#include "args.h"
#include "image/image.h"

/* Texts are the command line's; NULL: not given. */
struct sky_locate_options {
    int64_t k, most;    /* tiles to show; pictures to locate, 0: all */
    int64_t candidates; /* compared exactly after a look through the sketches; 0: every tile is */
    enum sky_exif exif;
    bool json, larger_than_memory;
    bool skip_bad;             /* a bad picture is left out */
    double metres_per_second;  /* --track, 0: off */
    double rate;               /* --fps, 0: by the files' times */
    const char *list, *watch;
    const char *sheet;
    const char *known;         /* a table of photos whose place is known, with --calibrate (fit) or --truth */
    bool fit;
    double within;
};

sky_status sky_locate_options_read(const struct sky_args *args, struct sky_locate_options *out);

#endif
