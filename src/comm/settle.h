/*
 * How a phase ends that may fail on one rank only, when all must then do the same.
 */
#ifndef SKY_COMM_SETTLE_H
#define SKY_COMM_SETTLE_H

#include "comm.h"

/*
 * SKY_OK when all ranks are well. Otherwise every rank gets a failing one's status, so that all decide alike (a full disk is gone on without, a bad image ends
 * a run in order); the message is the rank's own, or names the first that failed. Collective.
 */
sky_status sky_comm_settle(struct sky_comm *comm, sky_status mine, const char *what);

#endif
