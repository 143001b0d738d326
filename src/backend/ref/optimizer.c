/*
 * Reference optimiser: the gradients' sum of squares, stochastic gradient descent with momentum, AdamW, and the moving average. Whole arenas; padding between
 * parameters stays as it is.
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

/* What SGD and ADAMW have in common: their last two inputs are the sum of squares and the scalars. */
struct update {
    const struct sky_segment *segments;
    int64_t segment_count;
    struct ref_tensor params, grads, shadow;
    const struct sky_scalars *scalars;
    double scale;   /* of the gradients, clipping included */
    double *report; /* f64 [4]: gradient norm, left out, clamped elements, 0 */
};

/* False when the update is left out: then it is done. */
static bool start_update(const struct sky_kernel *kernel, const struct sky_run *run, struct update *update)
{
    const union sky_attributes *attr = &kernel->node->attr;
    const int last = kernel->node->in_count - 1;
    const double sum_squares = *(const double *)run->in[last - 1], clip_norm = attr->update.clip_norm;
    *update = (struct update){.segments = attr->update.segments, .segment_count = attr->update.segment_count, .params = ref_in(kernel, run, 0), .grads = ref_in(kernel, run, 1),
                              .shadow = ref_out(kernel, run, 1), .scalars = run->in[last], .report = run->out[0]};
    update->scale = update->scalars->gradient_scale;
    const double norm = update->scale * sqrt(sum_squares);
    const bool left_out = !isfinite(sum_squares) || update->scalars->void_update != 0;
    update->report[0] = norm, update->report[1] = left_out, update->report[2] = update->report[3] = 0;
    for (int64_t i = 0; update->shadow.data && left_out && i < update->shadow.count; i++) ref_set(&update->shadow, i, ref_get(&update->params, i));
    if (clip_norm > 0 && norm > clip_norm) update->scale *= clip_norm / norm;
    return !left_out;
}

static void store(const struct update *update, const struct sky_segment *segment, int64_t i, double next)
{
    if (segment->low < segment->high && (next < segment->low || next > segment->high)) {
        next = next < segment->low ? segment->low : segment->high;
        update->report[2]++;
    }
    ref_set(&update->params, i, next);
    if (update->shadow.data) ref_set(&update->shadow, i, next);
}

sky_status ref_SGD(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct ref_tensor momenta = ref_in(kernel, run, 2);
    const double momentum = kernel->node->attr.update.momentum;
    struct update update;
    if (!start_update(kernel, run, &update)) return SKY_OK;
    for (int64_t s = 0; s < update.segment_count; s++) {
        const struct sky_segment *segment = &update.segments[s];
        const double lr = update.scalars->lr[segment->group];
        for (int64_t i = segment->offset; i < segment->offset + segment->count; i++) {
            const double w = ref_get(&update.params, i), g = ref_get(&update.grads, i) * update.scale + segment->weight_decay * w;
            const double m = momentum * ref_get(&momenta, i) + g; /* momentum starts at zero, so the first m is g */
            ref_set(&momenta, i, m);
            store(&update, segment, i, w - lr * (kernel->node->attr.update.nesterov ? g + momentum * m : m));
        }
    }
    return SKY_OK;
}

sky_status ref_ADAMW(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct ref_tensor means = ref_in(kernel, run, 2), squares = ref_in(kernel, run, 3);
    const double beta1 = kernel->node->attr.update.momentum, beta2 = kernel->node->attr.update.squares, epsilon = kernel->node->attr.update.epsilon;
    struct update update;
    if (!start_update(kernel, run, &update)) return SKY_OK;
    const double count = (double)update.scalars->update, come1 = 1 - pow(beta1, count), come2 = 1 - pow(beta2, count); /* how far the means have come from zero */
    for (int64_t s = 0; s < update.segment_count; s++) {
        const struct sky_segment *segment = &update.segments[s];
        const double lr = update.scalars->lr[segment->group];
        for (int64_t i = segment->offset; i < segment->offset + segment->count; i++) {
            const double w = ref_get(&update.params, i), g = ref_get(&update.grads, i) * update.scale;
            const double m = beta1 * ref_get(&means, i) + (1 - beta1) * g, v = beta2 * ref_get(&squares, i) + (1 - beta2) * g * g;
            ref_set(&means, i, m);
            ref_set(&squares, i, v);
            store(&update, segment, i, (1 - lr * segment->weight_decay) * w - lr * (m / come1) / (sqrt(v / come2) + epsilon));
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
