/*
 * PyTorch's .pth files: read without running anything of them, in the zip format (1.6 and later) and in the older one (a magic number, pickles, raw
 * storages); written in the zip format. What is read: dictionaries of tensors, plain or inside {'state_dict': ...}, with any strides. The reader trusts
 * nothing; what it does not understand is SKY_FORMAT.
 */
#ifndef SKY_IO_TORCH_FILE_H
#define SKY_IO_TORCH_FILE_H

#include "pickle.h"
#include "safetensors.h"
#include "zip_read.h"

struct sky_torch_file {
    char *path;
    struct sky_map map;
    struct sky_zip zip; /* of the zip format */
    char *folder;       /* the folder of all its entries, with the slash */
    struct sky_pickle pickle;
    struct sky_file_tensor *tensors; /* [tensor_count], in the dictionary's order; data in the map, or copied where strides or packing ask for it */
    int64_t tensor_count, tensor_capacity;
    char wrapper[32];  /* "state_dict" when the tensors were inside that entry; "" */
    int64_t others;    /* entries of the dictionaries that are no tensors (epoch, scores): left out */
    bool older;        /* the older format */
    struct sky_torch_storage *storages; /* of the older format, sorted by key */
    int64_t storage_count;
    void **copies;
    int64_t copy_count, copy_capacity;
    size_t copied_bytes;
};

bool sky_torch_is(const struct sky_map *map); /* begins as one of the two formats does */

/* Zero-initialise. Names and data are valid until sky_torch_close. */
sky_status sky_torch_open(struct sky_torch_file *file, const char *path);
void sky_torch_close(struct sky_torch_file *file);

/*
 * A state dictionary that torch.load reads. Tensors with the same data pointer and size share one storage, as torch writes aliases. A tensor without data
 * stands for zeros: it is written as one zero with strides of 0. Atomic; the same tensors give the same bytes.
 */
sky_status sky_torch_write(const char *path, const struct sky_file_tensor *tensors, int64_t count);

#endif
