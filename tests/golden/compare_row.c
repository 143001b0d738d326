/*
 * Compares a record of two training steps ([debug] record) with what PyTorch computed from the same record: compare_row RECORD ROWS ROW SEED. ROWS is rows.txt;
 * row_numbers.py says what its numbers are, replay.py where the limits come from. Prints one line a quantity. Exit code 3: something is too far
 * that a single ReLU switched by rounding can move; 1: anything else is.
 */
#include "base/rng.h"
#include "io/safetensors.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PROJECTIONS = 4, NUMBERS = 1 + PROJECTIONS, MOST_LOSSES = 8 };

struct record {
    struct sky_safetensors start, steps[2], gradients, final;
};

static sky_status open_one(struct sky_safetensors *file, const char *folder, const char *name)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s.safetensors", folder, name);
    return sky_safetensors_open(file, path);
}

static sky_status open_record(struct record *record, const char *folder)
{
    SKY_TRY(open_one(&record->start, folder, "init"));
    SKY_TRY(open_one(&record->steps[0], folder, "step_0000"));
    SKY_TRY(open_one(&record->steps[1], folder, "step_0001"));
    SKY_TRY(open_one(&record->gradients, folder, "gradients_0000"));
    return open_one(&record->final, folder, "final");
}

static void close_record(struct record *record)
{
    struct sky_safetensors *const files[] = {&record->start, &record->steps[0], &record->steps[1], &record->gradients, &record->final};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) sky_safetensors_close(files[i]);
}

/* Adds a tensor, or its difference to `origin` (may be NULL), to numbers [NUMBERS]: the square, to become a norm, and the projections on the signs of `name`. */
static sky_status add(const struct sky_file_tensor *tensor, const struct sky_file_tensor *origin, const char *name, double *numbers)
{
    const int64_t count = (int64_t)(tensor->bytes / sizeof(float));
    float *values = malloc(2 * tensor->bytes + 1), *from = values + count; /* of origin */
    sky_status status = values ? sky_file_tensor_floats(tensor, "record", values, count) : SKY_NOMEM;
    if (status == SKY_OK && origin) status = sky_file_tensor_floats(origin, "record", from, count);
    for (int64_t i = 0; status == SKY_OK && i < count; i++) {
        const double value = (double)values[i] - (origin ? (double)from[i] : 0);
        uint64_t x = (((uint64_t)sky_hash_name(name) << 32) + (uint64_t)i) * 0x9E3779B97F4A7C15u; /* SplitMix64 */
        x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
        x = (x ^ x >> 27) * 0x94D049BB133111EBu;
        x ^= x >> 31;
        numbers[0] += value * value;
        for (int k = 0; k < PROJECTIONS; k++) numbers[1 + k] += x >> k & 1 ? -value : value;
    }
    free(values);
    return status;
}

static bool ends(const char *name, const char *end)
{
    const size_t length = strlen(name), tail = strlen(end);
    return length >= tail && strcmp(name + length - tail, end) == 0;
}

static sky_status sum_images(const struct record *record, double *numbers)
{
    for (int step = 0; step < 2; step++)
        for (int64_t i = 0; i < record->steps[step].tensor_count; i++) {
            const struct sky_file_tensor *tensor = &record->steps[step].tensors[i];
            char name[80];
            snprintf(name, sizeof name, "%d/%s", step, tensor->name);
            if (ends(tensor->name, ".images")) SKY_TRY(add(tensor, NULL, name, numbers));
        }
    return SKY_OK;
}

/* How far the tensors with a gradient have moved, or those without. */
static sky_status sum_movement(const struct record *record, bool learned, double *numbers)
{
    for (int64_t i = 0; i < record->final.tensor_count; i++) {
        const struct sky_file_tensor *tensor = &record->final.tensors[i], *origin = sky_safetensors_find(&record->start, tensor->name);
        if (!origin || origin->bytes != tensor->bytes) return sky_fail(SKY_FORMAT, record->final.path, "tensor '%s' is not as in the start", tensor->name);
        if ((sky_safetensors_find(&record->gradients, tensor->name) != NULL) == learned) SKY_TRY(add(tensor, origin, tensor->name, numbers));
    }
    return SKY_OK;
}

static sky_status sum_file(const struct sky_safetensors *file, double *numbers)
{
    for (int64_t i = 0; i < file->tensor_count; i++) SKY_TRY(add(&file->tensors[i], NULL, file->tensors[i].name, numbers));
    return SKY_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const struct sky_file_tensor *const *)a)->name, (*(const struct sky_file_tensor *const *)b)->name);
}

/* Of one step, in the order of their names. */
static sky_status list_losses(const struct sky_safetensors *step, double *numbers, int *count)
{
    const struct sky_file_tensor *losses[MOST_LOSSES];
    *count = 0;
    for (int64_t i = 0; i < step->tensor_count && *count < MOST_LOSSES; i++)
        if (strncmp(step->tensors[i].name, "loss", 4) == 0) losses[(*count)++] = &step->tensors[i];
    qsort(losses, (size_t)*count, sizeof *losses, by_name);
    for (int i = 0; i < *count; i++) {
        float value;
        SKY_TRY(sky_file_tensor_floats(losses[i], step->path, &value, 1));
        numbers[i] = (double)value;
    }
    return SKY_OK;
}

static sky_status measure(const struct record *record, const char *quantity, double *numbers, int *count)
{
    *count = NUMBERS;
    if (!strcmp(quantity, "losses0")) return list_losses(&record->steps[0], numbers, count);
    if (!strcmp(quantity, "losses1")) return list_losses(&record->steps[1], numbers, count);
    if (!strcmp(quantity, "start")) SKY_TRY(sum_file(&record->start, numbers));
    if (!strcmp(quantity, "images")) SKY_TRY(sum_images(record, numbers));
    if (!strcmp(quantity, "gradients")) SKY_TRY(sum_file(&record->gradients, numbers));
    if (!strcmp(quantity, "movement") || !strcmp(quantity, "buffers")) SKY_TRY(sum_movement(record, *quantity == 'm', numbers));
    numbers[0] = sqrt(numbers[0]);
    return SKY_OK;
}

/*
 * Losses: the largest relative difference, where one that all but vanishes is judged by the whole loss, the first of its row. Others: the distance that the
 * projections show, by the norm.
 */
static double distance(bool losses, const double *got, const double *want, int count)
{
    double worst = 0, squares = 0;
    for (int i = 0; losses && i < count; i++) worst = fmax(worst, fabs(got[i] - want[i]) / (fabs(want[i]) < 1e-4 ? want[0] : fabs(want[i])));
    if (losses) return worst;
    for (int k = 1; k < NUMBERS; k++) squares += (got[k] - want[k]) * (got[k] - want[k]) / PROJECTIONS;
    return fmax(sqrt(squares), fabs(got[0] - want[0])) / want[0];
}

/* replay.py's limits; of the start, what rounding in a text and another C library's last digit leave. */
static double limit_of(const char *quantity)
{
    static const struct {
        const char *quantity;
        double limit;
    } limits[] = {{"start", 1e-6}, {"images", 1e-4}, {"losses0", 1e-5}, {"losses1", 1e-3}, {"gradients", 1e-3}, {"movement", 1e-2}, {"buffers", 1e-3}};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        if (!strcmp(limits[i].quantity, quantity)) return limits[i].limit;
    return -1;
}

enum verdict { HOLDS, MAY_BE_ROUNDING, WRONG };

/* One line of ROWS, of this record. */
static enum verdict judge(const struct record *record, char *line)
{
    double got[MOST_LOSSES] = {0}, want[MOST_LOSSES];
    char *rest = line;
    const char *quantity = strtok_r(rest, " \n", &rest);
    int count = 0, wanted = 0;
    for (const char *word; quantity && wanted < MOST_LOSSES && (word = strtok_r(rest, " \n", &rest));) want[wanted++] = strtod(word, NULL);
    const double limit = quantity ? limit_of(quantity) : -1;
    if (limit < 0 || measure(record, quantity, got, &count) != SKY_OK) {
        printf("%s: %s: %s\n", quantity ? quantity : "an empty line", sky_error_last()->where, sky_error_last()->what);
        return WRONG;
    }
    const bool before_any_switch = !strcmp(quantity, "start") || !strcmp(quantity, "images") || !strcmp(quantity, "losses0");
    const double error = count == wanted ? distance(strncmp(quantity, "losses", 6) == 0, got, want, count) : NAN;
    printf("%s %.1e of %.0e%s\n", quantity, error, limit, error <= limit ? "" : "  FAILED");
    return error <= limit ? HOLDS : error <= 1 && !before_any_switch ? MAY_BE_ROUNDING : WRONG;
}

int main(int argc, char **argv)
{
    struct record record = {0};
    char line[1024], prefix[200];
    enum verdict worst = HOLDS;
    int lines = 0;
    if (argc != 5) return fprintf(stderr, "usage: %s RECORD ROWS ROW SEED\n", argv[0]), 2;
    FILE *rows = fopen(argv[2], "r");
    if (!rows || open_record(&record, argv[1]) != SKY_OK) return fprintf(stderr, "%s: cannot read %s or %s\n", argv[0], argv[1], argv[2]), 2;
    snprintf(prefix, sizeof prefix, "%s %s ", argv[3], argv[4]);
    while (fgets(line, sizeof line, rows)) {
        if (strncmp(line, prefix, strlen(prefix)) != 0) continue;
        lines++;
        const enum verdict verdict = judge(&record, line + strlen(prefix));
        if (verdict > worst) worst = verdict;
    }
    fclose(rows);
    close_record(&record);
    return lines != 7 || worst == WRONG ? 1 : worst == MAY_BE_ROUNDING ? 3 : 0;
}
