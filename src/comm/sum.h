/*
 * Sums over ranks, element by element in rank order, so that their bits depend on nothing else.
 */
#ifndef SKY_COMM_SUM_H
#define SKY_COMM_SUM_H

#include "transport.h"

/* SKY_UNSUPPORTED for a type or a sum that is not there. */
sky_status sky_sum_check(enum sky_dtype dtype, enum sky_comm_sum sum, const char *what);

/* to[i] = sum over r of in[r].data[i], i < count. `to` may be the memory of one of them. */
void sky_sum_parts(void *to, const struct sky_part *in, int size, int64_t count, enum sky_dtype dtype, enum sky_comm_sum sum);

#endif
