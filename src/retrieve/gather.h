/*
 * Many picture files to features: decoded and resized by worker threads, embedded in batches, handed out in order. One bad picture ends it or is named, counted
 * and left out.
 */
#ifndef SKY_RETRIEVE_GATHER_H
#define SKY_RETRIEVE_GATHER_H

#include "encoder.h"

struct sky_gather {
    struct sky_encoder *encoder;
    const char *root;   /* the paths are relative to it; NULL: to the current folder */
    char *const *paths; /* [count] */
    int64_t count;
    const int64_t *wanted; /* [wanted_count] ascending: which of them; NULL: all */
    int64_t wanted_count;
    enum sky_exif exif;
    bool skip_bad;
    sky_status (*take)(void *context, int64_t picture, const float *feature); /* its number among the paths; the feature is valid during the call */
    bool (*progress)(void *context, int64_t done, int64_t total);             /* first with done 0; may be NULL; false: SKY_INTERRUPTED */
    void *context;
    int64_t skipped; /* out */
};
sky_status sky_gather_run(struct sky_gather *gather);

/* Pictures named by hand: files, and folders with everything below them. Zero-initialise. */
struct sky_pictures {
    char **paths; /* [count] as typed, or below a folder as typed */
    int64_t count, capacity;
};
sky_status sky_pictures_add(struct sky_pictures *pictures, const char *file_or_folder);
void sky_pictures_free(struct sky_pictures *pictures);

#endif
