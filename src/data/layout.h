/*
 * Where the data sets that are read keep their images ([data] format). All have one folder a place below one folder a view; they differ in what lies
 * above:
 *
 *   university1652   train/{satellite,drone,street,google}  test/{query,gallery}_{satellite,drone,street}
 *   denseuav         the same, several satellite tiles a place, and a file of geo-tags beside them (geo_tags.h)
 *   sues200          Training/HEIGHT/{satellite,drone}      Testing/HEIGHT/{query,gallery}_{satellite,drone}, or train/HEIGHT and test/HEIGHT
 */
#ifndef SKY_DATA_LAYOUT_H
#define SKY_DATA_LAYOUT_H

#include "skygem/config.h"
#include "skygem/status.h"

/* The two folders above the views', relative to the root. */
struct sky_layout {
    char train[32], test[32];
    int64_t height; /* sues200: metres; else 0 */
};

/* University-1652's and DenseUAV's. */
struct sky_layout sky_layout_native(void);

enum { SKY_MAX_HEIGHTS = 16 };

/* The layouts of a root: one, or one a height, ascending. height: only this one (0: all). SKY_DATA: none, or not this one; the heights that are there are
 * named. */
sky_status sky_layouts_find(const char *root, int format, int64_t height, struct sky_layout out[SKY_MAX_HEIGHTS], int *count);

/* The layout that a training reads. SKY_CONFIG: sues200 without data.height. */
sky_status sky_layout_for_training(const struct sky_config *config, struct sky_layout *out);

const char *sky_data_format_name(int format); /* "university1652", "sues200", "denseuav" */

#endif
