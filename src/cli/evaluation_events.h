/*
 * What TensorBoard is shown of an evaluation: the scores as curves, the GeM exponents as a histogram, the retrieval sheet as a picture.
 */
#ifndef SKY_CLI_EVALUATION_EVENTS_H
#define SKY_CLI_EVALUATION_EVENTS_H

#include "report/event_file.h"
#include "skygem/trainer.h"

/* Reads what the evaluation after `step` steps left in the run folder (evaluation.h); without such files nothing is written. */
sky_status sky_evaluation_events(struct sky_event_file *events, const struct sky_config *config, const struct sky_trainer *trainer, const char *run_folder);

#endif
