/*
 * Opening and ending of a command's ranks. Owns nothing: the comm is the caller's until it is ended.
 */
#include "run_ranks.h"

#include "console.h"
#include "place.h"

sky_status sky_run_ranks_open(struct sky_comm **out, const struct sky_config *config, const struct sky_args *args)
{
    struct sky_comm_place place;
    SKY_TRY(sky_place_find(&place, config->distributed.timeout_s));
    SKY_TRY(sky_comm_open(out, &place));
    if (place.rank > 0 && !args->verbose) sky_console_open(SKY_LOG_WARNING);
    return SKY_OK;
}

sky_status sky_run_ranks_end(struct sky_comm *comm, sky_status status)
{
    if (!comm) return status;
    if (status != SKY_INTERRUPTED) return sky_place_end(comm, status);
    const struct sky_error error = *sky_error_last();
    const sky_status closed = sky_comm_close(comm);
    return closed == SKY_OK ? sky_error_set(&error) : closed;
}
