/*
 * Shares are equal stretches of the images in their order, the last ones shorter, so that features stand where they stand in a run alone. They travel a few
 * rows at a time: a rank holds its own share and a piece of the others', rank 0 everything.
 */
#include "shares.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

enum { ROWS = 64 }; /* of each rank at a time */

int64_t sky_share_rows(const struct sky_comm *comm, int64_t count)
{
    return (count + sky_comm_size(comm) - 1) / sky_comm_size(comm);
}

struct sky_image_set sky_share_of(const struct sky_comm *comm, const struct sky_image_set *images)
{
    const int64_t rows = sky_share_rows(comm, images->count), wanted = sky_comm_rank(comm) * rows, first = wanted < images->count ? wanted : images->count;
    struct sky_image_set share = *images;
    share.paths += first, share.labels += first, share.count = images->count - first < rows ? images->count - first : rows;
    return share;
}

sky_status sky_share_gather(struct sky_comm *comm, const float *share, float *whole, int64_t count, int64_t dimensions)
{
    const size_t row = (size_t)dimensions * sizeof(float);
    const int64_t per_rank = sky_share_rows(comm, count);
    const int size = sky_comm_size(comm);
    float *all = NULL; /* [size][rows][dimensions] */
    sky_status status = SKY_OK;
    SKY_TRY(sky_alloc(&all, (size_t)size * ROWS, row, "features of all ranks"));
    for (int64_t at = 0; at < per_rank && status == SKY_OK; at += ROWS) {
        const int64_t rows = per_rank - at < ROWS ? per_rank - at : ROWS;
        status = sky_comm_gather(comm, share + at * dimensions, (size_t)rows * row, all, "features");
        for (int r = 0; r < size && whole && status == SKY_OK; r++)
            for (int64_t i = 0; i < rows && r * per_rank + at + i < count; i++) memcpy(whole + (r * per_rank + at + i) * dimensions, all + (r * rows + i) * dimensions, row);
    }
    free(all);
    return status;
}
