/*
 * Reference batch normalisation of head features: statistics over the rows of each view, for every head and feature.
 */
#include "ref.h"

sky_status ref_HEAD_BN(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct ref_tensor x = ref_in(kernel, run, 0), gamma = ref_in(kernel, run, 1), beta = ref_in(kernel, run, 2), running_mean = ref_in(kernel, run, 3),
                            running_var = ref_in(kernel, run, 4);
    const struct ref_tensor y = ref_out(kernel, run, 0), mean = ref_out(kernel, run, 1), invstd = ref_out(kernel, run, 2); /* [P,N,D] [P,G,D] [P,G,D] */
    const int64_t heads = x.dim[0], features = x.dim[2], groups = kernel->node->attr.bn.groups, members = x.dim[1] / groups;
    for (int64_t statistic = 0; statistic < heads * groups * features; statistic++) {
        const int64_t d = statistic % features, block = statistic / features, weight = block / groups * features + d; /* block: head * groups + group */
        double sum = 0, squares = 0;
        for (int64_t i = 0; i < members; i++) sum += ref_get(&x, (block * members + i) * features + d);
        const double center = sum / (double)members;
        for (int64_t i = 0; i < members; i++) squares += pow(ref_get(&x, (block * members + i) * features + d) - center, 2);
        const double slope = 1 / sqrt(squares / (double)members + kernel->node->attr.bn.epsilon);
        for (int64_t i = 0; i < members; i++) {
            const int64_t at = (block * members + i) * features + d;
            ref_set(&y, at, ref_get(&gamma, weight) * (ref_get(&x, at) - center) * slope + ref_get(&beta, weight));
        }
        ref_set(&mean, statistic, center);
        ref_set(&invstd, statistic, slope);
        if (kernel->node->attr.bn.update) ref_update_running(&running_mean, &running_var, weight, kernel->node->attr.bn.momentum, center, squares, (double)members);
    }
    return SKY_OK;
}

sky_status ref_HEAD_BN_GRAD(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct ref_tensor dy = ref_in(kernel, run, 0), x = ref_in(kernel, run, 1), mean = ref_in(kernel, run, 2), invstd = ref_in(kernel, run, 3), gamma = ref_in(kernel, run, 4);
    const struct ref_tensor dx = ref_out(kernel, run, 0), dgamma = ref_out(kernel, run, 1), dbeta = ref_out(kernel, run, 2);
    const int64_t heads = x.dim[0], features = x.dim[2], groups = kernel->node->attr.bn.groups, members = x.dim[1] / groups;
    for (int64_t weight = 0; weight < heads * features; weight++) {
        const int64_t d = weight % features;
        double total = 0, total_x = 0;
        for (int64_t group = 0; group < groups; group++) {
            const int64_t block = weight / features * groups + group;
            const double center = ref_get(&mean, block * features + d), slope = ref_get(&invstd, block * features + d);
            double sum = 0, sum_x = 0; /* of dy and of dy * xhat */
            for (int64_t i = 0; i < members; i++) {
                const int64_t at = (block * members + i) * features + d;
                sum += ref_get(&dy, at), sum_x += ref_get(&dy, at) * (ref_get(&x, at) - center) * slope;
            }
            for (int64_t i = 0; dx.data && i < members; i++) {
                const int64_t at = (block * members + i) * features + d;
                const double xhat = (ref_get(&x, at) - center) * slope;
                ref_set(&dx, at, ref_get(&gamma, weight) * slope * (ref_get(&dy, at) - sum / (double)members - xhat * sum_x / (double)members));
            }
            total += sum, total_x += sum_x;
        }
        ref_put(&dgamma, weight, total_x, run->accumulate);
        ref_put(&dbeta, weight, total, run->accumulate);
    }
    return SKY_OK;
}

sky_status ref_HEAD_BN_INFER(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct ref_tensor x = ref_in(kernel, run, 0), gamma = ref_in(kernel, run, 1), beta = ref_in(kernel, run, 2), running_mean = ref_in(kernel, run, 3),
                            running_var = ref_in(kernel, run, 4), y = ref_out(kernel, run, 0);
    const int64_t features = x.dim[2], rows = x.dim[1];
    for (int64_t i = 0; i < x.count; i++) {
        const int64_t weight = i / features / rows * features + i % features;
        const double xhat = (ref_get(&x, i) - ref_get(&running_mean, weight)) / sqrt(ref_get(&running_var, weight) + kernel->node->attr.bn.epsilon);
        ref_set(&y, i, ref_get(&gamma, weight) * xhat + ref_get(&beta, weight));
    }
    return SKY_OK;
}
