/*
 * Reading and writing of safetensors files. The reader owns its map, the parsed header and the two tables; tensors are never copied. All sizes from the file are
 * checked before they are used.
 */
#include "safetensors.h"

#include "base/json.h"
#include "base/memory.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_HEADER = 100 * 1000 * 1000, LENGTH_BYTES = 8 };

static const struct {
    const char *name;
    enum sky_dtype dtype;
} types[] = {{"F32", SKY_F32}, {"F64", SKY_F64}, {"F16", SKY_F16}, {"BF16", SKY_BF16}, {"I64", SKY_I64}, {"I32", SKY_I32}, {"U8", SKY_U8}};
enum { TYPE_COUNT = sizeof types / sizeof *types };

static sky_status refuse(const struct sky_safetensors *file, const char *name, const char *what)
{
    if (name) sky_fail(SKY_FORMAT, file->path, "tensor '%s': %s", name, what);
    else sky_fail(SKY_FORMAT, file->path, "%s", what);
    return sky_hint("this is no whole safetensors file: copy or write it again");
}

static sky_status read_shape(const struct sky_safetensors *file, const struct sky_json *shape, struct sky_file_tensor *tensor)
{
    size_t bytes = sky_dtype_bytes(tensor->dtype);
    if (!shape || shape->kind != SKY_JSON_ARRAY) return refuse(file, tensor->name, "no shape");
    if (shape->count > SKY_FILE_RANK) return refuse(file, tensor->name, "more than 8 dimensions");
    for (const struct sky_json *dim = shape->first; dim; dim = dim->next) {
        if (dim->kind != SKY_JSON_NUMBER || !dim->is_integer || dim->integer < 0) return refuse(file, tensor->name, "a dimension is no whole number");
        if (!sky_multiply_size(bytes, (size_t)dim->integer, &bytes)) return refuse(file, tensor->name, "its size overflows");
        tensor->dim[tensor->rank++] = dim->integer;
    }
    tensor->bytes = bytes;
    return SKY_OK;
}

static sky_status read_tensor(struct sky_safetensors *file, const struct sky_json *entry, size_t offsets[2])
{
    struct sky_file_tensor *tensor = &file->tensors[file->tensor_count];
    tensor->name = entry->name;
    if (entry->kind != SKY_JSON_OBJECT || entry->count != 3) return refuse(file, entry->name, "its entry must hold dtype, shape and data_offsets");
    const struct sky_json *dtype = sky_json_get(entry, "dtype"), *range = sky_json_get(entry, "data_offsets");
    int type = 0;
    if (!dtype || dtype->kind != SKY_JSON_STRING) return refuse(file, entry->name, "no dtype");
    while (type < TYPE_COUNT && strcmp(types[type].name, dtype->string) != 0) type++;
    if (type == TYPE_COUNT) return refuse(file, entry->name, "unknown dtype (F64, F32, F16, BF16, I64, I32, U8 are read)");
    tensor->dtype = types[type].dtype;
    SKY_TRY(read_shape(file, sky_json_get(entry, "shape"), tensor));
    if (!range || range->kind != SKY_JSON_ARRAY || range->count != 2) return refuse(file, entry->name, "data_offsets must be two numbers");
    const struct sky_json *ends[2] = {range->first, range->first->next};
    for (int i = 0; i < 2; i++) {
        if (ends[i]->kind != SKY_JSON_NUMBER || !ends[i]->is_integer || ends[i]->integer < 0) return refuse(file, entry->name, "an offset is no whole number");
        offsets[i] = (size_t)ends[i]->integer;
    }
    if (offsets[1] < offsets[0] || offsets[1] > file->data_bytes) return refuse(file, entry->name, "its data lie outside the file");
    if (offsets[1] - offsets[0] != tensor->bytes) return refuse(file, entry->name, "its data are not as long as its shape says");
    tensor->data = file->data + offsets[0];
    file->tensor_count++;
    return SKY_OK;
}

static int by_offset(const void *a, const void *b)
{
    const struct sky_file_tensor *x = a, *y = b;
    if (x->data != y->data) return x->data < y->data ? -1 : 1;
    return x->bytes < y->bytes ? -1 : x->bytes > y->bytes; /* an empty tensor before the one that starts there */
}

static sky_status read_texts(struct sky_safetensors *file, const struct sky_json *metadata)
{
    if (metadata->kind != SKY_JSON_OBJECT) return refuse(file, NULL, "__metadata__ is no object");
    SKY_TRY(sky_alloc(&file->texts, (size_t)metadata->count, sizeof *file->texts, "file metadata"));
    for (const struct sky_json *entry = metadata->first; entry; entry = entry->next) {
        if (entry->kind != SKY_JSON_STRING) return refuse(file, NULL, "__metadata__ holds something other than text");
        file->texts[file->text_count++] = (struct sky_file_text){entry->name, entry->string};
    }
    return SKY_OK;
}

static sky_status read_header(struct sky_safetensors *file)
{
    uint64_t length = 0;
    if (file->map.count < LENGTH_BYTES) return refuse(file, NULL, "shorter than a safetensors header");
    for (int i = 0; i < LENGTH_BYTES; i++) length |= (uint64_t)file->map.bytes[i] << (8 * i);
    if (length > MAX_HEADER || length > file->map.count - LENGTH_BYTES) return refuse(file, NULL, "its header is longer than the file (or than 100 MB)");
    file->data = file->map.bytes + LENGTH_BYTES + length;
    file->data_bytes = file->map.count - LENGTH_BYTES - (size_t)length;
    SKY_TRY(sky_json_parse((const char *)file->map.bytes + LENGTH_BYTES, (size_t)length, file->path, &file->header));
    const struct sky_json *root = sky_json_root(file->header);
    if (root->kind != SKY_JSON_OBJECT) return refuse(file, NULL, "its header is no object");
    SKY_TRY(sky_alloc(&file->tensors, (size_t)root->count, sizeof *file->tensors, "the tensors of a file"));
    for (const struct sky_json *entry = root->first; entry; entry = entry->next) {
        size_t offsets[2];
        if (strcmp(entry->name, "__metadata__") == 0) SKY_TRY(read_texts(file, entry));
        else SKY_TRY(read_tensor(file, entry, offsets));
    }
    qsort(file->tensors, (size_t)file->tensor_count, sizeof *file->tensors, by_offset);
    const unsigned char *end = file->data;
    for (int64_t i = 0; i < file->tensor_count; i++) {
        if (file->tensors[i].data != end) return refuse(file, file->tensors[i].name, "a hole or an overlap lies before its data");
        end += file->tensors[i].bytes;
    }
    if (end != file->data + file->data_bytes) return refuse(file, NULL, "the file is longer than its tensors");
    return SKY_OK;
}

sky_status sky_safetensors_open(struct sky_safetensors *file, const char *path)
{
    sky_status status = sky_strdup(&file->path, path, "a path");
    if (status == SKY_OK) status = sky_map_open(&file->map, path);
    if (status == SKY_OK) status = read_header(file);
    if (status != SKY_OK) sky_safetensors_close(file);
    return status;
}

void sky_safetensors_close(struct sky_safetensors *file)
{
    free(file->tensors);
    free(file->texts);
    sky_json_free(file->header);
    sky_map_close(&file->map);
    free(file->path);
    memset(file, 0, sizeof *file);
}

const struct sky_file_tensor *sky_safetensors_find(const struct sky_safetensors *file, const char *name)
{
    for (int64_t i = 0; i < file->tensor_count; i++)
        if (strcmp(file->tensors[i].name, name) == 0) return &file->tensors[i];
    return NULL;
}

const char *sky_safetensors_text(const struct sky_safetensors *file, const char *key)
{
    for (int64_t i = 0; i < file->text_count; i++)
        if (strcmp(file->texts[i].key, key) == 0) return file->texts[i].value;
    return NULL;
}

sky_status sky_file_tensor_floats(const struct sky_file_tensor *tensor, const char *path, float *out, int64_t count)
{
    const unsigned char *from = tensor->data;
    if ((size_t)count * sky_dtype_bytes(tensor->dtype) != tensor->bytes) return sky_fail(SKY_FORMAT, path, "tensor '%s' has another size than the model's", tensor->name);
    switch (tensor->dtype) {
    case SKY_F32: memcpy(out, from, tensor->bytes); return SKY_OK;
    case SKY_F64:
        for (int64_t i = 0; i < count; i++) {
            double value;
            memcpy(&value, from + 8 * i, sizeof value);
            out[i] = (float)value;
        }
        return SKY_OK;
    case SKY_F16:
    case SKY_BF16:
        for (int64_t i = 0; i < count; i++) {
            uint16_t value;
            memcpy(&value, from + 2 * i, sizeof value);
            const uint32_t wide = (uint32_t)value << 16;
            if (tensor->dtype == SKY_F16) out[i] = sky_half_to_float(value);
            else memcpy(out + i, &wide, sizeof wide);
        }
        return SKY_OK;
    default: return sky_fail(SKY_FORMAT, path, "tensor '%s' is of type %s, not a float", tensor->name, sky_dtype_name(tensor->dtype));
    }
}

static const char *type_name(enum sky_dtype dtype)
{
    for (int i = 0; i < TYPE_COUNT; i++)
        if (types[i].dtype == dtype) return types[i].name;
    return "F32";
}

size_t sky_file_tensor_bytes(const struct sky_file_tensor *tensor)
{
    size_t bytes = sky_dtype_bytes(tensor->dtype);
    for (int i = 0; i < tensor->rank; i++) bytes *= (size_t)tensor->dim[i];
    return bytes;
}

static void write_header(struct sky_text *header, const struct sky_file_tensor *tensors, int64_t count, const struct sky_file_text *texts, int64_t text_count)
{
    struct sky_json_writer w = {.out = header};
    size_t offset = 0;
    sky_json_begin_object(&w, NULL);
    if (text_count) {
        sky_json_begin_object(&w, "__metadata__");
        for (int64_t i = 0; i < text_count; i++) sky_json_string(&w, texts[i].key, texts[i].value);
        sky_json_end_object(&w);
    }
    for (int64_t i = 0; i < count; i++) {
        sky_json_begin_object(&w, tensors[i].name);
        sky_json_string(&w, "dtype", type_name(tensors[i].dtype));
        sky_json_begin_array(&w, "shape");
        for (int d = 0; d < tensors[i].rank; d++) sky_json_int(&w, NULL, tensors[i].dim[d]);
        sky_json_end_array(&w);
        sky_json_begin_array(&w, "data_offsets");
        sky_json_int(&w, NULL, (int64_t)offset);
        offset += sky_file_tensor_bytes(&tensors[i]);
        sky_json_int(&w, NULL, (int64_t)offset);
        sky_json_end_array(&w);
        sky_json_end_object(&w);
    }
    sky_json_end_object(&w);
    while (header->length % 8 && !header->failed) sky_text_append(header, " ");
}

sky_status sky_safetensors_write(const char *path, const struct sky_file_tensor *tensors, int64_t count, const struct sky_file_text *texts, int64_t text_count)
{
    struct sky_text header = {0};
    struct sky_atomic_file file = {0};
    unsigned char length[LENGTH_BYTES];
    sky_status status = SKY_OK;
    write_header(&header, tensors, count, texts, text_count);
    SKY_TRY_DONE(sky_text_status(&header, "a safetensors header"));
    for (int i = 0; i < LENGTH_BYTES; i++) length[i] = (unsigned char)((uint64_t)header.length >> (8 * i));
    SKY_TRY_DONE(sky_atomic_open(&file, path));
    SKY_TRY_DONE(sky_atomic_write(&file, length, sizeof length));
    SKY_TRY_DONE(sky_atomic_write(&file, header.text, header.length));
    for (int64_t i = 0; i < count; i++) SKY_TRY_DONE(sky_atomic_write(&file, tensors[i].data, sky_file_tensor_bytes(&tensors[i])));
    SKY_TRY_DONE(sky_atomic_commit(&file));
done:
    sky_atomic_abort(&file);
    sky_text_free(&header);
    return status;
}
