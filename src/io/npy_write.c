/*
 * Writing .npy files: magic, version 1.0, a header padded so that the data start at a multiple of 64 bytes. Owns nothing between calls.
 */
#include "npy.h"

#include "base/fs.h"

#include <stdio.h>
#include <string.h>

enum { PREFIX = 10, ALIGNMENT = 64 };

static sky_status write_array(const char *path, const char *type, const char *shape, const void *data, size_t bytes)
{
    char header[2 * ALIGNMENT + PREFIX];
    struct sky_atomic_file file = {0};
    memset(header, ' ', sizeof header);
    const int text = snprintf(header + PREFIX, sizeof header - PREFIX, "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", type, shape);
    const int length = (PREFIX + text + 1 + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    memcpy(header, "\x93NUMPY\x01\x00", 8);
    header[8] = (char)((length - PREFIX) & 255), header[9] = (char)((length - PREFIX) >> 8);
    header[PREFIX + text] = ' '; /* over snprintf's end mark */
    header[length - 1] = '\n';
    sky_status status = sky_atomic_open(&file, path);
    if (status == SKY_OK) status = sky_atomic_write(&file, header, (size_t)length);
    if (status == SKY_OK) status = sky_atomic_write(&file, data, bytes);
    if (status == SKY_OK) status = sky_atomic_commit(&file);
    sky_atomic_abort(&file);
    return status;
}

sky_status sky_npy_write_floats(const char *path, const float *values, int64_t rows, int64_t columns)
{
    char shape[64];
    snprintf(shape, sizeof shape, "%lld, %lld", (long long)rows, (long long)columns);
    return write_array(path, "<f4", shape, values, (size_t)(rows * columns) * sizeof *values);
}

sky_status sky_npy_write_labels(const char *path, const int64_t *labels, int64_t count)
{
    char shape[64];
    snprintf(shape, sizeof shape, "%lld,", (long long)count);
    return write_array(path, "<i8", shape, labels, (size_t)count * sizeof *labels);
}
