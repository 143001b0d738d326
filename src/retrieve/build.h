/*
 * Folders of tiles to index files, and indices brought up to date with their folders.
 */
#ifndef SKY_RETRIEVE_BUILD_H
#define SKY_RETRIEVE_BUILD_H

#include "encoder.h"
#include "index.h"
#include "places.h"

struct sky_index_build {
    struct sky_encoder *encoder;
    const char *folder, *output;
    enum sky_store store;
    int64_t sketch; /* numbers of a tile's sketch; 0: none */
    enum sky_geo_source geo;
    const char *table; /* the CSV's path, with SKY_GEO_TABLE */
    enum sky_exif exif;
    double place_radius;
    bool skip_bad;
    const struct sky_index *old; /* rows of unchanged pictures are taken from here; NULL: make all anew. Its store must be the same */
    bool (*progress)(void *context, int64_t done, int64_t total); /* as sky_gather's */
    void *context;
    /* out */
    int64_t tiles, located, kept, embedded, removed, skipped;
    bool unchanged; /* nothing had to be written */
};
sky_status sky_index_build(struct sky_index_build *build);

#endif
