/*
 * Models as graphs: parameter counts and multiply-adds against the published ones (domain.md 4.2, 4.4), part tables, names and shapes in files, initial values,
 * and what is refused. Numbers that a model computes are judged by tests/golden.
 */
#include "check.h"
#include "data/dataset.h"
#include "model/model.h"

#include <stdarg.h>

/* A configuration with these overrides, which must be right. */
static struct sky_config configure(int count, ...)
{
    struct sky_config config = {0};
    const char *overrides[16];
    va_list list;
    va_start(list, count);
    for (int i = 0; i < count; i++) overrides[i] = va_arg(list, const char *);
    va_end(list);
    CHECK_OK(sky_config_read(&config, NULL, overrides, count));
    return config;
}

static void build(struct sky_model *model, const struct sky_config *config, enum sky_model_mode mode, int64_t places)
{
    CHECK_OK(sky_model_build(model, config, mode, places, mode == SKY_MODEL_TRAIN ? 701 : 0, SKY_VIEW_SATELLITE, SKY_F32, NULL));
}

/* ---- sizes ---- */

/* Trunk parameters by the PyTorch models of tests/golden/torch_model.py; at width 1 these are torchvision's and timm's without their classifiers. */
static void test_trunk_parameters(void)
{
    static const struct {
        const char *backbone;
        int64_t full, half, eighth; /* widths 1, 0.5, 0.125 */
    } trunks[] = {{"resnet18", 11176512, 2798880, 176712},    {"resnet34", 21284672, 5327776, 335464},     {"resnet50", 23508032, 5892640, 374152},
                  {"resnet101", 42500160, 10653728, 676616},  {"se_resnet18", 11265592, 2821920, 178904},  {"se_resnet34", 21445868, 5369468, 339776},
                  {"se_resnet50", 26039024, 6529400, 415844}, {"se_resnet101", 47277872, 11856792, 755436}};
    static const char *const layouts[2] = {"model.se_layout=legacy", "model.se_layout=timm"};
    for (size_t i = 0; i < sizeof trunks / sizeof *trunks; i++)
        for (int layout = 0; layout < 2; layout++) {
            const int64_t want[3] = {trunks[i].full, trunks[i].half, trunks[i].eighth};
            const double widths[3] = {1, 0.5, 0.125};
            for (int w = 0; w < 3; w++) {
                struct sky_model model;
                struct sky_config config = configure(1, layouts[layout]);
                free(config.model.backbone);
                config.model.backbone = strdup(trunks[i].backbone);
                config.model.width = widths[w];
                build(&model, &config, SKY_MODEL_INFER, 1);
                const int64_t got = sky_model_parameter_count(&model, "backbone.");
                check_that(got == want[w], trunks[i].backbone, __FILE__, __LINE__, "has another number of parameters");
                sky_model_free(&model);
                sky_config_free(&config);
            }
        }
}

static void test_head_parameters(void)
{
    struct sky_model train, infer;
    struct sky_config config = configure(0);
    build(&train, &config, SKY_MODEL_TRAIN, 8);
    CHECK(train.rows == 16 && train.heads == 7 && train.embedding == 512 && train.classes == 701 && train.trunks == 1);
    CHECK(sky_model_parameter_count(&train, "backbone.") == 26039024);
    CHECK(sky_model_parameter_count(&train, "classifier") == 10392363);
    CHECK(sky_model_parameter_count(&train, "classifier0.") == 1409725);
    CHECK(sky_model_parameter_count(&train, "classifier5.") == 1409725);
    CHECK(sky_model_parameter_count(&train, "classifier00.") == 1934013);
    CHECK(sky_model_parameter_count(&train, "gem.p") == 2048);
    CHECK(sky_model_parameter_count(&train, "") == 26039024 + 10392363 + 2048);
    build(&infer, &config, SKY_MODEL_INFER, 1);
    CHECK(infer.rows == 1 && infer.heads == 7 && infer.classes == 0 && infer.logits == SKY_NONE && infer.labels == SKY_NONE);
    CHECK(sky_model_parameter_count(&infer, "classifier") == 7875072);
    sky_model_free(&train);
    sky_model_free(&infer);
    sky_config_free(&config);
}

/* GMAC of one image's trunk (convolutions and SE), forward. */
static double trunk_gmac(const char *layout, const char *stride, int64_t size)
{
    struct sky_model model;
    struct sky_config config = configure(2, layout, stride);
    double sum = 0;
    config.data.image_size = size;
    build(&model, &config, SKY_MODEL_INFER, 4);
    for (int64_t n = 0; n < model.graph.node_count; n++) {
        const struct sky_node *node = &model.graph.nodes[n];
        if (node->phase == SKY_PHASE_FORWARD && (node->op == SKY_OP_CONV || node->op == SKY_OP_SE_GATE))
            sum += sky_node_cost(&model.graph, node).multiply_adds / 4;
    }
    sky_model_free(&model);
    sky_config_free(&config);
    return sum / 1e9;
}

static void test_multiply_adds(void)
{
    const char *const legacy = "model.se_layout=legacy", *const timm = "model.se_layout=timm";
    const char *const one = "model.last_stride=1", *const two = "model.last_stride=2";
    CHECK_NEAR(trunk_gmac(legacy, one, 256), 7.908, 0.0006);
    CHECK_NEAR(trunk_gmac(timm, one, 256), 8.109, 0.0006);
    CHECK_NEAR(trunk_gmac(legacy, one, 384), 17.789, 0.0006);
    CHECK_NEAR(trunk_gmac(timm, one, 384), 18.242, 0.0006);
    CHECK_NEAR(trunk_gmac(legacy, one, 512), 31.623, 0.0006);
    CHECK_NEAR(trunk_gmac(timm, one, 512), 32.429, 0.0006);
    CHECK_NEAR(trunk_gmac(legacy, two, 256), 5.039, 0.0006);
    CHECK_NEAR(trunk_gmac(timm, two, 256), 5.341, 0.0006);
}

/* Each gradient of a convolution costs as much as the convolution; the first one has no gradient by its input. */
static void test_training_cost(void)
{
    struct sky_model model;
    struct sky_config config = configure(0);
    double forward = 0, first = 0, by_input = 0, by_filter = 0;
    build(&model, &config, SKY_MODEL_TRAIN, 2);
    for (int64_t n = 0; n < model.graph.node_count; n++) {
        const struct sky_node *node = &model.graph.nodes[n];
        const double cost = sky_node_cost(&model.graph, node).multiply_adds;
        if (node->op == SKY_OP_CONV) forward += cost;
        if (node->op == SKY_OP_CONV && first == 0) first = cost;
        if (node->op == SKY_OP_CONV_DGRAD) by_input += cost;
        if (node->op == SKY_OP_CONV_WGRAD) by_filter += cost;
    }
    CHECK_NEAR(forward / 4e9, 7.908, 0.004);
    CHECK_NEAR(by_filter, forward, 1);
    CHECK_NEAR(by_input, forward - first, 1);
    sky_model_free(&model);
    sky_config_free(&config);
}

/* Maps of layer1 .. layer4 and of the stem's pool, by name. */
static void test_map_sizes(void)
{
    static const struct {
        const char *layout, *stride;
        int64_t image, sizes[5]; /* maxpool, layer1 .. layer4 */
    } cases[] = {{"model.se_layout=legacy", "model.last_stride=1", 256, {64, 64, 32, 16, 16}},
                 {"model.se_layout=timm", "model.last_stride=1", 256, {64, 64, 32, 16, 16}},
                 {"model.se_layout=legacy", "model.last_stride=1", 384, {96, 96, 48, 24, 24}},
                 {"model.se_layout=legacy", "model.last_stride=1", 512, {128, 128, 64, 32, 32}},
                 {"model.se_layout=legacy", "model.last_stride=2", 256, {64, 64, 32, 16, 8}},
                 {"model.se_layout=legacy", "model.last_stride=1", 80, {20, 20, 10, 5, 5}},
                 {"model.se_layout=timm", "model.last_stride=2", 80, {20, 20, 10, 5, 3}}};
    static const char *const names[5] = {"maxpool", "layer1.2", "layer2.3", "layer3.5", "layer4.2"};
    static const int64_t channels[5] = {64, 256, 512, 1024, 2048};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sky_model model;
        struct sky_config config = configure(2, cases[i].layout, cases[i].stride);
        int found = 0;
        config.data.image_size = cases[i].image;
        build(&model, &config, SKY_MODEL_TRAIN, 2);
        for (int64_t n = 0; n < model.graph.node_count; n++)
            for (int k = 0; k < 5; k++) {
                const struct sky_node *node = &model.graph.nodes[n];
                if (node->phase != SKY_PHASE_FORWARD || strcmp(node->name, names[k]) != 0 || (node->op != SKY_OP_MAX_POOL && node->op != SKY_OP_BLOCK_TAIL))
                    continue;
                const struct sky_tensor *map = &model.graph.tensors[node->out[0]];
                CHECK(map->dim[0] == 4 && map->dim[1] == cases[i].sizes[k] && map->dim[2] == cases[i].sizes[k] && map->dim[3] == channels[k]);
                found++;
            }
        CHECK(found == 5);
        sky_model_free(&model);
        sky_config_free(&config);
    }
}

/* ---- parts ---- */

static const struct sky_part_table *part_table(const struct sky_model *model)
{
    for (int64_t n = 0; n < model->graph.node_count; n++)
        if (model->graph.nodes[n].op == SKY_OP_PART_POOL) return model->graph.nodes[n].attr.part.table;
    return NULL;
}

struct part_case {
    const char *overrides[3];
    int64_t image;
    int rings, parts;
    int16_t box[3][4]; /* of the first rings but the last one: top left bottom right */
    int32_t denominator[8], holes[8];
};

static void check_parts(const struct part_case *want)
{
    struct sky_model model;
    struct sky_config config = configure(3, want->overrides[0], want->overrides[1], want->overrides[2]);
    config.data.image_size = want->image;
    build(&model, &config, SKY_MODEL_INFER, 1);
    const struct sky_part_table *table = part_table(&model);
    CHECK(table && table->ring_count == want->rings && table->part_count == want->parts && model.heads == want->parts + 1);
    for (int r = 0; table && r < want->rings - 1 && r < 3; r++) CHECK(memcmp(table->box[r], want->box[r], sizeof want->box[r]) == 0);
    for (int p = 0; table && p < want->parts; p++) {
        char detail[120];
        snprintf(detail, sizeof detail, "image %d, part %d: denominator %d, holes %d", (int)want->image, p, (int)table->part[p].denominator,
                 (int)table->part[p].holes);
        check_that(table->part[p].denominator == want->denominator[p] && table->part[p].holes == want->holes[p], "part", __FILE__, __LINE__, detail);
    }
    sky_model_free(&model);
    sky_config_free(&config);
}

static void test_parts(void)
{
    static const char *const square = "model.ring_norm=square", *const ring = "model.ring_norm=ring";
    const struct part_case cases[] = {
        /* maps of 16, 24, 32: squares of 4 8 12 16, 6 12 18 24, 8 16 24 32 */
        {{"model.partition=msba", square, "model.blocks=4"}, 256, 4, 6, {{6, 6, 10, 10}, {4, 4, 12, 12}, {2, 2, 14, 14}},
         {16, 64, 144, 64, 144, 256}, {0, 16, 64, 0, 0, 144}},
        {{"model.partition=lpn", square, "model.blocks=4"}, 384, 4, 4, {{9, 9, 15, 15}, {6, 6, 18, 18}, {3, 3, 21, 21}},
         {36, 144, 324, 576}, {0, 36, 144, 324}},
        {{"model.partition=msba", square, "model.blocks=4"}, 512, 4, 6, {{12, 12, 20, 20}, {8, 8, 24, 24}, {4, 4, 28, 28}},
         {64, 256, 576, 256, 576, 1024}, {0, 64, 256, 0, 0, 576}},
        {{"model.partition=lpn", ring, "model.blocks=4"}, 256, 4, 4, {{6, 6, 10, 10}, {4, 4, 12, 12}, {2, 2, 14, 14}}, {16, 48, 80, 112}, {0}},
        /* 16 is no multiple of 12: steps of 1, the last ring takes the rest; ring1 2 3, square2 3, ring4 5 6 */
        {{"model.partition=msba", square, "model.blocks=6"}, 256, 6, 8, {{7, 7, 9, 9}, {6, 6, 10, 10}, {5, 5, 11, 11}},
         {4, 16, 36, 16, 36, 64, 100, 256}, {0, 4, 16, 0, 0, 36, 64, 100}},
        /* 7 x 7, odd: the centre is row 3, squares 2 4 reach from 2 to 4 and from 1 to 5 */
        {{"model.partition=lpn", square, "model.blocks=3"}, 112, 3, 3, {{2, 2, 4, 4}, {1, 1, 5, 5}}, {4, 16, 49}, {0, 4, 16}},
        /* 5 x 5 is too small for 4 rings: enlarged to 5 + 2 (4 - 2) = 9 */
        {{"model.partition=lpn", square, "model.blocks=4"}, 80, 4, 4, {{3, 3, 5, 5}, {2, 2, 6, 6}, {1, 1, 7, 7}}, {4, 16, 36, 81}, {0, 4, 16, 36}},
        {{"model.partition=none", square, "model.blocks=4"}, 80, 1, 1, {{0}}, {25}, {0}},
        {{"model.partition=list", "model.parts=square3, ring1,ring4", "model.blocks=4"}, 256, 4, 3, {{6, 6, 10, 10}, {4, 4, 12, 12}, {2, 2, 14, 14}},
         {144, 16, 256}, {0, 0, 144}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check_parts(&cases[i]);
}

/* Enlarging: H to H + 2 (blocks - H/2), and only when the map is too small. */
static void test_enlarged_maps(void)
{
    static const int64_t images[4] = {64, 80, 112, 128}, sizes[4] = {8, 9, 9, 0}; /* maps of 4, 5, 7, 8 */
    for (int i = 0; i < 4; i++) {
        struct sky_model model;
        struct sky_config config = configure(0);
        int64_t height = 0;
        config.data.image_size = images[i];
        build(&model, &config, SKY_MODEL_INFER, 1);
        for (int64_t n = 0; n < model.graph.node_count; n++)
            if (model.graph.nodes[n].op == SKY_OP_UPSAMPLE) height = model.graph.tensors[model.graph.nodes[n].out[0]].dim[1];
        CHECK(height == sizes[i]);
        sky_model_free(&model);
        sky_config_free(&config);
    }
}

/* ---- names ---- */

static struct sky_slice find_slice(const struct sky_model *model, const char *name)
{
    struct sky_slice found = {0};
    for (int64_t i = 0; i < sky_model_slice_count(model); i++) {
        const struct sky_slice slice = sky_model_slice(model, i);
        if (strcmp(slice.name, name) == 0) found = slice;
    }
    return found;
}

static void check_slice(const struct sky_model *model, const char *name, int rank, int64_t a, int64_t b, int64_t c, int64_t d)
{
    const struct sky_slice slice = find_slice(model, name);
    const int64_t want[4] = {a, b, c, d};
    bool good = slice.name && slice.rank == rank;
    for (int i = 0; good && i < rank; i++) good = slice.dim[i] == want[i];
    check_that(good, name, __FILE__, __LINE__, slice.name ? "has another shape" : "is missing");
}

static void test_names(void)
{
    struct sky_model model;
    struct sky_config config = configure(0);
    build(&model, &config, SKY_MODEL_TRAIN, 2);
    const int64_t count = sky_model_slice_count(&model);
    CHECK(count == 386);
    for (int64_t i = 0; i < count; i++)
        for (int64_t j = 0; j < i; j++)
            if (strcmp(sky_model_slice(&model, i).name, sky_model_slice(&model, j).name) == 0)
                check_that(0, sky_model_slice(&model, i).name, __FILE__, __LINE__, "comes twice");
    check_slice(&model, "backbone.conv1.weight", 4, 64, 3, 7, 7);
    check_slice(&model, "backbone.bn1.running_var", 1, 64, 0, 0, 0);
    check_slice(&model, "backbone.layer1.0.conv1.weight", 4, 64, 64, 1, 1);
    check_slice(&model, "backbone.layer1.0.conv2.weight", 4, 64, 64, 3, 3);
    check_slice(&model, "backbone.layer1.0.downsample.0.weight", 4, 256, 64, 1, 1);
    check_slice(&model, "backbone.layer1.0.downsample.1.bias", 1, 256, 0, 0, 0);
    check_slice(&model, "backbone.layer1.0.se.fc1.weight", 4, 16, 256, 1, 1);
    check_slice(&model, "backbone.layer4.2.se.fc2.weight", 4, 2048, 128, 1, 1);
    check_slice(&model, "backbone.layer4.2.se.fc2.bias", 1, 2048, 0, 0, 0);
    check_slice(&model, "backbone.layer3.5.bn3.weight", 1, 1024, 0, 0, 0);
    check_slice(&model, "classifier0.add_block.0.weight", 2, 512, 2048, 0, 0);
    check_slice(&model, "classifier5.add_block.0.bias", 1, 512, 0, 0, 0);
    check_slice(&model, "classifier5.add_block.1.running_mean", 1, 512, 0, 0, 0);
    check_slice(&model, "classifier00.add_block.0.weight", 2, 512, 3072, 0, 0);
    check_slice(&model, "classifier00.classifier.0.weight", 2, 701, 512, 0, 0);
    check_slice(&model, "classifier00.classifier.0.bias", 1, 701, 0, 0, 0);
    check_slice(&model, "gem.p", 1, 2048, 0, 0, 0);
    CHECK(find_slice(&model, "backbone.layer1.1.downsample.0.weight").name == NULL);
    CHECK(find_slice(&model, "classifier6.add_block.0.weight").name == NULL);
    sky_model_free(&model);
    sky_config_free(&config);

    config = configure(3, "model.share_views=no", "model.gem_learn=part", "model.global_branch=none");
    build(&model, &config, SKY_MODEL_TRAIN, 2);
    CHECK(model.trunks == 2 && sky_model_parameter_count(&model, "backbone_satellite.") == 26039024 &&
          sky_model_parameter_count(&model, "backbone_drone.") == 26039024);
    CHECK(sky_model_parameter_count(&model, "backbone.") == 0 && sky_model_parameter_count(&model, "classifier00") == 0);
    check_slice(&model, "gem.p", 1, 6, 0, 0, 0);
    sky_model_free(&model);
    sky_config_free(&config);

    config = configure(1, "model.gem_learn=fixed");
    build(&model, &config, SKY_MODEL_INFER, 1);
    CHECK(find_slice(&model, "gem.p").name == NULL);
    sky_model_free(&model);
    sky_config_free(&config);
}

/* Which trunk sees which views, and how many rows it has. */
static void test_views(void)
{
    static const struct {
        const char *views, *share;
        int trunks, first[SKY_MAX_TRUNKS + 1]; /* views number first[t] .. first[t + 1] - 1 are trunk t's */
    } cases[] = {
        {"data.views=satellite,drone", "model.share_views=yes", 1, {0, 2}},           {"data.views=satellite,drone", "model.share_views=no", 2, {0, 1, 2}},
        {"data.views=google,drone,satellite", "model.share_views=yes", 2, {0, 2, 3}}, {"data.views=satellite,street,google", "model.share_views=yes", 2, {0, 1, 3}},
        {"data.views=google,street,drone,satellite", "model.share_views=no", 3, {0, 1, 2, 4}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sky_model model;
        struct sky_config config = configure(5, cases[i].views, cases[i].share, "loss.kl=0", "model.width=0.125", "eval.direction=drone2satellite");
        build(&model, &config, SKY_MODEL_TRAIN, 3);
        CHECK(model.trunks == cases[i].trunks && model.places == 3 && model.rows == 3 * config.data.views.count);
        for (int v = 0; v < model.views.count; v++) {
            const int trunk = sky_model_trunk_of(&model, v);
            CHECK(v >= cases[i].first[trunk] && v < cases[i].first[trunk + 1] && sky_model_trunk_row(&model, v) == 3 * (v - cases[i].first[trunk]));
        }
        for (int t = 0; t < model.trunks; t++) CHECK(model.graph.tensors[model.images[t]].dim[0] == 3 * (cases[i].first[t + 1] - cases[i].first[t]));
        CHECK(model.graph.tensors[model.features].dim[1] == model.rows && model.graph.tensors[model.labels].count == model.rows);
        sky_model_free(&model);
        sky_config_free(&config);
    }
    struct sky_model model;
    struct sky_config config = configure(2, "data.views=satellite,drone,street", "model.share_views=no");
    build(&model, &config, SKY_MODEL_TRAIN, 2);
    CHECK(sky_model_parameter_count(&model, "backbone_ground.") == 26039024 && sky_model_parameter_count(&model, "backbone") == 3 * 26039024 && model.loss_kl != SKY_NONE);
    sky_model_free(&model);
    for (int view = 0; view < SKY_VIEW_COUNT; view++) {
        static const char *const names[SKY_VIEW_COUNT] = {"backbone_satellite.conv1.weight", "backbone_drone.conv1.weight", "backbone_ground.conv1.weight", "backbone_ground.conv1.weight"};
        CHECK_OK(sky_model_build(&model, &config, SKY_MODEL_INFER, 2, 0, view, SKY_F32, NULL));
        CHECK(model.rows == 2 && model.trunks == 1 && find_slice(&model, names[view]).name != NULL);
        sky_model_free(&model);
    }
    sky_config_free(&config);
    config = configure(0);
    CHECK_FAILS(sky_model_build(&model, &config, SKY_MODEL_INFER, 2, 0, SKY_VIEW_STREET, SKY_F32, NULL), SKY_CONFIG, "no trunk for street images");
    sky_config_free(&config);
}

/*
 * torchvision's vgg16_bn has 14723136 parameters in its features; 4224 of them are biases in front of a batch norm, which this trunk does without. 15.347 GMAC at
 * 224 x 224 are known, convolutions alone.
 */
static void test_vgg(void)
{
    struct sky_model model;
    struct sky_config config = configure(3, "model.backbone=vgg16", "model.partition=none", "model.global_branch=none");
    double sum = 0;
    config.data.image_size = 224;
    build(&model, &config, SKY_MODEL_TRAIN, 2);
    CHECK(sky_model_parameter_count(&model, "backbone.features.") == 14723136 - 4224);
    CHECK(sky_model_parameter_count(&model, "backbone.") == 14723136 - 4224);
    CHECK(sky_model_parameter_count(&model, "classifier0.add_block.0.weight") == 512 * 512);
    int64_t pools = 0;
    for (int64_t n = 0; n < model.graph.node_count; n++) {
        const struct sky_node *node = &model.graph.nodes[n];
        if (node->op == SKY_OP_CONV) sum += sky_node_cost(&model.graph, node).multiply_adds / 4;
        if (node->op != SKY_OP_MAX_POOL) continue;
        pools++;
        if (pools == 5) CHECK(sky_graph_get(&model.graph, node->out[0])->dim[1] == 7 && sky_graph_get(&model.graph, node->out[0])->dim[3] == 512);
    }
    CHECK(pools == 5);
    CHECK_NEAR(sum, 15346630656.0, 1);
    check_slice(&model, "backbone.features.0.weight", 4, 64, 3, 3, 3);
    check_slice(&model, "backbone.features.40.weight", 4, 512, 512, 3, 3);
    check_slice(&model, "backbone.features.41.running_var", 1, 512, 0, 0, 0);
    sky_model_free(&model);
    sky_config_free(&config);
}

/* Out of a tensor and in again, whichever slice: the same numbers, and filters change from KRSC to OIHW. */
static void test_slice_round_trip(void)
{
    struct sky_model model;
    struct sky_config config = configure(4, "model.backbone=se_resnet18", "model.width=0.125", "model.embedding=8", "data.image_size=64");
    build(&model, &config, SKY_MODEL_TRAIN, 2);
    for (int64_t i = 0; i < sky_model_slice_count(&model); i++) {
        const struct sky_slice slice = sky_model_slice(&model, i);
        const struct sky_parameter *parameter = &model.graph.parameters[slice.parameter];
        const struct sky_tensor *tensor = &model.graph.tensors[parameter->value];
        float *in = malloc(tensor->bytes), *back = malloc(tensor->bytes), *values = malloc((size_t)slice.count * sizeof *values);
        for (int64_t k = 0; k < tensor->count; k++) in[k] = (float)k, back[k] = (float)k;
        sky_slice_export(&model, &slice, in, values);
        for (int64_t k = 0; k < slice.count; k++) back[slice.index * slice.count + k] = -1;
        sky_slice_import(&model, &slice, values, back);
        check_that(memcmp(in, back, tensor->bytes) == 0, slice.name, __FILE__, __LINE__, "does not come back");
        if (parameter->is_filter && slice.dim[2] == 3) /* O 1, I 2, row 0, column 1: at [1][0][1][2] of KRSC */
            CHECK(values[(slice.dim[1] + 2) * 9 + 1] == (float)((9 + 1) * slice.dim[1] + 2));
        free(in);
        free(back);
        free(values);
    }
    sky_model_free(&model);
    sky_config_free(&config);
}

/* ---- initial values ---- */

static void check_distribution(const struct sky_model *model, const char *name, double mean, double deviation, double limit)
{
    const struct sky_slice slice = find_slice(model, name);
    if (!CHECK(slice.name != NULL)) return;
    float *values = malloc((size_t)slice.count * sizeof *values), *other = malloc((size_t)slice.count * sizeof *values);
    double sum = 0, squares = 0, most = 0;
    sky_slice_initial(model, &slice, 7, values);
    for (int64_t i = 0; i < slice.count; i++) sum += (double)values[i], most = fmax(most, fabs((double)values[i] - mean));
    for (int64_t i = 0; i < slice.count; i++) squares += pow((double)values[i] - sum / (double)slice.count, 2);
    const double room = 5 / sqrt((double)slice.count); /* five standard errors */
    CHECK_NEAR(sum / (double)slice.count, mean, deviation * room + 1e-7);
    CHECK_NEAR(sqrt(squares / (double)slice.count), deviation, deviation * room + 1e-7);
    CHECK(most <= limit);
    sky_slice_initial(model, &slice, 7, other);
    CHECK(memcmp(values, other, (size_t)slice.count * sizeof *values) == 0);
    sky_slice_initial(model, &slice, 8, other);
    CHECK((memcmp(values, other, (size_t)slice.count * sizeof *values) == 0) == (deviation == 0));
    free(values);
    free(other);
}

static void test_initial_values(void)
{
    struct sky_model model;
    struct sky_config config = configure(1, "model.gem_p=2.5");
    build(&model, &config, SKY_MODEL_TRAIN, 2);
    check_distribution(&model, "backbone.conv1.weight", 0, sqrt(2.0 / (64 * 49)), INFINITY); /* Kaiming, fan out */
    check_distribution(&model, "backbone.layer2.1.conv2.weight", 0, sqrt(2.0 / (128 * 9)), INFINITY);
    check_distribution(&model, "backbone.layer4.0.se.fc1.weight", 0, 1 / sqrt(3 * 2048.0), 1 / sqrt(2048.0)); /* uniform, fan in */
    check_distribution(&model, "backbone.layer4.0.se.fc2.bias", 0, 1 / sqrt(3 * 128.0), 1 / sqrt(128.0));
    check_distribution(&model, "backbone.layer1.0.bn1.weight", 1, 0, 0);
    check_distribution(&model, "backbone.layer1.0.bn1.bias", 0, 0, 0);
    check_distribution(&model, "backbone.layer1.0.bn1.running_var", 1, 0, 0);
    check_distribution(&model, "classifier3.add_block.0.weight", 0, 0.0625, INFINITY);
    check_distribution(&model, "classifier3.add_block.0.bias", 0, 0, 0);
    check_distribution(&model, "classifier3.add_block.1.weight", 1, 0.02, INFINITY);
    check_distribution(&model, "classifier00.classifier.0.weight", 0, 0.001, INFINITY);
    check_distribution(&model, "classifier00.classifier.0.bias", 0, 0, 0);
    check_distribution(&model, "gem.p", 2.5, 0, 0);
    const struct sky_slice one = find_slice(&model, "classifier1.add_block.0.weight"), two = find_slice(&model, "classifier2.add_block.0.weight");
    float *a = malloc((size_t)one.count * sizeof *a), *b = malloc((size_t)two.count * sizeof *b);
    sky_slice_initial(&model, &one, 7, a);
    sky_slice_initial(&model, &two, 7, b);
    CHECK(memcmp(a, b, (size_t)one.count * sizeof *a) != 0); /* the name matters */
    free(a);
    free(b);
    sky_model_free(&model);
    sky_config_free(&config);
}

/* ---- what is refused ---- */

static void test_refusals(void)
{
    struct sky_model model;
    struct sky_config config = configure(0);
    CHECK_FAILS(sky_model_build(&model, &config, SKY_MODEL_TRAIN, 1, 701, 0, SKY_F32, NULL), SKY_CONFIG, "batch_size");
    CHECK(model.graph.node_count == 0); /* nothing is left behind */
    config.data.image_size = 4;         /* 2 x 2 before the stem's pool, which has windows of 3 and no padding */
    CHECK_FAILS(sky_model_build(&model, &config, SKY_MODEL_INFER, 1, 0, 0, SKY_F32, NULL), SKY_CONFIG, "smaller than the pooling window");
    config.data.image_size = 256, config.model.blocks = SKY_MAX_RINGS + 1;
    CHECK_FAILS(sky_model_build(&model, &config, SKY_MODEL_INFER, 1, 0, 0, SKY_F32, NULL), SKY_CONFIG, "blocks");
    free(config.model.backbone);
    config.model.backbone = strdup("se_resnt50");
    CHECK_FAILS(sky_model_build(&model, &config, SKY_MODEL_TRAIN, 8, 701, 0, SKY_F32, NULL), SKY_CONFIG, "did you mean se_resnet50");
    CHECK_FAILS(sky_model_check_backbone("convnext_tiny"), SKY_CONFIG, "se_resnet18|34|50|101");
    CHECK_OK(sky_model_check_backbone("resnet34"));
    sky_config_free(&config);

    config = configure(3, "model.partition=list", "model.parts=ring1, square2", "model.blocks=2");
    free(config.model.parts);
    config.model.parts = strdup("ring1, square3");
    CHECK_FAILS(sky_model_build(&model, &config, SKY_MODEL_INFER, 1, 0, 0, SKY_F32, NULL), SKY_CONFIG, "model.parts");
    sky_config_free(&config);
}

int main(void)
{
    test_trunk_parameters();
    test_head_parameters();
    test_multiply_adds();
    test_training_cost();
    test_vgg();
    test_map_sizes();
    test_parts();
    test_enlarged_maps();
    test_names();
    test_views();
    test_slice_round_trip();
    test_initial_values();
    test_refusals();
    return check_done();
}
