/*
 * Reference losses on logits [P, N, K]: softmax cross entropy, and the Kullback-Leibler divergence between the two views. Each gives its gradient, weighted, in the same run.
 */
#include "ref.h"

#include "skygem/config.h"

/* ln of the sum of exp(z / temperature) over one row. */
static double log_sum_exp(const struct ref_tensor *logits, int64_t row, double temperature)
{
    const int64_t classes = logits->dim[2];
    double largest = -INFINITY, sum = 0;
    for (int64_t k = 0; k < classes; k++) largest = fmax(largest, ref_get(logits, row * classes + k) / temperature);
    for (int64_t k = 0; k < classes; k++) sum += exp(ref_get(logits, row * classes + k) / temperature - largest);
    return largest + log(sum);
}

/* What the gradient is multiplied by: the loss's weight, and the scale that keeps small f16 gradients. */
static double gradient_weight(const struct sky_kernel *kernel, const struct sky_scalars *scalars)
{
    return kernel->node->attr.loss.weight * (scalars ? (double)scalars->loss_scale : 1);
}

sky_status ref_LOSS_CE(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct ref_tensor logits = ref_in(kernel, run, 0), loss = ref_out(kernel, run, 0), dlogits = ref_out(kernel, run, 1);
    const int32_t *labels = run->in[1]; /* [N] */
    const int64_t heads = logits.dim[0], rows = logits.dim[1], classes = logits.dim[2], members = rows / kernel->node->attr.loss.groups;
    const double smoothing = kernel->node->attr.loss.smoothing, share = 1 / (double)members / (kernel->node->attr.loss.mean ? (double)heads : 1); /* of one row in the loss */
    const double weight = gradient_weight(kernel, run->in[2]);
    double total = 0;
    for (int64_t row = 0; row < heads * rows; row++) {
        const int64_t label = labels[row % rows];
        if (label < 0 || label >= classes) return sky_fail(SKY_DATA, kernel->node->name, "label %lld is not one of %lld classes", (long long)label, (long long)classes);
        const double whole = log_sum_exp(&logits, row, 1);
        for (int64_t k = 0; k < classes; k++) {
            const double value = ref_get(&logits, row * classes + k), target = (k == label ? 1 - smoothing : 0) + smoothing / (double)classes;
            total += target * (whole - value) * share;
            if (dlogits.data) ref_set(&dlogits, row * classes + k, weight * share * (exp(value - whole) - target));
        }
    }
    ref_set(&loss, 0, total);
    return SKY_OK;
}

/* Each pair of rows: KL(drone || satellite), KL(satellite || drone), or their sum; the first named is the target. */
sky_status ref_LOSS_KL(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct ref_tensor logits = ref_in(kernel, run, 0), loss = ref_out(kernel, run, 0), dlogits = ref_out(kernel, run, 1);
    const union sky_attributes *attr = &kernel->node->attr;
    const int64_t heads = logits.dim[0], rows = logits.dim[1], classes = logits.dim[2], pairs = rows / attr->loss.groups;
    const double temperature = attr->loss.temperature, share = temperature * temperature / (double)pairs / (attr->loss.mean ? (double)heads : 1);
    const double drone_target = attr->loss.direction != SKY_KL_SATELLITE_DRONE, satellite_target = attr->loss.direction != SKY_KL_DRONE_SATELLITE, attached = !attr->loss.detach;
    const double weight = gradient_weight(kernel, run->in[1]);
    double total = 0;
    for (int64_t i = 0; dlogits.data && i < dlogits.count; i++) ref_set(&dlogits, i, 0);
    for (int64_t i = 0; i < heads * pairs; i++) {
        const int64_t head = i / pairs * rows + i % pairs; /* the head's row of the first group */
        const int64_t satellite = (head + attr->loss.satellite * pairs) * classes, drone = (head + attr->loss.drone * pairs) * classes; /* first elements of the two rows */
        const double satellite_whole = log_sum_exp(&logits, satellite / classes, temperature), drone_whole = log_sum_exp(&logits, drone / classes, temperature);
        double from_drone = 0, from_satellite = 0; /* KL(drone || satellite), KL(satellite || drone) */
        for (int64_t k = 0; k < classes; k++) {
            const double log_s = ref_get(&logits, satellite + k) / temperature - satellite_whole, log_d = ref_get(&logits, drone + k) / temperature - drone_whole;
            from_drone += exp(log_d) * (log_d - log_s), from_satellite += exp(log_s) * (log_s - log_d);
        }
        total += share * (drone_target * from_drone + satellite_target * from_satellite);
        for (int64_t k = 0; dlogits.data && k < classes; k++) {
            const double log_s = ref_get(&logits, satellite + k) / temperature - satellite_whole, log_d = ref_get(&logits, drone + k) / temperature - drone_whole;
            const double as_s = satellite_target * attached * exp(log_s) * (log_s - log_d - from_satellite),
                         as_d = drone_target * attached * exp(log_d) * (log_d - log_s - from_drone);
            const double factor = weight * share / temperature, difference = exp(log_s) - exp(log_d);
            ref_set(&dlogits, satellite + k, factor * (drone_target * difference + as_s));
            ref_set(&dlogits, drone + k, factor * (as_d - satellite_target * difference));
        }
    }
    ref_set(&loss, 0, total);
    return SKY_OK;
}
