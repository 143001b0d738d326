/*
 * Encoders of skygem/retrieval.h: what a weights file must carry, the same features whatever a picture's size, stride and batch, several threads at once, and
 * no memory taken once they are warm (allocations are counted by this program's own malloc; a neural network library's are told apart and left out).
 */
#define _GNU_SOURCE /* dladdr */
#include "allocations.h"
#include "data_tree.h"

#include "retrieve/encoder.h"
#include "skygem/skygem.h"

#include "io/checkpoint_file.h"
#include "io/sealed.h"

#include <float.h>
#include <pthread.h>

/* ---- a model ---- */

enum { SIDE = 48, WIDTH = 70, HEIGHT = 50, MAX_DIMENSIONS = 128 };
static char weights[256];

static void make_weights(const char *name, bool shared, char out[256])
{
    struct sky_config config = {0};
    struct sky_trainer *trainer = NULL;
    char root[300];
    const char *overrides[] = {"data.image_size=48",
                               "data.workers=1",
                               "model.backbone=se_resnet18",
                               "model.se_layout=timm",
                               "model.width=0.125",
                               "model.embedding=16",
                               "train.batch_size=2",
                               "device.threads=1",
                               shared ? "model.share_views=yes" : "model.share_views=no",
                               root};
    for (uint32_t place = 0; place < 4; place++) {
        char picture[128];
        snprintf(picture, sizeof picture, "tree/train/satellite/%04u/tile.png", place);
        tree_picture(picture, place);
        snprintf(picture, sizeof picture, "tree/train/drone/%04u/image-01.jpeg", place);
        tree_picture(picture, 100 + place);
    }
    snprintf(root, sizeof root, "data.root=%s", in_folder("tree"));
    CHECK_OK(sky_config_read(&config, NULL, overrides, sizeof overrides / sizeof *overrides));
    if (CHECK_OK(sky_trainer_open(&trainer, &config, in_folder(name), false))) CHECK_OK(sky_trainer_save(trainer));
    sky_trainer_close(trainer);
    sky_config_free(&config);
    snprintf(root, sizeof root, "%s/checkpoints/step-000000000.safetensors", name);
    snprintf(out, 256, "%s", in_folder(root));
}

static const char *const one_thread[] = {"device.threads=1"};
static const struct sky_encoder_options plain = {.overrides = one_thread, .override_count = 1};

static void fill(uint8_t *rgb, size_t count, uint32_t seed)
{
    struct sky_rng rng = sky_rng_make(seed, SKY_RNG_TEST, 9, 0);
    for (size_t i = 0; i < count; i++) rgb[i] = (uint8_t)sky_rng_u32(&rng);
}

static void test_features(void)
{
    static uint8_t rgb[HEIGHT][WIDTH * 3], wide[HEIGHT][WIDTH * 3 + 11], small[2][SIDE * SIDE * 3];
    float a[MAX_DIMENSIONS], b[MAX_DIMENSIONS], many[2 * MAX_DIMENSIONS];
    struct sky_encoder *encoder = NULL, *two = NULL;
    struct sky_encoder_options options = plain;
    if (!CHECK_OK(sky_encoder_open(&encoder, weights, &plain))) return;
    const int64_t n = sky_encoder_dimensions(encoder);
    CHECK(n == 7 * 16 && sky_encoder_image_size(encoder) == SIDE && strlen(sky_encoder_model(encoder)) == 16);

    fill(&rgb[0][0], sizeof rgb, 1);
    for (int y = 0; y < HEIGHT; y++) memcpy(wide[y], rgb[y], sizeof rgb[y]), memset(wide[y] + sizeof rgb[y], 77, 11);
    CHECK_OK(sky_encoder_embed(encoder, &rgb[0][0], WIDTH, HEIGHT, 0, a));
    CHECK_OK(sky_encoder_embed(encoder, &wide[0][0], WIDTH, HEIGHT, sizeof wide[0], b));
    CHECK(!memcmp(a, b, (size_t)n * sizeof *a));
    double squares = 0;
    for (int64_t i = 0; i < n; i++) squares += (double)a[i] * (double)a[i];
    CHECK_NEAR(squares, 1, 1e-5);
    CHECK_OK(sky_image_write_png(in_folder("a.png"), &rgb[0][0], WIDTH, HEIGHT));
    CHECK_OK(sky_encoder_embed_file(encoder, in_folder("a.png"), b));
    CHECK(!memcmp(a, b, (size_t)n * sizeof *a));

    options.batch = 2;
    fill(&small[0][0], sizeof small, 2);
    if (CHECK_OK(sky_encoder_open(&two, weights, &options))) {
        CHECK(!strcmp(sky_encoder_model(encoder), sky_encoder_model(two)));
        CHECK_OK(sky_encoder_embed_many(two, &small[0][0], 2, many));
        for (int i = 0; i < 2; i++) {
            CHECK_OK(sky_encoder_embed(encoder, small[i], SIDE, SIDE, 0, a));
            CHECK(!memcmp(a, many + i * n, (size_t)n * sizeof *a));
        }
        CHECK(memcmp(many, many + n, (size_t)n * sizeof *a) != 0);
        CHECK_FAILS(sky_encoder_embed_many(two, &small[0][0], 3, many), SKY_USAGE, "opened for 1 to 2");
    }
    CHECK_FAILS(sky_encoder_embed(encoder, &rgb[0][0], 0, HEIGHT, 0, a), SKY_USAGE, "0 x 50");
    CHECK_FAILS(sky_encoder_embed(encoder, &rgb[0][0], WIDTH, HEIGHT, 5, a), SKY_USAGE, "5 bytes apart");
    CHECK_FAILS(sky_encoder_embed_file(encoder, in_folder("none.png"), a), SKY_IO, "none.png");
    sky_encoder_close(two);
    sky_encoder_close(encoder);
}

static void test_no_memory_when_warm(void)
{
    static uint8_t rgb[HEIGHT * WIDTH * 3], wide[HEIGHT * (WIDTH * 3 + 2)];
    float feature[MAX_DIMENSIONS];
    struct sky_encoder *encoder = NULL;
    if (!ALLOCATIONS_COUNTED) {
        check_skip("counting allocations", "the sanitizer has its own malloc");
        return;
    }
    if (!CHECK_OK(sky_encoder_open(&encoder, weights, &plain))) return;
    fill(rgb, sizeof rgb, 3);
    allocations_start(); /* cold: the tables of the resize are made now, which also proves the counter */
    CHECK_OK(sky_encoder_embed(encoder, rgb, WIDTH, HEIGHT, 0, feature));
    allocations_stop();
    CHECK(allocations_own() > 0);
    CHECK_OK(sky_encoder_embed(encoder, wide, WIDTH, HEIGHT, WIDTH * 3 + 2, feature));
    allocations_start();
    for (int i = 0; i < 5; i++) {
        CHECK_OK(sky_encoder_embed(encoder, rgb, WIDTH, HEIGHT, 0, feature));
        CHECK_OK(sky_encoder_embed(encoder, wide, WIDTH, HEIGHT, WIDTH * 3 + 2, feature));
    }
    allocations_stop();
    printf("five pairs of pictures on a warm encoder: %d allocations, %d of them ours\n", allocations.seen, allocations_own());
    CHECK(allocations_own() == 0);
    sky_encoder_close(encoder);
}

/* ---- threads ---- */

enum { THREADS = 3, PICTURES = 6 };
struct task {
    float features[PICTURES][MAX_DIMENSIONS];
    int good;
};

static void *embed_all(void *context)
{
    struct task *task = context;
    struct sky_encoder *encoder = NULL;
    uint8_t rgb[20 * 30 * 3];
    if (sky_encoder_open(&encoder, weights, &plain) != SKY_OK) return NULL;
    for (uint32_t i = 0; i < PICTURES; i++) {
        fill(rgb, sizeof rgb, 50 + i);
        task->good += sky_encoder_embed(encoder, rgb, 30, 20, 0, task->features[i]) == SKY_OK;
    }
    sky_encoder_close(encoder);
    return NULL;
}

static void test_threads(void)
{
    static struct task tasks[THREADS + 1];
    pthread_t threads[THREADS];
    embed_all(&tasks[THREADS]);
    for (int i = 0; i < THREADS; i++) CHECK(!pthread_create(&threads[i], NULL, embed_all, &tasks[i]));
    for (int i = 0; i < THREADS; i++) CHECK(!pthread_join(threads[i], NULL));
    for (int i = 0; i < THREADS; i++) CHECK(tasks[i].good == PICTURES && !memcmp(&tasks[i], &tasks[THREADS], sizeof *tasks));
}

/* ---- what a weights file says ---- */

static void copy_weights(const char *name, bool with_config, float change)
{
    struct sky_safetensors file = {0};
    struct sky_file_text text = {"note", "test"};
    float *changed = NULL;
    if (!CHECK_OK(sky_weights_open(&file, weights))) return;
    if (with_config) text = (struct sky_file_text){"config", sky_safetensors_text(&file, "config")};
    for (int64_t i = 0; i < file.tensor_count && change != 0; i++) {
        struct sky_file_tensor *tensor = &file.tensors[i];
        if (strcmp(tensor->name, "backbone.layer1.0.conv1.weight") != 0) continue;
        changed = malloc(tensor->bytes);
        memcpy(changed, tensor->data, tensor->bytes);
        changed[0] += change;
        tensor->data = changed;
    }
    CHECK_OK(sky_checkpoint_write(in_folder(name), file.tensors, file.tensor_count, &text, 1));
    free(changed);
    sky_safetensors_close(&file);
}

static void model_of(const char *path, const char *override, char out[32])
{
    const char *overrides[2] = {"device.threads=1", override};
    const struct sky_encoder_options options = {.overrides = overrides, .override_count = override ? 2 : 1};
    struct sky_encoder *encoder = NULL;
    *out = 0;
    if (!CHECK_OK(sky_encoder_open(&encoder, path, &options))) return;
    snprintf(out, 32, "%s", sky_encoder_model(encoder));
    sky_encoder_close(encoder);
}

static void test_weights(void)
{
    struct sky_encoder *encoder = NULL;
    struct sky_encoder_options options = plain;
    char model[32], other[32];
    copy_weights("silent.safetensors", false, 0);
    copy_weights("same.safetensors", true, 0);
    copy_weights("other.safetensors", true, 0.5f);
    CHECK_FAILS(sky_encoder_open(&encoder, in_folder("silent.safetensors"), &plain), SKY_CONFIG, "--experiment");
    options.experiment = in_folder("silent.ini");
    CHECK_OK(sky_file_write_atomic(options.experiment, "[data]\nimage_size = 48\n", 23)); /* another model */
    CHECK_FAILS(sky_encoder_open(&encoder, in_folder("silent.safetensors"), &options), SKY_FORMAT, "other settings");
    CHECK(!encoder);

    model_of(weights, NULL, model);
    model_of(in_folder("same.safetensors"), NULL, other);
    CHECK(!strcmp(model, other)); /* momentum, steps and names of files are not the model */
    model_of(weights, "device.threads=2", other);
    CHECK(!strcmp(model, other));
    model_of(in_folder("other.safetensors"), NULL, other);
    CHECK(strncmp(model, other, 8) != 0 && !strcmp(model + 8, other + 8));
    model_of(weights, "eval.flip=no", other);
    CHECK(!strncmp(model, other, 8) && strcmp(model + 8, other + 8) != 0);
    model_of(weights, "data.image_size=64", other);
    CHECK(!strncmp(model, other, 8) && strcmp(model + 8, other + 8) != 0);

    options = plain;
    const char *wrong[] = {"model.backbon=resnet18"};
    options.overrides = wrong;
    CHECK_FAILS(sky_encoder_open(&encoder, weights, &options), SKY_CONFIG, "model.backbone");
}

/* Two trunks: a gallery's encoder and a query's are one model, but not one network. */
static void test_two_trunks(void)
{
    static uint8_t rgb[20 * 30 * 3];
    char two[256];
    float seen[2][MAX_DIMENSIONS];
    struct sky_encoder *encoders[2] = {NULL, NULL};
    make_weights("two", false, two);
    fill(rgb, sizeof rgb, 4);
    for (int gallery = 0; gallery < 2; gallery++) {
        const struct sky_encoder_options options = {.overrides = one_thread, .override_count = 1, .gallery = gallery};
        if (CHECK_OK(sky_encoder_open(&encoders[gallery], two, &options))) CHECK_OK(sky_encoder_embed(encoders[gallery], rgb, 30, 20, 0, seen[gallery]));
    }
    if (encoders[0] && encoders[1]) {
        CHECK(!strcmp(sky_encoder_model(encoders[0]), sky_encoder_model(encoders[1])));
        CHECK(memcmp(seen[0], seen[1], 7 * 16 * sizeof(float)) != 0);
    }
    for (int i = 0; i < 2; i++) sky_encoder_close(encoders[i]);
}

/* The weights with `value` in place of each of the heads'. */
static void write_weights(const char *path, float value)
{
    static float nothing[1 << 16];
    struct sky_safetensors file = {0};
    struct sky_file_text texts[32];
    int64_t replaced = 0, text_count = 0;
    for (size_t i = 0; i < sizeof nothing / sizeof *nothing; i++) nothing[i] = value;
    if (!CHECK_OK(sky_safetensors_open(&file, weights))) return;
    for (int64_t i = 0; i < file.tensor_count; i++) {
        if (strncmp(file.tensors[i].name, "classifier", 10) != 0 || file.tensors[i].bytes > sizeof nothing) continue;
        file.tensors[i].data = nothing, replaced++;
    }
    for (int64_t i = 0; i < file.text_count && text_count < 32; i++)
        if (strncmp(file.texts[i].key, "crc32c", 6) != 0) texts[text_count++] = file.texts[i];
    CHECK(replaced > 0);
    CHECK_OK(sky_sealed_write(path, file.tensors, file.tensor_count, texts, text_count, "a test"));
    sky_safetensors_close(&file);
}

/* Parameters that are none, as a training leaves them that has diverged, are not taken; no feature is made of such that come to none. */
static void test_not_finite(void)
{
    static uint8_t rgb[20 * 30 * 3];
    float feature[MAX_DIMENSIONS];
    struct sky_encoder *encoder = NULL;
    write_weights(in_folder("nan.safetensors"), NAN);
    CHECK_FAILS(sky_encoder_open(&encoder, in_folder("nan.safetensors"), &plain), SKY_FORMAT, "is not finite: its number 0 is nan");
    write_weights(in_folder("huge.safetensors"), FLT_MAX);
    if (CHECK_OK(sky_encoder_open(&encoder, in_folder("huge.safetensors"), &plain)))
        CHECK_FAILS(sky_encoder_embed(encoder, rgb, 30, 20, 0, feature), SKY_NUMERIC, "a feature that is not finite");
    sky_encoder_close(encoder);
}

int main(void)
{
    folder_make();
    make_weights("run", true, weights);
    test_features();
    test_no_memory_when_warm();
    test_threads();
    test_weights();
    test_two_trunks();
    test_not_finite();
    folder_remove(folder);
    return check_done();
}
