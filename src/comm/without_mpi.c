/*
 * The mpi transport of a program built without MPI: an error that says so, because each rank would run alone. See mpi.c.
 */
#include "transport.h"

static sky_status mpi_open(void **state, const struct sky_comm_place *place, struct sky_board *board)
{
    (void)state, (void)board;
    sky_fail(SKY_UNSUPPORTED, "ranks", "this is rank %d of %d under MPI, but this program is built without MPI: each rank would run alone", place->rank, place->size);
    return sky_hint("build with MPI (apt install libopenmpi-dev, cmake -DSKY_MPI=ON); on one machine `skygem launch -n %d COMMAND` needs none", place->size);
}

static sky_status mpi_exchange(void *state, const struct sky_announcement *mine, const struct sky_part *out, struct sky_part *in)
{
    (void)state, (void)out, (void)in;
    return sky_fail(SKY_INTERNAL, mine->what, "there is no MPI");
}

static sky_status mpi_close(void *state)
{
    (void)state;
    return SKY_OK;
}

static void mpi_fail(void *state, const struct sky_error *error)
{
    (void)state, (void)error;
}

bool sky_comm_mpi_library(char *out, size_t out_bytes)
{
    (void)out, (void)out_bytes;
    return false;
}

const struct sky_transport sky_transport_mpi = {.open = mpi_open, .exchange = mpi_exchange, .close = mpi_close, .fail = mpi_fail};
