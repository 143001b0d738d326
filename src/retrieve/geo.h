/*
 * Where tiles lie on the earth: from a table, or from the names of web map tiles; distances; and tables of photos whose place is known.
 */
#ifndef SKY_RETRIEVE_GEO_H
#define SKY_RETRIEVE_GEO_H

#include "skygem/status.h"

#include <stdbool.h>
#include <stdint.h>

/* A point, WGS 84 degrees, and the ground size of a pixel there. */
struct sky_geo {
    double latitude, longitude, metres_per_pixel; /* NaN: not known */
};

/* Great circle on a sphere of 6,378,137 m, in metres. */
double sky_geo_distance(double latitude_a, double longitude_a, double latitude_b, double longitude_b);

/* The centre of web mercator tile z/x/y (256 pixels wide; y counts from the north). */
struct sky_geo sky_geo_web_tile(int z, int64_t x, int64_t y);

/* "any/folders/Z/X/Y.ext" with numbers that such a tile can have. tms: y counts from the south. */
bool sky_geo_from_name(const char *path, bool tms, struct sky_geo *out);

/* One row of a table: a picture, and its place or its tile. */
struct sky_geo_row {
    char *path, *tile; /* tile NULL: the table has no such column */
    struct sky_geo geo;
    int line;
};

/* Sorted by path; owns everything. Zero-initialise; free with sky_geo_table_free. */
struct sky_geo_table {
    struct sky_geo_row *rows; /* [count] */
    int64_t count;
};

/*
 * A CSV of path,lat,lon[,metres_per_pixel], or with a header line naming its columns in any order: path, tile, lat, lon, metres_per_pixel. SKY_DATA names file
 * and line: columns that are missing or unknown, no numbers, degrees off the earth, a path twice.
 */
sky_status sky_geo_table_read(struct sky_geo_table *table, const char *path);
void sky_geo_table_free(struct sky_geo_table *table);
const struct sky_geo_row *sky_geo_table_find(const struct sky_geo_table *table, const char *path); /* NULL: not there */

#endif
