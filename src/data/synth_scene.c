/*
 * The tables of one synthetic place and the order in which it is built: landmark, surroundings, paint; then, for each visit, cars and the ray grid.
 * The scene owns all of it.
 */
#include "synth_scene.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

void sky_synth_add_solid(struct sky_synth_scene *scene, const struct sky_solid *solid)
{
    if (scene->solid_count < SKY_SYNTH_MAX_SOLIDS) scene->solids[scene->solid_count++] = *solid;
}

void sky_synth_add_decal(struct sky_synth_scene *scene, struct sky_shape shape, enum sky_material material, uint32_t color)
{
    if (scene->decal_count < SKY_SYNTH_MAX_DECALS) scene->decals[scene->decal_count++] = (struct sky_decal){shape, material, color};
}

void sky_synth_add_car_slot(struct sky_synth_scene *scene, double x, double y, double cosine, double sine)
{
    if (scene->car_slot_count < SKY_SYNTH_MAX_CAR_SLOTS) scene->car_slots[scene->car_slot_count++] = (struct sky_car_slot){x, y, cosine, sine};
}

sky_status sky_synth_scene_build(struct sky_synth_scene *scene, uint64_t seed, uint32_t place, double texel_size)
{
    const size_t cells = (size_t)SKY_SYNTH_CELLS * SKY_SYNTH_CELLS;
    scene->seed = seed, scene->place = place;
    SKY_TRY(sky_alloc(&scene->solids, SKY_SYNTH_MAX_SOLIDS, sizeof *scene->solids, "solids of a synthetic place"));
    SKY_TRY(sky_alloc(&scene->decals, SKY_SYNTH_MAX_DECALS, sizeof *scene->decals, "decals of a synthetic place"));
    SKY_TRY(sky_alloc(&scene->car_slots, SKY_SYNTH_MAX_CAR_SLOTS, sizeof *scene->car_slots, "car slots of a synthetic place"));
    SKY_TRY(sky_alloc(&scene->taken, (size_t)SKY_SYNTH_PLOTS * SKY_SYNTH_PLOTS, 1, "plots of a synthetic place"));
    SKY_TRY(sky_alloc(&scene->cell_top, cells, sizeof *scene->cell_top, "the ray grid of a synthetic place"));
    SKY_TRY(sky_alloc(&scene->cell_first, cells + 1, sizeof *scene->cell_first, "the ray grid of a synthetic place"));
    sky_synth_landmark(scene);
    sky_synth_layout(scene);
    scene->standing_count = scene->solid_count;
    return sky_synth_paint(scene, texel_size);
}

sky_status sky_synth_scene_visit(struct sky_synth_scene *scene, int visit)
{
    static const uint32_t car_colors[] = {0xE2E2E2, 0x2A2B2E, 0x8E9196, 0xA03230, 0x33507F, 0xC9C6BD, 0x55585C};
    struct sky_rng rng = sky_rng_make(scene->seed, SKY_RNG_SYNTH, scene->place, SKY_STREAM_VISIT + (uint32_t)visit);
    const double share = sky_rng_between(&rng, 0.1, 0.5);
    scene->solid_count = scene->standing_count;
    for (int i = 0; i < scene->car_slot_count; i++) {
        const struct sky_car_slot *slot = scene->car_slots + i;
        const uint32_t color = car_colors[sky_rng_below(&rng, sizeof car_colors / sizeof *car_colors)];
        const bool there = sky_rng_uniform(&rng) < share;
        struct sky_solid car = {.shape = SKY_SOLID_BOX, .kind = SKY_KIND_VEHICLE, .x = slot->x, .y = slot->y, .cosine = slot->cosine, .sine = slot->sine};
        car.half_x = sky_rng_between(&rng, 1.9, 2.4), car.half_y = 0.9, car.bottom = 0.2, car.eaves = 0.95;
        car.wall = car.roof = color, car.windows = SKY_WINDOWS_NONE;
        if (!there) continue;
        sky_synth_add_solid(scene, &car);
        car.half_x *= 0.55, car.half_y = 0.75, car.bottom = 0.9, car.eaves = 1.5, car.wall = 0x22262B; /* the cabin: glass under the roof */
        sky_synth_add_solid(scene, &car);
    }
    return sky_synth_grid_build(scene);
}

void sky_synth_scene_free(struct sky_synth_scene *scene)
{
    free(scene->ground.texels);
    free(scene->solids);
    free(scene->decals);
    free(scene->car_slots);
    free(scene->taken);
    free(scene->cell_top);
    free(scene->cell_first);
    free(scene->cell_items);
    memset(scene, 0, sizeof *scene);
}
