/*
 * Who is right for whom: queries and gallery rows grouped by label, and the order in which the gallery is walked.
 *
 * A gallery row is junk when its label is -1, known when some query has its label, else a distractor. Both protocols follow from that split: full
 * ranks known and distractor rows, no-distractors ranks the known ones alone.
 */
#ifndef SKY_EVAL_MATCH_H
#define SKY_EVAL_MATCH_H

#include "skygem/status.h"

#include <stdint.h>

#define SKY_LABEL_JUNK (-1)

/* All lists ascend. Zero-initialise; free with sky_match_free. */
struct sky_match {
    int64_t classes;        /* distinct labels of queries, junk left out */
    int64_t *query_class;   /* [queries] 0 .. classes-1, or -1 for the label -1 */
    int64_t *first_query;   /* [classes + 1] where a class begins in class_queries */
    int64_t *class_queries; /* query numbers, class by class */
    int64_t *first_item;    /* [classes + 1] where a class begins in class_items */
    int64_t *class_items;   /* [known] gallery row numbers, class by class */
    int64_t *order;         /* [known + distractors] gallery row numbers: the known ones, then the distractors */
    int64_t known, distractors, junk;
};

sky_status sky_match_make(struct sky_match *out, const int64_t *query_labels, int64_t queries, const int64_t *item_labels, int64_t items);
void sky_match_free(struct sky_match *match);

#endif
