/*
 * Squeeze and excitation: the squeeze (from BN's statistics alone, or as plain channel means in inference), the two small layers to the gate, and their
 * gradient from the block tail's sums. The layers' tensors are small ([N,C], [R,C]); work is spread so that neighbouring threads read neighbouring elements of
 * the weights. Sums over images, channels and hidden units have a fixed order. Launches: one; two; two; five.
 */
#include "kernels.h"
#include "map_tiles.cuh"

using namespace sky;

constexpr int THREADS = 256, IMAGES = 8; /* images that a warp serves with one read of the weights */

/* ---- squeeze ---- */

__global__ void squeeze_kernel(const float *image_mean, norm_parameters norm, float *squeeze, int64_t count, int channels, int64_t group_count)
{
    const int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    const int c = (int)(i % channels);
    const int64_t statistic = i / group_count * channels + c;
    squeeze[i] = fmaf(norm.gamma[c] * norm.invstd[statistic], image_mean[i] - norm.mean[statistic], norm.beta[c]);
}

int sky_cuda_bn_squeeze(sky_stream stream, int64_t images, int64_t channels, int groups, const float *image_mean, const struct sky_cuda_norm *norm,
                        float *squeeze)
{
    const int64_t count = images * channels;
    SKY_LAUNCH(squeeze_kernel, (unsigned)div_up(count, THREADS), THREADS, 0, stream, image_mean, *norm, squeeze, count, (int)channels, count / groups);
    return (int)cudaGetLastError();
}

template <class T, int W> __global__ void __launch_bounds__(TILE_THREADS) sums_kernel(const T *y, float *partial /* [N,spans,1,C] */, map_tiles tiles)
{
    SKY_DYNAMIC_SHARED(float, shared);
    const tile_thread<W> at(tiles);
    float sums[1][W] = {};
    raw_values<T, W> value[4];
    if (at.active)
        visit<4>(
            at, [&](int i, int64_t offset) { load_raw(y + offset, value[i]); },
            [&](int i, int64_t) {
                for (int k = 0; k < W; k++) sums[0][k] += value[i][k];
            });
    write_tile_sums<W, 1>(tiles, sums, shared, partial);
}

__global__ void means_kernel(const float *partial, float *mean, map_tiles tiles)
{
    const int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x, channels = tiles.channels;
    if (i >= tiles.images * channels) return;
    double total = 0;
    for (int s = 0; s < tiles.spans; s++) total += (double)partial[(i / channels * tiles.spans + s) * channels + i % channels];
    mean[i] = (float)(total / tiles.positions);
}

int64_t sky_cuda_channel_mean_floats(const struct sky_cuda_map *shape) { return tile_sums(shape->images, shape->positions, shape->channels, 1); }

int sky_cuda_channel_mean(sky_stream stream, enum sky_dtype map, const struct sky_cuda_map *shape, const void *y, float *mean, float *scratch)
{
    return with_map(map, shape->channels, y, nullptr, nullptr, nullptr, [&](auto *t, auto width) {
        using T = element<decltype(t)>;
        constexpr int W = decltype(width)::value;
        const map_tiles tiles = tiles_of(shape->images, shape->positions, shape->channels, 1, W);
        SKY_LAUNCH((sums_kernel<T, W>), tile_grid(tiles, W), tile_block(tiles, W), tile_shared_bytes(W, 1), stream, (const T *)y, scratch, tiles);
        SKY_LAUNCH(means_kernel, (unsigned)div_up(shape->images * shape->channels, 128), 128, 0, stream, scratch, mean, tiles);
    });
}

/* ---- the two layers ---- */

/* A warp gives IMAGES dot products of row `row` of w [rows, length] with rows of x [images, length]; every lane gets all of them. */
__device__ inline void dot_rows(const float *w, const float *x, int64_t length, int count, float (&out)[IMAGES])
{
    const int lane = threadIdx.x % 32;
    for (int i = 0; i < IMAGES; i++) out[i] = 0;
    for (int64_t k = lane; k < length; k += 32) {
        const float weight = w[k];
        for (int i = 0; i < IMAGES; i++)
            if (i < count) out[i] = fmaf(weight, x[i * length + k], out[i]);
    }
    for (int i = 0; i < IMAGES; i++) out[i] = warp_sum(out[i]);
}

/* y [images, rows] = f(x [images, length] w^T + bias): f is ReLU or the logistic function. Warps along x take rows, blocks along y take IMAGES images. */
template <bool LOGISTIC>
__global__ void __launch_bounds__(THREADS) layer_kernel(const float *x, const float *w, const float *bias, float *y, int images, int length, int rows)
{
    const int row = (int)(blockIdx.x * (THREADS / 32) + threadIdx.x / 32), first = (int)blockIdx.y * IMAGES, count = min(IMAGES, images - first),
              lane = threadIdx.x % 32;
    if (row >= rows) return;
    float dots[IMAGES];
    dot_rows(w + (int64_t)row * length, x + (int64_t)first * length, length, count, dots);
    for (int i = 0; i < IMAGES; i++) {
        if (i >= count || lane != i) continue;
        const float sum = dots[i] + bias[row];
        y[(int64_t)(first + i) * rows + row] = LOGISTIC ? 1.0f / (1.0f + expf(-sum)) : relu(sum);
    }
}

int sky_cuda_se_gate(sky_stream stream, int64_t images, int64_t channels, int64_t reduced, const float *squeeze, const float *w1, const float *b1,
                     const float *w2, const float *b2, float *hidden, float *gate)
{
    const unsigned groups = (unsigned)div_up(images, IMAGES);
    SKY_LAUNCH(layer_kernel<false>, dim3((unsigned)div_up(reduced, THREADS / 32), groups), THREADS, 0, stream, squeeze, w1, b1, hidden, (int)images,
               (int)channels, (int)reduced);
    SKY_LAUNCH(layer_kernel<true>, dim3((unsigned)div_up(channels, THREADS / 32), groups), THREADS, 0, stream, hidden, w2, b2, gate, (int)images, (int)reduced,
               (int)channels);
    return (int)cudaGetLastError();
}

/* ---- their gradient ---- */

/* Of the gate's argument: da [N,C] = dgate gate (1 - gate), dgate = gamma sum_gz + beta sum_g. */
__global__ void gate_argument_kernel(const float *sum_g, const float *sum_gz, const float *gate, const float *gamma, const float *beta, float *da,
                                     int64_t count, int channels)
{
    const int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    const int c = (int)(i % channels);
    da[i] = fmaf(gamma[c], sum_gz[i], beta[c] * sum_g[i]) * gate[i] * (1.0f - gate[i]);
}

/*
 * y [images, columns] = mask of x [images, length] w [length, columns], where mask is [keep > 0] or nothing. A block gives 32 columns of one image; its rows
 * share out the length.
 */
__global__ void __launch_bounds__(MERGE_CHANNELS *MERGE_ROWS)
    transposed_layer_kernel(const float *x, const float *w, const float *keep, float *y, int length, int columns)
{
    SKY_DYNAMIC_SHARED(float, shared);
    const int column = (int)(blockIdx.x * MERGE_CHANNELS + threadIdx.x);
    const int64_t image = blockIdx.y;
    float sum = 0;
    for (int k = (int)threadIdx.y; column < columns && k < length; k += MERGE_ROWS) sum = fmaf(x[image * length + k], w[(int64_t)k * columns + column], sum);
    sum = merge_rows<float>(sum, shared);
    if (column >= columns || threadIdx.y != 0) return;
    y[image * columns + column] = keep && !(keep[image * columns + column] > 0) ? 0.0f : sum;
}

/* dw [rows, columns] = sum over images of a [N, rows] b [N, columns]; db [rows] = sum of a. */
__global__ void outer_kernel(const float *a, const float *b, float *dw, float *db, int images, int rows, int columns, bool accumulate)
{
    const int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= (int64_t)rows * columns) return;
    const int row = (int)(i / columns), column = (int)(i % columns);
    float product = 0, sum = 0;
    for (int n = 0; n < images; n++) {
        const float left = a[(int64_t)n * rows + row];
        product = fmaf(left, b[(int64_t)n * columns + column], product), sum += left;
    }
    if (dw) dw[i] = product + (accumulate ? dw[i] : 0.0f);
    if (db && column == 0) db[row] = sum + (accumulate ? db[row] : 0.0f);
}

int64_t sky_cuda_se_gate_grad_floats(int64_t images, int64_t channels, int64_t reduced) { return images * (channels + reduced); }

int sky_cuda_se_gate_grad(sky_stream stream, int64_t images, int64_t channels, int64_t reduced, const struct sky_cuda_se_gate_grad *p, bool accumulate,
                          float *scratch)
{
    float *da = scratch, *dh = scratch + images * channels; /* [N,C], [N,R] */
    const int64_t count = images * channels, weights = channels * reduced;
    const dim3 block(MERGE_CHANNELS, MERGE_ROWS);
    const size_t shared = MERGE_CHANNELS * MERGE_ROWS * sizeof(float);
    const unsigned blocks = (unsigned)div_up(weights, THREADS);
    SKY_LAUNCH(gate_argument_kernel, (unsigned)div_up(count, THREADS), THREADS, 0, stream, p->sum_g, p->sum_gz, p->gate, p->gamma, p->beta, da, count,
               (int)channels);
    SKY_LAUNCH(transposed_layer_kernel, dim3((unsigned)div_up(reduced, MERGE_CHANNELS), (unsigned)images), block, shared, stream, da, p->w2, p->hidden, dh,
               (int)channels, (int)reduced);
    SKY_LAUNCH(transposed_layer_kernel, dim3((unsigned)div_up(channels, MERGE_CHANNELS), (unsigned)images), block, shared, stream, dh, p->w1,
               (const float *)nullptr, p->dsqueeze, (int)reduced, (int)channels);
    SKY_LAUNCH(outer_kernel, blocks, THREADS, 0, stream, da, p->hidden, p->dw2, p->db2, (int)images, (int)channels, (int)reduced, accumulate);
    SKY_LAUNCH(outer_kernel, blocks, THREADS, 0, stream, dh, p->squeeze, p->dw1, p->db1, (int)images, (int)reduced, (int)channels, accumulate);
    return (int)cudaGetLastError();
}
