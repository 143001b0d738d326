/*
 * Pooling of all parts of a map (generalised mean, mean, maximum) in one read of it: rings are disjoint, so a part's sum is the sum of its rings' sums.
 * Exponents that differ by part take one power a part, and read the map again for every part that a position is in (from cache, mostly).
 *
 * Bytes an element of x: its own size, and 4 P / (H W) for y. A power is 2^(p log2 x) in f32, one log2 and one 2^x of the hardware (16 lanes a clock and
 * multiprocessor): about the time that reading 2-byte elements takes. An error of log2 x is not multiplied by p: the root divides it out again. Powers reach
 * from 1e-96 (1e-6 to the 16th): exponents up to NARROW fit float as they are. Above it a thread keeps each sum relative to a power near its largest, and
 * passes on the sum's logarithm.
 */
#include "part_walk.cuh"

using namespace sky;

enum pool_how { POOL_MEAN, POOL_CUBE /* p = 3, fixed */, POOL_POWER };

/* eps^6 > 2^-126, and x^6 < 2^127 for x up to two millions */
static constexpr float NARROW = 6, NOTHING = -3e38f /* log2 of an empty sum */, RANGE = 100 /* powers of 2 that a sum may lie above its reference */;

/* log2 of a sum whose terms are given as logarithms. */
struct log_sum {
    float largest, sum;
    __device__ log_sum() : largest(NOTHING), sum(0) {}
    __device__ void add(float term)
    {
        if (term > largest) sum = sum * exp2_approximate(largest - term) + 1, largest = term;
        else sum += exp2_approximate(term - largest);
    }
    __device__ float value() const { return largest + log2f(sum); }
};

/* Sum of a slice's powers: itself up to NARROW, its logarithm above. */
template <int S, class T>
__device__ static inline few<S> sum_wide(const T *x, int channels, const uint16_t *order, int first, int last, const part_block<S> &block, const float (&p)[S])
{
    few<S> sum = {};
    float reference[S]; /* the sum is in units of 2^reference */
    for (int i = 0; i < S; i++) reference[i] = NOTHING;
    walk_positions<S>(x, channels, order, first, last, block.slice, block.slices, [&](const few<S> &value, int) {
        float logarithm[S], over[S], most = 0;
        for (int i = 0; i < S; i++) {
            logarithm[i] = log2_approximate(clamp_low(value.value[i]));
            over[i] = fmaf(p[i], logarithm[i], -reference[i]);
            most = fmaxf(most, over[i]);
        }
        if (most > RANGE) /* seldom more than the first time */
            for (int i = 0; i < S; i++)
                if (over[i] > RANGE) {
                    sum.value[i] *= exp2_approximate(-over[i]);
                    reference[i] = p[i] * logarithm[i];
                    over[i] = fmaf(p[i], logarithm[i], -reference[i]);
                }
        for (int i = 0; i < S; i++) sum.value[i] += exp2_approximate(over[i]);
    });
    for (int i = 0; i < S; i++) {
        if (p[i] <= NARROW) sum.value[i] *= exp2f(reference[i]);
        else sum.value[i] = sum.value[i] == 0 ? NOTHING : reference[i] + log2_approximate(sum.value[i]);
    }
    return sum;
}

template <enum pool_how HOW, int S, class T>
__device__ static inline few<S> sum_stretch(const T *x, int channels, const uint16_t *order, int first, int last, const part_block<S> &block,
                                            const float (&p)[S])
{
    few<S> sum = {};
    float largest = p[0];
    for (int i = 1; i < S; i++) largest = fmaxf(largest, p[i]);
    if (HOW == POOL_POWER && largest > NARROW) return sum_wide<S>(x, channels, order, first, last, block, p);
    walk_positions<S>(x, channels, order, first, last, block.slice, block.slices, [&](const few<S> &value, int) {
        for (int i = 0; i < S; i++) {
            const float clamped = clamp_low(value.value[i]);
            sum.value[i] += HOW == POOL_MEAN   ? value.value[i]
                            : HOW == POOL_CUBE ? clamped * clamped * clamped
                                               : exp2_approximate(p[i] * log2_approximate(clamped));
        }
    });
    return sum;
}

/* A part's value from the sums (or their logarithms) of its stretches. */
template <enum pool_how HOW> __device__ static inline float finish(const float *sums, int count, int64_t stride, float holes, float denominator, float p)
{
    if (HOW == POOL_POWER && p > NARROW) {
        log_sum all;
        for (int k = 0; k < count; k++) all.add(sums[k * stride]);
        if (holes > 0) all.add(log2f(holes) + p * LOG2_GEM_EPSILON);
        return exp2f((all.value() - log2f(denominator)) / p);
    }
    float sum = HOW == POOL_MEAN ? 0 : HOW == POOL_CUBE ? holes * (GEM_EPSILON * GEM_EPSILON * GEM_EPSILON) : holes * exp2f(p * LOG2_GEM_EPSILON);
    for (int k = 0; k < count; k++) sum += sums[k * stride];
    return HOW == POOL_MEAN ? sum / denominator : HOW == POOL_CUBE ? cbrtf(sum / denominator) : exp2f(log2f(sum / denominator) / p);
}

template <class T, int S, enum pool_how HOW>
__global__ void __launch_bounds__(PART_LANES *PART_MOST_SLICES, 4)
    part_pool_kernel(const T *x /* [N,H,W,C] */, float *y /* [P,N,C] */, const part_map map, const part_exponents exponents)
{
    SKY_DYNAMIC_SHARED(float, partial); /* [stretches][slices][width], then the list; a stretch is a ring, or a part when exponents differ by part */
    const part_block<S> block;
    const bool by_part = HOW == POOL_POWER && exponents.kind == EXPONENT_PART;
    const int stretches = by_part ? map.table.part_count : map.table.ring_count, row = block.slices * block.width;
    uint16_t *order = reinterpret_cast<uint16_t *>(partial + stretches * row);
    list_positions(map, order);
    __syncthreads();
    const T *from = x + (int64_t)blockIdx.y * map.positions * map.channels + block.channel;
    for (int k = 0; k < stretches && block.channel < map.channels; k++) {
        const int first = by_part ? map.table.part[k].first : k, last = by_part ? map.table.part[k].last : k;
        float p[S] = {};
        for (int i = 0; HOW == POOL_POWER && i < S; i++) p[i] = exponents.of(k, block.channel + i);
        const few<S> sum = sum_stretch<HOW, S>(from, map.channels, order, ring_start(map, first), ring_start(map, last + 1), block, p);
        store_few<S>(partial + k * row + block.slice * block.width + block.lane * S, sum);
    }
    __syncthreads();
    for (int item = (int)threadIdx.x; item < stretches * block.width; item += (int)blockDim.x) {
        const int k = item / block.width, channel = block.first + item % block.width;
        if (channel >= map.channels) continue;
        float *own = partial + k * row + item % block.width;
        if (HOW == POOL_POWER && exponents.of(k, channel) > NARROW) {
            log_sum all;
            for (int s = 0; s < block.slices; s++) all.add(own[s * block.width]);
            own[0] = all.value();
        } else {
            float all = own[0];
            for (int s = 1; s < block.slices; s++) all += own[s * block.width];
            own[0] = all;
        }
    }
    __syncthreads();
    for (int item = (int)threadIdx.x; item < map.table.part_count * block.width; item += (int)blockDim.x) {
        const int part = item / block.width, channel = block.first + item % block.width;
        if (channel >= map.channels) continue;
        const int first = by_part ? part : map.table.part[part].first, last = by_part ? part : map.table.part[part].last;
        const float p = HOW == POOL_POWER ? exponents.of(part, channel) : 0;
        y[map.pooled(part, blockIdx.y, channel)] = finish<HOW>(partial + first * row + item % block.width, last - first + 1, row,
                                                               (float)map.table.part[part].holes, (float)map.table.part[part].denominator, p);
    }
}

/* The larger, of equals the one that comes first; place -1: nothing yet. */
__device__ static inline void take_larger(float *best, int *at, float value, int place)
{
    if (place >= 0 && (*at < 0 || value > *best || (value == *best && place < *at))) *best = value, *at = place;
}

template <class T, int S>
__global__ void __launch_bounds__(PART_LANES *PART_MOST_SLICES, 4)
    part_max_kernel(const T *x /* [N,H,W,C] */, float *y /* [P,N,C] */, int32_t *index /* [P,N,C] or null */, const part_map map)
{
    SKY_DYNAMIC_SHARED(float, values); /* [R][slices][width], places likewise, then the list */
    const part_block<S> block;
    const int rings = map.table.ring_count, row = block.slices * block.width;
    int32_t *places = reinterpret_cast<int32_t *>(values + rings * row);
    uint16_t *order = reinterpret_cast<uint16_t *>(places + rings * row);
    list_positions(map, order);
    __syncthreads();
    const T *from = x + (int64_t)blockIdx.y * map.positions * map.channels + block.channel;
    for (int r = 0; r < rings && block.channel < map.channels; r++) {
        few<S> best = {};
        int32_t at[S];
        for (int i = 0; i < S; i++) at[i] = -1;
        walk_positions<S>(from, map.channels, order, ring_start(map, r), ring_start(map, r + 1), block.slice, block.slices,
                          [&](const few<S> &value, int position) {
                              for (int i = 0; i < S; i++)
                                  if (at[i] < 0 || value.value[i] > best.value[i]) best.value[i] = value.value[i], at[i] = position;
                          });
        const int own = r * row + block.slice * block.width + block.lane * S;
        store_few<S>(values + own, best);
        store_integers<S>(places + own, at);
    }
    __syncthreads();
    for (int item = (int)threadIdx.x; item < map.table.part_count * block.width; item += (int)blockDim.x) {
        const int part = item / block.width, channel = block.first + item % block.width;
        if (channel >= map.channels) continue;
        float best = 0;
        int at = -1;
        for (int r = map.table.part[part].first; r <= map.table.part[part].last; r++)
            for (int s = 0; s < block.slices; s++) {
                const int own = r * row + s * block.width + item % block.width;
                take_larger(&best, &at, values[own], places[own]);
            }
        if (map.table.part[part].holes > 0 && best < 0) best = 0, at = -1;
        y[map.pooled(part, blockIdx.y, channel)] = best;
        if (index) index[map.pooled(part, blockIdx.y, channel)] = at;
    }
}

/* Calls kernel<T, few>(grid, threads, shared bytes) with `rows` rows of `bytes` in shared memory. */
template <int S, class K, class... A> static void launch(sky_stream stream, K kernel, const part_map &map, int64_t rows, int64_t bytes, const A &...arguments)
{
    const int64_t groups = div_up(map.channels, PART_LANES * S), item = PART_LANES * S * bytes;
    const int slices = part_slices(groups * map.images, rows, item, 32 << 10);
    const dim3 grid((unsigned)groups, (unsigned)map.images);
    SKY_LAUNCH(kernel, grid, (unsigned)(PART_LANES * slices), (size_t)(rows * slices * item) + (size_t)map.positions * 2, stream, arguments...);
}

template <enum pool_how HOW>
static int pool(sky_stream stream, enum sky_dtype type, const part_map &map, const part_exponents &exponents, const void *x, float *y)
{
    const int64_t rows = exponents.kind == EXPONENT_PART ? map.table.part_count : map.table.ring_count;
    return with_type(type, [&](auto *t) {
        using T = element<decltype(t)>;
        if (packs_fit<T>(0, x) && map.channels % PART_FEW == 0)
            launch<PART_FEW>(stream, part_pool_kernel<T, PART_FEW, HOW>, map, rows, 4, (const T *)x, y, map, exponents);
        else launch<1>(stream, part_pool_kernel<T, 1, HOW>, map, rows, 4, (const T *)x, y, map, exponents);
    });
}

int sky_cuda_part_mean(sky_stream stream, enum sky_dtype type, const struct sky_cuda_parts *parts, const void *x, float *y)
{
    return pool<POOL_MEAN>(stream, type, part_map_of(parts), {nullptr, EXPONENT_FIXED, 1}, x, y);
}

int sky_cuda_part_gem(sky_stream stream, enum sky_dtype type, const struct sky_cuda_parts *parts, const struct sky_cuda_exponents *by, const void *x, float *y)
{
    const part_exponents exponents = part_exponents_of(parts, by);
    if (exponents.kind == EXPONENT_FIXED && exponents.fixed == 3) return pool<POOL_CUBE>(stream, type, part_map_of(parts), exponents, x, y);
    return pool<POOL_POWER>(stream, type, part_map_of(parts), exponents, x, y);
}

int sky_cuda_part_max(sky_stream stream, enum sky_dtype type, const struct sky_cuda_parts *parts, const void *x, float *y, int32_t *index)
{
    const part_map map = part_map_of(parts);
    return with_type(type, [&](auto *t) {
        using T = element<decltype(t)>;
        if (packs_fit<T>(0, x) && map.channels % PART_FEW == 0)
            launch<PART_FEW>(stream, part_max_kernel<T, PART_FEW>, map, map.table.ring_count, 8, (const T *)x, y, index, map);
        else launch<1>(stream, part_max_kernel<T, 1>, map, map.table.ring_count, 8, (const T *)x, y, index, map);
    });
}
