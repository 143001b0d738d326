/*
 * Ranks of right rows where the distances are given, as re-ranking gives them; the order and what comes out are those of rank.h.
 */
#ifndef SKY_EVAL_RANK_DISTANCES_H
#define SKY_EVAL_RANK_DISTANCES_H

#include "match.h"
#include "rank.h"

/* Both protocols' ranks of queries first .. first+count-1 from distances [count, items]; *out (zero or from the last call) is replaced. threads 0: all cores.
 */
sky_status sky_rank_distances(const struct sky_match *match, int64_t first, int64_t count, const float *distances, int64_t items, int threads,
                              struct sky_ranking *out);

#endif
