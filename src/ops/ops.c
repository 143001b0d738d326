/*
 * The tables generated from ops.def, and the small helpers that shape rules share.
 */
#include "rules.h"

const struct sky_op_rule *const sky_op_rules[SKY_OP_COUNT] = {
#define SKY_OP(name, inputs, outputs, file, doc) &sky_rule_##name,
#include "ops/ops.def"
#undef SKY_OP
};

static const struct {
    const char *name;
    int inputs, outputs;
} rows[SKY_OP_COUNT] = {
#define SKY_OP(name, inputs, outputs, file, doc) {#name, inputs, outputs},
#include "ops/ops.def"
#undef SKY_OP
};

const char *sky_op_name(enum sky_op op)
{
    return rows[op].name;
}

int sky_op_inputs(enum sky_op op)
{
    return rows[op].inputs;
}

int sky_op_outputs(enum sky_op op)
{
    return rows[op].outputs;
}

struct sky_shape sky_shape_like(const struct sky_tensor *tensor)
{
    return sky_shape_make(tensor->rank, tensor->dim[0], tensor->dim[1], tensor->dim[2], tensor->dim[3]);
}

struct sky_shape sky_shape_make(int rank, int64_t a, int64_t b, int64_t c, int64_t d)
{
    return (struct sky_shape){.dtype = SKY_F32, .rank = rank, .dim = {a, b, c, d}};
}

struct sky_shape sky_shape_exact(enum sky_dtype dtype, int rank, int64_t a, int64_t b, int64_t c, int64_t d)
{
    return (struct sky_shape){.dtype = dtype, .exact = true, .rank = rank, .dim = {a, b, c, d}};
}

bool sky_is_vector(const struct sky_tensor *tensor, int64_t length)
{
    return tensor && tensor->rank == 1 && tensor->count == length;
}
