/*
 * Weights: safetensors, and torch's .pth in its zip form and the older one.
 */
#include "fuzz.h"

#include "io/tensor_file.h"

/* Every tensor that the reader gives out lies in memory. */
static void read_through(const struct sky_tensor_file *file)
{
    unsigned sum = 0;
    for (int64_t i = 0; i < file->tensor_count; i++) {
        const unsigned char *data = file->tensors[i].data;
        for (size_t b = 0; b < file->tensors[i].bytes; b += 64) sum += data[b];
        if (file->tensors[i].bytes) sum += data[file->tensors[i].bytes - 1];
    }
    if (sum == 0xdeadbeef) puts(""); /* the reads are kept */
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    struct sky_tensor_file file = {0};
    int handle;
    const char *path = fuzz_file(bytes, count, &handle);
    if (sky_tensor_file_open(&file, path) == SKY_OK) {
        read_through(&file);
        sky_tensor_file_close(&file);
    }
    fuzz_file_end(handle);
    return 0;
}
