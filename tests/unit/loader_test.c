/*
 * Training and evaluation batches: the same bytes for any number of workers, from any first step, from files or a pack; bad images named or replaced.
 * And the pack itself: what it holds, and every way it can be wrong.
 */
#include "data_tree.h"

#include "base/crc32c.h"
#include "data/loader.h"

enum { BATCH = 3, SIZE = 16, ROWS = 2 * BATCH, PLACES = 7 };

static void make_tree(const char *root)
{
    for (uint32_t place = 0; place < PLACES; place++) {
        char name[128];
        snprintf(name, sizeof name, "%s/train/satellite/%04u/tile.png", root, place);
        tree_picture(name, place);
        snprintf(name, sizeof name, "%s/test/gallery_satellite/%04u/tile.png", root, 100 + place);
        tree_picture(name, 50 + place);
        for (uint32_t i = 0; i < 3; i++) {
            snprintf(name, sizeof name, "%s/train/drone/%04u/image-%02u.jpeg", root, place, i);
            tree_picture(name, 100 + 10 * place + i);
        }
    }
}

static const struct sky_augment augment = {.size = SIZE, .pad = 2, .crop = true, .flip = 0.5, .rotation = 45, .erasing = 0.5};

static struct sky_loader_options options_for(const struct sky_train_set *set, struct sky_sampler *sampler)
{
    return (struct sky_loader_options){
        .set = set, .sampler = sampler, .augment = {augment, augment, augment, augment}, .batch_size = BATCH, .seed = 3, .workers = 1, .first_step = 0, .last_step = 9};
}

/* One number for all that a batch holds. */
static uint32_t batch_crc(const struct sky_batch *batch)
{
    uint32_t crc = sky_crc32c(0, batch->images, (size_t)ROWS * SIZE * SIZE * 3);
    crc = sky_crc32c(crc, batch->erased, ROWS * sizeof *batch->erased);
    crc = sky_crc32c(crc, batch->labels, ROWS * sizeof *batch->labels);
    for (int i = 0; i < ROWS; i++) crc = sky_crc32c(crc, batch->paths[i], strlen(batch->paths[i]));
    return crc;
}

/* Checksums of the steps; returns how many images were skipped. */
static int64_t run(const struct sky_loader_options *options, uint32_t *crcs)
{
    struct sky_loader *loader = NULL;
    struct sky_batch batch = {0};
    CHECK_OK(sky_loader_create(&loader, options));
    for (int64_t step = options->first_step; step < options->last_step; step++) {
        if (!CHECK_OK(sky_loader_next(loader, &batch))) break;
        CHECK(batch.step == step);
        crcs[step] = batch_crc(&batch);
        sky_loader_release(loader, &batch);
    }
    sky_loader_destroy(loader);
    return batch.skipped;
}

static void test_loader(void)
{
    struct sky_train_set set = {0};
    struct sky_sampler *sampler = NULL;
    uint32_t one[9], crcs[9];
    CHECK_OK(tree_train_set(&set, in_folder("good")));
    CHECK_OK(sky_sampler_create(&sampler, &set, SKY_SAMPLER_PAIRED, 1, BATCH, 3)); /* 2 steps an epoch: the run crosses epochs */
    struct sky_loader_options options = options_for(&set, sampler);
    CHECK(run(&options, one) == 0);
    for (int i = 1; i < 9; i++) CHECK(one[i] != one[i - 1]);
    for (int workers = 2; workers <= 5; workers++) {
        options.workers = workers;
        memset(crcs, 0, sizeof crcs);
        CHECK(run(&options, crcs) == 0);
        CHECK(!memcmp(crcs, one, sizeof one));
    }
    for (int64_t first = 1; first < 9; first += 3) { /* a resume */
        options.first_step = first;
        memcpy(crcs, one, sizeof one);
        memset(crcs + first, 0, (size_t)(9 - first) * sizeof *crcs);
        CHECK(run(&options, crcs) == 0);
        CHECK(!memcmp(crcs, one, sizeof one));
    }
    options.first_step = 0, options.seed = 4;
    CHECK(run(&options, crcs) == 0);
    CHECK(crcs[0] != one[0]);

    /* Labels and paths belong together; batches may be held while others are asked for; stopping early is fine; past the end is an error. */
    struct sky_loader *loader = NULL;
    struct sky_batch a, b;
    options.last_step = 2;
    CHECK_OK(sky_loader_create(&loader, &options));
    CHECK_OK(sky_loader_next(loader, &a));
    const uint32_t before = batch_crc(&a);
    CHECK_OK(sky_loader_next(loader, &b));
    CHECK(batch_crc(&a) == before);
    for (int row = 0; row < ROWS; row++) {
        char place[64];
        snprintf(place, sizeof place, "train/%s/%s/", row < BATCH ? "satellite" : "drone", set.class_names[a.labels[row]]);
        CHECK(!strncmp(a.paths[row], place, strlen(place)) && a.labels[row] == a.labels[row % BATCH]);
    }
    sky_loader_release(loader, &a);
    sky_loader_release(loader, &b);
    CHECK_FAILS(sky_loader_next(loader, &a), SKY_INTERNAL, "more steps");
    sky_loader_destroy(loader);
    options.last_step = 1000000;
    CHECK_OK(sky_loader_create(&loader, &options));
    CHECK_OK(sky_loader_next(loader, &a));
    sky_loader_destroy(loader);
    sky_loader_destroy(NULL);
    sky_sampler_destroy(sampler);
    sky_train_set_close(&set);
}

/* Rows of the active views follow each other, whichever these are. */
static void test_views(void)
{
    const struct sky_layout layout = sky_layout_native();
    const struct sky_views views = {{SKY_VIEW_SATELLITE, SKY_VIEW_STREET, SKY_VIEW_GOOGLE}, 3};
    struct sky_train_set set = {0};
    struct sky_sampler *sampler = NULL;
    struct sky_loader *loader = NULL;
    struct sky_batch batch;
    make_tree("views");
    for (uint32_t place = 0; place < PLACES; place++) {
        char name[128];
        snprintf(name, sizeof name, "views/train/street/%04u/a.png", place);
        tree_picture(name, 300 + place);
        snprintf(name, sizeof name, "views/train/google/%04u/b.png", place);
        tree_picture(name, 400 + place);
    }
    CHECK_OK(sky_train_set_open(&set, in_folder("views"), &layout, &views));
    CHECK_OK(sky_sampler_create(&sampler, &set, SKY_SAMPLER_PAIRED, 1, BATCH, 3));
    struct sky_loader_options options = options_for(&set, sampler);
    options.workers = 3, options.last_step = 4;
    memset(&options.augment[SKY_VIEW_DRONE], 0, sizeof options.augment[SKY_VIEW_DRONE]); /* not asked for */
    CHECK_OK(sky_loader_create(&loader, &options));
    for (int64_t step = 0; step < 4; step++) {
        CHECK_OK(sky_loader_next(loader, &batch));
        for (int row = 0; row < 3 * BATCH; row++) {
            char place[64];
            snprintf(place, sizeof place, "train/%s/%s/", sky_view_name(views.list[row / BATCH]), set.class_names[batch.labels[row]]);
            CHECK(!strncmp(batch.paths[row], place, strlen(place)) && batch.labels[row] == batch.labels[row % BATCH]);
        }
        sky_loader_release(loader, &batch);
    }
    sky_loader_destroy(loader);
    sky_sampler_destroy(sampler);
    sky_train_set_close(&set);
}

static void truncate_file(const char *path)
{
    struct stat info;
    CHECK(!stat(path, &info) && !truncate(path, info.st_size / 2));
}

static void test_bad_images(void)
{
    struct sky_train_set set = {0};
    struct sky_sampler *sampler = NULL;
    struct sky_loader *loader = NULL;
    struct sky_batch batch;
    uint32_t one[9], crcs[9];
    make_tree("bad");
    truncate_file(in_folder("bad/train/drone/0002/image-01.jpeg"));
    tree_write("bad/train/drone/0003/image-00.jpeg", "", 0);
    tree_write("bad/train/drone/0004/image-02.jpeg", "<!DOCTYPE html><html>not found</html>", 37);
    CHECK_OK(tree_train_set(&set, in_folder("bad")));
    CHECK_OK(sky_sampler_create(&sampler, &set, SKY_SAMPLER_PAIRED, 1, BATCH, 3));
    struct sky_loader_options options = options_for(&set, sampler);

    /* fail: the first bad image drawn is named with the reason and what to do. */
    sky_status status = SKY_OK;
    options.last_step = 200;
    CHECK_OK(sky_loader_create(&loader, &options));
    while (status == SKY_OK)
        if ((status = sky_loader_next(loader, &batch)) == SKY_OK) sky_loader_release(loader, &batch);
    CHECK(status == SKY_DATA && strstr(sky_error_last()->where, "/bad/train/drone/000") && *sky_error_last()->what &&
          strstr(sky_error_last()->hint, "on_bad_image"));
    sky_loader_destroy(loader);

    /* skip: the next image of the place, the same for any number of workers, each bad file told once. */
    options.on_bad_image = SKY_BAD_IMAGE_SKIP, options.last_step = 9;
    tree_log_catch();
    const int64_t skipped = run(&options, one);
    CHECK(skipped > 0 && tree_log.warnings > 0 && tree_log.warnings <= 3 && tree_log.warnings <= skipped && strstr(tree_log.last, "/bad/train/drone/000"));
    for (int workers = 2; workers <= 5; workers++) {
        options.workers = workers;
        CHECK(run(&options, crcs) == skipped);
        CHECK(!memcmp(crcs, one, sizeof one));
    }
    CHECK_OK(sky_loader_create(&loader, &options));
    for (int step = 0; step < 9; step++) {
        CHECK_OK(sky_loader_next(loader, &batch));
        for (int row = 0; row < ROWS; row++)
            CHECK(!strstr(batch.paths[row], "0002/image-01") && !strstr(batch.paths[row], "0003/image-00") && !strstr(batch.paths[row], "0004/image-02") &&
                  batch.labels[row] == batch.labels[row % BATCH]);
        sky_loader_release(loader, &batch);
    }
    sky_loader_destroy(loader);

    /* No readable image left in a class: an error even under skip. A missing file is no bad image: it fails at once. */
    for (int i = 0; i < 3; i++) {
        char name[64];
        snprintf(name, sizeof name, "bad/train/drone/0003/image-%02d.jpeg", i);
        tree_write(name, "no", 2);
    }
    options.last_step = 200;
    for (int round = 0; round < 2; round++) {
        CHECK_OK(sky_loader_create(&loader, &options));
        for (status = SKY_OK; status == SKY_OK;)
            if ((status = sky_loader_next(loader, &batch)) == SKY_OK) sky_loader_release(loader, &batch);
        if (round == 0) CHECK(status == SKY_DATA && strstr(sky_error_last()->where, "0003") && strstr(sky_error_last()->hint, "no image of this place"));
        else CHECK(status == SKY_IO && strstr(sky_error_last()->where, "0001/tile.png"));
        sky_loader_destroy(loader);
        for (int i = 0; i < 3; i++) {
            char name[64];
            snprintf(name, sizeof name, "bad/train/drone/0003/image-%02d.jpeg", i);
            tree_picture(name, 130 + (uint32_t)i);
        }
        remove(in_folder("bad/train/satellite/0001/tile.png"));
    }
    sky_sampler_destroy(sampler);
    sky_train_set_close(&set);
}

static void test_reader(void)
{
    struct sky_image_set set = {0};
    struct sky_pack *pack = NULL;
    uint32_t one = 0;
    char *root = realpath(in_folder("good"), NULL);
    CHECK_OK(sky_image_set_scan(&set, root));
    CHECK(set.count == 5 * PLACES);
    CHECK_OK(sky_pack_open(&pack, in_folder("good.pack")));
    for (int workers = 1; workers <= 5; workers += 2)
        for (int packed = 0; packed < 2; packed++) {
            struct sky_reader *reader = NULL;
            const uint8_t *images;
            int64_t first, count, seen = 0;
            uint32_t crc = 0;
            CHECK_OK(sky_reader_create(&reader, &set, root, packed ? pack : NULL, SKY_EXIF_IGNORE, SIZE, 4, workers, NULL));
            for (;;) {
                if (!CHECK_OK(sky_reader_next(reader, &images, &first, &count)) || count == 0) break;
                CHECK(first == seen && count == (seen + 4 <= set.count ? 4 : set.count - seen));
                crc = sky_crc32c(crc, images, (size_t)count * SIZE * SIZE * 3);
                seen += count;
            }
            CHECK(seen == set.count);
            CHECK_OK(sky_reader_next(reader, &images, &first, &count));
            CHECK(count == 0);
            if (one == 0) one = crc;
            CHECK(crc == one);
            sky_reader_destroy(reader);
        }
    sky_pack_close(pack);
    sky_image_set_close(&set);

    struct sky_reader *reader = NULL;
    const uint8_t *images;
    int64_t first, count;
    CHECK_OK(sky_image_set_scan(&set, in_folder("bad/train/drone/0002")));
    CHECK_OK(sky_reader_create(&reader, &set, set.folder, NULL, SKY_EXIF_IGNORE, SIZE, 4, 2, NULL));
    CHECK_FAILS(sky_reader_next(reader, &images, &first, &count), SKY_DATA, "image-01.jpeg");
    sky_reader_destroy(reader);
    sky_reader_destroy(NULL);
    sky_image_set_close(&set);
    free(root);
}

static int64_t packed;
static void count_packed(void *context, int64_t done, int64_t total)
{
    (void)context;
    CHECK(done == packed + 1 && total == 5 * PLACES);
    packed = done;
}

static void test_pack(void)
{
    struct sky_train_set set = {0};
    struct sky_sampler *sampler = NULL;
    struct sky_pack *pack = NULL;
    struct sky_image image = {0}, resized = {0};
    struct sky_resizer resizer = {0};
    const struct sky_decode_options decode = {0};
    uint32_t from_files[9], from_pack[9];
    CHECK_OK(sky_pack_make(in_folder("good.pack"), in_folder("good"), SIZE, SKY_EXIF_IGNORE, 3, count_packed, NULL));
    CHECK_OK(sky_pack_make(in_folder("again.pack"), in_folder("good"), SIZE, SKY_EXIF_IGNORE, 1, NULL, NULL));
    char *a = NULL, *b = NULL;
    size_t a_bytes = 0, b_bytes = 0;
    CHECK_OK(sky_file_read(in_folder("good.pack"), 1 << 24, &a, &a_bytes));
    CHECK_OK(sky_file_read(in_folder("again.pack"), 1 << 24, &b, &b_bytes));
    CHECK(a_bytes == b_bytes && !memcmp(a, b, a_bytes));
    free(a);
    free(b);
    CHECK_OK(sky_pack_open(&pack, in_folder("good.pack")));
    CHECK(sky_pack_count(pack) == 5 * PLACES && sky_pack_size(pack) == SIZE);
    const uint8_t *pixels = NULL;
    CHECK_FAILS(sky_pack_read(pack, "train/drone/0000", &pixels), SKY_FORMAT, "has no train/drone/0000");
    CHECK_FAILS(sky_pack_read(pack, "", &pixels), SKY_FORMAT, "has no");
    CHECK_FAILS(sky_pack_read(pack, "zzz", &pixels), SKY_FORMAT, "has no zzz");
    CHECK_OK(tree_train_set(&set, in_folder("good")));
    for (int64_t i = 0; i < set.views[SKY_VIEW_DRONE].count; i++) {
        CHECK_OK(sky_pack_read(pack, set.views[SKY_VIEW_DRONE].paths[i], &pixels));
        char path[512];
        snprintf(path, sizeof path, "%s/%s", set.root, set.views[SKY_VIEW_DRONE].paths[i]);
        CHECK_OK(sky_image_read(path, &decode, &image));
        CHECK_OK(sky_resize_bicubic(&resizer, &image, SIZE, SIZE, &resized));
        CHECK(pixels && (size_t)pixels % 4096 == 0 && !memcmp(pixels, resized.pixels, SIZE * SIZE * 3));
    }

    /* The loader makes the same batches from it. */
    CHECK_OK(sky_sampler_create(&sampler, &set, SKY_SAMPLER_PAIRED, 1, BATCH, 3));
    struct sky_loader_options options = options_for(&set, sampler);
    options.workers = 2;
    CHECK(run(&options, from_files) == 0);
    options.pack = pack;
    CHECK(run(&options, from_pack) == 0);
    CHECK(!memcmp(from_files, from_pack, sizeof from_pack));

    /* A pack that does not fit the experiment or the tree. */
    struct sky_loader *loader = NULL;
    options.augment[0].size = options.augment[1].size = SIZE + 1;
    CHECK_FAILS(sky_loader_create(&loader, &options), SKY_DATA, "--size 17");
    options.augment[0].size = options.augment[1].size = SIZE;
    options.exif = SKY_EXIF_APPLY;
    CHECK_FAILS(sky_loader_create(&loader, &options), SKY_DATA, "exif");
    options.exif = SKY_EXIF_IGNORE;
    const char *changed = in_folder("good/train/drone/0003/image-01.jpeg");
    CHECK_OK(sky_file_read(changed, 1 << 20, &a, &a_bytes));
    CHECK_OK(sky_file_write_atomic(changed, a, a_bytes)); /* younger than the pack but the same */
    CHECK_OK(sky_loader_create(&loader, &options));
    sky_loader_destroy(loader);
    loader = NULL;
    a[a_bytes / 2] ^= 1; /* another picture of the same size */
    CHECK_OK(sky_file_write_atomic(changed, a, a_bytes));
    free(a);
    CHECK_FAILS(sky_loader_create(&loader, &options), SKY_DATA, "train/drone/0003/image-01.jpeg has changed");
    tree_write("good/train/drone/0003/image-01.jpeg", "short", 5);
    CHECK_FAILS(sky_loader_create(&loader, &options), SKY_DATA, "train/drone/0003/image-01.jpeg has changed");
    tree_picture("good/train/drone/0003/image-01.jpeg", 131);
    tree_picture("good/train/drone/0003/image-77.jpeg", 5);
    sky_sampler_destroy(sampler);
    sky_train_set_close(&set);
    CHECK_OK(tree_train_set(&set, in_folder("good")));
    CHECK_OK(sky_sampler_create(&sampler, &set, SKY_SAMPLER_PAIRED, 1, BATCH, 3));
    options.set = &set, options.sampler = sampler;
    CHECK_FAILS(sky_loader_create(&loader, &options), SKY_DATA, "does not hold train/drone/0003/image-77.jpeg");
    CHECK(loader == NULL);
    remove(in_folder("good/train/drone/0003/image-77.jpeg"));
    sky_sampler_destroy(sampler);
    sky_train_set_close(&set);
    sky_pack_close(pack);
    sky_pack_close(NULL);
    sky_image_free(&image);
    sky_image_free(&resized);
    sky_resizer_free(&resizer);
}

/* A copy of the pack with one byte turned or its end cut. */
static const char *spoiled(size_t at, size_t keep)
{
    char *bytes = NULL;
    size_t count = 0;
    const char *path = in_folder("spoiled.pack");
    CHECK_OK(sky_file_read(in_folder("good.pack"), 1 << 24, &bytes, &count));
    if (at < count) bytes[at] ^= 0x10;
    CHECK_OK(sky_file_write_atomic(path, bytes, keep < count ? keep : count));
    free(bytes);
    return path;
}

static void test_spoiled_packs(void)
{
    struct sky_pack *pack = NULL;
    struct stat info;
    CHECK(!stat(in_folder("good.pack"), &info));
    const size_t count = (size_t)info.st_size, none = count;
    CHECK_FAILS(sky_pack_open(&pack, in_folder("nowhere.pack")), SKY_IO, "nowhere.pack");
    CHECK_FAILS(sky_pack_open(&pack, spoiled(none, 0)), SKY_FORMAT, "empty");
    CHECK_FAILS(sky_pack_open(&pack, spoiled(none, 100)), SKY_FORMAT, "not a pack");
    CHECK_FAILS(sky_pack_open(&pack, spoiled(none, count - 1)), SKY_FORMAT, "cut short");
    CHECK_FAILS(sky_pack_open(&pack, spoiled(none, 4096)), SKY_FORMAT, "cut short");
    CHECK_FAILS(sky_pack_open(&pack, spoiled(3, count)), SKY_FORMAT, "not a pack");
    CHECK_FAILS(sky_pack_open(&pack, spoiled(8, count)), SKY_FORMAT, "version");
    for (size_t at = 12; at < 60; at++) CHECK_FAILS(sky_pack_open(&pack, spoiled(at, count)), SKY_FORMAT, "header");
    for (size_t at = count - 300; at < count; at += 7) CHECK_FAILS(sky_pack_open(&pack, spoiled(at, count)), SKY_FORMAT, "index");
    CHECK_OK(sky_pack_open(&pack, spoiled(4096 * 3 + 5, count))); /* pixels are not read on opening */
    const uint8_t *pixels;
    for (int again = 0; again < 2; again++) CHECK_FAILS(sky_pack_read(pack, "test/gallery_satellite/0102/tile.png", &pixels), SKY_FORMAT, "are damaged");
    CHECK_OK(sky_pack_read(pack, "test/gallery_satellite/0101/tile.png", &pixels));
    sky_pack_close(pack);

    /* Making one from bad images names them and leaves no file; nor does a tree without images or a size out of range. */
    CHECK_FAILS(sky_pack_make(in_folder("no.pack"), in_folder("bad"), SIZE, SKY_EXIF_IGNORE, 2, NULL, NULL), SKY_DATA, "0002/image-01.jpeg");
    CHECK(strstr(sky_error_last()->what, "0004/image-02.jpeg") && strstr(sky_error_last()->what, "2 of "));
    CHECK_FAILS(sky_pack_make(in_folder("no.pack"), in_folder("good/train"), SIZE, SKY_EXIF_IGNORE, 2, NULL, NULL), SKY_DATA, "train or test");
    CHECK_FAILS(sky_pack_make(in_folder("no.pack"), in_folder("good"), 0, SKY_EXIF_IGNORE, 2, NULL, NULL), SKY_USAGE, "size");
    CHECK_FAILS(sky_pack_make(in_folder("nowhere/no.pack"), in_folder("good"), SIZE, SKY_EXIF_IGNORE, 2, NULL, NULL), SKY_IO, "nowhere");
    struct sky_listing list = {0};
    CHECK_OK(sky_folder_list(folder, &list));
    for (int64_t i = 0; i < list.count; i++) CHECK(strncmp(list.entries[i].name, "no.pack", 7));
    sky_listing_free(&list);
}

int main(void)
{
    folder_make();
    make_tree("good");
    test_loader();
    test_views();
    test_bad_images();
    test_pack();
    test_reader();
    test_spoiled_packs();
    folder_remove(folder);
    return check_done();
}
