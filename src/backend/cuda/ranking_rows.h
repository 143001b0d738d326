/*
 * What counting and finding the nearest share: query and gallery rows on the device, and their products block by block.
 */
#ifndef SKY_BACKEND_CUDA_RANKING_ROWS_H
#define SKY_BACKEND_CUDA_RANKING_ROWS_H

#include "cuda.h"

enum {
    SKY_RANKING_QUERIES,
    SKY_RANKING_ITEMS,
    SKY_RANKING_PRODUCTS,
    SKY_RANKING_HALF_NORMS,
    SKY_RANKING_OWN /* the first of the caller's own */,
    SKY_RANKING_MOST = SKY_RANKING_OWN + 8
};

/* Zero-initialise, set the first group; free with sky_ranking_rows_free. Owns its device memory. */
struct sky_ranking_rows {
    struct sky_device *device;
    int64_t dimensions;
    float scale; /* of all rows, on the device */

    struct {
        void *block;
        size_t bytes;
    } memory[SKY_RANKING_MOST];
    int64_t block_queries; /* set by sky_ranking_take_products */
};

void sky_ranking_rows_free(struct sky_ranking_rows *rows);
sky_status sky_ranking_take(struct sky_ranking_rows *rows, int which, size_t bytes);
sky_status sky_ranking_upload(struct sky_ranking_rows *rows, int which, const void *from, size_t bytes);
/* Memory for `count` rows, and rows into it in the order wanted (NULL: as they are), scaled. */
sky_status sky_ranking_take_rows(struct sky_ranking_rows *rows, int which, int64_t count);
sky_status sky_ranking_send_rows(struct sky_ranking_rows *rows, int which, const float *values, const int64_t *order, int64_t count);
/* Room for the products of a block of queries with `items` items. */
sky_status sky_ranking_take_products(struct sky_ranking_rows *rows, int64_t queries, int64_t items);
/* products [queries, items] of queries first_query .. with the first `items` items that are there. */
sky_status sky_ranking_multiply(struct sky_ranking_rows *rows, int64_t first_query, int64_t queries, int64_t items);
sky_status sky_ranking_launched(int error);

#endif
