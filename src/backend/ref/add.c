/*
 * Reference element-wise sum.
 */
#include "ref.h"

sky_status ref_ADD(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct ref_tensor a = ref_in(kernel, run, 0), b = ref_in(kernel, run, 1), y = ref_out(kernel, run, 0);
    for (int64_t i = 0; i < y.count; i++) ref_set(&y, i, ref_get(&a, i) + ref_get(&b, i));
    return SKY_OK;
}
