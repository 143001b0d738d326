/*
 * Where a GeoTIFF says it lies: its tags as they stand there. What they mean on the earth is retrieve/geo_projection.h's affair.
 */
#ifndef SKY_IMAGE_GEOTIFF_H
#define SKY_IMAGE_GEOTIFF_H

#include "skygem/status.h"

#include <stdbool.h>
#include <stdint.h>

struct sky_geotiff {
    int64_t width, height; /* pixels */
    bool located;          /* it has such tags at all; else nothing below holds */
    /* Column and row (0, 0: the outer corner of the first pixel) to the coordinates of the system:
     * x = map[0] * column + map[1] * row + map[2], y = map[3] * column + map[4] * row + map[5]. */
    double map[6];
    int epsg; /* of the coordinate system; 0: it names none, 32767: one of its own */
};

/* SKY_DATA: no TIFF, or a damaged one, or geo tags that do not fit each other. SKY_UNSUPPORTED: a program built without libtiff. */
sky_status sky_geotiff_read(const char *path, struct sky_geotiff *out);

#endif
