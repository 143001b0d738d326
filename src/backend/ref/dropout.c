/*
 * Reference dropout: each element's fate is one Philox number, so that the gradient needs no saved mask.
 */
#include "ref.h"

#include "base/rng.h"

sky_status ref_DROPOUT(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct ref_tensor x = ref_in(kernel, run, 0), y = ref_out(kernel, run, 0);
    const struct sky_scalars *scalars = run->in[1];
    const double rate = kernel->node->attr.dropout.rate;
    const int64_t view = x.dim[1] / kernel->node->attr.dropout.groups * x.dim[2];
    for (int64_t i = 0; i < x.count; i++) {
        const int64_t element = i + (i / view * scalars->other_ranks + scalars->rank) * view; /* of the whole batch */
        uint32_t word[4];
        sky_philox(scalars->seed, SKY_RNG_DROPOUT, (uint32_t)scalars->step, kernel->node->attr.dropout.layer, (uint32_t)(element / 4), word);
        ref_set(&y, i, word[element % 4] * 0x1p-32 >= rate ? ref_get(&x, i) / (1 - rate) : 0);
    }
    return SKY_OK;
}
