/*
 * What is known before the first step: layers, parameters, multiply-adds, memory by arena, data counts. Used by info, --dry-run and the first lines of train.
 */
#ifndef SKY_CLI_SUMMARY_H
#define SKY_CLI_SUMMARY_H

#include "backend/executor.h"
#include "model/model.h"
#include "skygem/trainer.h"

struct sky_text;

sky_status sky_summary_log(const struct sky_config *config, const struct sky_trainer *trainer, const char *run_folder);

/* Checks data (that of the evaluation where it comes to one), model and back end, prints the plan on stdout; allocates no arena that is touched. */
sky_status sky_summary_dry_run(const struct sky_config *config, bool evaluates);

/* One row a node of the forward pass. */
void sky_summary_layers(const struct sky_executor *executor, struct sky_text *out);
/* device.winograd = yes changes nothing on this build; warn: says so to people. */
bool sky_summary_lacks_winograd(const struct sky_executor *executor);
bool sky_summary_warn_winograd(const struct sky_executor *executor);
/* What the training graph moves at least, without and with convolutions that take batch norm in, counted from the plan. */
sky_status sky_summary_traffic(const struct sky_config *config, int64_t classes, struct sky_text *out);
/* Parameters, multiply-adds an image, memory by arena and the sum a run will use. */
void sky_summary_totals(const struct sky_model *model, const struct sky_executor *executor, struct sky_text *out);

/* Bytes of every arena and the scratch: what a run of this executor allocates. */
size_t sky_summary_planned_bytes(const struct sky_executor *executor);

/* Classes of the training tree, or `assumed` (with *assumed_used set) when the data root is not given or not there. */
sky_status sky_summary_classes(const struct sky_config *config, int64_t assumed, int64_t *classes, bool *assumed_used);

#endif
