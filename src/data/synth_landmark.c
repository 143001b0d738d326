/*
 * The landmark of a synthetic place: one of a table of plans, mirrored, stretched, turned and roofed by the place's own numbers, with a few annexes.
 * All places choose from the same walls, roofs and windows, so that it is the arrangement which tells them apart.
 */
#include "synth_scene.h"

#include <math.h>

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

/* A wing in units of the plan's half sizes; `tone` chooses among the place's three roofs. */
struct wing {
    enum sky_solid_shape shape;
    double x, y, half_x, half_y, storeys; /* storeys: share of the place's own number */
    int tone;
};
enum { PLAN_WINGS = 6 };
static const struct wing plans[][PLAN_WINGS] = {
    /* L */ {{SKY_SOLID_BOX, -.60, 0, .34, 1, 1, 0}, {SKY_SOLID_BOX, .36, -.68, .64, .32, .8, 1}},
    /* U */ {{SKY_SOLID_BOX, -.72, 0, .28, 1, 1, 0}, {SKY_SOLID_BOX, .72, .1, .28, .9, 1, 0}, {SKY_SOLID_BOX, 0, -.74, .46, .26, .7, 1}},
    /* T */ {{SKY_SOLID_BOX, 0, .70, 1, .30, 1, 0}, {SKY_SOLID_BOX, 0, -.30, .30, .70, .75, 1}},
    /* H */ {{SKY_SOLID_BOX, -.70, 0, .28, 1, 1, 0}, {SKY_SOLID_BOX, .70, 0, .28, 1, .9, 1}, {SKY_SOLID_BOX, 0, 0, .44, .24, .7, 2}},
    /* court */
    {{SKY_SOLID_BOX, -.78, 0, .22, 1, 1, 0},
     {SKY_SOLID_BOX, .78, 0, .22, 1, 1, 0},
     {SKY_SOLID_BOX, 0, .78, .57, .22, .8, 1},
     {SKY_SOLID_BOX, 0, -.78, .57, .22, .8, 1}},
    /* cross */
    {{SKY_SOLID_BOX, 0, 0, 1, .27, .8, 0},
     {SKY_SOLID_BOX, 0, 0, .27, 1, .85, 0},
     {SKY_SOLID_CYLINDER, 0, 0, .33, .33, 1.4, 1},
     {SKY_SOLID_ELLIPSOID, 0, 0, .33, .33, 1.4, 2}},
    /* comb */
    {{SKY_SOLID_BOX, -.76, 0, .24, 1, 1, 0},
     {SKY_SOLID_BOX, .18, .78, .70, .2, .7, 1},
     {SKY_SOLID_BOX, .06, 0, .58, .2, .7, 2},
     {SKY_SOLID_BOX, .18, -.78, .70, .2, .7, 1}},
    /* slab and tower */ {{SKY_SOLID_BOX, 0, 0, 1, .70, .35, 0}, {SKY_SOLID_BOX, -.42, .08, .36, .42, 2.0, 1}, {SKY_SOLID_BOX, .55, .35, .3, .25, .6, 2}},
    /* two towers */ {{SKY_SOLID_BOX, 0, 0, 1, .60, .3, 0}, {SKY_SOLID_BOX, -.58, 0, .3, .42, 1.8, 1}, {SKY_SOLID_BOX, .58, 0, .3, .42, 1.4, 2}},
    /* rotunda */
    {{SKY_SOLID_CYLINDER, 0, 0, .48, .48, 1.2, 0},
     {SKY_SOLID_BOX, -.72, 0, .34, .26, .8, 1},
     {SKY_SOLID_BOX, .72, 0, .34, .26, .8, 1},
     {SKY_SOLID_BOX, 0, -.72, .26, .34, .6, 2}},
    /* hall and silos */
    {{SKY_SOLID_BOX, 0, -.42, 1, .46, .8, 0},
     {SKY_SOLID_CYLINDER, -.66, .52, .27, .27, 1.3, 1},
     {SKY_SOLID_CYLINDER, 0, .52, .27, .27, 1.3, 1},
     {SKY_SOLID_CYLINDER, .66, .52, .27, .27, 1.1, 2}},
    /* zigzag */ {{SKY_SOLID_BOX, -.62, .52, .38, .40, 1, 0}, {SKY_SOLID_BOX, 0, 0, .40, .42, .8, 1}, {SKY_SOLID_BOX, .62, -.52, .38, .40, 1, 2}},
    /* terraces */ {{SKY_SOLID_BOX, 0, 0, 1, .85, .5, 0}, {SKY_SOLID_BOX, -.18, .12, .66, .56, 1.0, 1}, {SKY_SOLID_BOX, -.34, .22, .36, .34, 1.6, 2}},
    /* bars */
    {{SKY_SOLID_BOX, -.82, 0, .18, .9, .8, 0},
     {SKY_SOLID_BOX, -.28, .1, .18, .9, .8, 1},
     {SKY_SOLID_BOX, .28, -.1, .18, .9, .8, 0},
     {SKY_SOLID_BOX, .82, 0, .18, .9, .8, 2}},
    /* church */
    {{SKY_SOLID_BOX, .1, 0, .9, .34, .9, 0},
     {SKY_SOLID_BOX, .3, 0, .24, .8, .8, 0},
     {SKY_SOLID_BOX, -.86, 0, .22, .24, 1.9, 1},
     {SKY_SOLID_CONE, -.86, 0, .26, .26, 1.9, 2}},
    /* drums */ {{SKY_SOLID_CYLINDER, -.45, .2, .55, .55, .8, 0}, {SKY_SOLID_CYLINDER, .5, -.3, .45, .45, 1.1, 1}, {SKY_SOLID_BOX, .1, .75, .5, .2, .6, 2}},
};

static const uint32_t roof_colors[] = {0xB3593F, 0x8A3B35, 0x7B5C48, 0x565B66, 0xB4B1AB, 0xDEDBD3, 0x6D9A86, 0x4E73A4, 0xC7AC7C, 0x3F3E41};
static const uint32_t wall_colors[] = {0xD9D2C3, 0xC9B79A, 0xA8644C, 0xB9B9B6, 0xE4E1DA, 0x8C8F93, 0xC98F6B};

/* Roof fittings: boxes that only a flat roof carries. */
static void fit_roof(struct sky_synth_scene *scene, struct sky_rng *rng, const struct sky_solid *wing)
{
    const int count = (int)sky_rng_below(rng, 4);
    for (int i = 0; i < count; i++) {
        const double u = sky_rng_between(rng, -0.7, 0.7) * wing->half_x, v = sky_rng_between(rng, -0.6, 0.6) * wing->half_y;
        struct sky_solid box = *wing;
        box.shape = SKY_SOLID_BOX, box.kind = SKY_KIND_FITTING;
        box.x += wing->cosine * u - wing->sine * v, box.y += wing->sine * u + wing->cosine * v;
        box.half_x = sky_rng_between(rng, 0.8, 2.2), box.half_y = sky_rng_between(rng, 0.8, 1.8);
        box.bottom = wing->eaves, box.eaves = wing->eaves + sky_rng_between(rng, 0.8, 1.8);
        box.roof = box.wall = sky_rng_below(rng, 2) ? 0xA9ABAD : 0x77797C;
        sky_synth_add_solid(scene, &box);
    }
}

static void add_wing(struct sky_synth_scene *scene, struct sky_rng *rng, struct sky_solid wing, bool pitched)
{
    const struct sky_shape outline = wing.shape == SKY_SOLID_BOX ? sky_shape_box(wing.x, wing.y, wing.cosine, wing.sine, wing.half_x, wing.half_y)
                                                                 : sky_shape_ellipse(wing.x, wing.y, 1, 0, wing.half_x, wing.half_x);
    const double reach = hypot(wing.x, wing.y) + sky_shape_reach(&outline);
    if (pitched && wing.shape == SKY_SOLID_BOX) {
        const double narrow = wing.half_x < wing.half_y ? wing.half_x : wing.half_y;
        if (wing.half_x < wing.half_y) { /* the ridge runs along the longer side */
            const double swap = wing.half_x, cosine = wing.cosine;
            wing.half_x = wing.half_y, wing.half_y = swap;
            wing.cosine = -wing.sine, wing.sine = cosine;
        }
        wing.shape = sky_rng_below(rng, 2) ? SKY_SOLID_GABLE : SKY_SOLID_HIP;
        wing.rise = narrow * sky_rng_between(rng, 0.45, 0.75);
    }
    sky_synth_add_solid(scene, &wing);
    if (wing.bottom == 0) {
        sky_synth_take(scene, &outline, 1.5, SKY_TAKEN_BUILDING);
        sky_synth_add_decal(scene, outline, SKY_MATERIAL_CONTACT, 0x101214);
    }
    if (wing.shape == SKY_SOLID_BOX && wing.half_x > 3 && wing.half_y > 3) fit_roof(scene, rng, &wing);
    if (reach > scene->landmark_radius) scene->landmark_radius = reach;
    if (wing.eaves + wing.rise > scene->landmark_height) scene->landmark_height = wing.eaves + wing.rise;
}

void sky_synth_landmark(struct sky_synth_scene *scene)
{
    struct sky_rng rng = sky_rng_make(scene->seed, SKY_RNG_SYNTH, scene->place, SKY_STREAM_LANDMARK);
    const struct wing *plan = plans[sky_rng_below(&rng, COUNT(plans))];
    const double angle = sky_rng_between(&rng, 0, 2 * 3.14159265358979), cosine = cos(angle), sine = sin(angle);
    const double scale_x = sky_rng_between(&rng, 15, 25), scale_y = sky_rng_between(&rng, 14, 22);
    const double mirror = sky_rng_below(&rng, 2) ? 1 : -1;
    const double storeys = 2 + sky_rng_below(&rng, 5);
    uint32_t tones[3];
    for (int i = 0; i < 3; i++) tones[i] = roof_colors[sky_rng_below(&rng, COUNT(roof_colors))];
    const uint32_t wall = wall_colors[sky_rng_below(&rng, COUNT(wall_colors))];
    const enum sky_window_style windows = (enum sky_window_style)sky_rng_below(&rng, SKY_WINDOWS_COUNT);
    const bool pitched = sky_rng_below(&rng, 100) < 35;

    double below = 0; /* where a dome or a spire starts: on the wing before it */
    for (int i = 0; i < PLAN_WINGS && plan[i].half_x > 0; i++) {
        const double u = plan[i].x * scale_x, v = plan[i].y * scale_y * mirror;
        const bool round = plan[i].shape != SKY_SOLID_BOX, cap = plan[i].shape == SKY_SOLID_ELLIPSOID || plan[i].shape == SKY_SOLID_CONE;
        const double radius = plan[i].half_x * 0.5 * (scale_x + scale_y);
        struct sky_solid wing = {.shape = plan[i].shape, .kind = SKY_KIND_BUILDING, .cosine = cosine, .sine = sine, .wall = wall, .roof = tones[plan[i].tone]};
        wing.x = cosine * u - sine * v, wing.y = sine * u + cosine * v;
        wing.half_x = round ? radius : plan[i].half_x * scale_x * sky_rng_between(&rng, 0.9, 1.1);
        wing.half_y = round ? radius : plan[i].half_y * scale_y * sky_rng_between(&rng, 0.9, 1.1);
        wing.eaves = 3.4 * plan[i].storeys * storeys + 1.2 + 0.3 * i;
        if (plan[i].shape == SKY_SOLID_ELLIPSOID) wing.bottom = below - radius, wing.eaves = below + radius * 0.9;
        if (plan[i].shape == SKY_SOLID_CONE) wing.bottom = below, wing.eaves = below + radius * sky_rng_between(&rng, 1.2, 2.6);
        wing.hash = sky_rng_u32(&rng), wing.windows = cap ? SKY_WINDOWS_NONE : windows;
        if (cap) wing.wall = wing.roof; /* a dome or spire is all roof */
        below = wing.eaves;
        add_wing(scene, &rng, wing, pitched);
    }

    /* Annexes: small and low, around the main building. */
    const int annexes = (int)sky_rng_below(&rng, 4);
    for (int i = 0; i < annexes; i++) {
        const double bearing = sky_rng_between(&rng, 0, 6.2831853), far = sky_rng_between(&rng, 24, 33);
        struct sky_solid annex = {
            .shape = sky_rng_below(&rng, 4) ? SKY_SOLID_BOX : SKY_SOLID_CYLINDER, .kind = SKY_KIND_BUILDING, .cosine = cosine, .sine = sine};
        annex.x = far * cos(bearing), annex.y = far * sin(bearing);
        annex.half_x = sky_rng_between(&rng, 3, 7), annex.half_y = sky_rng_between(&rng, 2.5, 5);
        annex.eaves = sky_rng_between(&rng, 3.2, 8);
        annex.wall = wall, annex.roof = roof_colors[sky_rng_below(&rng, COUNT(roof_colors))];
        annex.hash = sky_rng_u32(&rng), annex.windows = windows;
        const struct sky_shape outline = sky_shape_box(annex.x, annex.y, annex.cosine, annex.sine, annex.half_x, annex.half_y);
        if (sky_synth_is_free(scene, &outline, 1.5, SKY_TAKEN_BUILDING)) add_wing(scene, &rng, annex, sky_rng_below(&rng, 2));
    }
}
