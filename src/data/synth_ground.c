/*
 * The ground of a synthetic place: outlines with signed distances, the map of what is taken, noise, and painting grass and decals into one texture.
 * Decides no layout and knows no light. The texture belongs to the scene.
 */
#include "base/memory.h"
#include "synth_scene.h"

#include <math.h>
#include <stddef.h>

/* How a material looks. Lengths in metres; grain is relative brightness; stripes run across the shape's own x axis. */
static const struct material {
    double plant, grain, grain_size, edge, wobble, stripe_period, stripe_contrast, opacity;
} materials[SKY_MATERIAL_COUNT] = {
    [SKY_MATERIAL_CROP] = {0.9, 0.10, 9, 0.5, 0.6, 5.0, 0.10, 1},
    [SKY_MATERIAL_MEADOW] = {1.0, 0.16, 7, 3.0, 5.0, 0, 0, 0.75},
    [SKY_MATERIAL_FOREST_FLOOR] = {0.8, 0.20, 5, 4.0, 6.0, 0, 0, 0.85},
    [SKY_MATERIAL_LAWN] = {1.0, 0.08, 4, 0.3, 0, 0, 0, 0.85},
    [SKY_MATERIAL_PAVING] = {0, 0.06, 3, 0.3, 0, 4.0, 0.03, 1},
    [SKY_MATERIAL_PITCH] = {0.7, 0.05, 6, 0.3, 0, 10.0, 0.07, 1},
    [SKY_MATERIAL_COURT] = {0, 0.03, 3, 0.2, 0, 0, 0, 1},
    [SKY_MATERIAL_WATER] = {0, 0.08, 8, 0.8, 3.5, 0, 0, 1},
    [SKY_MATERIAL_PATH] = {0, 0.08, 3, 0.5, 0, 0, 0, 0.95},
    [SKY_MATERIAL_KERB] = {0, 0.05, 3, 0.3, 0, 0, 0, 1},
    [SKY_MATERIAL_ASPHALT] = {0, 0.09, 6, 0.3, 0, 0, 0, 1},
    [SKY_MATERIAL_MARKING] = {0, 0.05, 2, 0.2, 0, 0, 0, 0.85},
    [SKY_MATERIAL_CONTACT] = {0, 0, 1, 5.0, 0, 0, 0, 0.45},
};

static double clamp(double value, double low, double high) { return value < low ? low : value > high ? high : value; }

uint32_t sky_synth_hash(uint32_t a, uint32_t b, uint32_t c)
{
    uint32_t h = a * 0x9E3779B1u ^ (b + 0x7F4A7C15u) * 0x85EBCA77u ^ (c + 0x165667B1u) * 0xC2B2AE3Du;
    h ^= h >> 16, h *= 0x7FEB352Du;
    h ^= h >> 15, h *= 0x846CA68Bu;
    return h ^ h >> 16;
}

static double lattice(uint32_t seed, int x, int y) { return (double)sky_synth_hash(seed, (uint32_t)x, (uint32_t)y) * (2.0 / 4294967295.0) - 1.0; }

double sky_synth_noise(uint32_t seed, double x, double y)
{
    const double floor_x = floor(x), floor_y = floor(y);
    const int ix = (int)floor_x, iy = (int)floor_y;
    const double fx = x - floor_x, fy = y - floor_y;
    const double sx = fx * fx * (3 - 2 * fx), sy = fy * fy * (3 - 2 * fy);
    const double a = lattice(seed, ix, iy), b = lattice(seed, ix + 1, iy), c = lattice(seed, ix, iy + 1), d = lattice(seed, ix + 1, iy + 1);
    const double south = a + (b - a) * sx, north = c + (d - c) * sx;
    return south + (north - south) * sy;
}

double sky_synth_octaves(uint32_t seed, double x, double y, int octaves)
{
    double sum = 0, weight = 1, total = 0;
    for (int i = 0; i < octaves; i++) {
        sum += weight * sky_synth_noise(seed + (uint32_t)i, x, y);
        total += weight;
        weight *= 0.5, x *= 2.03, y *= 2.03;
    }
    return sum / total;
}

struct sky_shape sky_shape_box(double x, double y, double cosine, double sine, double half_x, double half_y)
{
    return (struct sky_shape){SKY_SHAPE_BOX, x, y, cosine, sine, half_x, half_y};
}

struct sky_shape sky_shape_ellipse(double x, double y, double cosine, double sine, double half_x, double half_y)
{
    return (struct sky_shape){SKY_SHAPE_ELLIPSE, x, y, cosine, sine, half_x, half_y};
}

struct sky_shape sky_shape_capsule(double x0, double y0, double x1, double y1, double radius)
{
    const double dx = x1 - x0, dy = y1 - y0, length = sqrt(dx * dx + dy * dy);
    const double cosine = length > 0 ? dx / length : 1, sine = length > 0 ? dy / length : 0;
    return (struct sky_shape){SKY_SHAPE_CAPSULE, 0.5 * (x0 + x1), 0.5 * (y0 + y1), cosine, sine, 0.5 * length, radius};
}

double sky_shape_distance(const struct sky_shape *shape, double x, double y)
{
    const double dx = x - shape->x, dy = y - shape->y;
    const double u = fabs(shape->cosine * dx + shape->sine * dy), v = fabs(shape->cosine * dy - shape->sine * dx);
    switch (shape->kind) {
    case SKY_SHAPE_CAPSULE: {
        const double beyond = u > shape->half_x ? u - shape->half_x : 0;
        return sqrt(beyond * beyond + v * v) - shape->half_y;
    }
    case SKY_SHAPE_BOX: {
        const double a = u - shape->half_x, b = v - shape->half_y;
        if (a > 0 && b > 0) return sqrt(a * a + b * b);
        return a > b ? a : b;
    }
    case SKY_SHAPE_ELLIPSE: {
        const double a = u / shape->half_x, b = v / shape->half_y;
        return (sqrt(a * a + b * b) - 1) * (shape->half_x < shape->half_y ? shape->half_x : shape->half_y);
    }
    }
    return 0;
}

double sky_shape_reach(const struct sky_shape *shape)
{
    if (shape->kind == SKY_SHAPE_CAPSULE) return shape->half_x + shape->half_y;
    return sqrt(shape->half_x * shape->half_x + shape->half_y * shape->half_y);
}

/* First and last cell of `cells` a side that a circle of that reach touches along one axis; last < first when none. */
static void span(double centre, double reach, int cells, int *first, int *last)
{
    const double scale = cells / SKY_SYNTH_WORLD;
    *first = (int)clamp(floor((centre - reach + SKY_SYNTH_WORLD / 2) * scale), 0, cells);
    *last = (int)clamp(floor((centre + reach + SKY_SYNTH_WORLD / 2) * scale), -1, cells - 1);
}

void sky_synth_take(struct sky_synth_scene *scene, const struct sky_shape *shape, double margin, enum sky_taken bit)
{
    const double plot = SKY_SYNTH_WORLD / SKY_SYNTH_PLOTS, reach = sky_shape_reach(shape) + margin;
    int x0, x1, y0, y1;
    span(shape->x, reach, SKY_SYNTH_PLOTS, &x0, &x1);
    span(shape->y, reach, SKY_SYNTH_PLOTS, &y0, &y1);
    for (int y = y0; y <= y1; y++)
        for (int x = x0; x <= x1; x++)
            if (sky_shape_distance(shape, (x + 0.5) * plot - SKY_SYNTH_WORLD / 2, (y + 0.5) * plot - SKY_SYNTH_WORLD / 2) <= margin)
                scene->taken[y * SKY_SYNTH_PLOTS + x] |= (uint8_t)bit;
}

bool sky_synth_is_free(const struct sky_synth_scene *scene, const struct sky_shape *shape, double margin, unsigned bits)
{
    const double plot = SKY_SYNTH_WORLD / SKY_SYNTH_PLOTS, reach = sky_shape_reach(shape) + margin;
    int x0, x1, y0, y1;
    span(shape->x, reach, SKY_SYNTH_PLOTS, &x0, &x1);
    span(shape->y, reach, SKY_SYNTH_PLOTS, &y0, &y1);
    for (int y = y0; y <= y1; y++)
        for (int x = x0; x <= x1; x++)
            if ((scene->taken[y * SKY_SYNTH_PLOTS + x] & bits) &&
                sky_shape_distance(shape, (x + 0.5) * plot - SKY_SYNTH_WORLD / 2, (y + 0.5) * plot - SKY_SYNTH_WORLD / 2) <= margin)
                return false;
    return true;
}

static uint8_t blend(double from, double to, double part) { return (uint8_t)(clamp(from + (to - from) * part, 0, 255) + 0.5); }

static void paint_grass(struct sky_ground *ground, const uint32_t grass[2], uint32_t seed)
{
    for (int row = 0; row < ground->side; row++)
        for (int column = 0; column < ground->side; column++) {
            const double x = (column + 0.5) * ground->texel_size, y = (row + 0.5) * ground->texel_size;
            const double part = clamp(0.5 + 1.1 * sky_synth_octaves(seed, x / 45, y / 45, 2), 0, 1);
            const double tufts = sky_synth_octaves(seed + 7, x / 5, y / 5, 2);
            const double light = 1 + 0.16 * tufts + 0.07 * lattice(seed + 9, column, row);
            struct sky_texel *texel = ground->texels + (size_t)row * (size_t)ground->side + (size_t)column;
            for (int channel = 0; channel < 3; channel++) {
                const int shift = 16 - 8 * channel;
                const double tone = (double)(grass[0] >> shift & 255) * (1 - part) + (double)(grass[1] >> shift & 255) * part;
                texel->value[channel] = blend(tone * light, 0, 0);
            }
            texel->value[3] = 255;
        }
}

static void paint_decal(struct sky_ground *ground, const struct sky_decal *decal, uint32_t seed)
{
    const struct material *material = materials + decal->material;
    const double edge = material->edge > ground->texel_size ? material->edge : ground->texel_size;
    const double reach = sky_shape_reach(&decal->shape) + edge + material->wobble;
    int x0, x1, y0, y1;
    span(decal->shape.x, reach, ground->side, &x0, &x1);
    span(decal->shape.y, reach, ground->side, &y0, &y1);
    for (int row = y0; row <= y1; row++)
        for (int column = x0; column <= x1; column++) {
            const double x = (column + 0.5) * ground->texel_size - SKY_SYNTH_WORLD / 2, y = (row + 0.5) * ground->texel_size - SKY_SYNTH_WORLD / 2;
            double distance = sky_shape_distance(&decal->shape, x, y);
            if (distance > edge + material->wobble) continue;
            if (material->wobble > 0) distance += material->wobble * sky_synth_octaves(seed + 3, x / 12, y / 12, 2);
            const double cover = clamp(0.5 - distance / edge, 0, 1) * material->opacity;
            if (cover <= 0) continue;
            double light = 1 + material->grain * sky_synth_noise(seed + 5, x / material->grain_size, y / material->grain_size) +
                           0.5 * material->grain * lattice(seed + 6, column, row);
            if (material->stripe_period > 0) {
                const double along = (decal->shape.cosine * (x - decal->shape.x) + decal->shape.sine * (y - decal->shape.y)) / material->stripe_period;
                light += along - floor(along) < 0.5 ? material->stripe_contrast : -material->stripe_contrast;
            }
            struct sky_texel *texel = ground->texels + (size_t)row * (size_t)ground->side + (size_t)column;
            for (int channel = 0; channel < 3; channel++)
                texel->value[channel] = blend(texel->value[channel], (double)(decal->color >> (16 - 8 * channel) & 255) * light, cover);
            if (decal->material != SKY_MATERIAL_CONTACT) texel->value[3] = blend(texel->value[3], 255 * material->plant, cover);
        }
}

sky_status sky_synth_paint(struct sky_synth_scene *scene, double texel_size)
{
    struct sky_ground *ground = &scene->ground;
    const uint32_t seed = sky_synth_hash((uint32_t)scene->seed, (uint32_t)(scene->seed >> 32), scene->place);
    ground->side = (int)ceil(SKY_SYNTH_WORLD / texel_size);
    ground->texel_size = SKY_SYNTH_WORLD / ground->side;
    SKY_TRY(sky_alloc(&ground->texels, (size_t)ground->side * (size_t)ground->side, sizeof *ground->texels, "the ground of a synthetic place"));
    paint_grass(ground, scene->grass, seed);
    for (int material = 0; material < SKY_MATERIAL_COUNT; material++)
        for (int i = 0; i < scene->decal_count; i++)
            if ((int)scene->decals[i].material == material) paint_decal(ground, scene->decals + i, seed + 16);
    return SKY_OK;
}

/* The world goes on as its own mirror image: only the far corners of the highest frames look there. */
static int mirror(int index, int side)
{
    if (index >= 0 && index < side) return index;
    index = (index < 0 ? -1 - index : index) % (2 * side);
    return index < side ? index : 2 * side - 1 - index;
}

struct sky_texel sky_ground_at(const struct sky_ground *ground, double x, double y)
{
    const double u = (x + SKY_SYNTH_WORLD / 2) / ground->texel_size - 0.5, v = (y + SKY_SYNTH_WORLD / 2) / ground->texel_size - 0.5;
    const double floor_u = floor(u), floor_v = floor(v);
    const int x0 = mirror((int)floor_u, ground->side), x1 = mirror((int)floor_u + 1, ground->side);
    const int y0 = mirror((int)floor_v, ground->side), y1 = mirror((int)floor_v + 1, ground->side);
    const int part_u = (int)((u - floor_u) * 256), part_v = (int)((v - floor_v) * 256); /* whole numbers: the same bits everywhere */
    const struct sky_texel *south = ground->texels + (size_t)y0 * (size_t)ground->side, *north = ground->texels + (size_t)y1 * (size_t)ground->side;
    struct sky_texel out;
    for (int channel = 0; channel < 4; channel++) {
        const int a = south[x0].value[channel], b = south[x1].value[channel], c = north[x0].value[channel], d = north[x1].value[channel];
        const int low = a * (256 - part_u) + b * part_u, high = c * (256 - part_u) + d * part_u;
        out.value[channel] = (uint8_t)((low * (256 - part_v) + high * part_v + 32768) >> 16);
    }
    return out;
}
