/*
 * Reference gathering of rows: alone, so every rank's rows are this one's. Ranks need another back end.
 */
#include "ref.h"

/* Row n of a tensor with `groups` views <-> where it lies in a tensor of all ranks' rows. */
static int64_t place_of(int64_t n, int64_t members, int64_t ranks, int64_t rank)
{
    return (n / members * ranks + rank) * members + n % members;
}

sky_status ref_GATHER_ROWS(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct ref_tensor x = ref_in(kernel, run, 0), y = ref_out(kernel, run, 0);
    const int64_t rows = x.dim[1], width = x.dim[2], ranks = kernel->node->attr.gather.ranks, members = rows / kernel->node->attr.gather.groups;
    for (int64_t r = 0; r < ranks; r++)
        for (int64_t n = 0; n < rows; n++) {
            const int64_t place = place_of(n, members, ranks, r);
            ((int32_t *)run->out[1])[place] = ((const int32_t *)run->in[1])[n];
            for (int64_t p = 0; p < x.dim[0]; p++)
                for (int64_t d = 0; d < width; d++) ref_set(&y, (p * ranks * rows + place) * width + d, ref_get(&x, (p * rows + n) * width + d));
        }
    return SKY_OK;
}

sky_status ref_GATHER_ROWS_GRAD(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct ref_tensor dy = ref_in(kernel, run, 0), dx = ref_out(kernel, run, 0);
    const struct sky_scalars *scalars = run->in[1];
    const int64_t rows = dx.dim[1], width = dx.dim[2], ranks = kernel->node->attr.gather.ranks, members = rows / kernel->node->attr.gather.groups;
    for (int64_t p = 0; p < dx.dim[0]; p++)
        for (int64_t n = 0; n < rows; n++)
            for (int64_t d = 0; d < width; d++)
                ref_set(&dx, (p * rows + n) * width + d, (double)ranks * ref_get(&dy, (p * ranks * rows + place_of(n, members, ranks, scalars->rank)) * width + d));
    return SKY_OK;
}
