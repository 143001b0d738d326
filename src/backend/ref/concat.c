/*
 * Reference joins and splits of head tensors, along the features (last dimension) or along the heads (first): plain copies.
 */
#include "ref.h"

/* Copies `rows` rows of `count` elements between tensors whose rows have their own lengths and starts. */
static void copy_rows(const struct ref_tensor *to, int64_t to_row, int64_t to_start, const struct ref_tensor *from, int64_t from_row, int64_t from_start, int64_t rows, int64_t count)
{
    if (!to->data) return;
    for (int64_t row = 0; row < rows; row++)
        for (int64_t i = 0; i < count; i++) ref_set(to, row * to_row + to_start + i, ref_get(from, row * from_row + from_start + i));
}

/* a [P, N, A], b [P, N, B], y [P, N, A + B] */
sky_status ref_CONCAT_FEATURES(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct ref_tensor a = ref_in(kernel, run, 0), b = ref_in(kernel, run, 1), y = ref_out(kernel, run, 0);
    const int64_t rows = y.dim[0] * y.dim[1];
    copy_rows(&y, y.dim[2], 0, &a, a.dim[2], 0, rows, a.dim[2]);
    copy_rows(&y, y.dim[2], a.dim[2], &b, b.dim[2], 0, rows, b.dim[2]);
    return SKY_OK;
}

sky_status ref_CONCAT_FEATURES_GRAD(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct ref_tensor dy = ref_in(kernel, run, 0), da = ref_out(kernel, run, 0), db = ref_out(kernel, run, 1);
    const int64_t rows = dy.dim[0] * dy.dim[1], first = kernel->node->attr.concat.first, second = dy.dim[2] - first;
    copy_rows(&da, first, 0, &dy, dy.dim[2], 0, rows, first);
    copy_rows(&db, second, 0, &dy, dy.dim[2], first, rows, second);
    return SKY_OK;
}

/* a [A, N, D], b [B, N, D], y [A + B, N, D]: two rows, one behind the other */
sky_status ref_CONCAT_HEADS(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct ref_tensor a = ref_in(kernel, run, 0), b = ref_in(kernel, run, 1), y = ref_out(kernel, run, 0);
    copy_rows(&y, 0, 0, &a, 0, 0, 1, a.count);
    copy_rows(&y, 0, a.count, &b, 0, 0, 1, b.count);
    return SKY_OK;
}

sky_status ref_CONCAT_HEADS_GRAD(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct ref_tensor dy = ref_in(kernel, run, 0), da = ref_out(kernel, run, 0), db = ref_out(kernel, run, 1);
    const int64_t first = kernel->node->attr.concat.first * dy.dim[1] * dy.dim[2];
    copy_rows(&da, 0, 0, &dy, 0, 0, 1, first);
    copy_rows(&db, 0, 0, &dy, 0, first, 1, dy.count - first);
    return SKY_OK;
}
