/*
 * Binds a planned graph to an opened back end: prepares every node, allocates each arena once, runs phases. Arenas may be borrowed from another executor, so that a training and an
 * inference graph share parameters.
 */
#ifndef SKY_BACKEND_EXECUTOR_H
#define SKY_BACKEND_EXECUTOR_H

#include "backend.h"

/* A run of phases that has been seen before may be replayed instead of being launched node by node. */
struct sky_recording {
    int runs; /* node by node so far */
    void *recording;
};

/*
 * What several ranks that run the same graph do together, called between nodes in the order of the plan, which is the same on every rank. A back end that works
 * behind the host's back must be met in its own order: `start` and `finish` then enqueue, and are recorded with the nodes. Owned by the caller;
 * executor->exchange is NULL for a run alone.
 */
struct sky_exchange {
    void *context;
    const struct sky_bucket *buckets; /* [bucket_count] in the order of their nodes */
    int64_t bucket_count;
    sky_status (*start)(void *context, const struct sky_bucket *bucket); /* its gradients are final; their mean over the ranks is wanted */
    sky_status (*finish)(void *context);                                 /* before the UPDATE phase: everything started is there */
    /* Statistics and rows of all ranks; mine NULL: there are none. */
    double *mine, *all; /* in the device's memory: [most of a node], [ranks][most of a node] */
    int rank, ranks;
    sky_status (*gather)(void *context, int64_t count); /* the first `count` of every rank's mine, one after the other, to all */
};

enum { SKY_EXECUTOR_BLOCKS = 4 };

struct sky_executor {
    struct sky_graph *graph; /* borrowed */
    struct sky_device device;
    struct sky_kernel *kernels; /* [node_count] */
    void *arena[SKY_ARENA_COUNT];
    bool borrowed[SKY_ARENA_COUNT];
    void *work;
    size_t work_bytes;
    struct {
        void *memory;
        size_t bytes;
    } blocks[SKY_EXECUTOR_BLOCKS]; /* sky_executor_reserve's, the first block_count */
    int block_count;
    struct sky_recording recordings[SKY_PHASE_COUNT][SKY_PHASE_COUNT][2][2]; /* by first phase, last phase, accumulate, hold */
    const struct sky_exchange *exchange; /* borrowed, may be NULL; set it before the first run */
    bool hold;                           /* more will be added to the gradients: nothing is exchanged yet */
    double *seconds; /* [node_count] summed run time of each node while timing is on; NULL otherwise */
};

/* Unsupported nodes: SKY_UNSUPPORTED naming node, operation and reason. `share` (may be NULL) lends PARAMS and BUFFERS, whose layouts must agree. */
sky_status sky_executor_create(struct sky_executor *executor, const struct sky_backend *backend, const struct sky_device_options *options, struct sky_graph *graph,
                               const struct sky_executor *share);
void sky_executor_destroy(struct sky_executor *executor);

/* Memory on the device beside the plan's, zeroed; the executor frees it. At most SKY_EXECUTOR_BLOCKS times. */
sky_status sky_executor_reserve(struct sky_executor *executor, size_t bytes, const char *what, void **out);

sky_status sky_executor_run(struct sky_executor *executor, enum sky_phase phase, bool accumulate);
/* Phases first .. last in order. The third run on, a back end that can records them once and replays that: the same kernels on the same memory, so the same bits. */
sky_status sky_executor_run_through(struct sky_executor *executor, enum sky_phase first, enum sky_phase last, bool accumulate);
sky_status sky_executor_run_node(struct sky_executor *executor, int64_t node, bool accumulate);

void *sky_executor_pointer(const struct sky_executor *executor, sky_value value); /* in the device's memory */
sky_status sky_executor_write(struct sky_executor *executor, sky_value value, const void *from);
sky_status sky_executor_read(struct sky_executor *executor, sky_value value, void *to);
sky_status sky_executor_time_nodes(struct sky_executor *executor, bool on); /* starts (zeroed) or stops */

#endif
