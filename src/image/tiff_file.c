/*
 * libtiff on a block of memory. Its messages come to the file they are about and are printed nowhere; one allocation of its own takes at most a gibibyte.
 */
#include "tiff_file.h"

#include "library.h"

#include <stdio.h>
#include <string.h>

#include <tiffvers.h>

enum { MOST_BYTES = 1 << 30 };

static int on_error(TIFF *library, void *context, const char *module, const char *format, va_list arguments)
{
    struct sky_tiff *tiff = context;
    (void)library, (void)module;
    if (!*tiff->message) vsnprintf(tiff->message, sizeof tiff->message, format, arguments); /* later ones follow from the first */
    return 1;
}

/* Odd metadata is no harm. A JPEG within says only so that its data are damaged. */
static int on_warning(TIFF *library, void *context, const char *module, const char *format, va_list arguments)
{
    return module && !strcmp(module, "JPEGLib") ? on_error(library, context, module, format, arguments) : 1;
}

static tmsize_t on_read(thandle_t handle, void *out, tmsize_t count)
{
    struct sky_tiff *tiff = handle;
    const size_t left = tiff->position < tiff->count ? tiff->count - tiff->position : 0, taken = count < 0 ? 0 : (size_t)count < left ? (size_t)count : left;
    memcpy(out, tiff->bytes + (left ? tiff->position : 0), taken);
    tiff->position += taken;
    return (tmsize_t)taken;
}

static tmsize_t on_write(thandle_t handle, void *bytes, tmsize_t count)
{
    (void)handle, (void)bytes, (void)count;
    return 0;
}

static toff_t on_seek(thandle_t handle, toff_t offset, int whence)
{
    struct sky_tiff *tiff = handle;
    tiff->position = (size_t)offset + (whence == SEEK_CUR ? tiff->position : whence == SEEK_END ? tiff->count : 0); /* beyond the end nothing is read */
    return tiff->position;
}

static int on_close(thandle_t handle)
{
    (void)handle;
    return 0;
}

static toff_t on_size(thandle_t handle) { return ((const struct sky_tiff *)handle)->count; }

sky_status sky_tiff_damaged(const struct sky_tiff *tiff)
{
    return sky_fail(SKY_DATA, tiff->name, "is a damaged or cut TIFF: %s", *tiff->message ? tiff->message : "its pixels are incomplete");
}

sky_status sky_tiff_open(struct sky_tiff *tiff, const uint8_t *bytes, size_t count, const char *name)
{
    *tiff = (struct sky_tiff){.bytes = bytes, .count = count, .name = name};
    TIFFOpenOptions *options = TIFFOpenOptionsAlloc();
    if (!options) return sky_fail(SKY_NOMEM, name, "libtiff could not be started");
    TIFFOpenOptionsSetMaxSingleMemAlloc(options, MOST_BYTES);
    TIFFOpenOptionsSetErrorHandlerExtR(options, on_error, tiff);
    TIFFOpenOptionsSetWarningHandlerExtR(options, on_warning, tiff);
    tiff->library = TIFFClientOpenExt(name, "rm" /* m: not mapped */, tiff, on_read, on_write, on_seek, on_close, on_size, NULL, NULL, options);
    TIFFOpenOptionsFree(options);
    return tiff->library ? SKY_OK : sky_tiff_damaged(tiff);
}

void sky_tiff_close(struct sky_tiff *tiff)
{
    if (tiff->library) TIFFClose(tiff->library);
    tiff->library = NULL;
}

/* "LIBTIFF, Version 4.5.0", with the copyright in the next lines. */
static void copy_version(const char *text, char out[32])
{
    const char *version = strstr(text, "Version ");
    snprintf(out, 32, "%.*s", version ? (int)strcspn(version + 8, "\n ") : 0, version ? version + 8 : "");
}

bool sky_tiff_library(struct sky_library *out)
{
    *out = (struct sky_library){.name = "libtiff"};
    copy_version(TIFFLIB_VERSION_STR, out->compiled);
    copy_version(TIFFGetVersion(), out->loaded);
    return true;
}
