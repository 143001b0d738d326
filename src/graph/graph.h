/*
 * A model as a list of nodes over tensors, every shape known before anything is allocated.
 *
 * A builder (src/model) declares inputs and parameters and appends forward nodes; sky_graph_backward appends the gradient nodes, sky_graph_plan gives every
 * tensor an arena and an offset. A graph owns names and tables, never tensor memory, and knows nothing of devices: an executor binds it to a back end.
 * Layouts: activations NHWC, filters KRSC, head tensors [heads, rows, features].
 */
#ifndef SKY_GRAPH_GRAPH_H
#define SKY_GRAPH_GRAPH_H

#include "base/dtype.h"
#include "graph/scalars.h"
#include "ops/ops.h"
#include "skygem/status.h"

#include <stdbool.h>
#include <stdint.h>

typedef int32_t sky_value; /* index of a tensor in its graph */
#define SKY_NONE ((sky_value)-1)

#define SKY_MAX_RANK 4
#define SKY_MAX_IN 12
#define SKY_MAX_OUT 6

/* Where a tensor lives. Each arena is one allocation; params, grads, momentum and squares share their offsets. */
enum sky_arena {
    SKY_ARENA_PARAMS,  /* master weights, in the order in which the backward pass finishes their gradients */
    SKY_ARENA_GRADS,
    SKY_ARENA_MOMENTUM, /* SGD's, or AdamW's moving mean of the gradients */
    SKY_ARENA_SQUARES,  /* AdamW's moving mean of the gradients' squares */
    SKY_ARENA_EMA,
    SKY_ARENA_SHADOW,  /* parameters in the maps' lower precision, where that differs; PARAMS' element offsets */
    SKY_ARENA_BUFFERS, /* BN running statistics */
    SKY_ARENA_DERIVED, /* made once from parameters: filters with BN folded in */
    SKY_ARENA_INPUT,   /* written by the host before each run: images, labels, scalars */
    SKY_ARENA_ACT,     /* everything else, planned by liveness */
    SKY_ARENA_COUNT
};
const char *sky_arena_name(enum sky_arena arena);

enum sky_phase {
    SKY_PHASE_ONCE,     /* after each change of the parameters: folding */
    SKY_PHASE_FORWARD,
    SKY_PHASE_BACKWARD,
    SKY_PHASE_UPDATE,   /* optimiser */
    SKY_PHASE_COUNT
};

struct sky_tensor {
    char *name; /* "backbone.layer1.0.conv1.weight" for parameters and buffers, "layer1.0.conv1" for activations */
    enum sky_dtype dtype;
    enum sky_arena arena;
    int rank;
    int64_t dim[SKY_MAX_RANK];
    int64_t count; /* elements */
    size_t bytes;
    bool keep;         /* read by the host after a run: stays intact until the next one */
    size_t offset;     /* in its arena, 64-byte aligned; valid after sky_graph_plan */
    sky_value gradient; /* of a parameter: its tensor in GRADS, once the backward pass exists */
    int parameter;     /* index into graph->parameters, or -1 */
    sky_value shadow_of; /* in SHADOW: the parameter that this is a copy of; SKY_NONE elsewhere */
    int64_t producer;  /* the node that writes it, or -1 */
    bool whole;        /* stands for its whole arena; its size is known after sky_graph_plan */
};

/* What initialises a parameter (sky_parameter.init); the numbers depend on the name and the seed alone. */
enum sky_init {
    SKY_INIT_CONSTANT,       /* value */
    SKY_INIT_NORMAL,         /* mean value, standard deviation deviation */
    SKY_INIT_KAIMING_FAN_OUT, /* N(0, sqrt(2 / fan_out)); fan_out = K*R*S for filters, rows for matrices */
    SKY_INIT_UNIFORM_FAN_IN   /* uniform in +-1/sqrt(deviation), deviation = fan_in (PyTorch's default of small layers) */
};

const char *sky_group_name(enum sky_group group); /* "backbone", "head", "gem" */

/*
 * A learned tensor, or a buffer (BN running statistics). One tensor may hold the same parameter of several heads, stored as slices along its first dimension:
 * files then hold one tensor a slice, named by slice_names[i]. slice_count 1: one name.
 */
struct sky_parameter {
    sky_value value;
    enum sky_group group;
    bool is_buffer;
    bool is_filter; /* KRSC here, OIHW in files */
    bool file_rank_2_as_4; /* a matrix [R, C] that files store as [R, C, 1, 1] (SE layers) */
    double weight_decay;
    double low, high; /* clamped after each update, and counted; low == high: no clamp */
    enum sky_init init;
    double value_init, deviation;
    int slice_count;
    char **slice_names; /* [slice_count] */
};

struct sky_node {
    enum sky_op op;
    enum sky_phase phase;
    char *name; /* of the layer, for reports */
    union sky_attributes attr;
    sky_value in[SKY_MAX_IN];   /* SKY_NONE where an optional input is absent */
    sky_value out[SKY_MAX_OUT]; /* SKY_NONE where an output is not wanted */
    int in_count, out_count;
};

struct sky_graph {
    enum sky_dtype dtype; /* of parameters, statistics and everything else but maps: f32, or f64 on the reference back end */
    enum sky_dtype map_dtype; /* of maps and of the filters that convolutions read, that is of every rank-4 tensor an operation makes: dtype, bf16 or f16 */
    struct sky_tensor *tensors;
    int64_t tensor_count, tensor_capacity;
    struct sky_node *nodes; /* in execution order */
    int64_t node_count, node_capacity;
    struct sky_parameter *parameters; /* parameters and buffers */
    int64_t parameter_count, parameter_capacity;
    sky_value scalars; /* u8 [sizeof(struct sky_scalars)] in INPUT */
    size_t arena_bytes[SKY_ARENA_COUNT]; /* valid after sky_graph_plan */
    int64_t param_elements;              /* of the whole PARAMS arena, padding included; likewise GRADS, MOMENTUM and SQUARES */
    void **owned;                        /* attribute tables, freed with the graph */
    int64_t owned_count, owned_capacity;
    sky_status failed;                   /* the first failure of a builder call: later calls do nothing; see sky_graph_check */
};

/* map_dtype starts as dtype; a builder that wants low-precision maps sets it before the first node. */
sky_status sky_graph_init(struct sky_graph *graph, enum sky_dtype dtype);
void sky_graph_free(struct sky_graph *graph);

/* Builder calls return SKY_NONE after a failure, and everything that follows from it does nothing: check once at the end. */
sky_status sky_graph_check(const struct sky_graph *graph);
sky_value sky_graph_fail(struct sky_graph *graph, sky_status status, const char *where, const char *what);

sky_value sky_graph_tensor(struct sky_graph *graph, const char *name, enum sky_dtype dtype, enum sky_arena arena, int rank, const int64_t *dim);
/* The parameter as convolutions read it: itself, or its copy of type map_dtype in SHADOW where that differs. Its gradient is the parameter's. */
sky_value sky_graph_shadow(struct sky_graph *graph, sky_value parameter);
/* A rank-1 tensor standing for the whole of PARAMS, GRADS, MOMENTUM, SQUARES, EMA or SHADOW, and asking for that arena to exist. */
sky_value sky_graph_whole_arena(struct sky_graph *graph, enum sky_arena arena);
sky_value sky_graph_input(struct sky_graph *graph, const char *name, enum sky_dtype dtype, int rank, const int64_t *dim);
/* Declares a parameter or buffer; `parameter` gives everything but value, and its names are copied. */
sky_value sky_graph_parameter(struct sky_graph *graph, const struct sky_parameter *parameter, int rank, const int64_t *dim);

/* Appends a node: checks arity, infers and creates its outputs (ops' shape rule). Returns its index, or -1 after a failure. */
int64_t sky_graph_node(struct sky_graph *graph, enum sky_op op, enum sky_phase phase, const char *name, const union sky_attributes *attr, const sky_value *in, int in_count);
/* The same with chosen output tensors for some outputs (SKY_NONE: create), as gradients of parameters need. */
int64_t sky_graph_node_into(struct sky_graph *graph, enum sky_op op, enum sky_phase phase, const char *name, const union sky_attributes *attr, const sky_value *in, int in_count,
                            const sky_value *out);
static inline sky_value sky_graph_out(const struct sky_graph *graph, int64_t node, int index)
{
    return node < 0 ? SKY_NONE : graph->nodes[node].out[index];
}
static inline const struct sky_tensor *sky_graph_get(const struct sky_graph *graph, sky_value value)
{
    return value < 0 ? 0 : &graph->tensors[value];
}
/* Zeroed memory that lives as long as the graph (part tables, segments); NULL after a failure. */
void *sky_graph_memory(struct sky_graph *graph, size_t bytes);
void sky_graph_keep(struct sky_graph *graph, sky_value value);

/*
 * Appends the gradient nodes of every FORWARD node that leads from a parameter to `seeds`: pairs of (value, its gradient tensor). Several gradients of one value
 * are summed by ADD unless the consumer takes two (BLOCK_TAIL). Parameters get sky_tensor.gradient.
 */
struct sky_seed {
    sky_value value, gradient;
};
sky_status sky_graph_backward(struct sky_graph *graph, const struct sky_seed *seeds, int seed_count, const sky_value *wanted_inputs, int wanted_count, sky_value *wanted_gradients);

/*
 * Replaces convolutions and the batch norms around them, in a training graph that has its gradient nodes, by the fused operations (BN_CONV and those behind it in ops.h): `all`
 * wherever they fit, otherwise where they move fewer bytes, launches counted. Call before sky_graph_plan. Values keep their numbers; one that no node makes
 * or reads any more stays as a row without memory.
 */
struct sky_fused {
    int64_t sums, norms, gradients; /* batch norms whose statistics come from a convolution's sums, that are applied on the way into one, whose gradient starts in one */
};
sky_status sky_graph_fuse(struct sky_graph *graph, bool all, struct sky_fused *done);

/*
 * Places every tensor (params, grads and momentum with equal offsets; act by liveness) and fills arena_bytes. Call once, after all nodes are there.
 * layout_of (may be NULL): a planned graph whose PARAMS and BUFFERS this one shares: parameters of equal name get its offsets.
 */
sky_status sky_graph_plan(struct sky_graph *graph, const struct sky_graph *layout_of);

/*
 * Ranges of GRADS that ranks sum one after the other. Gradients lie in the order in which the backward pass finishes them, so a bucket is final as soon as the
 * node of its last gradient has run.
 */
struct sky_bucket {
    int64_t after;        /* the node that writes its last gradient */
    int64_t first, count; /* elements of GRADS, padding included */
};

/*
 * Cuts the gradients of a planned training graph into buckets of at least first_bytes (the first one, small so that summing starts early) and bytes (the
 * others; the last may be smaller). A gradient is never cut. *out is heap memory, the caller frees it.
 */
sky_status sky_graph_buckets(const struct sky_graph *graph, size_t first_bytes, size_t bytes, struct sky_bucket **out, int64_t *count);

/* Numbers that a node's two halves exchange between ranks: (mean, centred squares) or two sums a group and channel, as [.., G, 2, C] doubles. 0 unless
 * attr.bn.across asks for it. */
int64_t sky_node_shared_count(const struct sky_graph *graph, const struct sky_node *node);

/* Multiply-adds and bytes moved (compulsory reads and writes) of one node. */
struct sky_cost {
    double multiply_adds, bytes;
};
struct sky_cost sky_node_cost(const struct sky_graph *graph, const struct sky_node *node);

#endif
