/*
 * What carries data between ranks: self, local or mpi. Each knows one thing, the exchange: every rank hands over a part for every other and gets one from each.
 * All collectives are made of exchanges (collective.c), so their sums and their checks are the same everywhere.
 */
#ifndef SKY_COMM_TRANSPORT_H
#define SKY_COMM_TRANSPORT_H

#include "board.h"
#include "comm.h"

/* What a collective says of itself to the other ranks, with every exchange. Fixed-size: it travels as it is. */
struct sky_announcement {
    uint32_t kind;     /* enum sky_collective */
    int32_t dtype, sum, root;
    uint64_t sequence; /* collectives before it */
    int64_t size;      /* elements or bytes */
    int64_t step;
    char phase[SKY_PHASE_BYTES];
    char what[SKY_COLLECTIVE_BYTES];
};
enum sky_collective {
    SKY_ANNOUNCE_OPEN = 1,
    SKY_ANNOUNCE_REDUCE,
    SKY_ANNOUNCE_BROADCAST,
    SKY_ANNOUNCE_GATHER,
    SKY_ANNOUNCE_SAME,
    SKY_ANNOUNCE_BARRIER,
    SKY_ANNOUNCE_CLOSE,
    SKY_ANNOUNCE_ABORT
};

struct sky_part {
    const void *data;
    size_t bytes; /* 0 is fine */
};

enum { SKY_EXCHANGE_BYTES = 2 << 20 }; /* the most that one rank hands over in one exchange, to all together (a part handed to all counts once) */

/* All functions are called on one thread, the comm's own (self: the caller's). */
struct sky_transport {
    sky_status (*open)(void **state, const struct sky_comm_place *place, struct sky_board *board);
    /*
     * out[r] is the part for rank r, in[r].bytes what r has for this rank; sets in[r].data, valid until the next exchange (in[rank] is out[rank]). The out
     * parts are the caller's again on return. SKY_PEER when a rank does not come within the timeout, has ended, or announces another collective.
     */
    sky_status (*exchange)(void *state, const struct sky_announcement *mine, const struct sky_part *out, struct sky_part *in);
    void (*idle)(void *state);                                 /* now and then while there is nothing to do: hears of ranks that have ended; NULL: not needed */
    sky_status (*close)(void *state);                          /* after an exchange in which all announced their end */
    void (*fail)(void *state, const struct sky_error *error); /* may not return */
};

extern const struct sky_transport sky_transport_self, sky_transport_local, sky_transport_mpi;

/* SKY_OK when both are the same collective; else SKY_PEER saying where this rank is and where rank `peer`. */
sky_status sky_announcement_check(const struct sky_announcement *mine, int peer, const struct sky_announcement *theirs);

/* SKY_PEER with where = "train, step 120, gradients". */
sky_status sky_peer_fail(const struct sky_announcement *mine, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The failures of waiting for a peer: it keeps us waiting, or has ended (seat->state FAILED, GONE, CLOSED). */
sky_status sky_peer_late(const struct sky_announcement *mine, int peer, const struct sky_seat *seat, double seconds);
sky_status sky_peer_ended(const struct sky_announcement *mine, int peer, const struct sky_seat *seat);
/* What is said once when a peer is late but may still come. */
void sky_peer_warn(const struct sky_announcement *mine, int peer, const struct sky_seat *seat, double seconds);
double sky_peer_patience(double timeout_seconds); /* seconds before sky_peer_warn */

#endif
