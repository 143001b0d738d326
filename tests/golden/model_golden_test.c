/*
 * The engine's models against PyTorch's numbers: each safetensors file here (made by make_model_golden.py, which says what a file holds) is built from its own
 * configuration, loaded by name, trained for two steps and run in inference form, on the reference back end in f64 and f32 and on the CPU back end in f32.
 * A tensor's error is max|a-b| / max|b| over the tensor. Prints the worst of each kind, so that a drift is seen before it fails.
 */
#include "backend/executor.h"
#include "check.h"
#include "io/safetensors.h"
#include "model/model.h"
#include "train/schedule.h"

enum { COARSE = 4, MAX_OVERRIDES = 40 };

struct subject {
    const char *name;
    const struct sky_backend *backend;
    enum sky_dtype dtype;
    double tolerance;
    bool winograd;
};

struct golden {
    const char *name; /* of the case */
    const struct subject *subject;
    struct sky_safetensors file;
    struct sky_config config;
    struct sky_model model;
    struct sky_executor executor;
    double worst;
    char worst_name[160]; /* since the last report */
};

/* Element i of a tensor of any floating type, which may lie at any address. */
static double element(const void *data, enum sky_dtype dtype, int64_t i)
{
    double wide;
    float single;
    if (dtype == SKY_F64) return memcpy(&wide, (const char *)data + 8 * i, 8), wide;
    return memcpy(&single, (const char *)data + 4 * i, 4), (double)single;
}

static double largest(const struct sky_file_tensor *tensor, int64_t count)
{
    double most = 0;
    for (int64_t i = 0; i < count; i++) most = fmax(most, fabs(element(tensor->data, tensor->dtype, i)));
    return most;
}

static int64_t elements(const struct sky_file_tensor *tensor)
{
    int64_t count = 1;
    for (int i = 0; i < tensor->rank; i++) count *= tensor->dim[i];
    return count;
}

static double golden_norm(const struct golden *g)
{
    const struct sky_file_tensor *norm = sky_safetensors_find(&g->file, "step0/gradient_norm");
    return norm ? element(norm->data, norm->dtype, 0) : NAN;
}

/* Judges got[i] against `want` at the positions place(i), relative to `scale` (0: the largest of `want`). */
static void judge(struct golden *g, const struct sky_file_tensor *want, const double *got, int64_t count, int64_t first, int64_t block, int64_t stride,
                  double scale)
{
    const double rounding = want->dtype == SKY_F32 ? 1e-7 : 0;
    double worst = 0;
    char detail[320];
    if (scale == 0) scale = largest(want, elements(want));
    for (int64_t i = 0; i < count; i++) {
        const double difference = fabs(got[i] - element(want->data, want->dtype, i / block * stride + first + i % block)) / scale;
        if (!(difference <= worst)) worst = difference;
        if (isnan(worst)) break;
    }
    if (!(worst <= g->worst)) g->worst = worst, snprintf(g->worst_name, sizeof g->worst_name, "%s", want->name);
    snprintf(detail, sizeof detail, "%s on %s: %s is off by %.3g of %.3g", g->name, g->subject->name, want->name, worst, scale);
    check_that(worst <= fmax(g->subject->tolerance, rounding), "near PyTorch's", __FILE__, __LINE__, detail);
}

static void report(struct golden *g, const char *kind)
{
    if (*g->worst_name) printf("%-28s %-16s %-9s worst %.1e  %s\n", g->name, g->subject->name, kind, g->worst, g->worst_name);
    g->worst = 0, g->worst_name[0] = 0;
}

/* One value of the graph, as doubles. Heap, caller frees. */
static double *read_value(const struct sky_executor *executor, sky_value value, int64_t *count)
{
    const struct sky_tensor *tensor = &executor->graph->tensors[value];
    void *raw = malloc(tensor->bytes);
    double *out = malloc((size_t)tensor->count * sizeof *out);
    CHECK_OK(sky_executor_read((struct sky_executor *)executor, value, raw));
    for (int64_t i = 0; i < tensor->count; i++) out[i] = element(raw, tensor->dtype, i);
    *count = tensor->count;
    free(raw);
    return out;
}

static void judge_value(struct golden *g, const char *group, const char *name, sky_value value)
{
    char full[96];
    int64_t count;
    snprintf(full, sizeof full, "%s/%s", group, name);
    const struct sky_file_tensor *want = sky_safetensors_find(&g->file, full);
    if (!CHECK((want != NULL) == (value != SKY_NONE)) || !want) return;
    double *got = read_value(&g->executor, value, &count);
    if (CHECK(count == elements(want))) judge(g, want, got, count, 0, count, 0, 0);
    free(got);
}

/* ---- parameters by name ---- */

static void *arena_pointer(const struct golden *g, const struct sky_slice *slice, enum sky_arena arena, size_t *bytes)
{
    const struct sky_parameter *parameter = &g->model.graph.parameters[slice->parameter];
    const struct sky_tensor *tensor = &g->model.graph.tensors[parameter->value];
    *bytes = tensor->bytes;
    return (char *)g->executor.arena[parameter->is_buffer ? SKY_ARENA_BUFFERS : arena] + tensor->offset;
}

/* A slice of an arena in the file's order, as doubles. f32 goes through sky_slice_export; f64, which that would round, from [K,R,S,C] to [K,C,R,S] here. */
static double *read_slice(struct golden *g, const struct sky_slice *slice, enum sky_arena arena)
{
    size_t bytes;
    void *from = arena_pointer(g, slice, arena, &bytes), *tensor = malloc(bytes);
    double *out = malloc((size_t)slice->count * sizeof *out);
    CHECK_OK(g->executor.device.backend->copy_out(&g->executor.device, tensor, from, bytes));
    if (g->model.graph.dtype == SKY_F32) {
        float *single = malloc((size_t)slice->count * sizeof *single);
        sky_slice_export(&g->model, slice, tensor, single);
        for (int64_t i = 0; i < slice->count; i++) out[i] = (double)single[i];
        free(single);
    } else {
        const bool filter = g->model.graph.parameters[slice->parameter].is_filter;
        const int64_t channels = filter ? slice->dim[1] : 1, area = filter ? slice->dim[2] * slice->dim[3] : 1;
        for (int64_t i = 0; i < slice->count; i++) {
            const int64_t position = i % area, c = i / area % channels, k = i / area / channels;
            out[i] = ((const double *)tensor)[slice->index * slice->count + (k * area + position) * channels + c];
        }
    }
    free(tensor);
    return out;
}

static const struct sky_file_tensor *find_slice(const struct golden *g, const char *group, const struct sky_slice *slice)
{
    char name[320];
    snprintf(name, sizeof name, "%s/%s", group, slice->name);
    const struct sky_file_tensor *tensor = sky_safetensors_find(&g->file, name);
    if (!tensor) return NULL;
    bool same = tensor->rank == slice->rank;
    for (int i = 0; same && i < slice->rank; i++) same = tensor->dim[i] == slice->dim[i];
    return check_that(same, "has the file's shape", __FILE__, __LINE__, name) ? tensor : NULL;
}

/* Every tensor of the file has its slice and every slice its tensor; then the values go in. */
static void load_parameters(struct golden *g)
{
    int64_t in_file = 0, matched = 0;
    for (int64_t i = 0; i < g->file.tensor_count; i++) in_file += strncmp(g->file.tensors[i].name, "init/", 5) == 0;
    for (int64_t i = 0; i < sky_model_slice_count(&g->model); i++) {
        const struct sky_slice slice = sky_model_slice(&g->model, i);
        const struct sky_file_tensor *from = find_slice(g, "init", &slice);
        size_t bytes;
        if (!check_that(from != NULL, "is in the file", __FILE__, __LINE__, slice.name)) continue;
        matched++;
        void *to = arena_pointer(g, &slice, SKY_ARENA_PARAMS, &bytes), *tensor = malloc(bytes);
        float *values = malloc((size_t)slice.count * sizeof *values);
        CHECK_OK(sky_file_tensor_floats(from, g->file.path, values, slice.count));
        CHECK_OK(g->executor.device.backend->copy_out(&g->executor.device, tensor, to, bytes)); /* other slices of the tensor */
        sky_slice_import(&g->model, &slice, values, tensor);
        CHECK_OK(g->executor.device.backend->copy_in(&g->executor.device, to, tensor, bytes));
        free(values);
        free(tensor);
    }
    CHECK(matched == in_file && matched > 40);
}

/* Every slice of an arena against GROUP/name; `all`: each must be in the file. A gradient that vanishes (bias before batch norm): by the whole's norm. */
static void judge_slices(struct golden *g, const char *group, enum sky_arena arena, bool all)
{
    const double norm = golden_norm(g);
    int64_t judged = 0;
    for (int64_t i = 0; i < sky_model_slice_count(&g->model); i++) {
        const struct sky_slice slice = sky_model_slice(&g->model, i);
        const bool is_buffer = g->model.graph.parameters[slice.parameter].is_buffer;
        if (is_buffer && arena != SKY_ARENA_PARAMS) continue;
        const struct sky_file_tensor *want = find_slice(g, group, &slice), *gradient = is_buffer ? NULL : find_slice(g, "gradient", &slice);
        if (all) check_that(want != NULL, "is in the file", __FILE__, __LINE__, slice.name);
        if (!want) continue;
        const bool vanishes = arena != SKY_ARENA_PARAMS && gradient && largest(gradient, slice.count) < 1e-12 * norm;
        double *got = read_slice(g, &slice, arena);
        judge(g, want, got, slice.count, 0, slice.count, 0, vanishes ? 0.01 * norm : 0);
        free(got);
        judged++;
    }
    CHECK(!all || judged > 40);
}

/* ---- what is fed ---- */

/* Images first .. first + count - 1 of the file, each stored pixel drawn COARSE x COARSE times: u8 [count,S,S,3]. */
static uint8_t *draw_images(const struct golden *g, int64_t first, int64_t count)
{
    const struct sky_file_tensor *stored = sky_safetensors_find(&g->file, "images"); /* [2,N,S/4,S/4,3] */
    const int64_t small = stored->dim[2], size = small * COARSE;
    uint8_t *out = malloc((size_t)(count * size * size * 3));
    for (int64_t i = 0; i < count * size * size * 3; i++) {
        const int64_t c = i % 3, x = i / 3 % size, y = i / 3 / size % size, n = i / 3 / size / size;
        out[i] = ((const uint8_t *)stored->data)[(((first + n) * small + y / COARSE) * small + x / COARSE) * 3 + c];
    }
    return out;
}

static void write_batch(struct golden *g)
{
    const struct sky_file_tensor *labels = sky_safetensors_find(&g->file, "labels"), *erased = sky_safetensors_find(&g->file, "erased");
    const int64_t rows = g->model.rows, places = rows / 2, each = rows / g->model.trunks;
    for (int t = 0; t < g->model.trunks; t++) {
        uint8_t *images = draw_images(g, t * each, each);
        CHECK_OK(sky_executor_write(&g->executor, g->model.images[t], images));
        CHECK_OK(sky_executor_write(&g->executor, g->model.erased[t], (const char *)erased->data + t * each * 16));
        free(images);
    }
    int32_t *both = malloc((size_t)rows * sizeof *both);
    for (int64_t i = 0; i < rows; i++) memcpy(&both[i], (const char *)labels->data + i % places * 4, 4);
    CHECK_OK(sky_executor_write(&g->executor, g->model.labels, both));
    free(both);
}

static void write_scalars(struct golden *g, int step)
{
    struct sky_scalars scalars = {.seed = 1, .gradient_scale = 1, .update = (uint64_t)step + 1};
    sky_schedule_rates(&g->config, 0, 1, scalars.lr);
    CHECK_OK(sky_executor_write(&g->executor, g->model.graph.scalars, &scalars));
}

/* ---- the three forms ---- */

static void train(struct golden *g)
{
    static const char *const steps[2] = {"step0", "step1"}, *const after[2] = {"after1", "after2"};
    static const char *const momentum[2] = {"momentum1", "momentum2"}, *const squares[2] = {"squares1", "squares2"};
    write_batch(g);
    for (int step = 0; step < 2; step++) {
        double update[4];
        char norm_name[64];
        write_scalars(g, step);
        CHECK_OK(sky_executor_run(&g->executor, SKY_PHASE_FORWARD, false));
        judge_value(g, steps[step], "features", g->model.features);
        judge_value(g, steps[step], "logits", g->model.logits);
        judge_value(g, steps[step], "loss_ce", g->model.loss_ce);
        judge_value(g, steps[step], "loss_kl", g->model.loss_kl);
        for (int i = 0; i < SKY_PAIR_LOSS_COUNT; i++) {
            char loss_name[32];
            snprintf(loss_name, sizeof loss_name, "loss_%s", sky_pair_loss_name(i));
            judge_value(g, steps[step], loss_name, g->model.loss_pairs[i]);
        }
        report(g, step ? "forward 2" : "forward");
        CHECK_OK(sky_executor_run(&g->executor, SKY_PHASE_BACKWARD, false)); /* may write over the logits */
        if (step == 0) judge_slices(g, "gradient", SKY_ARENA_GRADS, true);
        CHECK_OK(sky_executor_run(&g->executor, SKY_PHASE_UPDATE, false));
        CHECK_OK(sky_executor_read(&g->executor, g->model.report, update));
        CHECK(update[1] == 0);
        snprintf(norm_name, sizeof norm_name, "%s/gradient_norm", steps[step]);
        const struct sky_file_tensor *norm = sky_safetensors_find(&g->file, norm_name);
        if (CHECK(norm != NULL)) judge(g, norm, update, 1, 0, 1, 0, 0);
        report(g, step ? "norm 2" : "gradient");
        judge_slices(g, after[step], SKY_ARENA_PARAMS, step == 1);
        judge_slices(g, momentum[step], SKY_ARENA_MOMENTUM, false);
        if (g->executor.arena[SKY_ARENA_SQUARES]) judge_slices(g, squares[step], SKY_ARENA_SQUARES, false);
        report(g, after[step]);
    }
}

/* Features of one view's images, plain and mirrored, with the parameters of the trained executor. */
static void infer(struct golden *g, int view)
{
    static const char *const names[2] = {"infer/plain", "infer/mirror"};
    struct sky_model model = {0};
    struct sky_executor executor = {0};
    struct sky_device_options options = g->executor.device.options;
    const int64_t places = g->model.rows / 2;
    options.constant_parameters = true;
    if (!CHECK_OK(sky_model_build(&model, &g->config, SKY_MODEL_INFER, places, 0, view, g->subject->dtype, &g->model))) return;
    if (CHECK_OK(sky_executor_create(&executor, g->subject->backend, &options, &model.graph, &g->executor))) {
        uint8_t *images = draw_images(g, view * places, places);
        CHECK_OK(sky_executor_write(&executor, model.images[0], images));
        free(images);
        CHECK_OK(sky_executor_run(&executor, SKY_PHASE_ONCE, false));
        for (int mirror = 0; mirror < 2; mirror++) {
            const struct sky_scalars scalars = {.mirror = (uint32_t)mirror};
            const struct sky_file_tensor *want = sky_safetensors_find(&g->file, names[mirror]); /* [P,2N,E], here rows view*N .. of each head */
            int64_t count;
            CHECK_OK(sky_executor_write(&executor, model.graph.scalars, &scalars));
            CHECK_OK(sky_executor_run(&executor, SKY_PHASE_FORWARD, false));
            double *got = read_value(&executor, model.features, &count);
            const int64_t block = places * model.embedding;
            if (CHECK(want && 2 * count == elements(want))) judge(g, want, got, count, view * block, block, 2 * block, 0);
            free(got);
        }
    }
    sky_executor_destroy(&executor);
    sky_model_free(&model);
}

static sky_status open_golden(struct golden *g)
{
    char path[1024], text[4096];
    const char *overrides[MAX_OVERRIDES];
    int count = 0;
    snprintf(path, sizeof path, SKY_SOURCE_DIR "/tests/golden/%s.safetensors", g->name);
    SKY_TRY(sky_safetensors_open(&g->file, path));
    const char *listed = sky_safetensors_text(&g->file, "overrides"), *classes = sky_safetensors_text(&g->file, "classes");
    if (!listed || !classes || strlen(listed) >= sizeof text) return sky_fail(SKY_FORMAT, path, "no configuration in its metadata");
    snprintf(text, sizeof text, "%s", listed);
    for (char *line = strtok(text, "\n"); line && count < MAX_OVERRIDES; line = strtok(NULL, "\n")) overrides[count++] = line;
    SKY_TRY(sky_config_read(&g->config, NULL, overrides, count));
    SKY_TRY(sky_model_build(&g->model, &g->config, SKY_MODEL_TRAIN, g->config.train.batch_size, atoll(classes), 0, g->subject->dtype, NULL));
    const struct sky_device_options options = {.threads = 2, .deterministic = true, .winograd = g->subject->winograd};
    return sky_executor_create(&g->executor, g->subject->backend, &options, &g->model.graph, NULL);
}

/* Forward convolutions that really run on Winograd: the option only allows it. */
static int64_t winograd_kernels(const struct golden *g)
{
    int64_t count = 0;
    for (int64_t n = 0; n < g->model.graph.node_count; n++) count += strstr(g->executor.kernels[n].implementation, "wino") != NULL;
    return count;
}

static void compare(const char *name, const struct subject *subject)
{
    struct golden g = {.name = name, .subject = subject};
    const bool opened = CHECK_OK(open_golden(&g));
    if (opened && subject->winograd && winograd_kernels(&g) == 0) {
        check_skip(name, "no convolution of it runs on Winograd here");
    } else if (opened) {
        load_parameters(&g);
        train(&g);
        for (int view = 0; view < 2; view++) infer(&g, view);
        report(&g, "infer");
    }
    sky_executor_destroy(&g.executor);
    sky_model_free(&g.model);
    sky_config_free(&g.config);
    sky_safetensors_close(&g.file);
}

int main(void)
{
    static const char *const cases[] = {"se_resnet50_legacy_msba", "se_resnet50_timm_lpn", "resnet50_whole_max", "resnet18_msba_small_map",
                                        "se_resnet18_ring_attention", "resnet18_list_two_trunks", "se_resnet18_timm_msba",
                                        "resnet50_instance", "resnet18_gem", "resnet18_lpn", "resnet18_contrastive", "resnet18_triplet",
                                        "resnet18_soft_margin", "resnet18_info_nce", "resnet18_all_pairs", "vgg16_whole", "resnet18_adamw"};
    static const struct subject subjects[] = {{"ref f64", &sky_backend_ref, SKY_F64, 1e-10, false},
                                              {"ref f32", &sky_backend_ref, SKY_F32, 1e-4, false},
                                              {"cpu f32", &sky_backend_cpu, SKY_F32, 1e-4, false},
                                              {"cpu f32 winograd", &sky_backend_cpu, SKY_F32, 1e-4, true}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
        for (size_t s = 0; s < sizeof subjects / sizeof *subjects; s++) compare(cases[c], &subjects[s]);
    return check_done();
}
