/*
 * The comparisons behind parity.h. Weights are well-conditioned: residual branches start small, few elements lie near a ReLU's switch, logits are about 1.
 * Elsewhere float32 trajectories diverge by rounding alone.
 */
#include "parity.h"

#include "backend/executor.h"
#include "base/rng.h"
#include "check.h"
#include "model/model.h"
#include "train/parameters.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PAIRS = 4, CLASSES = 16, STEPS = 6, MOST_OVERRIDES = 10 };

/* One model bound to one back end. */
struct trainee {
    struct sky_config config;
    struct sky_model model;
    struct sky_executor executor;
};

static sky_status open_trainee(struct trainee *t, const struct parity *p, const struct sky_backend *backend, const char *precision, bool capture)
{
    const char *overrides[MOST_OVERRIDES] = {precision, "model.dropout=0.3", "train.batch_size=4", "optimizer.lr=0.001"};
    int count = 4;
    memset(t, 0, sizeof *t);
    for (int i = 0; i < p->override_count && count < MOST_OVERRIDES; i++) overrides[count++] = p->overrides[i];
    SKY_TRY(sky_config_read(&t->config, NULL, overrides, count));
    const struct sky_device_options options = {
        .threads = 8, .deterministic = true, .capture = capture, .tf32 = t->config.train.precision != SKY_PRECISION_FP32};
    SKY_TRY(sky_model_build(&t->model, &t->config, SKY_MODEL_TRAIN, PAIRS, CLASSES, 0, SKY_F32, NULL));
    SKY_TRY(sky_executor_create(&t->executor, backend, &options, &t->model.graph, NULL));
    return sky_parameters_initialise(&t->model, &t->executor, 1);
}

static void close_trainee(struct trainee *t)
{
    sky_executor_destroy(&t->executor);
    sky_model_free(&t->model);
    sky_config_free(&t->config);
}

static bool ends_with(const char *text, const char *end)
{
    const size_t length = strlen(text), tail = strlen(end);
    return length >= tail && strcmp(text + length - tail, end) == 0;
}

static float *read_arena(struct trainee *t, enum sky_arena arena)
{
    float *host = malloc(t->model.graph.arena_bytes[arena]);
    const struct sky_executor *e = &t->executor;
    if (!host || e->device.backend->copy_out(&t->executor.device, host, e->arena[arena], t->model.graph.arena_bytes[arena]) != SKY_OK) abort();
    return host;
}

/* One element of a parameter: the trunk's batch norms deviate by a half (the last of a block by a fifth) and shift by half, up and down in turn. */
static float conditioned(const char *name, int64_t i, float value)
{
    if (ends_with(name, "bn1.weight") || ends_with(name, "bn2.weight") || ends_with(name, "downsample.1.weight")) return 0.5f * value;
    if (ends_with(name, "bn1.bias") || ends_with(name, "bn2.bias") || ends_with(name, "bn3.bias") || ends_with(name, "downsample.1.bias"))
        return i % 2 ? 0.5f : -0.5f;
    if (ends_with(name, "bn3.weight")) return 0.2f * value;
    return ends_with(name, "classifier.0.weight") ? 40 * value : value;
}

/* Then the copies in lower precision. */
static sky_status condition(struct trainee *t)
{
    const struct sky_graph *graph = &t->model.graph;
    float *params = read_arena(t, SKY_ARENA_PARAMS);
    for (int64_t p = 0; p < graph->parameter_count; p++) {
        const struct sky_tensor *tensor = &graph->tensors[graph->parameters[p].value];
        if (graph->parameters[p].is_buffer) continue;
        float *own = params + tensor->offset / sizeof(float);
        for (int64_t i = 0; i < tensor->count; i++) own[i] = conditioned(tensor->name, i, own[i]);
    }
    sky_status status =
        t->executor.device.backend->copy_in(&t->executor.device, t->executor.arena[SKY_ARENA_PARAMS], params, graph->arena_bytes[SKY_ARENA_PARAMS]);
    if (status == SKY_OK) status = sky_executor_run(&t->executor, SKY_PHASE_ONCE, false);
    free(params);
    return status;
}

static sky_status feed(struct trainee *t, int step)
{
    const struct sky_graph *graph = &t->model.graph;
    const int64_t bytes = graph->tensors[t->model.images[0]].count;
    struct sky_rng rng = sky_rng_make(1, SKY_RNG_TEST, (uint32_t)step, 0);
    uint8_t *images = malloc((size_t)bytes);
    int32_t labels[2 * PAIRS], erased[2 * PAIRS][4] = {{0}};
    const struct sky_scalars scalars = {.seed = 1, .step = (uint64_t)step, .lr = {1e-4f, 1e-3f, 1e-3f}, .gradient_scale = 1.0f / 1024, .loss_scale = 1024};
    const struct sky_scalars plain = {.seed = 1, .step = (uint64_t)step, .lr = {1e-4f, 1e-3f, 1e-3f}, .gradient_scale = 1, .loss_scale = 1};
    if (!images) abort();
    for (int64_t i = 0; i < bytes; i++) images[i] = (uint8_t)(sky_rng_u32(&rng) >> 24);
    for (int i = 0; i < 2 * PAIRS; i++) labels[i] = (i % PAIRS * 3 + step) % CLASSES;
    sky_status status = sky_executor_write(&t->executor, t->model.images[0], images);
    free(images);
    SKY_TRY(status);
    SKY_TRY(sky_executor_write(&t->executor, t->model.erased[0], erased));
    SKY_TRY(sky_executor_write(&t->executor, t->model.labels, labels));
    return sky_executor_write(&t->executor, graph->scalars, graph->map_dtype == SKY_F16 ? &scalars : &plain);
}

/*
 * Largest relative distance of a parameter's tensors in two arenas, by norm; smallest cosine. Small tensors are measured against a hundredth of all of them
 * together: some gradients are zero but for rounding (a bias in front of batch norm).
 */
struct distance {
    double relative, cosine;
    const char *where;
};

static struct distance compare(const struct trainee *t, const float *a, const float *b, double scale_a)
{
    struct distance worst = {0, 1, "nothing"};
    double all = 0;
    for (int64_t i = 0; i < t->model.graph.param_elements; i++) all += (double)b[i] * (double)b[i];
    for (int64_t p = 0; p < t->model.graph.parameter_count; p++) {
        const struct sky_tensor *tensor = &t->model.graph.tensors[t->model.graph.parameters[p].value];
        double off = 0, norm = 0, norm_a = 0, dot = 0;
        if (t->model.graph.parameters[p].is_buffer) continue;
        for (int64_t i = 0; i < tensor->count; i++) {
            const double x = (double)a[tensor->offset / sizeof(float) + (size_t)i] * scale_a, y = (double)b[tensor->offset / sizeof(float) + (size_t)i];
            off += (x - y) * (x - y), norm += y * y, norm_a += x * x, dot += x * y;
        }
        const double relative = sqrt(off / fmax(norm, 1e-4 * all)), cosine = dot / sqrt(norm * norm_a);
        if (!(relative <= worst.relative)) worst.relative = relative, worst.where = tensor->name;
        if (norm >= 1e-4 * all && !(cosine >= worst.cosine)) worst.cosine = cosine;
    }
    return worst;
}

void parity_with_the_cpu(const struct parity *p)
{
    struct trainee cpu, gpu;
    if (open_trainee(&cpu, p, &sky_backend_cpu, "train.precision=fp32", false) != SKY_OK ||
        open_trainee(&gpu, p, p->backend, "train.precision=fp32", false) != SKY_OK) {
        CHECK_OK(sky_error_last()->status);
        return;
    }
    CHECK_OK(condition(&cpu));
    CHECK_OK(condition(&gpu));
    for (int step = 0; step < 2; step++) {
        struct trainee *const both[2] = {&cpu, &gpu};
        float loss[2] = {0, 0};
        for (int i = 0; i < 2; i++) {
            CHECK_OK(feed(both[i], step));
            CHECK_OK(sky_executor_run_through(&both[i]->executor, SKY_PHASE_FORWARD, SKY_PHASE_UPDATE, false));
            CHECK_OK(sky_executor_read(&both[i]->executor, both[i]->model.loss_ce, &loss[i]));
        }
        CHECK(fabsf(loss[0] - loss[1]) <= 1e-5f * fabsf(loss[0]));
        for (int arena = SKY_ARENA_PARAMS; arena <= SKY_ARENA_GRADS; arena++) {
            float *a = read_arena(&gpu, (enum sky_arena)arena), *b = read_arena(&cpu, (enum sky_arena)arena);
            const struct distance worst = compare(&cpu, a, b, 1);
            printf("fp32 step %d %s: largest relative distance from the CPU %.2g (%s)\n", step, sky_arena_name((enum sky_arena)arena), worst.relative,
                   worst.where);
            CHECK(worst.relative <= 1e-4);
            free(a);
            free(b);
        }
    }
    close_trainee(&cpu);
    close_trainee(&gpu);
}

/* Low precision may be off by its rounding, never by a sign or a forgotten term. */
void parity_of_precision(const struct parity *p, const char *precision, double least_cosine)
{
    struct trainee exact, low;
    if (open_trainee(&exact, p, p->backend, "train.precision=fp32", false) != SKY_OK || open_trainee(&low, p, p->backend, precision, false) != SKY_OK) {
        CHECK_OK(sky_error_last()->status);
        return;
    }
    struct trainee *const both[2] = {&exact, &low};
    for (int i = 0; i < 2; i++) {
        CHECK_OK(condition(both[i]));
        CHECK_OK(feed(both[i], 0));
        CHECK_OK(sky_executor_run_through(&both[i]->executor, SKY_PHASE_FORWARD, SKY_PHASE_BACKWARD, false));
    }
    float *a = read_arena(&low, SKY_ARENA_GRADS), *b = read_arena(&exact, SKY_ARENA_GRADS);
    const struct distance worst = compare(&exact, a, b, low.model.graph.map_dtype == SKY_F16 ? 1.0 / 1024 : 1);
    printf("%s gradients: largest relative distance from fp32 %.2g (%s), smallest cosine %.4f\n", precision, worst.relative, worst.where, worst.cosine);
    CHECK(worst.cosine >= least_cosine);
    free(a);
    free(b);
    close_trainee(&exact);
    close_trainee(&low);
}

/* Two steps with convolutions that take batch norm in against two without. */
void parity_of_fusion(const struct parity *p, const char *precision, double most_distance, double least_cosine)
{
    struct parity with[2] = {*p, *p};
    struct trainee plain, fused, *const both[2] = {&plain, &fused};
    for (int i = 0; i < 2; i++) {
        with[i].overrides[with[i].override_count++] = i ? "device.fusion=yes" : "device.fusion=no";
        if (!CHECK_OK(open_trainee(both[i], &with[i], p->backend, precision, false))) return;
        CHECK_OK(condition(both[i]));
    }
    CHECK(plain.model.graph.node_count > fused.model.graph.node_count);
    for (int step = 0; step < 2; step++) {
        float loss[2] = {0, 0};
        for (int i = 0; i < 2; i++) {
            CHECK_OK(feed(both[i], step));
            CHECK_OK(sky_executor_run_through(&both[i]->executor, SKY_PHASE_FORWARD, SKY_PHASE_UPDATE, false));
            CHECK_OK(sky_executor_read(&both[i]->executor, both[i]->model.loss_ce, &loss[i]));
        }
        float *a = read_arena(&fused, SKY_ARENA_GRADS), *b = read_arena(&plain, SKY_ARENA_GRADS);
        const struct distance worst = compare(&plain, a, b, 1);
        printf("%s fused, step %d: loss %.6f, unfused %.6f; gradients' largest relative distance %.2g (%s), smallest cosine %.4f\n", precision, step, (double)loss[0],
               (double)loss[1], worst.relative, worst.where, worst.cosine);
        CHECK(fabsf(loss[0] - loss[1]) <= (float)most_distance * fabsf(loss[0]));
        CHECK(worst.relative <= most_distance && worst.cosine >= least_cosine);
        free(a);
        free(b);
    }
    close_trainee(&plain);
    close_trainee(&fused);
}

void parity_of_recording(const struct parity *p, const char *precision)
{
    struct trainee eager, captured;
    if (open_trainee(&eager, p, p->backend, precision, false) != SKY_OK || open_trainee(&captured, p, p->backend, precision, true) != SKY_OK) {
        CHECK_OK(sky_error_last()->status);
        return;
    }
    struct trainee *const both[2] = {&eager, &captured};
    for (int i = 0; i < 2; i++) {
        CHECK_OK(condition(both[i]));
        for (int step = 0; step < STEPS; step++) {
            CHECK_OK(feed(both[i], step));
            CHECK_OK(sky_executor_run_through(&both[i]->executor, SKY_PHASE_FORWARD, SKY_PHASE_UPDATE, false));
        }
    }
    for (int arena = SKY_ARENA_PARAMS; arena <= SKY_ARENA_BUFFERS; arena++) {
        if (!eager.executor.arena[arena]) continue;
        float *a = read_arena(&eager, (enum sky_arena)arena), *b = read_arena(&captured, (enum sky_arena)arena);
        CHECK(memcmp(a, b, eager.model.graph.arena_bytes[arena]) == 0);
        free(a);
        free(b);
    }
    CHECK(captured.executor.recordings[SKY_PHASE_FORWARD][SKY_PHASE_UPDATE][0][0].recording != NULL);
    close_trainee(&eager);
    close_trainee(&captured);
}

int parity_done(void) { return check_done(); }
