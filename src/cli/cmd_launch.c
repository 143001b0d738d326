/*
 * skygem launch: starts N ranks of a command on this machine, with shared memory between them, and stays until all have ended. It passes signals on, marks the
 * other ranks' stderr, tells the ranks when one has died, and leaves no process behind. Its exit code is that of the first rank that ended for a reason of its
 * own, else 5 when one died or hung.
 */
#define _GNU_SOURCE /* sched_setaffinity, pipe2 */
#include "commands.h"

#include "base/clock.h"
#include "base/memory.h"
#include "base/str.h"
#include "console.h"
#include "rank_end.h"
#include "skygem/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_LOCAL = 1024, LINE_BYTES = 4096 };
static const double terminate_after = 5, kill_after = 7.5; /* seconds after a rank ended badly: the others hear of it at once and need little */

struct child {
    int process; /* 0: has ended */
    int errors;  /* its stderr; -1: closed, or rank 0's, which is ours */
    size_t used;
    char line[LINE_BYTES];
};

struct launch {
    int size, signals, channel;
    bool bind;
    char **command;
    struct sky_board *board;
    cpu_set_t cores;
    int core_count;
    struct child *children; /* [size] */
    int running, sent;      /* the signal last passed on */
    int code;               /* of the first that ended badly; 0: none has */
    double bad_since;       /* when it did */
    bool terminated, killed;
};

/* ---- in the child ---- */

/* The n-th of the cores that the launcher may use. */
static int core_at(const struct launch *launch, int n)
{
    for (int core = 0; core < CPU_SETSIZE; core++)
        if (CPU_ISSET(core, &launch->cores) && n-- == 0) return core;
    return 0;
}

/* Each rank its own cores, in order; more ranks than cores share them all. */
static void bind_to_share(const struct launch *launch, int rank)
{
    cpu_set_t set;
    if (!launch->bind || launch->core_count < launch->size) return;
    CPU_ZERO(&set);
    for (int n = launch->core_count * rank / launch->size; n < launch->core_count * (rank + 1) / launch->size; n++) CPU_SET(core_at(launch, n), &set);
    sched_setaffinity(0, sizeof set, &set); /* only speed is lost when it is refused */
}

static void set_number(const char *name, int value)
{
    char text[16];
    snprintf(text, sizeof text, "%d", value);
    setenv(name, text, 1);
}

static void become_rank(const struct launch *launch, int rank, int parent, int errors)
{
    const int share = launch->core_count / launch->size;
    sky_rank_begin(parent);
    sky_rank_signals_default();
    bind_to_share(launch, rank);
    set_number("SKYGEM_RANK", rank);
    set_number("SKYGEM_SIZE", launch->size);
    set_number("SKYGEM_CHANNEL", launch->channel);
    set_number("SKYGEM_THREADS", share < 1 ? 1 : share);
    if (rank > 0 || isatty(STDIN_FILENO)) { /* a process group of its own may not read from the terminal */
        const int nothing = open("/dev/null", O_RDONLY);
        if (nothing >= 0) dup2(nothing, STDIN_FILENO), close(nothing);
    }
    if (errors >= 0) dup2(errors, STDERR_FILENO);
    execvp(launch->command[0], launch->command);
    const int code = errno;
    sky_fail(SKY_USAGE, launch->command[0], "cannot be started: %s", strerror(code));
    sky_hint("name a program that is there, or train, eval or bench of skygem: skygem launch -n 4 train EXPERIMENT.ini");
    sky_console_error(sky_error_last());
    _exit(code == ENOENT || code == EACCES ? sky_status_exit_code(SKY_USAGE) : sky_status_exit_code(SKY_IO));
}

/* ---- starting ---- */

static sky_status start_rank(struct launch *launch, int rank)
{
    struct child *child = &launch->children[rank];
    const int parent = getpid();
    int pair[2] = {-1, -1};
    if (rank > 0 && pipe2(pair, O_CLOEXEC)) return sky_fail_errno("launch", "cannot make a pipe");
    fflush(NULL);
    child->process = fork();
    if (child->process == 0) become_rank(launch, rank, parent, pair[1]);
    if (pair[1] >= 0) close(pair[1]);
    child->errors = pair[0];
    if (child->process < 0) {
        child->process = 0;
        return sky_fail_errno("launch", "cannot start a process");
    }
    if (child->errors >= 0) fcntl(child->errors, F_SETFL, O_NONBLOCK);
    launch->running++;
    return SKY_OK;
}

/* ---- the others' stderr ---- */

static void print_line(int rank, const char *line, size_t length)
{
    char prefix[32];
    struct sky_text text = {0};
    snprintf(prefix, sizeof prefix, "[rank %d] ", rank);
    sky_text_append(&text, prefix);
    sky_text_append_bytes(&text, line, length);
    sky_text_append(&text, "\n");
    if (text.text && !text.failed) fwrite(text.text, 1, text.length, stderr); /* in one piece */
    sky_text_free(&text);
}

/* Whole lines at once; a line longer than the buffer is cut into several. */
static void pass_lines(struct child *child, int rank, bool at_end)
{
    size_t begin = 0;
    for (size_t i = 0; i < child->used; i++) {
        if (child->line[i] != '\n') continue;
        print_line(rank, child->line + begin, i - begin);
        begin = i + 1;
    }
    if (child->used > begin && (at_end || (begin == 0 && child->used == LINE_BYTES))) print_line(rank, child->line + begin, child->used - begin), begin = child->used;
    memmove(child->line, child->line + begin, child->used - begin);
    child->used -= begin;
}

static void read_errors(struct child *child, int rank)
{
    while (child->errors >= 0) {
        const ssize_t got = read(child->errors, child->line + child->used, LINE_BYTES - child->used);
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
        if (got > 0) child->used += (size_t)got;
        pass_lines(child, rank, got <= 0);
        if (got <= 0) close(child->errors), child->errors = -1;
    }
}

/* ---- while they run ---- */

static void signal_all(const struct launch *launch, int number)
{
    for (int r = 0; r < launch->size; r++)
        if (launch->children[r].process) kill(-launch->children[r].process, number);
}

static void take_end(struct launch *launch, int rank, int wait_status)
{
    struct sky_error error;
    struct child *child = &launch->children[rank];
    read_errors(child, rank); /* its last words before ours */
    int code = sky_rank_end(launch->board, rank, wait_status, launch->sent, &error);
    launch->running--;
    child->process = 0;
    if (launch->terminated && WIFSIGNALED(wait_status)) { /* our own signal */
        char who[32];
        snprintf(who, sizeof who, "rank %d", rank);
        if (WTERMSIG(wait_status) == SIGKILL) sky_log(SKY_LOG_WARNING, "%s did not end by itself and was killed", who);
        return;
    }
    if (error.status != SKY_OK) sky_console_error(&error);
    if (code == 0) return;
    if (!launch->code) launch->bad_since = sky_now();
    /* A rank that only suffers from another's end says 5: the first one's own reason is the run's. */
    if (!launch->code || (launch->code == sky_status_exit_code(SKY_PEER) && error.status == SKY_OK)) launch->code = code;
}

/* Processes that a rank has left behind go with it. */
static void reap(struct launch *launch)
{
    for (int r = 0; r < launch->size; r++) {
        struct child *child = &launch->children[r];
        siginfo_t info = {.si_pid = 0};
        int status = 0;
        if (!child->process || waitid(P_PID, (id_t)child->process, &info, WEXITED | WNOHANG | WNOWAIT) || !info.si_pid) continue;
        kill(-child->process, SIGKILL);
        if (waitpid(child->process, &status, 0) == child->process) take_end(launch, r, status);
    }
}

static void take_signals(struct launch *launch)
{
    struct signalfd_siginfo info;
    while (read(launch->signals, &info, sizeof info) == (ssize_t)sizeof info)
        if (info.ssi_signo != SIGCHLD) signal_all(launch, launch->sent = (int)info.ssi_signo);
}

static void end_the_rest(struct launch *launch)
{
    const double since = launch->code ? sky_now() - launch->bad_since : 0;
    if (since > terminate_after && !launch->terminated) launch->terminated = true, signal_all(launch, SIGTERM);
    if (since > kill_after && !launch->killed) launch->killed = true, signal_all(launch, SIGKILL);
}

static sky_status attend(struct launch *launch)
{
    struct pollfd *wait = NULL;
    SKY_TRY(sky_alloc(&wait, (size_t)launch->size + 1, sizeof *wait, "launch"));
    while (launch->running > 0) {
        wait[0] = (struct pollfd){.fd = launch->signals, .events = POLLIN};
        for (int r = 0; r < launch->size; r++) wait[r + 1] = (struct pollfd){.fd = launch->children[r].errors, .events = POLLIN};
        poll(wait, (nfds_t)launch->size + 1, launch->code ? 100 : 1000);
        take_signals(launch);
        for (int r = 0; r < launch->size; r++) read_errors(&launch->children[r], r);
        reap(launch);
        end_the_rest(launch);
    }
    free(wait);
    return SKY_OK;
}

/* ---- the command ---- */

static sky_status check_not_nested(void)
{
    static const char *const sizes[] = {"SKYGEM_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE"};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const char *text = getenv(sizes[i]);
        int64_t size = 0;
        if (!text || !sky_parse_int(text, &size) || (size < 2 && i > 0)) continue;
        sky_fail(SKY_USAGE, "launch", "is itself started as one of %s ranks (%s)", text, sizes[i]);
        return sky_hint("start the command itself with mpirun or srun; skygem launch is for one machine without MPI");
    }
    return SKY_OK;
}

/* "train ..." is this program's command, whatever the search path holds. */
static sky_status build_command(const struct sky_args *args, char ***out)
{
    static const char *const own[] = {"train", "eval", "bench"};
    static char program[] = "/proc/self/exe";
    char **command = NULL;
    int at = 0;
    SKY_TRY(sky_alloc(&command, (size_t)args->operand_count + 2, sizeof *command, "launch"));
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (!strcmp(args->operands[0], own[i])) command[at++] = program;
    for (int i = 0; i < args->operand_count; i++) command[at++] = (char *)args->operands[i]; /* execvp leaves them as they are */
    *out = command;
    return SKY_OK;
}

static void free_launch(struct launch *launch)
{
    for (int r = 0; r < launch->size && launch->children; r++) {
        if (launch->children[r].process > 0) kill(-launch->children[r].process, SIGKILL), waitpid(launch->children[r].process, NULL, 0);
        if (launch->children[r].errors >= 0) close(launch->children[r].errors);
    }
    if (launch->signals >= 0) close(launch->signals);
    if (launch->channel >= 0) close(launch->channel);
    sky_board_free(launch->board);
    free(launch->children);
    free(launch->command);
}

static sky_status run(const struct sky_args *args)
{
    struct launch launch = {.signals = -1, .channel = -1, .bind = !sky_args_given(args, "no-bind")};
    sky_status status = SKY_OK;
    int64_t size = 0;
    SKY_TRY(sky_args_int(args, "ranks", 1, MAX_LOCAL, &size));
    if (size == 0) return sky_fail(SKY_USAGE, "launch", "needs -n N, the number of ranks");
    SKY_TRY(check_not_nested());
    launch.size = (int)size;
    SKY_TRY_DONE(sky_alloc(&launch.children, (size_t)size, sizeof *launch.children, "launch"));
    for (int r = 0; r < launch.size; r++) launch.children[r].errors = -1;
    SKY_TRY_DONE(build_command(args, &launch.command));
    SKY_TRY_DONE(sky_board_create(&launch.board, launch.size, sky_local_box_bytes(launch.size), &launch.channel));
    SKY_TRY_DONE(sky_rank_signals(&launch.signals));
    if (sched_getaffinity(0, sizeof launch.cores, &launch.cores)) CPU_ZERO(&launch.cores);
    launch.core_count = CPU_COUNT(&launch.cores);
    for (int r = 0; r < launch.size; r++) SKY_TRY_DONE(start_rank(&launch, r));
    SKY_TRY_DONE(attend(&launch));
done:
    free_launch(&launch);
    if (status != SKY_OK || launch.code == 0) return status;
    sky_console_close();
    exit(launch.code); /* the ranks have said why */
}

static const struct sky_option options[] = {
    {"ranks", 'n', "N", NULL, "processes to start, one a device", false},
    {"no-bind", 0, NULL, NULL, "let every rank use all cores instead of its share", false},
    {NULL, 0, NULL, NULL, NULL, false},
};

const struct sky_command sky_command_launch = {
    .name = "launch",
    .operands = "COMMAND...",
    .min_operands = 1,
    .max_operands = -1,
    .doc = "run a command as N ranks on this machine, without MPI",
    .details = "COMMAND is a program with its arguments, or train, eval or bench of this one: skygem launch -n 4 train EXPERIMENT.ini.\n"
               "stdout is shared; what rank k > 0 writes to stderr is marked [rank k]. Signals are passed on. When a rank ends badly the others are told,\n"
               "and killed if they have not ended some seconds later. The exit code is the first failed rank's own, or 5 when one died or hung.",
    .options = options,
    .passes_on = true,
    .run = run,
};
