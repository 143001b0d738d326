/*
 * Judges a survey of a data root: broken images, empty classes, ids on both sides of the split, queries that have no match, and the counts that were
 * published of a data set. The report owns what it lists.
 */
#include "check.h"

#include "base/memory.h"
#include "base/str.h"
#include "geo_tags.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* What was published of each set (University-1652: its train/google was never counted). SUES-200: of each height. */
static const struct published {
    int format;
    bool test;
    const char *view;
    int64_t images, classes;
} published[] = {
    {SKY_FORMAT_UNIVERSITY1652, false, "satellite", 701, 701},        {SKY_FORMAT_UNIVERSITY1652, false, "drone", 37854, 701},
    {SKY_FORMAT_UNIVERSITY1652, false, "street", 11663, 701},         {SKY_FORMAT_UNIVERSITY1652, true, "query_satellite", 701, 701},
    {SKY_FORMAT_UNIVERSITY1652, true, "query_drone", 37855, 701},     {SKY_FORMAT_UNIVERSITY1652, true, "query_street", 2579, 701},
    {SKY_FORMAT_UNIVERSITY1652, true, "gallery_satellite", 951, 951}, {SKY_FORMAT_UNIVERSITY1652, true, "gallery_drone", 51355, 951},
    {SKY_FORMAT_UNIVERSITY1652, true, "gallery_street", 2921, 793},   {SKY_FORMAT_SUES200, false, "satellite", 120, 120},
    {SKY_FORMAT_SUES200, false, "drone", 6000, 120},                  {SKY_FORMAT_SUES200, true, "query_satellite", 80, 80},
    {SKY_FORMAT_SUES200, true, "query_drone", 4000, 80},              {SKY_FORMAT_SUES200, true, "gallery_satellite", 200, 200},
    {SKY_FORMAT_SUES200, true, "gallery_drone", 10000, 200},          {SKY_FORMAT_DENSEUAV, false, "satellite", 13536, 2256},
    {SKY_FORMAT_DENSEUAV, false, "drone", 6768, 2256},                {SKY_FORMAT_DENSEUAV, true, "query_satellite", 4662, 777},
    {SKY_FORMAT_DENSEUAV, true, "query_drone", 2331, 777},            {SKY_FORMAT_DENSEUAV, true, "gallery_satellite", 18198, 3033},
    {SKY_FORMAT_DENSEUAV, true, "gallery_drone", 9099, 3033},
};
enum { PUBLISHED = sizeof published / sizeof *published };
static const char *const set_names[] = {"University-1652", "SUES-200", "DenseUAV"}; /* by enum sky_data_format */

static sky_status find(struct sky_check_report *report, int64_t *capacity, bool problem, const char *where, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

static sky_status find(struct sky_check_report *report, int64_t *capacity, bool problem, const char *where, const char *format, ...)
{
    char what[600];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    SKY_TRY(sky_grow(&report->findings, report->finding_count, capacity, sizeof *report->findings, "findings"));
    struct sky_finding *finding = report->findings + report->finding_count;
    *finding = (struct sky_finding){.problem = problem};
    report->finding_count++;
    SKY_TRY(sky_strdup(&finding->where, where, "a finding"));
    SKY_TRY(sky_strdup(&finding->what, what, "a finding"));
    report->problem_count += problem;
    return SKY_OK;
}

static bool is_test(const struct sky_survey_part *part) { return !strncasecmp(part->name, "test", 4); /* test/, Testing/150/ */ }

static int64_t images_of(const struct sky_survey_part *part, int64_t class) { return part->scan.first[class + 1] - part->scan.first[class]; }

/* Index of a class by name, or by number when both are numbers ("7" and "0007" are one place); -1 when absent. */
static int64_t find_class(const struct sky_survey_part *part, const char *name)
{
    int64_t number, other;
    const bool numeric = sky_parse_int(name, &number);
    for (int64_t i = 0; i < part->scan.class_count; i++)
        if (!strcmp(part->scan.classes[i], name) || (numeric && sky_parse_int(part->scan.classes[i], &other) && other == number)) return i;
    return -1;
}

static sky_status judge_part(struct sky_check_report *report, int64_t *capacity, const struct sky_survey_part *part)
{
    const struct sky_class_scan *scan = &part->scan;
    int64_t empty = 0, number;
    const char *example = NULL;
    for (int64_t i = 0; i < scan->count; i++)
        if (part->images[i].error) SKY_TRY(find(report, capacity, true, scan->paths[i], "%s", part->images[i].error));
    for (int64_t class = 0; class < scan->class_count; class ++) {
        if (images_of(part, class) == 0 && empty++ == 0) example = scan->classes[class];
        if (is_test(part) && !sky_parse_int(scan->classes[class], &number))
            SKY_TRY(find(report, capacity, true, part->name, "the folder %s is no whole number, and a test folder's name is its label", scan->classes[class]));
    }
    if (scan->count == 0) SKY_TRY(find(report, capacity, true, part->name, "no image that can be read"));
    else if (empty > 0)
        SKY_TRY(find(report, capacity, false, part->name, "%lld of %lld class folders are empty, %s the first", (long long)empty, (long long)scan->class_count,
                     example));
    if (scan->unreadable > 0)
        SKY_TRY(find(report, capacity, false, part->name, "%lld images in formats that are not read, like %s", (long long)scan->unreadable,
                     scan->unreadable_example));
    if (scan->loose > 0)
        SKY_TRY(find(report, capacity, false, part->name, "%lld images beside the class folders, like %s", (long long)scan->loose, scan->loose_example));
    return SKY_OK;
}

/* Places of `part` that are also in `train`. */
static sky_status judge_overlap(struct sky_check_report *report, int64_t *capacity, const struct sky_survey_part *train, const struct sky_survey_part *part,
                                bool problem)
{
    int64_t shared = 0;
    const char *example = NULL;
    for (int64_t class = 0; train && part && class < part->scan.class_count; class ++)
        if (images_of(part, class) > 0 && find_class(train, part->scan.classes[class]) >= 0 && shared++ == 0) example = part->scan.classes[class];
    if (shared == 0) return SKY_OK;
    return find(report, capacity, problem, part->name, "%lld places are also in %s, %s the first%s", (long long)shared, train->name, example,
                problem ? ": scores on them are no test" : "");
}

/* Queries need their place in the other view's gallery; and where the gallery of their own view has a file of their name it should be the same picture. */
static sky_status judge_queries(struct sky_check_report *report, int64_t *capacity, const struct sky_survey_part *query, const struct sky_survey_part *own,
                                const struct sky_survey_part *other)
{
    int64_t without = 0, different = 0;
    const char *example = NULL, *different_example = NULL;
    for (int64_t class = 0; query && class < query->scan.class_count; class ++) {
        const int64_t there = other ? find_class(other, query->scan.classes[class]) : -1;
        if (other && images_of(query, class) > 0 && (there < 0 || images_of(other, there) == 0) && without++ == 0) example = query->scan.classes[class];
        const int64_t same = own ? find_class(own, query->scan.classes[class]) : -1;
        for (int64_t i = query->scan.first[class]; i < query->scan.first[class + 1]; i++) {
            const char *name = strrchr(query->scan.paths[i], '/');
            int64_t twin = -1;
            for (int64_t j = same < 0 ? 0 : own->scan.first[same]; same >= 0 && j < own->scan.first[same + 1] && twin < 0; j++)
                if (!strcmp(strrchr(own->scan.paths[j], '/'), name)) twin = j;
            if (twin < 0) report->queries_absent++;
            else if (own->images[twin].crc == query->images[i].crc && own->images[twin].bytes == query->images[i].bytes) report->queries_in_gallery++;
            else if (report->queries_differing++, different++ == 0) different_example = query->scan.paths[i];
        }
    }
    if (without > 0)
        SKY_TRY(find(report, capacity, true, query->name, "%lld places have no image in %s, %s the first: their queries cannot be answered", (long long)without,
                     other->name, example));
    if (different > 0)
        SKY_TRY(find(report, capacity, false, query->name, "%lld images differ from %s's file of the same name, %s the first", (long long)different, own->name,
                     different_example));
    return SKY_OK;
}

/* Two views of the training places must name them alike. */
static sky_status judge_views(struct sky_check_report *report, int64_t *capacity, const struct sky_survey_part *satellite, const struct sky_survey_part *drone)
{
    int64_t missing = 0;
    const char *example = NULL;
    if (!satellite || !drone) return SKY_OK;
    for (int64_t class = 0; class < drone->scan.class_count; class ++) {
        bool there = false;
        for (int64_t i = 0; i < satellite->scan.class_count && !there; i++) there = !strcmp(satellite->scan.classes[i], drone->scan.classes[class]);
        if (!there && missing++ == 0) example = drone->scan.classes[class];
    }
    if (missing == 0) return SKY_OK;
    return find(report, capacity, true, drone->name, "%lld class folders are not in %s, %s the first", (long long)missing, satellite->name, example);
}

static int64_t filled_classes(const struct sky_survey_part *part)
{
    int64_t count = 0;
    for (int64_t class = 0; class < part->scan.class_count; class ++) count += images_of(part, class) > 0;
    return count;
}

/* It looks like the data set when two of a layout's parts have exactly the published counts. */
static sky_status compare_published(struct sky_check_report *report, int64_t *capacity, int format, const struct sky_layout *layout)
{
    const struct sky_survey_part *parts[PUBLISHED] = {NULL};
    char names[PUBLISHED][64];
    int alike = 0;
    for (int i = 0; i < PUBLISHED; i++) {
        if (published[i].format != format) continue;
        snprintf(names[i], sizeof names[i], "%s/%s", published[i].test ? layout->test : layout->train, published[i].view);
        parts[i] = sky_survey_part(&report->survey, names[i]);
        alike += parts[i] && parts[i]->scan.class_count == published[i].classes && parts[i]->scan.count == published[i].images;
    }
    if (alike < 2) return SKY_OK;
    report->published_name = set_names[format];
    for (int i = 0; i < PUBLISHED; i++) {
        if (!parts[i]) continue;
        struct sky_published_row *row = report->published + report->published_count++;
        *row = (struct sky_published_row){
            .images = published[i].images, .classes = published[i].classes, .found_images = parts[i]->scan.count, .found_classes = filled_classes(parts[i])};
        memcpy(row->part, names[i], sizeof row->part);
        if (row->found_images == row->images && row->found_classes == row->classes) continue;
        const bool used = !strstr(row->part, "street"); /* few train on street images */
        SKY_TRY(find(report, capacity, used, row->part, "%s has %lld images of %lld places here, this has %lld of %lld", set_names[format],
                     (long long)row->images, (long long)row->classes, (long long)row->found_images, (long long)row->found_classes));
    }
    return SKY_OK;
}

static const struct sky_survey_part *find_part(const struct sky_check_report *report, const char *group, const char *view, char name[64])
{
    snprintf(name, 64, "%s/%s", group, view);
    return sky_survey_part(&report->survey, name);
}

/* Street and google images, where there are any: their places must be the satellite's, and queries from the street need a tile. */
static sky_status judge_ground(struct sky_check_report *report, int64_t *capacity, const struct sky_layout *layout, const struct sky_survey_part *satellite,
                               const struct sky_survey_part *tiles)
{
    char train_name[64], query_name[64], gallery_name[64], google_name[64];
    const struct sky_survey_part *train = find_part(report, layout->train, "street", train_name), *query = find_part(report, layout->test, "query_street", query_name);
    const struct sky_survey_part *gallery = find_part(report, layout->test, "gallery_street", gallery_name), *google = find_part(report, layout->train, "google", google_name);
    SKY_TRY(judge_views(report, capacity, satellite, google));
    if (!train && !query && !gallery) return SKY_OK;
    if (!train) SKY_TRY(find(report, capacity, false, train_name, "this folder is missing"));
    if (!query) SKY_TRY(find(report, capacity, false, query_name, "this folder is missing"));
    if (!gallery) SKY_TRY(find(report, capacity, false, gallery_name, "this folder is missing"));
    SKY_TRY(judge_views(report, capacity, satellite, train));
    SKY_TRY(judge_overlap(report, capacity, satellite ? satellite : train, query, true));
    SKY_TRY(judge_overlap(report, capacity, satellite ? satellite : train, gallery, false));
    return judge_queries(report, capacity, query, gallery, tiles);
}

static sky_status judge_layout(struct sky_check_report *report, int64_t *capacity, int format, const struct sky_layout *layout)
{
    static const char *const needed[] = {"satellite", "drone", "query_satellite", "query_drone", "gallery_satellite", "gallery_drone"};
    const struct sky_survey_part *parts[6];
    for (int i = 0; i < 6; i++) {
        char name[64];
        parts[i] = find_part(report, i < 2 ? layout->train : layout->test, needed[i], name);
        if (!parts[i]) SKY_TRY(find(report, capacity, false, name, "this folder is missing"));
    }
    SKY_TRY(judge_views(report, capacity, parts[0], parts[1]));
    for (int view = 0; view < 2; view++) {
        const struct sky_survey_part *train = parts[0] ? parts[0] : parts[1];
        SKY_TRY(judge_overlap(report, capacity, train, parts[2 + view], true));
        SKY_TRY(judge_overlap(report, capacity, train, parts[4 + view], false)); /* some sets use training places as distractors */
        SKY_TRY(judge_queries(report, capacity, parts[2 + view], parts[4 + view], parts[5 - view]));
    }
    SKY_TRY(judge_ground(report, capacity, layout, parts[0], parts[4]));
    return compare_published(report, capacity, format, layout);
}

/* Every place of DenseUAV's test tree must be somewhere. */
static sky_status judge_geo_tags(struct sky_check_report *report, int64_t *capacity)
{
    struct sky_geo_tags tags = {0};
    sky_status status = sky_geo_tags_open(&tags, report->survey.root);
    if (status == SKY_DATA) return find(report, capacity, true, sky_error_last()->where, "%s", sky_error_last()->what);
    SKY_TRY(status);
    for (int64_t i = 0; i < report->survey.part_count && status == SKY_OK; i++) {
        const struct sky_survey_part *part = report->survey.parts + i;
        int64_t number, missing = 0;
        const char *example = NULL;
        for (int64_t class = 0; is_test(part) && class < part->scan.class_count; class ++)
            if (sky_parse_int(part->scan.classes[class], &number) && !sky_geo_tags_find(&tags, number) && missing++ == 0) example = part->scan.classes[class];
        if (missing > 0) status = find(report, capacity, true, part->name, "%lld places have no geo-tag, %s the first", (long long)missing, example);
    }
    sky_geo_tags_close(&tags);
    return status;
}

sky_status sky_dataset_check(struct sky_check_report *report, const char *root, int format, int workers,
                             void (*progress)(void *context, int64_t done, int64_t total), void *context)
{
    struct sky_layout layouts[SKY_MAX_HEIGHTS];
    const char *groups[2 * SKY_MAX_HEIGHTS];
    int count = 0;
    int64_t capacity = 0;
    SKY_TRY(sky_layouts_find(root, format, 0, layouts, &count));
    for (int i = 0; i < count; i++) groups[2 * i] = layouts[i].train, groups[2 * i + 1] = layouts[i].test;
    SKY_TRY(sky_survey_make(&report->survey, root, groups, 2 * count, workers, progress, context));
    SKY_TRY(sky_alloc(&report->published, (size_t)count * PUBLISHED, sizeof *report->published, "published counts"));
    for (int64_t i = 0; i < report->survey.part_count; i++) SKY_TRY(judge_part(report, &capacity, report->survey.parts + i));
    for (int i = 0; i < count; i++) SKY_TRY(judge_layout(report, &capacity, format, &layouts[i]));
    return format == SKY_FORMAT_DENSEUAV ? judge_geo_tags(report, &capacity) : SKY_OK;
}

void sky_check_report_free(struct sky_check_report *report)
{
    for (int64_t i = 0; i < report->finding_count; i++) {
        free(report->findings[i].where);
        free(report->findings[i].what);
    }
    free(report->findings);
    free(report->published);
    sky_survey_free(&report->survey);
    memset(report, 0, sizeof *report);
}

static int by_value(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

sky_status sky_part_stats(const struct sky_survey_part *part, struct sky_part_stats *out)
{
    struct sky_part_stats stats = {.images = part->scan.count};
    double sums[3] = {0, 0, 0}, square_sums[3] = {0, 0, 0}; /* whole numbers far below 2^53 times 2^11: exact enough for any order */
    int64_t *counts = NULL, filled = 0;
    SKY_TRY(sky_alloc(&counts, (size_t)part->scan.class_count, sizeof *counts, "images a class"));
    for (int64_t class = 0; class < part->scan.class_count; class ++) {
        if (images_of(part, class) > 0) counts[filled++] = images_of(part, class);
        else stats.empty_classes++;
    }
    qsort(counts, (size_t)filled, sizeof *counts, by_value);
    if (filled > 0) stats.least = counts[0], stats.median = counts[filled / 2], stats.most = counts[filled - 1];
    free(counts);
    for (int64_t i = 0; i < part->scan.count; i++) {
        const struct sky_survey_image *image = part->images + i;
        stats.pixels += (int64_t)image->width * image->height;
        for (int c = 0; c < 3; c++) sums[c] += (double)image->sums[c], square_sums[c] += (double)image->square_sums[c];
    }
    for (int c = 0; c < 3 && stats.pixels > 0; c++) {
        const double mean = sums[c] / (double)stats.pixels, variance = square_sums[c] / (double)stats.pixels - mean * mean;
        stats.mean[c] = mean / 255;
        stats.deviation[c] = variance > 0 ? sqrt(variance) / 255 : 0;
    }
    *out = stats;
    return SKY_OK;
}
