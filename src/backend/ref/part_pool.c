/*
 * Reference part pooling: generalised mean (GeM), mean or maximum over each part of a map, as the sums are written in ops.h: every part is walked by itself.
 */
#include "ref.h"

#include "skygem/config.h"

#define GEM_EPSILON 1e-6

struct part {
    const int16_t *outer, *inner; /* boxes: top left bottom right; inner NULL: nothing is cut out */
    double denominator, holes;
};

static struct part part_of(const struct sky_part_table *table, int64_t index)
{
    const int first = table->part[index].first, last = table->part[index].last;
    return (struct part){table->box[last], first > 0 ? table->box[first - 1] : NULL, table->part[index].denominator, table->part[index].holes};
}

static bool inside(const int16_t box[4], int64_t h, int64_t w)
{
    return h >= box[0] && w >= box[1] && h < box[2] && w < box[3];
}

static bool holds(const struct part *part, int64_t h, int64_t w)
{
    return inside(part->outer, h, w) && !(part->inner && inside(part->inner, h, w));
}

/* The exponent of part k and channel c: p has one element, one a channel, or one a part (when there are as many parts as channels: one a channel). */
static int64_t exponent_index(const struct ref_tensor *p, int64_t k, int64_t c, int64_t channels)
{
    return p->count == 1 ? 0 : p->count == channels ? c : k;
}

static double exponent_of(const struct sky_kernel *kernel, const struct ref_tensor *p, int64_t k, int64_t c, int64_t channels)
{
    return p->data ? ref_get(p, exponent_index(p, k, c, channels)) : kernel->node->attr.part.p;
}

/* Sums over the part's positions, holes included: of v = max(x, eps)^p and of v ln max(x, eps). */
static void sum_powers(const struct ref_tensor *x, const struct part *part, int64_t n, int64_t c, double p, double *powers, double *logarithms)
{
    const int64_t width = x->dim[2], channels = x->dim[3];
    *powers = part->holes * pow(GEM_EPSILON, p);
    *logarithms = *powers * log(GEM_EPSILON);
    for (int64_t h = part->outer[0]; h < part->outer[2]; h++)
        for (int64_t w = part->outer[1]; w < part->outer[3]; w++) {
            if (!holds(part, h, w)) continue;
            const double value = ref_get(x, ((n * x->dim[1] + h) * width + w) * channels + c), clamped = value < GEM_EPSILON ? GEM_EPSILON : value, power = pow(clamped, p);
            *powers += power, *logarithms += power * log(clamped);
        }
}

static double sum_values(const struct ref_tensor *x, const struct part *part, int64_t n, int64_t c)
{
    double sum = 0;
    for (int64_t h = part->outer[0]; h < part->outer[2]; h++)
        for (int64_t w = part->outer[1]; w < part->outer[3]; w++)
            if (holds(part, h, w)) sum += ref_get(x, ((n * x->dim[1] + h) * x->dim[2] + w) * x->dim[3] + c);
    return sum;
}

/* Position (h * W + w) of the first maximum, or -1 when the part has holes and everything in it is below zero. */
static int64_t find_maximum(const struct ref_tensor *x, const struct part *part, int64_t n, int64_t c, double *value)
{
    int64_t from = -1;
    *value = 0;
    for (int64_t h = part->outer[0]; h < part->outer[2]; h++)
        for (int64_t w = part->outer[1]; w < part->outer[3]; w++) {
            if (!holds(part, h, w)) continue;
            const double candidate = ref_get(x, ((n * x->dim[1] + h) * x->dim[2] + w) * x->dim[3] + c);
            if (from < 0 || candidate > *value) *value = candidate, from = h * x->dim[2] + w;
        }
    if (part->holes > 0 && *value < 0) *value = 0, from = -1;
    return from;
}

sky_status ref_PART_POOL(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct ref_tensor x = ref_in(kernel, run, 0), exponents = ref_in(kernel, run, 1), y = ref_out(kernel, run, 0); /* y [P, N, C] */
    int32_t *index = run->out[1];                                                                                        /* [P, N, C] or NULL */
    const int64_t images = x.dim[0], channels = x.dim[3];
    for (int64_t i = 0; i < y.count; i++) {
        const int64_t c = i % channels, n = i / channels % images, k = i / channels / images;
        const struct part part = part_of(kernel->node->attr.part.table, k);
        double value = 0;
        if (kernel->node->attr.part.pooling == SKY_POOL_GEM) {
            const double p = exponent_of(kernel, &exponents, k, c, channels);
            double powers, logarithms;
            sum_powers(&x, &part, n, c, p, &powers, &logarithms);
            value = pow(powers / part.denominator, 1 / p);
        } else if (kernel->node->attr.part.pooling == SKY_POOL_AVG) {
            value = sum_values(&x, &part, n, c) / part.denominator;
        } else {
            const int64_t from = find_maximum(&x, &part, n, c, &value);
            if (index) index[i] = (int32_t)from;
        }
        ref_set(&y, i, value);
    }
    return SKY_OK;
}

/* d loss / d x of one pixel: what each part that holds it passes on. */
static double pixel_gradient(const struct sky_kernel *kernel, const struct sky_run *run, int64_t n, int64_t h, int64_t w, int64_t c)
{
    const struct ref_tensor dy = ref_in(kernel, run, 0), x = ref_in(kernel, run, 1), y = ref_in(kernel, run, 2), exponents = ref_in(kernel, run, 3);
    const int32_t *index = run->in[4];
    const int64_t width = x.dim[2], channels = x.dim[3];
    const double value = ref_get(&x, ((n * x.dim[1] + h) * width + w) * channels + c);
    double sum = 0;
    for (int64_t k = 0; k < dy.dim[0]; k++) {
        const struct part part = part_of(kernel->node->attr.part.table, k);
        const int64_t i = (k * dy.dim[1] + n) * channels + c;
        if (!holds(&part, h, w)) continue;
        if (kernel->node->attr.part.pooling == SKY_POOL_AVG) sum += ref_get(&dy, i) / part.denominator;
        if (kernel->node->attr.part.pooling == SKY_POOL_MAX && index[i] == h * width + w) sum += ref_get(&dy, i);
        if (kernel->node->attr.part.pooling == SKY_POOL_GEM && value > GEM_EPSILON)
            sum += ref_get(&dy, i) * pow(value / ref_get(&y, i), exponent_of(kernel, &exponents, k, c, channels) - 1) / part.denominator; /* y^(1-p) x^(p-1) */
    }
    return sum;
}

/* d loss / d p of one part, image and channel. */
static double exponent_gradient(const struct sky_kernel *kernel, const struct sky_run *run, int64_t k, int64_t n, int64_t c)
{
    const struct ref_tensor dy = ref_in(kernel, run, 0), x = ref_in(kernel, run, 1), y = ref_in(kernel, run, 2), exponents = ref_in(kernel, run, 3);
    const struct part part = part_of(kernel->node->attr.part.table, k);
    const int64_t i = (k * dy.dim[1] + n) * x.dim[3] + c;
    const double p = exponent_of(kernel, &exponents, k, c, x.dim[3]);
    double powers, logarithms;
    sum_powers(&x, &part, n, c, p, &powers, &logarithms);
    return ref_get(&dy, i) * ref_get(&y, i) * (logarithms / (p * powers) - log(powers / part.denominator) / (p * p));
}

sky_status ref_PART_POOL_GRAD(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct ref_tensor dy = ref_in(kernel, run, 0), x = ref_in(kernel, run, 1), exponents = ref_in(kernel, run, 3), dx = ref_out(kernel, run, 0), dp = ref_out(kernel, run, 1);
    const int64_t images = x.dim[0], height = x.dim[1], width = x.dim[2], channels = x.dim[3];
    for (int64_t i = 0; dx.data && i < x.count; i++) {
        const int64_t c = i % channels, w = i / channels % width, h = i / channels / width % height, n = i / channels / width / height;
        ref_set(&dx, i, pixel_gradient(kernel, run, n, h, w, c));
    }
    for (int64_t target = 0; dp.data && target < dp.count; target++) { /* p's gradient: the sum over whatever shares the exponent */
        double sum = 0;
        for (int64_t k = 0; k < dy.dim[0]; k++)
            for (int64_t c = 0; c < channels; c++) {
                if (exponent_index(&exponents, k, c, channels) != target) continue;
                for (int64_t n = 0; n < images; n++) sum += exponent_gradient(kernel, run, k, n, c);
            }
        ref_put(&dp, target, sum, run->accumulate);
    }
    return SKY_OK;
}
