/*
 * NumPy's .npy files. Written: float32 matrices and int64 vectors, little-endian, C order, version 1.0. Read: versions 1 to 3, any number type, C or
 * Fortran order, as the float32 matrix or the int64 labels that they hold; the file is mapped, and its values are used in place when they already are
 * of the wanted type. The reader trusts nothing and refuses what it does not understand; a damaged, foreign or missing file is SKY_DATA.
 */
#ifndef SKY_IO_NPY_H
#define SKY_IO_NPY_H

#include "base/fs.h"
#include "skygem/status.h"

#include <stdbool.h>
#include <stdint.h>

#define SKY_NPY_RANK 8

/* Atomic writes. */
sky_status sky_npy_write_floats(const char *path, const float *values /* [rows, columns] */, int64_t rows, int64_t columns);
sky_status sky_npy_write_labels(const char *path, const int64_t *labels /* [count] */, int64_t count);

/* An open file. Zero-initialise; what the functions below give points into it until sky_npy_close. */
struct sky_npy {
    char *path;
    struct sky_map map;
    char kind; /* 'f' float, 'i' integer, 'u' unsigned, 'b' truth values */
    int item_bytes, rank;
    bool fortran_order;
    int64_t shape[SKY_NPY_RANK], count;
    const unsigned char *data; /* [count] elements, any alignment */
    void *converted;           /* heap copy of another type or order */
};
sky_status sky_npy_open(struct sky_npy *npy, const char *path);
void sky_npy_close(struct sky_npy *npy);

/* A two-dimensional array as float32 [rows, columns]. */
sky_status sky_npy_matrix(struct sky_npy *npy, int64_t *rows, int64_t *columns, const float **out);

/* A vector (or one row, or one column) of whole numbers as int64 [count]; floats are taken when they are whole. */
sky_status sky_npy_labels(struct sky_npy *npy, int64_t *count, const int64_t **out);

#endif
