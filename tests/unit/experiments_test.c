/*
 * The shipped experiments say what they should: a table's rows differ in what the paper says they differ in and in nothing else.
 */
#include "check.h"

#include "skygem/config.h"

#include <stdlib.h>
#include <string.h>

static void read_experiment(struct sky_config *config, const char *file)
{
    char path[1000];
    snprintf(path, sizeof path, "%s/experiments/%s", SKY_SOURCE_DIR, file);
    CHECK_OK(sky_config_read(config, path, NULL, 0));
}

/* What `file` changes of `from`, exactly. */
static void differs(const char *file, const char *from, const char *wanted)
{
    struct sky_config one = {0}, other = {0};
    char *text = NULL;
    read_experiment(&one, file), read_experiment(&other, from);
    CHECK_OK(sky_config_differences(&one, &other, &text));
    check_that(text && !strcmp(text, wanted), file, __FILE__, __LINE__, text ? text : "nothing");
    free(text);
    sky_config_free(&one), sky_config_free(&other);
}

static void test_table_3(void)
{
    differs("table3/resnet50-gem.ini", "table3/resnet50-avg.ini", "model.pooling = gem (avg)");
    differs("table3/se_resnet50-gem.ini", "table3/se_resnet50-avg.ini", "model.pooling = gem (avg)");
    differs("table3/se_resnet50-avg.ini", "table3/resnet50-avg.ini", "model.backbone = se_resnet50 (resnet50)");
    differs("table3/se_resnet50-gem.ini", "table3/resnet50-gem.ini", "model.backbone = se_resnet50 (resnet50)");
    differs("table3/se_resnet50-gem.ini", "table2/ours-256.ini", "");
    differs("table3/se_resnet50-gem.ini", "paper/se_resnet50_gem_256.ini", "");
}

static void test_table_2(void)
{
    differs("table2/ours-384.ini", "table2/ours-256.ini", "data.image_size = 384 (256)");
    differs("table2/ours-512.ini", "table2/ours-256.ini", "data.image_size = 512 (256)");
    differs("table2/msba-384.ini", "table2/msba-256.ini", "data.image_size = 384 (256)");
    differs("table2/msba-512.ini", "table2/msba-256.ini", "data.image_size = 512 (256)");
    differs("table2/ours-256.ini", "table2/msba-256.ini", "model.backbone = se_resnet50 (resnet50), model.pooling = gem (avg), model.part_attention = no (yes)");
}

/* The systems of the field beside each other: each a small delta. */
static void test_baselines(void)
{
    differs("baselines/gem.ini", "baselines/instance.ini", "model.pooling = gem (avg), optimizer.gem_lr_scale = 0.1 (1)");
    differs("baselines/vgg16.ini", "baselines/instance.ini", "model.backbone = vgg16 (resnet50), model.last_stride = 1 (2)");
    differs("baselines/lpn.ini", "baselines/instance.ini", "model.last_stride = 1 (2), model.partition = lpn (none), optimizer.lr = 0.001 (0.01)");
    differs("baselines/instance_4views.ini", "baselines/instance.ini", "data.views = satellite, drone, street, google (satellite, drone)");
    differs("baselines/lpn_4views.ini", "baselines/lpn.ini", "data.views = satellite, drone, street, google (satellite, drone)");
    differs("baselines/triplet.ini", "baselines/contrastive.ini", "loss.contrastive = 0 (1), loss.triplet = 1 (0)");
    differs("baselines/soft_margin.ini", "baselines/contrastive.ini", "loss.contrastive = 0 (1), loss.soft_margin = 1 (0)");
    differs("baselines/msba.ini", "table2/msba-256.ini",
            "model.dropout = 0.5 (0.75), loss.reduction = mean (sum), optimizer.lr = 0.01 (0.001), schedule.kind = multistep (step), schedule.milestones = 70, 110 (none)");
}

/* The points that the paper leaves open, as the experiments take them. */
static void test_paper_recipe(void)
{
    struct sky_config c = {0};
    read_experiment(&c, "table3/se_resnet50-gem.ini");
    CHECK(c.model.partition == SKY_PARTITION_MSBA && c.model.blocks == 4 && c.model.ring_norm == SKY_RING_SQUARE);
    CHECK(c.model.pooling == SKY_POOL_GEM && c.model.gem_p == 3 && c.model.gem_learn == SKY_GEM_CHANNEL);
    CHECK(c.model.global_branch == SKY_GLOBAL_LAYER3_LAYER4 && c.model.embedding == 512 && c.model.dropout == 0.75 && c.model.share_views && !c.model.part_attention);
    CHECK(c.model.se_layout == SKY_SE_LEGACY && c.model.last_stride == 1);
    CHECK(c.train.epochs == 120 && c.train.batch_size == 8 && c.schedule.kind == SKY_SCHEDULE_STEP && c.schedule.step == 80 && c.schedule.gamma == 0.1);
    CHECK(c.optimizer.lr == 1e-3 && c.optimizer.backbone_lr_scale == 0.1 && c.optimizer.momentum == 0.9 && c.optimizer.nesterov && c.optimizer.weight_decay == 5e-4);
    CHECK(c.loss.ce == 1 && c.loss.kl == 1 && c.loss.kl_direction == SKY_KL_DRONE_SATELLITE && !c.loss.kl_detach && c.loss.reduction == SKY_REDUCE_SUM);
    CHECK(c.data.sampler == SKY_SAMPLER_PAIRED && c.data.samples_per_class == 1 && c.augment.pad == 10 && c.augment.satellite_rotation == 90 && c.eval.flip);
    sky_config_free(&c);
}

int main(void)
{
    test_table_3();
    test_table_2();
    test_paper_recipe();
    test_baselines();
    return check_done();
}
