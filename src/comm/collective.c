/*
 * Collectives as rounds of exchanges. Data is cut into pieces that fit one exchange; what is added is added in rank order, so cutting changes no bits. Every
 * collective makes at least one exchange, also of nothing: that is where ranks that are elsewhere are found. Owns no memory.
 */
#include "collective.h"

#include "sum.h"

#include <string.h>

enum { ROOM = 64 << 20, LEAST = 64 << 10 }; /* bytes that a gather may need at once for all ranks' pieces; bytes of a piece however many ranks there are */
enum { CUT = 16 }; /* ranks' shares of a piece begin at multiples of as many elements: whole cache lines of f32 */

static sky_status exchange(struct sky_lane *lane, const struct sky_announcement *announcement)
{
    return lane->transport->exchange(lane->state, announcement, lane->out, lane->in);
}

/* Where rank r's share of n elements begins. */
static int64_t share_begin(int64_t n, int r, int size)
{
    const int64_t begin = (n * r / size + CUT - 1) / CUT * CUT;
    return r == size || begin > n ? n : begin;
}

/* Everyone gives every rank that rank's share, each adds its own share, everyone gives its sums to all. */
static sky_status reduce_piece(struct sky_lane *lane, const struct sky_announcement *announcement, unsigned char *data, int64_t n)
{
    const enum sky_dtype dtype = (enum sky_dtype)announcement->dtype;
    const size_t each = sky_dtype_bytes(dtype);
    const int64_t my_begin = share_begin(n, lane->rank, lane->size), my_count = share_begin(n, lane->rank + 1, lane->size) - my_begin;
    unsigned char *const my_share = data + (size_t)my_begin * each;
    for (int r = 0; r < lane->size; r++) {
        const int64_t begin = share_begin(n, r, lane->size);
        lane->out[r] = (struct sky_part){data + (size_t)begin * each, (size_t)(share_begin(n, r + 1, lane->size) - begin) * each};
        lane->in[r] = (struct sky_part){NULL, (size_t)my_count * each};
    }
    SKY_TRY(exchange(lane, announcement));
    sky_sum_parts(my_share, lane->in, lane->size, my_count, dtype, (enum sky_comm_sum)announcement->sum);
    for (int r = 0; r < lane->size; r++) {
        lane->in[r] = (struct sky_part){NULL, lane->out[r].bytes};
        lane->out[r] = (struct sky_part){my_share, (size_t)my_count * each};
    }
    SKY_TRY(exchange(lane, announcement));
    for (int r = 0; r < lane->size; r++)
        if (r != lane->rank) memcpy(data + (size_t)share_begin(n, r, lane->size) * each, lane->in[r].data, lane->in[r].bytes);
    return SKY_OK;
}

static sky_status run_reduce(struct sky_lane *lane, const struct sky_request *request)
{
    const struct sky_announcement *announcement = &request->announcement;
    const int64_t each = (int64_t)sky_dtype_bytes((enum sky_dtype)announcement->dtype), most = SKY_EXCHANGE_BYTES / each;
    int64_t from = 0;
    do {
        const int64_t n = announcement->size - from < most ? announcement->size - from : most;
        SKY_TRY(reduce_piece(lane, announcement, (unsigned char *)request->data + from * each, n));
        from += n;
    } while (from < announcement->size);
    return SKY_OK;
}

static sky_status run_broadcast(struct sky_lane *lane, const struct sky_request *request)
{
    const struct sky_announcement *announcement = &request->announcement;
    const int root = announcement->root;
    int64_t from = 0;
    do {
        const size_t bytes = announcement->size - from < SKY_EXCHANGE_BYTES ? (size_t)(announcement->size - from) : SKY_EXCHANGE_BYTES;
        unsigned char *piece = (unsigned char *)request->data + from;
        for (int r = 0; r < lane->size; r++) {
            lane->out[r] = (struct sky_part){piece, lane->rank == root ? bytes : 0};
            lane->in[r] = (struct sky_part){NULL, r == root ? bytes : 0};
        }
        SKY_TRY(exchange(lane, announcement));
        if (lane->rank != root && bytes) memcpy(piece, lane->in[root].data, bytes);
        from += (int64_t)bytes;
    } while (from < announcement->size);
    return SKY_OK;
}

/* Everyone's piece at `from` to all. */
static sky_status share_piece(struct sky_lane *lane, const struct sky_request *request, int64_t from, size_t *bytes)
{
    const int64_t left = request->announcement.size - from, room = ROOM / lane->size < LEAST ? LEAST : ROOM / lane->size;
    const int64_t most = room < SKY_EXCHANGE_BYTES ? room : SKY_EXCHANGE_BYTES;
    *bytes = (size_t)(left < most ? left : most);
    for (int r = 0; r < lane->size; r++) {
        lane->out[r] = (struct sky_part){(const unsigned char *)request->mine + from, *bytes};
        lane->in[r] = (struct sky_part){NULL, *bytes};
    }
    return exchange(lane, &request->announcement);
}

static sky_status run_gather(struct sky_lane *lane, const struct sky_request *request)
{
    int64_t from = 0;
    do {
        size_t bytes = 0;
        SKY_TRY(share_piece(lane, request, from, &bytes));
        for (int r = 0; r < lane->size && bytes; r++) memmove(request->all + (size_t)r * (size_t)request->announcement.size + from, lane->in[r].data, bytes);
        from += (int64_t)bytes;
    } while (from < request->announcement.size);
    return SKY_OK;
}

/* All pieces are compared before it fails, so that every rank fails alike. */
static sky_status run_same(struct sky_lane *lane, const struct sky_request *request)
{
    int64_t from = 0;
    int differs = lane->size;
    do {
        size_t bytes = 0;
        SKY_TRY(share_piece(lane, request, from, &bytes));
        for (int r = 1; r < differs && bytes; r++)
            if (memcmp(lane->in[0].data, lane->in[r].data, bytes)) differs = r;
        from += (int64_t)bytes;
    } while (from < request->announcement.size);
    if (differs == lane->size) return SKY_OK;
    return sky_peer_fail(&request->announcement, "rank %d does not have what rank 0 has", differs);
}

static sky_status run_barrier(struct sky_lane *lane, const struct sky_request *request)
{
    for (int r = 0; r < lane->size; r++) lane->out[r] = lane->in[r] = (struct sky_part){NULL, 0};
    return exchange(lane, &request->announcement);
}

sky_status sky_collective_run(struct sky_lane *lane, const struct sky_request *request)
{
    switch ((enum sky_collective)request->announcement.kind) {
    case SKY_ANNOUNCE_REDUCE: return run_reduce(lane, request);
    case SKY_ANNOUNCE_BROADCAST: return run_broadcast(lane, request);
    case SKY_ANNOUNCE_GATHER: return run_gather(lane, request);
    case SKY_ANNOUNCE_SAME: return run_same(lane, request);
    case SKY_ANNOUNCE_BARRIER:
    case SKY_ANNOUNCE_OPEN:
    case SKY_ANNOUNCE_CLOSE: return run_barrier(lane, request);
    case SKY_ANNOUNCE_ABORT: break;
    }
    return sky_fail(SKY_INTERNAL, request->announcement.what, "no such collective");
}
