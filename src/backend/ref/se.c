/*
 * Reference squeeze-and-excitation: the squeeze (from BN's statistics, or as plain channel means), the two small layers, and their gradient from the block tail's sums.
 */
#include "ref.h"

sky_status ref_BN_SQUEEZE(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct ref_tensor image_mean = ref_in(kernel, run, 0), mean = ref_in(kernel, run, 1), invstd = ref_in(kernel, run, 2), gamma = ref_in(kernel, run, 3),
                            beta = ref_in(kernel, run, 4), squeeze = ref_out(kernel, run, 0);
    const int64_t channels = squeeze.dim[1], group_count = squeeze.count / kernel->node->attr.bn.groups;
    for (int64_t i = 0; i < squeeze.count; i++) {
        const int64_t c = i % channels, statistic = i / group_count * channels + c;
        ref_set(&squeeze, i, ref_get(&gamma, c) * (ref_get(&image_mean, i) - ref_get(&mean, statistic)) * ref_get(&invstd, statistic) + ref_get(&beta, c));
    }
    return SKY_OK;
}

sky_status ref_CHANNEL_MEAN(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct ref_tensor y = ref_in(kernel, run, 0), squeeze = ref_out(kernel, run, 0);
    const int64_t channels = y.dim[3], pixels = y.dim[1] * y.dim[2];
    for (int64_t i = 0; i < squeeze.count; i++) {
        double sum = 0;
        for (int64_t k = 0; k < pixels; k++) sum += ref_get(&y, (i / channels * pixels + k) * channels + i % channels);
        ref_set(&squeeze, i, sum / (double)pixels);
    }
    return SKY_OK;
}

sky_status ref_SE_GATE(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct ref_tensor squeeze = ref_in(kernel, run, 0), w1 = ref_in(kernel, run, 1), b1 = ref_in(kernel, run, 2), w2 = ref_in(kernel, run, 3), b2 = ref_in(kernel, run, 4);
    const struct ref_tensor hidden = ref_out(kernel, run, 0), gate = ref_out(kernel, run, 1);
    const int64_t images = squeeze.dim[0], channels = squeeze.dim[1], reduced = hidden.dim[1];
    for (int64_t n = 0; n < images; n++) {
        for (int64_t r = 0; r < reduced; r++) {
            double sum = ref_get(&b1, r);
            for (int64_t c = 0; c < channels; c++) sum += ref_get(&squeeze, n * channels + c) * ref_get(&w1, r * channels + c);
            ref_set(&hidden, n * reduced + r, ref_relu(sum));
        }
        for (int64_t c = 0; c < channels; c++) {
            double sum = ref_get(&b2, c);
            for (int64_t r = 0; r < reduced; r++) sum += ref_get(&hidden, n * reduced + r) * ref_get(&w2, c * reduced + r);
            ref_set(&gate, n * channels + c, 1 / (1 + exp(-sum)));
        }
    }
    return SKY_OK;
}

/* Scratch: the gradients of the two layers' sums, da [N, C] and dh [N, R]. */
size_t ref_se_work_bytes(const struct sky_kernel *kernel)
{
    if (kernel->node->op != SKY_OP_SE_GATE_GRAD) return 0;
    return (size_t)(sky_graph_get(kernel->graph, kernel->node->in[2])->count + sky_graph_get(kernel->graph, kernel->node->in[3])->count) * sizeof(double);
}

sky_status ref_SE_GATE_GRAD(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct ref_tensor sum_g = ref_in(kernel, run, 0), sum_gz = ref_in(kernel, run, 1), squeeze = ref_in(kernel, run, 2), hidden = ref_in(kernel, run, 3),
                            gate = ref_in(kernel, run, 4), w1 = ref_in(kernel, run, 5), w2 = ref_in(kernel, run, 6), gamma = ref_in(kernel, run, 7), beta = ref_in(kernel, run, 8);
    const struct ref_tensor dsqueeze = ref_out(kernel, run, 0), dw1 = ref_out(kernel, run, 1), db1 = ref_out(kernel, run, 2), dw2 = ref_out(kernel, run, 3),
                            db2 = ref_out(kernel, run, 4);
    const int64_t images = squeeze.dim[0], channels = squeeze.dim[1], reduced = hidden.dim[1];
    double *da = run->work, *dh = da + squeeze.count;
    for (int64_t i = 0; i < gate.count; i++) {
        const double s = ref_get(&gate, i), dgate = ref_get(&gamma, i % channels) * ref_get(&sum_gz, i) + ref_get(&beta, i % channels) * ref_get(&sum_g, i);
        da[i] = dgate * s * (1 - s);
    }
    for (int64_t i = 0; i < hidden.count; i++) {
        dh[i] = 0;
        if (!(ref_get(&hidden, i) > 0)) continue;
        for (int64_t c = 0; c < channels; c++) dh[i] += da[i / reduced * channels + c] * ref_get(&w2, c * reduced + i % reduced);
    }
    for (int64_t i = 0; i < squeeze.count; i++) {
        double sum = 0;
        for (int64_t r = 0; r < reduced; r++) sum += dh[i / channels * reduced + r] * ref_get(&w1, r * channels + i % channels);
        ref_set(&dsqueeze, i, sum);
    }
    for (int64_t r = 0; r < reduced; r++) {
        double sum = 0;
        for (int64_t n = 0; n < images; n++) sum += dh[n * reduced + r];
        ref_put(&db1, r, sum, run->accumulate);
    }
    for (int64_t c = 0; c < channels; c++) {
        double sum = 0;
        for (int64_t n = 0; n < images; n++) sum += da[n * channels + c];
        ref_put(&db2, c, sum, run->accumulate);
    }
    for (int64_t r = 0; r < reduced; r++)
        for (int64_t c = 0; c < channels; c++) {
            double sum1 = 0, sum2 = 0;
            for (int64_t n = 0; n < images; n++) {
                sum1 += dh[n * reduced + r] * ref_get(&squeeze, n * channels + c);
                sum2 += da[n * channels + c] * ref_get(&hidden, n * reduced + r);
            }
            ref_put(&dw1, r * channels + c, sum1, run->accumulate);
            ref_put(&dw2, c * reduced + r, sum2, run->accumulate);
        }
    return SKY_OK;
}
