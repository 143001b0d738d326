/*
 * Losses on logits [P,N,K] and their gradients: softmax cross entropy and the divergence between the two views. One warp a row (or pair of rows); logarithms of
 * sums are taken relative to the row's maximum; the rows' terms are added up in order by one block. Two launches each.
 */
#include "terms.cuh"

#include "graph/scalars.h"

using namespace sky;

constexpr int THREADS = 128;

__device__ inline float warp_max(float value)
{
    for (int offset = 16; offset > 0; offset >>= 1) value = fmaxf(value, __shfl_xor_sync(0xffffffffu, value, offset));
    return value;
}

/* ln softmax of a row's elements: relative to the largest first, so that large logits cost no digits. NaN stays NaN. */
struct log_softmax {
    float per_temperature, largest, log_sum;

    __device__ float operator()(float z) const { return z * per_temperature - largest - log_sum; }
};

__device__ inline log_softmax log_softmax_of(const float *row, int classes, float per_temperature)
{
    const int lane = threadIdx.x % 32;
    float largest = -INFINITY, sum = 0;
    for (int k = lane; k < classes; k += 32) largest = fmaxf(largest, row[k] * per_temperature);
    largest = warp_max(largest);
    for (int k = lane; k < classes; k += 32) sum += expf(row[k] * per_temperature - largest);
    return {per_temperature, largest, logf(warp_sum(sum))};
}

__device__ inline float gradient_weight(float weight, const sky_scalars *scalars) { return scalars ? weight * scalars->loss_scale : weight; }

/* A label that is no class makes its term and gradients NaN: a kernel cannot fail, and the step's check sees it. */
__global__ void __launch_bounds__(THREADS) ce_kernel(const float *logits, const int32_t *labels, float *terms /* [P,N] */, float *dlogits, int64_t row_count,
                                                     int rows, int classes, float smoothing, float share, float weight, const sky_scalars *scalars)
{
    const int64_t row = (int64_t)blockIdx.x * (THREADS / 32) + threadIdx.x / 32;
    const int lane = threadIdx.x % 32;
    if (row >= row_count) return;
    const float *z = logits + row * classes;
    const int label = labels[row % rows];
    const bool known = label >= 0 && label < classes;
    const log_softmax log_p = log_softmax_of(z, classes, known ? 1.0f : NAN);
    const float even = smoothing / (float)classes, scale = share * gradient_weight(weight, scalars);
    float term = 0;
    for (int k = lane; k < classes; k += 32) {
        const float target = (k == label ? 1.0f - smoothing : 0.0f) + even, below = log_p(z[k]);
        term -= target * below;
        if (dlogits) dlogits[row * classes + k] = scale * (expf(below) - target);
    }
    term = warp_sum(term);
    if (lane == 0) terms[row] = term;
}

int sky_cuda_loss_ce(sky_stream stream, const struct sky_cuda_loss *p, const int32_t *labels)
{
    const int64_t rows = p->heads * p->rows, members = p->rows / p->groups;
    const double share = 1 / (double)members / (p->mean ? (double)p->heads : 1);
    SKY_LAUNCH(ce_kernel, (unsigned)div_up(rows, THREADS / 32), THREADS, 0, stream, p->logits, labels, p->scratch, p->dlogits, rows, (int)p->rows,
               (int)p->classes, (float)p->smoothing, (float)share, (float)p->weight, p->scalars);
    sum_terms(stream, p->scratch, p->loss, rows, share);
    return (int)cudaGetLastError();
}

/* The views' groups, among how many. */
struct kl_groups {
    int count, satellite, drone;
};

/* which: bit 0, the drone's prediction is a target; bit 1, the satellite's is. */
__global__ void __launch_bounds__(THREADS)
    kl_kernel(const float *logits, float *terms /* [P,N/G] */, float *dlogits, int64_t pair_count, int pairs, kl_groups groups, int classes,
              float per_temperature, int which, bool attached, float share, float weight, const sky_scalars *scalars)
{
    const int64_t pair = (int64_t)blockIdx.x * (THREADS / 32) + threadIdx.x / 32;
    const int lane = threadIdx.x % 32;
    if (pair >= pair_count) return;
    const int64_t first = (pair / pairs * groups.count * pairs + pair % pairs) * classes, group = (int64_t)pairs * classes; /* the first group's row, the way to the next */
    const int64_t satellite = first + groups.satellite * group, drone = first + groups.drone * group;                       /* the rows' first elements */
    const log_softmax of_satellite = log_softmax_of(logits + satellite, classes, per_temperature),
                      of_drone = log_softmax_of(logits + drone, classes, per_temperature);
    float from_drone = 0, from_satellite = 0; /* KL(drone || satellite), KL(satellite || drone) */
    for (int k = lane; k < classes; k += 32) {
        const float log_s = of_satellite(logits[satellite + k]), log_d = of_drone(logits[drone + k]);
        from_drone += expf(log_d) * (log_d - log_s), from_satellite += expf(log_s) * (log_s - log_d);
    }
    from_drone = warp_sum(from_drone), from_satellite = warp_sum(from_satellite);
    const float drone_target = which & 1 ? 1.0f : 0.0f, satellite_target = which & 2 ? 1.0f : 0.0f,
                scale = share * per_temperature * gradient_weight(weight, scalars);
    if (lane == 0) terms[pair] = drone_target * from_drone + satellite_target * from_satellite;
    for (int k = lane; dlogits && k < classes; k += 32) {
        const float log_s = of_satellite(logits[satellite + k]), log_d = of_drone(logits[drone + k]), difference = expf(log_s) - expf(log_d);
        const float as_s = attached ? satellite_target * expf(log_s) * (log_s - log_d - from_satellite) : 0.0f;
        const float as_d = attached ? drone_target * expf(log_d) * (log_d - log_s - from_drone) : 0.0f;
        dlogits[satellite + k] = scale * (drone_target * difference + as_s);
        dlogits[drone + k] = scale * (as_d - satellite_target * difference);
        for (int g = 0; g < groups.count; g++)
            if (g != groups.satellite && g != groups.drone) dlogits[first + g * group + k] = 0;
    }
}

int sky_cuda_loss_kl(sky_stream stream, const struct sky_cuda_loss *p)
{
    const int64_t pairs = p->rows / p->groups, count = p->heads * pairs;
    const kl_groups groups = {(int)p->groups, p->satellite, p->drone};
    const double share = p->temperature * p->temperature / (double)pairs / (p->mean ? (double)p->heads : 1);
    SKY_LAUNCH(kl_kernel, (unsigned)div_up(count, THREADS / 32), THREADS, 0, stream, p->logits, p->scratch, p->dlogits, count, (int)pairs, groups, (int)p->classes,
               (float)(1 / p->temperature), (p->drone_is_target ? 1 : 0) | (p->satellite_is_target ? 2 : 0), !p->detach, (float)share, (float)p->weight,
               p->scalars);
    sum_terms(stream, p->scratch, p->loss, count, share);
    return (int)cudaGetLastError();
}
