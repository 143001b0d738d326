/*
 * Features and labels in NumPy's format.
 */
#include "fuzz.h"

#include "io/npy.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    struct sky_npy npy = {0};
    const float *values;
    const int64_t *labels;
    int64_t rows, columns;
    int handle;
    const char *path = fuzz_file(bytes, count, &handle);
    if (sky_npy_open(&npy, path) == SKY_OK) {
        sky_npy_matrix(&npy, &rows, &columns, &values);
        sky_npy_close(&npy);
    }
    if (sky_npy_open(&npy, path) == SKY_OK) {
        sky_npy_labels(&npy, &rows, &labels);
        sky_npy_close(&npy);
    }
    fuzz_file_end(handle);
    return 0;
}
