/*
 * Parameters of models: how many there are against the published counts, their names and shapes in files, and their initial values.
 */
#include "models.h"

/* ---- how many ---- */

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

/* ---- names ---- */

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

int main(void)
{
    test_trunk_parameters();
    test_head_parameters();
    test_names();
    test_vgg();
    test_slice_round_trip();
    test_initial_values();
    return check_done();
}
