/*
 * The choice among the readers, and the digest in a file's name. Owns the reader it opened.
 */
#include "tensor_file.h"

#include "base/sha256.h"
#include "checkpoint_file.h"

#include <string.h>

enum { MIN_DIGITS = 8, MAX_DIGITS = 64, TAR_MARK_AT = 257 };

const char *sky_tensor_format_name(enum sky_tensor_format format)
{
    static const char *const names[] = {"safetensors", "torch (zip)", "torch (older)"};
    return names[format];
}

static sky_status check_there(const char *path)
{
    if (sky_path_is_file(path)) return SKY_OK;
    sky_fail(SKY_USAGE, path, "there is no such weights file");
    return sky_hint("give the path of a .safetensors or .pth file");
}

static sky_status open_torch(struct sky_tensor_file *file, const char *path)
{
    SKY_TRY(sky_torch_open(&file->torch, path));
    file->format = file->torch.older ? SKY_FORMAT_TORCH_OLDER : SKY_FORMAT_TORCH_ZIP;
    file->path = file->torch.path, file->tensors = file->torch.tensors, file->tensor_count = file->torch.tensor_count;
    return SKY_OK;
}

static sky_status open_safetensors(struct sky_tensor_file *file, const char *path)
{
    SKY_TRY(sky_weights_open(&file->safetensors, path));
    file->format = SKY_FORMAT_SAFETENSORS;
    file->path = file->safetensors.path, file->tensors = file->safetensors.tensors, file->tensor_count = file->safetensors.tensor_count;
    return SKY_OK;
}

/* Kinds of files that are often given by mistake, each with its own words. */
static sky_status refuse_others(const char *path, const struct sky_map *map)
{
    const char *bytes = (const char *)map->bytes;
    if (map->count > TAR_MARK_AT + 5 && !memcmp(bytes + TAR_MARK_AT, "ustar", 5)) {
        sky_fail(SKY_FORMAT, path, "a tar archive, as torch wrote before version 0.1.10: not read");
        return sky_hint("load it with an old torch and save it again: torch.save(torch.load(FILE), NEW)");
    }
    if (map->count > 2 && map->bytes[0] == 0x80 && map->bytes[1] <= 5) {
        sky_fail(SKY_FORMAT, path, "a pickle, but not one of torch.save");
        return sky_hint("save plain weights where the file was made: torch.save(model.state_dict(), FILE)");
    }
    if (map->count > 15 && (!memcmp(bytes, "<!DOCTYPE html", 14) || !memcmp(bytes, "<!doctype html", 14) || !memcmp(bytes, "<html", 5))) {
        sky_fail(SKY_FORMAT, path, "a web page, not weights");
        return sky_hint("the download gave an error page: fetch the file again");
    }
    return SKY_OK;
}

sky_status sky_tensor_file_open(struct sky_tensor_file *file, const char *path)
{
    struct sky_map map = {0};
    memset(file, 0, sizeof *file);
    SKY_TRY(check_there(path));
    SKY_TRY(sky_map_open(&map, path));
    const bool torch = sky_torch_is(&map);
    const sky_status status = refuse_others(path, &map);
    sky_map_close(&map);
    if (torch) return open_torch(file, path);
    return status == SKY_OK ? open_safetensors(file, path) : status;
}

void sky_tensor_file_close(struct sky_tensor_file *file)
{
    sky_torch_close(&file->torch);
    sky_safetensors_close(&file->safetensors);
    memset(file, 0, sizeof *file);
}

static int is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

sky_status sky_tensor_file_digest(const char *path, char hex[65], int *prefix_digits)
{
    struct sky_map map = {0};
    struct sky_sha256 sha;
    const char *name = sky_path_base(path), *end = strrchr(name, '.');
    int digits = 0;
    if (!end) end = name + strlen(name);
    while (digits < MAX_DIGITS && end - digits > name && is_hex(end[-digits - 1])) digits++;
    if (digits < MIN_DIGITS || end - digits == name || end[-digits - 1] != '-') digits = 0;
    SKY_TRY(check_there(path));
    SKY_TRY(sky_map_open(&map, path));
    sky_sha256_begin(&sha);
    sky_sha256_add(&sha, map.bytes, map.count);
    sky_sha256_end(&sha, hex);
    sky_map_close(&map);
    const bool right = digits && !memcmp(hex, end - digits, (size_t)digits), letters = digits && strspn(end - digits, "0123456789") < (size_t)digits;
    *prefix_digits = right || letters ? digits : 0; /* decimal digits alone may be a date or a step */
    if (right || !letters) return SKY_OK;
    sky_fail(SKY_FORMAT, path, "its name promises a SHA-256 that begins with %.*s, it is %.16s...", digits, end - digits, hex);
    return sky_hint("the file is damaged or not the one it is named after: fetch it again (or rename it if you made it yourself)");
}

