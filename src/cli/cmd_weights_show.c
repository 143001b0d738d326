/*
 * skygem weights show: the tensors of a file, and what network they belong to. A file of unknown keys is shown as well.
 */
#include "weights.h"

#include "base/json.h"
#include "model/key_map.h"

#include <stdio.h>
#include <string.h>

static const struct sky_option options[] = {
    {"totals", 0, NULL, NULL, "no list of tensors", false},
    {"json", 0, NULL, NULL, "print the result as JSON", false},
    {NULL, 0, NULL, NULL, NULL, false},
};

static int64_t elements(const struct sky_file_tensor *tensor)
{
    return (int64_t)(tensor->bytes / sky_dtype_bytes(tensor->dtype));
}

/* Elements of learned tensors: running statistics and counters are none. */
static int64_t parameter_count(const struct sky_tensor_file *file)
{
    int64_t count = 0;
    for (int64_t i = 0; i < file->tensor_count; i++) {
        const char *name = file->tensors[i].name;
        if (!strstr(name, ".running_") && !strstr(name, "num_batches_tracked") && !sky_key_is_state(name))
            count += elements(&file->tensors[i]);
    }
    return count;
}

static void describe(const struct sky_tensor_file *file, const struct sky_key_map *map, const char *digest, int digits, struct sky_text *text)
{
    char bytes[32];
    size_t total = 0;
    for (int64_t i = 0; i < file->tensor_count; i++) total += file->tensors[i].bytes;
    sky_print_bytes(total, bytes);
    sky_text_format(text, "format             %s\n", sky_tensor_format_name(file->format));
    if (*file->torch.wrapper) sky_text_format(text, "taken from         entry '%s'\n", file->torch.wrapper);
    if (file->torch.others) sky_text_format(text, "left out           %lld entries that are no tensors\n", (long long)file->torch.others);
    sky_text_format(text, "tensors            %lld, %s\n", (long long)file->tensor_count, bytes);
    sky_text_format(text, "parameters         %lld\n", (long long)parameter_count(file));
    sky_text_format(text, "sha256             %s%s\n", digest, digits ? " (as the file's name says)" : "");
    if (map->count)
        sky_text_format(text, "layout             %s%s\n", sky_layout_names[map->layout], map->module_prefix ? ", with DataParallel's \"module.\"" : "");
    else sky_text_format(text, "layout             unknown\n");
    if (map->count)
        sky_text_format(text, "backbone           %s%s\n", *map->backbone ? map->backbone : "unknown", map->two_trunks ? ", one for each view" : "");
}

static void print_shape(const struct sky_file_tensor *tensor, struct sky_text *text)
{
    sky_text_append(text, "[");
    for (int i = 0; i < tensor->rank; i++) sky_text_format(text, i ? ", %lld" : "%lld", (long long)tensor->dim[i]);
    sky_text_append(text, "]");
}

static void list(const struct sky_tensor_file *file, struct sky_text *text)
{
    for (int64_t i = 0; i < file->tensor_count; i++) {
        sky_text_format(text, "%-56s %-5s ", file->tensors[i].name, sky_dtype_name(file->tensors[i].dtype));
        print_shape(&file->tensors[i], text);
        sky_text_append(text, "\n");
    }
}

static void describe_json(const struct sky_tensor_file *file, const struct sky_key_map *map, const char *digest, int digits, bool totals, struct sky_text *text)
{
    struct sky_json_writer w = {.out = text};
    sky_json_begin_object(&w, NULL);
    sky_json_string(&w, "file", file->path);
    sky_json_string(&w, "format", sky_tensor_format_name(file->format));
    sky_json_string(&w, "wrapper", *file->torch.wrapper ? file->torch.wrapper : NULL);
    sky_json_int(&w, "other_entries", file->torch.others);
    sky_json_int(&w, "tensor_count", file->tensor_count);
    sky_json_int(&w, "parameters", parameter_count(file));
    sky_json_string(&w, "sha256", digest);
    sky_json_bool(&w, "name_has_digest", digits > 0);
    sky_json_string(&w, "layout", map->count ? sky_layout_names[map->layout] : NULL);
    sky_json_string(&w, "backbone", *map->backbone ? map->backbone : NULL);
    if (!totals) {
        sky_json_begin_array(&w, "tensors");
        for (int64_t i = 0; i < file->tensor_count; i++) {
            sky_json_begin_object(&w, NULL);
            sky_json_string(&w, "name", file->tensors[i].name);
            sky_json_string(&w, "dtype", sky_dtype_name(file->tensors[i].dtype));
            sky_json_begin_array(&w, "shape");
            for (int d = 0; d < file->tensors[i].rank; d++) sky_json_int(&w, NULL, file->tensors[i].dim[d]);
            sky_json_end_array(&w);
            sky_json_end_object(&w);
        }
        sky_json_end_array(&w);
    }
    sky_json_end_object(&w);
    sky_text_append(text, "\n");
}

static sky_status run_show(const struct sky_args *args)
{
    struct sky_tensor_file file = {0};
    struct sky_key_map map = {0};
    struct sky_text text = {0};
    char digest[65];
    int digits = 0;
    const bool totals = sky_args_given(args, "totals");
    sky_status status = SKY_OK;
    SKY_TRY_DONE(sky_tensor_file_digest(args->operands[0], digest, &digits));
    SKY_TRY_DONE(sky_tensor_file_open(&file, args->operands[0]));
    status = sky_key_map_make(&map, &file, SKY_LAYOUT_COUNT);
    if (status != SKY_OK && status != SKY_FORMAT) goto done; /* unknown keys are shown too */
    if (sky_args_given(args, "json")) describe_json(&file, &map, digest, digits, totals, &text);
    else {
        if (!totals) list(&file, &text);
        describe(&file, &map, digest, digits, &text);
    }
    SKY_TRY_DONE(sky_text_status(&text, "the list of tensors"));
    fputs(text.text, stdout);
done:
    sky_text_free(&text);
    sky_key_map_free(&map);
    sky_tensor_file_close(&file);
    return status;
}

const struct sky_command sky_command_weights_show = {
    .name = "show",
    .operands = "FILE",
    .min_operands = 1,
    .max_operands = 1,
    .doc = "names, types and shapes of a weights file's tensors, and what network they are",
    .details = "A SHA-256 in the file's name (resnet50-0676ba61.pth) is verified.",
    .options = options,
    .run = run_show,
};
