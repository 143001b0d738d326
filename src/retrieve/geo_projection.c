/*
 * Inverse projections. UTM by Krueger's series in the third flattening (C. Karney, Transverse Mercator with an accuracy of a few nanometers, 2011), to its
 * fourth power: better than a millimetre within a zone. Keeps nothing.
 */
#include "geo_projection.h"

#include <math.h>

#define PI 3.14159265358979323846
#define EQUATOR_RADIUS 6378137.0
#define FLATTENING (1 / 298.257223563)

enum { EPSG_DEGREES = 4326, EPSG_WEB_MERCATOR = 3857, EPSG_UTM_NORTH = 32600, EPSG_UTM_SOUTH = 32700, ZONES = 60, EPSG_OWN = 32767, TERMS = 4 };

static double degrees(double radians) { return radians * (180 / PI); }

static void unproject_utm(int zone, bool south, double x, double y, double *latitude, double *longitude)
{
    const double n = FLATTENING / (2 - FLATTENING), n2 = n * n, n3 = n2 * n, n4 = n2 * n2;
    const double backwards[TERMS] = {n / 2 - 2 * n2 / 3 + 37 * n3 / 96 - n4 / 360, n2 / 48 + n3 / 15 - 437 * n4 / 1440, 17 * n3 / 480 - 37 * n4 / 840, 4397 * n4 / 161280};
    const double conformal[TERMS] = {2 * n - 2 * n2 / 3 - 2 * n3 + 116 * n4 / 45, 7 * n2 / 3 - 8 * n3 / 5 - 227 * n4 / 45, 56 * n3 / 15 - 136 * n4 / 35, 4279 * n4 / 630};
    const double scale = 0.9996 * EQUATOR_RADIUS / (1 + n) * (1 + n2 / 4 + n4 / 64);
    const double up = (y - (south ? 1e7 : 0)) / scale, right = (x - 5e5) / scale;
    double xi = up, eta = right;
    for (int j = 1; j <= TERMS; j++) {
        xi -= backwards[j - 1] * sin(2 * j * up) * cosh(2 * j * right);
        eta -= backwards[j - 1] * cos(2 * j * up) * sinh(2 * j * right);
    }
    const double chi = asin(sin(xi) / cosh(eta)); /* the latitude on the conformal sphere */
    double phi = chi;
    for (int j = 1; j <= TERMS; j++) phi += conformal[j - 1] * sin(2 * j * chi);
    *latitude = degrees(phi), *longitude = zone * 6 - 183 + degrees(atan2(sinh(eta), cos(xi)));
}

bool sky_geo_unproject(int epsg, double x, double y, double *latitude, double *longitude)
{
    const int north = epsg - EPSG_UTM_NORTH, south = epsg - EPSG_UTM_SOUTH;
    if (epsg == EPSG_DEGREES) *latitude = y, *longitude = x;
    else if (epsg == EPSG_WEB_MERCATOR) *latitude = degrees(atan(sinh(y / EQUATOR_RADIUS))), *longitude = degrees(x / EQUATOR_RADIUS);
    else if (north >= 1 && north <= ZONES) unproject_utm(north, false, x, y, latitude, longitude);
    else if (south >= 1 && south <= ZONES) unproject_utm(south, true, x, y, latitude, longitude);
    else return false;
    if (fabs(*longitude) <= 360) *longitude = remainder(*longitude, 360); /* zones at the date line go over it, and some files count from 0 to 360 */
    return true;
}

static sky_status refuse_system(const char *path, int epsg)
{
    if (epsg == EPSG_OWN) sky_fail(SKY_DATA, path, "its geo tags describe a coordinate system of their own");
    else if (epsg) sky_fail(SKY_DATA, path, "its coordinate system is EPSG %d; known are 4326, 3857 and UTM zones (32601 to 32660, 32701 to 32760)", epsg);
    else sky_fail(SKY_DATA, path, "its geo tags name no coordinate system");
    return sky_hint("warp the tiles (gdalwarp -t_srs EPSG:4326), or give their places in a table: --geo tiles.csv");
}

/* A step of one pixel from the middle, on the ground. */
static double measure_step(const struct sky_geotiff *tags, double x, double y, double step_x, double step_y, const struct sky_geo *middle)
{
    double latitude = NAN, longitude = NAN;
    sky_geo_unproject(tags->epsg, x + step_x, y + step_y, &latitude, &longitude);
    return sky_geo_distance(middle->latitude, middle->longitude, latitude, longitude);
}

sky_status sky_geo_from_geotiff(const char *path, const struct sky_geotiff *tags, struct sky_geo *out)
{
    const double *map = tags->map, column = (double)tags->width / 2, row = (double)tags->height / 2;
    const double x = map[0] * column + map[1] * row + map[2], y = map[3] * column + map[4] * row + map[5];
    struct sky_geo middle;
    if (!sky_geo_unproject(tags->epsg, x, y, &middle.latitude, &middle.longitude)) return refuse_system(path, tags->epsg);
    if (!(fabs(middle.latitude) <= 90) || !(fabs(middle.longitude) <= 180)) return sky_fail(SKY_DATA, path, "its geo tags place it off the earth");
    middle.metres_per_pixel = sqrt(measure_step(tags, x, y, map[0], map[3], &middle) * measure_step(tags, x, y, map[1], map[4], &middle));
    if (!(middle.metres_per_pixel > 0)) return sky_fail(SKY_DATA, path, "its geo tags give its pixels no size");
    *out = middle;
    return SKY_OK;
}
