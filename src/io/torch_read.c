/*
 * From a pickle's data to named tensors: finds the dictionary of weights, checks every tensor's place against its storage, copies those whose strides are not
 * those of a packed array. See torch_file.h for who owns what.
 */
#include "torch_storage.h"

#include "base/memory.h"
#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COPY_ROOM = 64 << 20, COPY_FACTOR = 16, MAX_TENSORS = 100000, MAX_DEPTH = 6, MAX_STEPS = 1 << 20, NAME_LIMIT = 256 };

/* ---- one tensor ---- */

struct layout {
    int64_t offset, stride[SKY_FILE_RANK];
};

/* A tuple of whole numbers >= 0, or torch.Size of one. */
static sky_status read_sizes(const struct sky_torch_file *file, const char *name, const struct sky_pickle_value *value, int64_t out[SKY_FILE_RANK], int *count)
{
    const struct sky_pickle *pickle = &file->pickle;
    if (value && value->kind == SKY_PICKLE_CALL && value->integer == SKY_TORCH_SIZE) value = sky_pickle_item(pickle, value, 0);
    if (!value || (value->kind != SKY_PICKLE_TUPLE && value->kind != SKY_PICKLE_LIST)) return sky_torch_refuse(file, name, "its shape is no tuple");
    if (value->count > SKY_FILE_RANK) return sky_torch_refuse(file, name, "more than 8 dimensions");
    *count = 0;
    for (int32_t cell = value->first; cell >= 0; cell = pickle->cells[cell].next) {
        const struct sky_pickle_value *item = &pickle->values[pickle->cells[cell].value];
        if (item->kind != SKY_PICKLE_INT || item->integer < 0) return sky_torch_refuse(file, name, "a size or stride is no whole number");
        out[(*count)++] = item->integer;
    }
    return SKY_OK;
}

/* Whether every element lies in the storage; *packed: row-major without gaps. */
static sky_status check_place(const struct sky_torch_file *file, const struct sky_file_tensor *tensor, const struct layout *layout, int64_t room, bool *packed)
{
    int64_t last = layout->offset, expected = 1;
    *packed = true;
    for (int i = tensor->rank; i-- > 0;) {
        int64_t reach = 0;
        if (tensor->dim[i] > 1) *packed = *packed && layout->stride[i] == expected;
        if (__builtin_mul_overflow(expected, tensor->dim[i], &expected)) return sky_torch_refuse(file, tensor->name, "its size overflows");
        if (tensor->dim[i] > 0 && (__builtin_mul_overflow(tensor->dim[i] - 1, layout->stride[i], &reach) || __builtin_add_overflow(last, reach, &last)))
            return sky_torch_refuse(file, tensor->name, "its strides overflow");
    }
    if (expected > 0 && last >= room) return sky_torch_refuse(file, tensor->name, "it reaches beyond its storage");
    return SKY_OK;
}

/* Row-major copy of a strided tensor; what a file may make us copy grows with its own length. */
static sky_status copy_strided(struct sky_torch_file *file, struct sky_file_tensor *tensor, const struct layout *layout, const unsigned char *storage)
{
    const size_t item = sky_dtype_bytes(tensor->dtype);
    unsigned char *copy = NULL;
    int64_t index[SKY_FILE_RANK] = {0}, at = layout->offset;
    if (tensor->bytes > COPY_ROOM + COPY_FACTOR * file->map.count - file->copied_bytes)
        return sky_torch_refuse(file, tensor->name, "its strides repeat its data more than weights do");
    SKY_TRY(sky_grow(&file->copies, file->copy_count, &file->copy_capacity, sizeof *file->copies, "copied tensors"));
    SKY_TRY(sky_alloc(&copy, tensor->bytes, 1, "a copied tensor"));
    file->copies[file->copy_count++] = copy;
    file->copied_bytes += tensor->bytes;
    for (size_t done = 0; done < tensor->bytes; done += item) {
        memcpy(copy + done, storage + (size_t)at * item, item);
        for (int i = tensor->rank; i-- > 0;) {
            at += layout->stride[i];
            if (++index[i] < tensor->dim[i]) break;
            at -= layout->stride[i] * tensor->dim[i];
            index[i] = 0;
        }
    }
    tensor->data = copy;
    return SKY_OK;
}

/* _rebuild_tensor(storage, offset, size, stride), or _v2 with two more arguments that do not matter to weights. */
static sky_status read_tensor(struct sky_torch_file *file, const char *name, const struct sky_pickle_value *call)
{
    const struct sky_pickle *pickle = &file->pickle;
    struct sky_file_tensor *tensor = &file->tensors[file->tensor_count - 1];
    struct sky_torch_storage storage;
    struct layout layout = {0};
    int strides = 0;
    bool packed = true;
    const struct sky_pickle_value *persistent = sky_pickle_item(pickle, call, 0), *offset = sky_pickle_item(pickle, call, 1);
    if (!persistent || persistent->kind != SKY_PICKLE_PERSISTENT) return sky_torch_refuse(file, name, "it has no storage");
    if (!offset || offset->kind != SKY_PICKLE_INT || offset->integer < 0) return sky_torch_refuse(file, name, "its offset is no whole number");
    layout.offset = offset->integer;
    SKY_TRY(sky_torch_storage_read(file, persistent, &storage));
    SKY_TRY(read_sizes(file, name, sky_pickle_item(pickle, call, 2), tensor->dim, &tensor->rank));
    SKY_TRY(read_sizes(file, name, sky_pickle_item(pickle, call, 3), layout.stride, &strides));
    if (strides != tensor->rank) return sky_torch_refuse(file, name, "it has another number of strides than of sizes");
    tensor->dtype = storage.dtype;
    for (int i = 0; i < tensor->rank; i++)
        if (tensor->dim[i] == 1) layout.stride[i] = 0; /* any number may stand there */
    SKY_TRY(check_place(file, tensor, &layout, storage.count, &packed));
    SKY_TRY(sky_torch_storage_find(file, &storage));
    tensor->bytes = sky_dtype_bytes(tensor->dtype);
    for (int i = 0; i < tensor->rank; i++)
        if (!sky_multiply_size(tensor->bytes, (size_t)tensor->dim[i], &tensor->bytes)) return sky_torch_refuse(file, name, "its size overflows");
    tensor->data = storage.data;
    if (!tensor->bytes) return SKY_OK;
    if (!packed) return copy_strided(file, tensor, &layout, storage.data);
    tensor->data = storage.data + (size_t)layout.offset * sky_dtype_bytes(tensor->dtype);
    return SKY_OK;
}

/* ---- the dictionary ---- */

struct walk {
    struct sky_torch_file *file;
    int64_t steps;
    char name[NAME_LIMIT];
};

static bool is_call_of(const struct sky_pickle_value *value, int callee)
{
    return value && value->kind == SKY_PICKLE_CALL && value->integer == callee;
}

/* The call that makes a tensor, out of its parameter if it is wrapped in one; NULL when the value is no tensor. */
static const struct sky_pickle_value *tensor_call(const struct sky_pickle *pickle, const struct sky_pickle_value *value)
{
    if (is_call_of(value, SKY_TORCH_PARAMETER)) value = sky_pickle_item(pickle, value, 0);
    return is_call_of(value, SKY_TORCH_REBUILD) || is_call_of(value, SKY_TORCH_REBUILD_V2) ? value : NULL;
}

/* Items of a dictionary in turn: false at its end. */
static bool next_item(const struct sky_pickle *pickle, int32_t *cell, const struct sky_pickle_value **key, const struct sky_pickle_value **value)
{
    if (*cell < 0) return false;
    const int32_t second = pickle->cells[*cell].next;
    *key = &pickle->values[pickle->cells[*cell].value];
    *value = &pickle->values[pickle->cells[second].value];
    *cell = pickle->cells[second].next;
    return true;
}

static sky_status add_tensor(struct walk *walk, const struct sky_pickle_value *call)
{
    struct sky_torch_file *file = walk->file;
    if (file->tensor_count == MAX_TENSORS) return sky_torch_refuse(file, NULL, "more than 100000 tensors");
    SKY_TRY(sky_grow(&file->tensors, file->tensor_count, &file->tensor_capacity, sizeof *file->tensors, "a file's tensors"));
    char *name = NULL;
    SKY_TRY(sky_strdup(&name, walk->name, "a tensor's name"));
    file->tensors[file->tensor_count++] = (struct sky_file_tensor){.name = name};
    return read_tensor(file, walk->name, call);
}

/* Dictionaries inside join their names with dots. Recursion ends at MAX_DEPTH, and a file that shares dictionaries to no end at MAX_STEPS. */
static sky_status walk_dict(struct walk *walk, const struct sky_pickle_value *dict, int depth)
{
    struct sky_torch_file *file = walk->file;
    const struct sky_pickle *pickle = &file->pickle;
    const struct sky_pickle_value *key, *value;
    const size_t used = strlen(walk->name);
    int32_t cell = dict->first;
    while (next_item(pickle, &cell, &key, &value)) {
        const struct sky_pickle_value *call = tensor_call(pickle, value);
        if (++walk->steps > MAX_STEPS) return sky_torch_refuse(file, NULL, "its dictionaries hold more than a million entries");
        if (key->kind != SKY_PICKLE_TEXT || (!call && value->kind != SKY_PICKLE_DICT)) {
            file->others++;
            continue;
        }
        if (!key->length || used + key->length + 2 > sizeof walk->name || memchr(key->text, 0, key->length))
            return sky_torch_refuse(file, NULL, "a tensor's name is empty or too long");
        for (size_t i = 0; i < key->length; i++)
            if ((unsigned char)key->text[i] < ' ') return sky_torch_refuse(file, NULL, "a tensor's name holds control characters");
        memcpy(walk->name + used, key->text, key->length);
        walk->name[used + key->length] = 0;
        if (call) SKY_TRY(add_tensor(walk, call));
        else if (depth == MAX_DEPTH) return sky_torch_refuse(file, NULL, "dictionaries more than 6 deep");
        else {
            strcat(walk->name, ".");
            SKY_TRY(walk_dict(walk, value, depth + 1));
        }
        walk->name[used] = 0;
    }
    return SKY_OK;
}

/* A training script's file holds the weights under one of these, beside other things. */
static const struct sky_pickle_value *unwrap(struct sky_torch_file *file, const struct sky_pickle_value *root)
{
    static const char *const wrappers[] = {"state_dict", "model_state_dict", "model", "net"};
    const struct sky_pickle *pickle = &file->pickle;
    const struct sky_pickle_value *key, *value;
    for (int32_t cell = root->first; next_item(pickle, &cell, &key, &value);)
        if (tensor_call(pickle, value)) return root;
    for (size_t w = 0; w < sizeof wrappers / sizeof *wrappers; w++) {
        for (int32_t cell = root->first; next_item(pickle, &cell, &key, &value);) {
            if (!sky_pickle_text_is(key, wrappers[w]) || value->kind != SKY_PICKLE_DICT) continue;
            snprintf(file->wrapper, sizeof file->wrapper, "%s", wrappers[w]);
            return value;
        }
    }
    return root;
}

static int by_name(const void *a, const void *b)
{
    const struct sky_file_tensor *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static sky_status check_names(const struct sky_torch_file *file)
{
    const struct sky_file_tensor **sorted = NULL;
    sky_status status = SKY_OK;
    SKY_TRY(sky_alloc(&sorted, (size_t)file->tensor_count + 1, sizeof *sorted, "tensors' names"));
    for (int64_t i = 0; i < file->tensor_count; i++) sorted[i] = &file->tensors[i];
    qsort(sorted, (size_t)file->tensor_count, sizeof *sorted, by_name);
    for (int64_t i = 1; i < file->tensor_count && status == SKY_OK; i++)
        if (by_name(&sorted[i], &sorted[i - 1]) == 0) status = sky_torch_refuse(file, sorted[i]->name, "it comes twice");
    free(sorted);
    return status;
}

static sky_status read_file(struct sky_torch_file *file)
{
    struct walk walk = {.file = file};
    SKY_TRY(sky_zip_is(&file->map) ? sky_torch_open_zip(file) : sky_torch_open_older(file));
    const struct sky_pickle_value *root = &file->pickle.values[file->pickle.root];
    if (root->kind != SKY_PICKLE_DICT) return sky_torch_refuse(file, NULL, "it holds no dictionary of tensors");
    SKY_TRY(walk_dict(&walk, unwrap(file, root), 1));
    if (!file->tensor_count) return sky_torch_refuse(file, NULL, "it holds no named tensors");
    return check_names(file);
}

sky_status sky_torch_open(struct sky_torch_file *file, const char *path)
{
    memset(file, 0, sizeof *file);
    sky_status status = sky_strdup(&file->path, path, "a path");
    if (status == SKY_OK) status = sky_map_open(&file->map, path);
    if (status == SKY_OK) status = read_file(file);
    if (status != SKY_OK) sky_torch_close(file);
    return status;
}

void sky_torch_close(struct sky_torch_file *file)
{
    for (int64_t i = 0; i < file->tensor_count; i++) free((char *)file->tensors[i].name); /* ours: add_tensor copied it */
    for (int64_t i = 0; i < file->copy_count; i++) free(file->copies[i]);
    free(file->tensors);
    free(file->copies);
    free(file->storages);
    free(file->folder);
    sky_pickle_free(&file->pickle);
    sky_zip_close(&file->zip);
    sky_map_close(&file->map);
    free(file->path);
    memset(file, 0, sizeof *file);
}
