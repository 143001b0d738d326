/*
 * NumPy's .npy files: float32 matrices and int64 vectors, little-endian, C order, version 1.0 headers.
 */
#ifndef SKY_IO_NPY_H
#define SKY_IO_NPY_H

#include "skygem/status.h"

#include <stdint.h>

/* Atomic writes. */
sky_status sky_npy_write_floats(const char *path, const float *values /* [rows, columns] */, int64_t rows, int64_t columns);
sky_status sky_npy_write_labels(const char *path, const int64_t *labels /* [count] */, int64_t count);

#endif
