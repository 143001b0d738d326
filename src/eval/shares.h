/*
 * Embedding by several ranks: each takes a share of the images, rank 0 gets the features of all. A run alone has all images as its share, and nothing is gathered.
 */
#ifndef SKY_EVAL_SHARES_H
#define SKY_EVAL_SHARES_H

#include "comm/comm.h"
#include "data/dataset.h"

/* This rank's stretch of the images, a view of `images`; may be empty. */
struct sky_image_set sky_share_of(const struct sky_comm *comm, const struct sky_image_set *images);

/* Rows that every rank hands over: the longest share's. */
int64_t sky_share_rows(const struct sky_comm *comm, int64_t count);

/* share [sky_share_rows, dimensions] of every rank to whole [count, dimensions] on rank 0; NULL on the others. Collective. */
sky_status sky_share_gather(struct sky_comm *comm, const float *share, float *whole, int64_t count, int64_t dimensions);

#endif
