/*
 * The resize's two passes with AVX-512 VNNI and VBMI, byte for byte those of resize.c. One instruction multiplies four pixels (unsigned bytes) by four
 * weights (signed bytes) and adds them to a 32-bit sum. A weight has 24 bits, so it goes in as three digits to the base 256, highest first, the sum
 * moving up by 8 bits in between. Nothing is rounded before the end: the result is exact.
 *
 * Built for x86-64 and chosen at run time; elsewhere resize_no_vnni.c takes its place. Allocates nothing.
 */
#include "resize_passes.h"

#include <immintrin.h>
#include <string.h>

#define VNNI __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni,avx512vbmi")))
#define VNNI_INLINE VNNI __attribute__((always_inline)) static inline

enum {
    GROUP = 4,                    /* weights in a 32-bit lane */
    DIGITS_BYTES = 12,            /* of a group's weights */
    BLOCK = 4,                    /* output pixels of a row at a time; also rows at a time */
    STRIP = 16,                   /* rows filtered with one block's weights before the next block */
    MAX_GROUPS = 6,               /* of a block: up to 5.7 times smaller */
    MAX_TAPS = 72,                /* of a column: up to 17 times smaller */
    REACH = 64,                   /* bytes in a register */
    START = SKY_RESIZE_HALF >> 16 /* the rounding half, at the highest digit */
};

/* Lane i of 128 bits holds the i-th number four times. */
VNNI_INLINE __m512i four_lanes(int32_t a, int32_t b, int32_t c, int32_t d)
{
    const __m512i by_lane = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
    return _mm512_permutexvar_epi32(by_lane, _mm512_castsi128_si512(_mm_setr_epi32(a, b, c, d)));
}

VNNI_INLINE int32_t four_weights(const int8_t *digits)
{
    int32_t packed;
    memcpy(&packed, digits, sizeof packed);
    return packed;
}

/* A block's share of the table, in registers where there are enough. */
struct block {
    __m512i weights[MAX_GROUPS][3]; /* [group][digit], [output pixel][colour][tap] */
    __m512i order;                  /* which byte behind the block's start is [output pixel][colour][tap] */
};

VNNI_INLINE void load_block(struct block *block, const struct sky_resize_axis *axis, int groups, int x)
{
    const int last = axis->out - 1, at[BLOCK] = {x, x + 1 < last ? x + 1 : last, x + 2 < last ? x + 2 : last, x + 3 < last ? x + 3 : last};
    const int8_t *digits[BLOCK];
    int32_t shift[BLOCK];
    for (int i = 0; i < BLOCK; i++) {
        digits[i] = axis->digits + (int64_t)at[i] * groups * DIGITS_BYTES;
        shift[i] = (axis->start[at[i]] - axis->start[x]) * 3 * 0x01010101; /* in each byte */
    }
    for (int group = 0; group < groups; group++)
        for (int digit = 0; digit < 3; digit++) {
            const int k = group * DIGITS_BYTES + digit * GROUP;
            block->weights[group][digit] =
                four_lanes(four_weights(digits[0] + k), four_weights(digits[1] + k), four_weights(digits[2] + k), four_weights(digits[3] + k));
        }
    const __m512i by_colour = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11, 2, 5, 8, 11)); /* the fourth is dropped later */
    block->order = _mm512_add_epi8(by_colour, four_lanes(shift[0], shift[1], shift[2], shift[3]));
}

/* Four output pixels of one row, [pixel][red, green, blue, any] in 32 bits each. */
VNNI_INLINE __m512i filter_block(const struct block *block, int groups, const uint8_t *from)
{
    __m512i sum = _mm512_set1_epi32(START), pixels[MAX_GROUPS];
    for (int group = 0; group < groups; group++) pixels[group] = _mm512_permutexvar_epi8(block->order, _mm512_loadu_si512(from + group * GROUP * 3));
    for (int group = 0; group < groups; group++) sum = _mm512_dpbusd_epi32(sum, pixels[group], block->weights[group][2]);
    sum = _mm512_slli_epi32(sum, 8);
    for (int group = 0; group < groups; group++) sum = _mm512_dpbusd_epi32(sum, pixels[group], block->weights[group][1]);
    sum = _mm512_slli_epi32(sum, 8);
    for (int group = 0; group < groups; group++) sum = _mm512_dpbusd_epi32(sum, pixels[group], block->weights[group][0]);
    return _mm512_srai_epi32(sum, SKY_RESIZE_BITS);
}

VNNI_INLINE void store_block(uint8_t *out, __m128i pixels, size_t room)
{
    if (room >= sizeof pixels) _mm_storeu_si128((__m128i *)(void *)out, pixels); /* 12 bytes, and 4 that the next block overwrites */
    else _mm_mask_storeu_epi8(out, (__mmask16)((1u << room) - 1), pixels);
}

/* Byte 16 * row + 3 * pixel + colour of the result from byte 16 * pixel + 4 * row + colour, as the packing leaves them. */
static const uint8_t by_row[REACH] = {
    0, 1, 2,  16, 17, 18, 32, 33, 34, 48, 49, 50, 0, 0, 0, 0, 4,  5,  6,  20, 21, 22, 36, 37, 38, 52, 53, 54, 0, 0, 0, 0,
    8, 9, 10, 24, 25, 26, 40, 41, 42, 56, 57, 58, 0, 0, 0, 0, 12, 13, 14, 28, 29, 30, 44, 45, 46, 60, 61, 62, 0, 0, 0, 0,
};

VNNI_INLINE void filter_strip(const struct sky_resize_axis *axis, int groups, const uint8_t *in, size_t in_stride, int rows, uint8_t *out, size_t out_stride)
{
    const __m512i rows_last = _mm512_loadu_si512(by_row);
    for (int x = 0; x < axis->out; x += BLOCK) {
        struct block block;
        load_block(&block, axis, groups, x);
        const uint8_t *from = in + (size_t)axis->start[x] * 3;
        const size_t room = (size_t)(axis->out - x) * 3;
        uint8_t *to = out + (size_t)x * 3;
        for (int y = 0; y < rows; y += BLOCK, to += BLOCK * out_stride) {
            __m512i sums[BLOCK];
            for (int i = 0; i < BLOCK; i++) sums[i] = filter_block(&block, groups, from + (size_t)(y + i < rows ? y + i : rows - 1) * in_stride);
            const __m512i bytes = _mm512_packus_epi16(_mm512_packs_epi32(sums[0], sums[1]), _mm512_packs_epi32(sums[2], sums[3]));
            const __m512i pixels = _mm512_permutexvar_epi8(rows_last, bytes);
            store_block(to, _mm512_castsi512_si128(pixels), room);
            if (y + 1 < rows) store_block(to + out_stride, _mm512_extracti32x4_epi32(pixels, 1), room);
            if (y + 2 < rows) store_block(to + 2 * out_stride, _mm512_extracti32x4_epi32(pixels, 2), room);
            if (y + 3 < rows) store_block(to + 3 * out_stride, _mm512_extracti32x4_epi32(pixels, 3), room);
        }
    }
}

/* Whether four neighbouring outputs find a group's pixels within a register's reach of the first one's start. */
static int blocks_reach(const struct sky_resize_axis *axis)
{
    if (axis->taps > MAX_GROUPS * GROUP) return 0;
    for (int x = 0; x < axis->out; x += BLOCK) {
        const int last = x + BLOCK - 1 < axis->out ? x + BLOCK - 1 : axis->out - 1;
        if ((axis->start[last] - axis->start[x] + GROUP) * 3 > REACH) return 0;
    }
    return 1;
}

VNNI static void horizontal(const struct sky_resize_axis *axis, const uint8_t *in, size_t in_stride, int rows, uint8_t *out, size_t out_stride)
{
    if (!blocks_reach(axis)) {
        sky_resize_plain.horizontal(axis, in, in_stride, rows, out, out_stride);
        return;
    }
    for (int y = 0; y < rows; y += STRIP, in += STRIP * in_stride, out += STRIP * out_stride) {
        const int count = rows - y < STRIP ? rows - y : STRIP;
        switch (axis->taps / GROUP) { /* the usual lengths, unrolled */
        case 1: filter_strip(axis, 1, in, in_stride, count, out, out_stride); break;
        case 2: filter_strip(axis, 2, in, in_stride, count, out, out_stride); break;
        default: filter_strip(axis, axis->taps / GROUP, in, in_stride, count, out, out_stride);
        }
    }
}

struct sums {
    __m512i low, middle, high; /* of the three digits; 16 x 32 bits */
};

VNNI_INLINE struct sums begin_sums(void)
{
    return (struct sums){_mm512_set1_epi32(SKY_RESIZE_HALF), _mm512_setzero_si512(), _mm512_setzero_si512()};
}

/* pixels: four taps in each 32-bit lane */
VNNI_INLINE void add_group(struct sums *sums, __m512i pixels, const int8_t *digits)
{
    sums->low = _mm512_dpbusd_epi32(sums->low, pixels, _mm512_set1_epi32(four_weights(digits)));
    sums->middle = _mm512_dpbusd_epi32(sums->middle, pixels, _mm512_set1_epi32(four_weights(digits + GROUP)));
    sums->high = _mm512_dpbusd_epi32(sums->high, pixels, _mm512_set1_epi32(four_weights(digits + 2 * GROUP)));
}

VNNI_INLINE __m512i end_sums(struct sums sums)
{
    const __m512i upper = _mm512_add_epi32(sums.middle, _mm512_slli_epi32(sums.high, 8));
    return _mm512_srai_epi32(_mm512_add_epi32(sums.low, _mm512_slli_epi32(upper, 8)), SKY_RESIZE_BITS);
}

VNNI_INLINE __m512i load_columns(const uint8_t *from, int whole, __mmask64 present)
{
    return whole ? _mm512_loadu_si512(from) : _mm512_maskz_loadu_epi8(present, from);
}

/* One block of columns of one output row. The four rows of a group are woven so that each 32-bit lane holds one column's four taps. */
VNNI_INLINE void filter_columns(const int8_t *digits, const uint8_t *const *rows, int groups, size_t x, int whole, __mmask64 present, uint8_t *out)
{
    struct sums sums[4] = {begin_sums(), begin_sums(), begin_sums(), begin_sums()};
    for (int group = 0; group < groups; group++, rows += GROUP, digits += DIGITS_BYTES) {
        const __m512i a = load_columns(rows[0] + x, whole, present), b = load_columns(rows[1] + x, whole, present);
        const __m512i c = load_columns(rows[2] + x, whole, present), d = load_columns(rows[3] + x, whole, present);
        const __m512i ab_low = _mm512_unpacklo_epi8(a, b), ab_high = _mm512_unpackhi_epi8(a, b);
        const __m512i cd_low = _mm512_unpacklo_epi8(c, d), cd_high = _mm512_unpackhi_epi8(c, d);
        add_group(&sums[0], _mm512_unpacklo_epi16(ab_low, cd_low), digits);
        add_group(&sums[1], _mm512_unpackhi_epi16(ab_low, cd_low), digits);
        add_group(&sums[2], _mm512_unpacklo_epi16(ab_high, cd_high), digits);
        add_group(&sums[3], _mm512_unpackhi_epi16(ab_high, cd_high), digits);
    }
    const __m512i low = _mm512_packs_epi32(end_sums(sums[0]), end_sums(sums[1])), high = _mm512_packs_epi32(end_sums(sums[2]), end_sums(sums[3]));
    const __m512i bytes = _mm512_packus_epi16(low, high); /* packing undoes the weaving's order */
    if (whole) _mm512_storeu_si512(out + x, bytes);
    else _mm512_mask_storeu_epi8(out + x, present, bytes);
}

VNNI static void vertical(const struct sky_resize_axis *axis, const uint8_t *in, size_t in_stride, int first_row, uint8_t *out, size_t row_bytes)
{
    if (axis->taps > MAX_TAPS) {
        sky_resize_plain.vertical(axis, in, in_stride, first_row, out, row_bytes);
        return;
    }
    const int groups = axis->taps / GROUP;
    const size_t whole_end = row_bytes / REACH * REACH;
    const __mmask64 rest = ((__mmask64)1 << (row_bytes - whole_end)) - 1;
    for (int y = 0; y < axis->out; y++, out += row_bytes) {
        const int8_t *digits = axis->digits + (int64_t)y * groups * DIGITS_BYTES;
        const uint8_t *rows[MAX_TAPS];
        for (int t = 0; t < axis->taps; t++) {
            const int row = axis->start[y] + t;
            rows[t] = in + (size_t)((row < axis->in ? row : axis->in - 1) - first_row) * in_stride;
        }
        if (groups == 2)
            for (size_t x = 0; x < whole_end; x += REACH) filter_columns(digits, rows, 2, x, 1, 0, out);
        else
            for (size_t x = 0; x < whole_end; x += REACH) filter_columns(digits, rows, groups, x, 1, 0, out);
        if (rest) filter_columns(digits, rows, groups, whole_end, 0, rest, out);
    }
}

static const struct sky_resize_passes passes = {horizontal, vertical};

const struct sky_resize_passes *sky_resize_vnni(void)
{
    const int available = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
                          __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512vbmi");
    return available ? &passes : NULL;
}
