/*
 * Pooling of every part of a map in one read, and its gradient. Rings are disjoint and their sums add up to parts, so one power a pixel serves all parts; only
 * exponents that differ by part take one walk a part. Powers range from 1e-96 (1e-6 to the 16th) up: their sums are double, their products carry an exponent of
 * their own.
 */
#include "base/memory.h"
#include "cpu.h"
#include "skygem/config.h"
#include "vector.h"

#include <stdlib.h>

/* Channels in one piece of work: an image's slice. */
enum { BLOCK = 256 };

static const float gem_epsilon = 1e-6f;

struct part_state {
    const struct sky_part_table *table;
    struct sky_map_shape map;
    int pooling;
    bool by_part;      /* one exponent a part */
    int64_t exponents; /* 0: attr.part.p, 1, C or P */
    uint8_t ring[];    /* [H,W] which ring holds the position */
};

static sky_status part_prepare(struct sky_kernel *kernel, const struct sky_tensor *x, const struct sky_tensor *p)
{
    const struct sky_part_table *table = kernel->node->attr.part.table;
    struct part_state *state = NULL;
    SKY_TRY(sky_alloc(&state, 1, sizeof *state + (size_t)(x->dim[1] * x->dim[2]), "ring map"));
    kernel->state = state;
    state->table = table;
    state->map = sky_map_shape_of(x);
    state->pooling = kernel->node->attr.part.pooling;
    state->exponents = p ? p->count : 0;
    state->by_part = state->exponents > 1 && state->exponents != x->dim[3];
    for (int r = table->ring_count - 1; r >= 0; r--)
        for (int64_t h = table->box[r][0]; h < table->box[r][2]; h++)
            for (int64_t w = table->box[r][1]; w < table->box[r][3]; w++) state->ring[h * x->dim[2] + w] = (uint8_t)r;
    return SKY_OK;
}

static void part_destroy(struct sky_kernel *kernel)
{
    free(kernel->state);
    kernel->state = NULL;
}

/* One image's slice of channels. */
struct slice {
    int64_t image, first, channels;
    const float *x; /* first pixel's */
};

static struct slice slice_at(const struct part_state *state, const float *x, int64_t index)
{
    const int64_t blocks = (state->map.channels + BLOCK - 1) / BLOCK, image = index / blocks, first = index % blocks * BLOCK;
    return (struct slice){image, first, sky_min(BLOCK, state->map.channels - first), x + image * state->map.positions * state->map.channels + first};
}

static int64_t slice_count(const struct part_state *state)
{
    return state->map.images * ((state->map.channels + BLOCK - 1) / BLOCK);
}

/* The exponents of a slice's channels, those of `part` when they differ by part. */
static void fill_exponents(const struct sky_kernel *kernel, const float *p, const struct slice *slice, int part, float *restrict exponent)
{
    const struct part_state *state = kernel->state;
    for (int64_t c = 0; c < slice->channels; c++)
        exponent[c] = !p ? (float)kernel->node->attr.part.p : state->by_part ? p[part] : state->exponents == 1 ? p[0] : p[slice->first + c];
}

static void split_exponents(const float *restrict exponent, int64_t channels, float *restrict high, float *restrict low)
{
    for (int64_t c = 0; c < channels; c++) {
        high[c] = sky_power_high(exponent[c]);
        low[c] = exponent[c] - high[c];
    }
}

static inline float clamp_low(float x)
{
    return x < gem_epsilon ? gem_epsilon : x;
}

/* A slice's pixels lie far apart, where the hardware does not read ahead. */
static inline void fetch(const float *x, int64_t channels)
{
    for (int64_t c = 0; c < channels; c += 16) __builtin_prefetch(x + c);
}

/* Adds max(x, eps)^p, or x, of one pixel. */
static void add_powers(const float *restrict x, int64_t channels, const float *restrict high, const float *restrict low, double *restrict sum)
{
#pragma omp simd
    for (int64_t c = 0; c < channels; c++) {
        float n;
        const float fraction = sky_power(clamp_low(x[c]), high[c], low[c], &n);
        sum[c] += sky_scale_double(fraction, n);
    }
}

static void add_values(const float *restrict x, int64_t channels, double *restrict sum)
{
#pragma omp simd
    for (int64_t c = 0; c < channels; c++) sum[c] += (double)x[c];
}

/* (S / denominator)^(1/p) */
static void take_root(const double *restrict sum, double denominator, const float *restrict exponent, int64_t channels, float *restrict y)
{
#pragma omp simd
    for (int64_t c = 0; c < channels; c++) {
        float whole, rest;
        const float mantissa = sky_split(sky_split_double(sum[c] / denominator, &whole), &rest);
        const double logarithm = ((double)whole + (double)rest + (double)sky_log2_mantissa(mantissa)) / (double)exponent[c];
        const float n = sky_round((float)logarithm);
        y[c] = sky_scale(sky_exp2_fraction((float)(logarithm - (double)n)), n);
    }
}

/* Sums of a part's rings, holes included. */
static void sum_rings(const struct sky_part_table *table, int part, double (*rings)[BLOCK], int64_t channels, const double *restrict hole, double *restrict sum)
{
    for (int64_t c = 0; c < channels; c++) sum[c] = table->part[part].holes * hole[c];
    for (int r = table->part[part].first; r <= table->part[part].last; r++)
        for (int64_t c = 0; c < channels; c++) sum[c] += rings[r][c];
}

/* GeM or mean of one slice: one walk over the map, or one a part when the exponents differ by part. */
static void pool_slice(const struct sky_kernel *kernel, const float *p, const struct slice *slice, float *y)
{
    const struct part_state *state = kernel->state;
    const struct sky_part_table *table = state->table;
    const bool gem = state->pooling == SKY_POOL_GEM;
    double rings[SKY_MAX_RINGS][BLOCK], hole[BLOCK] = {0}, sum[BLOCK];
    float exponent[BLOCK], high[BLOCK], low[BLOCK], epsilon[BLOCK];
    for (int c = 0; c < BLOCK; c++) epsilon[c] = gem_epsilon;
    for (int part = 0; part < table->part_count; part++) {
        if (part == 0 || state->by_part) {
            const int first = state->by_part ? table->part[part].first : 0, last = state->by_part ? table->part[part].last : table->ring_count - 1;
            if (gem) {
                fill_exponents(kernel, p, slice, part, exponent);
                split_exponents(exponent, slice->channels, high, low);
                memset(hole, 0, sizeof hole);
                add_powers(epsilon, slice->channels, high, low, hole);
            }
            memset(rings, 0, sizeof rings);
            for (int64_t i = 0; i < state->map.positions; i++) {
                const int ring = state->ring[i];
                if (ring < first || ring > last) continue;
                const float *x = slice->x + i * state->map.channels;
                fetch(x + state->map.channels, slice->channels);
                if (gem) add_powers(x, slice->channels, high, low, rings[ring]);
                else add_values(x, slice->channels, rings[ring]);
            }
        }
        float *to = y + (part * state->map.images + slice->image) * state->map.channels + slice->first;
        sum_rings(table, part, rings, slice->channels, hole, sum);
        if (gem) take_root(sum, table->part[part].denominator, exponent, slice->channels, to);
        else
            for (int64_t c = 0; c < slice->channels; c++) to[c] = (float)(sum[c] / table->part[part].denominator);
    }
}

/* Maximum of one slice: of the rings first, with the first position, then of the parts. */
static void max_slice(const struct part_state *state, const struct slice *slice, float *y, int32_t *index)
{
    const struct sky_part_table *table = state->table;
    float best[SKY_MAX_RINGS][BLOCK];
    int32_t at[SKY_MAX_RINGS][BLOCK];
    bool started[SKY_MAX_RINGS] = {false};
    for (int64_t i = 0; i < state->map.positions; i++) {
        const int ring = state->ring[i];
        const float *restrict x = slice->x + i * state->map.channels;
        float *restrict value = best[ring];
        int32_t *restrict place = at[ring];
        fetch(x + state->map.channels, slice->channels);
        if (!started[ring]) {
            started[ring] = true;
            for (int64_t c = 0; c < slice->channels; c++) value[c] = x[c], place[c] = (int32_t)i;
            continue;
        }
        sky_take_larger(x, (int32_t)i, slice->channels, value, place);
    }
    for (int part = 0; part < table->part_count; part++) {
        const int64_t offset = (part * state->map.images + slice->image) * state->map.channels + slice->first;
        for (int64_t c = 0; c < slice->channels; c++) {
            float value = 0;
            int32_t place = -1;
            for (int r = table->part[part].first; r <= table->part[part].last; r++) {
                if (!started[r] || (place >= 0 && (best[r][c] < value || (best[r][c] == value && at[r][c] > place)))) continue;
                value = best[r][c];
                place = at[r][c];
            }
            const bool hole = table->part[part].holes > 0 && value < 0;
            y[offset + c] = hole ? 0 : value;
            if (index) index[offset + c] = hole ? -1 : place;
        }
    }
}

static sky_status pool_prepare(struct sky_kernel *kernel)
{
    return part_prepare(kernel, sky_cpu_in(kernel, 0), sky_cpu_in(kernel, 1));
}

static sky_status pool_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct part_state *state = kernel->state;
#pragma omp parallel for num_threads(sky_cpu_threads(kernel)) schedule(static)
    for (int64_t i = 0; i < slice_count(state); i++) {
        const struct slice slice = slice_at(state, run->in[0], i);
        if (state->pooling == SKY_POOL_MAX) max_slice(state, &slice, run->out[0], run->out[1]);
        else pool_slice(kernel, run->in[1], &slice, run->out[0]);
    }
    return SKY_OK;
}

/* What the gradient's walk needs of one ring and channel: coefficient = mantissa * 2^exponent. */
struct coefficients {
    float mantissa[SKY_MAX_RINGS][BLOCK], exponent[SKY_MAX_RINGS][BLOCK];
};

/* Adds dy y^(1-p) / denominator of one part to its rings, and what of dp does not need the map: the holes and -dy y ln y / p. */
static void add_part(const struct sky_part_table *table, int part, const float *restrict dy, const float *restrict y, int64_t channels,
                     const float *restrict exponent, double (*rings)[BLOCK], double *restrict dp)
{
    const double denominator = table->part[part].denominator, holes = table->part[part].holes;
    double passed[BLOCK];
#pragma omp simd
    for (int64_t c = 0; c < channels; c++) {
        const float p = exponent[c], less_high = sky_power_high(p - 1), less_low = (p - 1) - less_high;
        float n, n_hole;
        const float fraction = sky_power(y[c] > 0 ? y[c] : gem_epsilon, -less_high, -less_low, &n),
                    fraction_hole = sky_power(gem_epsilon, less_high, less_low, &n_hole);
        passed[c] = (double)dy[c] / denominator * sky_scale_double(fraction, n);
        const double hole = passed[c] * sky_scale_double(fraction_hole, n_hole) * (double)gem_epsilon * (double)sky_log2(gem_epsilon);
        dp[c] += 0.69314718055994531 / (double)p * (holes * hole - (double)dy[c] * (double)y[c] * (double)sky_log2(y[c] > 0 ? y[c] : gem_epsilon));
    }
    for (int r = table->part[part].first; r <= table->part[part].last; r++)
        for (int64_t c = 0; c < channels; c++) rings[r][c] += passed[c];
}

/* One pixel: v = coefficient max(x, eps)^(p-1); dx += v where x > eps; dp += v max(x, eps) log2 max(x, eps). */
static inline void gem_pixel(const float *restrict x, int64_t channels, const float *restrict high, const float *restrict low, const float *restrict mantissa,
                             const float *restrict exponent, float *restrict dx, double *restrict dp)
{
#pragma omp simd
    for (int64_t c = 0; c < channels; c++) {
        const float clamped = clamp_low(x[c]);
        float n;
        const float fraction = sky_power(clamped, high[c], low[c], &n), sum = n + exponent[c], within = sum < -250 ? -250 : sum > 250 ? 250 : sum;
        const float value = sky_scale(fraction * mantissa[c], within), masked = x[c] > gem_epsilon ? value : 0;
        dx[c] += masked;
        if (dp) dp[c] += (double)(value * clamped * sky_log2(clamped));
    }
}

static void gem_walk(const struct part_state *state, const struct slice *slice, int first, int last, const struct coefficients *by_ring, const float *high,
                     const float *low, float *dx, double *dp)
{
    for (int64_t i = 0; i < state->map.positions; i++) {
        const int ring = state->ring[i];
        const int64_t at = i * state->map.channels;
        if (ring < first || ring > last) continue;
        fetch(slice->x + at + state->map.channels, slice->channels);
        if (dp) gem_pixel(slice->x + at, slice->channels, high, low, by_ring->mantissa[ring], by_ring->exponent[ring], dx + at, dp);
        else gem_pixel(slice->x + at, slice->channels, high, low, by_ring->mantissa[ring], by_ring->exponent[ring], dx + at, NULL);
    }
}

static void clear_slice(const struct part_state *state, const struct slice *slice, float *dx)
{
    for (int64_t i = 0; i < state->map.positions; i++) memset(dx + i * state->map.channels, 0, (size_t)slice->channels * sizeof *dx);
}

/* dp: sums of one slice by channel, [C] of this image, or by part and channel; NULL when not wanted. dp_stride lies between parts. */
static void gem_grad_slice(const struct sky_kernel *kernel, const struct sky_run *run, const struct slice *slice, float *dx, double *dp, int64_t dp_stride)
{
    const struct part_state *state = kernel->state;
    const struct sky_part_table *table = state->table;
    double rings[SKY_MAX_RINGS][BLOCK], outside[BLOCK], inside[BLOCK];
    float exponent[BLOCK], less[BLOCK], high[BLOCK], low[BLOCK];
    struct coefficients by_ring;
    const int walks = state->by_part ? table->part_count : 1;
    clear_slice(state, slice, dx);
    for (int walk = 0; walk < walks; walk++) {
        const int first_part = state->by_part ? walk : 0, last_part = state->by_part ? walk : table->part_count - 1;
        const int first = state->by_part ? table->part[walk].first : 0, last = state->by_part ? table->part[walk].last : table->ring_count - 1;
        memset(rings, 0, sizeof rings);
        memset(outside, 0, sizeof outside);
        memset(inside, 0, sizeof inside);
        fill_exponents(kernel, run->in[3], slice, walk, exponent);
        for (int64_t c = 0; c < slice->channels; c++) less[c] = exponent[c] - 1;
        split_exponents(less, slice->channels, high, low);
        for (int part = first_part; part <= last_part; part++) {
            const int64_t at = (part * state->map.images + slice->image) * state->map.channels + slice->first;
            add_part(table, part, (const float *)run->in[0] + at, (const float *)run->in[2] + at, slice->channels, exponent, rings, outside);
        }
        for (int r = first; r <= last; r++)
            for (int64_t c = 0; c < slice->channels; c++) by_ring.mantissa[r][c] = sky_split_double(rings[r][c], &by_ring.exponent[r][c]);
        gem_walk(state, slice, first, last, &by_ring, high, low, dx, dp ? inside : NULL);
        for (int64_t c = 0; c < slice->channels && dp; c++)
            dp[walk * dp_stride + slice->image * state->map.channels + slice->first + c] = outside[c] + 0.69314718055994531 / (double)exponent[c] * inside[c];
    }
}

static void avg_grad_slice(const struct part_state *state, const float *dy, const struct slice *slice, float *dx)
{
    const struct sky_part_table *table = state->table;
    double rings[SKY_MAX_RINGS][BLOCK];
    memset(rings, 0, sizeof rings);
    for (int part = 0; part < table->part_count; part++) {
        const float *gradient = dy + (part * state->map.images + slice->image) * state->map.channels + slice->first;
        for (int r = table->part[part].first; r <= table->part[part].last; r++)
            for (int64_t c = 0; c < slice->channels; c++) rings[r][c] += (double)gradient[c] / table->part[part].denominator;
    }
    for (int64_t i = 0; i < state->map.positions; i++) {
        const double *ring = rings[state->ring[i]];
        for (int64_t c = 0; c < slice->channels; c++) dx[i * state->map.channels + c] = (float)ring[c];
    }
}

static void max_grad_slice(const struct part_state *state, const float *dy, const int32_t *index, const struct slice *slice, float *dx)
{
    clear_slice(state, slice, dx);
    for (int part = 0; part < state->table->part_count; part++) {
        const int64_t at = (part * state->map.images + slice->image) * state->map.channels + slice->first;
        for (int64_t c = 0; c < slice->channels; c++)
            if (index[at + c] >= 0) dx[index[at + c] * state->map.channels + c] += dy[at + c];
    }
}

static sky_status grad_prepare(struct sky_kernel *kernel)
{
    SKY_TRY(part_prepare(kernel, sky_cpu_in(kernel, 1), sky_cpu_in(kernel, 3)));
    const struct part_state *state = kernel->state;
    const int64_t sums = (state->by_part ? state->table->part_count : 1) * state->map.images * state->map.channels; /* dp's, [1 or P,N,C] */
    kernel->work_bytes = sky_cpu_out(kernel, 1) ? (size_t)sums * sizeof(double) : 0;
    return SKY_OK;
}

/* Adds up dp's sums in order. */
static void give_exponents(const struct part_state *state, const double *sums, float *dp, bool accumulate)
{
    const int64_t channels = state->map.channels, plane = state->map.images * channels, targets = state->exponents;
    for (int64_t target = 0; target < targets; target++) {
        const bool by_channel = targets == channels && targets > 1;
        const double *from = sums + (by_channel ? target : targets == 1 ? 0 : target * plane);
        double total = 0;
        for (int64_t i = 0; i < plane; i += by_channel ? channels : 1) total += from[i];
        sky_give(dp, target, total, accumulate);
    }
}

static sky_status grad_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct part_state *state = kernel->state;
    double *sums = run->out[1] ? run->work : NULL;
#pragma omp parallel for num_threads(sky_cpu_threads(kernel)) schedule(static)
    for (int64_t i = 0; i < slice_count(state); i++) {
        const struct slice slice = slice_at(state, run->in[1], i);
        float *dx = (float *)run->out[0] + (slice.x - (const float *)run->in[1]);
        if (state->pooling == SKY_POOL_GEM) gem_grad_slice(kernel, run, &slice, dx, sums, state->map.images * state->map.channels);
        else if (state->pooling == SKY_POOL_AVG) avg_grad_slice(state, run->in[0], &slice, dx);
        else max_grad_slice(state, run->in[0], run->in[4], &slice, dx);
    }
    if (sums) give_exponents(state, sums, run->out[1], run->accumulate);
    return SKY_OK;
}

const struct sky_operation sky_cpu_PART_POOL = {.prepare = pool_prepare, .run = pool_run, .destroy = part_destroy};
const struct sky_operation sky_cpu_PART_POOL_GRAD = {.prepare = grad_prepare, .run = grad_run, .destroy = part_destroy};
