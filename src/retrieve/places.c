/*
 * The sources behind places.h. Keeps nothing.
 */
#include "places.h"

#include "base/fs.h"
#include "geo_projection.h"
#include "image/file_kind.h"
#include "skygem/log.h"

#include <math.h>
#include <stdlib.h>

static const struct sky_geo nowhere = {NAN, NAN, NAN};

const char *sky_geo_source_name(enum sky_geo_source source)
{
    static const char *const names[] = {"auto", "none", "xyz", "tms", "geotiff", "table"};
    return names[source];
}

static void set_place(const struct sky_places *places, int64_t i, const struct sky_geo *geo)
{
    places->latitude[i] = geo->latitude, places->longitude[i] = geo->longitude, places->metres_per_pixel[i] = geo->metres_per_pixel;
}

static sky_status place_by_table(const struct sky_places *places, const char *path)
{
    struct sky_geo_table table = {0};
    int64_t without = 0;
    const char *example = NULL;
    SKY_TRY(sky_geo_table_read(&table, path));
    for (int64_t i = 0; i < places->count; i++) {
        const struct sky_geo_row *row = sky_geo_table_find(&table, places->paths[i]);
        set_place(places, i, row ? &row->geo : &nowhere);
        if (!row && !without++) example = places->paths[i];
    }
    if (without) sky_log(SKY_LOG_WARNING, "%s: %lld tiles have no line in it, such as %s", path, (long long)without, example);
    if (table.count > places->count - without)
        sky_log(SKY_LOG_WARNING, "%s: %lld of its %lld lines name no tile in %s", path, (long long)(table.count - (places->count - without)),
                (long long)table.count, places->folder);
    sky_geo_table_free(&table);
    return SKY_OK;
}

/* The first name that is no web map tile's; NULL when all are. *fitting: how many are. */
static const char *place_by_name(const struct sky_places *places, bool tms, int64_t *fitting)
{
    const char *example = NULL;
    *fitting = 0;
    for (int64_t i = 0; i < places->count; i++) {
        struct sky_geo geo = nowhere;
        const bool fits = sky_geo_from_name(places->paths[i], tms, &geo);
        if (!fits && !example) example = places->paths[i];
        *fitting += fits;
        set_place(places, i, &geo);
    }
    return example;
}

static sky_status require_names(const struct sky_places *places, bool tms)
{
    int64_t fitting;
    const char *example = place_by_name(places, tms, &fitting);
    if (!example) return SKY_OK;
    sky_fail(SKY_DATA, example, "this is no web map tile's name: ZOOM/X/Y.jpg with numbers that such a tile can have");
    return sky_hint("give the places in a table: --geo tiles.csv (path,lat,lon)");
}

static sky_status read_tags(const char *folder, const char *name, struct sky_geo *out)
{
    struct sky_geotiff tags = {0};
    char *path = NULL;
    SKY_TRY(sky_path_join(&path, folder, name));
    sky_status status = sky_geotiff_read(path, &tags);
    if (status == SKY_OK && tags.located) status = sky_geo_from_geotiff(path, &tags, out);
    free(path);
    return status;
}

/* Not `strict`: what is wrong with a tile leaves it without a place; with none that has one, only what is wrong is said. */
static sky_status place_by_tags(const struct sky_places *places, bool strict)
{
    int64_t without = 0, wrong = 0;
    const char *example = NULL; /* the first that is wrong, else the first without tags */
    struct sky_error why = {.what = "it has no geo tags"};
    for (int64_t i = 0; i < places->count; i++) {
        struct sky_geo geo = nowhere;
        const sky_status status = sky_is_tiff_name(places->paths[i]) ? read_tags(places->folder, places->paths[i], &geo) : SKY_OK;
        if (status != SKY_OK && (strict || status == SKY_NOMEM)) return status;
        if (status != SKY_OK && !wrong++) example = places->paths[i], why = *sky_error_last();
        set_place(places, i, &geo);
        if (isnan(geo.latitude) && !without++ && !example) example = places->paths[i];
    }
    if (wrong || (without && (strict || without < places->count)))
        sky_log(SKY_LOG_WARNING, "%lld tiles have no place, such as %s: %s; --geo tiles.csv gives them one", (long long)without, example, why.what);
    return SKY_OK;
}

static sky_status place_by_anything(const struct sky_places *places)
{
    int64_t fitting;
    const char *example = place_by_name(places, false, &fitting);
    if (!example) return SKY_OK;
    if (fitting)
        sky_log(SKY_LOG_WARNING,
                "%lld of %lld tiles have a web map tile's name (ZOOM/X/Y.jpg), but %s has not: no place is taken from names; move such away, or --geo tiles.csv",
                (long long)fitting, (long long)places->count, example);
    return place_by_tags(places, false);
}

sky_status sky_places_find(const struct sky_places *places, enum sky_geo_source source, const char *table)
{
    switch (source) {
    case SKY_GEO_TABLE: return place_by_table(places, table);
    case SKY_GEO_TIFF: return place_by_tags(places, true);
    case SKY_GEO_XYZ: return require_names(places, false);
    case SKY_GEO_TMS: return require_names(places, true);
    case SKY_GEO_AUTO: return place_by_anything(places);
    default: break;
    }
    for (int64_t i = 0; i < places->count; i++) set_place(places, i, &nowhere);
    return SKY_OK;
}
