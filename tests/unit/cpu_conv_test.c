/*
 * What the convolutions of the shipped backbones run on at 256 pixels: never on oneDNN's reference code, and on Winograd where it is allowed and this build has
 * it.
 */
#include "check.h"

#include "backend/cpu/winograd.h"
#include "backend/executor.h"
#include "model/model.h"

static bool is_convolution(const struct sky_node *node)
{
    return node->op == SKY_OP_CONV || node->op == SKY_OP_CONV_DGRAD || node->op == SKY_OP_CONV_WGRAD;
}

/* 3x3 of stride 1, as filters or their gradient tell. */
static bool suits_winograd(const struct sky_graph *graph, const struct sky_node *node)
{
    const struct sky_tensor *filters = sky_graph_get(graph, node->op == SKY_OP_CONV_WGRAD ? node->out[0] : node->in[1]);
    return filters->dim[1] == 3 && filters->dim[2] == 3 && node->attr.conv.stride == 1;
}

static void check_names(const struct sky_executor *executor, bool winograd)
{
    const struct sky_graph *graph = executor->graph;
    int64_t convolutions = 0;
    for (int64_t n = 0; n < graph->node_count; n++) {
        const struct sky_node *node = &graph->nodes[n];
        const char *name = executor->kernels[n].implementation;
        if (!is_convolution(node)) continue;
        convolutions++;
        check_that(strncmp(name, "ref", 3) != 0 && strcmp(name, "cpu") != 0, node->name, __FILE__, __LINE__, name);
        const bool expected = winograd && sky_winograd_is_fast() && suits_winograd(graph, node);
        check_that((strncmp(name, "winograd", 8) == 0) == expected, node->name, __FILE__, __LINE__, name);
    }
    CHECK(convolutions > 0);
}

static void check_backbone(const char *backbone, enum sky_model_mode mode, bool winograd)
{
    const char *overrides[] = {backbone};
    const struct sky_device_options options = {.threads = 2, .deterministic = true, .winograd = winograd, .constant_parameters = mode == SKY_MODEL_INFER};
    struct sky_config config = {0};
    struct sky_model model = {0};
    struct sky_executor executor = {0};
    if (CHECK_OK(sky_config_read(&config, NULL, overrides, 1)) && CHECK_OK(sky_model_build(&model, &config, mode, 2, 10, 0, SKY_F32, NULL)) &&
        CHECK_OK(sky_executor_create(&executor, &sky_backend_cpu, &options, &model.graph, NULL)))
        check_names(&executor, winograd);
    sky_executor_destroy(&executor);
    sky_model_free(&model);
    sky_config_free(&config);
}

int main(void)
{
    static const char *const backbones[] = {"model.backbone=resnet18", "model.backbone=resnet50", "model.backbone=se_resnet50"};
    for (size_t b = 0; b < sizeof backbones / sizeof *backbones; b++)
        for (int winograd = 0; winograd < 2; winograd++) {
            check_backbone(backbones[b], SKY_MODEL_TRAIN, winograd);
            check_backbone(backbones[b], SKY_MODEL_INFER, winograd);
        }
    return check_done();
}
