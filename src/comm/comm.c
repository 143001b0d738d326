/*
 * The interface behind comm.h: a queue of collectives in the order of the calls, and the thread that works them off, so that sums go on beside the caller's
 * work and a caller never hangs in a library. One rank alone needs no thread: its collectives run in the call. Owns the queue, the thread, and the board where
 * the place brings none; data stays the callers'.
 */
#define _GNU_SOURCE /* pthread_condattr_setclock under -std=c11 */
#include "collective.h"
#include "sum.h"

#include "base/clock.h"
#include "base/memory.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { QUEUE = 64, PROGRAM_BYTES = 64 };
static const double grace = 8, idle_seconds = 0.2;

struct sky_comm {
    struct sky_comm_place place;
    struct sky_board *own_board; /* when the place has none */
    struct sky_board *board;
    struct sky_seat *seat; /* this rank's */
    struct sky_lane lane;
    char program[PROGRAM_BYTES];
    char phase[SKY_PHASE_BYTES];
    int64_t step;
    double exposed;
    bool has_thread;
    pthread_t thread;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t moved;
    struct sky_request queue[QUEUE];
    uint64_t asked, done; /* collectives since the start */
    sky_status status;    /* of the first failure; nothing runs after it */
    struct sky_error error;
};

static const struct sky_transport *transport_of(enum sky_comm_kind kind)
{
    return kind == SKY_COMM_SELF ? &sky_transport_self : kind == SKY_COMM_LOCAL ? &sky_transport_local : &sky_transport_mpi;
}

/* ---- one request, on the thread ---- */

static sky_status run(struct sky_comm *comm, struct sky_request *request)
{
    const enum sky_collective kind = (enum sky_collective)request->announcement.kind;
    sky_status status = SKY_OK;
    if (kind == SKY_ANNOUNCE_ABORT) return comm->lane.transport->fail(comm->lane.state, &comm->seat->error), SKY_OK;
    if (kind == SKY_ANNOUNCE_OPEN) SKY_TRY(comm->lane.transport->open(&comm->lane.state, &comm->place, comm->board));
    sky_seat_enter(comm->seat, request->announcement.what);
    status = sky_collective_run(&comm->lane, request);
    if (status == SKY_OK) sky_seat_enter(comm->seat, ""); /* a failed one stays, for who asks where this rank was */
    if (status == SKY_OK && kind == SKY_ANNOUNCE_CLOSE) status = comm->lane.transport->close(comm->lane.state);
    return status;
}

/* ---- the queue ---- */

static struct timespec deadline_in(double seconds)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    const double whole = (double)at.tv_nsec * 1e-9 + seconds;
    at.tv_sec += (time_t)whole;
    at.tv_nsec = (long)((whole - (double)(time_t)whole) * 1e9);
    return at;
}

/* Waits for a request; meanwhile listens to the others. Called with the lock held. */
static void wait_for_request(struct sky_comm *comm)
{
    while (comm->done == comm->asked) {
        if (!comm->lane.transport->idle) {
            pthread_cond_wait(&comm->moved, &comm->lock);
            continue;
        }
        const struct timespec limit = deadline_in(idle_seconds);
        if (pthread_cond_timedwait(&comm->moved, &comm->lock, &limit) == 0 || !comm->lane.state) continue;
        pthread_mutex_unlock(&comm->lock);
        comm->lane.transport->idle(comm->lane.state);
        pthread_mutex_lock(&comm->lock);
    }
}

static void *thread_main(void *argument)
{
    struct sky_comm *comm = argument;
    bool last = false;
    pthread_mutex_lock(&comm->lock);
    while (!last) {
        wait_for_request(comm);
        struct sky_request *request = &comm->queue[comm->done % QUEUE];
        const uint32_t kind = request->announcement.kind;
        const bool wanted = comm->status == SKY_OK || kind == SKY_ANNOUNCE_ABORT;
        pthread_mutex_unlock(&comm->lock);
        const sky_status status = wanted ? run(comm, request) : SKY_OK;
        pthread_mutex_lock(&comm->lock);
        if (status != SKY_OK && comm->status == SKY_OK) comm->status = status, comm->error = *sky_error_last();
        last = kind == SKY_ANNOUNCE_ABORT || (kind == SKY_ANNOUNCE_CLOSE && comm->status == SKY_OK); /* a close that failed is followed by an abort */
        comm->done++;
        pthread_cond_broadcast(&comm->moved);
    }
    pthread_mutex_unlock(&comm->lock);
    return NULL;
}

/* Returns the ticket to wait for. */
static uint64_t enqueue(struct sky_comm *comm, const struct sky_request *request)
{
    pthread_mutex_lock(&comm->lock);
    while (comm->asked - comm->done >= QUEUE) pthread_cond_wait(&comm->moved, &comm->lock);
    comm->queue[comm->asked % QUEUE] = *request;
    const uint64_t ticket = ++comm->asked;
    pthread_cond_broadcast(&comm->moved);
    pthread_mutex_unlock(&comm->lock);
    return ticket;
}

/* seconds 0: however long it takes (the transport has its own time-out). False when time was up. */
static bool wait_for(struct sky_comm *comm, uint64_t ticket, double seconds)
{
    const struct timespec limit = deadline_in(seconds);
    bool in_time = true;
    pthread_mutex_lock(&comm->lock);
    while (comm->done < ticket && in_time) {
        if (seconds <= 0) pthread_cond_wait(&comm->moved, &comm->lock);
        else in_time = pthread_cond_timedwait(&comm->moved, &comm->lock, &limit) == 0 || comm->done >= ticket;
    }
    pthread_mutex_unlock(&comm->lock);
    return in_time;
}

static sky_status first_failure(struct sky_comm *comm)
{
    pthread_mutex_lock(&comm->lock);
    const sky_status status = comm->status == SKY_OK ? SKY_OK : sky_error_set(&comm->error);
    pthread_mutex_unlock(&comm->lock);
    return status;
}

static struct sky_request request_of(struct sky_comm *comm, enum sky_collective kind, int64_t size, const char *what)
{
    struct sky_request request = {.announcement = {.kind = (uint32_t)kind, .size = size, .step = comm->step, .sequence = comm->asked}};
    memcpy(request.announcement.phase, comm->phase, sizeof comm->phase);
    snprintf(request.announcement.what, sizeof request.announcement.what, "%s", what);
    return request;
}

/* Asks and waits. */
static sky_status call(struct sky_comm *comm, struct sky_request *request)
{
    if (!comm->has_thread) return run(comm, request);
    wait_for(comm, enqueue(comm, request), 0);
    return first_failure(comm);
}

/* ---- opening and closing ---- */

static sky_status check_place(const struct sky_comm_place *place)
{
    if (place->size < 1 || place->size > SKY_MAX_RANKS || place->rank < 0 || place->rank >= place->size || !(place->timeout_seconds > 0))
        return sky_fail(SKY_INTERNAL, "ranks", "rank %d of %d with a timeout of %g s cannot be", place->rank, place->size, place->timeout_seconds);
    if (place->kind == SKY_COMM_SELF && place->size > 1) return sky_fail(SKY_INTERNAL, "ranks", "a run alone has one rank, not %d", place->size);
    if (place->board && place->board->size != place->size)
        return sky_fail(SKY_USAGE, "ranks", "the launcher's memory is for %d ranks, but there are said to be %d", place->board->size, place->size);
    return SKY_OK;
}

static sky_status take_seat(struct sky_comm *comm)
{
    int32_t nobody = 0;
    comm->seat = sky_board_seat(comm->board, comm->place.rank);
    const int32_t me = (int32_t)getpid();
    if (!atomic_compare_exchange_strong(&comm->seat->process, &nobody, me) && nobody != me) {
        sky_fail(SKY_USAGE, "ranks", "rank %d is process %d already", comm->place.rank, (int)nobody);
        return sky_hint("two runs share one launcher, or the command starts several programs that communicate: start one skygem a rank");
    }
    if (atomic_load(&comm->seat->state) != SKY_SEAT_EMPTY) return sky_fail(SKY_USAGE, "ranks", "rank %d of this launch was opened before", comm->place.rank);
    sky_seat_set(comm->seat, comm->phase, comm->step);
    atomic_store(&comm->seat->state, SKY_SEAT_OPEN);
    sky_board_ring(comm->board);
    return SKY_OK;
}

/* Signals are the main thread's. */
static sky_status start_thread(struct sky_comm *comm)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int error = pthread_create(&comm->thread, NULL, thread_main, comm);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error) return sky_fail(SKY_NOMEM, "ranks", "cannot start a thread: %s", strerror(error));
    comm->has_thread = true;
    return SKY_OK;
}

static void free_comm(struct sky_comm *comm)
{
    if (comm->has_thread) pthread_join(comm->thread, NULL);
    sky_board_free(comm->own_board);
    pthread_cond_destroy(&comm->moved);
    pthread_mutex_destroy(&comm->lock);
    free(comm->lane.out);
    free(comm->lane.in);
    free(comm);
}

/* The last request; after it the thread ends. A thread that hangs in a library keeps its memory. */
static void end_thread(struct sky_comm *comm, struct sky_request *request, double seconds)
{
    if (!comm->has_thread) run(comm, request);
    else if (!wait_for(comm, enqueue(comm, request), seconds)) {
        pthread_detach(comm->thread);
        return;
    }
    free_comm(comm);
}

/* The first collective, and a check that all ranks are the same program. */
static sky_status meet(struct sky_comm *comm)
{
    struct sky_request request = request_of(comm, SKY_ANNOUNCE_OPEN, 0, "meeting");
    if (!comm->has_thread) return run(comm, &request);
    if (!wait_for(comm, enqueue(comm, &request), comm->place.timeout_seconds + grace)) {
        sky_fail(SKY_PEER, "start-up, meeting", "not all of the %d ranks have started within %.3g s; MPI does not tell which", comm->place.size, comm->place.timeout_seconds);
        return sky_hint("look for the missing process on each machine; [distributed] timeout_s is how long the others wait");
    }
    SKY_TRY(first_failure(comm));
    const sky_status status = sky_comm_same(comm, comm->program, sizeof comm->program, "the program's version");
    return status == SKY_PEER ? sky_hint("this rank is '%s': install the same skygem on every machine", comm->program) : status;
}

static sky_status prepare(struct sky_comm *comm, const struct sky_comm_place *place)
{
    pthread_condattr_t clock;
    comm->place = *place;
    comm->place.program = comm->program;
    comm->step = -1;
    snprintf(comm->program, sizeof comm->program, "%s", place->program ? place->program : "");
    snprintf(comm->phase, sizeof comm->phase, "start-up");
    pthread_mutex_init(&comm->lock, NULL);
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&comm->moved, &clock);
    pthread_condattr_destroy(&clock);
    comm->lane = (struct sky_lane){.transport = transport_of(place->kind), .rank = place->rank, .size = place->size};
    SKY_TRY(sky_alloc(&comm->lane.out, (size_t)place->size, sizeof *comm->lane.out, "the ranks' parts"));
    SKY_TRY(sky_alloc(&comm->lane.in, (size_t)place->size, sizeof *comm->lane.in, "the ranks' parts"));
    if (!place->board) SKY_TRY(sky_board_create(&comm->own_board, place->size, 0, NULL));
    comm->board = place->board ? place->board : comm->own_board;
    comm->place.board = comm->board;
    SKY_TRY(take_seat(comm));
    return place->size > 1 ? start_thread(comm) : SKY_OK;
}

sky_status sky_comm_open(struct sky_comm **out, const struct sky_comm_place *place)
{
    struct sky_comm *comm = NULL;
    SKY_TRY(check_place(place));
    SKY_TRY(sky_alloc(&comm, 1, sizeof *comm, "the ranks' communication"));
    sky_status status = prepare(comm, place);
    if (status != SKY_OK) {
        free_comm(comm);
        return status;
    }
    *out = comm; /* also when they do not meet: those who have come are to be told */
    return meet(comm);
}

sky_status sky_comm_close(struct sky_comm *comm)
{
    if (!comm) return SKY_OK;
    struct sky_request request = request_of(comm, SKY_ANNOUNCE_CLOSE, 0, "the end");
    sky_status status = SKY_OK;
    if (!comm->has_thread) status = run(comm, &request);
    else if (!wait_for(comm, enqueue(comm, &request), comm->place.timeout_seconds + grace))
        status = sky_fail(SKY_PEER, "the end", "the ranks do not come apart within %.3g s", comm->place.timeout_seconds);
    else status = first_failure(comm);
    SKY_TRY(status);
    sky_seat_end(comm->board, comm->place.rank, SKY_SEAT_CLOSED, NULL);
    free_comm(comm);
    return SKY_OK;
}

void sky_comm_abort(struct sky_comm *comm, const struct sky_error *error)
{
    if (!comm) return;
    struct sky_request request = request_of(comm, SKY_ANNOUNCE_ABORT, 0, "the end of a failed run");
    sky_seat_end(comm->board, comm->place.rank, SKY_SEAT_FAILED, error); /* an exchange under way sees that and gives up */
    end_thread(comm, &request, grace);
}

/* ---- reading ---- */

int sky_comm_rank(const struct sky_comm *comm)
{
    return comm ? comm->place.rank : 0;
}

int sky_comm_size(const struct sky_comm *comm)
{
    return comm ? comm->place.size : 1;
}

const struct sky_comm_place *sky_comm_place(const struct sky_comm *comm)
{
    return comm ? &comm->place : NULL;
}

void sky_comm_at(struct sky_comm *comm, const char *phase, int64_t step)
{
    if (!comm) return;
    memset(comm->phase, 0, sizeof comm->phase);
    snprintf(comm->phase, sizeof comm->phase, "%s", phase);
    comm->step = step;
    sky_seat_set(comm->seat, phase, step);
}

double sky_comm_exposed_seconds(struct sky_comm *comm)
{
    const double seconds = comm ? comm->exposed : 0;
    if (comm) comm->exposed = 0;
    return seconds;
}

sky_status sky_comm_check(struct sky_comm *comm)
{
    if (!comm) return SKY_OK;
    SKY_TRY(first_failure(comm));
    for (int r = 0; r < comm->place.size; r++) {
        const struct sky_seat *seat = sky_board_seat(comm->board, r);
        const uint32_t state = atomic_load_explicit(&seat->state, memory_order_acquire);
        const struct sky_request now = request_of(comm, SKY_ANNOUNCE_BARRIER, 0, "waiting");
        if (r != comm->place.rank && state != SKY_SEAT_OPEN && state != SKY_SEAT_EMPTY) return sky_peer_ended(&now.announcement, r, seat);
    }
    return SKY_OK;
}

/* ---- collectives ---- */

sky_status sky_comm_reduce_start(struct sky_comm *comm, void *data, int64_t count, enum sky_dtype dtype, enum sky_comm_sum sum, const char *what)
{
    SKY_TRY(sky_sum_check(dtype, sum, what));
    if (!comm || !comm->has_thread) return SKY_OK; /* the sum of one */
    SKY_TRY(first_failure(comm));
    struct sky_request request = request_of(comm, SKY_ANNOUNCE_REDUCE, count, what);
    request.announcement.dtype = dtype, request.announcement.sum = sum;
    request.data = data;
    enqueue(comm, &request);
    return SKY_OK;
}

sky_status sky_comm_reduce_wait(struct sky_comm *comm)
{
    if (!comm || !comm->has_thread) return SKY_OK;
    const double begin = sky_now();
    wait_for(comm, comm->asked, 0);
    comm->exposed += sky_now() - begin;
    return first_failure(comm);
}

sky_status sky_comm_reduce(struct sky_comm *comm, void *data, int64_t count, enum sky_dtype dtype, enum sky_comm_sum sum, const char *what)
{
    SKY_TRY(sky_comm_reduce_start(comm, data, count, dtype, sum, what));
    if (!comm || !comm->has_thread) return SKY_OK;
    wait_for(comm, comm->asked, 0);
    return first_failure(comm);
}

sky_status sky_comm_broadcast(struct sky_comm *comm, void *data, size_t bytes, int root, const char *what)
{
    if (root < 0 || root >= sky_comm_size(comm)) return sky_fail(SKY_INTERNAL, what, "there is no rank %d to broadcast from", root);
    if (!comm) return SKY_OK;
    struct sky_request request = request_of(comm, SKY_ANNOUNCE_BROADCAST, (int64_t)bytes, what);
    request.announcement.root = root;
    request.data = data;
    return call(comm, &request);
}

sky_status sky_comm_gather(struct sky_comm *comm, const void *mine, size_t bytes, void *all, const char *what)
{
    if (!comm) {
        if (bytes) memmove(all, mine, bytes);
        return SKY_OK;
    }
    struct sky_request request = request_of(comm, SKY_ANNOUNCE_GATHER, (int64_t)bytes, what);
    request.mine = mine, request.all = all;
    return call(comm, &request);
}

sky_status sky_comm_barrier(struct sky_comm *comm, const char *what)
{
    if (!comm) return SKY_OK;
    struct sky_request request = request_of(comm, SKY_ANNOUNCE_BARRIER, 0, what);
    return call(comm, &request);
}

sky_status sky_comm_same(struct sky_comm *comm, const void *bytes, size_t count, const char *what)
{
    if (!comm) return SKY_OK;
    struct sky_request request = request_of(comm, SKY_ANNOUNCE_SAME, (int64_t)count, what);
    request.mine = bytes;
    return call(comm, &request);
}

/* ---- agreeing ---- */

/* What each rank brings: its status and the beginning of its message. */
struct verdict {
    int32_t status;
    char where[124], what[384];
};

sky_status sky_comm_agree(struct sky_comm *comm, sky_status mine, const char *what)
{
    if (!comm || !comm->has_thread) return mine;
    const struct sky_error error = *sky_error_last();
    struct verdict my_verdict = {.status = mine}, *all = NULL;
    if (mine != SKY_OK) snprintf(my_verdict.where, sizeof my_verdict.where, "%.120s", error.where), snprintf(my_verdict.what, sizeof my_verdict.what, "%.380s", error.what);
    SKY_TRY(sky_alloc(&all, (size_t)comm->place.size, sizeof *all, "the ranks' verdicts"));
    sky_status status = sky_comm_gather(comm, &my_verdict, sizeof my_verdict, all, what);
    for (int r = 0; r < comm->place.size && status == SKY_OK && mine == SKY_OK; r++) {
        const struct sky_request now = request_of(comm, SKY_ANNOUNCE_GATHER, 0, what);
        if (all[r].status != SKY_OK) status = sky_peer_fail(&now.announcement, "rank %d has failed: %s%s%s", r, all[r].where, *all[r].where ? ": " : "", all[r].what);
    }
    free(all);
    return mine != SKY_OK ? sky_error_set(&error) : status;
}
