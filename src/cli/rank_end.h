/*
 * How a rank's process has ended, judged by the one that started it (the launcher, or the rank's watcher under MPI), which tells the others through the board.
 */
#ifndef SKY_CLI_RANK_END_H
#define SKY_CLI_RANK_END_H

#include "comm/board.h"

/*
 * `wait_status` is waitpid's; `sent` the signal that was passed on to the rank, 0 for none. Returns the exit code it stands for: the rank's own when it could
 * tell the others why it ends, 128 + signal when that was passed on, else 5. A rank that ended without a word is GONE on the board from now on, and *error
 * (status SKY_OK when there is nothing to say) names it, what it did and how.
 */
int sky_rank_end(const struct sky_board *board, int rank, int wait_status, int sent, struct sky_error *error);

/* In a process just forked, before anything else: it is killed when its parent ends, and is a process group of its own, so that signals from a terminal reach
 * it through its parent alone. */
void sky_rank_begin(int parent);

/* SIGCHLD and the signals that are passed on to ranks: blocked from now on. *fd tells of them (read struct signalfd_siginfo). */
sky_status sky_rank_signals(int *fd);
void sky_rank_signals_default(void); /* in the child: as they were */

#endif
