/*
 * What a back end gives: memory and copies, and for each operation prepare, run, destroy. A run never allocates, logs, synchronises or reads results on the host.
 * An operation's contract stands in ops/ops.h. CPU back ends share the host's memory, so their copies are plain.
 */
#ifndef SKY_BACKEND_BACKEND_H
#define SKY_BACKEND_BACKEND_H

#include "ceilings.h"
#include "graph/graph.h"

struct sky_device_options {
    int index;          /* which of several devices */
    int threads;        /* >= 1 */
    bool winograd;      /* allow Winograd for 3x3 stride-1 convolutions */
    bool deterministic;
    bool tf32;          /* matrix products of f32 tensors may round their inputs to 10 bits (tensor cores) */
    bool int8;          /* inference: convolutions of maps that are never negative may run on 8-bit numbers, scaled by image */
    bool capture;       /* a run of nodes may be recorded and replayed, where the back end can */
    bool wait;          /* wait for each node and blame it for a failure of the device: slow, for finding faults */
    const char *description;  /* JSON of a GPU that is only described (sky_backend_describe); NULL: a device of this machine */
    bool constant_parameters; /* inference: filters may be packed once per ONCE phase */
};

/* An opened back end. */
struct sky_device {
    const struct sky_backend *backend;
    struct sky_device_options options;
    void *state; /* the back end's own */
    uint64_t generation; /* counts ONCE phases: what was packed from parameters or DERIVED tensors before is stale */
};

/* One node, prepared. */
struct sky_kernel {
    const struct sky_graph *graph;
    const struct sky_node *node;
    struct sky_device *device;
    void *state;         /* the operation's own, freed by destroy */
    size_t work_bytes;   /* scratch wanted in each run (64-byte aligned, contents undefined), shared by all nodes */
    char implementation[64]; /* "jit:avx512_core", "ref", ... for reports */
};

/* Pointers of one run, in the node's order; NULL where an optional tensor is absent. */
struct sky_run {
    void *in[SKY_MAX_IN];
    void *out[SKY_MAX_OUT];
    void *work;
    bool accumulate; /* GRADS outputs: add instead of overwrite */
    double *mine;      /* share: to fill, [sky_node_shared_count] */
    const double *all; /* run, after a share: [ranks][sky_node_shared_count]; NULL: alone */
    int rank, ranks;   /* of `all` */
};

/*
 * Counting for exact ranks (eval/rank.h). All pointers are the host's. For each query the keys half_norms[i] - scale^2 query.item[i] are compared with those of
 * its right rows: `before` counts the items of each of two stretches whose key is more than `margin` smaller, `near` lists the pairs whose keys differ by no
 * more than that.
 */
struct sky_near_pair {
    uint32_t right, item; /* index into right_keys; item in the given order */
};
struct sky_key_count {
    int64_t queries, items, dimensions;
    const float *query_rows;              /* [queries, dimensions] */
    const float *item_rows;               /* [*, dimensions] */
    const int64_t *order;                 /* [items] rows of item_rows */
    const float *half_norms;              /* [items] */
    const int64_t *first;                 /* [queries + 1] where a query's right rows begin */
    const float *right_keys;              /* [first[queries]] */
    int64_t bounds[3];                    /* the two stretches: bounds[0] .. bounds[1] .. bounds[2] = items */
    float scale, margin;
    uint32_t *before;                     /* [2][first[queries]] */
    struct sky_near_pair *near;           /* [near_room] in any order */
    int64_t near_room, near_count;        /* more than near_room: the rest was not kept */
};

/*
 * The nearest items of each query (eval/top.h): those with the smallest keys, as above, equal ones by lower item. All pointers are the host's.
 */
enum { SKY_TOP_MOST_PLACES = 256 };
struct sky_top_keys {
    int64_t queries, items, dimensions; /* items: below 2^32 - 1 */
    const float *query_rows;            /* [queries, dimensions] */
    const float *item_rows;             /* [*, dimensions] */
    const int64_t *order;               /* [items] rows of item_rows */
    const float *half_norms;            /* [items] */
    float scale;
    int places;     /* 1 .. SKY_TOP_MOST_PLACES */
    uint32_t *item; /* [queries, places] in the given order, nearest first; UINT32_MAX in an empty place */
    float *key;     /* [queries, places] */
};

struct sky_operation {
    /* NULL when this back end can run the node, else the reason. May be NULL: always. */
    const char *(*supports)(const struct sky_graph *graph, const struct sky_node *node);
    /* Fills state, work_bytes and implementation. May be NULL: nothing to prepare. */
    sky_status (*prepare)(struct sky_kernel *kernel);
    sky_status (*run)(const struct sky_kernel *kernel, const struct sky_run *run);
    /* Of nodes with a sky_node_shared_count: the first half, what this rank has to say of statistics or rows that are taken from all ranks. The same device
     * order as run. NULL: cannot. */
    sky_status (*share)(const struct sky_kernel *kernel, const struct sky_run *run);
    void (*destroy)(struct sky_kernel *kernel); /* may be NULL */
};

/*
 * Copies to the device beside its work, in two slots that take turns. begin .. copy .. end fill a slot once its last release is behind the device; take makes
 * the device's work wait for it; release says that all work enqueued so far is what used it, and returns when the host's memory has been read.
 *
 * And results on their way back, behind the device's work, in two slots likewise: read .. read_end, and read_wait for the host to wait until they are there.
 */
struct CUstream_st; /* cudaStream_t */
struct CUevent_st;  /* cudaEvent_t */

struct sky_staging {
    sky_status (*pin)(struct sky_device *device, void *host, size_t bytes); /* memory that copies can be made from without a detour */
    void (*unpin)(struct sky_device *device, void *host);
    sky_status (*begin)(struct sky_device *device, int slot);
    sky_status (*copy)(struct sky_device *device, void *to, const void *from_host, size_t bytes);
    sky_status (*end)(struct sky_device *device, int slot);
    sky_status (*take)(struct sky_device *device, int slot);
    sky_status (*release)(struct sky_device *device, int slot);
    sky_status (*read)(struct sky_device *device, void *to_host, const void *from, size_t bytes); /* to pinned memory, which is not to be looked at before read_wait */
    sky_status (*read_end)(struct sky_device *device, int slot);
    sky_status (*read_wait)(struct sky_device *device, int slot);
    struct CUevent_st *(*read_event)(const struct sky_device *device, int slot); /* of the last read_end, to wait for it otherwise */
};

struct sky_backend {
    const char *name, *description;
    sky_status (*open)(struct sky_device *device);
    void (*close)(struct sky_device *device);
    sky_status (*arena_alloc)(struct sky_device *device, size_t bytes, const char *what, void **out); /* zeroed */
    void (*arena_free)(struct sky_device *device, void *memory, size_t bytes);
    sky_status (*copy_in)(struct sky_device *device, void *to, const void *from_host, size_t bytes);
    sky_status (*copy_out)(struct sky_device *device, void *to_host, const void *from, size_t bytes);
    sky_status (*copy_within)(struct sky_device *device, void *to, const void *from, size_t bytes); /* both on the device */
    /* Both on the device, enqueued like a run; to bf16 nearest even, NaN stays NaN. */
    sky_status (*to_bf16)(struct sky_device *device, uint16_t *to, const float *from, int64_t count);
    sky_status (*from_bf16)(struct sky_device *device, float *to, const uint16_t *from, int64_t count);
    sky_status (*synchronize)(struct sky_device *device);
    struct CUstream_st *(*stream)(const struct sky_device *device); /* Optional: the queue of the device's work, in which sums over devices take their place */
    /* Optional, all or none: a run of nodes recorded once and replayed with one call. While it is recorded nothing runs. */
    sky_status (*record_begin)(struct sky_device *device);
    sky_status (*record_end)(struct sky_device *device, void **recording); /* also after a failed node, to leave recording: *recording may come out NULL */
    sky_status (*replay)(struct sky_device *device, void *recording);
    void (*recording_free)(struct sky_device *device, void *recording);
    /* Optional, both or none, where a run returns before its work is done: notes the moment at which the device gets here as `slot`; the time between two
     * slots, waiting for the later one. */
    sky_status (*mark)(struct sky_device *device, int64_t slot);
    sky_status (*marked_seconds)(struct sky_device *device, int64_t from, int64_t to, double *seconds);
    /* What the device can do at most, measured now, in the precision it was opened with and for maps of this type. */
    sky_status (*ceilings)(struct sky_device *device, enum sky_dtype map_dtype, struct sky_ceilings *out);
    sky_status (*memory_used)(struct sky_device *device, size_t *bytes); /* Optional, where the device has memory of its own: what is taken of it now, by every program */
    const struct sky_staging *staging; /* optional */
    /* Optional: ranking's counting, and the nearest items, on the device. */
    sky_status (*count_keys)(struct sky_device *device, struct sky_key_count *task);
    sky_status (*top_keys)(struct sky_device *device, struct sky_top_keys *task);
    const struct sky_operation *operations; /* [SKY_OP_COUNT]; run NULL: not implemented */
};

extern const struct sky_backend sky_backend_ref; /* plain C, double accumulation, f32 and f64: the readable specification */
extern const struct sky_backend sky_backend_cpu; /* oneDNN, OpenMP, f32 */
/* CUDA: with_cuda.h, since a program may have been built without it. */

#endif
