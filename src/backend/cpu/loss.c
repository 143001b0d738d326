/*
 * The two losses and their gradients, a row of logits (or a pair of rows) at a time: exponentials in single precision, sums in double, rows added up in their
 * order.
 */
#include "cpu.h"
#include "skygem/config.h"
#include "vector.h"

#include <math.h>

/* log_p = ln softmax(z / temperature), and its exponential p, of one row [K]. */
static void log_softmax(const float *restrict z, int64_t classes, float inverse_temperature, float *restrict log_p, float *restrict p)
{
    float largest = z[0];
    double sum = 0;
    for (int64_t k = 1; k < classes; k++) largest = z[k] > largest ? z[k] : largest;
#pragma omp simd
    for (int64_t k = 0; k < classes; k++) {
        log_p[k] = (z[k] - largest) * inverse_temperature;
        p[k] = sky_exp(log_p[k]);
    }
    for (int64_t k = 0; k < classes; k++) sum += (double)p[k];
    const float logarithm = (float)log(sum), inverse = (float)(1 / sum);
#pragma omp simd
    for (int64_t k = 0; k < classes; k++) {
        log_p[k] -= logarithm;
        p[k] *= inverse;
    }
}

struct loss_shape {
    int64_t heads, rows, classes;
    double share; /* of one row, or pair of rows, in the loss */
};

static struct loss_shape loss_shape_of(const struct sky_kernel *kernel, int64_t members, double factor)
{
    const struct sky_tensor *logits = sky_cpu_in(kernel, 0);
    return (struct loss_shape){logits->dim[0], logits->dim[1], logits->dim[2],
                               factor / (double)members / (kernel->node->attr.loss.mean ? (double)logits->dim[0] : 1)};
}

/* One loss a row; ln p and p of two rows a thread. */
static sky_status loss_prepare(struct sky_kernel *kernel)
{
    const struct sky_tensor *logits = sky_cpu_in(kernel, 0);
    kernel->work_bytes = (size_t)(logits->dim[0] * logits->dim[1]) * sizeof(double) + (size_t)(sky_cpu_threads(kernel) * 4 * logits->dim[2]) * sizeof(float);
    return SKY_OK;
}

static double sum_in_order(const double *values, int64_t count)
{
    double sum = 0;
    for (int64_t i = 0; i < count; i++) sum += values[i];
    return sum;
}

/* Of the loss in its gradient; scalars is NULL where gradients are not scaled. */
static double gradient_weight(const struct sky_kernel *kernel, const struct sky_scalars *scalars)
{
    return kernel->node->attr.loss.weight * (scalars ? (double)scalars->loss_scale : 1);
}

static sky_status ce_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_tensor *tensor = sky_cpu_in(kernel, 0);
    const struct loss_shape shape = loss_shape_of(kernel, tensor->dim[1] / kernel->node->attr.loss.groups, 1);
    const double smoothing = kernel->node->attr.loss.smoothing, even = smoothing / (double)shape.classes;
    const float scale = (float)(gradient_weight(kernel, run->in[2]) * shape.share);
    const float *logits = run->in[0];   /* [P,N,K] */
    const int32_t *labels = run->in[1]; /* [N] */
    float *dlogits = run->out[1];       /* [P,N,K] or NULL */
    double *losses = run->work;         /* [P,N] */
    float *spare = (float *)(losses + shape.heads * shape.rows);
    for (int64_t n = 0; n < shape.rows; n++)
        if (labels[n] < 0 || labels[n] >= shape.classes)
            return sky_fail(SKY_DATA, kernel->node->name, "label %d is not one of %lld classes", labels[n], (long long)shape.classes);
#pragma omp parallel for num_threads(sky_cpu_threads(kernel)) schedule(static)
    for (int64_t row = 0; row < shape.heads * shape.rows; row++) {
        const int32_t label = labels[row % shape.rows];
        float *log_p = spare + omp_get_thread_num() * 4 * shape.classes, *p = log_p + shape.classes;
        log_softmax(logits + row * shape.classes, shape.classes, 1, log_p, p);
        double all = 0;
        for (int64_t k = 0; k < shape.classes && smoothing > 0; k++) all += (double)log_p[k];
        losses[row] = -((1 - smoothing) * (double)log_p[label] + even * all) * shape.share;
        if (!dlogits) continue;
        float *to = dlogits + row * shape.classes;
        for (int64_t k = 0; k < shape.classes; k++) to[k] = scale * (p[k] - (float)even);
        to[label] = (float)((double)scale * ((double)p[label] - even - (1 - smoothing)));
    }
    *(float *)run->out[0] = (float)sum_in_order(losses, shape.heads * shape.rows);
    return SKY_OK;
}

/* ln p and p of both views' rows. */
struct pair {
    float *log_s, *s, *log_d, *d;
};

static double divergence(const float *restrict p, const float *restrict log_p, const float *restrict log_q, int64_t classes)
{
    double sum = 0;
    for (int64_t k = 0; k < classes; k++) sum += (double)p[k] * ((double)log_p[k] - (double)log_q[k]);
    return sum;
}

/* to = or += factor * (q - p): by the other view's logits, the target is p. */
static void give_to_other(const float *restrict p, const float *restrict q, int64_t classes, double factor, float *restrict to)
{
    for (int64_t k = 0; k < classes; k++) to[k] += (float)(factor * ((double)q[k] - (double)p[k]));
}

/* By the target's own logits. */
static void give_to_target(const float *restrict p, const float *restrict log_p, const float *restrict log_q, int64_t classes, double factor, double value,
                           float *restrict to)
{
    for (int64_t k = 0; k < classes; k++) to[k] += (float)(factor * (double)p[k] * ((double)log_p[k] - (double)log_q[k] - value));
}

static sky_status kl_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const union sky_attributes *attr = &kernel->node->attr;
    const double temperature = attr->loss.temperature;
    const int64_t pairs = sky_cpu_in(kernel, 0)->dim[1] / attr->loss.groups;
    const struct loss_shape shape = loss_shape_of(kernel, pairs, temperature * temperature);
    const int64_t classes = shape.classes;
    const bool to_drone = attr->loss.direction != SKY_KL_SATELLITE_DRONE,
               to_satellite = attr->loss.direction != SKY_KL_DRONE_SATELLITE; /* the target is drone, satellite */
    const double factor = gradient_weight(kernel, run->in[1]) * shape.share / temperature;
    const float *logits = run->in[0]; /* [P,N,K] */
    float *dlogits = run->out[1];     /* [P,N,K] or NULL */
    double *losses = run->work;       /* [P,N/G] */
    float *spare = (float *)(losses + shape.heads * shape.rows);
#pragma omp parallel for num_threads(sky_cpu_threads(kernel)) schedule(static)
    for (int64_t i = 0; i < shape.heads * pairs; i++) {
        const int64_t head = i / pairs * shape.rows + i % pairs; /* the head's row of the first group */
        const int64_t satellite = (head + attr->loss.satellite * pairs) * classes, drone = (head + attr->loss.drone * pairs) * classes;
        float *mine = spare + omp_get_thread_num() * 4 * classes;
        const struct pair at = {mine, mine + classes, mine + 2 * classes, mine + 3 * classes};
        log_softmax(logits + satellite, classes, (float)(1 / temperature), at.log_s, at.s);
        log_softmax(logits + drone, classes, (float)(1 / temperature), at.log_d, at.d);
        const double from_drone = divergence(at.d, at.log_d, at.log_s, classes), from_satellite = divergence(at.s, at.log_s, at.log_d, classes);
        losses[i] = shape.share * ((to_drone ? from_drone : 0) + (to_satellite ? from_satellite : 0));
        if (!dlogits) continue;
        for (int g = 0; g < attr->loss.groups; g++) memset(dlogits + (head + g * pairs) * classes, 0, (size_t)classes * sizeof *dlogits);
        if (to_drone) give_to_other(at.d, at.s, classes, factor, dlogits + satellite);
        if (to_satellite) give_to_other(at.s, at.d, classes, factor, dlogits + drone);
        if (to_drone && !attr->loss.detach) give_to_target(at.d, at.log_d, at.log_s, classes, factor, from_drone, dlogits + drone);
        if (to_satellite && !attr->loss.detach) give_to_target(at.s, at.log_s, at.log_d, classes, factor, from_satellite, dlogits + satellite);
    }
    *(float *)run->out[0] = (float)sum_in_order(losses, shape.heads * pairs);
    return SKY_OK;
}

const struct sky_operation sky_cpu_LOSS_CE = {.prepare = loss_prepare, .run = ce_run};
const struct sky_operation sky_cpu_LOSS_KL = {.prepare = loss_prepare, .run = kl_run};
