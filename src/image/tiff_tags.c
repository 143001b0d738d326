/*
 * GeoTIFF's tags (OGC 19-008r4): the map from pixels to coordinates, as a matrix or as one tie point and a scale, and the coordinate system's EPSG code. Keeps nothing.
 */
#include "geotiff.h"

#include "base/fs.h"
#include "tiff_file.h"

#include <math.h>
#include <string.h>

enum { TAG_PIXEL_SCALE = 33550, TAG_TIEPOINT = 33922, TAG_TRANSFORMATION = 34264, TAG_KEYS = 34735 };
enum { KEY_MODEL = 1024, KEY_RASTER = 1025, KEY_GEOGRAPHIC = 2048, KEY_PROJECTED = 3072, MODEL_PROJECTED = 1, MODEL_GEOGRAPHIC = 2, PIXEL_IS_POINT = 2 };

/* The values of a tag that libtiff itself does not know, where they are of that type and at least so many; else NULL. How it counts them is the field's affair. */
static const void *find_values(const struct sky_tiff *tiff, uint32_t tag, TIFFDataType type, uint32_t least, uint32_t *count)
{
    const TIFFField *field = TIFFFindField(tiff->library, tag, type);
    uint16_t few = 0;
    void *values = NULL;
    *count = 0;
    if (!field || !TIFFFieldPassCount(field)) return NULL;
    if (TIFFFieldReadCount(field) == TIFF_VARIABLE2) TIFFGetField(tiff->library, tag, count, &values);
    else if (TIFFGetField(tiff->library, tag, &few, &values)) *count = few;
    return *count >= least ? values : NULL;
}

/* The short value of a key, 0 where there is none. The directory is four numbers a key: key, where its value lies (0: here), count, value; its header's last
 * number says how many keys. */
static int find_key(const struct sky_tiff *tiff, int key)
{
    uint32_t count;
    const uint16_t *numbers = find_values(tiff, TAG_KEYS, TIFF_SHORT, 4, &count);
    for (uint32_t i = 1; numbers && i <= numbers[3] && 4 * i + 4 <= count; i++)
        if (numbers[4 * i] == key && !numbers[4 * i + 1]) return numbers[4 * i + 3];
    return 0;
}

static sky_status read_map(const struct sky_tiff *tiff, double map[6], bool *found)
{
    uint32_t count;
    const double *matrix = find_values(tiff, TAG_TRANSFORMATION, TIFF_DOUBLE, 16, &count), *tie = find_values(tiff, TAG_TIEPOINT, TIFF_DOUBLE, 6, &count);
    const double *scale = find_values(tiff, TAG_PIXEL_SCALE, TIFF_DOUBLE, 2, &count);
    *found = matrix || tie || scale;
    if (!*found) return SKY_OK;
    if (matrix) {
        map[0] = matrix[0], map[1] = matrix[1], map[2] = matrix[3], map[3] = matrix[4], map[4] = matrix[5], map[5] = matrix[7];
    } else if (tie && scale) {
        map[0] = scale[0], map[2] = tie[3] - tie[0] * scale[0], map[4] = -scale[1], map[5] = tie[4] + tie[1] * scale[1];
    } else {
        sky_fail(SKY_DATA, tiff->name, "its geo tags tie pixels to the earth without a scale");
        return sky_hint("warp it first (gdalwarp), or give the places in a table: --geo tiles.csv");
    }
    for (int i = 0; i < 6; i++)
        if (!isfinite(map[i])) return sky_fail(SKY_DATA, tiff->name, "its geo tags hold what is no number");
    return SKY_OK;
}

static sky_status read_tags(const struct sky_tiff *tiff, struct sky_geotiff *out)
{
    uint32_t width = 0, height = 0;
    TIFFGetField(tiff->library, TIFFTAG_IMAGEWIDTH, &width);
    TIFFGetField(tiff->library, TIFFTAG_IMAGELENGTH, &height);
    out->width = width, out->height = height;
    SKY_TRY(read_map(tiff, out->map, &out->located));
    if (!out->located) return SKY_OK;
    if (find_key(tiff, KEY_RASTER) == PIXEL_IS_POINT) { /* the numbers mean a pixel's middle */
        out->map[2] -= (out->map[0] + out->map[1]) / 2;
        out->map[5] -= (out->map[3] + out->map[4]) / 2;
    }
    const int model = find_key(tiff, KEY_MODEL);
    if (model == MODEL_PROJECTED) out->epsg = find_key(tiff, KEY_PROJECTED);
    if (model == MODEL_GEOGRAPHIC) out->epsg = find_key(tiff, KEY_GEOGRAPHIC);
    return SKY_OK;
}

sky_status sky_geotiff_read(const char *path, struct sky_geotiff *out)
{
    struct sky_map file = {0};
    struct sky_tiff tiff = {0};
    memset(out, 0, sizeof *out);
    SKY_TRY(sky_map_open(&file, path));
    sky_status status = sky_tiff_open(&tiff, file.bytes, file.count, path);
    if (status == SKY_OK) status = read_tags(&tiff, out);
    sky_tiff_close(&tiff);
    sky_map_close(&file);
    return status;
}
