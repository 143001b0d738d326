/*
 * Where the places of DenseUAV are: one line an image in Dense_GPS_ALL.txt (or Dense_GPS_test.txt, or both) below the root: path, E<longitude>, N<latitude>,
 * height. A place is its folder's number, as the reference takes it: all its images count as standing at the position of its last line.
 */
#ifndef SKY_DATA_GEO_TAGS_H
#define SKY_DATA_GEO_TAGS_H

#include "dataset.h"

/* Zero-initialise; free with sky_geo_tags_close. Sorted by label. */
struct sky_geo_tags {
    struct sky_geo_tag {
        int64_t label;
        double longitude, latitude; /* degrees */
    } * tags;
    int64_t count;
};

/* SKY_DATA: no such file, or a line that is not understood (file:line). */
sky_status sky_geo_tags_open(struct sky_geo_tags *tags, const char *root);
void sky_geo_tags_close(struct sky_geo_tags *tags);

const struct sky_geo_tag *sky_geo_tags_find(const struct sky_geo_tags *tags, int64_t label); /* NULL: none */
/* SKY_DATA names the first place of a set that has no tag. */
sky_status sky_geo_tags_check(const struct sky_geo_tags *tags, const struct sky_image_set *set);

#endif
