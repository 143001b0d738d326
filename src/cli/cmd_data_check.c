/*
 * skygem data check|stats: the health and the statistics of a data tree, for people or as JSON.
 */
#include "commands.h"
#include "progress.h"

#include "base/json.h"
#include "base/threads.h"
#include "data/check.h"
#include "data/layout.h"

#include <stdio.h>
#include <stdlib.h>

static void show_progress(void *context, int64_t done, int64_t total)
{
    struct sky_progress *progress = context;
    progress->total = total;
    sky_progress_show(progress, done, 1, NULL);
}

static sky_status read_workers(const struct sky_args *args, int *workers)
{
    int64_t value = 0;
    SKY_TRY(sky_args_int(args, "workers", 0, 1024, &value));
    *workers = value > 0 ? (int)value : sky_thread_count_default();
    return SKY_OK;
}

static sky_status print_json(struct sky_text *text)
{
    sky_text_append(text, "\n");
    SKY_TRY(sky_text_status(text, "JSON"));
    fputs(text->text, stdout);
    return SKY_OK;
}

static const struct sky_option options[] = {
    {"format", 'f', "WHICH", "university1652", "university1652, sues200 or denseuav", false},
    {"json", 0, NULL, NULL, "print JSON", false},
    {"workers", 'j', "N", "0", "worker threads, 0 = one a core", false},
    {0},
};

static sky_status read_format(const struct sky_args *args, int *out)
{
    const char *names[] = {sky_data_format_name(SKY_FORMAT_UNIVERSITY1652), sky_data_format_name(SKY_FORMAT_SUES200), sky_data_format_name(SKY_FORMAT_DENSEUAV)};
    return sky_args_choice(args, "format", names, 3, out);
}

/* Sizes as "512x512" with counts; the first few. */
static sky_status write_sizes(struct sky_json_writer *w, const struct sky_survey_part *part)
{
    struct sky_size_count *sizes = NULL;
    int64_t count = 0;
    SKY_TRY(sky_survey_sizes(part, &sizes, &count));
    sky_json_begin_array(w, "sizes");
    for (int64_t i = 0; i < count; i++) {
        sky_json_begin_object(w, NULL);
        sky_json_int(w, "width", sizes[i].width);
        sky_json_int(w, "height", sizes[i].height);
        sky_json_int(w, "images", sizes[i].count);
        sky_json_end_object(w);
    }
    sky_json_end_array(w);
    free(sizes);
    return SKY_OK;
}

static sky_status print_sizes(const struct sky_survey_part *part)
{
    enum { SHOWN = 3 };
    struct sky_size_count *sizes = NULL;
    int64_t count = 0, rest = 0;
    SKY_TRY(sky_survey_sizes(part, &sizes, &count));
    for (int64_t i = 0; i < count; i++) {
        if (i < SHOWN) printf("%s%dx%d (%lld)", i ? ", " : "  ", sizes[i].width, sizes[i].height, (long long)sizes[i].count);
        else rest += sizes[i].count;
    }
    if (rest > 0) printf(", %lld sizes more (%lld)", (long long)(count - SHOWN), (long long)rest);
    free(sizes);
    return SKY_OK;
}

static int64_t broken_images(const struct sky_survey_part *part)
{
    int64_t count = 0;
    for (int64_t i = 0; i < part->scan.count; i++) count += part->images[i].error != NULL;
    return count;
}

/* ---- check ---- */

static sky_status check_as_json(const struct sky_check_report *report)
{
    struct sky_text text = {0};
    struct sky_json_writer w = {.out = &text};
    sky_status status = SKY_OK;
    sky_json_begin_object(&w, NULL);
    sky_json_string(&w, "root", report->survey.root);
    sky_json_bool(&w, "sound", report->problem_count == 0);
    sky_json_begin_array(&w, "parts");
    for (int64_t i = 0; i < report->survey.part_count; i++) {
        const struct sky_survey_part *part = report->survey.parts + i;
        int64_t empty = 0;
        for (int64_t class = 0; class < part->scan.class_count; class ++) empty += part->scan.first[class + 1] == part->scan.first[class];
        sky_json_begin_object(&w, NULL);
        sky_json_string(&w, "part", part->name);
        sky_json_int(&w, "images", part->scan.count);
        sky_json_int(&w, "classes", part->scan.class_count);
        sky_json_int(&w, "empty_classes", empty);
        sky_json_int(&w, "broken", broken_images(part));
        sky_json_int(&w, "other_formats", part->scan.unreadable);
        SKY_TRY_DONE(write_sizes(&w, part));
        sky_json_end_object(&w);
    }
    sky_json_end_array(&w);
    sky_json_int(&w, "queries_in_gallery", report->queries_in_gallery);
    sky_json_int(&w, "queries_differing", report->queries_differing);
    sky_json_int(&w, "queries_absent", report->queries_absent);
    sky_json_begin_array(&w, "university1652");
    for (int64_t i = 0; i < report->published_count; i++) {
        const struct sky_published_row *row = report->published + i;
        sky_json_begin_object(&w, NULL);
        sky_json_string(&w, "part", row->part);
        sky_json_int(&w, "published_images", row->images);
        sky_json_int(&w, "published_classes", row->classes);
        sky_json_int(&w, "images", row->found_images);
        sky_json_int(&w, "classes", row->found_classes);
        sky_json_end_object(&w);
    }
    sky_json_end_array(&w);
    sky_json_begin_array(&w, "findings");
    for (int64_t i = 0; i < report->finding_count; i++) {
        sky_json_begin_object(&w, NULL);
        sky_json_bool(&w, "problem", report->findings[i].problem);
        sky_json_string(&w, "where", report->findings[i].where);
        sky_json_string(&w, "what", report->findings[i].what);
        sky_json_end_object(&w);
    }
    sky_json_end_array(&w);
    sky_json_end_object(&w);
    status = print_json(&text);
done:
    sky_text_free(&text);
    return status;
}

static sky_status check_as_text(const struct sky_check_report *report)
{
    printf("%s\n\n%-26s %8s %8s %7s %7s  sizes\n", report->survey.root, "part", "images", "places", "empty", "broken");
    for (int64_t i = 0; i < report->survey.part_count; i++) {
        const struct sky_survey_part *part = report->survey.parts + i;
        int64_t empty = 0;
        for (int64_t class = 0; class < part->scan.class_count; class ++) empty += part->scan.first[class + 1] == part->scan.first[class];
        printf("%-26s %8lld %8lld %7lld %7lld", part->name, (long long)part->scan.count, (long long)part->scan.class_count, (long long)empty,
               (long long)broken_images(part));
        SKY_TRY(print_sizes(part));
        printf("\n");
    }
    if (report->queries_in_gallery + report->queries_differing + report->queries_absent > 0)
        printf("\nquery images: %lld are the gallery's own, %lld differ from the gallery's file of that name, %lld are not in the gallery\n",
               (long long)report->queries_in_gallery, (long long)report->queries_differing, (long long)report->queries_absent);
    for (int64_t i = 0; i < report->published_count; i++) {
        const struct sky_published_row *row = report->published + i;
        if (i == 0) printf("\nbeside %s as published:\n", report->published_name);
        printf("  %-24s %8lld images of %lld places, published %lld of %lld%s\n", row->part, (long long)row->found_images, (long long)row->found_classes,
               (long long)row->images, (long long)row->classes, row->found_images == row->images && row->found_classes == row->classes ? "" : "   <- differs");
    }
    printf("\n");
    for (int64_t i = 0; i < report->finding_count; i++)
        printf("%s %s: %s\n", report->findings[i].problem ? "problem" : "note   ", report->findings[i].where, report->findings[i].what);
    if (report->problem_count == 0) printf("sound\n");
    return SKY_OK;
}

static sky_status run_check(const struct sky_args *args)
{
    struct sky_check_report report = {0};
    struct sky_progress progress = {0};
    int workers = 1, format = SKY_FORMAT_UNIVERSITY1652;
    sky_status status = SKY_OK;
    SKY_TRY(read_workers(args, &workers));
    SKY_TRY(read_format(args, &format));
    sky_progress_begin(&progress, "checking", "img", 0, 0);
    status = sky_dataset_check(&report, args->operands[0], format, workers, show_progress, &progress);
    sky_progress_end(&progress);
    SKY_TRY_DONE(status);
    SKY_TRY_DONE(sky_args_given(args, "json") ? check_as_json(&report) : check_as_text(&report));
    if (report.problem_count > 0) {
        sky_fail(SKY_DATA, args->operands[0], "%lld problems", (long long)report.problem_count);
        status = sky_hint("each is named above");
    }
done:
    sky_check_report_free(&report);
    return status;
}

const struct sky_command sky_command_data_check = {
    .name = "check",
    .operands = "ROOT",
    .min_operands = 1,
    .max_operands = 1,
    .doc = "read every image and tell what is broken, empty or on both sides of the split",
    .details = "Exit code 3 when there is a problem. Compares with the published counts when the tree looks like the data set.",
    .options = options,
    .run = run_check,
};

/* ---- stats ---- */

static sky_status stats_as_json(const struct sky_survey *survey)
{
    static const char *const keys[] = {"mean", "std"};
    struct sky_text text = {0};
    struct sky_json_writer w = {.out = &text};
    sky_status status = SKY_OK;
    sky_json_begin_array(&w, NULL);
    for (int64_t i = 0; i < survey->part_count; i++) {
        struct sky_part_stats stats;
        SKY_TRY_DONE(sky_part_stats(survey->parts + i, &stats));
        sky_json_begin_object(&w, NULL);
        sky_json_string(&w, "part", survey->parts[i].name);
        sky_json_int(&w, "images", stats.images);
        sky_json_int(&w, "broken", broken_images(survey->parts + i));
        sky_json_int(&w, "classes", survey->parts[i].scan.class_count);
        sky_json_int(&w, "empty_classes", stats.empty_classes);
        sky_json_int(&w, "images_per_class_min", stats.least);
        sky_json_int(&w, "images_per_class_median", stats.median);
        sky_json_int(&w, "images_per_class_max", stats.most);
        for (int k = 0; k < 2; k++) {
            sky_json_begin_array(&w, keys[k]);
            for (int c = 0; c < 3; c++) sky_json_double(&w, NULL, k ? stats.deviation[c] : stats.mean[c]);
            sky_json_end_array(&w);
        }
        SKY_TRY_DONE(write_sizes(&w, survey->parts + i));
        sky_json_end_object(&w);
    }
    sky_json_end_array(&w);
    status = print_json(&text);
done:
    sky_text_free(&text);
    return status;
}

static sky_status stats_as_text(const struct sky_survey *survey)
{
    printf("%-26s %8s %18s %24s %24s  sizes\n", "part", "images", "a place", "mean R G B", "std R G B");
    for (int64_t i = 0; i < survey->part_count; i++) {
        struct sky_part_stats stats;
        char a_place[64];
        SKY_TRY(sky_part_stats(survey->parts + i, &stats));
        snprintf(a_place, sizeof a_place, "%lld / %lld / %lld", (long long)stats.least, (long long)stats.median, (long long)stats.most);
        printf("%-26s %8lld %18s   %.4f  %.4f  %.4f   %.4f  %.4f  %.4f", survey->parts[i].name, (long long)stats.images, a_place, stats.mean[0], stats.mean[1],
               stats.mean[2], stats.deviation[0], stats.deviation[1], stats.deviation[2]);
        SKY_TRY(print_sizes(survey->parts + i));
        printf("\n");
    }
    printf("(a place: fewest / median / most images of those that have some; channels in 0 to 1)\n");
    return SKY_OK;
}

static sky_status run_stats(const struct sky_args *args)
{
    struct sky_survey survey = {0};
    struct sky_progress progress = {0};
    struct sky_layout layouts[SKY_MAX_HEIGHTS];
    const char *groups[2 * SKY_MAX_HEIGHTS];
    int workers = 1, format = SKY_FORMAT_UNIVERSITY1652, count = 0;
    sky_status status = SKY_OK;
    SKY_TRY(read_workers(args, &workers));
    SKY_TRY(read_format(args, &format));
    SKY_TRY(sky_layouts_find(args->operands[0], format, 0, layouts, &count));
    for (int i = 0; i < count; i++) groups[2 * i] = layouts[i].train, groups[2 * i + 1] = layouts[i].test;
    sky_progress_begin(&progress, "reading", "img", 0, 0);
    status = sky_survey_make(&survey, args->operands[0], groups, 2 * count, workers, show_progress, &progress);
    sky_progress_end(&progress);
    SKY_TRY_DONE(status);
    SKY_TRY_DONE(sky_args_given(args, "json") ? stats_as_json(&survey) : stats_as_text(&survey));
done:
    sky_survey_free(&survey);
    return status;
}

const struct sky_command sky_command_data_stats = {
    .name = "stats",
    .operands = "ROOT",
    .min_operands = 1,
    .max_operands = 1,
    .doc = "mean and deviation of each channel, image sizes, images a place, for every part",
    .options = options,
    .run = run_stats,
};
