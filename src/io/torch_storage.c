/*
 * The containers of .pth files: an archive with one entry a storage, or a row of pickles with the storages behind them. See torch_file.h for who owns what.
 */
#include "torch_storage.h"

#include "base/memory.h"
#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROOM = 64 << 20, ROOM_FACTOR = 16, KEY_LIMIT = 64, MAX_STORAGES = 200000, PROTOCOL = 1001 };

const char *const sky_torch_globals[] = {
    "collections OrderedDict", "torch._utils _rebuild_tensor", "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter", "torch Size",
    "torch FloatStorage",      "torch DoubleStorage",          "torch HalfStorage",               "torch BFloat16Storage",           "torch LongStorage",
    "torch IntStorage",        "torch ByteStorage",            "torch BoolStorage",               "torch.cuda FloatStorage",         "torch.cuda DoubleStorage",
    "torch.cuda HalfStorage",  "torch.cuda BFloat16Storage",   "torch.cuda LongStorage",          "torch.cuda IntStorage",           "torch.cuda ByteStorage",
    "torch.cuda BoolStorage",  NULL,
};
static const enum sky_dtype storage_types[] = {SKY_F32, SKY_F64, SKY_F16, SKY_BF16, SKY_I64, SKY_I32, SKY_U8, SKY_U8};
enum { TYPE_COUNT = sizeof storage_types / sizeof *storage_types };

sky_status sky_torch_refuse(const struct sky_torch_file *file, const char *name, const char *what)
{
    if (name) sky_fail(SKY_FORMAT, file->path, "tensor '%s': %s", name, what);
    else sky_fail(SKY_FORMAT, file->path, "%s", what);
    return sky_hint("save plain weights where the file was made: torch.save(model.state_dict(), FILE)");
}

sky_status sky_torch_storage_read(const struct sky_torch_file *file, const struct sky_pickle_value *persistent, struct sky_torch_storage *out)
{
    const struct sky_pickle *pickle = &file->pickle;
    const struct sky_pickle_value *id = sky_pickle_item(pickle, persistent, 0);
    if (!id || id->kind != SKY_PICKLE_TUPLE || id->count < 5 || !sky_pickle_text_is(sky_pickle_item(pickle, id, 0), "storage"))
        return sky_torch_refuse(file, NULL, "it refers to something outside it that is no storage");
    const struct sky_pickle_value *type = sky_pickle_item(pickle, id, 1), *key = sky_pickle_item(pickle, id, 2), *count = sky_pickle_item(pickle, id, 4);
    const struct sky_pickle_value *view = sky_pickle_item(pickle, id, 5);
    if (type->kind != SKY_PICKLE_GLOBAL || type->integer < SKY_TORCH_FIRST_STORAGE) return sky_torch_refuse(file, NULL, "a storage of no known type");
    if (key->kind != SKY_PICKLE_TEXT || !key->length || key->length > KEY_LIMIT || memchr(key->text, 0, key->length))
        return sky_torch_refuse(file, NULL, "a storage without a proper key");
    if (count->kind != SKY_PICKLE_INT || count->integer < 0) return sky_torch_refuse(file, NULL, "a storage whose length is no whole number");
    if (view && view->kind != SKY_PICKLE_NONE) return sky_torch_refuse(file, NULL, "a storage that is a view of another, which is not read");
    size_t bytes;
    *out = (struct sky_torch_storage){key->text, key->length, storage_types[(type->integer - SKY_TORCH_FIRST_STORAGE) % TYPE_COUNT], count->integer, NULL};
    if (!sky_multiply_size((size_t)out->count, sky_dtype_bytes(out->dtype), &bytes)) return sky_torch_refuse(file, NULL, "a storage whose size overflows");
    return SKY_OK;
}

/* ---- the zip format: ANY/data.pkl, ANY/data/KEY, ANY/byteorder ---- */

/* NULL when there is none. */
static struct sky_zip_entry *find_entry(const struct sky_torch_file *file, const char *name)
{
    char path[1200];
    const int length = snprintf(path, sizeof path, "%s%s", file->folder, name);
    return length < (int)sizeof path ? sky_zip_find(&file->zip, path) : NULL;
}

static sky_status find_folder(struct sky_torch_file *file)
{
    static const char ending[] = "data.pkl";
    const char *found = NULL;
    for (int64_t i = 0; i < file->zip.count; i++) {
        const char *name = file->zip.entries[i].name, *slash = strchr(name, '/');
        if (!slash || strcmp(slash + 1, ending) != 0) continue;
        if (found) return sky_torch_refuse(file, NULL, "an archive with two data.pkl");
        found = name;
    }
    if (!found) return sky_torch_refuse(file, NULL, "an archive without data.pkl: no file of torch.save");
    SKY_TRY(sky_strdup(&file->folder, found, "an archive's folder"));
    file->folder[strlen(found) - strlen(ending)] = 0;
    return strlen(file->folder) > 1000 ? sky_torch_refuse(file, NULL, "an archive whose names are too long") : SKY_OK;
}

sky_status sky_torch_open_zip(struct sky_torch_file *file)
{
    const unsigned char *bytes = NULL;
    SKY_TRY(sky_zip_open(&file->zip, file->path, &file->map, ROOM + ROOM_FACTOR * file->map.count));
    SKY_TRY(find_folder(file));
    struct sky_zip_entry *order = find_entry(file, "byteorder"), *pickle = find_entry(file, "data.pkl");
    if (find_entry(file, "constants.pkl")) return sky_torch_refuse(file, NULL, "a TorchScript program, not plain weights");
    if (order) SKY_TRY(sky_zip_read(&file->zip, order, &bytes));
    if (order && (order->bytes != 6 || memcmp(bytes, "little", 6) != 0)) return sky_torch_refuse(file, NULL, "its numbers are not little-endian");
    SKY_TRY(sky_zip_read(&file->zip, pickle, &bytes));
    SKY_TRY(sky_pickle_read(&file->pickle, file->path, bytes, (size_t)pickle->bytes, sky_torch_globals));
    return file->pickle.used_bytes == pickle->bytes ? SKY_OK : sky_torch_refuse(file, NULL, "something follows its pickle");
}

static sky_status find_in_zip(struct sky_torch_file *file, struct sky_torch_storage *storage)
{
    char name[KEY_LIMIT + 8];
    snprintf(name, sizeof name, "data/%.*s", (int)storage->key_length, storage->key);
    struct sky_zip_entry *entry = find_entry(file, name);
    if (!entry) return sky_torch_refuse(file, NULL, "a storage is missing from the archive");
    if (entry->bytes != (uint64_t)storage->count * sky_dtype_bytes(storage->dtype))
        return sky_torch_refuse(file, NULL, "a storage of another length than its tensors say");
    return sky_zip_read(&file->zip, entry, &storage->data);
}

/* ---- the older format: magic, protocol, system, the dictionary, the keys: five pickles; then for each key its length and its data ---- */

static const unsigned char magic[] = {0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19};
enum { MAGIC_AT = 4 }; /* PROTO 2, LONG1 10 */

static bool is_older(const struct sky_map *map)
{
    return map->count > MAGIC_AT + sizeof magic && map->bytes[0] == 0x80 && map->bytes[2] == 0x8a && map->bytes[3] == sizeof magic &&
        memcmp(map->bytes + MAGIC_AT, magic, sizeof magic) == 0;
}

bool sky_torch_is(const struct sky_map *map)
{
    return sky_zip_is(map) || is_older(map);
}

static sky_status next_pickle(const struct sky_torch_file *file, size_t *at, struct sky_pickle *pickle)
{
    SKY_TRY(sky_pickle_read(pickle, file->path, file->map.bytes + *at, file->map.count - *at, sky_torch_globals));
    *at += pickle->used_bytes;
    return SKY_OK;
}

static sky_status check_system(const struct sky_torch_file *file, size_t *at)
{
    struct sky_pickle pickle = {0};
    SKY_TRY(next_pickle(file, at, &pickle));
    const struct sky_pickle_value *protocol = &pickle.values[pickle.root];
    const bool known = protocol->kind == SKY_PICKLE_INT && protocol->integer == PROTOCOL;
    sky_pickle_free(&pickle);
    if (!known) return sky_torch_refuse(file, NULL, "written in an unknown version of torch's older format");
    SKY_TRY(next_pickle(file, at, &pickle));
    const struct sky_pickle_value *system = &pickle.values[pickle.root];
    bool little = true;
    for (int32_t cell = system->kind == SKY_PICKLE_DICT ? system->first : -1; cell >= 0; cell = pickle.cells[pickle.cells[cell].next].next) {
        const struct sky_pickle_value *value = &pickle.values[pickle.cells[pickle.cells[cell].next].value];
        if (sky_pickle_text_is(&pickle.values[pickle.cells[cell].value], "little_endian")) little = value->kind == SKY_PICKLE_BOOL && value->integer;
    }
    sky_pickle_free(&pickle);
    return little ? SKY_OK : sky_torch_refuse(file, NULL, "its numbers are not little-endian");
}

static int by_key(const void *a, const void *b)
{
    const struct sky_torch_storage *x = a, *y = b;
    const size_t length = x->key_length < y->key_length ? x->key_length : y->key_length;
    const int order = memcmp(x->key, y->key, length);
    return order ? order : x->key_length < y->key_length ? -1 : x->key_length > y->key_length;
}

/* The storages that the dictionary mentions, each once. */
static sky_status list_storages(struct sky_torch_file *file)
{
    int64_t mentioned = 0, kept = 0;
    for (int64_t i = 0; i < file->pickle.value_count; i++) mentioned += file->pickle.values[i].kind == SKY_PICKLE_PERSISTENT;
    if (mentioned > MAX_STORAGES) return sky_torch_refuse(file, NULL, "more than 200000 storages");
    SKY_TRY(sky_alloc(&file->storages, (size_t)mentioned + 1, sizeof *file->storages, "a file's storages"));
    for (int64_t i = 0; i < file->pickle.value_count; i++)
        if (file->pickle.values[i].kind == SKY_PICKLE_PERSISTENT)
            SKY_TRY(sky_torch_storage_read(file, &file->pickle.values[i], &file->storages[file->storage_count++]));
    qsort(file->storages, (size_t)file->storage_count, sizeof *file->storages, by_key);
    for (int64_t i = 0; i < file->storage_count; i++) {
        const struct sky_torch_storage *one = &file->storages[i], *before = kept ? &file->storages[kept - 1] : NULL;
        if (!before || by_key(one, before) != 0) file->storages[kept++] = *one;
        else if (one->dtype != before->dtype || one->count != before->count) return sky_torch_refuse(file, NULL, "a storage with two types or lengths");
    }
    file->storage_count = kept;
    return SKY_OK;
}

/* Data of one storage, its length in front. */
static sky_status place_storage(struct sky_torch_file *file, const struct sky_pickle_value *key, size_t *at)
{
    const struct sky_torch_storage wanted = {.key = key->text, .key_length = key->length};
    if (key->kind != SKY_PICKLE_TEXT) return sky_torch_refuse(file, NULL, "a storage without a proper key");
    struct sky_torch_storage *storage = bsearch(&wanted, file->storages, (size_t)file->storage_count, sizeof *file->storages, by_key);
    if (!storage || storage->data) return sky_torch_refuse(file, NULL, "a storage that no tensor uses, or that comes twice");
    if (file->map.count - *at < 8) return sky_torch_refuse(file, NULL, "it was cut short: a storage is missing");
    uint64_t count = 0;
    for (int i = 8; i-- > 0;) count = count << 8 | file->map.bytes[*at + (size_t)i];
    *at += 8;
    if (count != (uint64_t)storage->count) return sky_torch_refuse(file, NULL, "a storage of another length than its tensors say");
    const size_t bytes = (size_t)count * sky_dtype_bytes(storage->dtype);
    if (bytes > file->map.count - *at) return sky_torch_refuse(file, NULL, "it was cut short: a storage is not whole");
    storage->data = file->map.bytes + *at;
    *at += bytes;
    return SKY_OK;
}

static sky_status place_storages(struct sky_torch_file *file, size_t at)
{
    struct sky_pickle keys = {0};
    SKY_TRY(next_pickle(file, &at, &keys));
    const struct sky_pickle_value *list = &keys.values[keys.root];
    sky_status status = list->kind == SKY_PICKLE_LIST ? SKY_OK : sky_torch_refuse(file, NULL, "its list of storages is missing");
    for (int32_t cell = status == SKY_OK ? list->first : -1; cell >= 0 && status == SKY_OK; cell = keys.cells[cell].next)
        status = place_storage(file, &keys.values[keys.cells[cell].value], &at);
    sky_pickle_free(&keys);
    return status == SKY_OK && at != file->map.count ? sky_torch_refuse(file, NULL, "something follows its last storage") : status;
}

sky_status sky_torch_open_older(struct sky_torch_file *file)
{
    size_t at = MAGIC_AT + sizeof magic + 1; /* STOP */
    if (!is_older(&file->map) || file->map.bytes[at - 1] != '.') return sky_torch_refuse(file, NULL, "no file of torch.save");
    file->older = true;
    SKY_TRY(check_system(file, &at));
    SKY_TRY(next_pickle(file, &at, &file->pickle));
    SKY_TRY(list_storages(file));
    return place_storages(file, at);
}

sky_status sky_torch_storage_find(struct sky_torch_file *file, struct sky_torch_storage *storage)
{
    if (!file->older) return find_in_zip(file, storage);
    const struct sky_torch_storage *found = bsearch(storage, file->storages, (size_t)file->storage_count, sizeof *file->storages, by_key);
    if (!found || !found->data) return sky_torch_refuse(file, NULL, "a storage is missing from the file");
    storage->data = found->data;
    return SKY_OK;
}
