/*
 * A data tree as tables of files and labels; layout.h says which folders those are. Reads folders, never pixels (sky_dataset_check does).
 */
#ifndef SKY_DATA_DATASET_H
#define SKY_DATA_DATASET_H

#include "layout.h"
#include "skygem/config.h"
#include "skygem/status.h"

#include <stdint.h>

/* Some images with labels, in sorted path order. */
struct sky_image_set {
    char *folder;    /* absolute: ROOT/train/drone */
    char **paths;    /* [count], relative to the data root: "train/drone/0839/image-01.jpeg" */
    int32_t *labels; /* [count]: class index in training, the folder's integer in test */
    int64_t count;
};

struct sky_train_set {
    char *root;
    int64_t class_count;
    char **class_names; /* [class_count], sorted; an empty class keeps its index */
    struct sky_views active;        /* those that were opened; the arrays below go by enum sky_view, and the others' rows are zero */
    struct sky_image_set views[SKY_VIEW_COUNT];
    int64_t *first[SKY_VIEW_COUNT]; /* [class_count + 1]: images of class c are first[c] .. first[c + 1] - 1 */
    int64_t empty_class_count;      /* classes without an image in some active view, warned of once */
};

struct sky_test_set {
    char *root;
    struct sky_image_set query[SKY_VIEW_COUNT], gallery[SKY_VIEW_COUNT];
};

/* SKY_DATA: missing folder, no image, test folder names that are no integers, names that differ between views only in case ... */
sky_status sky_train_set_open(struct sky_train_set *set, const char *root, const struct sky_layout *layout, const struct sky_views *views);
sky_status sky_train_set_open_for(struct sky_train_set *set, const struct sky_config *config); /* as [data] format, height and views say */
void sky_train_set_close(struct sky_train_set *set);

/* Opens only the folders that `direction` (enum sky_direction) needs. */
sky_status sky_test_set_open(struct sky_test_set *set, const char *root, const struct sky_layout *layout, int direction);
void sky_test_set_close(struct sky_test_set *set);

/* Every accepted image below any folder or the one file itself, sorted; labels are -1. For `embed` and `index`. */
sky_status sky_image_set_scan(struct sky_image_set *set, const char *path);
void sky_image_set_close(struct sky_image_set *set);

#endif
