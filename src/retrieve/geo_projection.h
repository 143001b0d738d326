/*
 * Coordinates of the systems in which satellite tiles come to latitude and longitude: WGS 84 in degrees (EPSG 4326), web mercator (3857), UTM zones (326xx north, 327xx south).
 */
#ifndef SKY_RETRIEVE_GEO_PROJECTION_H
#define SKY_RETRIEVE_GEO_PROJECTION_H

#include "geo.h"
#include "image/geotiff.h"

/* Degrees, WGS 84. False: the system is not one of these. x is east (longitude), y north. */
bool sky_geo_unproject(int epsg, double x, double y, double *latitude, double *longitude);

/* The middle of a GeoTIFF's picture and the ground size of a pixel there (of a square with its area). SKY_DATA: another system, which is named, or a place off the earth. */
sky_status sky_geo_from_geotiff(const char *path, const struct sky_geotiff *tags, struct sky_geo *out);

#endif
