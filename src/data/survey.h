/*
 * One look at every image of a data root: its size, a checksum of its file, sums of its pixels, or why it cannot be read. What `skygem data check` and `stats`
 * are made of. Private to src/data.
 */
#ifndef SKY_DATA_SURVEY_H
#define SKY_DATA_SURVEY_H

#include "scan.h"

struct sky_survey_image {
    int width, height;                /* 0: it cannot be read, */
    char *error;                      /* and this is why; else NULL */
    uint64_t bytes;                   /* of the file */
    uint32_t crc;                     /* CRC-32C of the file */
    uint64_t sums[3], square_sums[3]; /* of the channels' values 0 .. 255 */
};

struct sky_survey {
    char *root;
    struct sky_survey_part {
        char *name; /* "train/drone" */
        struct sky_class_scan scan;
        struct sky_survey_image *images; /* [scan.count], in the scan's order */
    } * parts;                           /* [part_count]: every folder in train, then every folder in test, by name */
    int64_t part_count, image_count;
};

/* Of the folders in ROOT/GROUP ("train", "test"), group by group. Zero-initialise; free with sky_survey_free, also after a failure. Images that cannot be read are no
 * failure; a folder that cannot be listed is. */
sky_status sky_survey_make(struct sky_survey *survey, const char *root, const char *const *groups, int group_count, int workers,
                           void (*progress)(void *context, int64_t done, int64_t total), void *context);
void sky_survey_free(struct sky_survey *survey);
const struct sky_survey_part *sky_survey_part(const struct sky_survey *survey, const char *name); /* NULL when absent */

/* Image sizes of a part, most frequent first. Heap array in *sizes, caller frees. */
struct sky_size_count {
    int width, height;
    int64_t count;
};
sky_status sky_survey_sizes(const struct sky_survey_part *part, struct sky_size_count **sizes, int64_t *count);

#endif
