/*
 * One synthetic place as the renderer sees it: a painted flat ground, solids standing on it, and a grid of cells that says which solids a ray can
 * meet. Private to the synthetic world. Units are metres; x east, y north, z up; the landmark stands at the origin. Colours are 0xRRGGBB as shown
 * on a screen; linear light is their square (gamma 2: exact in IEEE arithmetic, where pow() differs between libraries).
 *
 * synth_layout.c and synth_landmark.c decide what stands where, synth_ground.c paints, synth_cast.c meets rays, synth_render.c makes pictures.
 */
#ifndef SKY_DATA_SYNTH_SCENE_H
#define SKY_DATA_SYNTH_SCENE_H

#include "base/rng.h"
#include "skygem/status.h"

#include <stdbool.h>
#include <stdint.h>

#define SKY_SYNTH_WORLD 512.0 /* side of the world, centred on the landmark */
#define SKY_SYNTH_TILE 128.0  /* side of the satellite tile */
#define SKY_SYNTH_CELLS 64    /* cells a side of the ray grid: 8 m each */
#define SKY_SYNTH_PLOTS 256   /* cells a side of the map of what is taken: 2 m each */
#define SKY_SYNTH_MAX_SOLIDS 4096
#define SKY_SYNTH_MAX_DECALS 4096
#define SKY_SYNTH_MAX_CAR_SLOTS 512

/* Which numbers of a place a generator may draw (rng's b): never renumber. */
enum sky_synth_stream {
    SKY_STREAM_STYLE = 1,
    SKY_STREAM_LANDMARK,
    SKY_STREAM_ROADS,
    SKY_STREAM_GROUNDS,
    SKY_STREAM_HOUSES,
    SKY_STREAM_TREES,
    SKY_STREAM_VISIT = 16, /* + visit */
    SKY_STREAM_FLIGHT = 62,
    SKY_STREAM_SATELLITE = 63,
    SKY_STREAM_FRAME = 64,   /* + frame */
    SKY_STREAM_STREET = 512, /* + frame, and 128 more for google's */
    SKY_STREAM_STREET_DAY = 1023
};

/* A flat outline with a signed distance. Capsule: half_x is half its straight length along its axis, half_y its radius. */
enum sky_shape_kind { SKY_SHAPE_CAPSULE, SKY_SHAPE_BOX, SKY_SHAPE_ELLIPSE };
struct sky_shape {
    enum sky_shape_kind kind;
    double x, y, cosine, sine, half_x, half_y;
};

/* Painted one over the other in this order. */
enum sky_material {
    SKY_MATERIAL_CROP,
    SKY_MATERIAL_MEADOW,
    SKY_MATERIAL_FOREST_FLOOR,
    SKY_MATERIAL_LAWN,
    SKY_MATERIAL_PATH,
    SKY_MATERIAL_PAVING,
    SKY_MATERIAL_PITCH,
    SKY_MATERIAL_COURT,
    SKY_MATERIAL_WATER,
    SKY_MATERIAL_KERB,
    SKY_MATERIAL_ASPHALT,
    SKY_MATERIAL_MARKING,
    SKY_MATERIAL_CONTACT,
    SKY_MATERIAL_COUNT
};
struct sky_decal {
    struct sky_shape shape;
    enum sky_material material;
    uint32_t color;
};

struct sky_texel {
    uint8_t value[4]; /* red, green, blue, and how much of it the season tints, 0 .. 255 */
};
struct sky_ground {
    int side;
    double texel_size;
    struct sky_texel *texels; /* [side][side], rows from the south; the world's square */
};

enum sky_solid_shape { SKY_SOLID_BOX, SKY_SOLID_GABLE, SKY_SOLID_HIP, SKY_SOLID_CYLINDER, SKY_SOLID_CONE, SKY_SOLID_ELLIPSOID };
enum sky_solid_kind { SKY_KIND_BUILDING, SKY_KIND_FITTING, SKY_KIND_PLANT, SKY_KIND_VEHICLE };
enum sky_window_style { SKY_WINDOWS_GRID, SKY_WINDOWS_BANDS, SKY_WINDOWS_STRIPS, SKY_WINDOWS_NONE, SKY_WINDOWS_COUNT };
struct sky_solid {
    enum sky_solid_shape shape;
    enum sky_solid_kind kind;
    double x, y, cosine, sine, half_x, half_y; /* half_x and half_y along its own axes; round shapes use half_x as radius (ellipsoids both) */
    double bottom, eaves, rise;                /* walls from bottom to eaves; a pitched roof rises that much above them; cones and ellipsoids end at eaves */
    uint32_t wall, roof, hash;
    enum sky_window_style windows;
};

/* Where a car may stand; which ones do, and in what colour, changes from visit to visit. */
struct sky_car_slot {
    double x, y, cosine, sine;
};

struct sky_synth_scene {
    uint64_t seed;
    uint32_t place;
    struct sky_ground ground;
    struct sky_solid *solids;       /* [SKY_SYNTH_MAX_SOLIDS] */
    struct sky_decal *decals;       /* [SKY_SYNTH_MAX_DECALS] */
    struct sky_car_slot *car_slots; /* [SKY_SYNTH_MAX_CAR_SLOTS] */
    uint8_t *taken;                 /* [PLOTS][PLOTS], rows from the south: bits of enum sky_taken */
    int solid_count, decal_count, car_slot_count;
    int standing_count; /* solids that are there on every visit; cars follow */
    double landmark_radius, landmark_height;
    uint32_t grass[2]; /* the two tones of the ground that nothing covers */

    double top;          /* highest point of any solid */
    double *cell_top;    /* [CELLS][CELLS] */
    int32_t *cell_first; /* [CELLS * CELLS + 1] */
    int32_t *cell_items; /* solids by cell */
};

enum sky_taken { SKY_TAKEN_ROAD = 1, SKY_TAKEN_BUILDING = 2, SKY_TAKEN_PAVED = 4, SKY_TAKEN_CROP = 8, SKY_TAKEN_TREE = 16 };

/* Where a ray meets a solid first. */
enum sky_face { SKY_FACE_WALL_X, SKY_FACE_WALL_Y, SKY_FACE_FLAT_ROOF, SKY_FACE_PITCHED_ROOF, SKY_FACE_ROUND, SKY_FACE_BOTTOM };
struct sky_hit {
    double t;
    const struct sky_solid *solid; /* NULL: nothing */
    enum sky_face face;
    double normal[3];
    double local[3]; /* in the solid's own axes, z above its bottom */
};

/* Builds a whole place with ground texels of about texel_size. Zero-initialise; sky_synth_scene_free also after a failure. */
sky_status sky_synth_scene_build(struct sky_synth_scene *scene, uint64_t seed, uint32_t place, double texel_size);
void sky_synth_scene_free(struct sky_synth_scene *scene);

/* Puts that visit's cars in their places and rebuilds the grid; must come before the first ray. */
sky_status sky_synth_scene_visit(struct sky_synth_scene *scene, int visit);

/* Adding to the tables; a full table takes no more (layouts stay far below). */
void sky_synth_add_solid(struct sky_synth_scene *scene, const struct sky_solid *solid);
void sky_synth_add_decal(struct sky_synth_scene *scene, struct sky_shape shape, enum sky_material material, uint32_t color);
void sky_synth_add_car_slot(struct sky_synth_scene *scene, double x, double y, double cosine, double sine);

struct sky_shape sky_shape_box(double x, double y, double cosine, double sine, double half_x, double half_y);
struct sky_shape sky_shape_ellipse(double x, double y, double cosine, double sine, double half_x, double half_y);
struct sky_shape sky_shape_capsule(double x0, double y0, double x1, double y1, double radius);
double sky_shape_distance(const struct sky_shape *shape, double x, double y); /* below 0 inside */
double sky_shape_reach(const struct sky_shape *shape);                        /* radius of a circle around it */

/* Marks the plots whose centres lie within `margin` of the shape; asks whether none of them carries one of `bits`. */
void sky_synth_take(struct sky_synth_scene *scene, const struct sky_shape *shape, double margin, enum sky_taken bit);
bool sky_synth_is_free(const struct sky_synth_scene *scene, const struct sky_shape *shape, double margin, unsigned bits);

/* Smooth noise in [-1, 1] with a lattice of 1, and a sum of octaves of it. */
double sky_synth_noise(uint32_t seed, double x, double y);
double sky_synth_octaves(uint32_t seed, double x, double y, int octaves);
uint32_t sky_synth_hash(uint32_t a, uint32_t b, uint32_t c);

sky_status sky_synth_grid_build(struct sky_synth_scene *scene);               /* from the solids there are now */
void sky_synth_landmark(struct sky_synth_scene *scene);                       /* the landmark's solids, its radius and height */
void sky_synth_layout(struct sky_synth_scene *scene);                         /* roads, grounds, houses, trees around it */
sky_status sky_synth_paint(struct sky_synth_scene *scene, double texel_size); /* the ground, from grass and decals */

struct sky_texel sky_ground_at(const struct sky_ground *ground, double x, double y); /* bilinear; mirrored outside the world */
struct sky_hit sky_synth_cast(const struct sky_synth_scene *scene, const double origin[3], const double direction[3]);
bool sky_synth_blocked(const struct sky_synth_scene *scene, const double origin[3], const double direction[3]);

/*
 * Pictures as screens show them. The satellite looks straight down, north up, at the tile; the drone's frame is one of `frames` on its spiral; a picture from
 * the street looks at the landmark from beside it, at the height of somebody who stands there: on the street's visit all are of one day, on google's each is of
 * its own.
 */
sky_status sky_synth_satellite(const struct sky_synth_scene *scene, int size, uint8_t *rgb /* [size][size][3] */);
sky_status sky_synth_drone(const struct sky_synth_scene *scene, int frame, int frames, int size, uint8_t *rgb /* [size][size][3] */);
enum sky_visit { SKY_VISIT_SATELLITE, SKY_VISIT_DRONE, SKY_VISIT_STREET, SKY_VISIT_GOOGLE }; /* cars and light differ; call sky_synth_scene_visit before the picture */
sky_status sky_synth_street(const struct sky_synth_scene *scene, enum sky_visit visit, int frame, int size, uint8_t *rgb /* [size][size][3] */);

#endif
