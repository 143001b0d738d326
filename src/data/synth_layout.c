/*
 * What surrounds the landmark of a synthetic place: roads, paths, car parks, pitches, fields, houses, trees, all kept apart by the map of what is
 * taken. Palettes are shared by all places and every place has some of most things; how they lie is its own. One draw an expression: C leaves the
 * order within one open, and another order would be another world.
 */
#include "synth_scene.h"

#include <math.h>

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))
#define TURN 6.283185307179586

static const uint32_t grass_colors[] = {0x6E7F4A, 0x7D8752, 0x64784A, 0x8A8C5C, 0x707C48, 0x5F7146};
static const uint32_t crop_colors[] = {0x9AA05A, 0xB7A56A, 0x6F8A4B, 0x8F7B58, 0xA6AD6C};
static const uint32_t paving_colors[] = {0xB6AFA2, 0xA59C90, 0xC2B6A0, 0x9D9C9B};
static const uint32_t asphalt_colors[] = {0x5D5E60, 0x6B6B6B, 0x565759};
static const uint32_t court_colors[] = {0x4B7B5A, 0x4A6C96, 0xA8603F, 0x5D6E4E};
static const uint32_t house_roofs[] = {0xA5573F, 0x8F4A3C, 0x76594A, 0x5C6069, 0x4A4A4D, 0x8C8680};
static const uint32_t house_walls[] = {0xDDD6C8, 0xE6E2DA, 0xB98A6B, 0xC9C1B0, 0xA66A52};
static const uint32_t tree_colors[] = {0x4A6236, 0x556B3A, 0x405A34, 0x61723F, 0x4C5F3F};

struct road {
    double x[256], y[256];
    int count;
    double half_width;
};
enum { MAX_ROADS = 4 };
static const double road_step = 6;

static double length_of(double x, double y) { return sqrt(x * x + y * y); }

/* A road that passes the centre at `offset`, square to the bearing it passes it on; grows both ways with a winding course. False: it came too near the
 * landmark. */
static bool trace_road(struct road *road, double bearing, double offset, double bend, double winding, double phase, double clear)
{
    double back_x[128], back_y[128];
    int back = 0;
    road->count = 0;
    for (int way = -1; way <= 1; way += 2) {
        double x = offset * cos(bearing), y = offset * sin(bearing), heading = bearing + 0.25 * TURN + (way < 0 ? 0.5 * TURN : 0);
        for (int i = 0; i < 127; i++) {
            if (fabs(x) > SKY_SYNTH_WORLD / 2 + 20 || fabs(y) > SKY_SYNTH_WORLD / 2 + 20) break;
            if (length_of(x, y) < clear) return false;
            if (way < 0 && i > 0) back_x[back] = x, back_y[back++] = y;
            if (way > 0) {
                if (i == 0)
                    while (back > 0) road->x[road->count] = back_x[--back], road->y[road->count++] = back_y[back];
                road->x[road->count] = x, road->y[road->count++] = y;
            }
            heading += road_step * (way * bend + winding * sin(phase + way * i * road_step / 45));
            x += road_step * cos(heading), y += road_step * sin(heading);
        }
    }
    return road->count > 1;
}

static struct sky_shape road_piece(const struct road *road, int i, double half_width)
{
    return sky_shape_capsule(road->x[i], road->y[i], road->x[i + 1], road->y[i + 1], half_width);
}

static int lay_roads(struct sky_synth_scene *scene, struct road roads[MAX_ROADS])
{
    struct sky_rng rng = sky_rng_make(scene->seed, SKY_RNG_SYNTH, scene->place, SKY_STREAM_ROADS);
    const int wanted = 2 + (int)sky_rng_below(&rng, 3);
    const double first_bearing = sky_rng_between(&rng, 0, TURN);
    const uint32_t asphalt = asphalt_colors[sky_rng_below(&rng, COUNT(asphalt_colors))];
    int count = 0;
    for (int attempt = 0; attempt < 40 && count < wanted; attempt++) {
        struct road *road = roads + count;
        /* The first ones in the tile, further ones beyond; mostly square or parallel to the first, as streets are. */
        const double quarters = sky_rng_below(&rng, 4), askew = sky_rng_below(&rng, 3) ? 0.08 : 0.5;
        const double bearing = first_bearing + 0.25 * TURN * quarters + askew * sky_rng_normal(&rng);
        const double offset = scene->landmark_radius + (count < 2 ? sky_rng_between(&rng, 9, 26) : sky_rng_between(&rng, 20, 110));
        const double bend = sky_rng_below(&rng, 2) ? 0 : sky_rng_between(&rng, -1, 1) / 130;
        const double winding = sky_rng_below(&rng, 3) ? 0 : sky_rng_between(&rng, -1, 1) / 60;
        road->half_width = count == 0 ? 4.2 : sky_rng_between(&rng, 2.6, 3.6);
        if (!trace_road(road, bearing, offset, bend, winding, sky_rng_between(&rng, 0, TURN), scene->landmark_radius + 7)) continue;
        bool crowded = false; /* two roads side by side would be one */
        for (int other = 0; other < count && !crowded; other++) {
            int near = 0;
            for (int i = 0; i < road->count; i++)
                for (int j = 0; j < roads[other].count; j++)
                    if (length_of(road->x[i] - roads[other].x[j], road->y[i] - roads[other].y[j]) < 22) {
                        near++;
                        break;
                    }
            crowded = near > 12;
        }
        if (crowded) continue;
        count++;
    }
    for (int r = 0; r < count; r++) {
        const struct road *road = roads + r;
        for (int i = 0; i + 1 < road->count; i++) {
            const struct sky_shape piece = road_piece(road, i, road->half_width);
            sky_synth_take(scene, &piece, 2, SKY_TAKEN_ROAD);
            sky_synth_add_decal(scene, road_piece(road, i, road->half_width + 1.8), SKY_MATERIAL_KERB, 0xA8A39A);
            sky_synth_add_decal(scene, piece, SKY_MATERIAL_ASPHALT, asphalt);
            if (i % 2 == 0 && road->half_width > 3) sky_synth_add_decal(scene, road_piece(road, i, 0.18), SKY_MATERIAL_MARKING, 0xD8D6CC);
            const double dx = (road->x[i + 1] - road->x[i]) / road_step, dy = (road->y[i + 1] - road->y[i]) / road_step;
            if (i % 2 == 0 && length_of(road->x[i], road->y[i]) < 160)
                for (int side = -1; side <= 1; side += 2)
                    sky_synth_add_car_slot(scene, road->x[i] + side * dy * 0.5 * road->half_width, road->y[i] - side * dx * 0.5 * road->half_width, dx, dy);
        }
    }
    return count;
}

/* A random outline near the landmark that is free; false after some tries. */
static bool find_room(const struct sky_synth_scene *scene, struct sky_rng *rng, struct sky_shape *shape, double near, double far, double margin, unsigned bits)
{
    for (int attempt = 0; attempt < 30; attempt++) {
        const double bearing = sky_rng_between(rng, 0, TURN), away = sky_rng_between(rng, near, far);
        shape->x = away * cos(bearing), shape->y = away * sin(bearing);
        if (sky_synth_is_free(scene, shape, margin, bits)) return true;
    }
    return false;
}

static void lay_car_park(struct sky_synth_scene *scene, struct sky_rng *rng, double cosine, double sine)
{
    const int columns = 6 + (int)sky_rng_below(rng, 8), rows = 1 + (int)sky_rng_below(rng, 2);
    const double half_x = columns * 1.3 + 1.5, half_y = rows * 8.2;
    struct sky_shape shape = sky_shape_box(0, 0, cosine, sine, half_x, half_y);
    if (!find_room(scene, rng, &shape, scene->landmark_radius, 70, 1, SKY_TAKEN_ROAD | SKY_TAKEN_BUILDING | SKY_TAKEN_PAVED)) return;
    sky_synth_take(scene, &shape, 2, SKY_TAKEN_PAVED);
    sky_synth_add_decal(scene, shape, SKY_MATERIAL_PAVING, 0x747474);
    for (int row = 0; row < 2 * rows; row++)
        for (int column = 0; column <= columns; column++) {
            const double u = (column - 0.5 * columns) * 2.6, v = (row - rows + 0.5) * 8.0 + (row % 2 ? 1.2 : -1.2);
            const double x = shape.x + cosine * u - sine * v, y = shape.y + sine * u + cosine * v;
            sky_synth_add_decal(scene, sky_shape_capsule(x + 2.4 * sine, y - 2.4 * cosine, x - 2.4 * sine, y + 2.4 * cosine, 0.1), SKY_MATERIAL_MARKING,
                                0xD2D0C8);
            if (column < columns) sky_synth_add_car_slot(scene, x + 1.3 * cosine, y + 1.3 * sine, -sine, cosine);
        }
}

static void lay_pitch(struct sky_synth_scene *scene, struct sky_rng *rng, double cosine, double sine)
{
    const bool court = sky_rng_below(rng, 2);
    const double half_x = court ? 12 : sky_rng_between(rng, 20, 27), half_y = court ? 6 : sky_rng_between(rng, 13, 17);
    struct sky_shape shape = sky_shape_box(0, 0, cosine, sine, half_x, half_y);
    if (!find_room(scene, rng, &shape, scene->landmark_radius, 85, 2, SKY_TAKEN_ROAD | SKY_TAKEN_BUILDING | SKY_TAKEN_PAVED)) return;
    sky_synth_take(scene, &shape, 2, SKY_TAKEN_PAVED);
    sky_synth_add_decal(scene, shape, court ? SKY_MATERIAL_COURT : SKY_MATERIAL_PITCH,
                        court ? court_colors[sky_rng_below(rng, COUNT(court_colors))] : 0x6F8F4C);
    const double corner_u[5] = {-1, 1, 1, -1, -1}, corner_v[5] = {-1, -1, 1, 1, -1};
    for (int i = 0; i < 5; i++) { /* four border lines and the one across the middle */
        const double u0 = i < 4 ? corner_u[i] * (half_x - 1.5) : 0, v0 = i < 4 ? corner_v[i] * (half_y - 1.2) : -(half_y - 1.2);
        const double u1 = i < 4 ? corner_u[i + 1] * (half_x - 1.5) : 0, v1 = i < 4 ? corner_v[i + 1] * (half_y - 1.2) : half_y - 1.2;
        sky_synth_add_decal(scene,
                            sky_shape_capsule(shape.x + cosine * u0 - sine * v0, shape.y + sine * u0 + cosine * v0, shape.x + cosine * u1 - sine * v1,
                                              shape.y + sine * u1 + cosine * v1, 0.2),
                            SKY_MATERIAL_MARKING, 0xE4E4DE);
    }
}

/* From the landmark to the nearest point of a road, and on. */
static void lay_paths(struct sky_synth_scene *scene, struct sky_rng *rng, const struct road *roads, int road_count)
{
    const int count = 2 + (int)sky_rng_below(rng, 3);
    const uint32_t color = paving_colors[sky_rng_below(rng, COUNT(paving_colors))];
    for (int i = 0; i < count && road_count > 0; i++) {
        const struct road *road = roads + sky_rng_below(rng, (uint32_t)road_count);
        const double bearing = sky_rng_between(rng, 0, TURN), start_x = 0.8 * scene->landmark_radius * cos(bearing),
                     start_y = 0.8 * scene->landmark_radius * sin(bearing);
        int best = 0;
        for (int j = 1; j < road->count; j++)
            if (length_of(road->x[j] - start_x, road->y[j] - start_y) < length_of(road->x[best] - start_x, road->y[best] - start_y)) best = j;
        best += (int)sky_rng_below(rng, 13) - 6;
        if (best < 0 || best >= road->count) continue;
        const struct sky_shape path = sky_shape_capsule(start_x, start_y, road->x[best], road->y[best], sky_rng_between(rng, 1.0, 1.8));
        sky_synth_add_decal(scene, path, SKY_MATERIAL_PATH, color);
        sky_synth_take(scene, &path, 1, SKY_TAKEN_PAVED);
    }
}

static void lay_grounds(struct sky_synth_scene *scene, const struct road *roads, int road_count)
{
    struct sky_rng rng = sky_rng_make(scene->seed, SKY_RNG_SYNTH, scene->place, SKY_STREAM_GROUNDS);
    const double street_x = road_count ? (roads[0].x[roads[0].count / 2 + 1] - roads[0].x[roads[0].count / 2]) / road_step : 1;
    const double street_y = road_count ? (roads[0].y[roads[0].count / 2 + 1] - roads[0].y[roads[0].count / 2]) / road_step : 0;
    for (int i = 0; i < 2; i++) scene->grass[i] = grass_colors[sky_rng_below(&rng, COUNT(grass_colors))];

    /* The square before the landmark. */
    const double bearing = sky_rng_between(&rng, 0, TURN), half = scene->landmark_radius * sky_rng_between(&rng, 0.5, 0.95);
    const double side = scene->landmark_radius * sky_rng_between(&rng, 0.5, 0.95), away = sky_rng_between(&rng, 0, 10);
    const struct sky_shape square =
        (sky_rng_below(&rng, 3) ? sky_shape_box : sky_shape_ellipse)(away * cos(bearing), away * sin(bearing), street_x, street_y, half, side);
    sky_synth_add_decal(scene, square, SKY_MATERIAL_PAVING, paving_colors[sky_rng_below(&rng, COUNT(paving_colors))]);
    sky_synth_take(scene, &square, 0, SKY_TAKEN_PAVED);
    lay_paths(scene, &rng, roads, road_count);

    const int car_parks = 1 + (int)sky_rng_below(&rng, 3), pitches = 1 + (int)sky_rng_below(&rng, 3), fields = 2 + (int)sky_rng_below(&rng, 3);
    for (int i = 0; i < car_parks; i++) {
        const bool across = sky_rng_below(&rng, 2);
        lay_car_park(scene, &rng, across ? -street_y : street_x, across ? street_x : street_y);
    }
    for (int i = 0; i < pitches; i++) {
        const bool across = sky_rng_below(&rng, 2);
        lay_pitch(scene, &rng, across ? -street_y : street_x, across ? street_x : street_y);
    }
    for (int i = 0; i < fields; i++) {
        const double turn = sky_rng_between(&rng, 0, TURN), length = sky_rng_between(&rng, 24, 55), width = sky_rng_between(&rng, 18, 40);
        struct sky_shape field = sky_shape_box(0, 0, cos(turn), sin(turn), length, width);
        if (!find_room(scene, &rng, &field, 75, 190, 2, SKY_TAKEN_ROAD | SKY_TAKEN_PAVED | SKY_TAKEN_CROP)) continue;
        sky_synth_add_decal(scene, field, SKY_MATERIAL_CROP, crop_colors[sky_rng_below(&rng, COUNT(crop_colors))]);
        sky_synth_take(scene, &field, 1, SKY_TAKEN_CROP);
    }
    for (int i = 0; i < 4; i++) { /* unmown patches, anywhere */
        const double x = sky_rng_between(&rng, -110, 110), y = sky_rng_between(&rng, -110, 110), length = sky_rng_between(&rng, 12, 40),
                     width = sky_rng_between(&rng, 12, 40);
        sky_synth_add_decal(scene, sky_shape_ellipse(x, y, 1, 0, length, width), SKY_MATERIAL_MEADOW, grass_colors[sky_rng_below(&rng, COUNT(grass_colors))]);
    }
    if (sky_rng_below(&rng, 3) == 0) {
        const double length = sky_rng_between(&rng, 9, 20), width = sky_rng_between(&rng, 7, 13);
        struct sky_shape pond = sky_shape_ellipse(0, 0, street_x, street_y, length, width);
        if (find_room(scene, &rng, &pond, scene->landmark_radius + 12, 100, 4, SKY_TAKEN_ROAD | SKY_TAKEN_BUILDING | SKY_TAKEN_PAVED | SKY_TAKEN_CROP)) {
            sky_synth_add_decal(scene, pond, SKY_MATERIAL_WATER, 0x3F5A5C);
            sky_synth_take(scene, &pond, 4, SKY_TAKEN_PAVED);
        }
    }
}

static void build_houses(struct sky_synth_scene *scene, const struct road *roads, int road_count)
{
    struct sky_rng rng = sky_rng_make(scene->seed, SKY_RNG_SYNTH, scene->place, SKY_STREAM_HOUSES);
    for (int r = 0; r < road_count; r++) {
        const struct road *road = roads + r;
        for (int side = -1; side <= 1; side += 2) {
            const double density = sky_rng_between(&rng, 0.35, 0.95);
            for (int i = 2; i + 2 < road->count; i += 3) {
                const double dx = (road->x[i + 1] - road->x[i]) / road_step, dy = (road->y[i + 1] - road->y[i]) / road_step;
                const double back = road->half_width + sky_rng_between(&rng, 9, 15), slip = sky_rng_between(&rng, -3, 3);
                const double x = road->x[i] + side * dy * back + slip * dx, y = road->y[i] - side * dx * back + slip * dy;
                struct sky_solid house = {
                    .shape = sky_rng_below(&rng, 3) ? SKY_SOLID_GABLE : SKY_SOLID_HIP, .kind = SKY_KIND_BUILDING, .x = x, .y = y, .cosine = dx, .sine = dy};
                house.half_x = sky_rng_between(&rng, 4.5, 7.5), house.half_y = sky_rng_between(&rng, 3.6, house.half_x);
                if (sky_rng_below(&rng, 2)) house.cosine = -dy, house.sine = dx;
                house.eaves = sky_rng_below(&rng, 2) ? 3.2 : 6;
                house.rise = house.half_y * sky_rng_between(&rng, 0.55, 0.95);
                house.roof = house_roofs[sky_rng_below(&rng, COUNT(house_roofs))], house.wall = house_walls[sky_rng_below(&rng, COUNT(house_walls))];
                house.hash = sky_rng_u32(&rng), house.windows = SKY_WINDOWS_GRID;
                const bool wanted = sky_rng_uniform(&rng) < density;
                const struct sky_shape outline = sky_shape_box(x, y, house.cosine, house.sine, house.half_x, house.half_y);
                if (!wanted || !sky_synth_is_free(scene, &outline, 2.5, SKY_TAKEN_ROAD | SKY_TAKEN_BUILDING | SKY_TAKEN_PAVED | SKY_TAKEN_CROP)) continue;
                sky_synth_add_solid(scene, &house);
                sky_synth_add_decal(scene, outline, SKY_MATERIAL_CONTACT, 0x101214);
                sky_synth_add_decal(scene, sky_shape_box(x, y, dx, dy, 9, 8), SKY_MATERIAL_LAWN, grass_colors[sky_rng_below(&rng, COUNT(grass_colors))]);
                sky_synth_add_decal(scene, sky_shape_capsule(x, y, road->x[i], road->y[i], 1.3), SKY_MATERIAL_PATH, 0xA09A90);
                sky_synth_take(scene, &outline, 2, SKY_TAKEN_BUILDING);
                sky_synth_add_car_slot(scene, 0.45 * x + 0.55 * road->x[i], 0.45 * y + 0.55 * road->y[i], -dy, dx);
            }
        }
    }
}

/* One tree if its crown keeps clear of roads and buildings. */
static void plant_tree(struct sky_synth_scene *scene, struct sky_rng *rng, double x, double y, double size, bool conifer, uint32_t color)
{
    const double radius = size * sky_rng_between(rng, 0.75, 1.25);
    const struct sky_shape crown = sky_shape_ellipse(x, y, 1, 0, radius, radius);
    const uint32_t hash = sky_rng_u32(rng);
    const double height = radius * sky_rng_between(rng, 1.7, 2.3);
    if (!sky_synth_is_free(scene, &crown, 0.5, SKY_TAKEN_ROAD | SKY_TAKEN_BUILDING | SKY_TAKEN_PAVED | SKY_TAKEN_CROP)) return;
    struct sky_solid tree = {.shape = conifer ? SKY_SOLID_CONE : SKY_SOLID_ELLIPSOID,
                             .kind = SKY_KIND_PLANT,
                             .x = x,
                             .y = y,
                             .cosine = 1,
                             .roof = color,
                             .wall = color,
                             .hash = hash};
    tree.half_x = tree.half_y = conifer ? 0.75 * radius : radius;
    tree.bottom = conifer ? 0.5 : 0.35 * radius;
    tree.eaves = tree.bottom + (conifer ? 1.6 * height : height);
    tree.windows = SKY_WINDOWS_NONE;
    sky_synth_add_solid(scene, &tree);
}

static void plant_trees(struct sky_synth_scene *scene, const struct road *roads, int road_count)
{
    struct sky_rng rng = sky_rng_make(scene->seed, SKY_RNG_SYNTH, scene->place, SKY_STREAM_TREES);
    for (int r = 0; r < road_count; r++) { /* avenues */
        const double every = sky_rng_between(&rng, 1, 4);
        const bool lined = sky_rng_below(&rng, 2);
        const uint32_t color = tree_colors[sky_rng_below(&rng, COUNT(tree_colors))];
        for (double at = 1; lined && (int)at + 1 < roads[r].count; at += every) {
            const struct road *road = roads + r;
            const int i = (int)at;
            const double dx = (road->x[i + 1] - road->x[i]) / road_step, dy = (road->y[i + 1] - road->y[i]) / road_step, away = road->half_width + 5.5;
            plant_tree(scene, &rng, road->x[i] + dy * away, road->y[i] - dx * away, 2.3, false, color);
            if (every < 2.5) plant_tree(scene, &rng, road->x[i] - dy * away, road->y[i] + dx * away, 2.3, false, color);
        }
    }
    const int woods = 3 + (int)sky_rng_below(&rng, 4);
    for (int i = 0; i < woods; i++) {
        const double bearing = sky_rng_between(&rng, 0, TURN), away = sky_rng_between(&rng, scene->landmark_radius + 8, 170),
                     extent = sky_rng_between(&rng, 10, 34);
        const double x = away * cos(bearing), y = away * sin(bearing);
        const bool conifers = sky_rng_below(&rng, 4) == 0;
        const struct sky_shape wood = sky_shape_ellipse(x, y, 1, 0, extent, extent);
        if (!sky_synth_is_free(scene, &wood, 0, SKY_TAKEN_CROP)) continue;
        sky_synth_add_decal(scene, wood, SKY_MATERIAL_FOREST_FLOOR, 0x4F5A39);
        for (int j = 0; j < (int)(extent * extent * 0.09); j++) {
            const double u = sky_rng_normal(&rng) * 0.5 * extent, v = sky_rng_normal(&rng) * 0.5 * extent, size = sky_rng_between(&rng, 2.4, 4.0);
            plant_tree(scene, &rng, x + u, y + v, size, conifers, tree_colors[sky_rng_below(&rng, COUNT(tree_colors))]);
        }
    }
    const int single = 120 + (int)sky_rng_below(&rng, 160);
    for (int i = 0; i < single; i++) {
        const double x = sky_rng_between(&rng, -0.5, 0.5) * SKY_SYNTH_WORLD * 0.8, y = sky_rng_between(&rng, -0.5, 0.5) * SKY_SYNTH_WORLD * 0.8;
        const double size = sky_rng_between(&rng, 1.6, 3.6);
        const bool conifer = sky_rng_below(&rng, 6) == 0;
        plant_tree(scene, &rng, x, y, size, conifer, tree_colors[sky_rng_below(&rng, COUNT(tree_colors))]);
    }
}

void sky_synth_layout(struct sky_synth_scene *scene)
{
    struct road roads[MAX_ROADS];
    const int road_count = lay_roads(scene, roads);
    lay_grounds(scene, roads, road_count);
    build_houses(scene, roads, road_count);
    plant_trees(scene, roads, road_count);
}
