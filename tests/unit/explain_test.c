/*
 * Heat maps: shares of each part sum to 1 and stand in the part alone; a picture that is grey but for one corner has its heat there; every pooling.
 */
#include "check.h"

#include "eval/explain.h"
#include "train/parameters.h"

enum { SIDE = 64 };

static void open_embedder(struct sky_embedder *embedder, struct sky_config *config, const char *pooling, const char *learn)
{
    const char *const overrides[] = {"data.image_size=64", "model.backbone=se_resnet18", "model.se_layout=timm", "model.width=0.25",  "model.embedding=8", "eval.batch_size=2",
                                     "device.backend=cpu", "device.threads=1",           pooling,                learn,               "augment.pad=4"};
    memset(config, 0, sizeof *config);
    CHECK_OK(sky_config_read(config, NULL, overrides, sizeof overrides / sizeof *overrides));
    CHECK_OK(sky_embedder_open(embedder, config, NULL, NULL, false, SKY_VIEW_DRONE));
    CHECK_OK(sky_parameters_initialise(&embedder->model, &embedder->executor, 3));
    CHECK_OK(sky_embedder_refresh(embedder));
}

static double sum_of(const float *values, int64_t count)
{
    double sum = 0;
    for (int64_t i = 0; i < count; i++) sum += (double)values[i];
    return sum;
}

static void test_shares(const char *pooling, const char *learn)
{
    struct sky_embedder embedder;
    struct sky_config config;
    struct sky_heat heat = {0};
    static uint8_t image[SIDE * SIDE * 3];
    float mean[64];
    for (int i = 0; i < SIDE * SIDE * 3; i++) image[i] = (uint8_t)(i * 2654435761u >> 24);
    open_embedder(&embedder, &config, pooling, learn);
    CHECK_OK(sky_explain(&embedder, image, &heat));
    CHECK(heat.parts == 6 && heat.height == 8 && heat.width == 8); /* 64 pixels leave a map of 4, which the parts need at 8 */
    for (int64_t part = 0; part < heat.parts; part++) CHECK_NEAR(sum_of(heat.share + part * 64, 64), 1, 1e-5);
    const float *ring1 = heat.share, *ring4 = heat.share + 5 * 64;
    CHECK_NEAR(sum_of(ring1, 64), (double)(ring1[27] + ring1[28] + ring1[35] + ring1[36]), 1e-6); /* the four pixels in the middle */
    CHECK(ring4[27] == 0 && ring4[9] == 0 && (ring4[0] > 0 || ring4[7] > 0 || ring4[63] > 0));
    sky_heat_mean(&heat, mean);
    CHECK_NEAR(sum_of(mean, 64), 1, 1e-5);
    sky_heat_free(&heat);
    sky_embedder_close(&embedder);
    sky_config_free(&config);
}

/* Embedding afterwards gives what it gave before: explaining leaves nothing behind. */
static void test_features_unchanged(void)
{
    struct sky_embedder embedder;
    struct sky_config config;
    struct sky_heat heat = {0};
    static uint8_t image[2 * SIDE * SIDE * 3];
    float before[7 * 8], after[7 * 8];
    for (int i = 0; i < 2 * SIDE * SIDE * 3; i++) image[i] = (uint8_t)(i * 40503u >> 8);
    open_embedder(&embedder, &config, "model.pooling=gem", "model.gem_learn=channel");
    CHECK(sky_embedder_dimensions(&embedder) == 7 * 8);
    CHECK_OK(sky_embedder_run(&embedder, image, 1, before, NULL));
    CHECK_OK(sky_explain(&embedder, image, &heat));
    CHECK_OK(sky_embedder_run(&embedder, image, 1, after, NULL));
    CHECK(!memcmp(before, after, sizeof before));
    sky_heat_free(&heat);
    sky_embedder_close(&embedder);
    sky_config_free(&config);
}

int main(void)
{
    test_shares("model.pooling=gem", "model.gem_learn=channel");
    test_shares("model.pooling=gem", "model.gem_learn=part");
    test_shares("model.pooling=avg", "model.gem_learn=fixed");
    test_shares("model.pooling=max", "model.gem_learn=fixed");
    test_features_unchanged();
    return check_done();
}
