/*
 * Batch norm over maps. Bytes of the map, element size e: statistics read it once (e), application reads and writes it (2e), the gradient reads dy and z twice
 * and writes dz (5e). Two launches for the statistics, one for the application, three for the gradient; what passes between them (sums a tile) is 1 to 3 % of
 * the map. Where a convolution has gathered the sums (BN_CONV, BN_CONV_DGRAD), statistics cost nothing and the gradient 3e.
 *
 * Over several ranks (ranks.cuh) statistics and gradient stop where this rank's sums are known, and go on from all ranks'.
 *
 * Our own statistics are means and centred squares everywhere: within a thread over up to 8 loaded values at a time, then merged exactly. Values are taken relative to
 * the map's first of their channel, so that a mean far from zero costs no digits.
 */
#include "kernels.h"
#include "map_tiles.cuh"
#include "ranks.cuh"

using namespace sky;

constexpr int BATCH = 8, UNROLL = 4;

/* ---- statistics ---- */

/* Merges `count` more values of a mean and centred squares into those so far. */
__device__ inline void merge_moments(float &mean, float &squares, float seen, float more_mean, float more_squares, float count)
{
    const float difference = more_mean - mean, share = count / (seen + count);
    mean += difference * share;
    squares += more_squares + difference * difference * seen * share;
}

template <class T, int W>
__global__ void __launch_bounds__(TILE_THREADS) moments_kernel(const T *z, float *partial /* [N,spans,2,C] mean, squares */, map_tiles tiles)
{
    SKY_DYNAMIC_SHARED(float, shared);
    const tile_thread<W> at(tiles);
    const int rows = (int)blockDim.y, columns = (int)blockDim.x * W;
    float mean[W] = {}, squares[W] = {};
    raw_values<T, W> shift;
    if (at.active) load_raw(z + at.channel, shift);
    int64_t offset = at.start;
    int seen = 0;
    for (int position = at.first; at.active && position < at.last; position += BATCH * rows, offset += BATCH * at.step) {
        const int count = min(BATCH, (at.last - position + rows - 1) / rows);
        raw_values<T, W> value[BATCH];
        for (int i = 0; i < BATCH; i++) load_raw(z + (i < count ? offset + i * at.step : offset), value[i]);
        for (int k = 0; k < W; k++) {
            const float center = shift[k];
            float sum = 0, spread = 0;
            for (int i = 0; i < BATCH; i++) sum += i < count ? value[i][k] - center : 0.0f;
            const float own = sum / (float)count;
            for (int i = 0; i < BATCH; i++) {
                const float off = value[i][k] - center - own;
                spread += i < count ? off * off : 0.0f;
            }
            merge_moments(mean[k], squares[k], (float)seen, own, spread, (float)count);
        }
        seen += count;
    }
    for (int k = 0; k < W; k++) {
        shared[(2 * threadIdx.y) * columns + threadIdx.x * W + k] = mean[k];
        shared[(2 * threadIdx.y + 1) * columns + threadIdx.x * W + k] = squares[k];
    }
    __syncthreads();
    float *out = partial + ((int64_t)blockIdx.z * tiles.spans + blockIdx.y) * 2 * tiles.channels + (int64_t)blockIdx.x * columns;
    const int begin = (int)blockIdx.y * tiles.span;
    for (int column = (int)(threadIdx.y * blockDim.x + threadIdx.x); column < columns; column += TILE_THREADS) {
        if ((int)blockIdx.x * columns + column >= tiles.channels) continue;
        float total = 0, spread = 0, count = 0;
        for (int r = 0; r < rows; r++) {
            const int more = at.last - begin - r > 0 ? (at.last - begin - r + rows - 1) / rows : 0; /* positions that row r had */
            if (more == 0) continue;
            merge_moments(total, spread, count, shared[2 * r * columns + column], shared[(2 * r + 1) * columns + column], (float)more);
            count += (float)more;
        }
        out[column] = total;
        out[tiles.channels + column] = spread;
    }
}

struct running_update {
    float *mean, *var; /* [C] */
    double momentum, epsilon;
    bool wanted;
};

/* Statistic `row` of [G,C], of channel c, over `positions` values. */
__device__ inline void write_statistic(int64_t row, int64_t c, double center, double squares, double positions, float *mean, float *invstd,
                                       const running_update &running)
{
    mean[row] = (float)center;
    invstd[row] = (float)(1 / sqrt(squares / positions + running.epsilon));
    if (!running.wanted) return;
    running.mean[c] = (float)((1 - running.momentum) * (double)running.mean[c] + running.momentum * center);
    running.var[c] = (float)((1 - running.momentum) * (double)running.var[c] + running.momentum * squares / (positions - 1));
}

/* A block merges MERGE_CHANNELS channels of every group; its rows share out the images. Means are relative to z's first position until they are written. */
template <class T>
__global__ void __launch_bounds__(MERGE_CHANNELS *MERGE_ROWS)
    merge_moments_kernel(const T *z, const float *partial, float *image_mean /* [N,C] */, float *mean /* [G,C] */, float *invstd, running_update running,
                         sky_cuda_share share, map_tiles tiles)
{
    SKY_DYNAMIC_SHARED(double, shared);
    const int c = (int)(blockIdx.x * MERGE_CHANNELS + threadIdx.x), channels = tiles.channels;
    const bool active = c < channels;
    const double shift = active ? (double)to_float(z[c]) : 0;
    for (int group = 0; group < tiles.images / tiles.group_images; group++) {
        double own_mean = 0, own_squares = 0;
        int count = 0;
        for (int m = (int)threadIdx.y; active && m < tiles.group_images; m += MERGE_ROWS) {
            const int64_t image = (int64_t)group * tiles.group_images + m;
            const float *row = partial + image * tiles.spans * 2 * channels + c;
            double sum = 0, squares = 0;
            for (int s = 0; s < tiles.spans; s++) sum += (double)row[(int64_t)s * 2 * channels] * min(tiles.span, tiles.positions - s * tiles.span);
            const double center = sum / tiles.positions;
            for (int s = 0; s < tiles.spans; s++) {
                const double off = (double)row[(int64_t)s * 2 * channels] - center;
                squares += (double)row[((int64_t)s * 2 + 1) * channels] + off * off * min(tiles.span, tiles.positions - s * tiles.span);
            }
            image_mean[image * channels + c] = (float)(shift + center);
            const double difference = center - own_mean;
            count++;
            own_mean += difference / count;
            own_squares += squares + difference * difference * tiles.positions * (count - 1) / count;
        }
        const double center = merge_rows<double>(own_mean * count, shared) / tiles.group_images, off = own_mean - center;
        const double squares = merge_rows<double>(own_squares + off * off * count * tiles.positions, shared),
                     positions = (double)tiles.positions * tiles.group_images;
        if (!active || threadIdx.y != 0) continue;
        if (share.mine) say(share, group, channels, c, shift + center, squares);
        else write_statistic((int64_t)group * channels + c, c, shift + center, squares, positions, mean, invstd, running);
    }
}

/* One thread a channel, its groups in order: the running statistics take one after the other. `positions` are one rank's. */
__global__ void moments_of_ranks_kernel(sky_cuda_share share, float *mean /* [G,C] */, float *invstd, running_update running, int groups, int64_t channels,
                                        double positions)
{
    const int64_t c = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (c >= channels) return;
    for (int group = 0; group < groups; group++) {
        double center, squares;
        merge_ranks(share, groups, group, channels, c, positions, center, squares);
        write_statistic(group * channels + c, c, center, squares, positions * share.ranks, mean, invstd, running);
    }
}

int64_t sky_cuda_bn_stats_floats(int64_t images, int64_t positions, int64_t channels) { return tile_sums(images, positions, channels, 2); }

int sky_cuda_bn_stats(sky_stream stream, enum sky_dtype map, const struct sky_cuda_map *shape, const void *z, float *image_mean, float *mean, float *invstd,
                      float *running_mean, float *running_var, double momentum, double epsilon, bool update, const struct sky_cuda_share *share,
                      float *scratch)
{
    const running_update running = {running_mean, running_var, momentum, epsilon, update};
    if (share->all) {
        SKY_LAUNCH(moments_of_ranks_kernel, (unsigned)div_up(shape->channels, 64), 64, 0, stream, *share, mean, invstd, running, shape->groups,
                   shape->channels, (double)(shape->images / shape->groups * shape->positions));
        return (int)cudaGetLastError();
    }
    return with_map(map, shape->channels, z, nullptr, nullptr, nullptr, [&](auto *t, auto width) {
        using T = element<decltype(t)>;
        constexpr int W = decltype(width)::value;
        const map_tiles tiles = tiles_of(shape->images, shape->positions, shape->channels, shape->groups, W);
        SKY_LAUNCH((moments_kernel<T, W>), tile_grid(tiles, W), tile_block(tiles, W), tile_shared_bytes(W, 2), stream, (const T *)z, scratch, tiles);
        SKY_LAUNCH(merge_moments_kernel<T>, (unsigned)div_up(tiles.channels, MERGE_CHANNELS), dim3(MERGE_CHANNELS, MERGE_ROWS),
                   MERGE_CHANNELS * MERGE_ROWS * sizeof(double), stream, (const T *)z, scratch, image_mean, mean, invstd, running, *share, tiles);
    });
}

/* ---- application ---- */

template <class T, int W> __global__ void __launch_bounds__(TILE_THREADS) apply_kernel(const T *z, T *y, norm_parameters norm, bool rectify, map_tiles tiles)
{
    const tile_thread<W> at(tiles);
    if (!at.active) return;
    const channel_norm<W> bn(norm, at.group, at.channel, tiles.channels);
    raw_values<T, W> value[UNROLL];
    visit<UNROLL>(
        at, [&](int i, int64_t offset) { load_raw(z + offset, value[i]); },
        [&](int i, int64_t offset) {
            float result[W];
            for (int k = 0; k < W; k++) {
                const float normed = bn.apply(k, value[i][k]);
                result[k] = rectify ? relu(normed) : normed;
            }
            store_values<T, W>(y + offset, result);
        });
}

int sky_cuda_bn_apply(sky_stream stream, enum sky_dtype map, const struct sky_cuda_map *shape, const void *z, const struct sky_cuda_norm *norm, bool rectify,
                      void *y)
{
    return with_map(map, shape->channels, z, y, nullptr, nullptr, [&](auto *t, auto width) {
        using T = element<decltype(t)>;
        constexpr int W = decltype(width)::value;
        const map_tiles tiles = tiles_of(shape->images, shape->positions, shape->channels, shape->groups, W);
        SKY_LAUNCH((apply_kernel<T, W>), tile_grid(tiles, W), tile_block(tiles, W), 0, stream, (const T *)z, (T *)y, *norm, rectify, tiles);
    });
}

/* ---- gradient ---- */

template <class T, int W>
__global__ void __launch_bounds__(TILE_THREADS)
    grad_sums_kernel(const T *dy, const T *z, norm_parameters norm, bool rectify, float *partial /* [N,spans,2,C] sums of g and of g zhat */, map_tiles tiles)
{
    SKY_DYNAMIC_SHARED(float, shared);
    const tile_thread<W> at(tiles);
    float sums[2][W] = {};
    if (at.active) {
        const channel_norm<W> bn(norm, at.group, at.channel, tiles.channels);
        raw_values<T, W> gradient[UNROLL], value[UNROLL];
        visit<UNROLL>(
            at, [&](int i, int64_t offset) { load_raw(dy + offset, gradient[i]), load_raw(z + offset, value[i]); },
            [&](int i, int64_t) {
                for (int k = 0; k < W; k++) {
                    const float g = rectify && !(bn.apply(k, value[i][k]) > 0) ? 0.0f : gradient[i][k];
                    sums[0][k] += g, sums[1][k] += g * bn.centred(k, value[i][k]);
                }
            });
        for (int k = 0; k < W; k++) sums[1][k] *= bn.invstd[k];
    }
    write_tile_sums<W, 2>(tiles, sums, shared, partial);
}

/* Totals a group, and over the groups the gradients of beta and gamma. */
__global__ void __launch_bounds__(MERGE_CHANNELS *MERGE_ROWS)
    grad_totals_kernel(const float *partial, float *totals /* [2,G,C] */, float *dgamma, float *dbeta, bool accumulate, sky_cuda_share share,
                       map_tiles tiles)
{
    SKY_DYNAMIC_SHARED(double, shared);
    const int c = (int)(blockIdx.x * MERGE_CHANNELS + threadIdx.x), groups = tiles.images / tiles.group_images;
    const int64_t channels = tiles.channels, rows = (int64_t)tiles.group_images * tiles.spans;
    const bool active = c < tiles.channels;
    double all[2] = {0, 0};
    for (int group = 0; group < groups; group++) {
        double own[2] = {0, 0};
        for (int64_t r = threadIdx.y; active && r < rows; r += MERGE_ROWS) {
            const float *row = partial + ((group * rows + r) * 2) * channels + c;
            own[0] += (double)row[0], own[1] += (double)row[channels];
        }
        for (int k = 0; k < 2; k++) {
            own[k] = merge_rows<double>(own[k], shared);
            all[k] += own[k];
            if (active && threadIdx.y == 0 && !share.mine) totals[((int64_t)k * groups + group) * channels + c] = (float)own[k];
        }
        if (active && threadIdx.y == 0 && share.mine) say(share, group, channels, c, own[0], own[1]);
    }
    if (!active || threadIdx.y != 0) return;
    if (dbeta) dbeta[c] = (float)(all[0] + (accumulate ? (double)dbeta[c] : 0));
    if (dgamma) dgamma[c] = (float)(all[1] + (accumulate ? (double)dgamma[c] : 0));
}

/* One thread a group and channel. */
__global__ void totals_of_ranks_kernel(sky_cuda_share share, float *totals /* [2,G,C] */, int groups, int64_t channels)
{
    const int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x, all = groups * channels;
    double sum[2];
    if (i >= all) return;
    add_ranks(share, groups, i / channels, channels, i % channels, sum);
    totals[i] = (float)sum[0], totals[all + i] = (float)sum[1];
}

void sky::totals_of_ranks(sky_stream stream, const sky_cuda_share &share, float *totals, int groups, int64_t channels)
{
    SKY_LAUNCH(totals_of_ranks_kernel, (unsigned)div_up(groups * channels, 128), 128, 0, stream, share, totals, groups, channels);
}

/* dz may be dy's memory: each element is read before it is written, by the same thread. The sums are over so many ranks. */
template <class T, int W>
__global__ void __launch_bounds__(TILE_THREADS)
    grad_apply_kernel(const T *dy, const T *z, norm_parameters norm, bool rectify, const float *sum_g /* [G,C] */, const float *sum_gz, int ranks, T *dz,
                      map_tiles tiles)
{
    const tile_thread<W> at(tiles);
    if (!at.active) return;
    const channel_norm<W> bn(norm, at.group, at.channel, tiles.channels);
    const float share = 1.0f / ((float)tiles.positions * (float)tiles.group_images * (float)ranks);
    float level[W], slope[W];
    raw_values<T, W> gradient[UNROLL], value[UNROLL];
    load_parameters<W>(sum_g + (int64_t)at.group * tiles.channels + at.channel, level);
    load_parameters<W>(sum_gz + (int64_t)at.group * tiles.channels + at.channel, slope);
    for (int k = 0; k < W; k++) level[k] *= share, slope[k] *= share * bn.invstd[k];
    visit<UNROLL>(
        at, [&](int i, int64_t offset) { load_raw(dy + offset, gradient[i]), load_raw(z + offset, value[i]); },
        [&](int i, int64_t offset) {
            float result[W];
            for (int k = 0; k < W; k++) {
                const float g = rectify && !(bn.apply(k, value[i][k]) > 0) ? 0.0f : gradient[i][k];
                result[k] = bn.scale[k] * (g - level[k] - bn.centred(k, value[i][k]) * slope[k]);
            }
            store_values<T, W>(dz + offset, result);
        });
}

int64_t sky_cuda_bn_grad_floats(const struct sky_cuda_map *shape)
{
    return tile_sums(shape->images, shape->positions, shape->channels, 2) + 2 * (int64_t)shape->groups * shape->channels;
}

int sky_cuda_bn_grad(sky_stream stream, enum sky_dtype map, const struct sky_cuda_map *shape, const void *dy, const void *z, const struct sky_cuda_norm *norm,
                     bool rectify, void *dz, float *dgamma, float *dbeta, bool accumulate, const struct sky_cuda_share *share, float *scratch)
{
    float *totals = scratch + tile_sums(shape->images, shape->positions, shape->channels, 2);
    return with_map(map, shape->channels, dy, z, dz, nullptr, [&](auto *t, auto width) {
        using T = element<decltype(t)>;
        constexpr int W = decltype(width)::value;
        const map_tiles tiles = tiles_of(shape->images, shape->positions, shape->channels, shape->groups, W);
        if (share->all) totals_of_ranks(stream, *share, totals, shape->groups, shape->channels);
        else {
            SKY_LAUNCH((grad_sums_kernel<T, W>), tile_grid(tiles, W), tile_block(tiles, W), tile_shared_bytes(W, 2), stream, (const T *)dy, (const T *)z,
                       *norm, rectify, scratch, tiles);
            SKY_LAUNCH(grad_totals_kernel, (unsigned)div_up(tiles.channels, MERGE_CHANNELS), dim3(MERGE_CHANNELS, MERGE_ROWS),
                       MERGE_CHANNELS * MERGE_ROWS * sizeof(double), stream, scratch, totals, dgamma, dbeta, accumulate, *share, tiles);
        }
        if (dz && !share->mine)
            SKY_LAUNCH((grad_apply_kernel<T, W>), tile_grid(tiles, W), tile_block(tiles, W), 0, stream, (const T *)dy, (const T *)z, *norm, rectify, totals,
                       totals + shape->groups * shape->channels, share->ranks, (T *)dz, tiles);
    });
}

/* ---- with the sums that a convolution gathered on its way ---- */

/* One thread a channel, the groups in order. The difference of squares is taken in double: it is as good as the sums are. */
template <class T>
__global__ void from_sums_kernel(const float *sum /* [G,C] */, const float *square_sum, const float *gamma, const float *beta, double positions, float *mean,
                                 float *invstd, T *scale, T *shift, running_update running, int groups, int64_t channels)
{
    const int64_t c = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (c >= channels) return;
    for (int group = 0; group < groups; group++) {
        const int64_t row = group * channels + c;
        const double center = (double)sum[row] / positions, spread = (double)square_sum[row] - (double)sum[row] * center;
        const double squares = spread < 0 ? 0 : spread, slope = 1 / sqrt(squares / positions + running.epsilon);
        write_statistic(row, c, center, squares, positions, mean, invstd, running);
        if (!scale) continue;
        scale[row] = from_float<T>((float)((double)gamma[c] * slope));
        shift[row] = from_float<T>((float)((double)beta[c] - center * (double)to_float(scale[row])));
    }
}

int sky_cuda_bn_from_sums(sky_stream stream, enum sky_dtype map, int groups, int64_t channels, int64_t positions, const float *sum, const float *square_sum,
                          const float *gamma, const float *beta, float *running_mean, float *running_var, double momentum, double epsilon, bool update,
                          float *mean, float *invstd, void *scale, void *shift)
{
    const running_update running = {running_mean, running_var, momentum, epsilon, update};
    return with_type(map, [&](auto *t) {
        using T = element<decltype(t)>;
        SKY_LAUNCH(from_sums_kernel<T>, (unsigned)div_up(channels, 64), 64, 0, stream, sum, square_sum, gamma, beta, (double)positions, mean, invstd,
                   (T *)scale, (T *)shift, running, groups, channels);
    });
}

__global__ void add_groups_kernel(const float *sum_g /* [G,C] */, const float *sum_gz, float *dgamma, float *dbeta, bool accumulate, int groups, int64_t channels)
{
    const int64_t c = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (c >= channels) return;
    double total = 0, total_z = 0;
    for (int group = 0; group < groups; group++) total += (double)sum_g[group * channels + c], total_z += (double)sum_gz[group * channels + c];
    if (dbeta) dbeta[c] = (float)(total + (accumulate ? (double)dbeta[c] : 0));
    if (dgamma) dgamma[c] = (float)(total_z + (accumulate ? (double)dgamma[c] : 0));
}

int sky_cuda_bn_grad_from_sums(sky_stream stream, enum sky_dtype map, const struct sky_cuda_map *shape, const void *g, const void *z, const float *mean,
                               const float *invstd, const float *gamma, const float *sum_g, const float *sum_gz, void *dz, float *dgamma, float *dbeta,
                               bool accumulate)
{
    const norm_parameters norm = {mean, invstd, gamma, gamma}; /* g is masked already: beta says nothing more, and is not used */
    return with_map(map, shape->channels, g, z, dz, nullptr, [&](auto *t, auto width) {
        using T = element<decltype(t)>;
        constexpr int W = decltype(width)::value;
        const map_tiles tiles = tiles_of(shape->images, shape->positions, shape->channels, shape->groups, W);
        SKY_LAUNCH(add_groups_kernel, (unsigned)div_up(shape->channels, 64), 64, 0, stream, sum_g, sum_gz, dgamma, dbeta, accumulate, shape->groups,
                   shape->channels);
        if (dz)
            SKY_LAUNCH((grad_apply_kernel<T, W>), tile_grid(tiles, W), tile_block(tiles, W), 0, stream, (const T *)g, (const T *)z, norm, false, sum_g, sum_gz, 1,
                       (T *)dz, tiles);
    });
}

/* ---- folding into filters, for inference ---- */

template <class T>
__global__ void fold_kernel(const float *w, const float *gamma, const float *beta, const float *mean, const float *var, double epsilon, int64_t taps, T *folded,
                            float *bias)
{
    const int64_t k = blockIdx.x;
    const double factor = (double)gamma[k] / sqrt((double)var[k] + epsilon);
    for (int64_t i = threadIdx.x; i < taps; i += blockDim.x) folded[k * taps + i] = from_float<T>((float)((double)w[k * taps + i] * factor));
    if (threadIdx.x == 0) bias[k] = (float)((double)beta[k] - (double)mean[k] * factor);
}

int sky_cuda_bn_fold(sky_stream stream, enum sky_dtype map, int64_t filters, int64_t taps, const float *w, const float *gamma, const float *beta,
                     const float *mean, const float *var, double epsilon, void *folded, float *bias)
{
    return with_type(map, [&](auto *t) {
        using T = element<decltype(t)>;
        SKY_LAUNCH(fold_kernel<T>, (unsigned)filters, 128, 0, stream, w, gamma, beta, mean, var, epsilon, taps, (T *)folded, bias);
    });
}
