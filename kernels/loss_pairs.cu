/*
 * Losses on cosines [P,M,M] between two views: contrastive, triplet with hard mining, symmetric InfoNCE. One warp a line (a row, or a column) finds what the line
 * contributes; then one thread an element writes the gradient from its row's and its column's findings; the lines' terms are added up in order by one block. Three
 * launches each, the contrastive loss two.
 */
#include "terms.cuh"

#include "graph/scalars.h"

using namespace sky;

constexpr int THREADS = 128;
constexpr float CLOSEST = 1e-6f; /* squared distances are not smaller */

__device__ inline float distance(float cosine) { return sqrtf(fmaxf(2 - 2 * cosine, CLOSEST)); }

/* d distance / d cosine. */
__device__ inline float distance_slope(float cosine) { return 2 - 2 * cosine > CLOSEST ? -1 / distance(cosine) : 0.0f; }

__device__ inline float gradient_weight(const sky_cuda_pairs &p, float share)
{
    return share * (float)p.weight * (p.scalars ? p.scalars->loss_scale : 1.0f);
}

/* A row (side 0) or column (side 1) of one head: its label, the others' labels, and where its elements lie. */
struct line {
    int label;
    const int32_t *others;
    const float *start;
    int64_t stride;

    __device__ line(const sky_cuda_pairs &p, int64_t number)
    {
        const int64_t head = number / (2 * p.members), side = number / p.members % 2, i = number % p.members;
        label = side ? p.second[i] : p.first[i];
        others = side ? p.first : p.second;
        start = p.similarity + head * p.members * p.members + (side ? i : i * p.members);
        stride = side ? p.members : 1;
    }
};

/* What a line found. Triplet: gradients by its pair and stranger, which stand at these positions (or -1). InfoNCE: largest, ln of the sum, target on a pair, target everywhere. */
struct finding {
    float a, b, c, d;
    int pair, stranger;
};

struct scratch {
    float *terms; /* [P,2,M] */
    finding *found;
};

static scratch scratch_of(const sky_cuda_pairs *p)
{
    return {p->scratch, reinterpret_cast<finding *>(p->scratch + p->heads * 2 * p->members)};
}

int64_t sky_cuda_pairs_floats(int64_t heads, int64_t members) { return heads * 2 * members * (1 + (int64_t)(sizeof(finding) / sizeof(float))); }

/* One warp a row. */
__global__ void __launch_bounds__(THREADS) contrastive_kernel(sky_cuda_pairs p, float *terms /* [P,M] */, float share)
{
    const int64_t row = (int64_t)blockIdx.x * (THREADS / 32) + threadIdx.x / 32;
    const int lane = threadIdx.x % 32;
    if (row >= p.heads * p.members) return;
    const int label = p.first[row % p.members];
    const float weight = gradient_weight(p, share);
    float term = 0;
    for (int64_t j = lane; j < p.members; j += 32) {
        const float cosine = p.similarity[row * p.members + j], gap = fmaxf(0.0f, (float)p.margin - distance(cosine));
        const bool pair = p.second[j] == label;
        term += pair ? 1 - cosine : gap * gap / 2;
        if (p.gradient) p.gradient[row * p.members + j] = weight * (pair ? -1.0f : -gap * distance_slope(cosine));
    }
    term = warp_sum(term);
    if (lane == 0) terms[row] = term;
}

int sky_cuda_loss_contrastive(sky_stream stream, const struct sky_cuda_pairs *p)
{
    const int64_t rows = p->heads * p->members;
    const double share = 1 / (double)p->members / (p->mean ? (double)p->heads : 1);
    SKY_LAUNCH(contrastive_kernel, (unsigned)div_up(rows, THREADS / 32), THREADS, 0, stream, *p, p->scratch, (float)share);
    sum_terms(stream, p->scratch, p->loss, rows, share);
    return (int)cudaGetLastError();
}

/* The least value of the warp's lanes and its position, the first of equals; lanes without one bring position -1. All lanes get it. */
__device__ inline void warp_least(float &value, int &position)
{
    for (int offset = 16; offset > 0; offset >>= 1) {
        const float other = __shfl_xor_sync(0xffffffffu, value, offset);
        const int at = __shfl_xor_sync(0xffffffffu, position, offset);
        if (at >= 0 && (position < 0 || other < value || (other == value && at < position))) value = other, position = at;
    }
}

__global__ void __launch_bounds__(THREADS) triplet_kernel(sky_cuda_pairs p, float *terms, finding *found, float share)
{
    const int64_t number = (int64_t)blockIdx.x * (THREADS / 32) + threadIdx.x / 32;
    const int lane = threadIdx.x % 32;
    if (number >= p.heads * 2 * p.members) return;
    const line line(p, number);
    float far_pair = 0, near_stranger = 0; /* cosine; minus the cosine */
    int pair = -1, stranger = -1;
    for (int64_t j = lane; j < p.members; j += 32) {
        const float cosine = line.start[j * line.stride];
        const bool same = line.others[j] == line.label;
        if (same && (pair < 0 || cosine < far_pair)) far_pair = cosine, pair = (int)j;
        if (!same && (stranger < 0 || -cosine < near_stranger)) near_stranger = -cosine, stranger = (int)j;
    }
    warp_least(far_pair, pair);
    warp_least(near_stranger, stranger);
    if (lane != 0) return;
    finding f = {0, 0, 0, 0, -1, -1};
    float term = 0;
    if (pair >= 0 && stranger >= 0) {
        const float difference = distance(far_pair) - distance(-near_stranger), x = (float)p.alpha * difference, hinge = fmaxf(0.0f, difference + (float)p.margin);
        const float slope = gradient_weight(p, share) * (p.soft ? (float)p.alpha / (1 + expf(-x)) : hinge > 0 ? 1.0f : 0.0f);
        term = p.soft ? fmaxf(x, 0.0f) + log1pf(expf(-fabsf(x))) : hinge;
        f = {slope * distance_slope(far_pair), -slope * distance_slope(-near_stranger), 0, 0, pair, stranger};
    }
    terms[number] = term;
    found[number] = f;
}

__device__ inline float anchor_gradient(const finding &f, int64_t position)
{
    return (f.pair == position ? f.a : 0.0f) + (f.stranger == position ? f.b : 0.0f);
}

__global__ void triplet_grad_kernel(sky_cuda_pairs p, const finding *found, int64_t count)
{
    for (int64_t e = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; e < count; e += (int64_t)gridDim.x * blockDim.x) {
        const int64_t head = e / (p.members * p.members), i = e / p.members % p.members, j = e % p.members;
        const finding *lines = found + head * 2 * p.members;
        p.gradient[e] = anchor_gradient(lines[i], j) + anchor_gradient(lines[p.members + j], i);
    }
}

int sky_cuda_loss_triplet(sky_stream stream, const struct sky_cuda_pairs *p)
{
    const int64_t lines = p->heads * 2 * p->members, count = p->heads * p->members * p->members;
    const double share = 0.5 / (double)p->members / (p->mean ? (double)p->heads : 1);
    const scratch s = scratch_of(p);
    SKY_LAUNCH(triplet_kernel, (unsigned)div_up(lines, THREADS / 32), THREADS, 0, stream, *p, s.terms, s.found, (float)share);
    if (p->gradient) SKY_LAUNCH(triplet_grad_kernel, grid_of(count, THREADS), THREADS, 0, stream, *p, s.found, count);
    sum_terms(stream, s.terms, p->loss, lines, share);
    return (int)cudaGetLastError();
}

__device__ inline float warp_largest(float value)
{
    for (int offset = 16; offset > 0; offset >>= 1) value = fmaxf(value, __shfl_xor_sync(0xffffffffu, value, offset));
    return value;
}

/* ln softmax is taken relative to the largest, so that a low temperature costs no digits. A line without a pair gets an infinite sum: no loss, no gradient. */
__global__ void __launch_bounds__(THREADS) info_nce_kernel(sky_cuda_pairs p, float *terms, finding *found)
{
    const int64_t number = (int64_t)blockIdx.x * (THREADS / 32) + threadIdx.x / 32;
    const int lane = threadIdx.x % 32;
    if (number >= p.heads * 2 * p.members) return;
    const line line(p, number);
    const float per_temperature = (float)(1 / p.temperature);
    float largest = -INFINITY, sum = 0, matches = 0, expected = 0;
    for (int64_t j = lane; j < p.members; j += 32) largest = fmaxf(largest, line.start[j * line.stride]), matches += line.others[j] == line.label;
    largest = warp_largest(largest), matches = warp_sum(matches);
    const float match = matches > 0 ? (float)(1 - p.smoothing) / matches : 0.0f, even = matches > 0 ? (float)p.smoothing / (float)p.members : 0.0f;
    for (int64_t j = lane; j < p.members; j += 32) {
        const float z = (line.start[j * line.stride] - largest) * per_temperature;
        sum += expf(z);
        expected += (even + (line.others[j] == line.label ? match : 0.0f)) * z;
    }
    sum = warp_sum(sum), expected = warp_sum(expected);
    if (lane != 0) return;
    terms[number] = matches > 0 ? logf(sum) - expected : 0.0f;
    found[number] = {largest, matches > 0 ? logf(sum) : (float)INFINITY, match, even, 0, 0};
}

__global__ void info_nce_grad_kernel(sky_cuda_pairs p, const finding *found, float share, int64_t count)
{
    const float per_temperature = (float)(1 / p.temperature), weight = gradient_weight(p, share) * per_temperature;
    for (int64_t e = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; e < count; e += (int64_t)gridDim.x * blockDim.x) {
        const int64_t head = e / (p.members * p.members), i = e / p.members % p.members, j = e % p.members;
        const finding *lines = found + head * 2 * p.members, &row = lines[i], &column = lines[p.members + j];
        const bool pair = p.first[i] == p.second[j];
        const float s = p.similarity[e];
        const float by_row = expf((s - row.a) * per_temperature - row.b) - row.d - (pair ? row.c : 0.0f);
        const float by_column = expf((s - column.a) * per_temperature - column.b) - column.d - (pair ? column.c : 0.0f);
        p.gradient[e] = weight * (by_row + by_column);
    }
}

int sky_cuda_loss_info_nce(sky_stream stream, const struct sky_cuda_pairs *p)
{
    const int64_t lines = p->heads * 2 * p->members, count = p->heads * p->members * p->members;
    const double share = 0.5 / (double)p->members / (p->mean ? (double)p->heads : 1);
    const scratch s = scratch_of(p);
    SKY_LAUNCH(info_nce_kernel, (unsigned)div_up(lines, THREADS / 32), THREADS, 0, stream, *p, s.terms, s.found);
    if (p->gradient) SKY_LAUNCH(info_nce_grad_kernel, grid_of(count, THREADS), THREADS, 0, stream, *p, s.found, (float)share, count);
    sum_terms(stream, s.terms, p->loss, lines, share);
    return (int)cudaGetLastError();
}
