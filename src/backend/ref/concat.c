/*
 * Reference join of two tensors along one dimension, and the split of its gradient: plain copies.
 */
#include "ref.h"

/* Elements of one slice from `axis` on: what lies behind each other in memory for one combination of the dimensions before it. */
static int64_t slice_of(const struct ref_tensor *tensor, int axis)
{
    int64_t elements = 1;
    for (int i = axis; i < SKY_MAX_RANK; i++) elements *= tensor->dim[i];
    return elements;
}

/* Element i of one part <-> its place in the whole, whose slices hold `start` other elements before the part's own. */
static int64_t place_of(int64_t i, int64_t part_slice, int64_t whole_slice, int64_t start)
{
    return i / part_slice * whole_slice + start + i % part_slice;
}

sky_status ref_CONCAT(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct ref_tensor y = ref_out(kernel, run, 0);
    const int axis = kernel->node->attr.concat.axis;
    int64_t start = 0;
    for (int k = 0; k < 2; k++) {
        const struct ref_tensor part = ref_in(kernel, run, k);
        for (int64_t i = 0; i < part.count; i++) ref_set(&y, place_of(i, slice_of(&part, axis), slice_of(&y, axis), start), ref_get(&part, i));
        start += slice_of(&part, axis);
    }
    return SKY_OK;
}

sky_status ref_CONCAT_GRAD(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct ref_tensor dy = ref_in(kernel, run, 0);
    const int axis = kernel->node->attr.concat.axis;
    int64_t start = 0;
    for (int k = 0; k < 2; k++) {
        const struct ref_tensor part = ref_out(kernel, run, k);
        for (int64_t i = 0; i < part.count; i++) ref_set(&part, i, ref_get(&dy, place_of(i, slice_of(&part, axis), slice_of(&dy, axis), start)));
        start += slice_of(&part, axis);
    }
    return SKY_OK;
}
