/*
 * What lies in a folder of class folders ("ROOT/train/drone"): names only, sorted. Private to src/data; dataset.h, layout.h and survey.h are made from it.
 */
#ifndef SKY_DATA_SCAN_H
#define SKY_DATA_SCAN_H

#include "skygem/status.h"

#include <stdint.h>

struct sky_class_scan {
    char **classes; /* [class_count], sorted names of the folders */
    int64_t class_count;
    char **paths; /* [count], relative to the root, by class and then by name */
    int64_t count;
    int64_t *first;     /* [class_count + 1]: images of class c are first[c] .. first[c + 1] - 1 */
    int64_t unreadable; /* images in formats that are not read, */
    char *unreadable_example;
    int64_t loose; /* images beside the class folders, which belong to no class, */
    char *loose_example;
};

/* Scans ROOT/PART. Zero-initialise; free with sky_class_scan_free, also after a failure. */
sky_status sky_class_scan(struct sky_class_scan *scan, const char *root, const char *part);
void sky_class_scan_free(struct sky_class_scan *scan);

/* Sorted names of the folders in ROOT/PART ("train"); none when it is not there. Free with sky_names_free. */
sky_status sky_scan_folders(const char *root, const char *part, char ***names, int64_t *count);
/* A copy of a table of names; *count follows what *names holds, also after a failure. */
sky_status sky_names_copy(char *const *from, int64_t from_count, char ***names, int64_t *count);
void sky_names_free(char **names, int64_t count);

/* The data root as an absolute path without links. A failure says what a data root looks like, and where it seems to be instead. */
sky_status sky_scan_root(char **out, const char *root);
/* Fails with that same advice: "ROOT/train is missing". */
sky_status sky_scan_missing(const char *root, const char *part);

#endif
