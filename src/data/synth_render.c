/*
 * Pictures of a synthetic place: the satellite's tile from straight above, the drone's frames and pictures from the street, by casting two rays a pixel, four
 * where they differ, and one more at the sun. Light, season, haze and exposure are drawn for each visit and frame. Only additions, multiplications, divisions
 * and square roots reach the pixels after the camera and the sun are placed, so a picture does not hang on the mathematics library.
 */
#include "base/memory.h"
#include "synth_scene.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define TURN 6.283185307179586

struct light {
    double sun[3]; /* unit vector towards it */
    double sun_color[3], sky_color[3], haze_color[3];
    double haze_distance; /* where half of what is seen is haze */
    double plant[3];      /* the season's factor on what grows */
};

/* What lens, sensor and processing do to linear light. */
struct look {
    double gain[3];
    double contrast, saturation, noise, vignette;
    uint32_t seed;
};

static double dot(const double a[3], const double b[3]) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }

static void normalize(double v[3])
{
    const double scale = 1 / sqrt(dot(v, v));
    for (int i = 0; i < 3; i++) v[i] *= scale;
}

static void linear_of(uint32_t color, double out[3])
{
    for (int i = 0; i < 3; i++) {
        const double shown = (double)(color >> (16 - 8 * i) & 255) / 255;
        out[i] = shown * shown;
    }
}

/* Draws a sun, a sky and a season for one visit. */
static struct light draw_light(struct sky_rng *rng, enum sky_visit visit)
{
    static const double seasons[][3] = {{1, 1, 1}, {1.18, 1.03, 0.86}, {1.30, 1.14, 0.94}, {0.92, 1.08, 0.86}, {0.88, 0.94, 0.92}};
    struct light light;
    const double bearing = TURN * sky_rng_between(rng, 0.22, 0.78), height = TURN * sky_rng_between(rng, 0.085, 0.175); /* clockwise from north */
    const double warmth = sky_rng_between(rng, 0, 1), dull = sky_rng_below(rng, 4) == 0 ? sky_rng_between(rng, 0.3, 0.8) : 0;
    const double *season = seasons[sky_rng_below(rng, sizeof seasons / sizeof *seasons)];
    light.sun[0] = sin(bearing) * cos(height), light.sun[1] = cos(bearing) * cos(height), light.sun[2] = sin(height);
    const double sun[3] = {1.0, 0.97 - 0.05 * warmth, 0.92 - 0.16 * warmth}, sky[3] = {0.82, 0.92, 1.08}, haze[3] = {0.66, 0.72, 0.80};
    for (int i = 0; i < 3; i++) {
        light.sun_color[i] = 1.25 * sun[i] * (1 - dull);
        light.sky_color[i] = (0.34 + 0.55 * dull) * (sky[i] * (1 - dull) + dull);
        light.haze_color[i] = 0.55 * haze[i];
        light.plant[i] = season[i] * sky_rng_between(rng, 0.92, 1.08);
    }
    light.haze_distance = visit != SKY_VISIT_SATELLITE ? sky_rng_between(rng, 1100, 4000) : 6000; /* a satellite's haze is in its contrast */
    return light;
}

static struct look draw_look(struct sky_rng *rng, enum sky_visit visit)
{
    struct look look;
    const double stops = sky_rng_normal(rng) * 0.14, balance = sky_rng_normal(rng) * 0.035, tint = sky_rng_normal(rng) * 0.025;
    const double exposure = 0.98 * (1 + 0.69 * stops + 0.24 * stops * stops); /* close to 2 to that power */
    look.gain[0] = exposure * (1 + balance), look.gain[1] = exposure * (1 + tint), look.gain[2] = exposure * (1 - balance);
    look.contrast = sky_rng_between(rng, 0.86, 1.12);
    look.saturation = sky_rng_between(rng, 0.75, 1.15);
    look.noise = visit != SKY_VISIT_SATELLITE ? sky_rng_between(rng, 0.5, 2.5) : sky_rng_between(rng, 1, 2.5);
    look.vignette = visit != SKY_VISIT_SATELLITE ? 0.10 : 0;
    look.seed = sky_rng_u32(rng);
    return look;
}

/* Whether a wall shows glass at u metres along and v metres up it. */
static bool is_window(const struct sky_solid *solid, double u, double v)
{
    const double storey = 3.4, pitch = 2.4 + 1.6 * (double)(solid->hash & 255) / 255;
    const double column = u / pitch - floor(u / pitch), row = v / storey - floor(v / storey);
    if (v > solid->eaves - solid->bottom - 0.7) return false;
    switch (solid->windows) {
    case SKY_WINDOWS_GRID: return column > 0.28 && column < 0.74 && row > 0.30 && row < 0.80;
    case SKY_WINDOWS_BANDS: return row > 0.34 && row < 0.80;
    case SKY_WINDOWS_STRIPS: return column > 0.35 && column < 0.80;
    case SKY_WINDOWS_NONE:
    case SKY_WINDOWS_COUNT: return false;
    }
    return false;
}

/* Colour of a solid where it was hit; may tilt the normal of leaves. *plant: how much the season tints it; *open: how much of the sky it sees. */
static void color_of_solid(const struct sky_hit *hit, double albedo[3], double *plant, double *open, double normal[3])
{
    const struct sky_solid *solid = hit->solid;
    const double *at = hit->local, height = solid->eaves - solid->bottom;
    const bool top = hit->face == SKY_FACE_FLAT_ROOF || hit->face == SKY_FACE_PITCHED_ROOF;
    *plant = 0, *open = 1;
    linear_of(top ? solid->roof : solid->wall, albedo);
    double light = 1;
    if (solid->kind == SKY_KIND_PLANT) {
        const double leaves = sky_synth_octaves(solid->hash, at[0] * 0.9 + at[2] * 0.7, at[1] * 0.9 - at[2] * 0.6, 2);
        light = (0.86 + 0.25 * (double)(solid->hash >> 24) / 255) * (1 + 0.5 * leaves);
        *plant = 1, *open = 0.5 + 0.5 * at[2] / height;
        normal[0] += 0.5 * leaves, normal[1] -= 0.5 * leaves;
        normalize(normal);
    } else if (top) {
        const double grain = sky_synth_noise(solid->hash, at[0] * 0.8, at[1] * 0.8);
        light = 1 + 0.07 * grain;
        if (hit->face == SKY_FACE_FLAT_ROOF && solid->kind == SKY_KIND_BUILDING) {
            const double edge_x = solid->half_x - fabs(at[0]), edge_y = solid->half_y - fabs(at[1]);
            const double edge = solid->shape == SKY_SOLID_CYLINDER ? solid->half_x - sqrt(at[0] * at[0] + at[1] * at[1]) : edge_x < edge_y ? edge_x : edge_y;
            if (edge < 0.6) light *= 1.18; /* the parapet */
        } else if (hit->face == SKY_FACE_PITCHED_ROOF) {
            light += 0.03 * (at[2] / 0.45 - floor(at[2] / 0.45) < 0.5 ? 1 : -1); /* rows of tiles */
        }
    } else if (solid->kind == SKY_KIND_BUILDING) {
        /* Along a round wall: the taxicab angle, 0 .. 4, is near enough to the arc to set windows by. */
        const double round = at[1] / (fabs(at[0]) + fabs(at[1]) + 1e-9);
        const double u = hit->face == SKY_FACE_WALL_X ? at[1] : hit->face == SKY_FACE_WALL_Y ? at[0] : (at[0] > 0 ? round : 2 - round) * 1.57 * solid->half_x;
        *open = 0.55 + 0.45 * (at[2] < 8 ? at[2] / 8 : 1);
        if (is_window(solid, u, at[2])) {
            const double blink = (double)(sky_synth_hash(solid->hash, (uint32_t)(int)floor(u / 2), (uint32_t)(int)floor(at[2] / 3.4)) & 255) / 255;
            linear_of(0x39434F, albedo);
            light = 0.6 + 0.9 * blink;
        } else {
            light = 1 + 0.05 * sky_synth_noise(solid->hash, u * 0.5, at[2] * 0.5);
        }
    }
    for (int i = 0; i < 3; i++) albedo[i] *= light;
}

/* Where nothing is met: haze at the horizon, the sky's own light above. */
static void look_at_sky(const struct light *light, double height, double out[3])
{
    const double clear = height < 0 ? 0 : height > 0.4 ? 1 : height / 0.4;
    for (int i = 0; i < 3; i++) out[i] = light->haze_color[i] + (1.6 * light->sky_color[i] - light->haze_color[i]) * clear;
}

/* Linear light arriving along a ray. */
static void trace(const struct sky_synth_scene *scene, const struct light *light, const double origin[3], const double direction[3], double out[3])
{
    const struct sky_hit hit = sky_synth_cast(scene, origin, direction);
    const double ground = direction[2] < -1e-3 ? -origin[2] / direction[2] : INFINITY; /* flatter rays end in the haze */
    const bool solid = hit.solid && hit.t < ground;
    if (!solid && ground == INFINITY) {
        look_at_sky(light, direction[2], out);
        return;
    }
    const double t = solid ? hit.t : ground;
    double at[3], normal[3] = {0, 0, 1}, albedo[3], plant, open = 1;
    for (int i = 0; i < 3; i++) at[i] = origin[i] + t * direction[i];
    if (solid) {
        memcpy(normal, hit.normal, sizeof normal);
        color_of_solid(&hit, albedo, &plant, &open, normal);
    } else {
        const struct sky_texel texel = sky_ground_at(&scene->ground, at[0], at[1]);
        for (int i = 0; i < 3; i++) albedo[i] = (double)texel.value[i] / 255 * ((double)texel.value[i] / 255);
        plant = (double)texel.value[3] / 255;
        at[2] = 0;
    }
    double facing = dot(normal, light->sun);
    if (facing > 0) {
        const double *face = solid ? hit.normal : normal; /* the untilted one, so that the start is outside */
        const double start[3] = {at[0] + 0.03 * face[0], at[1] + 0.03 * face[1], at[2] + 0.03 * face[2]};
        if (sky_synth_blocked(scene, start, light->sun)) facing = 0;
    } else {
        facing = 0;
    }
    const double sky = open * (0.65 + 0.35 * normal[2]), haze = t / (t + light->haze_distance);
    for (int i = 0; i < 3; i++) {
        const double tinted = albedo[i] * (1 + plant * (light->plant[i] - 1));
        const double lit = tinted * (light->sun_color[i] * facing + light->sky_color[i] * sky);
        out[i] = lit + (light->haze_color[i] - lit) * haze;
    }
}

/* Where the rays of a pixel pass through it: a turned square, so that no two share a row or column. The second pair is cast only where the first differs. */
static const double samples[4][2] = {{-0.125, -0.375}, {0.125, 0.375}, {0.375, -0.125}, {-0.375, 0.125}};
static const double same_light = 0.025;

/* A camera as the renderer needs it: the ray through a point of the picture. */
struct camera {
    bool parallel; /* the satellite: all rays along `forward`; else all from `origin` */
    double origin[3], right[3], down[3], forward[3];
    double half; /* parallel: half the tile in metres; else the tangent of half the field of view */
};

static void ray_through(const struct camera *camera, double u, double v, double origin[3], double direction[3])
{
    for (int i = 0; i < 3; i++) {
        const double aside = camera->half * (u * camera->right[i] + v * camera->down[i]);
        origin[i] = camera->origin[i] + (camera->parallel ? aside : 0);
        direction[i] = camera->forward[i] + (camera->parallel ? 0 : aside);
    }
    normalize(direction);
}

static void render(const struct sky_synth_scene *scene, const struct light *light, const struct camera *camera, int size, float *linear /* [size][size][3] */)
{
    double origin[3], direction[3], seen[4][3];
    for (int row = 0; row < size; row++)
        for (int column = 0; column < size; column++, linear += 3) {
            int count = 2;
            for (int s = 0; s < count; s++) {
                ray_through(camera, 2 * (column + 0.5 + samples[s][0]) / size - 1, 2 * (row + 0.5 + samples[s][1]) / size - 1, origin, direction);
                trace(scene, light, origin, direction, seen[s]);
                if (s == 1)
                    for (int i = 0; i < 3; i++)
                        if (fabs(seen[0][i] - seen[1][i]) > same_light) count = 4;
            }
            for (int i = 0; i < 3; i++)
                linear[i] = (float)(count == 2 ? 0.5 * (seen[0][i] + seen[1][i]) : 0.25 * (seen[0][i] + seen[1][i] + seen[2][i] + seen[3][i]));
        }
}

static void develop(const float *linear /* [size][size][3] */, int size, const struct look *look, uint8_t *rgb)
{
    for (int row = 0; row < size; row++)
        for (int column = 0; column < size; column++) {
            const size_t pixel = (size_t)row * (size_t)size + (size_t)column;
            const double u = 2.0 * (column + 0.5) / size - 1, v = 2.0 * (row + 0.5) / size - 1, shade = 1 - look->vignette * (u * u + v * v);
            double shown[3];
            for (int i = 0; i < 3; i++) {
                const double light = linear[3 * pixel + (size_t)i] * look->gain[i] * shade;
                shown[i] = sqrt(light / (1 + 0.25 * light)); /* highlights roll off */
                shown[i] = 0.45 + (shown[i] - 0.45) * look->contrast;
            }
            const double grey = 0.3 * shown[0] + 0.59 * shown[1] + 0.11 * shown[2];
            for (int i = 0; i < 3; i++) {
                const uint32_t hash = sky_synth_hash(look->seed + (uint32_t)i, (uint32_t)column, (uint32_t)row);
                const double noise = (double)((hash & 0xFFFF) + (hash >> 16)) / 65535 - 1; /* triangular in [-1, 1] */
                const double value = 255 * (grey + (shown[i] - grey) * look->saturation) + look->noise * noise;
                rgb[3 * pixel + (size_t)i] = (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value + 0.5);
            }
        }
}

/* Blurs by [part, 1, part] along both axes, twice: the optics of a satellite. */
static void soften(float *linear, float *scratch, int size, double part)
{
    const float side = (float)(part / (1 + 2 * part)), middle = 1 - 2 * side;
    for (int pass = 0; pass < 4; pass++) {
        const bool across = pass % 2 == 0;
        for (int row = 0; row < size; row++)
            for (int column = 0; column < size; column++) {
                const int at = across ? column : row, before = at > 0 ? -1 : 0, after = at < size - 1 ? 1 : 0, stride = across ? 1 : size;
                const float *from = linear + 3 * ((size_t)row * (size_t)size + (size_t)column);
                float *to = scratch + (from - linear);
                for (int i = 0; i < 3; i++) to[i] = middle * from[i] + side * (from[i + 3 * before * stride] + from[i + 3 * after * stride]);
            }
        memcpy(linear, scratch, (size_t)size * (size_t)size * 3 * sizeof *linear);
    }
}

sky_status sky_synth_satellite(const struct sky_synth_scene *scene, int size, uint8_t *rgb)
{
    struct sky_rng rng = sky_rng_make(scene->seed, SKY_RNG_SYNTH, scene->place, SKY_STREAM_SATELLITE);
    const struct light light = draw_light(&rng, SKY_VISIT_SATELLITE);
    const struct look look = draw_look(&rng, SKY_VISIT_SATELLITE);
    const double blur = sky_rng_between(&rng, 0.1, 0.3);
    struct camera camera = {.parallel = true, .right = {1, 0, 0}, .down = {0, -1, 0}, .half = SKY_SYNTH_TILE / 2};
    const size_t count = (size_t)size * (size_t)size * 3;
    float *linear = NULL; /* [2][size][size][3]: the picture and room to blur it */
    camera.forward[0] = 0.08 * sky_rng_normal(&rng), camera.forward[1] = 0.08 * sky_rng_normal(&rng),
    camera.forward[2] = -1;                                                  /* a few degrees off: houses lean a little */
    for (int i = 0; i < 3; i++) camera.origin[i] = -300 * camera.forward[i]; /* its ground point is the landmark */
    normalize(camera.forward);
    SKY_TRY(sky_alloc(&linear, 2 * count, sizeof *linear, "a satellite tile"));
    render(scene, &light, &camera, size, linear);
    soften(linear, linear + count, size, blur);
    develop(linear, size, &look, rgb);
    free(linear);
    return SKY_OK;
}

/* Turns a camera at its place to look at a point. */
static void aim(struct camera *camera, const double target[3], double roll)
{
    double *forward = camera->forward;
    for (int i = 0; i < 3; i++) forward[i] = target[i] - camera->origin[i];
    normalize(forward);
    const double flat = sqrt(forward[0] * forward[0] + forward[1] * forward[1]);
    const double level[3] = {forward[1] / flat, -forward[0] / flat, 0};
    const double under[3] = {forward[0] * forward[2] / flat, forward[1] * forward[2] / flat, -flat}; /* forward x right */
    for (int i = 0; i < 3; i++) {
        camera->right[i] = cos(roll) * level[i] + sin(roll) * under[i];
        camera->down[i] = cos(roll) * under[i] - sin(roll) * level[i];
    }
}

/* The drone comes down from 256 m to 121.5 m in up to three rounds, at least eight frames each, nearing the landmark as it sinks. */
static struct camera place_camera(const struct sky_synth_scene *scene, struct sky_rng *rng, double start, int frame, int frames)
{
    struct camera camera = {.half = 0.28}; /* about 31 degrees in all */
    const int rounds = frames / 8 < 1 ? 1 : frames / 8 > 3 ? 3 : frames / 8;
    const double along = frames > 1 ? (double)frame / (frames - 1) : 0.5;
    const double bearing = start + TURN * rounds * frame / frames + 0.06 * sky_rng_normal(rng), height = 256 - 134.5 * along;
    const double steepness = TURN / 360 * (60 - 18 * along + 1.5 * sky_rng_normal(rng)), away = height / tan(steepness);
    const double target_x = 3 * sky_rng_normal(rng), target_y = 3 * sky_rng_normal(rng);
    const double target[3] = {target_x, target_y, 0.3 * scene->landmark_height};
    const double roll = TURN / 360 * 1.2 * sky_rng_normal(rng);
    camera.origin[0] = away * sin(bearing), camera.origin[1] = away * cos(bearing), camera.origin[2] = height;
    aim(&camera, target, roll);
    return camera;
}

static sky_status take_picture(const struct sky_synth_scene *scene, const struct light *light, const struct camera *camera, const struct look *look, int size, uint8_t *rgb)
{
    float *linear = NULL; /* [size][size][3] */
    SKY_TRY(sky_alloc(&linear, (size_t)size * (size_t)size * 3, sizeof *linear, "a synthetic picture"));
    render(scene, light, camera, size, linear);
    develop(linear, size, look, rgb);
    free(linear);
    return SKY_OK;
}

sky_status sky_synth_drone(const struct sky_synth_scene *scene, int frame, int frames, int size, uint8_t *rgb)
{
    struct sky_rng visit_rng = sky_rng_make(scene->seed, SKY_RNG_SYNTH, scene->place, SKY_STREAM_FLIGHT);
    struct sky_rng rng = sky_rng_make(scene->seed, SKY_RNG_SYNTH, scene->place, SKY_STREAM_FRAME + (uint32_t)frame);
    const struct light light = draw_light(&visit_rng, SKY_VISIT_DRONE);
    const double start = sky_rng_between(&visit_rng, 0, TURN);
    const struct look look = draw_look(&rng, SKY_VISIT_DRONE);
    const struct camera camera = place_camera(scene, &rng, start, frame, frames);
    return take_picture(scene, &light, &camera, &look, size, rgb);
}

/* Somewhere around the landmark, outside of houses and trees, from where it is seen; after a few tries, wherever the last one was. */
static struct camera place_on_street(const struct sky_synth_scene *scene, struct sky_rng *rng)
{
    enum { TRIES = 24 };
    struct camera camera = {0};
    for (int attempt = 0; attempt < TRIES; attempt++) {
        const double bearing = sky_rng_between(rng, 0, TURN), away = scene->landmark_radius + sky_rng_between(rng, 8, 45), height = sky_rng_between(rng, 1.6, 3.2);
        const double target[3] = {3 * sky_rng_normal(rng), 3 * sky_rng_normal(rng), 0.45 * scene->landmark_height};
        const double roll = TURN / 360 * sky_rng_normal(rng);
        const struct sky_shape spot = sky_shape_ellipse(away * sin(bearing), away * cos(bearing), 1, 0, 2, 2);
        camera.half = sky_rng_between(rng, 0.55, 0.75); /* 58 to 74 degrees in all */
        camera.origin[0] = spot.x, camera.origin[1] = spot.y, camera.origin[2] = height;
        aim(&camera, target, roll);
        const struct sky_solid *seen = sky_synth_cast(scene, camera.origin, camera.forward).solid;
        const bool landmark = seen && seen->x * seen->x + seen->y * seen->y <= scene->landmark_radius * scene->landmark_radius;
        if (landmark && sky_synth_is_free(scene, &spot, 0, SKY_TAKEN_BUILDING | SKY_TAKEN_TREE)) break;
    }
    return camera;
}

sky_status sky_synth_street(const struct sky_synth_scene *scene, enum sky_visit visit, int frame, int size, uint8_t *rgb)
{
    const uint32_t stream = SKY_STREAM_STREET + (visit == SKY_VISIT_GOOGLE ? 128 : 0) + (uint32_t)frame;
    struct sky_rng day = sky_rng_make(scene->seed, SKY_RNG_SYNTH, scene->place, SKY_STREAM_STREET_DAY);
    struct sky_rng rng = sky_rng_make(scene->seed, SKY_RNG_SYNTH, scene->place, stream);
    const struct light light = draw_light(visit == SKY_VISIT_GOOGLE ? &rng : &day, visit);
    const struct look look = draw_look(&rng, visit);
    const struct camera camera = place_on_street(scene, &rng);
    return take_picture(scene, &light, &camera, &look, size, rgb);
}
