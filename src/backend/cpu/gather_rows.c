/*
 * Rows of all ranks' batches, view by view: copies. What a rank shares is its x [P,N,D] in f32, then its labels [N] in i32.
 */
#include "cpu.h"

struct rows {
    int64_t heads, groups, members, ranks, width; /* members: rows a view, head and rank */
};

static struct rows rows_of(const struct sky_kernel *kernel, const struct sky_tensor *own)
{
    const union sky_attributes *attr = &kernel->node->attr;
    return (struct rows){own->dim[0], attr->gather.groups, own->dim[1] / attr->gather.groups, attr->gather.ranks, own->dim[2]};
}

static sky_status gather_share(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_tensor *x = sky_cpu_in(kernel, 0), *labels = sky_cpu_in(kernel, 1);
    memcpy(run->mine, run->in[0], x->bytes);
    memcpy((char *)run->mine + x->bytes, run->in[1], labels->bytes);
    return SKY_OK;
}

static sky_status gather_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct sky_tensor *x = sky_cpu_in(kernel, 0);
    const struct rows rows = rows_of(kernel, x);
    const size_t shared = (size_t)sky_node_shared_count(kernel->graph, kernel->node) * sizeof(double), row_bytes = (size_t)rows.width * sizeof(float);
    for (int64_t r = 0; r < rows.ranks; r++) {
        const char *of_rank = run->all ? (const char *)run->all + (size_t)r * shared : NULL;
        const float *from = of_rank ? (const float *)(const void *)of_rank : run->in[0];
        const int32_t *labels = of_rank ? (const int32_t *)(const void *)(of_rank + x->bytes) : run->in[1];
        for (int64_t b = 0; b < rows.heads * rows.groups; b++)
            memcpy((float *)run->out[0] + (b * rows.ranks + r) * rows.members * rows.width, from + b * rows.members * rows.width, (size_t)rows.members * row_bytes);
        for (int64_t g = 0; g < rows.groups; g++)
            memcpy((int32_t *)run->out[1] + (g * rows.ranks + r) * rows.members, labels + g * rows.members, (size_t)rows.members * sizeof *labels);
    }
    return SKY_OK;
}

static sky_status gather_grad_run(const struct sky_kernel *kernel, const struct sky_run *run)
{
    const struct rows rows = rows_of(kernel, sky_cpu_out(kernel, 0));
    const struct sky_scalars *scalars = run->in[1];
    const int64_t block = rows.members * rows.width;
    const float *dy = run->in[0];
    float *dx = run->out[0];
    for (int64_t b = 0; b < rows.heads * rows.groups; b++) {
        const float *own = dy + (b * rows.ranks + scalars->rank) * block;
        for (int64_t i = 0; i < block; i++) dx[b * block + i] = (float)rows.ranks * own[i];
    }
    return SKY_OK;
}

const struct sky_operation sky_cpu_GATHER_ROWS = {.run = gather_run, .share = gather_share};
const struct sky_operation sky_cpu_GATHER_ROWS_GRAD = {.run = gather_grad_run};
