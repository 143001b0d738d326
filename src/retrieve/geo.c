/*
 * The tables and formulas behind geo.h. A table is read whole and sorted; nothing is kept between calls.
 */
#include "geo.h"

#include "base/memory.h"
#include "base/str.h"
#include "io/csv.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PI 3.14159265358979323846
#define EARTH_RADIUS 6378137.0

enum { TILE_PIXELS = 256, DEEPEST = 30 };

static double radians(double degrees) { return degrees * (PI / 180); }

double sky_geo_distance(double latitude_a, double longitude_a, double latitude_b, double longitude_b)
{
    const double a = radians(latitude_a), b = radians(latitude_b);
    const double north = sin((b - a) / 2), east = sin(radians(longitude_b - longitude_a) / 2);
    const double square = north * north + cos(a) * cos(b) * east * east;
    return 2 * EARTH_RADIUS * asin(sqrt(square > 1 ? 1 : square)); /* NaN stays NaN */
}

struct sky_geo sky_geo_web_tile(int z, int64_t x, int64_t y)
{
    const double tiles = (double)((int64_t)1 << z);
    const double latitude = atan(sinh(PI * (1 - 2 * ((double)y + 0.5) / tiles)));
    return (struct sky_geo){latitude / (PI / 180), ((double)x + 0.5) / tiles * 360 - 180, 2 * PI * EARTH_RADIUS * cos(latitude) / TILE_PIXELS / tiles};
}

/* The whole number that ends at `end`, starts behind a '/' or the text's beginning, and has no leading zero; *start is where. False: it is none. */
static bool number_before(const char *text, const char *end, const char **start, int64_t *out)
{
    char digits[20];
    const char *at = end;
    while (at > text && at[-1] != '/') at--;
    const size_t length = (size_t)(end - at);
    if (!length || length >= sizeof digits || strspn(at, "0123456789") < length || (*at == '0' && length > 1)) return false;
    memcpy(digits, at, length);
    digits[length] = 0;
    *start = at;
    return sky_parse_int(digits, out);
}

bool sky_geo_from_name(const char *path, bool tms, struct sky_geo *out)
{
    const char *end = strrchr(path, '.'), *start;
    int64_t number[3]; /* y, x, z */
    if (!end || strchr(end, '/')) return false;
    for (int i = 0; i < 3; i++) {
        if (!number_before(path, end, &start, &number[i])) return false;
        if (i < 2 && start == path) return false;
        end = start - 1; /* the slash */
    }
    const int64_t z = number[2];
    if (z > DEEPEST || number[0] >> z || number[1] >> z) return false;
    *out = sky_geo_web_tile((int)z, number[1], tms ? ((int64_t)1 << z) - 1 - number[0] : number[0]);
    return true;
}

/* ---- tables ---- */

enum column { PATH, TILE, LATITUDE, LONGITUDE, METRES, COLUMNS };
static const char *const column_names[COLUMNS] = {"path", "tile", "lat", "lon", "metres_per_pixel"};

struct layout {
    int cell[COLUMNS]; /* which cell of a row holds it; -1: none does */
    int cells;         /* most of a row; METRES may be left out at its end */
    bool header;
};

static sky_status refuse(const char *path, int line, const char *what, const char *text)
{
    char where[1024];
    snprintf(where, sizeof where, "%s:%d", path, line);
    sky_fail(SKY_DATA, where, "%s: '%.80s'", what, text);
    return sky_hint("a line is path,lat,lon[,metres_per_pixel]; a first line may name the columns: path, tile, lat, lon, metres_per_pixel");
}

static sky_status read_header(const char *path, const struct sky_csv_row *row, struct layout *layout)
{
    for (int c = 0; c < COLUMNS; c++) layout->cell[c] = -1;
    for (int i = 0; i < row->count; i++) {
        int column = 0;
        while (column < COLUMNS && strcmp(column_names[column], row->cells[i]) != 0) column++;
        if (column == COLUMNS) return refuse(path, row->line, "there is no such column", row->cells[i]);
        if (layout->cell[column] >= 0) return refuse(path, row->line, "the column comes twice", row->cells[i]);
        layout->cell[column] = i;
    }
    layout->cells = row->count;
    layout->header = true;
    if (layout->cell[PATH] < 0) return refuse(path, row->line, "a column is missing", "path");
    if ((layout->cell[LATITUDE] < 0) != (layout->cell[LONGITUDE] < 0)) return refuse(path, row->line, "lat and lon must come together", row->cells[0]);
    if (layout->cell[LATITUDE] < 0 && layout->cell[TILE] < 0) return refuse(path, row->line, "a column is missing", "lat");
    return SKY_OK;
}

static sky_status choose_layout(const char *path, const struct sky_csv_row *row, struct layout *layout)
{
    *layout = (struct layout){.cell = {0, -1, 1, 2, 3}, .cells = 4};
    for (int i = 0; i < row->count; i++)
        if (!strcmp(row->cells[i], column_names[PATH])) return read_header(path, row, layout);
    return SKY_OK;
}

/* An empty or absent cell of an optional column leaves NaN. */
static sky_status read_number(const char *path, const struct sky_csv_row *row, const struct layout *layout, enum column column, double low, double high,
                              bool needed, double *out)
{
    const int cell = layout->cell[column];
    *out = NAN;
    if (cell < 0) return SKY_OK;
    if (!needed && (cell >= row->count || !*row->cells[cell])) return SKY_OK;
    if (!sky_parse_double(row->cells[cell], out)) return refuse(path, row->line, "not a number", row->cells[cell]);
    return *out >= low && *out <= high ? SKY_OK : refuse(path, row->line, "outside what it can be", row->cells[cell]);
}

static sky_status read_row(const char *path, const struct sky_csv_row *row, const struct layout *layout, struct sky_geo_row *out)
{
    const int needed = layout->cell[METRES] == layout->cells - 1 ? layout->cells - 1 : layout->cells;
    out->line = row->line;
    if (row->count < needed || row->count > layout->cells) return refuse(path, row->line, "not as many cells as there are columns", row->cells[0]);
    if (!*row->cells[layout->cell[PATH]]) return refuse(path, row->line, "the path is empty", "");
    SKY_TRY(read_number(path, row, layout, LATITUDE, -90, 90, true, &out->geo.latitude));
    SKY_TRY(read_number(path, row, layout, LONGITUDE, -180, 180, true, &out->geo.longitude));
    SKY_TRY(read_number(path, row, layout, METRES, 1e-6, 1e6, false, &out->geo.metres_per_pixel));
    SKY_TRY(sky_strdup(&out->path, row->cells[layout->cell[PATH]], path));
    return layout->cell[TILE] >= 0 ? sky_strdup(&out->tile, row->cells[layout->cell[TILE]], path) : SKY_OK;
}

static int by_path(const void *a, const void *b) { return strcmp(((const struct sky_geo_row *)a)->path, ((const struct sky_geo_row *)b)->path); }

sky_status sky_geo_table_read(struct sky_geo_table *table, const char *path)
{
    struct sky_csv csv = {0};
    struct layout layout;
    sky_status status = SKY_OK;
    memset(table, 0, sizeof *table);
    SKY_TRY(sky_csv_read(&csv, path));
    if (!csv.count) SKY_TRY_DONE(refuse(path, 1, "it has no line", ""));
    SKY_TRY_DONE(choose_layout(path, &csv.rows[0], &layout));
    SKY_TRY_DONE(sky_alloc(&table->rows, (size_t)csv.count, sizeof *table->rows, path));
    for (int64_t i = layout.header; i < csv.count; i++) SKY_TRY_DONE(read_row(path, &csv.rows[i], &layout, &table->rows[table->count++]));
    qsort(table->rows, (size_t)table->count, sizeof *table->rows, by_path);
    for (int64_t i = 1; i < table->count; i++)
        if (!strcmp(table->rows[i].path, table->rows[i - 1].path)) SKY_TRY_DONE(refuse(path, table->rows[i].line, "the path comes twice", table->rows[i].path));
done:
    sky_csv_free(&csv);
    if (status != SKY_OK) sky_geo_table_free(table);
    return status;
}

void sky_geo_table_free(struct sky_geo_table *table)
{
    for (int64_t i = 0; i < table->count; i++) {
        free(table->rows[i].path);
        free(table->rows[i].tile);
    }
    free(table->rows);
    memset(table, 0, sizeof *table);
}

const struct sky_geo_row *sky_geo_table_find(const struct sky_geo_table *table, const char *path)
{
    const struct sky_geo_row key = {.path = (char *)path}; /* only read */
    return table->count ? bsearch(&key, table->rows, (size_t)table->count, sizeof key, by_path) : NULL;
}
