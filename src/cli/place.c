/*
 * The ranks' variables behind place.h: one row a family. Whoever started the processes sets one of them: `skygem launch`, OpenMPI's mpirun, launchers of the
 * MPICH family (PMI), srun.
 */
#define _GNU_SOURCE /* sched_getaffinity */
#include "place.h"

#include "base/str.h"
#include "base/threads.h"
#include "comm/board.h"
#include "console.h"
#include "skygem/skygem.h"
#include "watch.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

struct family {
    const char *name;
    enum sky_comm_kind kind;
    const char *rank, *size, *local_rank, *local_size;
};

/* The first whose variables are set counts: mpirun within srun sets both, and is the nearer one. SLURM_STEP_NUM_TASKS is there under srun alone, not in a batch script. */
static const struct family families[] = {
    {"skygem launch", SKY_COMM_LOCAL, "SKYGEM_RANK", "SKYGEM_SIZE", "SKYGEM_RANK", "SKYGEM_SIZE"},
    {"mpirun (OpenMPI)", SKY_COMM_MPI, "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE"},
    {"mpirun (PMI)", SKY_COMM_MPI, "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS"},
    {"srun", SKY_COMM_MPI, "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID", NULL},
};
enum { FAMILIES = sizeof families / sizeof *families };

/* A variable as a number; *out is untouched when it is not set. */
static sky_status read_number(const char *name, int low, int *out)
{
    const char *text = name ? getenv(name) : NULL;
    int64_t value = 0;
    if (!text) return SKY_OK;
    if (!sky_parse_int(text, &value) || value < low || value > SKY_MAX_RANKS) {
        sky_fail(SKY_USAGE, name, "'%s' is not what a launcher of ranks sets", text);
        return sky_hint("unset it, or start the ranks with mpirun, srun or skygem launch");
    }
    *out = (int)value;
    return SKY_OK;
}

/* "4(x2),3": tasks a node, in SLURM's way; the count of node `index`, or 1 when it does not say. */
static int tasks_of_node(const char *text, int index)
{
    while (text && *text) {
        char *end = NULL;
        const long tasks = strtol(text, &end, 10);
        long nodes = 1;
        if (end == text || tasks < 1) break;
        if (!strncmp(end, "(x", 2)) nodes = strtol(end + 2, &end, 10), end += *end == ')';
        if (index < nodes) return (int)tasks;
        index -= (int)nodes;
        text = *end == ',' ? end + 1 : NULL;
    }
    return 1;
}

/* True when this family's variables are set; they must then fit each other. */
static sky_status read_family(const struct family *family, struct sky_comm_place *place, bool *found)
{
    const char *size = getenv(family->size), *rank = getenv(family->rank);
    int node = 0;
    *found = false;
    if (!size) {
        if (!rank || family->kind != SKY_COMM_LOCAL) return SKY_OK; /* SLURM_PROCID alone: a batch script */
        return sky_fail(SKY_USAGE, family->rank, "is set, but %s is not", family->size);
    }
    if (!rank) {
        sky_fail(SKY_USAGE, family->size, "is set, but %s is not", family->rank);
        return sky_hint("unset it, or start the ranks with mpirun, srun or skygem launch");
    }
    SKY_TRY(read_number(family->rank, 0, &place->rank));
    SKY_TRY(read_number(family->size, 1, &place->size));
    SKY_TRY(read_number(family->local_rank, 0, &place->local_rank));
    SKY_TRY(read_number(family->local_size, 1, &place->local_size));
    SKY_TRY(read_number("SLURM_NODEID", 0, &node));
    if (!family->local_size) place->local_size = tasks_of_node(getenv("SLURM_STEP_TASKS_PER_NODE"), node);
    if (place->local_size <= place->local_rank && !(family->local_size && getenv(family->local_size))) place->local_size = place->local_rank + 1;
    if (place->rank >= place->size) return sky_fail(SKY_USAGE, family->rank, "rank %d of %d cannot be (%s)", place->rank, place->size, family->size);
    if (place->local_rank >= place->local_size || place->local_size > place->size)
        return sky_fail(SKY_USAGE, family->local_rank, "rank %d of %d on this machine cannot be, of %d in all", place->local_rank, place->local_size, place->size);
    place->kind = family->kind;
    *found = true;
    return SKY_OK;
}

/* Ranks of a launcher within ranks of another would be taken for one of the two. */
static sky_status check_one_launcher(const struct family *chosen)
{
    for (const struct family *other = families + 1; chosen == families && other < families + FAMILIES; other++) {
        int size = 1;
        SKY_TRY(read_number(other->size, 1, &size));
        if (size > 1) {
            sky_fail(SKY_USAGE, "ranks", "started by both %s (%s) and %s (%s)", chosen->name, chosen->size, other->name, other->size);
            return sky_hint("start the ranks with one of them: skygem launch on one machine, mpirun or srun on one or more");
        }
    }
    return SKY_OK;
}

static sky_status find_board(struct sky_comm_place *place)
{
    int descriptor = -1;
    SKY_TRY(read_number("SKYGEM_CHANNEL", 0, &descriptor));
    if (descriptor < 0) return sky_fail(SKY_USAGE, "SKYGEM_RANK", "is set, but SKYGEM_CHANNEL is not");
    SKY_TRY(sky_board_map(&place->board, descriptor));
    fcntl(descriptor, F_SETFD, FD_CLOEXEC);
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* also when a script stands between the launcher and us */
    return SKY_OK;
}

/* Processors that process `id` may use; 0 when that cannot be seen. */
static int processors_of(int id)
{
    cpu_set_t set;
    return sched_getaffinity(id, sizeof set, &set) ? 0 : CPU_COUNT(&set);
}

/* The launcher says it; under MPI the parent is not yet bound to some of the cores, where its ranks are: its share is the least that this rank can count on,
 * its own cores are the most. */
static sky_status share_cores(struct sky_comm_place *place)
{
    const int mine = sky_thread_count_default(), all = processors_of(getppid());
    place->threads = mine;
    if (place->kind == SKY_COMM_SELF) return SKY_OK;
    int share = (all > mine ? all : mine) / place->local_size;
    if (place->kind == SKY_COMM_LOCAL) SKY_TRY(read_number("SKYGEM_THREADS", 1, &share));
    place->threads = share < 1 ? 1 : share < mine ? share : mine;
    return SKY_OK;
}

sky_status sky_place_find(struct sky_comm_place *place, double timeout_seconds)
{
    struct sky_comm_place found = {.kind = SKY_COMM_SELF, .size = 1, .local_size = 1, .timeout_seconds = timeout_seconds, .program = "skygem " SKYGEM_VERSION};
    for (const struct family *family = families; family < families + FAMILIES; family++) {
        bool is_set = false;
        SKY_TRY(read_family(family, &found, &is_set));
        if (!is_set) continue;
        SKY_TRY(check_one_launcher(family));
        break;
    }
    if (found.size == 1) found.kind = SKY_COMM_SELF;
    SKY_TRY(share_cores(&found));
    if (found.kind == SKY_COMM_LOCAL) SKY_TRY(find_board(&found));
    if (found.kind == SKY_COMM_MPI) SKY_TRY(sky_watch_start(&found.board, found.rank, found.size, timeout_seconds));
    *place = found;
    return SKY_OK;
}

sky_status sky_place_end(struct sky_comm *comm, sky_status status)
{
    struct sky_error error = *sky_error_last();
    if (status == SKY_OK || status == SKY_INTERRUPTED) {
        struct sky_board *board = comm ? sky_comm_place(comm)->board : NULL;
        const bool ours = sky_comm_size(comm) > 1; /* sky_place_find's; else the comm's own */
        const sky_status closed = sky_comm_close(comm);
        if (closed == SKY_OK && ours) sky_board_free(board); /* after a failure a thread that hangs may still look at it */
        if (closed == SKY_OK) return status == SKY_OK ? SKY_OK : sky_error_set(&error);
        error = *sky_error_last();
    }
    sky_console_error(&error);
    sky_comm_abort(comm, &error);
    return sky_error_set(&error);
}
