/*
 * Reference conversion to the maps' type: nearest, ties to even.
 */
#include "ref.h"

sky_status ref_CAST(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct ref_tensor x = ref_in(kernel, run, 0), y = ref_out(kernel, run, 0);
    for (int64_t i = 0; i < x.count; i++) ref_set(&y, i, ref_get(&x, i));
    return SKY_OK;
}
