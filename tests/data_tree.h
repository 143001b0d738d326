/*
 * What the tests of src/data share: trees of small pictures, the library's warnings, and telling whether two trees are the same bytes.
 */
#ifndef SKY_TESTS_DATA_TREE_H
#define SKY_TESTS_DATA_TREE_H

#include "check.h"
#include "folder.h"

#include "base/rng.h"
#include "data/dataset.h"
#include "image/image.h"
#include "skygem/log.h"

#include <sys/stat.h>
#include <unistd.h>

static inline void tree_make_parent(const char *path)
{
    char parent[512];
    snprintf(parent, sizeof parent, "%s", path);
    *strrchr(parent, '/') = 0;
    CHECK_OK(sky_folder_make(parent));
}

/* Satellite and drone in the native layout, as most tests have them. */
static inline sky_status tree_train_set(struct sky_train_set *set, const char *root)
{
    const struct sky_layout layout = sky_layout_native();
    const struct sky_views views = {{SKY_VIEW_SATELLITE, SKY_VIEW_DRONE}, 2};
    return sky_train_set_open(set, root, &layout, &views);
}

static inline sky_status tree_test_set(struct sky_test_set *set, const char *root, int direction)
{
    const struct sky_layout layout = sky_layout_native();
    return sky_test_set_open(set, root, &layout, direction);
}

/* Writes bytes, or a small picture that its number tells from others, making folders on the way. */
static inline void tree_write(const char *relative, const void *bytes, size_t count)
{
    const char *path = in_folder(relative);
    tree_make_parent(path);
    CHECK_OK(sky_file_write_atomic(path, bytes, count));
}

static inline void tree_picture(const char *relative, uint32_t number)
{
    enum { WIDTH = 24, HEIGHT = 20 };
    uint8_t rgb[HEIGHT * WIDTH * 3];
    struct sky_rng rng = sky_rng_make(number, SKY_RNG_TEST, number, 0);
    const char *path = in_folder(relative), *extension = strrchr(relative, '.');
    for (size_t i = 0; i < sizeof rgb; i++) rgb[i] = (uint8_t)(sky_rng_u32(&rng) & 63) + (uint8_t)(number * 7 % 192);
    tree_make_parent(path);
    if (extension && (!strcmp(extension, ".png") || !strcmp(extension, ".PNG"))) CHECK_OK(sky_image_write_png(path, rgb, WIDTH, HEIGHT));
    else CHECK_OK(sky_image_write_jpeg(path, rgb, WIDTH, HEIGHT, 90));
}

/* The warnings of the library, counted and kept. */
static struct {
    int warnings;
    char last[1024];
} tree_log;

static inline void tree_log_sink(void *context, enum sky_log_level level, const char *line)
{
    (void)context;
    if (level < SKY_LOG_WARNING) return;
    tree_log.warnings++;
    snprintf(tree_log.last, sizeof tree_log.last, "%s", line);
}

static inline void tree_log_catch(void)
{
    memset(&tree_log, 0, sizeof tree_log);
    sky_log_set_sink(tree_log_sink, NULL, SKY_LOG_INFO);
}

/* Whether two folders hold the same names and bytes; *files counts those compared. */
static inline int tree_same(const char *a, const char *b, int *files)
{
    struct sky_listing x = {0}, y = {0};
    int same = sky_folder_list(a, &x) == SKY_OK && sky_folder_list(b, &y) == SKY_OK && x.count == y.count;
    for (int64_t i = 0; same && i < x.count; i++) {
        char *path_a = NULL, *path_b = NULL, *bytes_a = NULL, *bytes_b = NULL;
        size_t count_a = 0, count_b = 1;
        same = !strcmp(x.entries[i].name, y.entries[i].name) && sky_path_join(&path_a, a, x.entries[i].name) == SKY_OK &&
               sky_path_join(&path_b, b, y.entries[i].name) == SKY_OK;
        if (same && x.entries[i].is_folder) {
            same = tree_same(path_a, path_b, files);
        } else if (same) {
            same = sky_file_read(path_a, 1 << 24, &bytes_a, &count_a) == SKY_OK && sky_file_read(path_b, 1 << 24, &bytes_b, &count_b) == SKY_OK &&
                   count_a == count_b && !memcmp(bytes_a, bytes_b, count_a);
            ++*files;
        }
        free(path_a);
        free(path_b);
        free(bytes_a);
        free(bytes_b);
    }
    sky_listing_free(&x);
    sky_listing_free(&y);
    return same;
}

#endif
