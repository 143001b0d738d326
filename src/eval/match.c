/*
 * Grouping by label behind match.h: the queries' labels are sorted once, every gallery row looks its label up, and counting sorts make the lists.
 */
#include "match.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

static int compare_labels(const void *a, const void *b)
{
    const int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

/* Sorted distinct labels, junk left out; returns how many. */
static int64_t distinct_labels(int64_t *labels, int64_t count)
{
    int64_t kept = 0;
    qsort(labels, (size_t)count, sizeof *labels, compare_labels);
    for (int64_t i = 0; i < count; i++) {
        if (labels[i] != SKY_LABEL_JUNK && (!kept || labels[kept - 1] != labels[i])) labels[kept++] = labels[i];
    }
    return kept;
}

/* Lists the members of each class in ascending order: first[classes + 1], members[...]; class -1 is in no list. */
static void list_by_class(const int64_t *class_of, int64_t count, int64_t classes, int64_t *first, int64_t *members)
{
    memset(first, 0, (size_t)(classes + 1) * sizeof *first);
    for (int64_t i = 0; i < count; i++) {
        if (class_of[i] >= 0) first[class_of[i] + 1]++;
    }
    for (int64_t c = 0; c < classes; c++) first[c + 1] += first[c];
    for (int64_t i = 0; i < count; i++) {
        if (class_of[i] >= 0) members[first[class_of[i]]++] = i;
    }
    for (int64_t c = classes; c > 0; c--) first[c] = first[c - 1]; /* each had moved to its end */
    first[0] = 0;
}

static void find_classes(const int64_t *labels, int64_t count, const int64_t *known, int64_t classes, int64_t *class_of)
{
    for (int64_t i = 0; i < count; i++) {
        const int64_t *found = classes ? bsearch(&labels[i], known, (size_t)classes, sizeof *known, compare_labels) : NULL;
        class_of[i] = found ? found - known : -1;
    }
}

sky_status sky_match_make(struct sky_match *out, const int64_t *query_labels, int64_t queries, const int64_t *item_labels, int64_t items)
{
    sky_status status = SKY_OK;
    struct sky_match m = {0};
    int64_t *labels = NULL, *item_class = NULL;
    SKY_TRY_DONE(sky_alloc(&labels, (size_t)queries, sizeof *labels, "labels"));
    SKY_TRY_DONE(sky_alloc(&item_class, (size_t)items, sizeof *item_class, "labels"));
    if (queries) memcpy(labels, query_labels, (size_t)queries * sizeof *labels);
    m.classes = distinct_labels(labels, queries);
    SKY_TRY_DONE(sky_alloc(&m.query_class, (size_t)queries, sizeof *m.query_class, "labels"));
    SKY_TRY_DONE(sky_alloc(&m.class_queries, (size_t)queries, sizeof *m.class_queries, "labels"));
    SKY_TRY_DONE(sky_alloc(&m.class_items, (size_t)items, sizeof *m.class_items, "labels"));
    SKY_TRY_DONE(sky_alloc(&m.order, (size_t)items, sizeof *m.order, "labels"));
    SKY_TRY_DONE(sky_alloc(&m.first_query, (size_t)m.classes + 1, sizeof *m.first_query, "labels"));
    SKY_TRY_DONE(sky_alloc(&m.first_item, (size_t)m.classes + 1, sizeof *m.first_item, "labels"));
    find_classes(query_labels, queries, labels, m.classes, m.query_class);
    find_classes(item_labels, items, labels, m.classes, item_class);
    list_by_class(m.query_class, queries, m.classes, m.first_query, m.class_queries);
    list_by_class(item_class, items, m.classes, m.first_item, m.class_items);
    for (int64_t i = 0; i < items; i++) {
        if (item_class[i] >= 0) m.order[m.known++] = i;
    }
    for (int64_t i = 0; i < items; i++) {
        if (item_labels[i] == SKY_LABEL_JUNK) m.junk++;
        else if (item_class[i] < 0) m.order[m.known + m.distractors++] = i;
    }
    *out = m;
    memset(&m, 0, sizeof m);
done:
    free(labels);
    free(item_class);
    sky_match_free(&m);
    return status;
}

void sky_match_free(struct sky_match *match)
{
    free(match->query_class);
    free(match->first_query);
    free(match->class_queries);
    free(match->first_item);
    free(match->class_items);
    free(match->order);
    memset(match, 0, sizeof *match);
}
