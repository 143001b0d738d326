/*
 * The case table of all operations: each line of cases.def names a subject (an operation, or a small chain of them) and gives its sizes and options as text.
 * ops_subject_build turns a line into a graph, in f32 (with f32, bf16 or f16 maps) or f64, with the gradient nodes appended where the subject has a gradient.
 * Nothing here runs anything.
 */
#ifndef SKY_TESTS_OPS_CASES_H
#define SKY_TESTS_OPS_CASES_H

#include "graph/graph.h"

enum { OPS_MAX_SOURCES = 64, OPS_MAX_OUTPUTS = 8 };

struct ops_case {
    const char *name; /* of the subject: "CONV", "SE_BLOCK" */
    const char *text; /* "n=2 h=7 w=5 c=3" */
    bool perf;        /* a shape of the real model: for -p perf only */
};
extern const struct ops_case ops_cases[];
extern const int ops_case_count;

/* What a tensor that no node writes is filled with. */
enum ops_fill {
    OPS_NORMAL,   /* mean a, standard deviation b */
    OPS_UNIFORM,  /* between a and b */
    OPS_DISTINCT, /* between a and b, no two values closer than (b - a) / (2 count): maxima stay maxima when nudged */
    OPS_RELU,     /* max(0, normal of deviation a): like a map behind a ReLU; every b-th channel is zero (b = 0: none) */
    OPS_BYTES,    /* 0 .. 255 */
    OPS_BELOW,    /* integers 0 .. a - 1 (labels) */
    OPS_CYCLE,    /* 0 .. a - 1 again and again (labels of paired views); from element b on each has its own (b = 0: nowhere) */
    OPS_ERASED,   /* rectangles inside an a x b image; some of height 0 */
    OPS_SCALARS,  /* the subject's struct sky_scalars */
    OPS_ZERO,
    OPS_BROKEN    /* normal, with one element that is not finite (a = 0: Inf, else NaN) */
};

struct ops_source {
    sky_value value;
    enum ops_fill fill;
    double a, b;
};

/* One built case. Zero-initialise; free with ops_subject_free. */
struct ops_subject {
    const struct ops_case *from;
    struct sky_graph graph;
    struct ops_source sources[OPS_MAX_SOURCES];
    int source_count;
    struct sky_scalars scalars;

    /* The scalar function that gradients are checked on: sum over outputs of weight[i] . output[i], plus the losses times their weights. */
    bool has_gradient;
    bool rough; /* the data sits on kinks on purpose: not for finite differences */
    sky_value output[OPS_MAX_OUTPUTS], weight[OPS_MAX_OUTPUTS];
    int output_count;
    sky_value loss[2], logits[2], dlogits[2];
    double loss_weight[2];
    int loss_count;
    sky_value wanted[OPS_MAX_SOURCES], gradient[OPS_MAX_SOURCES]; /* inputs and parameters, and their gradient tensors */
    int wanted_count;
    uint64_t keys_read; /* bit i: the text's i-th key was asked for */

    /* Options of the harness, from the same text. */
    double tolerance, floor; /* tol=, floor=: relative to element and largest element, and absolute, for back ends against the reference */
    bool accumulate;   /* acc=1: GRADS outputs are added to */
    bool alias;        /* alias=1: output 0 takes input 0's memory where the operation allows it */
    bool lean;         /* lean=1: inputs get no gradient, only parameters do */
    bool constant;     /* const=1: the device is told that parameters do not change */
    bool winograd;     /* winograd=1 */
    bool fuse;         /* fuse=1: the graph goes through sky_graph_fuse, wherever a form fits */
    bool tf32;         /* the harness's --tf32 */
};

/* dtype: SKY_F64, or the type of the maps (SKY_F32, SKY_BF16, SKY_F16) of a graph in f32. A case's own map=bf16|f16 wins over SKY_F32. */
sky_status ops_subject_build(struct ops_subject *subject, const struct ops_case *from, enum sky_dtype dtype);
void ops_subject_free(struct ops_subject *subject);

/* Fills a source's memory; a pure function of (seed, the case, the source). */
void ops_source_fill(const struct ops_subject *subject, int source, uint64_t seed, void *to);

/* ---- for the builders (cases.c, chains.c) ---- */

/* Reads name=value of the case's text; a key that nobody reads fails the case. ops_word gives the index of a value among `words`. */
int64_t ops_int(struct ops_subject *subject, const char *name, int64_t otherwise);
double ops_number(struct ops_subject *subject, const char *name, double otherwise);
int ops_word(struct ops_subject *subject, const char *name, const char *const *words, int count, int otherwise);

/* New tensors, those of rank 4 in the maps' type: a plain input, an input whose gradient is wanted, a parameter, a buffer (of the graph's type), an input of
 * another type. Dimensions end with 0. */
sky_value ops_input(struct ops_subject *subject, const char *name, enum ops_fill fill, double a, double b, const int64_t *dim);
sky_value ops_wanted(struct ops_subject *subject, const char *name, enum ops_fill fill, double a, double b, const int64_t *dim);
sky_value ops_parameter(struct ops_subject *subject, const char *name, enum ops_fill fill, double a, double b, const int64_t *dim);
/* Filters as convolutions read them: a parameter, or its copy in the maps' type (the parameter itself is then read by nobody). */
sky_value ops_filters(struct ops_subject *subject, const char *name, enum ops_fill fill, double a, double b, const int64_t *dim);
sky_value ops_buffer(struct ops_subject *subject, const char *name, enum ops_fill fill, double a, double b, const int64_t *dim);
sky_value ops_input_of(struct ops_subject *subject, const char *name, enum sky_dtype dtype, enum ops_fill fill, double a, double b, const int64_t *dim);
#define OPS_DIM(...) ((const int64_t[]){__VA_ARGS__, 0})

/* Appends a FORWARD node: ops_node(subject, SKY_OP_ADD, &attr, OPS_IN(a, b)). */
int64_t ops_node(struct ops_subject *subject, enum sky_op op, const union sky_attributes *attr, const sky_value *in, int in_count);
sky_value ops_out(struct ops_subject *subject, int64_t node, int index);
#define OPS_IN(...) (const sky_value[]){__VA_ARGS__}, (int)(sizeof((const sky_value[]){__VA_ARGS__}) / sizeof(sky_value))

void ops_output(struct ops_subject *subject, sky_value value); /* takes part in the function whose gradient is checked */
void ops_loss(struct ops_subject *subject, int64_t node, double weight);

/* parts=none|lpn|msba|rows, blocks=, norm=square|ring of the text, as a table that lives with the graph. */
const struct sky_part_table *ops_part_table(struct ops_subject *subject, int64_t height, int64_t width);

struct ops_builder {
    const char *name;
    void (*build)(struct ops_subject *subject);
};
extern const struct ops_builder ops_op_builders[], ops_chain_builders[]; /* each ends with a NULL name */

#endif
