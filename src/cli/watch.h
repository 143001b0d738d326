/*
 * A rank's watcher, for ranks that MPI has started: MPI tells nobody why a rank is gone, and waits for ever for one that does not start. The process becomes
 * two: the child goes on as the rank, the parent stays and waits for it. When the rank dies, the watcher says what it was doing and ends with exit code 5,
 * whereupon MPI ends the others.
 */
#ifndef SKY_CLI_WATCH_H
#define SKY_CLI_WATCH_H

#include "comm/board.h"

/* Returns in the child alone, with the board that both share; the parent ends the program when the child does. The child must come to sky_comm_open within timeout_seconds. */
sky_status sky_watch_start(struct sky_board **out, int rank, int size, double timeout_seconds);

#endif
