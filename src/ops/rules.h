/*
 * What the graph knows of an operation: the shape rule, the gradient rule and the cost. No arithmetic here: that is the back ends' part.
 * Each family's file (conv.c, batch_norm.c, ...) defines the rules of its rows of ops.def.
 */
#ifndef SKY_OPS_RULES_H
#define SKY_OPS_RULES_H

#include "graph/graph.h"

struct sky_shape {
    enum sky_dtype dtype; /* SKY_F32 is replaced by the graph's own type unless `exact` */
    bool exact;
    int rank;
    int64_t dim[SKY_MAX_RANK];
};

/* State of sky_graph_backward: the gradients found so far of every value. */
struct sky_backward;

struct sky_op_rule {
    /* Checks the inputs and fills out[]; NULL when fine, else what is wrong. */
    const char *(*shape)(const struct sky_graph *graph, const struct sky_node *node, struct sky_shape *out);
    /* Appends the gradient nodes of forward node `node`. NULL: no gradient, or another node's rule covers this one (BN_STATS is covered by BN_APPLY). */
    void (*gradient)(struct sky_backward *backward, int64_t node);
    /* NULL: every tensor is moved once. */
    struct sky_cost (*cost)(const struct sky_graph *graph, const struct sky_node *node);
    bool in_place; /* output 0 may take the memory of input 0 */
};

extern const struct sky_op_rule *const sky_op_rules[SKY_OP_COUNT];

#define SKY_OP(name, inputs, outputs, file, doc) extern const struct sky_op_rule sky_rule_##name;
#include "ops/ops.def"
#undef SKY_OP

int sky_op_inputs(enum sky_op op);
int sky_op_outputs(enum sky_op op);

/* For gradient rules. */
struct sky_graph *sky_backward_graph(struct sky_backward *backward);
bool sky_backward_needs(const struct sky_backward *backward, sky_value value);        /* leads to a parameter (or is one, or is wanted) */
sky_value sky_backward_take(struct sky_backward *backward, sky_value value);          /* its whole gradient, summed; SKY_NONE: nothing flows */
void sky_backward_take_two(struct sky_backward *backward, sky_value value, sky_value out[2]); /* as at most two terms, the second may be SKY_NONE */
void sky_backward_give(struct sky_backward *backward, sky_value value, sky_value gradient);   /* adds a term; either may be SKY_NONE */
sky_value sky_backward_parameter(struct sky_backward *backward, sky_value parameter); /* the tensor to write its gradient to; SKY_NONE when it is no parameter */
/* Appends a BACKWARD node named after the forward one. */
int64_t sky_backward_node(struct sky_backward *backward, int64_t forward, enum sky_op op, const union sky_attributes *attr, const sky_value *in, int in_count,
                          const sky_value *out);

/* For shape rules. */
static inline const struct sky_tensor *sky_in(const struct sky_graph *graph, const struct sky_node *node, int index)
{
    return sky_graph_get(graph, node->in[index]);
}
static inline const struct sky_tensor *sky_out(const struct sky_graph *graph, const struct sky_node *node, int index)
{
    return sky_graph_get(graph, node->out[index]);
}
struct sky_shape sky_shape_like(const struct sky_tensor *tensor);
struct sky_shape sky_shape_make(int rank, int64_t a, int64_t b, int64_t c, int64_t d); /* of the graph's type */
struct sky_shape sky_shape_exact(enum sky_dtype dtype, int rank, int64_t a, int64_t b, int64_t c, int64_t d);
bool sky_is_vector(const struct sky_tensor *tensor, int64_t length);

#endif
