/*
 * MATLAB 5 files of features, as the references' test.py saves them and their evaluate_gpu.py reads them (scipy.io.loadmat): uncompressed, little-endian.
 */
#ifndef SKY_IO_MAT_H
#define SKY_IO_MAT_H

#include "skygem/status.h"

#include <stdint.h>

/* One side of a retrieval. Owns nothing. */
struct sky_mat_side {
    int64_t count, dimensions;
    const float *rows;        /* [count, dimensions] */
    const int64_t *labels;    /* [count] */
    const char *const *paths; /* [count], UTF-8 */
};

/*
 * pytorch_result.mat: gallery_f single [G, D], gallery_label int64 [1, G], gallery_path char [G, longest path, blanks behind], query_f, query_label,
 * query_path. Atomic. SKY_UNSUPPORTED: an array is larger than the format's 2 GiB.
 */
sky_status sky_mat_write_result(const char *path, const struct sky_mat_side *gallery, const struct sky_mat_side *query);

#endif
