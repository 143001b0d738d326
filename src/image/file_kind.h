/*
 * What a file's name says of its content: the one list of picture endings. Folders are listed by it; a file that is opened is judged by its content (image.h).
 */
#ifndef SKY_IMAGE_FILE_KIND_H
#define SKY_IMAGE_FILE_KIND_H

#include <stdbool.h>

enum sky_file_kind { SKY_FILE_IMAGE, SKY_FILE_UNREADABLE_IMAGE, SKY_FILE_OTHER };

/* By the name's ending, upper or lower case: .jpg .jpeg .png, and .tif .tiff with libtiff, are read; other pictures' endings are known but not read. Hidden files
 * are no images. `name` is without folders. */
enum sky_file_kind sky_file_kind(const char *name);
bool sky_is_tiff_name(const char *path);

#endif
