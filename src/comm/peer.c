/*
 * The messages about other ranks: late, ended, elsewhere. Each names the rank, its phase and step, and the collective.
 */
#include "transport.h"

#include "skygem/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { PLACE_BYTES = 128 };

static void print_place(const struct sky_announcement *a, char out[PLACE_BYTES])
{
    if (a->step >= 0) snprintf(out, PLACE_BYTES, "%s, step %lld, %s", a->phase, (long long)a->step, a->what);
    else snprintf(out, PLACE_BYTES, "%s, %s", a->phase, a->what);
}

sky_status sky_peer_fail(const struct sky_announcement *mine, const char *format, ...)
{
    char where[PLACE_BYTES], what[1536];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    print_place(mine, where);
    return sky_fail(SKY_PEER, where, "%s", what);
}

sky_status sky_announcement_check(const struct sky_announcement *mine, int peer, const struct sky_announcement *theirs)
{
    char there[PLACE_BYTES];
    const bool same_step = mine->step == theirs->step || mine->step < 0 || theirs->step < 0 || strncmp(mine->phase, theirs->phase, sizeof mine->phase);
    const bool same = mine->kind == theirs->kind && mine->sequence == theirs->sequence && !strncmp(mine->what, theirs->what, sizeof mine->what) && same_step;
    print_place(theirs, there);
    if (same && mine->size == theirs->size && mine->dtype == theirs->dtype && mine->sum == theirs->sum && mine->root == theirs->root) return SKY_OK;
    if (same) {
        sky_peer_fail(mine, "rank %d brings %lld elements or bytes, this rank %lld, or another type", peer, (long long)theirs->size, (long long)mine->size);
        return sky_hint("all ranks must run the same experiment file with the same settings");
    }
    sky_peer_fail(mine, "rank %d is elsewhere: at %s (collective %llu there, %llu here)", peer, there, (unsigned long long)theirs->sequence, (unsigned long long)mine->sequence);
    if (theirs->kind == SKY_ANNOUNCE_CLOSE) return sky_hint("rank %d has come to its end before the others: it made fewer steps", peer);
    return sky_hint("all ranks must run the same experiment file with the same settings; one of them left the others' path");
}

static const char *ending(const struct sky_seat *seat)
{
    switch (atomic_load_explicit(&seat->state, memory_order_acquire)) {
    case SKY_SEAT_FAILED: return "has failed";
    case SKY_SEAT_GONE: return "is gone";
    default: return "has come to its end before the others";
    }
}

sky_status sky_peer_late(const struct sky_announcement *mine, int peer, const struct sky_seat *seat, double seconds)
{
    char doing[PLACE_BYTES];
    sky_seat_describe(seat, doing, sizeof doing);
    if (atomic_load_explicit(&seat->state, memory_order_acquire) == SKY_SEAT_EMPTY) {
        sky_peer_fail(mine, "rank %d has not come within %.3g s", peer, seconds);
        return sky_hint("see on its machine whether it was started and whether it waits for something; [distributed] timeout_s is how long the others wait");
    }
    sky_peer_fail(mine, "rank %d has kept this rank waiting for %.3g s; last seen %s", peer, seconds, doing);
    return sky_hint("if it is only slow, raise [distributed] timeout_s; else look at its machine (stopped process, device, file system)");
}

sky_status sky_peer_ended(const struct sky_announcement *mine, int peer, const struct sky_seat *seat)
{
    char doing[PLACE_BYTES];
    const struct sky_error *error = &seat->error;
    sky_seat_describe(seat, doing, sizeof doing);
    if (atomic_load_explicit(&seat->state, memory_order_acquire) == SKY_SEAT_CLOSED) return sky_peer_fail(mine, "rank %d %s", peer, ending(seat));
    return sky_peer_fail(mine, "rank %d %s, %s: %.300s%s%.900s", peer, ending(seat), doing, error->where, *error->where ? ": " : "", error->what);
}

void sky_peer_warn(const struct sky_announcement *mine, int peer, const struct sky_seat *seat, double seconds)
{
    char place[PLACE_BYTES], doing[PLACE_BYTES];
    print_place(mine, place);
    sky_seat_describe(seat, doing, sizeof doing);
    sky_log(SKY_LOG_WARNING, "%s: waiting for rank %d for %.3g s; last seen %s", place, peer, seconds, doing);
}

double sky_peer_patience(double timeout_seconds)
{
    return timeout_seconds > 120 ? 60 : timeout_seconds / 2;
}
