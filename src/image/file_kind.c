/*
 * Picture endings, for folders that are listed. Opens nothing.
 */
#include "file_kind.h"

#include "image.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

static bool ends_in(const char *path, const char *const *endings /* NULL at the end */)
{
    const char *ending = strrchr(path, '.');
    for (; ending && *endings; endings++)
        if (!strcasecmp(ending, *endings)) return true;
    return false;
}

bool sky_is_tiff_name(const char *path)
{
    static const char *const tiff[] = {".tif", ".tiff", NULL};
    return ends_in(path, tiff);
}

enum sky_file_kind sky_file_kind(const char *name)
{
    static const char *const read[] = {".jpg", ".jpeg", ".png", NULL}, *const unread[] = {".ppm", ".pgm", ".bmp", ".webp", NULL};
    if (name[0] == '.') return SKY_FILE_OTHER;
    if (ends_in(name, read) || (sky_is_tiff_name(name) && sky_image_reads_tiff())) return SKY_FILE_IMAGE;
    return ends_in(name, unread) || sky_is_tiff_name(name) ? SKY_FILE_UNREADABLE_IMAGE : SKY_FILE_OTHER;
}
