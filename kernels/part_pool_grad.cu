/*
 * Gradients of part pooling. Generalised mean: one pass reads x, writes dx and gathers what dp needs; mean and maximum: one pass that writes dx and does not
 * read x.
 *
 * dx = sum over parts k with the position's ring of dy_k / denominator_k (x / y_k)^(p-1). With one exponent for all parts that is c (x / r)^(p-1) in each ring,
 * r the smallest y_k, so one power a position; quotients keep every power near 1, where float has both range and accuracy. With q = x / r and l = log2(r /
 * y_k), the exponent's gradient is, since the mean of (x / y)^p is 1,   dp = ln 2 / p  sum_k dy_k y_k mean_k((x / y_k)^p log2(x / y_k)) = ln 2 / p
 * sum_positions x q^(p-1) (c log2 q + d), d = sum_k dy_k / denominator_k (r / y_k)^(p-1) l_k: of the same power, so the map is read once for dx and dp. Holes
 * add their own terms, without a position. Bytes an element: x and dx. dp's sums go through scratch, one float an image and channel (or block), and are added
 * up in order by a small kernel.
 */
#include "part_walk.cuh"

using namespace sky;

enum grad_how { GRAD_CUBE /* p = 3, fixed */, GRAD_FIXED, GRAD_SHARED /* learned, one exponent for all parts */, GRAD_BY_PART };

static constexpr float LN_2 = 0.69314718055994531f;

struct pooled_gradient {
    const float *dy, *y; /* [P,N,C] */
};

/* Shared memory: coefficients [3][terms][width]: c, 1/r, d; sums of dp [rows][slices][width]; the list. A term is a ring's, or a part's when exponents differ
 * by part. */
template <int S> struct grad_shared {
    float *c, *inverse, *d, *sums;
    uint16_t *order;
    __device__ grad_shared(float *memory, int terms, int rows, int slices)
    {
        constexpr int width = part_block<S>::width;
        c = memory, inverse = c + terms * width, d = inverse + terms * width, sums = d + terms * width;
        order = reinterpret_cast<uint16_t *>(sums + rows * slices * width);
    }
};

/* c, 1/r and d of one ring and channel. */
__device__ static inline void ring_terms(const part_map &map, const pooled_gradient &from, int ring, int channel, float p, float *c, float *inverse, float *d)
{
    float smallest = 3e38f;
    for (int k = 0; k < map.table.part_count; k++)
        if (ring >= map.table.part[k].first && ring <= map.table.part[k].last) smallest = fminf(smallest, from.y[map.pooled(k, blockIdx.y, channel)]);
    *c = 0, *d = 0;
    *inverse = smallest < 1e30f ? 1 / smallest : GEM_EPSILON; /* in no part: 0 times a power that is in range */
    for (int k = 0; k < map.table.part_count; k++) {
        if (ring < map.table.part[k].first || ring > map.table.part[k].last) continue;
        const int64_t at = map.pooled(k, blockIdx.y, channel);
        const float l = log2f(smallest / from.y[at]), share = from.dy[at] / (float)map.table.part[k].denominator * exp2f((p - 1) * l);
        *c += share;
        *d += share * l;
    }
}

/* What the zeros of a part's holes add to dp, in units of ln 2 / p. */
__device__ static inline float hole_term(const part_map &map, const pooled_gradient &from, int part, int channel, float p)
{
    if (map.table.part[part].holes == 0) return 0;
    const int64_t at = map.pooled(part, blockIdx.y, channel);
    const float l = log2f(GEM_EPSILON / from.y[at]);
    return from.dy[at] * from.y[at] * ((float)map.table.part[part].holes / (float)map.table.part[part].denominator) * exp2f(p * l) * l;
}

/* One term of a few positions: dx += c q^(p-1) where x > eps; adds x q^(p-1) (c log2 q + d) to `sums`. */
template <int S, enum grad_how HOW>
__device__ static inline void add_term(const few<S> (&x)[PART_IN_FLIGHT], int count, const grad_shared<S> &shared, int at, const float (&less)[S], float *sums,
                                       few<S> (&dx)[PART_IN_FLIGHT])
{
    constexpr bool cube = HOW == GRAD_CUBE, learned = HOW == GRAD_SHARED || HOW == GRAD_BY_PART;
    const few<S> c = load_few<S>(shared.c + at), inverse = load_few<S>(shared.inverse + at), d = load_few<S>(shared.d + at);
    few<S> sum = {};
    for (int k = 0; k < PART_IN_FLIGHT; k++)
        for (int i = 0; i < S; i++) {
            const float clamped = clamp_low(x[k].value[i]), q = clamped * inverse.value[i], logarithm = cube ? 0 : log2_approximate(q);
            const float power = cube ? q * q : exp2_approximate(less[i] * logarithm);
            dx[k].value[i] += x[k].value[i] > GEM_EPSILON ? c.value[i] * power : 0.0f;
            if (learned) sum.value[i] += k < count ? clamped * power * (c.value[i] * logarithm + d.value[i]) : 0.0f;
        }
    if (!learned) return;
    few<S> total = load_few<S>(sums);
    for (int i = 0; i < S; i++) total.value[i] += sum.value[i];
    store_few<S>(sums, total);
}

/* A block's sums of dp, merged over slices, holes added: to scratch [N,C] by channel, else summed over the block's channels to [rows,N,groups]. */
template <int S>
__device__ static inline void give_exponents(const part_map &map, const part_exponents &exponents, const pooled_gradient &from, const part_block<S> &block,
                                             int rows, float *sums, float *scratch)
{
    const bool by_part = exponents.kind == EXPONENT_PART;
    for (int item = (int)threadIdx.x; item < rows * block.width; item += (int)blockDim.x) {
        const int row = item / block.width, channel = block.first + item % block.width;
        float *own = sums + row * block.slices * block.width + item % block.width, total = 0;
        if (channel < map.channels) {
            const float p = exponents.of(row, channel);
            for (int s = 0; s < block.slices; s++) total += own[s * block.width];
            for (int k = by_part ? row : 0; k < (by_part ? row + 1 : map.table.part_count); k++) total += hole_term(map, from, k, channel, p);
            total *= LN_2 / p;
            if (exponents.kind == EXPONENT_CHANNEL) scratch[(int64_t)blockIdx.y * map.channels + channel] = total;
        }
        own[0] = total;
    }
    if (exponents.kind == EXPONENT_CHANNEL) return;
    __syncthreads();
    for (int row = (int)threadIdx.x / 32; row < rows; row += (int)blockDim.x / 32) {
        double total = 0;
        for (int i = (int)threadIdx.x % 32; i < block.width; i += 32) total += (double)sums[row * block.slices * block.width + i];
        total = warp_sum(total);
        if (threadIdx.x % 32 == 0) scratch[(row * map.images + blockIdx.y) * gridDim.x + blockIdx.x] = (float)total;
    }
}

template <class T, int S, enum grad_how HOW>
__global__ void __launch_bounds__(PART_LANES *PART_MOST_SLICES, 3)
    part_gem_grad_kernel(const pooled_gradient from, const T *x, T *dx /* [N,H,W,C] both; dx may be null */, float *scratch /* or null: no dp */,
                         const part_map map, const part_exponents exponents)
{
    SKY_DYNAMIC_SHARED(float, memory);
    const part_block<S> block;
    constexpr bool by_part = HOW == GRAD_BY_PART;
    const int terms = by_part ? map.table.part_count : map.table.ring_count, rows = by_part ? map.table.part_count : HOW == GRAD_SHARED ? 1 : 0;
    const grad_shared<S> shared(memory, terms, rows, block.slices);
    list_positions(map, shared.order);
    for (int item = (int)threadIdx.x; item < terms * block.width; item += (int)blockDim.x) {
        const int term = item / block.width, channel = block.first + item % block.width;
        if (channel >= map.channels) continue;
        if (by_part) {
            const int64_t at = map.pooled(term, blockIdx.y, channel);
            shared.c[item] = from.dy[at] / (float)map.table.part[term].denominator, shared.inverse[item] = 1 / from.y[at], shared.d[item] = 0;
        } else {
            ring_terms(map, from, term, channel, exponents.of(0, channel), shared.c + item, shared.inverse + item, shared.d + item);
        }
    }
    for (int item = (int)threadIdx.x; item < rows * block.slices * block.width; item += (int)blockDim.x) shared.sums[item] = 0;
    __syncthreads();
    const int64_t image = (int64_t)blockIdx.y * map.positions * map.channels + block.channel;
    float less[S] = {};
    for (int i = 0; i < S && !by_part && block.channel < map.channels; i++) less[i] = exponents.of(0, block.channel + i) - 1;
    for (int r = 0; r < map.table.ring_count && block.channel < map.channels; r++) {
        const int last = ring_start(map, r + 1);
        for (int at = ring_start(map, r) + block.slice; at < last; at += block.slices * PART_IN_FLIGHT) {
            const int count = min((last - at + block.slices - 1) / block.slices, (int)PART_IN_FLIGHT);
            raw_few<T, S> raw[PART_IN_FLIGHT];
            few<S> value[PART_IN_FLIGHT], made[PART_IN_FLIGHT] = {};
            for (int k = 0; k < PART_IN_FLIGHT; k++) raw[k] = load_raw<S>(x + image + shared.order[min(at + k * block.slices, last - 1)] * map.channels);
            for (int k = 0; k < PART_IN_FLIGHT; k++) value[k] = to_few<T, S>(raw[k]);
            for (int term = by_part ? 0 : r; term < (by_part ? terms : r + 1); term++) {
                if (by_part && (r < map.table.part[term].first || r > map.table.part[term].last)) continue;
                for (int i = 0; i < S && by_part; i++) less[i] = exponents.of(term, 0) - 1;
                float *sums = shared.sums + ((by_part ? term : 0) * block.slices + block.slice) * block.width + block.lane * S;
                add_term<S, HOW>(value, count, shared, term * block.width + block.lane * S, less, sums, made);
            }
            for (int k = 0; k < PART_IN_FLIGHT; k++)
                if (dx && k < count) store_few<S>(dx + image + shared.order[at + k * block.slices] * map.channels, made[k]);
        }
    }
    if (!scratch) return;
    __syncthreads();
    give_exponents<S>(map, exponents, from, block, rows, shared.sums, scratch);
}

enum { SPREAD_THREADS = 256, SPREAD_POSITIONS = 8 };

/* Mean and maximum: one thread a few channels of SPREAD_POSITIONS positions. */
template <class T, int S, bool MAX>
__global__ void __launch_bounds__(SPREAD_THREADS)
    part_spread_kernel(const float *dy, const int32_t *index /* [P,N,C] */, T *dx /* [N,H,W,C] */, const part_map map)
{
    const int groups = map.channels / S, item = (int)(blockIdx.x * SPREAD_THREADS + threadIdx.x), first = item / groups * SPREAD_POSITIONS,
              c = item % groups * S;
    few<S> made = {};
    int previous = -1; /* the ring that `made` is of */
    for (int at = first; at < min(first + SPREAD_POSITIONS, map.positions); at++) {
        const int ring = ring_of(map, at / map.width, at % map.width);
        if (MAX || ring != previous) {
            made = {};
            for (int k = 0; k < map.table.part_count; k++) {
                if (ring < map.table.part[k].first || ring > map.table.part[k].last) continue;
                const few<S> gradient = load_few<S>(dy + map.pooled(k, blockIdx.y, c));
                int32_t from[S] = {};
                if (MAX) load_integers<S>(index + map.pooled(k, blockIdx.y, c), from);
                for (int i = 0; i < S; i++)
                    made.value[i] += !MAX ? gradient.value[i] / (float)map.table.part[k].denominator : from[i] == at ? gradient.value[i] : 0.0f;
            }
        }
        previous = ring;
        store_few<S>(dx + ((int64_t)blockIdx.y * map.positions + at) * map.channels + c, made);
    }
}

enum { SUM_THREADS = 256 };

/* One block a target. */
__global__ void __launch_bounds__(SUM_THREADS) sum_exponents_kernel(const float *scratch /* [targets,count] */, float *dp, int64_t count, bool accumulate)
{
    SKY_DYNAMIC_SHARED(double, lanes);
    double total = 0;
    for (int64_t i = threadIdx.x; i < count; i += SUM_THREADS) total += (double)scratch[blockIdx.x * count + i];
    total = block_sum(total, lanes);
    if (threadIdx.x == 0) dp[blockIdx.x] = (float)(total + (accumulate ? (double)dp[blockIdx.x] : 0));
}

template <class T, int S, enum grad_how HOW>
static void launch_gem(sky_stream stream, const part_map &map, const part_exponents &exponents, const pooled_gradient &from, const void *x, void *dx,
                       float *scratch)
{
    const int64_t groups = div_up(map.channels, PART_LANES * S), item = PART_LANES * S * 4,
                  terms = HOW == GRAD_BY_PART ? map.table.part_count : map.table.ring_count;
    const int64_t rows = HOW == GRAD_BY_PART ? terms : HOW == GRAD_SHARED ? 1 : 0;
    const int slices = part_slices(groups * map.images, rows, item, 16 << 10);
    const dim3 grid((unsigned)groups, (unsigned)map.images);
    SKY_LAUNCH((part_gem_grad_kernel<T, S, HOW>), grid, (unsigned)(PART_LANES * slices),
               (size_t)((3 * terms + rows * slices) * item) + (size_t)map.positions * 2, stream, from, (const T *)x, (T *)dx, scratch, map, exponents);
}

template <class T, int S>
static void launch_gem(sky_stream stream, const part_map &map, const part_exponents &exponents, const pooled_gradient &from, const void *x, void *dx,
                       float *scratch)
{
    if (exponents.kind == EXPONENT_PART) launch_gem<T, S, GRAD_BY_PART>(stream, map, exponents, from, x, dx, scratch);
    else if (scratch) launch_gem<T, S, GRAD_SHARED>(stream, map, exponents, from, x, dx, scratch);
    else if (exponents.kind == EXPONENT_FIXED && exponents.fixed == 3) launch_gem<T, S, GRAD_CUBE>(stream, map, exponents, from, x, dx, scratch);
    else launch_gem<T, S, GRAD_FIXED>(stream, map, exponents, from, x, dx, scratch);
}

int64_t sky_cuda_part_gem_grad_floats(const struct sky_cuda_parts *parts, const struct sky_cuda_exponents *by)
{
    const enum exponent_kind kind = part_exponents_of(parts, by).kind;
    if (kind == EXPONENT_CHANNEL) return parts->images * parts->channels;
    return (kind == EXPONENT_PART ? parts->table->part_count : 1) * parts->images * div_up(parts->channels, PART_LANES);
}

int sky_cuda_part_gem_grad(sky_stream stream, enum sky_dtype type, const struct sky_cuda_parts *parts, const struct sky_cuda_exponents *by, const float *dy,
                           const void *x, const float *y, void *dx, float *dp, bool accumulate, float *scratch)
{
    const part_map map = part_map_of(parts);
    const part_exponents exponents = part_exponents_of(parts, by);
    const pooled_gradient from = {dy, y};
    int64_t groups = 0;
    const int error = with_type(type, [&](auto *t) {
        using T = element<decltype(t)>;
        const bool few = packs_fit<T>(0, x, dx) && map.channels % PART_FEW == 0;
        groups = div_up(map.channels, PART_LANES * (few ? PART_FEW : 1));
        if (few) launch_gem<T, PART_FEW>(stream, map, exponents, from, x, dx, dp ? scratch : nullptr);
        else launch_gem<T, 1>(stream, map, exponents, from, x, dx, dp ? scratch : nullptr);
    });
    if (error || !dp) return error;
    if (exponents.kind == EXPONENT_CHANNEL) return sky_cuda_sum_rows(stream, scratch, dp, 1, map.images, map.channels, accumulate);
    SKY_LAUNCH(sum_exponents_kernel, (unsigned)by->count, SUM_THREADS, SUM_THREADS / 32 * sizeof(double), stream, scratch, dp, map.images * groups, accumulate);
    return (int)cudaGetLastError();
}

template <bool MAX> static int spread(sky_stream stream, enum sky_dtype type, const part_map &map, const float *dy, const int32_t *index, void *dx)
{
    return with_type(type, [&](auto *t) {
        using T = element<decltype(t)>;
        constexpr int S = pack<T>::size;
        const auto launch = [&](auto kernel, int few) {
            const dim3 grid((unsigned)div_up(div_up(map.positions, SPREAD_POSITIONS) * (map.channels / few), SPREAD_THREADS), (unsigned)map.images);
            SKY_LAUNCH(kernel, grid, SPREAD_THREADS, 0, stream, dy, index, (T *)dx, map);
        };
        if (packs_fit<T>(map.channels, dy, index, dx)) launch(part_spread_kernel<T, S, MAX>, S);
        else launch(part_spread_kernel<T, 1, MAX>, 1);
    });
}

int sky_cuda_part_mean_grad(sky_stream stream, enum sky_dtype type, const struct sky_cuda_parts *parts, const float *dy, void *dx)
{
    return spread<false>(stream, type, part_map_of(parts), dy, nullptr, dx);
}

int sky_cuda_part_max_grad(sky_stream stream, enum sky_dtype type, const struct sky_cuda_parts *parts, const float *dy, const int32_t *index, void *dx)
{
    return spread<true>(stream, type, part_map_of(parts), dy, index, dx);
}
