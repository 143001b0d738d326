/*
 * The transport between machines: MPI, of which only messages from rank to rank are used. Its own collectives wait for ever for a rank that hangs or has left
 * (and may add in any order); these exchanges are tested for again and again, so they have a time-out, hear of ranks that have failed, and notice one that is
 * elsewhere. All of MPI happens on the comm's one thread, from MPI_Init to MPI_Finalize, so MPI_THREAD_FUNNELED is enough: for MPI that thread is the main one.
 * Owns its buffers; after a failure messages may still be under way, and they stay until the process ends.
 */
#include "transport.h"

#include "base/clock.h"
#include "base/memory.h"

#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { TAG_HEADER = 1, TAG_DATA, TAG_FAREWELL, LAYOUT = 1, SPINS = 100, LINES = 64 };
static const double farewell_seconds = 3, farewell_peer_seconds = 4; /* who only suffers from another's end leaves after it, so that the job ends with the other's exit code */

struct header {
    char magic[8];
    uint32_t layout, unused; /* raise LAYOUT whenever this, the announcement or the farewell changes */
    uint64_t exchange, bytes; /* of the data that follows under TAG_DATA */
    struct sky_announcement announcement;
};
static const char magic[8] = "skyranks";

/* What a rank that fails tells the others. */
struct farewell {
    int32_t status;
    char where[124], what[384];
};

enum { HEADER_IN, DATA_IN, HEADER_OUT, DATA_OUT, WAYS };

struct mpi {
    struct sky_board *board;
    int rank, size;
    double timeout;
    uint64_t exchanges;
    struct header *headers_in, *headers_out; /* [size] */
    MPI_Request *requests;                   /* [WAYS][size] */
    int *indices;                            /* [WAYS * size] */
    MPI_Status *statuses;                    /* [WAYS * size], not looked at: MPICH's header makes compilers ask for room */
    unsigned char *memory;                   /* what was received in the last exchange */
    size_t memory_bytes;
    MPI_Request listening; /* for a farewell from anyone */
    struct farewell heard, said;
};

static sky_status check(int code, const char *what)
{
    char text[MPI_MAX_ERROR_STRING] = "";
    int length = 0;
    if (code == MPI_SUCCESS) return SKY_OK;
    MPI_Error_string(code, text, &length);
    return sky_fail(SKY_PEER, "MPI", "%s: %.500s", what, text);
}

bool sky_comm_mpi_library(char *out, size_t out_bytes)
{
    char text[MPI_MAX_LIBRARY_VERSION_STRING] = "";
    int length = 0;
    MPI_Get_library_version(text, &length);
    snprintf(out, out_bytes, "%.*s", (int)strcspn(text, ",\n"), text);
    return true;
}

/* ---- farewells ---- */

static sky_status listen_for_farewells(struct mpi *mpi)
{
    return check(MPI_Irecv(&mpi->heard, (int)sizeof mpi->heard, MPI_BYTE, MPI_ANY_SOURCE, TAG_FAREWELL, MPI_COMM_WORLD, &mpi->listening), "listening");
}

/* Notes on the board who has failed; returns how many have told so since the last call. */
static int hear(struct mpi *mpi)
{
    int count = 0;
    for (;;) {
        MPI_Status from;
        int done = 0;
        if (mpi->listening == MPI_REQUEST_NULL || MPI_Test(&mpi->listening, &done, &from) != MPI_SUCCESS || !done) return count;
        struct sky_error error = {.status = SKY_PEER};
        snprintf(error.where, sizeof error.where, "%.123s", mpi->heard.where);
        snprintf(error.what, sizeof error.what, "%.383s", mpi->heard.what);
        sky_seat_end(mpi->board, from.MPI_SOURCE, SKY_SEAT_FAILED, &error);
        count++;
        if (listen_for_farewells(mpi) != SKY_OK) return count;
    }
}

static void mpi_idle(void *state)
{
    hear(state);
}

/* ---- opening ---- */

static sky_status start_mpi(const struct sky_comm_place *place)
{
    int started = 0, provided = MPI_THREAD_SINGLE, rank = 0, size = 0;
    MPI_Initialized(&started);
    if (started) MPI_Query_thread(&provided);
    else if (MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &provided) != MPI_SUCCESS) return sky_fail(SKY_DEVICE, "MPI", "cannot start");
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    if (provided < (started ? MPI_THREAD_SERIALIZED : MPI_THREAD_FUNNELED)) {
        sky_fail(SKY_UNSUPPORTED, "MPI", "this MPI is not for programs with threads (level %d)", provided);
        return sky_hint("use an MPI that is built with thread support");
    }
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    if (rank == place->rank && size == place->size) return SKY_OK;
    sky_fail(SKY_USAGE, "MPI", "was started as rank %d of %d, but MPI says rank %d of %d: the ranks would not find each other", place->rank, place->size, rank, size);
    return sky_hint("mpirun must belong to the MPI that skygem is built with (`skygem doctor`); under SLURM try srun --mpi=pmix or --mpi=pmi2");
}

static sky_status mpi_open(void **state, const struct sky_comm_place *place, struct sky_board *board)
{
    const size_t size = (size_t)place->size;
    struct mpi *mpi = NULL;
    SKY_TRY(start_mpi(place));
    SKY_TRY(sky_alloc(&mpi, 1, sizeof *mpi, "the ranks' communication"));
    *mpi = (struct mpi){.board = board, .rank = place->rank, .size = place->size, .timeout = place->timeout_seconds, .listening = MPI_REQUEST_NULL};
    *state = mpi;
    SKY_TRY(sky_alloc(&mpi->headers_in, size, sizeof *mpi->headers_in, "the ranks' messages"));
    SKY_TRY(sky_alloc(&mpi->headers_out, size, sizeof *mpi->headers_out, "the ranks' messages"));
    SKY_TRY(sky_alloc(&mpi->requests, WAYS * size, sizeof *mpi->requests, "the ranks' messages"));
    SKY_TRY(sky_alloc(&mpi->indices, WAYS * size, sizeof *mpi->indices, "the ranks' messages"));
    SKY_TRY(sky_alloc(&mpi->statuses, WAYS * size, sizeof *mpi->statuses, "the ranks' messages"));
    for (size_t i = 0; i < WAYS * size; i++) mpi->requests[i] = MPI_REQUEST_NULL;
    return listen_for_farewells(mpi);
}

/* ---- one exchange ---- */

static MPI_Request *request_of(const struct mpi *mpi, int way, int r)
{
    return &mpi->requests[way * mpi->size + r];
}

static size_t padded(size_t bytes)
{
    return (bytes + LINES - 1) / LINES * LINES;
}

/* Room for what the others have for us; in[r].data points to it. */
static sky_status make_room(struct mpi *mpi, struct sky_part *in)
{
    size_t bytes = 0;
    for (int r = 0; r < mpi->size; r++) bytes += padded(in[r].bytes);
    if (bytes > mpi->memory_bytes) {
        free(mpi->memory);
        mpi->memory = NULL, mpi->memory_bytes = 0;
        SKY_TRY(sky_alloc(&mpi->memory, bytes, 1, "the ranks' messages"));
        mpi->memory_bytes = bytes;
    }
    bytes = 0;
    for (int r = 0; r < mpi->size; r++) in[r].data = mpi->memory + bytes, bytes += padded(in[r].bytes);
    return SKY_OK;
}

static sky_status start_messages(struct mpi *mpi, const struct sky_announcement *mine, const struct sky_part *out, const struct sky_part *in)
{
    for (int i = 1; i < mpi->size; i++) {
        const int r = (mpi->rank + i) % mpi->size; /* not all to rank 0 first */
        struct header *header = &mpi->headers_out[r];
        *header = (struct header){.layout = LAYOUT, .exchange = mpi->exchanges, .bytes = out[r].bytes, .announcement = *mine};
        memcpy(header->magic, magic, sizeof magic);
        SKY_TRY(check(MPI_Irecv(&mpi->headers_in[r], (int)sizeof *header, MPI_BYTE, r, TAG_HEADER, MPI_COMM_WORLD, request_of(mpi, HEADER_IN, r)), "receiving"));
        if (in[r].bytes)
            SKY_TRY(check(MPI_Irecv((void *)in[r].data, (int)in[r].bytes, MPI_BYTE, r, TAG_DATA, MPI_COMM_WORLD, request_of(mpi, DATA_IN, r)), "receiving"));
        SKY_TRY(check(MPI_Isend(header, (int)sizeof *header, MPI_BYTE, r, TAG_HEADER, MPI_COMM_WORLD, request_of(mpi, HEADER_OUT, r)), "sending"));
        if (out[r].bytes) SKY_TRY(check(MPI_Isend(out[r].data, (int)out[r].bytes, MPI_BYTE, r, TAG_DATA, MPI_COMM_WORLD, request_of(mpi, DATA_OUT, r)), "sending"));
    }
    return SKY_OK;
}

static sky_status check_header(struct mpi *mpi, const struct sky_announcement *mine, int r, size_t expected)
{
    const struct header *header = &mpi->headers_in[r];
    struct sky_seat *seat = sky_board_seat(mpi->board, r);
    if (memcmp(header->magic, magic, sizeof magic) || header->layout != LAYOUT) {
        sky_peer_fail(mine, "rank %d is another version of this program", r);
        return sky_hint("install the same skygem on every machine");
    }
    if (atomic_load(&seat->state) == SKY_SEAT_EMPTY) atomic_store(&seat->state, SKY_SEAT_OPEN); /* its farewell may have overtaken this */
    sky_seat_set(seat, header->announcement.phase, header->announcement.step);
    sky_seat_enter(seat, header->announcement.what);
    SKY_TRY(sky_announcement_check(mine, r, &header->announcement));
    if (header->exchange == mpi->exchanges && header->bytes == expected) return SKY_OK;
    return sky_peer_fail(mine, "rank %d sends %llu bytes in exchange %llu, this rank waits for %zu in exchange %llu", r, (unsigned long long)header->bytes,
                         (unsigned long long)header->exchange, expected, (unsigned long long)mpi->exchanges);
}

/* Moves messages on. *pending: some are still under way. */
static sky_status progress(struct mpi *mpi, const struct sky_announcement *mine, const struct sky_part *in, bool *pending)
{
    int done = 0;
    const int code = MPI_Testsome(WAYS * mpi->size, mpi->requests, &done, mpi->indices, mpi->statuses);
    for (int i = 0; code == MPI_SUCCESS && done != MPI_UNDEFINED && i < done; i++) {
        const int way = mpi->indices[i] / mpi->size, r = mpi->indices[i] % mpi->size;
        if (way == HEADER_IN) SKY_TRY(check_header(mpi, mine, r, in[r].bytes));
    }
    if (code != MPI_SUCCESS) return check(code, "exchanging messages");
    *pending = done != MPI_UNDEFINED;
    return SKY_OK;
}

/* The first rank that something is still to come from, or to go to. */
static int awaited(const struct mpi *mpi)
{
    static const int order[WAYS] = {HEADER_IN, DATA_IN, DATA_OUT, HEADER_OUT};
    for (int i = 0; i < WAYS; i++)
        for (int r = 0; r < mpi->size; r++)
            if (*request_of(mpi, order[i], r) != MPI_REQUEST_NULL) return r;
    return mpi->rank;
}

/* Has anyone ended whom we wait for, or have we waited too long? */
static sky_status look_around(struct mpi *mpi, const struct sky_announcement *mine, double begin, bool *warned)
{
    const int r = awaited(mpi);
    const double waited = sky_now() - begin;
    if (atomic_load_explicit(&sky_board_seat(mpi->board, mpi->rank)->state, memory_order_acquire) != SKY_SEAT_OPEN) return sky_peer_fail(mine, "this rank has failed meanwhile");
    hear(mpi);
    for (int peer = 0; peer < mpi->size; peer++) {
        const struct sky_seat *seat = sky_board_seat(mpi->board, peer);
        const bool here = *request_of(mpi, HEADER_IN, peer) == MPI_REQUEST_NULL && *request_of(mpi, DATA_IN, peer) == MPI_REQUEST_NULL;
        if (atomic_load_explicit(&seat->state, memory_order_relaxed) == SKY_SEAT_FAILED && !here) return sky_peer_ended(mine, peer, seat);
    }
    if (waited > mpi->timeout) return sky_peer_late(mine, r, sky_board_seat(mpi->board, r), mpi->timeout);
    if (waited > sky_peer_patience(mpi->timeout) && !*warned) *warned = true, sky_peer_warn(mine, r, sky_board_seat(mpi->board, r), waited);
    return SKY_OK;
}

/* Short waits cost little, long ones no processor that the caller's work could use. Yielding instead would wait for whole time slices of others. */
static void nap(int64_t polls)
{
    const struct timespec some = {.tv_nsec = polls < 1000 ? 50000 : 500000};
    if (polls >= SPINS) nanosleep(&some, NULL);
}

static sky_status mpi_exchange(void *state, const struct sky_announcement *mine, const struct sky_part *out, struct sky_part *in)
{
    struct mpi *mpi = state;
    const double begin = sky_now();
    bool warned = false, pending = true;
    mpi->exchanges++;
    SKY_TRY(make_room(mpi, in));
    SKY_TRY(start_messages(mpi, mine, out, in));
    for (int64_t polls = 0; pending; polls++) {
        SKY_TRY(progress(mpi, mine, in, &pending));
        if (pending && polls >= SPINS) SKY_TRY(look_around(mpi, mine, begin, &warned));
        if (pending) nap(polls);
    }
    in[mpi->rank] = out[mpi->rank];
    return SKY_OK;
}

/* ---- the end ---- */

static sky_status mpi_close(void *state)
{
    struct mpi *mpi = state;
    if (mpi->listening != MPI_REQUEST_NULL) {
        MPI_Cancel(&mpi->listening);
        MPI_Wait(&mpi->listening, MPI_STATUS_IGNORE);
    }
    free(mpi->headers_in);
    free(mpi->headers_out);
    free(mpi->requests);
    free(mpi->indices);
    free(mpi->statuses);
    free(mpi->memory);
    free(mpi);
    return check(MPI_Finalize(), "ending");
}

/* Tells the others, waits until they have told that they end too (they have then printed why), and ends the job. */
static void mpi_fail(void *state, const struct sky_error *error)
{
    struct mpi *mpi = state;
    const bool suffers = error->status == SKY_PEER;
    const double begin = sky_now();
    int heard = 0;
    if (!mpi) return; /* MPI has not started: it ends the others when we exit */
    mpi->said.status = (int32_t)error->status;
    snprintf(mpi->said.where, sizeof mpi->said.where, "%.123s", error->where);
    snprintf(mpi->said.what, sizeof mpi->said.what, "%.383s", error->what);
    for (int r = 0; r < mpi->size; r++) {
        MPI_Request request = MPI_REQUEST_NULL;
        if (r != mpi->rank && MPI_Isend(&mpi->said, (int)sizeof mpi->said, MPI_BYTE, r, TAG_FAREWELL, MPI_COMM_WORLD, &request) == MPI_SUCCESS) MPI_Request_free(&request);
    }
    for (int r = 0; r < mpi->size; r++) heard += r != mpi->rank && atomic_load(&sky_board_seat(mpi->board, r)->state) == SKY_SEAT_FAILED;
    for (int64_t polls = SPINS; suffers || heard < mpi->size - 1; polls++) {
        if (sky_now() - begin > (suffers ? farewell_peer_seconds : farewell_seconds)) break;
        heard += hear(mpi);
        nap(polls);
    }
    MPI_Abort(MPI_COMM_WORLD, sky_status_exit_code(error->status));
}

const struct sky_transport sky_transport_mpi = {.open = mpi_open, .exchange = mpi_exchange, .idle = mpi_idle, .close = mpi_close, .fail = mpi_fail};
