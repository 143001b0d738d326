/*
 * The collectives behind shard.h: rank 0's feature to all, with candidates each one's most promising sketches to all, each one's best tiles to all, then each
 * one's best tile at another place. Memory is taken when it is opened, and when candidates are set.
 */
#include "shard.h"

#include "base/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What rank 0 sends: whether there is a query, and its feature behind it. */
struct question {
    int64_t more;
    float feature[];
};

struct sky_shards {
    struct sky_comm *comm;
    const struct sky_index *index;
    struct sky_search *search;
    int64_t k;
    size_t question_bytes;
    struct question *question;
    struct sky_candidate *mine, *all; /* [k], [size][k]; tile -1: none */
    struct sky_candidate *best;       /* [k] */
    double *elsewhere;                /* [size] */
    struct promising {                /* sketches, with candidates; wanted 0: off */
        int64_t wanted, each;         /* of all ranks together; at most of one */
        float *mine, *all, *best;     /* [each], [size][each], [wanted] */
    } promising;
};

void sky_shard_range(int64_t tiles, int rank, int size, int64_t *first, int64_t *count)
{
    const int64_t each = tiles / size, more = tiles % size; /* the first `more` ranks have one more */
    *first = rank * each + (rank < more ? rank : more);
    *count = each + (rank < more);
}

sky_status sky_shards_open(struct sky_shards **out, struct sky_comm *comm, const struct sky_index *index, int64_t k, int threads)
{
    struct sky_shards *shards = NULL;
    sky_status status = SKY_OK;
    int64_t first, count;
    const size_t size = (size_t)sky_comm_size(comm);
    sky_shard_range(index->info.tiles, sky_comm_rank(comm), (int)size, &first, &count);
    SKY_TRY(sky_alloc(&shards, 1, sizeof *shards, "sharded search"));
    shards->comm = comm, shards->index = index, shards->k = k < index->info.tiles ? k : index->info.tiles;
    shards->question_bytes = sizeof *shards->question + (size_t)index->info.dimensions * sizeof(float);
    SKY_TRY_DONE(sky_search_open_part(&shards->search, index, first, count, k, threads));
    SKY_TRY_DONE(sky_alloc(&shards->question, 1, shards->question_bytes, "sharded search"));
    SKY_TRY_DONE(sky_alloc(&shards->mine, (size_t)shards->k, sizeof *shards->mine, "sharded search"));
    SKY_TRY_DONE(sky_alloc(&shards->all, (size_t)shards->k * size, sizeof *shards->all, "sharded search"));
    SKY_TRY_DONE(sky_alloc(&shards->best, (size_t)shards->k, sizeof *shards->best, "sharded search"));
    SKY_TRY_DONE(sky_alloc(&shards->elsewhere, size, sizeof *shards->elsewhere, "sharded search"));
    *out = shards;
    shards = NULL;
done:
    sky_shards_close(shards);
    return status;
}

static void close_promising(struct promising *promising)
{
    free(promising->mine);
    free(promising->all);
    free(promising->best);
    *promising = (struct promising){.wanted = 0};
}

void sky_shards_close(struct sky_shards *shards)
{
    if (!shards) return;
    close_promising(&shards->promising);
    sky_search_close(shards->search);
    free(shards->question);
    free(shards->mine);
    free(shards->all);
    free(shards->best);
    free(shards->elsewhere);
    free(shards);
}

sky_status sky_shards_set_candidates(struct sky_shards *shards, int64_t candidates)
{
    struct promising *promising = &shards->promising;
    const int64_t tiles = shards->index->info.tiles, size = sky_comm_size(shards->comm), largest = (tiles + size - 1) / size;
    close_promising(promising);
    SKY_TRY(sky_search_set_candidates(shards->search, candidates));
    if (!candidates) return SKY_OK;
    const int64_t wanted = candidates < tiles ? candidates : tiles, each = wanted < largest ? wanted : largest;
    sky_status status = sky_alloc(&promising->mine, (size_t)each, sizeof *promising->mine, "sharded search");
    if (status == SKY_OK) status = sky_alloc(&promising->all, (size_t)(each * size), sizeof *promising->all, "sharded search");
    if (status == SKY_OK) status = sky_alloc(&promising->best, (size_t)wanted, sizeof *promising->best, "sharded search");
    if (status == SKY_OK) promising->wanted = wanted, promising->each = each;
    else close_promising(promising);
    return status;
}

/* Every rank's similarities; with candidates, of those tiles that one search would have chosen. */
static sky_status scan(struct sky_shards *shards)
{
    const struct promising *promising = &shards->promising;
    const float *feature = shards->question->feature, *best;
    int64_t count;
    if (!promising->wanted) return sky_search_scan(shards->search, feature), SKY_OK;
    sky_search_look(shards->search, feature, &best, &count);
    for (int64_t i = 0; i < promising->each; i++) promising->mine[i] = i < count ? best[i] : -INFINITY;
    SKY_TRY(sky_comm_gather(shards->comm, promising->mine, (size_t)promising->each * sizeof *promising->mine, promising->all, "promising sketches"));
    const float threshold = sky_search_threshold(promising->all, promising->each * sky_comm_size(shards->comm), promising->best, promising->wanted);
    sky_search_compare(shards->search, feature, threshold);
    return SKY_OK;
}

/* Lists are sorted, and ranks hold ascending tiles: taking the first of the equal ones keeps the order of a single search. */
static int64_t merge(struct sky_shards *shards)
{
    const int size = sky_comm_size(shards->comm);
    int64_t found = 0;
    while (found < shards->k) {
        struct sky_candidate *next = NULL;
        for (int rank = 0; rank < size; rank++) {
            struct sky_candidate *list = shards->all + rank * shards->k;
            int64_t at = 0;
            while (at < shards->k && list[at].tile < 0) at++; /* those taken already, or never there */
            if (at < shards->k && (!next || list[at].similarity > next->similarity)) next = &list[at];
        }
        if (!next) break;
        shards->best[found++] = *next;
        next->tile = -1;
    }
    return found;
}

/* With the feature in shards->question, on every rank. */
static sky_status answer(struct sky_shards *shards, struct sky_answer *out)
{
    const struct sky_candidate *candidates;
    const int size = sky_comm_size(shards->comm);
    SKY_TRY(sky_search_check(shards->index, shards->question->feature)); /* on every rank alike */
    SKY_TRY(scan(shards));
    const int64_t mine = sky_search_best(shards->search, &candidates);
    for (int64_t i = 0; i < shards->k; i++) shards->mine[i] = i < mine ? candidates[i] : (struct sky_candidate){-1, -INFINITY};
    SKY_TRY(sky_comm_gather(shards->comm, shards->mine, (size_t)shards->k * sizeof *shards->mine, shards->all, "best tiles"));
    *out = (struct sky_answer){.candidates = shards->best, .margin = NAN};
    out->count = merge(shards);
    SKY_TRY(sky_search_check_best(shards->index, shards->best)); /* on every rank alike */
    const double elsewhere = sky_search_elsewhere(shards->search, shards->best[0].tile);
    double farther = -INFINITY;
    SKY_TRY(sky_comm_gather(shards->comm, &elsewhere, sizeof elsewhere, shards->elsewhere, "other places"));
    for (int rank = 0; rank < size; rank++) farther = fmax(farther, shards->elsewhere[rank]);
    if (farther > -INFINITY) out->margin = (double)shards->best[0].similarity - farther;
    out->confidence = sky_index_confidence(shards->index, out->margin);
    return SKY_OK;
}

sky_status sky_shards_run(struct sky_shards *shards, const float *feature, struct sky_answer *out)
{
    shards->question->more = 1;
    memcpy(shards->question->feature, feature, (size_t)shards->index->info.dimensions * sizeof *feature);
    SKY_TRY(sky_comm_broadcast(shards->comm, shards->question, shards->question_bytes, 0, "a query"));
    return answer(shards, out);
}

sky_status sky_shards_end(struct sky_shards *shards)
{
    shards->question->more = 0;
    return sky_comm_broadcast(shards->comm, shards->question, shards->question_bytes, 0, "a query");
}

sky_status sky_shards_serve(struct sky_shards *shards)
{
    struct sky_answer unused;
    for (;;) {
        SKY_TRY(sky_comm_broadcast(shards->comm, shards->question, shards->question_bytes, 0, "a query"));
        if (!shards->question->more) return SKY_OK;
        SKY_TRY(answer(shards, &unused));
    }
}

const float *sky_shards_similarities(const struct sky_shards *shards)
{
    return sky_comm_size(shards->comm) == 1 ? sky_search_similarities(shards->search) : NULL;
}
