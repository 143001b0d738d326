/*
 * Reference block tail: relu(S + gate * BN(z)) in one pass, and its gradient in two. The sums of the first backward pass give the gate's gradient and both of BN's sums,
 * because squeeze and BN are linear in z: see the algebra in ops.h.
 */
#include "ref.h"

/* Batch statistics and scale as one affine map, or the identity when the statistics are absent. */
struct norm {
    struct ref_tensor mean, invstd, gamma, beta; /* [G, C], [G, C], [C], [C] */
};

static double normalise(const struct norm *norm, double value, int64_t statistic, int64_t c)
{
    if (!norm->mean.data) return value;
    return ref_get(&norm->gamma, c) * (value - ref_get(&norm->mean, statistic)) * ref_get(&norm->invstd, statistic) + ref_get(&norm->beta, c);
}

static struct norm norm_in(const struct sky_kernel *kernel, const struct sky_run *run, int first)
{
    return (struct norm){ref_in(kernel, run, first), ref_in(kernel, run, first + 1), ref_in(kernel, run, first + 2), ref_in(kernel, run, first + 3)};
}

sky_status ref_BLOCK_TAIL(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct ref_tensor z = ref_in(kernel, run, 0), gate = ref_in(kernel, run, 5), shortcut = ref_in(kernel, run, 6), out = ref_out(kernel, run, 0);
    const struct norm main = norm_in(kernel, run, 1), side = norm_in(kernel, run, 7);
    const int64_t channels = z.dim[3], image_count = z.count / z.dim[0], groups = main.mean.data || side.mean.data ? kernel->node->attr.bn.groups : 1;
    for (int64_t i = 0; i < z.count; i++) {
        const int64_t c = i % channels, statistic = i / (z.count / groups) * channels + c;
        const double b = normalise(&main, ref_get(&z, i), statistic, c), s = normalise(&side, ref_get(&shortcut, i), statistic, c);
        ref_set(&out, i, ref_relu(s + (gate.data ? ref_get(&gate, i / image_count * channels + c) : 1) * b));
    }
    return SKY_OK;
}

sky_status ref_BLOCK_TAIL_REDUCE(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct ref_tensor dout = ref_in(kernel, run, 0), dout2 = ref_in(kernel, run, 1), out = ref_in(kernel, run, 2), z = ref_in(kernel, run, 3), mean = ref_in(kernel, run, 4),
                            invstd = ref_in(kernel, run, 5);
    const struct ref_tensor g = ref_out(kernel, run, 0), sum_g = ref_out(kernel, run, 1), sum_gz = ref_out(kernel, run, 2);
    const int64_t images = z.dim[0], pixels = z.dim[1] * z.dim[2], channels = z.dim[3], members = images / kernel->node->attr.bn.groups;
    for (int64_t n = 0; n < images; n++)
        for (int64_t c = 0; c < channels; c++) {
            const int64_t statistic = n / members * channels + c;
            double sum = 0, sum_z = 0;
            for (int64_t k = 0; k < pixels; k++) {
                const int64_t i = (n * pixels + k) * channels + c;
                const double gradient = ref_get(&out, i) > 0 ? ref_get(&dout, i) + (dout2.data ? ref_get(&dout2, i) : 0) : 0;
                sum += gradient, sum_z += gradient * (ref_get(&z, i) - ref_get(&mean, statistic)) * ref_get(&invstd, statistic);
                ref_set(&g, i, gradient);
            }
            ref_set(&sum_g, n * channels + c, sum);
            ref_set(&sum_gz, n * channels + c, sum_z);
        }
    return SKY_OK;
}

sky_status ref_BLOCK_TAIL_GRAD(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct ref_tensor g = ref_in(kernel, run, 0), z = ref_in(kernel, run, 1), mean = ref_in(kernel, run, 2), invstd = ref_in(kernel, run, 3), gamma = ref_in(kernel, run, 4),
                            image_mean = ref_in(kernel, run, 5), sum_g = ref_in(kernel, run, 6), sum_gz = ref_in(kernel, run, 7), gate = ref_in(kernel, run, 8),
                            dsqueeze = ref_in(kernel, run, 9);
    const struct ref_tensor dz = ref_out(kernel, run, 0), dgamma = ref_out(kernel, run, 1), dbeta = ref_out(kernel, run, 2);
    const int64_t pixels = z.dim[1] * z.dim[2], channels = z.dim[3], groups = kernel->node->attr.bn.groups, members = z.dim[0] / groups;
    const double positions = (double)(members * pixels);
    for (int64_t c = 0; c < channels; c++) {
        double total1 = 0, total2 = 0;
        for (int64_t group = 0; group < groups; group++) {
            const double center = ref_get(&mean, group * channels + c), slope = ref_get(&invstd, group * channels + c), factor = ref_get(&gamma, c) * slope;
            double s1 = 0, s2 = 0;
            for (int64_t n = group * members; n < (group + 1) * members; n++) {
                const int64_t at = n * channels + c;
                const double s = gate.data ? ref_get(&gate, at) : 1, q = dsqueeze.data ? ref_get(&dsqueeze, at) : 0;
                s1 += s * ref_get(&sum_g, at) + q;
                s2 += s * ref_get(&sum_gz, at) + q * (ref_get(&image_mean, at) - center) * slope;
            }
            for (int64_t i = group * members * pixels; i < (group + 1) * members * pixels; i++) {
                const int64_t at = i / pixels * channels + c;
                const double s = gate.data ? ref_get(&gate, at) : 1, q = dsqueeze.data ? ref_get(&dsqueeze, at) : 0, zhat = (ref_get(&z, i * channels + c) - center) * slope;
                ref_set(&dz, i * channels + c, factor * (s * ref_get(&g, i * channels + c) + q / (double)pixels - s1 / positions - zhat * s2 / positions));
            }
            total1 += s1, total2 += s2;
        }
        ref_put(&dgamma, c, total2, run->accumulate);
        ref_put(&dbeta, c, total1, run->accumulate);
    }
    return SKY_OK;
}
