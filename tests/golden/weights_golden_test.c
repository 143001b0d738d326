/*
 * Weights of PyTorch files: what our network computes with them against what PyTorch computed, for every layout (weights/, make_weights_golden.py); and real
 * trained weights of both .pth formats, tensor by tensor, against their checksums. With a folder as argument: the cases in it, made at full size
 * (weights_test.sh).
 */
#include "check.h"

#include "backend/backend.h"
#include "backend/select.h"
#include "base/dtype.h"
#include "base/fs.h"
#include "base/sha256.h"
#include "io/tensor_file.h"
#include "model/model.h"
#include "train/parameters.h"

static const char cases_folder[] = SKY_SOURCE_DIR "/tests/golden/weights";
static const char real_folder[] = SKY_SOURCE_DIR "/../shared/data/weights_cifar10_resnet";

enum { MAX_OVERRIDES = 32 };

struct golden {
    struct sky_safetensors expected;
    struct sky_config config;
};

static sky_status open_golden(struct golden *g, const char *folder, const char *name)
{
    char path[1024];
    char text[2048];
    const char *overrides[MAX_OVERRIDES];
    int count = 0;
    snprintf(path, sizeof path, "%s/%s.expected.safetensors", folder, name);
    SKY_TRY(sky_safetensors_open(&g->expected, path));
    const char *listed = sky_safetensors_text(&g->expected, "overrides");
    if (!listed || strlen(listed) >= sizeof text) return sky_fail(SKY_FORMAT, path, "no configuration in its metadata");
    snprintf(text, sizeof text, "%s", listed);
    for (char *line = text; line && *line && count < MAX_OVERRIDES; count++) {
        overrides[count] = line;
        line = strchr(line, '\n');
        if (line) *line++ = 0;
    }
    return sky_config_read(&g->config, NULL, overrides, count);
}

/* Heads that the file of expectations brings, onto a trunk without any. */
static void set_heads(const struct golden *g, const struct sky_model *model, struct sky_executor *executor)
{
    for (int64_t i = 0; i < sky_model_slice_count(model); i++) {
        const struct sky_slice slice = sky_model_slice(model, i);
        const sky_value value = model->graph.parameters[slice.parameter].value;
        char name[320];
        snprintf(name, sizeof name, "head/%s", slice.name);
        const struct sky_file_tensor *tensor = sky_safetensors_find(&g->expected, name);
        if (!tensor) continue;
        void *host = malloc(model->graph.tensors[value].bytes);
        float *values = malloc((size_t)slice.count * sizeof *values);
        CHECK_OK(sky_executor_read(executor, value, host));
        CHECK_OK(sky_file_tensor_floats(tensor, "golden", values, slice.count));
        sky_slice_import(model, &slice, values, host);
        CHECK_OK(sky_executor_write(executor, value, host));
        free(values);
        free(host);
    }
}

/* max|a - b| / max|b| over all features. */
static double compare(const struct sky_file_tensor *want, const float *got)
{
    const int64_t count = (int64_t)(want->bytes / sizeof(double));
    double largest = 0, worst = 0;
    for (int64_t i = 0; i < count; i++) {
        double value;
        memcpy(&value, (const char *)want->data + 8 * i, sizeof value);
        largest = fmax(largest, fabs(value));
        worst = fmax(worst, fabs((double)got[i] - value));
        if (!(fabs((double)got[i] - value) <= worst)) return NAN;
    }
    return worst / largest;
}

static void check_case(const char *folder, const char *name, const char *weights, const struct sky_backend *backend)
{
    struct golden g = {0};
    if (!CHECK_OK(open_golden(&g, folder, name))) return;
    const struct sky_file_tensor *images = sky_safetensors_find(&g.expected, "images"); /* u8 [N,S,S,3] */
    for (int view = 0; view < SKY_VIEW_COUNT; view++) {
        struct sky_model model = {0};
        struct sky_executor executor = {0};
        const struct sky_device_options options = {.threads = 2, .deterministic = true, .constant_parameters = true};
        char key[32], path[1024], detail[1200];
        snprintf(key, sizeof key, "features/%d", view);
        snprintf(path, sizeof path, "%s/%s", folder, weights);
        const struct sky_file_tensor *want = sky_safetensors_find(&g.expected, key); /* f64 [P,N,E] */
        if (!want) continue;
        if (CHECK_OK(sky_model_build(&model, &g.config, SKY_MODEL_INFER, images->dim[0], 0, view, SKY_F32, NULL)) &&
            CHECK_OK(sky_executor_create(&executor, backend, &options, &model.graph, NULL)) && CHECK_OK(sky_parameters_initialise(&model, &executor, 1)) &&
            CHECK_OK(sky_parameters_load(&model, &executor, &g.config, path))) {
            const struct sky_tensor *features = &model.graph.tensors[model.features];
            float *got = malloc(features->bytes);
            set_heads(&g, &model, &executor);
            CHECK_OK(sky_executor_write(&executor, model.images[0], images->data));
            CHECK_OK(sky_executor_run(&executor, SKY_PHASE_ONCE, false));
            CHECK_OK(sky_executor_run(&executor, SKY_PHASE_FORWARD, false));
            CHECK_OK(sky_executor_read(&executor, model.features, got));
            const double error = CHECK(features->count == (int64_t)(want->bytes / sizeof(double))) ? compare(want, got) : NAN;
            printf("%-32s %-8s view %d: off by %.1e\n", weights, backend->name, view, error);
            snprintf(detail, sizeof detail, "%s on %s, view %d: off by %.3g", weights, backend->name, view, error);
            check_that(error <= 1e-4, "near PyTorch's", __FILE__, __LINE__, detail);
            free(got);
        }
        sky_executor_destroy(&executor);
        sky_model_free(&model);
    }
    sky_config_free(&g.config);
    sky_safetensors_close(&g.expected);
}

/* Every case of a folder; each NAME.pth, and NAME.imported.safetensors where somebody made it. */
static int check_folder(const char *folder, const struct sky_backend *backend)
{
    struct sky_listing list = {0};
    int cases = 0;
    if (!CHECK_OK(sky_folder_list(folder, &list))) return 0;
    for (int64_t i = 0; i < list.count; i++) {
        static const char ending[] = ".expected.safetensors";
        const char *file = list.entries[i].name;
        const size_t length = strlen(file);
        char name[256], weights[300], path[1024];
        if (length < sizeof ending || strcmp(file + length - (sizeof ending - 1), ending) != 0) continue;
        snprintf(name, sizeof name, "%.*s", (int)(length - (sizeof ending - 1)), file);
        snprintf(weights, sizeof weights, "%s.pth", name);
        check_case(folder, name, weights, backend);
        snprintf(weights, sizeof weights, "%s.imported.safetensors", name);
        snprintf(path, sizeof path, "%s/%s", folder, weights);
        if (sky_path_is_file(path)) check_case(folder, name, weights, backend);
        cases++;
    }
    sky_listing_free(&list);
    return cases;
}

/* ---- real weights: name, shape, type and SHA-256 of each tensor's bytes, one a line ---- */

static void check_real(const char *weights, const char *table)
{
    struct sky_tensor_file file = {0};
    char path[1024], line[1024];
    int64_t rows = 0;
    snprintf(path, sizeof path, "%s/%s", real_folder, table);
    FILE *rows_file = fopen(path, "r");
    snprintf(path, sizeof path, "%s/%s", real_folder, weights);
    if (!CHECK(rows_file != NULL) || !CHECK_OK(sky_tensor_file_open(&file, path))) return;
    while (fgets(line, sizeof line, rows_file)) {
        char name[256], shape[64], dtype[32], sum[128], hex[65];
        struct sky_sha256 sha;
        if (sscanf(line, "%255[^\t]\t%63[^\t]\t%31[^\t]\t%127[^\t]", name, shape, dtype, sum) != 4 || strlen(sum) != 64) continue; /* the heading */
        if (!CHECK(rows < file.tensor_count)) break;
        const struct sky_file_tensor *found = NULL;
        for (int64_t i = 0; i < file.tensor_count && !found; i++)
            if (!strcmp(file.tensors[i].name, name)) found = &file.tensors[i];
        rows++;
        if (!check_that(found != NULL, "is in the file", __FILE__, __LINE__, name)) continue;
        sky_sha256_begin(&sha);
        sky_sha256_add(&sha, found->data, found->bytes);
        sky_sha256_end(&sha, hex);
        check_that(!strcmp(hex, sum), "has the bytes that torch read", __FILE__, __LINE__, name);
    }
    CHECK(rows == file.tensor_count && rows > 90);
    fclose(rows_file);
    sky_tensor_file_close(&file);
}

/* The same network in six files: equal values, but for rounding to half precision. */
static void check_formats(void)
{
    static const char *const files[] = {"resnet20_zip.pth", "resnet20_legacy.pth", "resnet20.safetensors", "resnet20_zip_fp16.pth",
                                        "resnet20_fp16.safetensors", "resnet20_bf16.safetensors"};
    static const double tolerances[] = {0, 0, 0, 1e-3, 1e-3, 1e-2};
    struct sky_tensor_file first = {0}, other = {0};
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", real_folder, files[0]);
    if (!CHECK_OK(sky_tensor_file_open(&first, path))) return;
    for (size_t f = 1; f < sizeof files / sizeof *files; f++) {
        int64_t compared = 0;
        snprintf(path, sizeof path, "%s/%s", real_folder, files[f]);
        if (!CHECK_OK(sky_tensor_file_open(&other, path))) continue;
        CHECK(other.tensor_count == first.tensor_count);
        for (int64_t i = 0; i < first.tensor_count; i++) {
            const int64_t count = (int64_t)(first.tensors[i].bytes / sizeof(float));
            const struct sky_file_tensor *found = NULL;
            for (int64_t k = 0; k < other.tensor_count && !found; k++)
                if (!strcmp(other.tensors[k].name, first.tensors[i].name)) found = &other.tensors[k];
            float *a = malloc((size_t)count * sizeof *a), *b = malloc((size_t)count * sizeof *b);
            if (CHECK(found != NULL) && CHECK_OK(sky_file_tensor_floats(&first.tensors[i], "a", a, count)) &&
                CHECK_OK(sky_file_tensor_floats(found, "b", b, count))) {
                double worst = 0;
                for (int64_t e = 0; e < count; e++) worst = fmax(worst, fabs((double)a[e] - (double)b[e]) / fmax(fabs((double)a[e]), 1e-3));
                check_that(worst <= tolerances[f], "the same network", __FILE__, __LINE__, files[f]);
                compared++;
            }
            free(a);
            free(b);
        }
        CHECK(compared == first.tensor_count);
        sky_tensor_file_close(&other);
    }
    sky_tensor_file_close(&first);
}

int main(int argc, char **argv)
{
    static const char *const real[] = {"resnet20-12fca82f", "resnet32-d509ac18", "resnet44-014dd654", "resnet56-4bfd9763"};
    if (argc > 1) {
        CHECK(check_folder(argv[1], &sky_backend_cpu) > 0);
        return check_done();
    }
    CHECK(check_folder(cases_folder, &sky_backend_cpu) == 7);
    CHECK(check_folder(cases_folder, &sky_backend_ref) == 7);
    if (sky_path_is_folder(real_folder)) {
        for (size_t i = 0; i < sizeof real / sizeof *real; i++) {
            char weights[64], table[64];
            snprintf(weights, sizeof weights, "%s.th", real[i]);
            snprintf(table, sizeof table, "%s.tensors.tsv", real[i]);
            check_real(weights, table);
        }
        check_formats();
    } else {
        check_skip("real trained weights", "no shared/data here");
    }
    return check_done();
}
