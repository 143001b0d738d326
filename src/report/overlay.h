/*
 * Heat maps laid over a picture: the picture, all parts together, each part, side by side as one PNG.
 */
#ifndef SKY_REPORT_OVERLAY_H
#define SKY_REPORT_OVERLAY_H

#include "skygem/status.h"

#include <stdint.h>

/*
 * image u8 [side][side][3]; maps [count][height][width], each drawn from 0 to its own largest value; a part's pixels outside it (value 0) stay as they are.
 * Blends cold (blue) to hot (yellow), brighter the hotter, so that it can be read without colours too.
 */
sky_status sky_overlay_png(const char *path, const uint8_t *image, int side, const float *maps, int64_t count, int64_t height, int64_t width);

#endif
