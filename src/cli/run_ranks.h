/*
 * The ranks of a command that runs as several: opened, kept quiet but for the first, and ended together.
 */
#ifndef SKY_CLI_RUN_RANKS_H
#define SKY_CLI_RUN_RANKS_H

#include "args.h"
#include "comm/comm.h"
#include "skygem/config.h"

/* Finds this process's place and meets the other ranks. Before threads are started and files opened for writing (place.h). Rank 0 alone goes on saying what it
 * does; the others warn. */
sky_status sky_run_ranks_open(struct sky_comm **out, const struct sky_config *config, const struct sky_args *args);

/* The end of the command: with SKY_OK and SKY_INTERRUPTED (which all ranks agree on) they part in order; after any other failure the others are told. Returns
 * the command's status. */
sky_status sky_run_ranks_end(struct sky_comm *comm, sky_status status);

#endif
