/*
 * safetensors files: u64 header length, JSON header, packed tensors. The reader maps the file and trusts nothing: no holes, no overlap, offsets from 0, sizes that equal
 * shape times element size, exact file length (SKY_FORMAT otherwise). The writer streams to a temporary name and renames.
 */
#ifndef SKY_IO_SAFETENSORS_H
#define SKY_IO_SAFETENSORS_H

#include "base/dtype.h"
#include "base/fs.h"
#include "skygem/status.h"

#include <stddef.h>
#include <stdint.h>

#define SKY_FILE_RANK 8

struct sky_file_tensor {
    const char *name;
    enum sky_dtype dtype;
    int rank;
    int64_t dim[SKY_FILE_RANK];
    const void *data; /* reading: into the map, any alignment; writing: the caller's */
    size_t bytes;
};

struct sky_file_text {
    const char *key, *value; /* one entry of __metadata__ */
};

struct sky_safetensors {
    char *path;
    struct sky_map map;
    struct sky_json_document *header; /* owns the names and texts */
    struct sky_file_tensor *tensors;  /* [tensor_count], in the order of their data */
    int64_t tensor_count;
    struct sky_file_text *texts; /* [text_count] */
    int64_t text_count;
    const unsigned char *data; /* the data section */
    size_t data_bytes;
};

/* Zero-initialise. Everything points into the map until sky_safetensors_close. */
sky_status sky_safetensors_open(struct sky_safetensors *file, const char *path);
void sky_safetensors_close(struct sky_safetensors *file);
const struct sky_file_tensor *sky_safetensors_find(const struct sky_safetensors *file, const char *name); /* NULL when absent */
const char *sky_safetensors_text(const struct sky_safetensors *file, const char *key);                    /* NULL when absent */

/* Element size times shape. */
size_t sky_file_tensor_bytes(const struct sky_file_tensor *tensor);

/* Elements as float32 (F32, F64, F16, BF16; others SKY_FORMAT). count must be the tensor's. */
sky_status sky_file_tensor_floats(const struct sky_file_tensor *tensor, const char *path, float *out, int64_t count);

/* Writes all tensors in the given order; bytes is filled in from dtype and shape. Atomic. */
sky_status sky_safetensors_write(const char *path, const struct sky_file_tensor *tensors, int64_t count, const struct sky_file_text *texts, int64_t text_count);

#endif
