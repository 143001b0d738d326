/*
 * The judgement behind rank_end.h, and what a starter of ranks and its children set up. Owns nothing.
 */
#define _GNU_SOURCE /* strsignal, prctl's neighbours */
#include "rank_end.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

static const int passed_on[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2};

static const char *word_of(int wait_status, char out[128])
{
    if (WIFSIGNALED(wait_status)) snprintf(out, 128, "was killed by signal %d (%s)", WTERMSIG(wait_status), strsignal(WTERMSIG(wait_status)));
    else snprintf(out, 128, "has ended with exit code %d without telling the others why", WEXITSTATUS(wait_status));
    return out;
}

int sky_rank_end(const struct sky_board *board, int rank, int wait_status, int sent, struct sky_error *error)
{
    struct sky_seat *seat = sky_board_seat(board, rank);
    const uint32_t state = atomic_load_explicit(&seat->state, memory_order_acquire);
    const int process = (int)atomic_load_explicit(&seat->process, memory_order_relaxed);
    char doing[128], word[128];
    *error = (struct sky_error){.status = SKY_OK};
    sky_seat_describe(seat, doing, sizeof doing);
    if (WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == sent) {
        struct sky_error stopped = {.status = SKY_PEER};
        snprintf(stopped.what, sizeof stopped.what, "was stopped by signal %d (%s)", sent, strsignal(sent));
        sky_seat_end(board, rank, SKY_SEAT_GONE, &stopped);
        return 128 + sent;
    }
    if (WIFEXITED(wait_status) && state != SKY_SEAT_OPEN && state != SKY_SEAT_GONE) {
        struct sky_error early = {.status = SKY_PEER};
        snprintf(early.what, sizeof early.what, "has ended with exit code %d before it came to the others", WEXITSTATUS(wait_status));
        sky_seat_end(board, rank, SKY_SEAT_GONE, &early); /* of one that has come nothing is left to say */
        return WEXITSTATUS(wait_status);
    }
    error->status = SKY_PEER;
    snprintf(error->where, sizeof error->where, "rank %d", rank);
    if (process) snprintf(error->what, sizeof error->what, "process %d %s, %s", process, word_of(wait_status, word), doing);
    else snprintf(error->what, sizeof error->what, "%s before it came to the others", word_of(wait_status, word));
    if (WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == SIGKILL)
        snprintf(error->hint, sizeof error->hint, "signal 9 is often the kernel out of memory: see dmesg, or the memory limit of the job");
    struct sky_error told = *error;
    told.where[0] = 0;
    snprintf(told.what, sizeof told.what, "%s", word_of(wait_status, word));
    sky_seat_end(board, rank, SKY_SEAT_GONE, &told);
    return sky_status_exit_code(SKY_PEER);
}

void sky_rank_begin(int parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(sky_status_exit_code(SKY_PEER)); /* it ended before we could ask */
    setpgid(0, 0);
}

static void fill_set(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGCHLD);
    for (size_t i = 0; i < sizeof passed_on / sizeof *passed_on; i++) sigaddset(set, passed_on[i]);
}

sky_status sky_rank_signals(int *fd)
{
    sigset_t set;
    fill_set(&set);
    if (sigprocmask(SIG_BLOCK, &set, NULL)) return sky_fail_errno("ranks", "cannot block signals");
    *fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return *fd < 0 ? sky_fail_errno("ranks", "cannot make a signal descriptor") : SKY_OK;
}

void sky_rank_signals_default(void)
{
    sigset_t set;
    fill_set(&set);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}
