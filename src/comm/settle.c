/*
 * One number from each rank when all is well; the failing rank's message only when it is needed.
 */
#include "settle.h"

sky_status sky_comm_settle(struct sky_comm *comm, sky_status mine, const char *what)
{
    int64_t worst = mine;
    if (sky_comm_size(comm) == 1) return mine;
    const struct sky_error own = *sky_error_last();
    SKY_TRY(sky_comm_reduce(comm, &worst, 1, SKY_I64, SKY_COMM_MAX, what));
    if (worst == SKY_OK) return SKY_OK;
    if (mine != SKY_OK) sky_error_set(&own);
    const sky_status status = sky_comm_agree(comm, mine, what);
    if (mine != SKY_OK || status != SKY_PEER) return status;
    struct sky_error error = *sky_error_last();
    error.status = (sky_status)worst;
    return sky_error_set(&error);
}
