/*
 * What the two halves of the .pth reader share: names that pickles may mention, storages, refusals. Not for other folders.
 */
#ifndef SKY_IO_TORCH_STORAGE_H
#define SKY_IO_TORCH_STORAGE_H

#include "torch_file.h"

/* Indices into sky_torch_globals, which begins with them; the storage types follow. */
enum { SKY_TORCH_ORDERED_DICT, SKY_TORCH_REBUILD, SKY_TORCH_REBUILD_V2, SKY_TORCH_PARAMETER, SKY_TORCH_SIZE, SKY_TORCH_FIRST_STORAGE };
extern const char *const sky_torch_globals[];

/* One raw array of the file, as tensors refer to it. */
struct sky_torch_storage {
    const char *key; /* into the pickle, not NUL-terminated */
    size_t key_length;
    enum sky_dtype dtype;
    int64_t count;             /* elements */
    const unsigned char *data; /* NULL until it was found in the file */
};

sky_status sky_torch_refuse(const struct sky_torch_file *file, const char *name /* of a tensor, or NULL */, const char *what);

/* ('storage', type, key, place, count[, view]) to type, key and count. */
sky_status sky_torch_storage_read(const struct sky_torch_file *file, const struct sky_pickle_value *persistent, struct sky_torch_storage *out);

/* The data of a storage: an entry of the archive, or one of file->storages. */
sky_status sky_torch_storage_find(struct sky_torch_file *file, struct sky_torch_storage *storage);

/* Opens either format: file->pickle is the dictionary's, and its storages can be found. */
sky_status sky_torch_open_zip(struct sky_torch_file *file);
sky_status sky_torch_open_older(struct sky_torch_file *file);

#endif
