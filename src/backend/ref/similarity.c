/*
 * Reference cosines between the rows of two views, and their gradient.
 */
#include "ref.h"

/* Where a node finds its rows: heads, rows of one view, width, and the first row of either view. */
struct rows {
    int64_t heads, all, members, width, first, second;
};

static struct rows rows_of(const struct sky_kernel *kernel, const struct ref_tensor *x)
{
    const union sky_attributes *attr = &kernel->node->attr;
    const int64_t members = x->dim[1] / attr->pairs.groups;
    return (struct rows){x->dim[0], x->dim[1], members, x->dim[2], attr->pairs.first * members, attr->pairs.second * members};
}

static double dot(const struct ref_tensor *x, int64_t row, int64_t other, int64_t width)
{
    double sum = 0;
    for (int64_t d = 0; d < width; d++) sum += ref_get(x, row * width + d) * ref_get(x, other * width + d);
    return sum;
}

sky_status ref_SIMILARITY(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct ref_tensor x = ref_in(kernel, run, 0), t = ref_in(kernel, run, 1), y = ref_out(kernel, run, 0), inverse_norm = ref_out(kernel, run, 1);
    const struct rows r = rows_of(kernel, &x);
    const double scale = (t.data ? exp(ref_get(&t, 0)) : 1) / (kernel->node->attr.pairs.joint ? (double)r.heads : 1);
    for (int64_t row = 0; row < r.heads * r.all; row++) {
        const double square = dot(&x, row, row, r.width);
        ref_set(&inverse_norm, row, square > 0 ? 1 / sqrt(square) : 0);
    }
    for (int64_t i = 0; i < r.members; i++)
        for (int64_t j = 0; j < r.members; j++) {
            double joint = 0;
            for (int64_t p = 0; p < r.heads; p++) {
                const int64_t a = p * r.all + r.first + i, b = p * r.all + r.second + j;
                const double cosine = scale * dot(&x, a, b, r.width) * ref_get(&inverse_norm, a) * ref_get(&inverse_norm, b);
                joint += cosine;
                if (!kernel->node->attr.pairs.joint) ref_set(&y, (p * r.members + i) * r.members + j, cosine);
            }
            if (kernel->node->attr.pairs.joint) ref_set(&y, i * r.members + j, joint);
        }
    return SKY_OK;
}

/* The gradient by one row: what pulls at its unit vector, less the part along it. sum_j dy_j (u_j - u (u . u_j)) / |x|. */
static void give_row(const struct ref_tensor *x, const struct ref_tensor *dx, const struct ref_tensor *inverse_norm, int64_t row, int64_t others,
                     const double *dy, int64_t members, int64_t width)
{
    const double own = ref_get(inverse_norm, row);
    double along = 0;
    for (int64_t j = 0; j < members; j++) along += dy[j] * dot(x, row, others + j, width) * own * ref_get(inverse_norm, others + j);
    for (int64_t d = 0; d < width; d++) {
        double pull = 0;
        for (int64_t j = 0; j < members; j++) pull += dy[j] * ref_get(x, (others + j) * width + d) * ref_get(inverse_norm, others + j);
        ref_set(dx, row * width + d, own * (pull - along * own * ref_get(x, row * width + d)));
    }
}

size_t ref_similarity_work_bytes(const struct sky_kernel *kernel)
{
    if (kernel->node->op != SKY_OP_SIMILARITY_GRAD) return 0;
    return (size_t)sky_graph_get(kernel->graph, kernel->node->in[1])->dim[1] * sizeof(double);
}

sky_status ref_SIMILARITY_GRAD(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct ref_tensor dy = ref_in(kernel, run, 0), x = ref_in(kernel, run, 1), inverse_norm = ref_in(kernel, run, 2), y = ref_in(kernel, run, 3);
    const struct ref_tensor t = ref_in(kernel, run, 4);
    const struct ref_tensor dx = ref_out(kernel, run, 0), dt = ref_out(kernel, run, 1);
    const struct rows r = rows_of(kernel, &x);
    const bool is_joint = kernel->node->attr.pairs.joint;
    const double scale = (t.data ? exp(ref_get(&t, 0)) : 1) / (is_joint ? (double)r.heads : 1);
    double *pulls = run->work; /* [M] of one row */
    for (int64_t i = 0; i < dx.count; i++) ref_set(&dx, i, 0);
    for (int64_t p = 0; p < r.heads; p++) {
        const int64_t block = is_joint ? 0 : p * r.members * r.members;
        for (int64_t i = 0; i < r.members; i++) {
            for (int64_t j = 0; j < r.members; j++) pulls[j] = scale * ref_get(&dy, block + i * r.members + j);
            give_row(&x, &dx, &inverse_norm, p * r.all + r.first + i, p * r.all + r.second, pulls, r.members, r.width);
            for (int64_t j = 0; j < r.members; j++) pulls[j] = scale * ref_get(&dy, block + j * r.members + i);
            give_row(&x, &dx, &inverse_norm, p * r.all + r.second + i, p * r.all + r.first, pulls, r.members, r.width);
        }
    }
    double sum = 0;
    for (int64_t i = 0; i < dy.count; i++) sum += ref_get(&dy, i) * ref_get(&y, i);
    ref_put(&dt, 0, sum, run->accumulate);
    return SKY_OK;
}
