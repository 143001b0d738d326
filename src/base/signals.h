/*
 * SIGINT and SIGTERM become a flag that the trainer asks between steps; a second SIGINT ends the program at once (130).
 * SIGUSR1 asks as SIGTERM does: mpirun passes it on and waits, while a SIGTERM to mpirun makes it kill the ranks a second later.
 */
#ifndef SKY_BASE_SIGNALS_H
#define SKY_BASE_SIGNALS_H

#include "skygem/status.h"

sky_status sky_signals_install(void); /* called by the command line only */
int sky_signal_received(void);        /* 0, SIGINT or SIGTERM */

#endif
