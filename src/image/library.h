/*
 * Versions of the image libraries, for `skygem doctor`.
 */
#ifndef SKY_IMAGE_LIBRARY_H
#define SKY_IMAGE_LIBRARY_H

#include "base/library.h"

void sky_image_libraries(struct sky_library *jpeg, struct sky_library *png);
bool sky_tiff_library(struct sky_library *out); /* false: built without libtiff */

#endif
