/*
 * Where GeoTIFFs lie, and the inverse projections behind it, against pyproj's numbers in tests/golden/geotiff (make_geotiff_golden.py), and what is said of
 * tags that say nothing or too little.
 */
#include "check.h"

#include "base/fs.h"
#include "image/image.h"
#include "retrieve/geo_projection.h"

#include <math.h>
#include <stdlib.h>
#include <unistd.h>

static const char folder[] = SKY_SOURCE_DIR "/tests/golden/geotiff/";

/* A difference in degrees of less than a millimetre on the ground. */
static int near_degrees(double a, double b) { return fabs(a - b) <= 5e-9; }

static sky_status read_place(const char *name, struct sky_geotiff *tags, struct sky_geo *geo)
{
    char path[4096];
    snprintf(path, sizeof path, "%s%s", folder, name);
    SKY_TRY(sky_geotiff_read(path, tags));
    return tags->located ? sky_geo_from_geotiff(path, tags, geo) : SKY_OK;
}

static void check_file(const char *line)
{
    char name[64];
    double latitude, longitude, metres;
    struct sky_geotiff tags;
    struct sky_geo geo;
    if (!CHECK(sscanf(line, "file\t%63s\t%lf\t%lf\t%lf", name, &latitude, &longitude, &metres) == 4) || !CHECK_OK(read_place(name, &tags, &geo))) return;
    CHECK(tags.located && tags.width == 10 && tags.height == 6);
    check_that(near_degrees(geo.latitude, latitude) && near_degrees(geo.longitude, longitude), "the middle is pyproj's", __FILE__, __LINE__, line);
    check_that(fabs(geo.metres_per_pixel - metres) <= 0.007 * metres, "a pixel's size is the geodesic's, but for the sphere", __FILE__, __LINE__, line);
}

static void check_point(const char *line)
{
    int epsg;
    double x, y, latitude, longitude, found_latitude = NAN, found_longitude = NAN;
    if (!CHECK(sscanf(line, "point\t%d\t%lf\t%lf\t%lf\t%lf", &epsg, &x, &y, &latitude, &longitude) == 5)) return;
    CHECK(sky_geo_unproject(epsg, x, y, &found_latitude, &found_longitude));
    check_that(near_degrees(found_latitude, latitude) && near_degrees(found_longitude, longitude), "the point is pyproj's", __FILE__, __LINE__, line);
}

static void check_refusals(void)
{
    static const struct {
        const char *name, *said;
        sky_status status;
    } files[] = {
        {"swiss.tif", "EPSG 2056", SKY_DATA},
        {"own_system.tif", "a coordinate system of their own", SKY_DATA},
        {"no_system.tif", "name no coordinate system", SKY_DATA},
        {"short_keys.tif", "name no coordinate system", SKY_DATA},
        {"no_scale.tif", "without a scale", SKY_DATA},
        {"off_the_earth.tif", "off the earth", SKY_DATA},
        {"no_size.tif", "no size", SKY_DATA},
    };
    struct sky_geotiff tags;
    struct sky_geo geo;
    double latitude, longitude;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        CHECK_FAILS(read_place(files[i].name, &tags, &geo), files[i].status, files[i].said);
        CHECK(strstr(sky_error_last()->where, files[i].name) != NULL);
    }
    CHECK_OK(read_place("none.tif", &tags, &geo));
    CHECK(!tags.located);
    CHECK_FAILS(sky_geotiff_read(SKY_SOURCE_DIR "/tests/golden/image/photo.png", &tags), SKY_DATA, "TIFF");
    CHECK(!sky_geo_unproject(32600, 5e5, 0, &latitude, &longitude) && !sky_geo_unproject(32661, 5e5, 0, &latitude, &longitude));
    CHECK(!sky_geo_unproject(32761, 5e5, 0, &latitude, &longitude) && !sky_geo_unproject(0, 0, 0, &latitude, &longitude));
}

/* Each byte of a file in turn becomes another: it is read or refused, and what is read is a place. */
static void check_damage(void)
{
    static const char *const names[] = {"utm32n.tif", "turned.tif"};
    for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
        char path[4096], damaged[] = "/tmp/skygem-geotiff-XXXXXX", *bytes = NULL;
        size_t count = 0;
        const int descriptor = mkstemp(damaged);
        snprintf(path, sizeof path, "%s%s", folder, names[n]);
        if (!CHECK(descriptor >= 0) || !CHECK_OK(sky_file_read(path, 1 << 20, &bytes, &count))) return;
        for (size_t i = 0; i < 4 * count; i++) {
            static const char changes[] = {1, -1, 16, 0x55};
            const char kept = bytes[i / 4];
            struct sky_geotiff tags;
            struct sky_geo geo;
            bytes[i / 4] = (char)(kept ^ changes[i % 4]);
            if (!CHECK(pwrite(descriptor, bytes, count, 0) == (ssize_t)count)) break;
            sky_status status = sky_geotiff_read(damaged, &tags);
            if (status == SKY_OK && tags.located) status = sky_geo_from_geotiff(damaged, &tags, &geo);
            CHECK(status == SKY_OK ? !tags.located || (fabs(geo.latitude) <= 90 && fabs(geo.longitude) <= 180 && geo.metres_per_pixel > 0)
                                   : status == SKY_DATA && sky_error_last()->what[0]);
            bytes[i / 4] = kept;
        }
        close(descriptor);
        remove(damaged);
        free(bytes);
    }
}

int main(void)
{
    char path[4096], line[1024];
    int files = 0, points = 0;
    const bool reads = sky_image_reads_tiff();
    snprintf(path, sizeof path, "%sgolden.tsv", folder);
    FILE *file = fopen(path, "r");
    while (CHECK(file) && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = 0;
        if (reads && !strncmp(line, "file", 4)) check_file(line), files++;
        else if (!strncmp(line, "point", 5)) check_point(line), points++;
    }
    if (file) fclose(file);
    CHECK(points >= 150);
    if (reads) {
        CHECK(files == 7);
        check_refusals();
        check_damage();
    } else check_skip("GeoTIFF files", "built without libtiff");
    return check_done();
}
