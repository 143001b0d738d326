/*
 * What must hold between keys. A rule is checked only when none of its keys was refused before, and its message stands at the first of its keys that a
 * file or --set has given.
 */
#include "schema.h"

#include <stdio.h>
#include <string.h>

static void check_name(const struct sky_config *c, struct sky_text *problem)
{
    const char *name = c->experiment.name ? c->experiment.name : "";
    if (strchr(name, '/')) sky_text_format(problem, "names the run's folder below runs/ and cannot hold a '/', as %s does; train -o DIR chooses another place", name);
    if (!strcmp(name, ".") || !strcmp(name, "..")) sky_text_format(problem, "names the run's folder below runs/ and cannot be %s", name);
}

static void check_image_size(const struct sky_config *c, struct sky_text *problem)
{
    if (c->data.image_size % 16) sky_text_format(problem, "must be a multiple of 16, not %lld; the nearest are %lld and %lld", (long long)c->data.image_size,
                                                 (long long)(c->data.image_size / 16 * 16), (long long)(c->data.image_size / 16 * 16 + 16));
}

static void check_kl_sampler(const struct sky_config *c, struct sky_text *problem)
{
    if (c->loss.kl > 0 && c->data.sampler == SKY_SAMPLER_UNPAIRED)
        sky_text_append(problem, "compares the two views of one place, but data.sampler = unpaired gives different places; set kl = 0 or sampler = paired");
}

/* "satellite, street" */
static void append_views(const struct sky_config *c, struct sky_text *out)
{
    for (int i = 0; i < c->data.views.count; i++) sky_text_format(out, "%s%s", i ? ", " : "", sky_view_name(c->data.views.list[i]));
}

static void check_kl_views(const struct sky_config *c, struct sky_text *problem)
{
    if (c->loss.kl == 0 || sky_has_pair(&c->data.views)) return;
    sky_text_append(problem, "is between drone and satellite, but data.views = ");
    append_views(c, problem);
    sky_text_append(problem, "; set kl = 0");
}

static void check_pair_views(const struct sky_config *c, struct sky_text *problem)
{
    for (int i = 0; i < SKY_PAIR_LOSS_COUNT && !sky_has_pair(&c->data.views); i++) {
        if (sky_pair_loss_weight(c, i) == 0) continue;
        sky_text_append(problem, "= ");
        append_views(c, problem);
        sky_text_format(problem, " leaves loss.%s nothing to compare: it is between drone and satellite", sky_pair_loss_name(i));
        return;
    }
}

/* Scores want a trunk for each view that asks or is asked. */
static void check_direction(const struct sky_config *c, struct sky_text *problem)
{
    for (int d = 0; d < SKY_SINGLE_DIRECTIONS; d++) {
        const int sides[2] = {sky_direction_query(d), sky_direction_gallery(d)};
        for (int s = 0; s < 2 && sky_direction_has(c->eval.direction, d); s++) {
            if (sky_trunk_name(c, sides[s])) continue;
            sky_text_format(problem, "= %s scores %s images, which no trunk sees with data.views = ", sky_direction_name(c->eval.direction), sky_view_name(sides[s]));
            append_views(c, problem);
            if (c->model.share_views || sides[s] > SKY_VIEW_DRONE) return;
            sky_text_append(problem, " and model.share_views = no");
            return;
        }
    }
}

static void check_pair_sampler(const struct sky_config *c, struct sky_text *problem)
{
    for (int i = 0; i < SKY_PAIR_LOSS_COUNT && c->data.sampler == SKY_SAMPLER_UNPAIRED; i++) {
        if (sky_pair_loss_weight(c, i) == 0) continue;
        sky_text_format(problem, "= unpaired gives the views different places, but loss.%s compares two views of one; set sampler = paired", sky_pair_loss_name(i));
        return;
    }
}

static void check_some_loss(const struct sky_config *c, struct sky_text *problem)
{
    double pairs = 0;
    for (int i = 0; i < SKY_PAIR_LOSS_COUNT; i++) pairs += sky_pair_loss_weight(c, i);
    if (c->loss.ce == 0 && c->loss.kl == 0 && pairs == 0) sky_text_append(problem, "and all other losses are 0: there is nothing to learn from");
}

static void check_msba(const struct sky_config *c, struct sky_text *problem)
{
    if (c->model.partition == SKY_PARTITION_MSBA && c->model.blocks < 4)
        sky_text_format(problem, "must be at least 4 with model.partition = msba, not %lld; lpn takes any number", (long long)c->model.blocks);
}

static void check_parts(const struct sky_config *c, struct sky_text *problem)
{
    const bool list = c->model.partition == SKY_PARTITION_LIST;
    if (list && !c->model.parts) sky_text_append(problem, "must list the parts with model.partition = list, for example ring1, ring2, square2");
    if (!list && c->model.parts) sky_text_append(problem, "is used only with model.partition = list; remove it or change the partition");
    for (const char *at = list && c->model.parts ? c->model.parts : ""; *at; at += strcspn(at, ","), at += *at == ',') {
        int64_t number = 0;
        char digits[8];
        snprintf(digits, sizeof digits, "%.*s", (int)strspn(at + strcspn(at, "123456789"), "0123456789"), at + strcspn(at, "123456789"));
        if (sky_parse_int(digits, &number) && number > c->model.blocks) {
            sky_text_format(problem, "names ring or square %lld, but there are model.blocks = %lld rings", (long long)number, (long long)c->model.blocks);
            return;
        }
    }
}

static void check_attention(const struct sky_config *c, struct sky_text *problem)
{
    if (c->model.part_attention && c->model.partition == SKY_PARTITION_NONE)
        sky_text_append(problem, "weighs parts against each other, but model.partition = none has only one");
}

/* What stands there by default is left alone: only a stride that asks for another map is refused. */
static void check_vgg_stride(const struct sky_config *c, struct sky_text *problem)
{
    if (!strcmp(c->model.backbone, "vgg16") && c->model.last_stride != 1)
        sky_text_append(problem, "is of a ResNet's layer4; model.backbone = vgg16 keeps its five pools: remove it");
}

static void check_vgg_branch(const struct sky_config *c, struct sky_text *problem)
{
    if (!strcmp(c->model.backbone, "vgg16") && c->model.global_branch == SKY_GLOBAL_LAYER3_LAYER4)
        sky_text_append(problem, "= layer3+layer4 wants a ResNet's layer3, which model.backbone = vgg16 does not have; set it to none or layer4");
}

static void check_milestones(const struct sky_config *c, struct sky_text *problem)
{
    if (c->schedule.kind == SKY_SCHEDULE_MULTISTEP && !c->schedule.milestone_count)
        sky_text_append(problem, "must list epochs with schedule.kind = multistep, for example 70, 110");
    for (int i = 1; i < c->schedule.milestone_count; i++) {
        if (c->schedule.milestones[i] <= c->schedule.milestones[i - 1]) {
            sky_text_format(problem, "must increase, but %lld does not come after %lld", (long long)c->schedule.milestones[i],
                            (long long)c->schedule.milestones[i - 1]);
            return;
        }
    }
}

static void check_warmup(const struct sky_config *c, struct sky_text *problem)
{
    if (c->schedule.kind == SKY_SCHEDULE_COSINE && c->schedule.warmup_epochs >= (double)c->train.epochs)
        sky_text_format(problem, "must be less than train.epochs = %lld with schedule.kind = cosine", (long long)c->train.epochs);
}

static void check_nesterov(const struct sky_config *c, struct sky_text *problem)
{
    if (c->optimizer.kind == SKY_OPTIMIZER_SGD && c->optimizer.nesterov && c->optimizer.momentum == 0)
        sky_text_append(problem, "looks ahead along the momentum, but optimizer.momentum = 0; set nesterov = no");
}

static void check_data_format(const struct sky_config *c, struct sky_text *problem)
{
    if (c->data.height && c->data.format != SKY_FORMAT_SUES200) sky_text_append(problem, "is used only with data.format = sues200");
}

static void check_heights(const struct sky_config *c, struct sky_text *problem)
{
    if (c->eval.height_groups > c->eval.frames)
        sky_text_format(problem, "is more than the eval.frames = %lld of a flight", (long long)c->eval.frames);
}

static void check_shift(const struct sky_config *c, struct sky_text *problem)
{
    for (int i = 0; i < c->eval.query_shift_count; i++)
        if (c->eval.query_shift[i] >= c->data.image_size) {
            sky_text_format(problem, "of %lld moves the whole picture out: data.image_size is %lld", (long long)c->eval.query_shift[i], (long long)c->data.image_size);
            return;
        }
}

static void check_rerank(const struct sky_config *c, struct sky_text *problem)
{
    if (c->eval.rerank_k2 > c->eval.rerank_k1 + 1)
        sky_text_format(problem, "must be at most eval.rerank_k1 + 1 = %lld, not %lld", (long long)c->eval.rerank_k1 + 1, (long long)c->eval.rerank_k2);
}

static void check_record(const struct sky_config *c, struct sky_text *problem)
{
    if (c->debug.record && (c->train.precision == SKY_PRECISION_BF16 || c->train.precision == SKY_PRECISION_FP16))
        sky_text_append(problem, "keeps what the network is fed in fp32; set train.precision = fp32 (or tf32)");
}

const struct sky_config_rule sky_config_rules[] = {
    {{"experiment.name"}, check_name},
    {{"data.image_size"}, check_image_size},
    {{"loss.kl", "data.sampler"}, check_kl_sampler},
    {{"loss.kl", "data.views"}, check_kl_views},
    {{"data.views", "loss.contrastive", "loss.triplet", "loss.soft_margin", "loss.info_nce"}, check_pair_views},
    {{"eval.direction", "data.views", "model.share_views"}, check_direction},
    {{"data.sampler", "loss.contrastive", "loss.triplet", "loss.soft_margin", "loss.info_nce"}, check_pair_sampler},
    {{"loss.ce", "loss.kl", "loss.contrastive", "loss.triplet", "loss.soft_margin", "loss.info_nce"}, check_some_loss},
    {{"model.blocks", "model.partition"}, check_msba},
    {{"model.parts", "model.partition", "model.blocks"}, check_parts},
    {{"model.part_attention", "model.partition"}, check_attention},
    {{"model.last_stride", "model.backbone"}, check_vgg_stride},
    {{"model.global_branch", "model.backbone"}, check_vgg_branch},
    {{"schedule.milestones", "schedule.kind"}, check_milestones},
    {{"schedule.warmup_epochs", "schedule.kind", "train.epochs"}, check_warmup},
    {{"optimizer.nesterov", "optimizer.momentum", "optimizer.kind"}, check_nesterov},
    {{"debug.record", "train.precision"}, check_record},
    {{"data.height", "data.format"}, check_data_format},
    {{"eval.height_groups", "eval.frames"}, check_heights},
    {{"eval.query_shift", "data.image_size"}, check_shift},
    {{"eval.rerank_k2", "eval.rerank_k1"}, check_rerank},
};
const int sky_config_rule_count = sizeof sky_config_rules / sizeof *sky_config_rules;
