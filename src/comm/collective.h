/*
 * The collectives, made of exchanges. Each function is one collective from its announcement to its end, on the thread that works them off.
 */
#ifndef SKY_COMM_COLLECTIVE_H
#define SKY_COMM_COLLECTIVE_H

#include "transport.h"

/* One collective as the caller asked for it. */
struct sky_request {
    struct sky_announcement announcement; /* size: elements (reduce) or bytes */
    void *data;                           /* reduce, broadcast: in and out */
    const void *mine;                     /* gather, same: in */
    unsigned char *all;                   /* gather: out, [size][bytes] */
};

/* What every collective needs of the comm. */
struct sky_lane {
    const struct sky_transport *transport;
    void *state;
    int rank, size;
    struct sky_part *out, *in; /* [size] */
};

sky_status sky_collective_run(struct sky_lane *lane, const struct sky_request *request);

#endif
