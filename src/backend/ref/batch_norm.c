/*
 * Reference batch normalisation over maps: statistics a group of images (one view), also from sums, their application, the gradient, and folding into
 * filters for inference.
 */
#include "ref.h"

sky_status ref_BN_STATS(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct ref_tensor z = ref_in(kernel, run, 0), running_mean = ref_in(kernel, run, 1), running_var = ref_in(kernel, run, 2);
    const struct ref_tensor image_mean = ref_out(kernel, run, 0), mean = ref_out(kernel, run, 1), invstd = ref_out(kernel, run, 2);
    const int64_t channels = z.dim[3], pixels = z.dim[1] * z.dim[2], groups = kernel->node->attr.bn.groups, members = z.dim[0] / groups;
    const double epsilon = kernel->node->attr.bn.epsilon, positions = (double)(members * pixels);
    for (int64_t g = 0; g < groups; g++)
        for (int64_t c = 0; c < channels; c++) {
            double group_mean = 0, squares = 0; /* squares: sum of (z - mean)^2 over the images merged so far */
            for (int64_t m = 0; m < members; m++) {
                const int64_t n = g * members + m, start = n * pixels * channels + c;
                double sum = 0, own_squares = 0;
                for (int64_t i = 0; i < pixels; i++) sum += ref_get(&z, start + i * channels);
                const double own_mean = sum / (double)pixels;
                for (int64_t i = 0; i < pixels; i++) own_squares += pow(ref_get(&z, start + i * channels) - own_mean, 2);
                const double difference = own_mean - group_mean;
                group_mean += difference / (double)(m + 1);
                squares += own_squares + difference * difference * (double)pixels * (double)m / (double)(m + 1);
                ref_set(&image_mean, n * channels + c, own_mean);
            }
            ref_set(&mean, g * channels + c, group_mean);
            ref_set(&invstd, g * channels + c, 1 / sqrt(squares / positions + epsilon));
            if (kernel->node->attr.bn.update) ref_update_running(&running_mean, &running_var, c, kernel->node->attr.bn.momentum, group_mean, squares, positions);
        }
    return SKY_OK;
}

sky_status ref_BN_APPLY(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct ref_tensor z = ref_in(kernel, run, 0), mean = ref_in(kernel, run, 1), invstd = ref_in(kernel, run, 2), gamma = ref_in(kernel, run, 3),
                            beta = ref_in(kernel, run, 4);
    const struct ref_tensor y = ref_out(kernel, run, 0);
    const int64_t channels = z.dim[3], group_count = z.count / kernel->node->attr.bn.groups;
    for (int64_t i = 0; i < z.count; i++) {
        const int64_t c = i % channels, statistic = i / group_count * channels + c;
        const double value = ref_get(&gamma, c) * (ref_get(&z, i) - ref_get(&mean, statistic)) * ref_get(&invstd, statistic) + ref_get(&beta, c);
        ref_set(&y, i, kernel->node->attr.bn.relu ? ref_relu(value) : value);
    }
    return SKY_OK;
}

sky_status ref_BN_GRAD(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct ref_tensor dy = ref_in(kernel, run, 0), z = ref_in(kernel, run, 1), mean = ref_in(kernel, run, 2), invstd = ref_in(kernel, run, 3), gamma = ref_in(kernel, run, 4),
                            beta = ref_in(kernel, run, 5);
    const struct ref_tensor dz = ref_out(kernel, run, 0), dgamma = ref_out(kernel, run, 1), dbeta = ref_out(kernel, run, 2);
    const int64_t channels = z.dim[3], groups = kernel->node->attr.bn.groups, positions = z.count / channels / groups;
    const bool relu = kernel->node->attr.bn.relu;
    for (int64_t c = 0; c < channels; c++) {
        const double scale = ref_get(&gamma, c), shift = ref_get(&beta, c);
        double total = 0, total_z = 0;
        for (int64_t g = 0; g < groups; g++) {
            const double center = ref_get(&mean, g * channels + c), slope = ref_get(&invstd, g * channels + c);
            double sum = 0, sum_z = 0; /* of dy and of dy * zhat, where ReLU let it through */
            for (int pass = 0; pass < 2; pass++)
                for (int64_t i = 0; i < positions; i++) {
                    const int64_t at = (g * positions + i) * channels + c;
                    const double zhat = (ref_get(&z, at) - center) * slope, gradient = relu && !(scale * zhat + shift > 0) ? 0 : ref_get(&dy, at);
                    if (pass == 0) sum += gradient, sum_z += gradient * zhat;
                    else if (dz.data) ref_set(&dz, at, scale * slope * (gradient - sum / (double)positions - zhat * sum_z / (double)positions)); /* dz may be dy: read before */
                }
            total += sum, total_z += sum_z;
        }
        ref_put(&dgamma, c, total_z, run->accumulate);
        ref_put(&dbeta, c, total, run->accumulate);
    }
    return SKY_OK;
}

sky_status ref_BN_FROM_SUMS(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct ref_tensor sum = ref_in(kernel, run, 0), square_sum = ref_in(kernel, run, 1), running_mean = ref_in(kernel, run, 2), running_var = ref_in(kernel, run, 3);
    const struct ref_tensor gamma = ref_in(kernel, run, 4), beta = ref_in(kernel, run, 5), mean = ref_out(kernel, run, 0), invstd = ref_out(kernel, run, 1);
    const struct ref_tensor scale = ref_out(kernel, run, 2), shift = ref_out(kernel, run, 3);
    const double positions = (double)kernel->node->attr.bn.positions;
    for (int64_t row = 0; row < sum.count; row++) {
        const int64_t c = row % sum.dim[1];
        const double center = ref_get(&sum, row) / positions, spread = ref_get(&square_sum, row) - ref_get(&sum, row) * center;
        const double squares = spread < 0 ? 0 : spread, slope = 1 / sqrt(squares / positions + kernel->node->attr.bn.epsilon);
        ref_set(&mean, row, center);
        ref_set(&invstd, row, slope);
        if (kernel->node->attr.bn.update) ref_update_running(&running_mean, &running_var, c, kernel->node->attr.bn.momentum, center, squares, positions);
        if (!scale.data) continue;
        ref_set(&scale, row, ref_get(&gamma, c) * slope);
        ref_set(&shift, row, ref_get(&beta, c) - center * ref_get(&scale, row));
    }
    return SKY_OK;
}

sky_status ref_BN_GRAD_FROM_SUMS(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct ref_tensor g = ref_in(kernel, run, 0), z = ref_in(kernel, run, 1), mean = ref_in(kernel, run, 2), invstd = ref_in(kernel, run, 3), gamma = ref_in(kernel, run, 4);
    const struct ref_tensor sum_g = ref_in(kernel, run, 5), sum_gz = ref_in(kernel, run, 6);
    const struct ref_tensor dz = ref_out(kernel, run, 0), dgamma = ref_out(kernel, run, 1), dbeta = ref_out(kernel, run, 2);
    const int64_t channels = z.dim[3], groups = kernel->node->attr.bn.groups, group_count = z.count / groups;
    const double positions = (double)(group_count / channels);
    for (int64_t i = 0; dz.data && i < z.count; i++) {
        const int64_t c = i % channels, row = i / group_count * channels + c;
        const double zhat = (ref_get(&z, i) - ref_get(&mean, row)) * ref_get(&invstd, row); /* dz may be g: read before */
        ref_set(&dz, i, ref_get(&gamma, c) * ref_get(&invstd, row) * (ref_get(&g, i) - ref_get(&sum_g, row) / positions - zhat * ref_get(&sum_gz, row) / positions));
    }
    for (int64_t c = 0; c < channels; c++) {
        double total = 0, total_z = 0;
        for (int64_t group = 0; group < groups; group++) total += ref_get(&sum_g, group * channels + c), total_z += ref_get(&sum_gz, group * channels + c);
        ref_put(&dgamma, c, total_z, run->accumulate);
        ref_put(&dbeta, c, total, run->accumulate);
    }
    return SKY_OK;
}

sky_status ref_BN_FOLD(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct ref_tensor w = ref_in(kernel, run, 0), gamma = ref_in(kernel, run, 1), beta = ref_in(kernel, run, 2), mean = ref_in(kernel, run, 3), var = ref_in(kernel, run, 4);
    const struct ref_tensor folded = ref_out(kernel, run, 0), bias = ref_out(kernel, run, 1);
    const int64_t filters = w.dim[0], taps = w.count / filters;
    for (int64_t k = 0; k < filters; k++) {
        const double factor = ref_get(&gamma, k) / sqrt(ref_get(&var, k) + kernel->node->attr.bn.epsilon);
        for (int64_t i = 0; i < taps; i++) ref_set(&folded, k * taps + i, ref_get(&w, k * taps + i) * factor);
        ref_set(&bias, k, ref_get(&beta, k) - ref_get(&mean, k) * factor);
    }
    return SKY_OK;
}
