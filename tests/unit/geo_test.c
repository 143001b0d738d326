/*
 * Comma-separated values, tables of places, web map tiles' names and distances on the earth.
 */
#include "data_tree.h"

#include "io/csv.h"
#include "retrieve/geo.h"

static const char *write_text(const char *text)
{
    CHECK_OK(sky_file_write_atomic(in_folder("t.csv"), text, strlen(text)));
    return in_folder("t.csv");
}

static void test_csv(void)
{
    struct sky_csv csv;
    if (CHECK_OK(sky_csv_read(&csv, write_text("\xef\xbb\xbf"
                                               "a,b\r\n\"x, y\",\"say \"\"hi\"\"\"\n\n,\n\"two\nlines\",last")))) {
        CHECK(csv.count == 4);
        CHECK(csv.rows[0].count == 2 && !strcmp(csv.rows[0].cells[0], "a") && !strcmp(csv.rows[0].cells[1], "b"));
        CHECK(csv.rows[1].line == 2 && !strcmp(csv.rows[1].cells[0], "x, y") && !strcmp(csv.rows[1].cells[1], "say \"hi\""));
        CHECK(csv.rows[2].line == 4 && csv.rows[2].count == 2 && !*csv.rows[2].cells[0] && !*csv.rows[2].cells[1]);
        CHECK(csv.rows[3].line == 5 && !strcmp(csv.rows[3].cells[0], "two\nlines") && !strcmp(csv.rows[3].cells[1], "last"));
    }
    sky_csv_free(&csv);
    CHECK_FAILS(sky_csv_read(&csv, write_text("a,b\nc,\"d")), SKY_DATA, "t.csv:2");
    CHECK_FAILS(sky_csv_read(&csv, write_text("a,\"b\"c\n")), SKY_DATA, "follows a closing quote");
    CHECK_FAILS(sky_csv_read(&csv, write_text("a,b\"c\n")), SKY_DATA, "in the middle of a cell");
    CHECK_FAILS(sky_csv_read(&csv, in_folder("none.csv")), SKY_IO, "none.csv");
    if (CHECK_OK(sky_csv_read(&csv, write_text("")))) CHECK(csv.count == 0);
    sky_csv_free(&csv);
    if (CHECK_OK(sky_csv_read(&csv, write_text("a,\"b\"\r\nc")))) CHECK(csv.count == 2 && !strcmp(csv.rows[0].cells[1], "b") && csv.rows[1].count == 1);
    sky_csv_free(&csv);
}

/* Any bytes at all are read or refused, and what is read has the cells that its separators make. */
static void test_csv_of_noise(void)
{
    static const char alphabet[] = ",,,\"\"\n\n\rab ";
    struct sky_rng rng = sky_rng_make(12, SKY_RNG_TEST, 3, 0);
    int taken = 0;
    for (int round = 0; round < 3000; round++) {
        char text[40] = "";
        struct sky_csv csv;
        const size_t length = sky_rng_u32(&rng) % (sizeof text - 1);
        for (size_t i = 0; i < length; i++) text[i] = alphabet[sky_rng_u32(&rng) % (sizeof alphabet - 1)];
        FILE *file = fopen(in_folder("n.csv"), "we"); /* need not survive a power cut */
        if (!CHECK(file && fwrite(text, 1, length, file) == length && !fclose(file))) break;
        const sky_status status = sky_csv_read(&csv, in_folder("n.csv"));
        if (!CHECK(status == SKY_OK || status == SKY_DATA)) break;
        if (status != SKY_OK) continue;
        size_t cells = 0, commas = 0;
        for (int64_t i = 0; i < csv.count; i++) cells += (size_t)csv.rows[i].count;
        for (size_t i = 0; i < length; i++) commas += text[i] == ',';
        if (!strchr(text, '"') && !CHECK(cells == commas + (size_t)csv.count)) printf("  %s\n", text);
        taken++;
        sky_csv_free(&csv);
    }
    CHECK(taken > 300);
}

static void test_tables(void)
{
    struct sky_geo_table t;
    if (CHECK_OK(sky_geo_table_read(&t, write_text("b.jpg,47.5,-11.25,0.5\na.jpg,-90,180\n")))) {
        CHECK(t.count == 2 && !strcmp(t.rows[0].path, "a.jpg"));
        const struct sky_geo_row *b = sky_geo_table_find(&t, "b.jpg"), *a = sky_geo_table_find(&t, "a.jpg");
        CHECK(b && b->geo.latitude == 47.5 && b->geo.longitude == -11.25 && b->geo.metres_per_pixel == 0.5 && b->line == 1 && !b->tile);
        CHECK(a && a->geo.latitude == -90 && isnan(a->geo.metres_per_pixel));
        CHECK(!sky_geo_table_find(&t, "c.jpg"));
    }
    sky_geo_table_free(&t);
    if (CHECK_OK(sky_geo_table_read(&t, write_text("lon,path,lat\n7,x,8\n"))))
        CHECK(t.count == 1 && t.rows[0].geo.latitude == 8 && t.rows[0].geo.longitude == 7);
    sky_geo_table_free(&t);
    if (CHECK_OK(sky_geo_table_read(&t, write_text("path,tile\nx,1/2.jpg\n")))) CHECK(!strcmp(t.rows[0].tile, "1/2.jpg") && isnan(t.rows[0].geo.latitude));
    sky_geo_table_free(&t);
    if (CHECK_OK(sky_geo_table_read(&t, write_text("path,lat,lon\n")))) CHECK(t.count == 0 && !sky_geo_table_find(&t, "x"));
    sky_geo_table_free(&t);
    static const struct {
        const char *text, *line, *what;
    } wrong[] = {{"", "t.csv:1", "no line"},
                 {"a.jpg,47\n", "t.csv:1", "not as many cells"},
                 {"a.jpg,47,8,1,2\n", "t.csv:1", "not as many cells"},
                 {"a.jpg,1,2\nb.jpg,north,2\n", "t.csv:2", "not a number: 'north'"},
                 {"a.jpg,90.5,2\n", "t.csv:1", "outside"},
                 {"a.jpg,1,-180.1\n", "t.csv:1", "outside"},
                 {"a.jpg,1,2,0\n", "t.csv:1", "outside"},
                 {"a.jpg,nan,2\n", "t.csv:1", "not a number"},
                 {"a.jpg,1,2\nb,1,1\na.jpg,1,2\n", "t.csv:3", "twice"},
                 {"path,lat\na,1\n", "t.csv:1", "together"},
                 {"path,lat,lon,lat\na,1,1,1\n", "t.csv:1", "twice"},
                 {"path,lat,long\na,1,1\n", "t.csv:1", "no such column: 'long'"},
                 {"path\na\n", "t.csv:1", "missing"},
                 {"path,lat,lon\n,1,1\n", "t.csv:2", "path is empty"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        CHECK_FAILS(sky_geo_table_read(&t, write_text(wrong[i].text)), SKY_DATA, wrong[i].what);
        CHECK(strstr(sky_error_last()->where, wrong[i].line) != NULL);
    }
}

/* Known numbers: the antimeridian, a degree of longitude at the equator, Paris to London; tile 0/0/0 is the whole world. */
static void test_earth(void)
{
    const double degree = 6378137.0 * 3.14159265358979 / 180;
    CHECK_NEAR(sky_geo_distance(0, 10, 0, 11), degree, 1e-3);
    CHECK_NEAR(sky_geo_distance(0, 179.5, 0, -179.5), degree, 1e-3);
    CHECK_NEAR(sky_geo_distance(-90, 3, 90, 77), 180 * degree, 1e-2);
    CHECK_NEAR(sky_geo_distance(48.8566, 2.3522, 51.5074, -0.1278), 343923, 400); /* 343.56 km on the mean radius, times 6378137 / 6371009 */
    CHECK(sky_geo_distance(47, 8, 47, 8) == 0);
    CHECK(isnan(sky_geo_distance(NAN, NAN, 47, 8)) && isnan(sky_geo_distance(47, 8, NAN, NAN)));

    struct sky_geo g = sky_geo_web_tile(0, 0, 0);
    CHECK_NEAR(g.latitude, 0, 1e-9);
    CHECK_NEAR(g.longitude, 0, 1e-9);
    CHECK_NEAR(g.metres_per_pixel, 156543.03392804097, 1e-6);
    g = sky_geo_web_tile(1, 1, 0); /* centre of the north-eastern quarter */
    CHECK_NEAR(g.latitude, 66.51326044311186, 1e-9);
    CHECK_NEAR(g.longitude, 90, 1e-12);
    g = sky_geo_web_tile(19, 268000, 181000);
    CHECK_NEAR(g.metres_per_pixel, 0.2985821417 * cos(g.latitude * 3.14159265358979 / 180), 1e-9);
}

static void test_names(void)
{
    struct sky_geo g, north;
    CHECK(sky_geo_from_name("1/1/0.jpg", false, &g) && fabs(g.latitude - 66.51326044311186) < 1e-9 && g.longitude == 90);
    CHECK(sky_geo_from_name("tiles/munich/1/1/0.png", false, &north) && north.latitude == g.latitude);
    CHECK(sky_geo_from_name("1/1/0.jpg", true, &g) && fabs(g.latitude + 66.51326044311186) < 1e-9);
    CHECK(sky_geo_from_name("0/0/0.jpg", false, &g));
    static const char *const wrong[] = {"1/2/0.jpg",  "1/0/2.jpg",  "31/0/0.jpg",      "1/0.jpg", "0.jpg",    "a/1/0.jpg", "1/x/0.jpg",
                                        "1/0/y0.jpg", "1/00/0.jpg", "0001/0001/1.jpg", "1/0/0",   "1//0.jpg", "1/0/.jpg",  "1/0/99999999999999999999.jpg",
                                        "1/-1/0.jpg"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        if (!CHECK(!sky_geo_from_name(wrong[i], false, &g))) printf("  %s\n", wrong[i]);
}

int main(void)
{
    folder_make();
    test_csv();
    test_csv_of_noise();
    test_tables();
    test_earth();
    test_names();
    folder_remove(folder);
    return check_done();
}
