/*
 * What a step does to a trainer's state beyond the gradients: where the moving average starts, what is left alone when numbers are not finite and what is
 * blamed, and that a checkpoint puts every tensor and counter back. Whole runs are tested in tests/fault.
 */
#include "data_tree.h"

#include "base/memory.h"
#include "train/parameters.h"
#include "train/trainer_state.h"

enum { PLACES = 4 };

static void make_tree(void)
{
    for (uint32_t place = 0; place < PLACES; place++) {
        char name[128];
        snprintf(name, sizeof name, "tree/train/satellite/%04u/tile.png", place);
        tree_picture(name, place);
        for (uint32_t i = 0; i < 2; i++) {
            snprintf(name, sizeof name, "tree/train/drone/%04u/image-%02u.jpeg", place, i);
            tree_picture(name, 100 + 10 * place + i);
        }
    }
}

static void read_config(struct sky_config *config, const char *const *more, int more_count)
{
    char root[512];
    const char *overrides[24] = {"data.image_size=64",   "data.workers=2",      "augment.pad=2",      "model.backbone=se_resnet18", "model.se_layout=timm", "model.width=0.125",
                                 "model.embedding=8",    "train.batch_size=2",  "device.threads=2",   "optimizer.lr=0.01",          "model.dropout=0.5",    root};
    snprintf(root, sizeof root, "data.root=%s", in_folder("tree"));
    for (int i = 0; i < more_count; i++) overrides[12 + i] = more[i];
    CHECK_OK(sky_config_read(config, NULL, overrides, 12 + more_count));
}

/* Every tensor of the arena, learned and (for PARAMS) running statistics. */
static void collect(struct sky_trainer *trainer, enum sky_arena arena, struct sky_tensor_list *list)
{
    CHECK_OK(sky_parameters_collect(&trainer->model, &trainer->executor, arena, "", list));
}

static bool same_values(const struct sky_tensor_list *a, const struct sky_tensor_list *b, bool (*counts)(const char *name))
{
    int64_t compared = 0;
    if (a->count != b->count) return false;
    for (int64_t i = 0; i < a->count; i++) {
        if (counts && !counts(a->tensors[i].name)) continue;
        if (memcmp(a->tensors[i].data, b->tensors[i].data, sky_file_tensor_bytes(&a->tensors[i])) != 0) return false;
        compared++;
    }
    return compared > 0;
}

static bool is_running(const char *name)
{
    return strstr(name, ".running_") != NULL;
}

/* Writes one value into the first element of a parameter. */
static void poison(struct sky_trainer *trainer, const char *name, float value)
{
    const struct sky_graph *graph = &trainer->model.graph;
    for (int64_t p = 0; p < graph->parameter_count; p++) {
        const struct sky_tensor *tensor = &graph->tensors[graph->parameters[p].value];
        float *values = NULL;
        if (strcmp(tensor->name, name) != 0) continue;
        CHECK_OK(sky_alloc(&values, (size_t)tensor->count, sizeof *values, "a test"));
        CHECK_OK(sky_executor_read(&trainer->executor, graph->parameters[p].value, values));
        values[0] = value;
        CHECK_OK(sky_executor_write(&trainer->executor, graph->parameters[p].value, values));
        free(values);
        return;
    }
    CHECK(!"the parameter is there");
}

/* The average starts at the parameters, not at zero: after one step it is between the two. */
static void test_average(void)
{
    const char *const more[] = {"train.ema=0.75"};
    struct sky_config config = {0};
    struct sky_trainer *trainer = NULL;
    struct sky_step_report report;
    struct sky_tensor_list before = {0}, after = {0}, average = {0};
    read_config(&config, more, 1);
    if (!CHECK_OK(sky_trainer_open(&trainer, &config, NULL, false))) return;
    collect(trainer, SKY_ARENA_PARAMS, &before);
    CHECK_OK(sky_trainer_step(trainer, &report));
    collect(trainer, SKY_ARENA_PARAMS, &after);
    collect(trainer, SKY_ARENA_EMA, &average);
    CHECK(!same_values(&before, &after, NULL));
    int64_t a = 0;
    for (int64_t i = 0; i < before.count; i++) {
        if (is_running(before.tensors[i].name)) continue;
        const float *old = before.tensors[i].data, *new = after.tensors[i].data, *mean = average.tensors[a].data;
        double worst = 0;
        CHECK(!strcmp(before.tensors[i].name, average.tensors[a].name));
        for (size_t k = 0; k < sky_file_tensor_bytes(&before.tensors[i]) / sizeof *old; k++)
            worst = fmax(worst, fabs((double)mean[k] - (0.75 * (double)old[k] + 0.25 * (double)new[k])));
        CHECK_NEAR(worst, 0, 1e-6);
        a++;
    }
    CHECK(a == average.count && a > 100);
    sky_tensor_list_free(&before);
    sky_tensor_list_free(&after);
    sky_tensor_list_free(&average);
    sky_trainer_close(trainer);
    sky_config_free(&config);
}

/* One step with a bad number in a parameter: what it says, and that it leaves everything as it was. */
static void test_bad_number(const char *parameter, float value, const char *policy, int64_t accumulate, const char *blamed)
{
    char policy_text[64], accumulate_text[64];
    const char *const more[] = {policy_text, accumulate_text, "train.ema=0.9"};
    struct sky_config config = {0};
    struct sky_trainer *trainer = NULL;
    struct sky_step_report report;
    struct sky_tensor_list before = {0}, after = {0}, momentum = {0};
    snprintf(policy_text, sizeof policy_text, "train.on_nonfinite=%s", policy);
    snprintf(accumulate_text, sizeof accumulate_text, "train.accumulate=%lld", (long long)accumulate);
    read_config(&config, more, 3);
    if (!CHECK_OK(sky_trainer_open(&trainer, &config, NULL, false))) return;
    poison(trainer, parameter, value);
    collect(trainer, SKY_ARENA_PARAMS, &before);
    if (blamed) {
        CHECK_FAILS(sky_trainer_step(trainer, &report), SKY_NUMERIC, blamed);
        CHECK(strstr(sky_error_last()->what, "step 0") && strstr(sky_error_last()->what, "train/drone/"));
        CHECK(sky_trainer_next_step(trainer) == 0);
    } else {
        CHECK_OK(sky_trainer_step(trainer, &report));
        CHECK(report.update_skipped && report.skipped_updates == 1 && sky_trainer_next_step(trainer) == 1);
    }
    collect(trainer, SKY_ARENA_PARAMS, &after);
    CHECK(same_values(&before, &after, NULL));
    CHECK(same_values(&before, &after, is_running));
    collect(trainer, SKY_ARENA_MOMENTUM, &momentum);
    for (int64_t i = 0; i < momentum.count; i++) {
        const float *values = momentum.tensors[i].data;
        bool zero = true;
        for (size_t k = 0; k < sky_file_tensor_bytes(&momentum.tensors[i]) / sizeof *values; k++) zero = zero && values[k] == 0;
        CHECK(zero);
    }
    sky_tensor_list_free(&before);
    sky_tensor_list_free(&after);
    sky_tensor_list_free(&momentum);
    sky_trainer_close(trainer);
    sky_config_free(&config);
}

/* Everything in a checkpoint is back after a resume, and the next step is the one that would have come. */
static void test_resume(void)
{
    const char *const more[] = {"train.ema=0.9", "train.epochs=3"};
    static const enum sky_arena arenas[] = {SKY_ARENA_PARAMS, SKY_ARENA_MOMENTUM, SKY_ARENA_EMA};
    struct sky_config config = {0};
    struct sky_trainer *trainer[2] = {NULL, NULL};
    struct sky_step_report report[2];
    read_config(&config, more, 2);
    if (!CHECK_OK(sky_trainer_open(&trainer[0], &config, in_folder("run"), false))) return;
    for (int i = 0; i < 3; i++) CHECK_OK(sky_trainer_step(trainer[0], &report[0])); /* 2 an epoch: stops inside one */
    trainer[0]->skipped_updates = 5, trainer[0]->skipped_images = 7, trainer[0]->clamped = 9;
    CHECK_OK(sky_trainer_save(trainer[0]));
    if (!CHECK_OK(sky_trainer_open(&trainer[1], &config, in_folder("run"), true))) return;
    for (int turn = 0; turn < 2; turn++) {
        for (size_t a = 0; a < sizeof arenas / sizeof *arenas; a++) {
            struct sky_tensor_list list[2] = {{0}, {0}};
            for (int t = 0; t < 2; t++) collect(trainer[t], arenas[a], &list[t]);
            CHECK(same_values(&list[0], &list[1], NULL));
            for (int t = 0; t < 2; t++) sky_tensor_list_free(&list[t]);
        }
        CHECK(sky_trainer_next_step(trainer[1]) == 3 + turn);
        if (turn) break;
        for (int t = 0; t < 2; t++) CHECK_OK(sky_trainer_step(trainer[t], &report[t]));
        CHECK(memcmp(&report[0].loss, &report[1].loss, sizeof report[0].loss) == 0 && report[1].loss > 0);
        CHECK(memcmp(&report[0].gradient_norm, &report[1].gradient_norm, sizeof report[0].gradient_norm) == 0);
        CHECK(report[1].step == 3 && report[1].epoch == 1);
        CHECK(report[1].skipped_updates == 5 && report[1].skipped_images == 7 && report[1].clamped >= 9);
    }
    for (int t = 0; t < 2; t++) sky_trainer_close(trainer[t]);
    sky_config_free(&config);
}

/* AdamW counts the updates that were made: one that is left out takes no number, moves no mean, and a resumed run counts on. */
static void test_adamw_counts(void)
{
    static const char *const more[] = {"optimizer.kind=adamw", "train.on_nonfinite=skip", "train.epochs=4"};
    static const char name[] = "backbone.layer4.0.conv1.weight";
    static const uint64_t updates[] = {1, 2, 2, 3};
    struct sky_config config = {0};
    struct sky_trainer *trainer = NULL;
    struct sky_step_report report;
    struct sky_scalars scalars;
    read_config(&config, more, 3);
    if (!CHECK_OK(sky_trainer_open(&trainer, &config, in_folder("adamw"), false))) return;
    for (int step = 0; step < 3; step++) {
        struct sky_tensor_list before = {0}, after = {0};
        if (step == 1) poison(trainer, name, INFINITY);
        collect(trainer, SKY_ARENA_SQUARES, &before);
        CHECK_OK(sky_trainer_step(trainer, &report));
        collect(trainer, SKY_ARENA_SQUARES, &after);
        CHECK(report.update_skipped == (step == 1) && same_values(&before, &after, NULL) == (step == 1));
        CHECK_OK(sky_executor_read(&trainer->executor, trainer->model.graph.scalars, &scalars));
        CHECK(scalars.update == updates[step]);
        if (step == 1) poison(trainer, name, 0.01f);
        sky_tensor_list_free(&before);
        sky_tensor_list_free(&after);
    }
    CHECK_OK(sky_trainer_save(trainer));
    sky_trainer_close(trainer);
    if (!CHECK_OK(sky_trainer_open(&trainer, &config, in_folder("adamw"), true))) return;
    CHECK_OK(sky_trainer_step(trainer, &report));
    CHECK_OK(sky_executor_read(&trainer->executor, trainer->model.graph.scalars, &scalars));
    CHECK(scalars.update == updates[3]);
    sky_trainer_close(trainer);
    sky_config_free(&config);
}

int main(void)
{
    folder_make();
    make_tree();
    test_average();
    test_bad_number("backbone.layer2.0.conv1.weight", NAN, "stop", 1, "parameter backbone.layer2.0.conv1.weight");
    test_bad_number("backbone.layer1.0.conv1.weight", 3e38f, "stop", 1, "the output of layer1.0.conv1");
    test_bad_number("backbone.layer1.0.conv1.weight", 3e38f, "stop", 2, "the output of layer1.0.conv1");
    test_bad_number("backbone.layer4.0.conv1.weight", INFINITY, "skip", 1, NULL);
    test_bad_number("backbone.layer1.0.conv1.weight", 3e38f, "skip", 2, NULL);
    test_resume();
    test_adamw_counts();
    folder_remove(folder);
    return check_done();
}
