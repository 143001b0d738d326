/*
 * Where this process stands among the ranks of its run: read from the environment that `skygem launch`, mpirun or srun gave it.
 */
#ifndef SKY_CLI_PLACE_H
#define SKY_CLI_PLACE_H

#include "comm/comm.h"

/*
 * Fills *place; a process that nobody started as a rank is alone. SKY_USAGE when the variables contradict each other. timeout_seconds is [distributed]
 * timeout_s. Call it once, before threads are started and files are opened for writing: under MPI the process goes on as a child here, watched by its parent,
 * which tells how it ended when it cannot tell itself. Open the comm soon: who has not come within the timeout is ended. place->threads is for device.threads = 0.
 */
sky_status sky_place_find(struct sky_comm_place *place, double timeout_seconds);

/*
 * The end of a command with ranks, whether its comm was opened or not (NULL): when status is SKY_OK, or SKY_INTERRUPTED as it then is on all ranks, closes it;
 * else prints the error and tells the others. Frees the place's board with it. Returns the run's status. A printed error is not printed again by main. Under
 * MPI a failed run ends here, with its exit code.
 */
sky_status sky_place_end(struct sky_comm *comm, sky_status status);

#endif
