/*
 * One search by several ranks: each has a share of the tiles in its memory, rank 0 asks. The answer is the one that a single search gives, to the last bit.
 */
#ifndef SKY_RETRIEVE_SHARD_H
#define SKY_RETRIEVE_SHARD_H

#include "comm/comm.h"
#include "search.h"

struct sky_shards;

/* The tiles first .. first + count of a rank. */
void sky_shard_range(int64_t tiles, int rank, int size, int64_t *first, int64_t *count);

/* Collective. comm NULL: a search alone. Borrows both. */
sky_status sky_shards_open(struct sky_shards **out, struct sky_comm *comm, const struct sky_index *index, int64_t k, int threads);
void sky_shards_close(struct sky_shards *shards);

/* sky_search_set_candidates, of all ranks together: every rank asks for the same number. Not collective. */
sky_status sky_shards_set_candidates(struct sky_shards *shards, int64_t candidates);

/* Rank 0: one search, as sky_search_run. sky_shards_end, after the last one, lets the others go. */
sky_status sky_shards_run(struct sky_shards *shards, const float *feature, struct sky_answer *out);
sky_status sky_shards_end(struct sky_shards *shards);

/* The other ranks: take part in rank 0's searches until it ends. */
sky_status sky_shards_serve(struct sky_shards *shards);

/* Of the last search; alone only (NULL with several ranks). */
const float *sky_shards_similarities(const struct sky_shards *shards);

#endif
