/*
 * The watcher behind watch.h: one loop over signals and time. It runs in a process of its own and owns nothing that outlives it.
 */
#include "watch.h"

#include "base/clock.h"
#include "console.h"
#include "rank_end.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

static const double grace = 9; /* for a rank that has failed: it tells the others and prints */

struct watcher {
    struct sky_board *board;
    int rank, child, signals;
    int sent;            /* last signal passed on */
    double timeout, begin, failed_at;
    bool late;
};

/* Signals that have come; true when the child may have ended. */
static bool pass_signals_on(struct watcher *w)
{
    struct signalfd_siginfo info;
    bool child = false;
    while (read(w->signals, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGCHLD) {
            child = true;
            continue;
        }
        /* SLURM sends to both of us, and a rank that gets a second SIGINT ends at once: the first is passed on as SIGTERM, which asks for the same. */
        const bool first = w->sent == 0;
        kill(w->child, w->sent = first && info.ssi_signo == SIGINT ? SIGTERM : (int)info.ssi_signo);
    }
    return child;
}

static void kill_late(struct watcher *w)
{
    const uint32_t state = atomic_load(&sky_board_seat(w->board, w->rank)->state);
    const double now = sky_now();
    if (state == SKY_SEAT_FAILED && w->failed_at <= 0) w->failed_at = now;
    if (state == SKY_SEAT_FAILED && now - w->failed_at > grace) kill(w->child, SIGKILL);
    if (state == SKY_SEAT_EMPTY && now - w->begin > w->timeout && !w->late) {
        w->late = true;
        kill(w->child, SIGKILL);
    }
}

static void watch(struct watcher *w)
{
    struct sky_error error;
    int status = 0;
    for (;;) {
        struct pollfd wait = {.fd = w->signals, .events = POLLIN};
        poll(&wait, 1, 200);
        if (pass_signals_on(w) && waitpid(w->child, &status, WNOHANG) == w->child) break;
        kill_late(w);
    }
    const bool came = atomic_load(&sky_board_seat(w->board, w->rank)->state) != SKY_SEAT_EMPTY;
    int code = sky_rank_end(w->board, w->rank, status, w->sent, &error);
    if (code == 0 && !came) { /* MPI would let the others wait */
        error = (struct sky_error){.status = SKY_PEER};
        snprintf(error.where, sizeof error.where, "start-up, rank %d", w->rank);
        snprintf(error.what, sizeof error.what, "process %d has ended without coming to the others", w->child);
        code = sky_status_exit_code(SKY_PEER);
    }
    if (w->late) {
        error = (struct sky_error){.status = SKY_PEER};
        snprintf(error.where, sizeof error.where, "start-up, rank %d", w->rank);
        snprintf(error.what, sizeof error.what, "process %d has not come to the others within %.3g s", w->child, w->timeout);
        code = sky_status_exit_code(SKY_PEER);
    }
    if (error.status != SKY_OK) sky_console_error(&error);
    sky_console_close();
    _exit(code);
}

sky_status sky_watch_start(struct sky_board **out, int rank, int size, double timeout_seconds)
{
    struct watcher w = {.rank = rank, .timeout = timeout_seconds, .begin = sky_now()};
    const int parent = getpid();
    SKY_TRY(sky_board_create(&w.board, size, 0, NULL));
    SKY_TRY(sky_rank_signals(&w.signals));
    fflush(NULL); /* what is buffered is to be written once */
    w.child = fork();
    if (w.child < 0) {
        sky_board_free(w.board);
        return sky_fail_errno("ranks", "cannot start the rank's process");
    }
    if (w.child > 0) watch(&w);
    close(w.signals);
    sky_rank_begin(parent);
    sky_rank_signals_default();
    *out = w.board;
    return SKY_OK;
}
