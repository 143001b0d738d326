/*
 * Models as graphs: multiply-adds against the published ones, sizes of maps, part tables, trunks and views, and what is refused. Numbers that a
 * model computes are judged by tests/golden.
 */
#include "models.h"

/* ---- sizes ---- */

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

/* ---- trunks, and what is refused ---- */

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
        static const char *const names[SKY_VIEW_COUNT] = {"backbone_satellite.conv1.weight", "backbone_drone.conv1.weight", "backbone_ground.conv1.weight",
                                                          "backbone_ground.conv1.weight"};
        CHECK_OK(sky_model_build(&model, &config, SKY_MODEL_INFER, 2, 0, view, SKY_F32, NULL));
        CHECK(model.rows == 2 && model.trunks == 1 && find_slice(&model, names[view]).name != NULL);
        sky_model_free(&model);
    }
    sky_config_free(&config);
    config = configure(0);
    CHECK_FAILS(sky_model_build(&model, &config, SKY_MODEL_INFER, 2, 0, SKY_VIEW_STREET, SKY_F32, NULL), SKY_CONFIG, "no trunk for street images");
    sky_config_free(&config);
}

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
    test_multiply_adds();
    test_training_cost();
    test_map_sizes();
    test_parts();
    test_enlarged_maps();
    test_views();
    test_refusals();
    return check_done();
}
