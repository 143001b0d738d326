/*
 * The decoded cache: every image of a data root, decoded and resized once, in one page-aligned file with an index and checksums, read through a map.
 */
#ifndef SKY_DATA_PACK_H
#define SKY_DATA_PACK_H

#include "dataset.h"
#include "image/image.h"
#include "skygem/status.h"

#include <stdint.h>

struct sky_pack;

/* Decodes every image under root/{train,test} at size x size into `path` (atomic). progress may be NULL. Bad images: fails, naming each one. */
sky_status sky_pack_make(const char *path, const char *root, int size, enum sky_exif exif, int workers,
                         void (*progress)(void *context, int64_t done, int64_t total), void *context);

/* Checks the header, index and size; pixels are checked when they are first asked for. */
sky_status sky_pack_open(struct sky_pack **out, const char *path);
void sky_pack_close(struct sky_pack *pack);

/*
 * Whether the pack can stand for the set: same picture size and exif policy, and every image there, made from the file as it is now (by size; by content too
 * where the file is younger than the pack). SKY_DATA names the first that is not.
 */
sky_status sky_pack_check(const struct sky_pack *pack, const struct sky_image_set *set, const char *root, int size, enum sky_exif exif);

int sky_pack_size(const struct sky_pack *pack); /* side in pixels */
int64_t sky_pack_count(const struct sky_pack *pack);
/*
 * [size][size][3] of an image by its path relative to the root; borrowed. The first time that anyone asks for it its checksum is compared: SKY_FORMAT when it is
 * damaged or not in the pack. From any thread.
 */
sky_status sky_pack_read(const struct sky_pack *pack, const char *relative_path, const uint8_t **pixels);

#endif
