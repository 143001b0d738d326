/*
 * A register-blocked float matrix product behind similarity.h, written with the compiler's vector types so that one source serves SSE, AVX2, AVX-512
 * and NEON. Rows are packed into panels: query panels of PANEL_QUERIES rows, gallery panels of PANEL_ITEMS rows, dimension by dimension, padded
 * with zero rows, so that edges take the same path as the middle. The smaller side is packed once and shared (at most RESIDENT_BYTES at a
 * time), the larger one is packed block by block by the thread that needs it. All memory lives in the work space.
 */
#include "similarity.h"

#include "base/memory.h"
#include "similarity_lanes.h"

#include <omp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum {
    PANEL_ITEMS = 2 * LANES,
    BLOCK_QUERIES = 8 * PANEL_QUERIES, /* one chunk of a query block stays in the second-level cache beside the tile of products */
    BLOCK_ITEMS = 512,
    RESIDENT_BYTES = 64 << 20
};

typedef float lanes __attribute__((vector_size(4 * LANES), may_alias));
typedef float loose_lanes __attribute__((vector_size(4 * LANES), may_alias, aligned(4))); /* anywhere in memory */

static const float zero_row[SKY_SIMILARITY_CHUNK];

struct sky_similarity {
    int64_t dimensions;
    float scale;
    int threads;
    size_t query_floats, item_floats, tile_floats, thread_floats; /* a thread's buffers */
    float *buffers;                                               /* [threads, query block | item block | tile] */
    size_t buffers_bytes;
};

/* One side of a product, packed or to be packed. */
struct side {
    const struct sky_rows *rows;
    int64_t panel, block; /* rows a panel, rows a block */
};

static int64_t round_up(int64_t count, int64_t step) { return (count + step - 1) / step * step; }

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

sky_status sky_similarity_create(struct sky_similarity **out, int64_t dimensions, float scale, int threads)
{
    sky_status status = SKY_OK;
    struct sky_similarity *s = NULL;
    void *block = NULL;
    SKY_TRY(sky_alloc(&s, 1, sizeof *s, "similarity"));
    s->dimensions = dimensions;
    s->scale = scale;
    s->threads = threads;
    s->tile_floats = (size_t)BLOCK_QUERIES * BLOCK_ITEMS;
    if (!sky_multiply_size((size_t)dimensions, BLOCK_QUERIES, &s->query_floats) || !sky_multiply_size((size_t)dimensions, BLOCK_ITEMS, &s->item_floats) ||
        s->item_floats > SIZE_MAX / 4 ||
        !sky_multiply_size(s->query_floats + s->item_floats + s->tile_floats, sizeof(float) * (size_t)threads, &s->buffers_bytes)) {
        status = sky_fail(SKY_NOMEM, "similarity", "%lld dimensions are too many", (long long)dimensions);
        goto done;
    }
    s->thread_floats = s->query_floats + s->item_floats + s->tile_floats;
    SKY_TRY_DONE(sky_block_alloc(&block, s->buffers_bytes, "similarity"));
    s->buffers = block;
    *out = s;
    s = NULL;
done:
    free(s);
    return status;
}

void sky_similarity_destroy(struct sky_similarity *s)
{
    if (!s) return;
    sky_block_free(s->buffers, s->buffers_bytes);
    free(s);
}

/* Each step interleaves the first half of the rows with the second; after log2(LANES) steps rows have become columns. */
static inline void transpose(lanes square[LANES])
{
    lanes next[LANES];
    for (int step = 1; step < LANES; step *= 2) {
        for (int i = 0; i < LANES / 2; i++) {
            next[2 * i] = __builtin_shufflevector(square[i], square[i + LANES / 2], INTERLEAVE_LOW);
            next[2 * i + 1] = __builtin_shufflevector(square[i], square[i + LANES / 2], INTERLEAVE_HIGH);
        }
        memcpy(square, next, sizeof next);
    }
}

/* to[depth][panel] = from[panel][depth] * scale; inlined so that `panel` is a constant. */
static inline __attribute__((always_inline)) void pack_panel(const float *const *from, int64_t depth, float scale, float *to, const int panel)
{
    int64_t k = 0;
    for (; k + LANES <= depth; k += LANES, to += LANES * panel) {
        for (int row = 0; row < panel; row += LANES) {
            const int width = panel - row < LANES ? panel - row : LANES;
            lanes square[LANES] = {0};
            for (int i = 0; i < width; i++) square[i] = *(const loose_lanes *)(from[row + i] + k) * scale;
            transpose(square);
            for (int i = 0; i < LANES; i++) memcpy(to + i * panel + row, &square[i], (size_t)width * sizeof(float));
        }
    }
    for (; k < depth; k++, to += panel) {
        for (int row = 0; row < panel; row++) to[row] = from[row][k] * scale;
    }
}

/*
 * Packs rows first .. first+count into `out`: chunk by chunk, in a chunk panel by panel, in a panel dimension by dimension:
 * [chunks][panels][chunk's depth][panel]. Rows that only fill the last panel are zero.
 */
static void pack(const struct sky_similarity *s, const struct side *side, int64_t first, int64_t count, float *out)
{
    const int64_t *order = side->rows->order;
    for (int64_t start = 0; start < s->dimensions; start += SKY_SIMILARITY_CHUNK) {
        const int64_t depth = smaller(SKY_SIMILARITY_CHUNK, s->dimensions - start);
        for (int64_t top = 0; top < count; top += side->panel, out += side->panel * depth) {
            const float *from[PANEL_ITEMS]; /* the wider panel of the two */
            for (int64_t i = 0; i < side->panel; i++) {
                const int64_t row = first + top + i;
                from[i] = top + i < count ? side->rows->values + (order ? order[row] : row) * s->dimensions + start : zero_row;
            }
            if (side->panel == PANEL_QUERIES) pack_panel(from, depth, s->scale, out, PANEL_QUERIES);
            else pack_panel(from, depth, s->scale, out, PANEL_ITEMS);
        }
    }
}

/* products[PANEL_QUERIES][PANEL_ITEMS] (+)= query panel * item panel over one chunk. */
static WHOLE_VECTORS void multiply_panels(int64_t depth, const float *queries, const float *items, float *products, int64_t stride, bool add)
{
    lanes sum[PANEL_QUERIES][2] = {0};
    for (int64_t k = 0; k < depth; k++, queries += PANEL_QUERIES, items += PANEL_ITEMS) {
        const lanes low = *(const lanes *)items, high = *(const lanes *)(items + LANES);
        for (int i = 0; i < PANEL_QUERIES; i++) {
            sum[i][0] += queries[i] * low;
            sum[i][1] += queries[i] * high;
        }
    }
    for (int i = 0; i < PANEL_QUERIES; i++, products += stride) {
        lanes *const low = (lanes *)products, *const high = (lanes *)(products + LANES);
        if (add) {
            *low += sum[i][0];
            *high += sum[i][1];
        } else {
            *low = sum[i][0];
            *high = sum[i][1];
        }
    }
}

/* All products of a packed query block and a packed item block, both padded to whole panels, into a thread's tile. */
static void multiply_blocks(const struct sky_similarity *s, const float *queries, int64_t query_count, const float *items, int64_t item_count, float *tile)
{
    const int64_t padded_queries = round_up(query_count, PANEL_QUERIES), padded_items = round_up(item_count, PANEL_ITEMS);
    for (int64_t start = 0; start < s->dimensions; start += SKY_SIMILARITY_CHUNK) {
        const int64_t depth = smaller(SKY_SIMILARITY_CHUNK, s->dimensions - start);
        for (int64_t item = 0; item < padded_items; item += PANEL_ITEMS) {
            for (int64_t query = 0; query < padded_queries; query += PANEL_QUERIES) {
                multiply_panels(depth, queries + start * padded_queries + query * depth, items + start * padded_items + item * depth,
                                tile + query * BLOCK_ITEMS + item, BLOCK_ITEMS, start > 0);
            }
        }
    }
}

static void visit_blocks(const struct sky_similarity *s, int thread, const float *queries, int64_t first_query, int64_t query_count, const float *items,
                         int64_t first_item, int64_t item_count, sky_similarity_visit visit, void *context)
{
    float *tile = s->buffers + (size_t)thread * s->thread_floats + s->query_floats + s->item_floats;
    multiply_blocks(s, queries, query_count, items, item_count, tile);
    const struct sky_similarity_tile result = {tile, BLOCK_ITEMS, first_query, query_count, first_item, item_count, thread};
    visit(context, &result);
}

/* One block of the streamed side against the resident blocks first .. first+count of the other. */
static void stream_block(const struct sky_similarity *s, bool queries_stream, const struct side *streamed, int64_t block, const struct side *resident,
                         const float *packed, int64_t first, int64_t count, sky_similarity_visit visit, void *context)
{
    const int thread = omp_get_thread_num();
    const int64_t from = block * streamed->block, rows = smaller(streamed->block, streamed->rows->count - from);
    float *own = s->buffers + (size_t)thread * s->thread_floats;
    pack(s, streamed, from, rows, own);
    for (int64_t other = first; other < first + count; other += resident->block) {
        const int64_t others = smaller(resident->block, first + count - other);
        const float *theirs = packed + (other - first) * s->dimensions;
        if (queries_stream) visit_blocks(s, thread, own, from, rows, theirs, other, others, visit, context);
        else visit_blocks(s, thread, theirs, other, others, own, from, rows, visit, context);
    }
}

sky_status sky_similarity_all(struct sky_similarity *s, const struct sky_rows *queries, const struct sky_rows *items, sky_similarity_visit visit, void *context)
{
    const struct side query_side = {queries, PANEL_QUERIES, BLOCK_QUERIES}, item_side = {items, PANEL_ITEMS, BLOCK_ITEMS};
    const bool queries_stream = queries->count >= items->count;
    const struct side *const streamed = queries_stream ? &query_side : &item_side, *const resident = queries_stream ? &item_side : &query_side;
    const int64_t room = RESIDENT_BYTES / (int64_t)sizeof(float) / s->dimensions / resident->block * resident->block;
    const int64_t most = smaller(resident->rows->count, room > resident->block ? room : resident->block);
    const size_t packed_bytes = (size_t)round_up(most, resident->panel) * (size_t)s->dimensions * sizeof(float);
    const int64_t streamed_blocks = (streamed->rows->count + streamed->block - 1) / streamed->block;
    void *memory = NULL;
    if (!most) return SKY_OK;
    SKY_TRY(sky_block_alloc(&memory, packed_bytes, "similarity"));
    float *const packed = memory;
    for (int64_t first = 0; first < resident->rows->count; first += most) {
        const int64_t count = smaller(most, resident->rows->count - first);
#pragma omp parallel num_threads(s->threads)
        {
#pragma omp for schedule(dynamic)
            for (int64_t row = 0; row < count; row += resident->block)
                pack(s, resident, first + row, smaller(resident->block, count - row), packed + row * s->dimensions);
#pragma omp for schedule(dynamic)
            for (int64_t block = 0; block < streamed_blocks; block++)
                stream_block(s, queries_stream, streamed, block, resident, packed, first, count, visit, context);
        }
    }
    sky_block_free(memory, packed_bytes);
    return SKY_OK;
}
