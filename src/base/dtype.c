/*
 * The table behind dtype.h.
 */
#include "dtype.h"

static const struct {
    size_t bytes;
    const char *name;
} dtypes[SKY_DTYPE_COUNT] = {
    [SKY_F32] = {4, "f32"}, [SKY_F64] = {8, "f64"}, [SKY_BF16] = {2, "bf16"}, [SKY_F16] = {2, "f16"},
    [SKY_U8] = {1, "u8"},   [SKY_I32] = {4, "i32"}, [SKY_I64] = {8, "i64"},
};

size_t sky_dtype_bytes(enum sky_dtype dtype)
{
    return dtypes[dtype].bytes;
}

const char *sky_dtype_name(enum sky_dtype dtype)
{
    return dtypes[dtype].name;
}
