/*
 * The CUDA back end's convolutions without cuDNN and without a GPU: which tensor goes where, scratch memory, types, accumulation, judged by the operations'
 * case table. In the library's place stand plain loops that keep to what an engine does: it computes in float, writes the maps' type, knows no accumulation
 * and no groups, rounds a normed input to the maps' type, and leaves rubbish in its scratch memory.
 */
#include "../ops/harness.h"
#include "backend/cuda/cuda.h"
#include "backend/cuda/cudnn_plan.h"
#include "backend/host.h"
#include "backend/ref/ref.h"

#include <stdlib.h>
#include <string.h>

/* ---- in cuDNN's place ---- */

enum { SCRATCH_BYTES = 131, MOST_PLANS = 16 };

struct sky_plan_cache {
    struct sky_plan plans[MOST_PLANS];
    int count;
};

sky_status sky_plan_find(struct sky_plan_cache *cache, const struct sky_conv_problem *problem, const struct sky_plan **out)
{
    if (cache->count == MOST_PLANS) return sky_fail(SKY_INTERNAL, "plans", "a case has more convolutions than expected");
    struct sky_plan *plan = &cache->plans[cache->count++];
    *plan = (struct sky_plan){.problem = *problem, .workspace_bytes = SCRATCH_BYTES, .name = "loops"};
    *out = plan;
    return SKY_OK;
}

void sky_plan_pack_free(struct sky_plan_pack *pack) { memset(pack, 0, sizeof *pack); }

struct tensors {
    struct ref_tensor x, w, y, bias, residual, scale, shift, sum, square_sum, z, mean, invstd, gamma, beta, dgamma, dbeta;
};

/* Calls one(...) for every product x[ix] w[iw] that belongs to y[iy]. */
static void each_product(const struct sky_conv_problem *p, void (*one)(int64_t ix, int64_t iw, int64_t iy, void *context), void *context)
{
    for (int64_t iy = 0; iy < p->images * p->out_height * p->out_width * p->filters; iy++) {
        const int64_t k = iy % p->filters, q = iy / p->filters % p->out_width, o = iy / p->filters / p->out_width % p->out_height;
        const int64_t n = iy / p->filters / p->out_width / p->out_height;
        for (int64_t t = 0; t < p->rows * p->columns * p->channels; t++) {
            const int64_t c = t % p->channels, s = t / p->channels % p->columns, r = t / p->channels / p->columns;
            const int64_t h = o * p->stride - p->pad + r, w = q * p->stride - p->pad + s;
            if (h < 0 || w < 0 || h >= p->height || w >= p->width) continue;
            one(((n * p->height + h) * p->width + w) * p->channels + c, k * p->rows * p->columns * p->channels + t, iy, context);
        }
    }
}

struct sums {
    const struct tensors *t;
    enum sky_conv_form form;
    double *sum;
};

static void add_product(int64_t ix, int64_t iw, int64_t iy, void *context)
{
    const struct sums *s = context;
    const struct tensors *t = s->t;
    switch (s->form) {
    case SKY_CONV_DGRAD:
    case SKY_CONV_DGRAD_BN: s->sum[ix] += ref_get(&t->y, iy) * ref_get(&t->w, iw); break;
    case SKY_CONV_WGRAD:
    case SKY_CONV_BN_WGRAD: s->sum[iw] += ref_get(&t->x, ix) * ref_get(&t->y, iy); break;
    default: s->sum[iy] += ref_get(&t->x, ix) * ref_get(&t->w, iw);
    }
}

/* relu(x scale + shift) as a map of its own, in x's place. */
static void norm_input(const struct sky_conv_problem *p, struct tensors *t, void *normed)
{
    const struct ref_tensor to = {normed, p->dtype, NULL, t->x.count};
    for (int64_t i = 0; i < t->x.count; i++) ref_set(&to, i, ref_relu(ref_get(&t->x, i) * ref_get(&t->scale, i % p->channels) + ref_get(&t->shift, i % p->channels)));
    t->x = to;
}

static void write_statistics(const struct sky_conv_problem *p, const struct tensors *t, const double *y)
{
    for (int64_t k = 0; k < p->filters; k++) {
        double sum = 0, squares = 0;
        for (int64_t i = k; i < t->y.count; i += p->filters) sum += y[i], squares += y[i] * y[i];
        ref_set(&t->sum, k, sum), ref_set(&t->square_sum, k, squares);
    }
}

/* ReLU's mask from batch norm's input, then its parameters' gradients. */
static void mask_gradient(const struct sky_conv_problem *p, const struct tensors *t, double *dx)
{
    for (int64_t c = 0; c < p->channels; c++) {
        double sum = 0, sum_z = 0;
        for (int64_t i = c; i < t->x.count; i += p->channels) {
            const double zhat = (ref_get(&t->z, i) - ref_get(&t->mean, c)) * ref_get(&t->invstd, c);
            if (!(ref_get(&t->gamma, c) * zhat + ref_get(&t->beta, c) > 0)) dx[i] = 0;
            sum += dx[i], sum_z += dx[i] * zhat;
        }
        ref_set(&t->dbeta, c, sum), ref_set(&t->dgamma, c, sum_z);
    }
}

static const struct ref_tensor *result_of(const struct sky_conv_problem *p, const struct tensors *t)
{
    if (p->form == SKY_CONV_DGRAD || p->form == SKY_CONV_DGRAD_BN) return &t->x;
    return p->form == SKY_CONV_WGRAD || p->form == SKY_CONV_BN_WGRAD ? &t->w : &t->y;
}

static void fill_tensors(const struct sky_conv_problem *p, void *const *pointers, struct tensors *t)
{
    const int64_t x = p->images * p->height * p->width * p->channels, y = p->images * p->out_height * p->out_width * p->filters;
    *t = (struct tensors){
        .x = {pointers[SKY_CONV_X], p->dtype, NULL, x},
        .w = {pointers[SKY_CONV_W], p->dtype, NULL, p->filters * p->rows * p->columns * p->channels},
        .y = {pointers[SKY_CONV_Y], p->dtype, NULL, y},
        .bias = {pointers[SKY_CONV_BIAS], SKY_F32, NULL, p->filters},
        .residual = {pointers[SKY_CONV_RESIDUAL], p->dtype, NULL, y},
        .scale = {pointers[SKY_CONV_SCALE], p->dtype, NULL, p->channels},
        .shift = {pointers[SKY_CONV_SHIFT], p->dtype, NULL, p->channels},
        .sum = {pointers[SKY_CONV_SUM], SKY_F32, NULL, p->filters},
        .square_sum = {pointers[SKY_CONV_SQUARE_SUM], SKY_F32, NULL, p->filters},
        .z = {pointers[SKY_CONV_Z], p->dtype, NULL, x},
        .mean = {pointers[SKY_CONV_MEAN], SKY_F32, NULL, p->channels},
        .invstd = {pointers[SKY_CONV_INVSTD], SKY_F32, NULL, p->channels},
        .gamma = {pointers[SKY_CONV_GAMMA], SKY_F32, NULL, p->channels},
        .beta = {pointers[SKY_CONV_BETA], SKY_F32, NULL, p->channels},
        .dgamma = {pointers[SKY_CONV_DGAMMA], SKY_F32, NULL, p->channels},
        .dbeta = {pointers[SKY_CONV_DBETA], SKY_F32, NULL, p->channels},
    };
}

/* What an engine writes although nobody asked for it. */
static void write_factors(const struct sky_conv_problem *p, void *const *pointers)
{
    for (int role = SKY_CONV_FACTOR_G; role <= SKY_CONV_OFFSET; role++) memset(pointers[role], 0x5a, (size_t)p->channels * sizeof(float));
}

sky_status sky_plan_run(const struct sky_plan *plan, cudnnHandle_t handle, struct sky_plan_pack *pack, void *const pointers[SKY_CONV_TENSOR_COUNT], void *work)
{
    const struct sky_conv_problem *p = &plan->problem;
    struct tensors t;
    fill_tensors(p, pointers, &t);
    void *normed = calloc((size_t)t.x.count, sizeof(float));
    struct sums sums = {&t, p->form, calloc((size_t)result_of(p, &t)->count, sizeof(double))};
    (void)handle, (void)pack;
    if (!sums.sum || !normed) return sky_fail(SKY_NOMEM, plan->name, "no memory");
    if (t.scale.data) norm_input(p, &t, normed);
    const struct ref_tensor *result = result_of(p, &t);
    each_product(p, add_product, &sums);
    if (p->form == SKY_CONV_DGRAD_BN) mask_gradient(p, &t, sums.sum), write_factors(p, pointers);
    if (p->form == SKY_CONV_FORWARD_STATS || p->form == SKY_CONV_BN_FORWARD_STATS) write_statistics(p, &t, sums.sum);
    for (int64_t i = 0; i < result->count; i++) {
        double value = sums.sum[i];
        if (p->residual) value += ref_get(&t.residual, i);
        if (p->bias) value += ref_get(&t.bias, i % p->filters);
        ref_set(result, i, p->relu && value < 0 ? 0 : value);
    }
    memset(work, 0xa5, SCRATCH_BYTES);
    free(sums.sum);
    free(normed);
    return SKY_OK;
}

/* ---- in the kernels' place ---- */

int sky_cuda_cast_accumulate(sky_stream stream, enum sky_dtype type, const void *x, float *y, int64_t count, int64_t slices, bool accumulate)
{
    const struct ref_tensor from = {(void *)(uintptr_t)x, type, NULL, slices * count};
    (void)stream;
    for (int64_t i = 0; i < slices * count; i++) y[i % count] = (float)ref_get(&from, i) + (accumulate || i >= count ? y[i % count] : 0);
    return 0;
}

sky_status sky_cuda_launched(const struct sky_kernel *kernel, int error)
{
    return error ? sky_fail(SKY_DEVICE, kernel->node->name, "error %d", error) : SKY_OK;
}

/* ---- the back end ---- */

static sky_status open_device(struct sky_device *device)
{
    struct sky_cuda *cuda = calloc(1, sizeof *cuda);
    struct sky_plan_cache *plans = calloc(1, sizeof *plans);
    if (!cuda || !plans) return sky_fail(SKY_NOMEM, "cuda-conv", "no memory");
    cuda->plans = plans;
    device->state = cuda;
    return SKY_OK;
}

static void close_device(struct sky_device *device)
{
    struct sky_cuda *cuda = device->state;
    if (cuda) free(cuda->plans);
    free(cuda);
    device->state = NULL;
}

int main(int argc, char **argv)
{
    static struct sky_operation operations[SKY_OP_COUNT];
    static const struct sky_backend backend = {
        .name = "cuda-conv",
        .description = "the CUDA back end's convolutions with loops in cuDNN's place",
        .open = open_device,
        .close = close_device,
        .arena_alloc = sky_host_arena_alloc,
        .arena_free = sky_host_arena_free,
        .copy_in = sky_host_copy,
        .copy_out = sky_host_copy,
        .copy_within = sky_host_copy,
        .synchronize = sky_host_synchronize,
        .operations = operations,
    };
    const struct sky_backend *const backends[] = {&backend};
    for (int op = 0; op < SKY_OP_COUNT; op++) operations[op] = sky_backend_ref.operations[op]; /* what a case has beside its convolutions */
    operations[SKY_OP_CONV] = sky_cuda_CONV, operations[SKY_OP_CONV_DGRAD] = sky_cuda_CONV_DGRAD, operations[SKY_OP_CONV_WGRAD] = sky_cuda_CONV_WGRAD;
    operations[SKY_OP_BN_CONV] = sky_cuda_BN_CONV, operations[SKY_OP_BN_CONV_DGRAD] = sky_cuda_BN_CONV_DGRAD, operations[SKY_OP_BN_CONV_WGRAD] = sky_cuda_BN_CONV_WGRAD;
    return ops_main(argc, argv, backends, 1, "test,bitwise", "f32,bf16,f16");
}
