/*
 * Any file of named tensors: safetensors, or either of torch's .pth formats, told apart by how it begins. One table of tensors whatever the format.
 */
#ifndef SKY_IO_TENSOR_FILE_H
#define SKY_IO_TENSOR_FILE_H

#include "torch_file.h"

enum sky_tensor_format { SKY_FORMAT_SAFETENSORS, SKY_FORMAT_TORCH_ZIP, SKY_FORMAT_TORCH_OLDER };
const char *sky_tensor_format_name(enum sky_tensor_format format); /* "safetensors", "torch (zip)", "torch (older)" */

struct sky_tensor_file {
    enum sky_tensor_format format;
    const char *path;
    const struct sky_file_tensor *tensors; /* [tensor_count] */
    int64_t tensor_count;
    struct sky_safetensors safetensors; /* one of the two is open */
    struct sky_torch_file torch;
};

/* Zero-initialise. A safetensors file that carries checksums (a checkpoint) is verified. */
sky_status sky_tensor_file_open(struct sky_tensor_file *file, const char *path);
void sky_tensor_file_close(struct sky_tensor_file *file);

/*
 * torchvision and others put the first digits of a file's SHA-256 into its name: resnet50-0676ba61.pth. *prefix_digits: how many there are (0: none; a date
 * or a step is none). SKY_FORMAT when they are not the file's: it was damaged on its way. hex: the whole digest.
 */
sky_status sky_tensor_file_digest(const char *path, char hex[65], int *prefix_digits);

#endif
