/*
 * Where each tile of a folder lies: from a table, from the names of web map tiles, or from what GeoTIFFs say themselves.
 */
#ifndef SKY_RETRIEVE_PLACES_H
#define SKY_RETRIEVE_PLACES_H

#include "skygem/status.h"

#include <stdint.h>

/* AUTO: names, if every one is a web map tile's (z/x/y); else the tags of those tiles that are GeoTIFFs. */
enum sky_geo_source { SKY_GEO_AUTO, SKY_GEO_NONE, SKY_GEO_XYZ, SKY_GEO_TMS, SKY_GEO_TIFF, SKY_GEO_TABLE };

/* The source's name as an index keeps it: "auto", "none", "xyz", "tms", "geotiff"; of a table it keeps the absolute path instead. */
const char *sky_geo_source_name(enum sky_geo_source source);

/* Borrows everything. Found places are written to the arrays, NaN where there is none. */
struct sky_places {
    const char *folder;
    char *const *paths; /* [count] below the folder, sorted */
    int64_t count;
    double *latitude, *longitude, *metres_per_pixel; /* [count] */
};

/* table: the CSV's path, with SKY_GEO_TABLE. Tiles without a place are said with their number and an example; SKY_DATA: a name or a table that is wrong,
 * or (SKY_GEO_TIFF) a tile in a coordinate system that is not known. */
sky_status sky_places_find(const struct sky_places *places, enum sky_geo_source source, const char *table);

#endif
