/*
 * Rays against the solids of a synthetic place: every solid is convex, so a ray is clipped against its faces; a grid of cells with the height of
 * their highest solid keeps most of them out of sight. Knows no colours; the ground is the caller's.
 */
#include "base/memory.h"
#include "synth_scene.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The part of a ray inside a solid so far, with the face it enters through. */
struct clip {
    double enter, leave;
    enum sky_face face;
    double normal[3]; /* in the solid's axes, unit length */
};

/* Keeps what lies behind the plane: distance + t * speed <= 0, where distance is the origin's height above it. */
static bool clip_plane(struct clip *clip, double distance, double speed, enum sky_face face, double nx, double ny, double nz)
{
    if (speed == 0) return distance <= 0;
    const double t = -distance / speed;
    if (speed > 0) {
        if (t < clip->leave) clip->leave = t;
    } else if (t > clip->enter) {
        clip->enter = t, clip->face = face;
        clip->normal[0] = nx, clip->normal[1] = ny, clip->normal[2] = nz;
    }
    return clip->enter < clip->leave;
}

/* |o| <= half along one axis: two planes. */
static bool clip_slab(struct clip *clip, double o, double d, double half, enum sky_face face, double nx, double ny)
{
    return clip_plane(clip, o - half, d, face, nx, ny, 0) && clip_plane(clip, -o - half, -d, face, -nx, -ny, 0);
}

/* A roof of two slopes falling along one axis from a ridge `rise` above the eaves. */
static bool clip_slopes(struct clip *clip, double o, double d, double oz, double dz, double half, double rise, double eaves, int axis)
{
    const double slope = rise / half, scale = 1 / sqrt(1 + slope * slope);
    for (int side = -1; side <= 1; side += 2) {
        const double along = side * slope * scale;
        if (!clip_plane(clip, scale * (oz - eaves - rise) + along * o, scale * dz + along * d, SKY_FACE_PITCHED_ROOF, axis == 0 ? along : 0,
                        axis == 1 ? along : 0, scale))
            return false;
    }
    return true;
}

/* a t^2 + 2 b t + c <= 0 for a > 0; the caller works the normal out. */
static bool clip_quadric(struct clip *clip, double a, double b, double c)
{
    if (a <= 0) return c <= 0;
    const double discriminant = b * b - a * c;
    if (discriminant <= 0) return false;
    const double root = sqrt(discriminant), in = (-b - root) / a, out = (-b + root) / a;
    if (out < clip->leave) clip->leave = out;
    if (in > clip->enter) clip->enter = in, clip->face = SKY_FACE_ROUND;
    return clip->enter < clip->leave;
}

/* The nearest entry at t in (0, limit), into *hit. The origin lies outside of every solid that matters. */
static bool meet(const struct sky_solid *solid, const double origin[3], const double direction[3], double limit, struct sky_hit *hit)
{
    const double px = origin[0] - solid->x, py = origin[1] - solid->y;
    const double o[3] = {solid->cosine * px + solid->sine * py, solid->cosine * py - solid->sine * px, origin[2] - solid->bottom};
    const double d[3] = {solid->cosine * direction[0] + solid->sine * direction[1], solid->cosine * direction[1] - solid->sine * direction[0], direction[2]};
    const double height = solid->eaves - solid->bottom, rx = solid->half_x, ry = solid->half_y;
    struct clip clip = {1e-9, limit, SKY_FACE_BOTTOM, {0, 0, -1}};
    double normal[3];

    switch (solid->shape) {
    case SKY_SOLID_BOX:
    case SKY_SOLID_GABLE:
    case SKY_SOLID_HIP:
        if (!clip_slab(&clip, o[0], d[0], rx, SKY_FACE_WALL_X, 1, 0) || !clip_slab(&clip, o[1], d[1], ry, SKY_FACE_WALL_Y, 0, 1)) return false;
        if (solid->shape == SKY_SOLID_BOX) {
            if (!clip_plane(&clip, o[2] - height, d[2], SKY_FACE_FLAT_ROOF, 0, 0, 1)) return false;
        } else {
            if (!clip_slopes(&clip, o[1], d[1], o[2], d[2], ry, solid->rise, height, 1)) return false;
            if (solid->shape == SKY_SOLID_HIP && !clip_slopes(&clip, o[0], d[0], o[2], d[2], rx, solid->rise * rx / ry, height, 0)) return false;
        }
        if (!clip_plane(&clip, -o[2], -d[2], SKY_FACE_BOTTOM, 0, 0, -1)) return false;
        break;
    case SKY_SOLID_CYLINDER:
        if (!clip_quadric(&clip, d[0] * d[0] + d[1] * d[1], o[0] * d[0] + o[1] * d[1], o[0] * o[0] + o[1] * o[1] - rx * rx)) return false;
        if (!clip_plane(&clip, o[2] - height, d[2], SKY_FACE_FLAT_ROOF, 0, 0, 1) || !clip_plane(&clip, -o[2], -d[2], SKY_FACE_BOTTOM, 0, 0, -1)) return false;
        break;
    case SKY_SOLID_CONE: {
        /* x^2 + y^2 <= (k (height - z))^2: a double cone of which only the part below its tip is there. */
        const double k = rx / height, a = d[0] * d[0] + d[1] * d[1] - k * k * d[2] * d[2], oz = o[2] - height;
        const double b = o[0] * d[0] + o[1] * d[1] - k * k * oz * d[2], c = o[0] * o[0] + o[1] * o[1] - k * k * oz * oz;
        if (!clip_plane(&clip, -o[2], -d[2], SKY_FACE_BOTTOM, 0, 0, -1) || !clip_plane(&clip, oz, d[2], SKY_FACE_ROUND, 0, 0, 1)) return false;
        if (a > 0) {
            if (!clip_quadric(&clip, a, b, c)) return false;
        } else {
            /* A ray steeper than the flank is outside between the roots: coming down it enters at the later one, going up it leaves at the earlier. */
            const double discriminant = b * b - a * c;
            if (a == 0 || discriminant <= 0) break;
            const double root = sqrt(discriminant), earlier = (-b + root) / a, later = (-b - root) / a; /* a < 0 */
            if (d[2] < 0) {
                if (later > clip.enter) clip.enter = later, clip.face = SKY_FACE_ROUND;
            } else if (earlier < clip.leave) {
                clip.leave = earlier;
            }
            if (clip.enter >= clip.leave) return false;
        }
        break;
    }
    case SKY_SOLID_ELLIPSOID: {
        const double rz = 0.5 * height, oz = o[2] - rz;
        const double ux = o[0] / rx, uy = o[1] / ry, uz = oz / rz, vx = d[0] / rx, vy = d[1] / ry, vz = d[2] / rz;
        if (!clip_quadric(&clip, vx * vx + vy * vy + vz * vz, ux * vx + uy * vy + uz * vz, ux * ux + uy * uy + uz * uz - 1)) return false;
        break;
    }
    }
    if (clip.enter <= 1e-9 || clip.enter >= limit) return false;
    if (!hit) return true;

    const double at[3] = {o[0] + clip.enter * d[0], o[1] + clip.enter * d[1], o[2] + clip.enter * d[2]};
    memcpy(normal, clip.normal, sizeof normal);
    if (clip.face == SKY_FACE_ROUND) {
        if (solid->shape == SKY_SOLID_ELLIPSOID) {
            normal[0] = at[0] / (rx * rx), normal[1] = at[1] / (ry * ry), normal[2] = (at[2] - 0.5 * height) / (0.25 * height * height);
        } else {
            normal[0] = at[0], normal[1] = at[1];
            normal[2] = solid->shape == SKY_SOLID_CONE ? rx / height * sqrt(at[0] * at[0] + at[1] * at[1]) : 0;
        }
        const double length = sqrt(normal[0] * normal[0] + normal[1] * normal[1] + normal[2] * normal[2]);
        const double scale = length > 0 ? 1 / length : 0;
        normal[0] *= scale, normal[1] *= scale, normal[2] *= scale;
    }
    hit->t = clip.enter;
    hit->solid = solid;
    hit->face = clip.face;
    hit->normal[0] = solid->cosine * normal[0] - solid->sine * normal[1];
    hit->normal[1] = solid->sine * normal[0] + solid->cosine * normal[1];
    hit->normal[2] = normal[2];
    memcpy(hit->local, at, sizeof at);
    return true;
}

/* Walks the cells under (or over) a ray in order. Returns false when the world is left behind. */
struct walk {
    int x, y, step_x, step_y;
    double next_x, next_y, delta_x, delta_y, t, t_end; /* the ray is in the cell for t .. min(next_x, next_y) */
};

static double cell_size(void) { return SKY_SYNTH_WORLD / SKY_SYNTH_CELLS; }

static void walk_axis(double o, double d, double inverse, double t, int *cell, int *step, double *next, double *delta)
{
    const double at = (o + t * d + SKY_SYNTH_WORLD / 2) * (1 / cell_size());
    *cell = (int)at; /* inside the world, so never below 0 */
    if (*cell < 0) *cell = 0;
    if (*cell >= SKY_SYNTH_CELLS) *cell = SKY_SYNTH_CELLS - 1;
    *step = d > 0 ? 1 : -1;
    *next = INFINITY, *delta = INFINITY;
    if (d == 0) return;
    *next = ((*cell + (d > 0)) * cell_size() - SKY_SYNTH_WORLD / 2 - o) * inverse;
    *delta = cell_size() * fabs(inverse);
}

/* Starts where the ray is inside the world's square and at or below the highest solid. */
static bool walk_start(struct walk *walk, const struct sky_synth_scene *scene, const double o[3], const double d[3])
{
    const double low[3] = {-SKY_SYNTH_WORLD / 2, -SKY_SYNTH_WORLD / 2, 0}, high[3] = {SKY_SYNTH_WORLD / 2, SKY_SYNTH_WORLD / 2, scene->top};
    double enter = 0, leave = INFINITY, inverse[3];
    for (int axis = 0; axis < 3; axis++) {
        inverse[axis] = 1 / d[axis];
        if (d[axis] == 0) {
            if (o[axis] < low[axis] || o[axis] > high[axis]) return false;
            continue;
        }
        const double a = (low[axis] - o[axis]) * inverse[axis], b = (high[axis] - o[axis]) * inverse[axis];
        const double near = a < b ? a : b, far = a < b ? b : a;
        enter = near > enter ? near : enter;
        leave = far < leave ? far : leave;
    }
    if (enter >= leave) return false;
    walk->t = enter, walk->t_end = leave;
    walk_axis(o[0], d[0], inverse[0], enter, &walk->x, &walk->step_x, &walk->next_x, &walk->delta_x);
    walk_axis(o[1], d[1], inverse[1], enter, &walk->y, &walk->step_y, &walk->next_y, &walk->delta_y);
    return true;
}

static double walk_leaves_cell(const struct walk *walk)
{
    const double t = walk->next_x < walk->next_y ? walk->next_x : walk->next_y;
    return t < walk->t_end ? t : walk->t_end;
}

static bool walk_next(struct walk *walk)
{
    walk->t = walk_leaves_cell(walk);
    if (walk->t >= walk->t_end) return false;
    if (walk->next_x < walk->next_y) walk->x += walk->step_x, walk->next_x += walk->delta_x;
    else walk->y += walk->step_y, walk->next_y += walk->delta_y;
    return walk->x >= 0 && walk->x < SKY_SYNTH_CELLS && walk->y >= 0 && walk->y < SKY_SYNTH_CELLS;
}

struct sky_hit sky_synth_cast(const struct sky_synth_scene *scene, const double origin[3], const double direction[3])
{
    struct sky_hit hit = {.t = INFINITY};
    struct walk walk;
    if (!walk_start(&walk, scene, origin, direction)) return hit;
    do {
        const int cell = walk.y * SKY_SYNTH_CELLS + walk.x;
        const double leave = walk_leaves_cell(&walk);
        const double z0 = origin[2] + walk.t * direction[2], z1 = origin[2] + leave * direction[2];
        if ((z0 < z1 ? z0 : z1) <= scene->cell_top[cell])
            for (int32_t i = scene->cell_first[cell]; i < scene->cell_first[cell + 1]; i++)
                meet(scene->solids + scene->cell_items[i], origin, direction, hit.t, &hit);
        if (hit.t <= leave) break;
    } while (walk_next(&walk));
    return hit;
}

bool sky_synth_blocked(const struct sky_synth_scene *scene, const double origin[3], const double direction[3])
{
    struct walk walk;
    if (!walk_start(&walk, scene, origin, direction)) return false;
    do {
        const int cell = walk.y * SKY_SYNTH_CELLS + walk.x;
        if (origin[2] + walk.t * direction[2] <= scene->cell_top[cell])
            for (int32_t i = scene->cell_first[cell]; i < scene->cell_first[cell + 1]; i++)
                if (meet(scene->solids + scene->cell_items[i], origin, direction, INFINITY, NULL)) return true;
    } while (walk_next(&walk));
    return false;
}

/* Cells whose square a solid's circle may touch. */
static void cells_of(const struct sky_solid *solid, int *x0, int *x1, int *y0, int *y1)
{
    const double reach = solid->shape >= SKY_SOLID_CYLINDER ? (solid->half_x > solid->half_y ? solid->half_x : solid->half_y)
                                                            : sqrt(solid->half_x * solid->half_x + solid->half_y * solid->half_y);
    const double half = SKY_SYNTH_WORLD / 2;
    *x0 = (int)floor((solid->x - reach + half) / cell_size()), *x1 = (int)floor((solid->x + reach + half) / cell_size());
    *y0 = (int)floor((solid->y - reach + half) / cell_size()), *y1 = (int)floor((solid->y + reach + half) / cell_size());
    if (*x0 < 0) *x0 = 0;
    if (*y0 < 0) *y0 = 0;
    if (*x1 >= SKY_SYNTH_CELLS) *x1 = SKY_SYNTH_CELLS - 1;
    if (*y1 >= SKY_SYNTH_CELLS) *y1 = SKY_SYNTH_CELLS - 1;
}

sky_status sky_synth_grid_build(struct sky_synth_scene *scene)
{
    const int cells = SKY_SYNTH_CELLS * SKY_SYNTH_CELLS;
    int x0, x1, y0, y1;
    free(scene->cell_items);
    scene->cell_items = NULL;
    memset(scene->cell_first, 0, ((size_t)cells + 1) * sizeof *scene->cell_first);
    memset(scene->cell_top, 0, (size_t)cells * sizeof *scene->cell_top);
    scene->top = 0;
    for (int i = 0; i < scene->solid_count; i++) {
        const struct sky_solid *solid = scene->solids + i;
        const double top = solid->eaves + solid->rise;
        if (top > scene->top) scene->top = top;
        cells_of(solid, &x0, &x1, &y0, &y1);
        for (int y = y0; y <= y1; y++)
            for (int x = x0; x <= x1; x++) {
                const int cell = y * SKY_SYNTH_CELLS + x;
                scene->cell_first[cell]++;
                if (top > scene->cell_top[cell]) scene->cell_top[cell] = top;
            }
    }
    for (int cell = 1; cell <= cells; cell++) scene->cell_first[cell] += scene->cell_first[cell - 1]; /* now the end of each cell's range */
    SKY_TRY(sky_alloc(&scene->cell_items, (size_t)scene->cell_first[cells] + 1, sizeof *scene->cell_items, "the ray grid of a synthetic place"));
    for (int i = scene->solid_count - 1; i >= 0; i--) { /* filled from the back, so that each end becomes a start */
        cells_of(scene->solids + i, &x0, &x1, &y0, &y1);
        for (int y = y0; y <= y1; y++)
            for (int x = x0; x <= x1; x++) scene->cell_items[--scene->cell_first[y * SKY_SYNTH_CELLS + x]] = i;
    }
    return SKY_OK;
}
