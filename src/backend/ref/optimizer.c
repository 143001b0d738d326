/*
 * Reference optimiser: the gradients' sum of squares, stochastic gradient descent with momentum, and the moving average. Whole arenas; padding between parameters stays as it is.
 */
#include "ref.h"

sky_status ref_SUM_SQUARES(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct ref_tensor x = ref_in(kernel, run, 0);
    double *sum = run->out[0]; /* f64 [1] */
    *sum = 0;
    for (int64_t i = 0; i < x.count; i++) *sum += ref_get(&x, i) * ref_get(&x, i);
    return SKY_OK;
}

sky_status ref_SGD(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct ref_tensor params = ref_in(kernel, run, 0), grads = ref_in(kernel, run, 1), momenta = ref_in(kernel, run, 2), shadow = ref_out(kernel, run, 1);
    const double sum_squares = *(const double *)run->in[3], momentum = kernel->node->attr.sgd.momentum, clip_norm = kernel->node->attr.sgd.clip_norm;
    const struct sky_scalars *scalars = run->in[4];
    double *report = run->out[0]; /* f64 [4]: gradient norm, left out, clamped elements, 0 */
    double scale = scalars->gradient_scale;
    const double norm = scale * sqrt(sum_squares);
    report[0] = norm, report[1] = !isfinite(sum_squares) || scalars->void_update != 0, report[2] = report[3] = 0;
    for (int64_t i = 0; shadow.data && report[1] != 0 && i < shadow.count; i++) ref_set(&shadow, i, ref_get(&params, i));
    if (report[1] != 0) return SKY_OK;
    if (clip_norm > 0 && norm > clip_norm) scale *= clip_norm / norm;
    for (int64_t s = 0; s < kernel->node->attr.sgd.segment_count; s++) {
        const struct sky_segment *segment = &kernel->node->attr.sgd.segments[s];
        const double lr = scalars->lr[segment->group];
        for (int64_t i = segment->offset; i < segment->offset + segment->count; i++) {
            const double w = ref_get(&params, i), g = ref_get(&grads, i) * scale + segment->weight_decay * w;
            const double m = momentum * ref_get(&momenta, i) + g; /* momentum starts at zero, so the first m is g */
            double next = w - lr * (kernel->node->attr.sgd.nesterov ? g + momentum * m : m);
            if (segment->low < segment->high && (next < segment->low || next > segment->high)) {
                next = next < segment->low ? segment->low : segment->high;
                report[2]++;
            }
            ref_set(&momenta, i, m);
            ref_set(&params, i, next);
            if (shadow.data) ref_set(&shadow, i, next);
        }
    }
    return SKY_OK;
}

sky_status ref_EMA(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct ref_tensor params = ref_in(kernel, run, 0), average = ref_in(kernel, run, 1);
    const struct sky_scalars *scalars = run->in[2];
    for (int64_t i = 0; scalars->void_update == 0 && i < average.count; i++)
        ref_set(&average, i, (double)scalars->ema_decay * ref_get(&average, i) + (1 - (double)scalars->ema_decay) * ref_get(&params, i));
    *(double *)run->out[0] = 0;
    return SKY_OK;
}
