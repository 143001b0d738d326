/*
 * The case table's command line, filters, counting and messages. The modes are in gradient.c and compare.c.
 */
#include "harness.h"

#include "check.h"

#include <stdarg.h>

double ops_element(enum sky_dtype dtype, const void *data, int64_t i)
{
    switch (dtype) {
    case SKY_F64: return ((const double *)data)[i];
    case SKY_F32: return ((const float *)data)[i];
    case SKY_BF16: return (double)sky_bf16_to_float(((const uint16_t *)data)[i]);
    case SKY_F16: return (double)sky_half_to_float(((const uint16_t *)data)[i]);
    case SKY_I32: return ((const int32_t *)data)[i];
    case SKY_U8: return ((const uint8_t *)data)[i];
    default: return NAN;
    }
}

bool ops_is_float(enum sky_dtype dtype)
{
    return dtype == SKY_F32 || dtype == SKY_F64 || dtype == SKY_BF16 || dtype == SKY_F16;
}

static bool has_operation(const struct ops_case *from, const char *name)
{
    struct ops_subject subject;
    bool found = false;
    if (ops_subject_build(&subject, from, SKY_F32) == SKY_OK)
        for (int64_t n = 0; n < subject.graph.node_count; n++) found = found || strcmp(sky_op_name(subject.graph.nodes[n].op), name) == 0;
    ops_subject_free(&subject);
    return found;
}

bool ops_selected(const struct ops_options *options, const struct ops_case *from, bool perf)
{
    if (from->perf != perf || (options->text && !strstr(from->text, options->text))) return false;
    return !options->name || strcmp(options->name, from->name) == 0 || has_operation(from, options->name);
}

bool ops_node_selected(const struct ops_options *options, const struct ops_subject *subject, int64_t node)
{
    return !options->name || strcmp(options->name, subject->from->name) == 0 || strcmp(options->name, sky_op_name(subject->graph.nodes[node].op)) == 0;
}

bool ops_build(struct ops_subject *subject, const struct ops_case *from, enum sky_dtype dtype)
{
    if (ops_subject_build(subject, from, dtype) == SKY_OK) return true;
    ops_fail(NULL, from, "cannot be built", "%s: %s", sky_error_last()->where, sky_error_last()->what);
    ops_subject_free(subject);
    return false;
}

void ops_pass(void)
{
    check_passed++;
}

void ops_fail(const struct ops_options *options, const struct ops_case *from, const char *where, const char *format, ...)
{
    va_list arguments;
    check_failed++;
    printf("FAILED %s \"%s\"", from->name, from->text);
    if (options) printf(" --seed %llu", (unsigned long long)options->seed);
    printf(": %s: ", where);
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    printf("\n");
}

void ops_skip(const struct ops_options *options, const struct ops_case *from, const char *where, const char *why)
{
    check_skipped++;
    if (options->verbose) printf("SKIPPED %s \"%s\": %s: %s\n", from->name, from->text, where, why);
}

static const struct {
    const char *name;
    void (*run)(const struct ops_options *options);
} modes[] = {{"grad", ops_mode_grad}, {"test", ops_mode_test}, {"bitwise", ops_mode_bitwise}, {"perf", ops_mode_perf}, {"support", ops_mode_support}};

static int run_modes(const char *list, const struct ops_options *options)
{
    while (*list) {
        const size_t length = strcspn(list, ",");
        size_t m = 0;
        while (m < sizeof modes / sizeof *modes && (strlen(modes[m].name) != length || strncmp(modes[m].name, list, length) != 0)) m++;
        if (m == sizeof modes / sizeof *modes) {
            printf("unknown mode \"%s\": grad, test, bitwise, perf, support\n", list);
            return 2;
        }
        modes[m].run(options);
        list += length;
        if (*list) list++;
    }
    return check_done();
}

/* "f32,bf16,f16" to types. */
static bool read_maps(const char *list, struct ops_options *options)
{
    options->map_count = 0;
    while (*list) {
        const size_t length = strcspn(list, ",");
        int dtype = 0;
        while (dtype < SKY_DTYPE_COUNT && (strlen(sky_dtype_name((enum sky_dtype)dtype)) != length || strncmp(sky_dtype_name((enum sky_dtype)dtype), list, length) != 0)) dtype++;
        if (dtype != SKY_F32 && dtype != SKY_BF16 && dtype != SKY_F16) return false;
        if (options->map_count == OPS_MAX_MAPS) return false;
        options->maps[options->map_count++] = (enum sky_dtype)dtype;
        list += length;
        if (*list) list++;
    }
    return options->map_count > 0;
}

int ops_main(int argc, char **argv, const struct sky_backend *const *backends, int backend_count, const char *default_modes, const char *default_maps)
{
    struct ops_options options = {.backends = backends, .backend_count = backend_count, .seed = 1, .threads = 2};
    read_maps(default_maps, &options);
    const char *list = default_modes;
    for (int i = 1; i < argc; i++) {
        const char *option = argv[i], *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(option, "-v") == 0) {
            options.verbose = true;
            continue;
        }
        if (strcmp(option, "--tf32") == 0) {
            options.tf32 = true;
            continue;
        }
        if (strcmp(option, "--list") == 0) {
            for (int c = 0; c < ops_case_count; c++) printf("%-15s %s%s\n", ops_cases[c].name, ops_cases[c].text, ops_cases[c].perf ? " (perf)" : "");
            return 0;
        }
        if (strcmp(option, "-p") == 0) list = value;
        else if (strcmp(option, "-b") == 0) options.backend = value;
        else if (strcmp(option, "-o") == 0) options.name = value;
        else if (strcmp(option, "-c") == 0) options.text = value;
        else if (strcmp(option, "--seed") == 0) options.seed = strtoull(value, NULL, 10);
        else if (strcmp(option, "--threads") == 0) options.threads = atoi(value);
        else if (strcmp(option, "--map") != 0 || !read_maps(value, &options)) {
            printf("unknown option or value: %s: see harness.h\n", option);
            return 2;
        }
        i++;
    }
    return run_modes(list, &options);
}
