/*
 * The health of a data root: what is there, what is broken, and whether it is what was published. And its statistics. Both read every pixel.
 */
#ifndef SKY_DATA_CHECK_H
#define SKY_DATA_CHECK_H

#include "survey.h"

#include <stdbool.h>

/* How much a finding matters: a problem makes training or scores wrong; a note is worth knowing. */
struct sky_finding {
    bool problem;
    char *where, *what;
};

/* One row of the comparison with the data set as published (University-1652, SUES-200 a height, DenseUAV). */
struct sky_published_row {
    char part[64];
    int64_t images, classes;             /* published */
    int64_t found_images, found_classes; /* found_classes counts those with images */
};

struct sky_check_report {
    struct sky_survey survey;
    struct sky_finding *findings; /* [finding_count], in the order of the tree, problems and notes mixed */
    int64_t finding_count, problem_count;
    int64_t queries_in_gallery, queries_differing,
        queries_absent;                  /* query images equal to the gallery's file of the same name; another content; no such file */
    const char *published_name;          /* "University-1652" */
    struct sky_published_row *published; /* [published_count]: 0 rows when this does not look like it */
    int64_t published_count;
};

/* Of a tree of `format` (enum sky_data_format); DenseUAV's must have a geo-tag for each place. */
sky_status sky_dataset_check(struct sky_check_report *report, const char *root, int format, int workers,
                             void (*progress)(void *context, int64_t done, int64_t total), void *context);
void sky_check_report_free(struct sky_check_report *report);

/* Mean and standard deviation of each channel in 0 .. 1 over all pixels of a part, and images a class. Zero for a part without readable images. */
struct sky_part_stats {
    int64_t images, pixels, empty_classes, least, median, most; /* images a class, over classes that have some */
    double mean[3], deviation[3];
};
sky_status sky_part_stats(const struct sky_survey_part *part, struct sky_part_stats *out);

#endif
