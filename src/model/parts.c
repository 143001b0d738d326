/*
 * Which rings make up which part: LPN's square rings, MSBA's rings and squares, or a free list. Works on sizes alone.
 */
#include "build.h"

#include <stdio.h>
#include <string.h>

static int64_t ring_area(const struct sky_part_table *table, int ring)
{
    const int16_t *box = table->box[ring];
    const int64_t outer = (int64_t)(box[2] - box[0]) * (box[3] - box[1]);
    if (ring == 0) return outer;
    const int16_t *inner = table->box[ring - 1];
    return outer - (int64_t)(inner[2] - inner[0]) * (inner[3] - inner[1]);
}

/* Rings first .. last as one part. Zero-filled squares count the hole's positions in the mean (the reference's way), true rings do not. */
static void add_part(struct sky_part_table *table, int first, int last, bool square)
{
    int64_t inside = 0, hole = 0;
    for (int r = first; r <= last; r++) inside += ring_area(table, r);
    for (int r = 0; r < first; r++) hole += ring_area(table, r);
    const int index = table->part_count++;
    table->part[index].first = (int16_t)first;
    table->part[index].last = (int16_t)last;
    table->part[index].holes = square ? (int32_t)hole : 0;
    table->part[index].denominator = (int32_t)(inside + table->part[index].holes);
}

/* "ring2, square3, whole": names count from 1. */
static bool add_listed(struct sky_graph *graph, struct sky_part_table *table, const char *list, bool square)
{
    while (*list) {
        const size_t length = strcspn(list, ", ");
        char name[32];
        int number = 0, used = 0;
        if (length >= sizeof name || table->part_count == SKY_MAX_PARTS) break;
        memcpy(name, list, length);
        name[length] = 0;
        const bool ring = sscanf(name, "ring%d%n", &number, &used) == 1 && name[used] == 0;
        const bool full = !ring && sscanf(name, "square%d%n", &number, &used) == 1 && name[used] == 0;
        if ((!ring && !full) || number < 1 || number > table->ring_count) break;
        add_part(table, ring ? number - 1 : 0, number - 1, square);
        list += length;
        list += strspn(list, ", ");
    }
    if (*list) sky_graph_fail(graph, SKY_CONFIG, "model.parts", "each part is ringK or squareK with K from 1 to [model] blocks, at most 32 of them");
    return !*list && table->part_count > 0;
}

const struct sky_part_table *sky_build_parts(struct sky_graph *graph, const struct sky_config *config, int64_t height, int64_t width)
{
    struct sky_part_table *table = sky_graph_memory(graph, sizeof *table);
    if (!table) return NULL;
    const int partition = config->model.partition;
    const int rings = partition == SKY_PARTITION_NONE ? 1 : (int)config->model.blocks;
    if (rings > SKY_MAX_RINGS || height > INT16_MAX || width > INT16_MAX) {
        sky_graph_fail(graph, SKY_CONFIG, "model.blocks", "too many rings, or too large a map");
        return NULL;
    }
    table->ring_count = rings;
    const int64_t center_y = height / 2, center_x = width / 2, step_y = height / (2 * rings), step_x = width / (2 * rings);
    for (int r = 0; r < rings; r++) {
        const bool last = r == rings - 1;
        table->box[r][0] = (int16_t)(last ? 0 : center_y - (r + 1) * step_y);
        table->box[r][1] = (int16_t)(last ? 0 : center_x - (r + 1) * step_x);
        table->box[r][2] = (int16_t)(last ? height : center_y + (r + 1) * step_y);
        table->box[r][3] = (int16_t)(last ? width : center_x + (r + 1) * step_x);
    }
    const bool square = config->model.ring_norm == SKY_RING_SQUARE;
    if (partition == SKY_PARTITION_LIST) return add_listed(graph, table, config->model.parts, square) ? table : NULL;
    for (int r = 0; r < rings; r++) {
        add_part(table, r, r, square);
        if (partition == SKY_PARTITION_MSBA && r == 2) add_part(table, 0, 1, square), add_part(table, 0, 2, square);
    }
    return table;
}
