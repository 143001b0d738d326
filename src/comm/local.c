/*
 * The transport of one machine: ranks that `skygem launch` started, over the board that they share. In each exchange a rank puts its parts into one of its two
 * boxes, says that it has come, and waits for the others; it may fill that box again two exchanges later, when all have come to the exchange between and so are
 * done reading. Waiting sleeps on the bell, and looks at how the others do. Owns only its own bookkeeping.
 */
#include "transport.h"

#include "base/clock.h"
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

static const double look_seconds = 0.5; /* a launcher that is killed rings no bell; then the kernel ends us */

struct local {
    struct sky_board *board;
    int rank, size;
    double timeout;
    uint64_t exchanges;
};

/* How a box begins; offsets are from the box's start. */
struct box {
    struct sky_announcement announcement;
    uint64_t offsets[]; /* [size]: where the part for each rank is */
};

static size_t data_offset(int size)
{
    return (sizeof(struct box) + (size_t)size * sizeof(uint64_t) + 63) / 64 * 64;
}

/* Parts are padded to cache lines. */
size_t sky_local_box_bytes(int size)
{
    return data_offset(size) + SKY_EXCHANGE_BYTES + (size_t)size * 64;
}

static sky_status local_open(void **state, const struct sky_comm_place *place, struct sky_board *board)
{
    struct local *local = NULL;
    if (board->box_bytes < sky_local_box_bytes(place->size)) return sky_fail(SKY_USAGE, "ranks", "the launcher's memory has no room for data");
    SKY_TRY(sky_alloc(&local, 1, sizeof *local, "the ranks' communication"));
    *local = (struct local){.board = board, .rank = place->rank, .size = place->size, .timeout = place->timeout_seconds};
    *state = local;
    return SKY_OK;
}

/* A part handed to several ranks is stored once. */
static void fill(struct local *local, const struct sky_announcement *mine, const struct sky_part *out)
{
    unsigned char *memory = sky_board_box(local->board, local->rank, (int)(local->exchanges & 1));
    struct box *box = (struct box *)memory;
    size_t end = data_offset(local->size);
    int last = -1; /* stored last */
    box->announcement = *mine;
    for (int r = 0; r < local->size; r++) {
        if (r == local->rank) continue;
        if (last < 0 || out[r].data != out[last].data || out[r].bytes != out[last].bytes) {
            if (out[r].bytes) memcpy(memory + end, out[r].data, out[r].bytes);
            box->offsets[r] = end;
            end += (out[r].bytes + 63) / 64 * 64;
        } else box->offsets[r] = box->offsets[last];
        last = r;
    }
}

/* Until rank r has come to this exchange. */
static sky_status wait_for(struct local *local, const struct sky_announcement *mine, int r, double begin, bool *warned)
{
    const struct sky_seat *seat = sky_board_seat(local->board, r), *my_seat = sky_board_seat(local->board, local->rank);
    for (;;) {
        const uint32_t bell = sky_board_bell(local->board);
        if (atomic_load_explicit(&seat->arrived, memory_order_acquire) >= local->exchanges) return SKY_OK;
        if (atomic_load_explicit(&my_seat->state, memory_order_acquire) != SKY_SEAT_OPEN) return sky_peer_fail(mine, "this rank has failed meanwhile");
        const uint32_t state = atomic_load_explicit(&seat->state, memory_order_acquire);
        /* It may have come, and ended after that. */
        if (state != SKY_SEAT_OPEN && state != SKY_SEAT_EMPTY && atomic_load_explicit(&seat->arrived, memory_order_acquire) < local->exchanges)
            return sky_peer_ended(mine, r, seat);
        const double waited = sky_now() - begin;
        if (waited > local->timeout) return sky_peer_late(mine, r, seat, local->timeout);
        if (waited > sky_peer_patience(local->timeout) && !*warned) *warned = true, sky_peer_warn(mine, r, seat, waited);
        const double left = local->timeout - waited;
        sky_board_wait(local->board, bell, left < look_seconds ? left + 1e-3 : look_seconds);
    }
}

static sky_status local_exchange(void *state, const struct sky_announcement *mine, const struct sky_part *out, struct sky_part *in)
{
    struct local *local = state;
    const double begin = sky_now();
    bool warned = false;
    local->exchanges++;
    fill(local, mine, out);
    atomic_store_explicit(&sky_board_seat(local->board, local->rank)->arrived, local->exchanges, memory_order_release);
    sky_board_ring(local->board);
    for (int r = 0; r < local->size; r++) {
        if (r == local->rank) {
            in[r] = out[r];
            continue;
        }
        SKY_TRY(wait_for(local, mine, r, begin, &warned));
        const unsigned char *memory = sky_board_box(local->board, r, (int)(local->exchanges & 1));
        const struct box *box = (const struct box *)memory;
        SKY_TRY(sky_announcement_check(mine, r, &box->announcement));
        in[r].data = memory + box->offsets[local->rank];
    }
    return SKY_OK;
}

static sky_status local_close(void *state)
{
    free(state);
    return SKY_OK;
}

/* The seat has said it all. */
static void local_fail(void *state, const struct sky_error *error)
{
    (void)error;
    free(state);
}

const struct sky_transport sky_transport_local = {.open = local_open, .exchange = local_exchange, .close = local_close, .fail = local_fail};
