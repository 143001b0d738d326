/*
 * Reads the ranks' variables behind place.h.
 */
#include "place.h"

#include "base/threads.h"
#include "console.h"
#include "skygem/skygem.h"

sky_status sky_place_find(struct sky_comm_place *place, double timeout_seconds)
{
    *place = (struct sky_comm_place){.kind = SKY_COMM_SELF, .size = 1, .local_size = 1, .timeout_seconds = timeout_seconds, .program = "skygem " SKYGEM_VERSION};
    return SKY_OK;
}

int sky_place_threads(const struct sky_comm_place *place)
{
    (void)place;
    return sky_thread_count_default();
}

sky_status sky_place_end(struct sky_comm *comm, sky_status status)
{
    if (status == SKY_OK) return sky_comm_close(comm);
    const struct sky_error error = *sky_error_last();
    sky_console_error(&error);
    sky_comm_abort(comm, &error);
    return sky_error_set(&error);
}
