/*
 * Writing torch's zip format: a pickle of an OrderedDict whose tensors name their storages, and one stored entry a storage, aligned to 64 bytes as torch has
 * them. Dates are zero, so the same tensors give the same bytes. The pickle mentions three names: OrderedDict, _rebuild_tensor_v2 and the storage's type.
 */
#include "torch_file.h"

#include "base/memory.h"
#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { ALIGNMENT = 64, LOCAL_BYTES = 30, EXTRA_HEAD = 4, DOS_DATE = 0x21 /* 1980-01-01 */, UTF8 = 0x800 };

/* ---- little-endian text ---- */

static void put(struct sky_text *out, uint64_t value, int bytes)
{
    char raw[8];
    for (int i = 0; i < bytes; i++) raw[i] = (char)(value >> (8 * i));
    sky_text_append_bytes(out, raw, (size_t)bytes);
}

/* ---- the pickle ---- */

static void put_text(struct sky_text *out, const char *text)
{
    put(out, 'X', 1);
    put(out, strlen(text), 4);
    sky_text_append(out, text);
}

static void put_int(struct sky_text *out, int64_t value)
{
    if (value <= INT32_MAX) put(out, 'J', 1), put(out, (uint64_t)value, 4);
    else put(out, 0x8a, 1), put(out, 8, 1), put(out, (uint64_t)value, 8); /* LONG1 */
}

static void put_sizes(struct sky_text *out, const int64_t *values, int count)
{
    put(out, '(', 1);
    for (int i = 0; i < count; i++) put_int(out, values[i]);
    put(out, 't', 1);
}

static const char *storage_name(enum sky_dtype dtype)
{
    static const char *const names[SKY_DTYPE_COUNT] = {[SKY_F32] = "Float", [SKY_F64] = "Double", [SKY_BF16] = "BFloat16", [SKY_F16] = "Half",
                                                       [SKY_U8] = "Byte",   [SKY_I32] = "Int",    [SKY_I64] = "Long"};
    return names[dtype];
}

static int64_t element_count(const struct sky_file_tensor *tensor)
{
    return (int64_t)(sky_file_tensor_bytes(tensor) / sky_dtype_bytes(tensor->dtype));
}

static void put_tensor(struct sky_text *out, const struct sky_file_tensor *tensor, int64_t storage)
{
    int64_t stride[SKY_FILE_RANK] = {0}, step = 1;
    char key[24];
    for (int i = tensor->rank; i-- > 0 && tensor->data;) stride[i] = step, step *= tensor->dim[i];
    snprintf(key, sizeof key, "%lld", (long long)storage);
    put_text(out, tensor->name);
    sky_text_append(out, "ctorch._utils\n_rebuild_tensor_v2\n((");
    put_text(out, "storage");
    sky_text_format(out, "ctorch\n%sStorage\n", storage_name(tensor->dtype));
    put_text(out, key);
    put_text(out, "cpu");
    put_int(out, tensor->data ? element_count(tensor) : 1);
    sky_text_append(out, "tQ");
    put_int(out, 0);
    put_sizes(out, tensor->dim, tensor->rank);
    put_sizes(out, stride, tensor->rank);
    put(out, 0x89, 1); /* no gradient */
    sky_text_append(out, "ccollections\nOrderedDict\n)RtR");
}

/* ---- the archive ---- */

struct archive {
    struct sky_atomic_file file;
    struct sky_text directory;
    uint64_t written, entries;
};

static sky_status add_bytes(struct archive *archive, const void *bytes, size_t count)
{
    archive->written += count;
    return sky_atomic_write(&archive->file, bytes, count);
}

/* What a local header and a directory's entry have in common. */
static void put_description(struct sky_text *out, uint32_t crc, size_t bytes, const char *name, size_t extra)
{
    put(out, UTF8, 2), put(out, 0, 2), put(out, 0, 2), put(out, DOS_DATE, 2);
    put(out, crc, 4), put(out, bytes, 4), put(out, bytes, 4);
    put(out, strlen(name), 2), put(out, extra, 2);
}

static sky_status add_entry(struct archive *archive, const char *name, const void *bytes, size_t count)
{
    static const char zeros[ALIGNMENT];
    struct sky_text head = {0};
    const uint64_t at = archive->written, before = at + LOCAL_BYTES + strlen(name) + EXTRA_HEAD;
    const size_t padding = (ALIGNMENT - before % ALIGNMENT) % ALIGNMENT;
    const uint32_t crc = (uint32_t)crc32_z(0, bytes, count);
    put(&head, 0x04034b50, 4), put(&head, 20, 2);
    put_description(&head, crc, count, name, EXTRA_HEAD + padding);
    sky_text_append(&head, name);
    sky_text_append(&head, "FB"); /* the mark of torch's padding */
    put(&head, padding, 2);
    sky_text_append_bytes(&head, zeros, padding);
    sky_status status = sky_text_status(&head, "an archive");
    if (status == SKY_OK) status = add_bytes(archive, head.text, head.length);
    if (status == SKY_OK && count) status = add_bytes(archive, bytes, count);
    sky_text_free(&head);
    put(&archive->directory, 0x02014b50, 4), put(&archive->directory, 20, 2), put(&archive->directory, 20, 2);
    put_description(&archive->directory, crc, count, name, 0);
    put(&archive->directory, 0, 2), put(&archive->directory, 0, 2), put(&archive->directory, 0, 2), put(&archive->directory, 0, 4),
        put(&archive->directory, at, 4);
    sky_text_append(&archive->directory, name);
    archive->entries++;
    return status;
}

static sky_status finish(struct archive *archive)
{
    const uint64_t at = archive->written, bytes = archive->directory.length;
    put(&archive->directory, 0x06054b50, 4), put(&archive->directory, 0, 4);
    put(&archive->directory, archive->entries, 2), put(&archive->directory, archive->entries, 2);
    put(&archive->directory, bytes, 4), put(&archive->directory, at, 4), put(&archive->directory, 0, 2);
    SKY_TRY(sky_text_status(&archive->directory, "an archive"));
    SKY_TRY(add_bytes(archive, archive->directory.text, archive->directory.length));
    return sky_atomic_commit(&archive->file);
}

/* storage[i]: which storage tensor i uses; the first tensor that uses one brings the data. */
static void number_storages(const struct sky_file_tensor *tensors, int64_t count, int64_t *storage)
{
    int64_t storages = 0;
    for (int64_t i = 0; i < count; i++) {
        storage[i] = -1;
        for (int64_t j = 0; j < i && storage[i] < 0; j++) {
            const bool same = tensors[j].data == tensors[i].data && tensors[j].dtype == tensors[i].dtype;
            if (same && (!tensors[i].data || sky_file_tensor_bytes(&tensors[j]) == sky_file_tensor_bytes(&tensors[i]))) storage[i] = storage[j];
        }
        if (storage[i] < 0) storage[i] = storages++;
    }

}

static sky_status check_size(const char *path, const struct sky_file_tensor *tensors, int64_t count)
{
    enum { OVERHEAD = 2000, MAX_ENTRIES = 60000 };
    uint64_t bytes = 0;
    for (int64_t i = 0; i < count; i++) bytes += OVERHEAD + (tensors[i].data ? sky_file_tensor_bytes(&tensors[i]) : 8);
    if (bytes < UINT32_MAX && count < MAX_ENTRIES) return SKY_OK;
    sky_fail(SKY_UNSUPPORTED, path, "%lld tensors of %.1f GB are too much for a .pth file", (long long)count, (double)bytes / 1e9);
    return sky_hint("write safetensors instead");
}

static sky_status write_archive(struct archive *archive, const struct sky_file_tensor *tensors, int64_t count, const int64_t *storage, struct sky_text *pickle)
{
    static const unsigned char zero[8];
    int64_t written = 0;
    char name[48];
    put(pickle, 0x80, 1), put(pickle, 2, 1);
    sky_text_append(pickle, "ccollections\nOrderedDict\n)R(");
    for (int64_t i = 0; i < count; i++) put_tensor(pickle, &tensors[i], storage[i]);
    sky_text_append(pickle, "u.");
    SKY_TRY(sky_text_status(pickle, "a pickle"));
    SKY_TRY(add_entry(archive, "archive/data.pkl", pickle->text, pickle->length));
    SKY_TRY(add_entry(archive, "archive/byteorder", "little", 6));
    for (int64_t i = 0; i < count; i++) {
        if (storage[i] != written) continue;
        snprintf(name, sizeof name, "archive/data/%lld", (long long)written++);
        const size_t bytes = tensors[i].data ? sky_file_tensor_bytes(&tensors[i]) : sky_dtype_bytes(tensors[i].dtype);
        SKY_TRY(add_entry(archive, name, tensors[i].data ? tensors[i].data : zero, bytes));
    }
    SKY_TRY(add_entry(archive, "archive/version", "3\n", 2));
    return finish(archive);
}

sky_status sky_torch_write(const char *path, const struct sky_file_tensor *tensors, int64_t count)
{
    struct archive archive = {0};
    struct sky_text pickle = {0};
    int64_t *storage = NULL;
    sky_status status = SKY_OK;
    SKY_TRY(check_size(path, tensors, count));
    SKY_TRY_DONE(sky_alloc(&storage, (size_t)count + 1, sizeof *storage, "storages"));
    number_storages(tensors, count, storage);
    SKY_TRY_DONE(sky_atomic_open(&archive.file, path));
    status = write_archive(&archive, tensors, count, storage, &pickle);
done:
    sky_atomic_abort(&archive.file);
    sky_text_free(&archive.directory);
    sky_text_free(&pickle);
    free(storage);
    return status;
}
