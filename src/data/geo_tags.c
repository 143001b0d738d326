/*
 * Reads geo-tags line by line behind geo_tags.h. Owns the table.
 */
#include "geo_tags.h"

#include "base/fs.h"
#include "base/memory.h"
#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {"Dense_GPS_ALL.txt", "Dense_GPS_test.txt"};

/* "E118.25" or "W118.25" as degrees to the east; N and S likewise. */
static bool read_degrees(const char *field, char positive, char negative, double limit, double *out)
{
    double value;
    if (field[0] != positive && field[0] != negative) return false;
    if (!sky_parse_double(field + 1, &value) || value < -limit || value > limit) return false;
    *out = field[0] == negative ? -value : value;
    return true;
}

/* The number of the folder an image lies in. */
static bool read_label(const char *path, int64_t *out)
{
    char folder[32];
    const char *end = strrchr(path, '/'), *start = end;
    while (start && start > path && start[-1] != '/') start--;
    if (!end || start == end || (size_t)(end - start) >= sizeof folder) return false;
    snprintf(folder, sizeof folder, "%.*s", (int)(end - start), start);
    return sky_parse_int(folder, out);
}

static bool read_line(char *line, struct sky_geo_tag *out)
{
    char *fields[3] = {NULL}, *rest = NULL;
    for (int i = 0; i < 3; i++)
        if (!(fields[i] = strtok_r(i ? NULL : line, " ,\t\r", &rest))) return false;
    return read_label(fields[0], &out->label) && read_degrees(fields[1], 'E', 'W', 180, &out->longitude) &&
           read_degrees(fields[2], 'N', 'S', 90, &out->latitude);
}

static int by_label(const void *a, const void *b)
{
    const struct sky_geo_tag *x = a, *y = b;
    return (x->label > y->label) - (x->label < y->label);
}

/* Appends the tags of a text; what is read later stands behind what was read before. */
static sky_status read_text(struct sky_geo_tags *tags, int64_t *capacity, char *text, const char *path)
{
    int64_t number = 0;
    for (char *line = text, *next; line; line = next) {
        struct sky_geo_tag tag;
        if ((next = strchr(line, '\n'))) *next++ = 0;
        number++;
        if (line[strspn(line, " \t\r")] == 0) continue;
        if (!read_line(line, &tag)) {
            char where[1100];
            snprintf(where, sizeof where, "%s:%lld", path, (long long)number);
            sky_fail(SKY_DATA, where, "is no geo-tag");
            return sky_hint("a line is PATH/PLACE/IMAGE E<longitude> N<latitude> HEIGHT, where PLACE is a number");
        }
        SKY_TRY(sky_grow(&tags->tags, tags->count, capacity, sizeof *tags->tags, "geo-tags"));
        tags->tags[tags->count++] = tag;
    }
    return SKY_OK;
}

/* One tag a label: the last one read.. */
static sky_status keep_last(struct sky_geo_tags *tags)
{
    struct sky_geo_tag *sorted = NULL;
    int64_t kept = 0;
    SKY_TRY(sky_alloc(&sorted, (size_t)tags->count, sizeof *sorted, "geo-tags"));
    memcpy(sorted, tags->tags, (size_t)tags->count * sizeof *sorted);
    qsort(sorted, (size_t)tags->count, sizeof *sorted, by_label);
    for (int64_t i = 0; i < tags->count; i++)
        if (!kept || sorted[kept - 1].label != sorted[i].label) sorted[kept++] = sorted[i];
    for (int64_t i = 0; i < tags->count; i++) {
        struct sky_geo_tag *tag = bsearch(&tags->tags[i], sorted, (size_t)kept, sizeof *sorted, by_label);
        *tag = tags->tags[i]; /* in reading order: the last one stays */
    }
    free(tags->tags);
    tags->tags = sorted, tags->count = kept;
    return SKY_OK;
}

sky_status sky_geo_tags_open(struct sky_geo_tags *tags, const char *root)
{
    int64_t capacity = 0;
    int found = 0;
    sky_status status = SKY_OK;
    for (int i = 0; i < 2 && status == SKY_OK; i++) {
        char *path = NULL, *text = NULL;
        size_t bytes = 0;
        status = sky_path_join(&path, root, names[i]);
        if (status == SKY_OK && sky_path_is_file(path)) {
            found++;
            status = sky_file_read(path, (size_t)1 << 30, &text, &bytes);
            if (status == SKY_OK) status = read_text(tags, &capacity, text, path);
        }
        free(text);
        free(path);
    }
    if (status == SKY_OK && !found) {
        sky_fail(SKY_DATA, root, "there are no geo-tags: neither %s nor %s", names[0], names[1]);
        status = sky_hint("DenseUAV comes with them; SDM@K and MA@m need them (data.format = university1652 scores without)");
    }
    if (status == SKY_OK) status = keep_last(tags);
    if (status != SKY_OK) sky_geo_tags_close(tags);
    return status;
}

void sky_geo_tags_close(struct sky_geo_tags *tags)
{
    free(tags->tags);
    memset(tags, 0, sizeof *tags);
}

const struct sky_geo_tag *sky_geo_tags_find(const struct sky_geo_tags *tags, int64_t label)
{
    const struct sky_geo_tag key = {.label = label};
    return tags->count ? bsearch(&key, tags->tags, (size_t)tags->count, sizeof key, by_label) : NULL;
}

sky_status sky_geo_tags_check(const struct sky_geo_tags *tags, const struct sky_image_set *set)
{
    for (int64_t i = 0; i < set->count; i++) {
        if (set->labels[i] < 0 || sky_geo_tags_find(tags, set->labels[i])) continue;
        sky_fail(SKY_DATA, set->paths[i], "its place %lld has no geo-tag", (long long)set->labels[i]);
        return sky_hint("%s lists every image of train and test", names[0]);
    }
    return SKY_OK;
}
