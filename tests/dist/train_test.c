/*
 * Training by several ranks against one, through the trainer: with batch norm over all ranks the first step's gradients are those of one rank with the whole
 * batch; with each rank's own, those of one rank that accumulates the ranks' batches. All ranks stay the same bits; a run goes on to the same bits with as many
 * ranks, and goes on with others; what differs between ranks is found.
 */
#define _GNU_SOURCE
#include "ranks.h"

#include "data_tree.h"

#include "train/parameters.h"
#include "train/trainer_state.h"

enum { PLACES = 16, MOST_VALUES = 1 << 19, FIXED = 12, MOST_MORE = 10 };

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

/* What the ranks are to do, and what came of it. */
struct course {
    char more[MOST_MORE][64];
    int more_count;
    const char *run; /* folder; NULL: none */
    bool resume;
    int steps;
    int poisoned;    /* the rank whose parameters are changed before the last step, -1: none */
    sky_status want; /* of the last step, or of opening when steps is 0 */
    const char *says;
    /* results, by rank */
    int64_t gradient_count, value_count, buffer_count, next_step, step_count, per_epoch;
    float gradients[RANKS_MOST][MOST_VALUES], values[RANKS_MOST][MOST_VALUES], momentum[RANKS_MOST][MOST_VALUES], squares[RANKS_MOST][MOST_VALUES],
        buffers[RANKS_MOST][MOST_VALUES];
    struct sky_step_report report[RANKS_MOST]; /* of the last step */
};

static void read_config(struct sky_config *config, const struct course *course)
{
    char root[512];
    const char *overrides[FIXED + MOST_MORE] = {"data.image_size=64",   "data.workers=1",    "augment.pad=2",     "model.backbone=se_resnet18",
                                                "model.se_layout=timm", "model.width=0.125", "model.embedding=8", "device.threads=1",
                                                "optimizer.lr=0.01",    "model.dropout=0",   "train.epochs=3",    root};
    snprintf(root, sizeof root, "data.root=%s", in_folder("tree"));
    for (int i = 0; i < course->more_count; i++) overrides[FIXED + i] = course->more[i];
    CHECK_OK(sky_config_read(config, NULL, overrides, FIXED + course->more_count));
}

static int64_t copy_arena(struct sky_trainer *trainer, enum sky_arena arena, float *to)
{
    const size_t bytes = trainer->model.graph.arena_bytes[arena];
    if (CHECK(bytes <= MOST_VALUES * sizeof(float)) && bytes) memcpy(to, trainer->executor.arena[arena], bytes);
    return (int64_t)(bytes / sizeof(float));
}

static void train(struct sky_comm *comm, void *shared)
{
    struct course *course = shared;
    const int rank = sky_comm_rank(comm);
    struct sky_config config = {0};
    struct sky_trainer *trainer = NULL;
    read_config(&config, course);
    if (course->steps == 0) {
        const sky_status status = sky_trainer_open_ranks(&trainer, &config, NULL, false, comm);
        ranks_broken = CHECK(status == course->want && strstr(sky_error_last()->where, course->says));
        sky_config_free(&config);
        return;
    }
    if (!CHECK_OK(sky_trainer_open_ranks(&trainer, &config, rank ? NULL : course->run, rank ? false : course->resume, comm))) return;
    course->step_count = sky_trainer_step_count(trainer), course->per_epoch = sky_trainer_steps_per_epoch(trainer);
    for (int step = 0; step < course->steps; step++) {
        if (step + 1 == course->steps && rank == course->poisoned) ((float *)trainer->executor.arena[SKY_ARENA_PARAMS])[5] += 1;
        const sky_status status = sky_trainer_step(trainer, &course->report[rank]);
        if (step + 1 < course->steps || course->want == SKY_OK) CHECK_OK(status);
        else ranks_broken = CHECK(status == course->want && strstr(sky_error_last()->what, course->says));
    }
    if (course->run) CHECK_OK(sky_trainer_save(trainer));
    course->next_step = sky_trainer_next_step(trainer);
    course->gradient_count = copy_arena(trainer, SKY_ARENA_GRADS, course->gradients[rank]);
    course->value_count = copy_arena(trainer, SKY_ARENA_PARAMS, course->values[rank]);
    course->buffer_count = copy_arena(trainer, SKY_ARENA_BUFFERS, course->buffers[rank]);
    copy_arena(trainer, SKY_ARENA_MOMENTUM, course->momentum[rank]);
    copy_arena(trainer, SKY_ARENA_SQUARES, course->squares[rank]); /* none of SGD */
    sky_trainer_close(trainer);
    sky_config_free(&config);
}

static struct course *new_course(int steps, const char *more)
{
    struct course *course = ranks_shared(sizeof *course);
    course->steps = steps, course->poisoned = -1;
    for (const char *at = more; at && *at; at += strcspn(at, " "), at += *at == ' ') snprintf(course->more[course->more_count++], 64, "%.*s", (int)strcspn(at, " "), at);
    return course;
}

static void free_course(struct course *course)
{
    munmap(course, sizeof *course);
}

static struct course *run_course(int size, int steps, const char *more)
{
    struct course *course = new_course(steps, more);
    ranks_run(size, train, course);
    return course;
}

static double relative_difference(const float *a, const float *b, int64_t count)
{
    double difference = 0, length = 0;
    for (int64_t i = 0; i < count; i++) difference += pow((double)a[i] - (double)b[i], 2), length += pow((double)b[i], 2);
    return length > 0 ? sqrt(difference / length) : NAN;
}

static void check_same_everywhere(const struct course *course, int size)
{
    for (int rank = 1; rank < size; rank++) {
        CHECK(memcmp(course->gradients[rank], course->gradients[0], (size_t)course->gradient_count * sizeof(float)) == 0);
        CHECK(memcmp(course->values[rank], course->values[0], (size_t)course->value_count * sizeof(float)) == 0);
        CHECK(memcmp(course->momentum[rank], course->momentum[0], (size_t)course->value_count * sizeof(float)) == 0);
        CHECK(memcmp(course->squares[rank], course->squares[0], (size_t)course->value_count * sizeof(float)) == 0);
        CHECK(course->report[rank].loss == course->report[0].loss && course->report[rank].gradient_norm == course->report[0].gradient_norm);
    }
}

/*
 * One seed and some losses: N ranks of B against one of N*B, with dropout, whose blocks of random numbers do not end with a row. Returns how far the gradients
 * of `size` ranks are from those of one. The running statistics, which every rank moves by all ranks' images, are one rank's to rounding.
 */
static double compare_with_one(int size, int seed, const char *losses)
{
    char more[320], alone[240];
    snprintf(more, sizeof more,
             "model.embedding=9 model.dropout=0.5 train.batch_size=%d experiment.seed=%d distributed.bn_sync=yes distributed.bucket_mib=0.01%s", 8 / size, seed,
             losses);
    snprintf(alone, sizeof alone, "model.embedding=9 model.dropout=0.5 train.batch_size=8 experiment.seed=%d%s", seed, losses);
    struct course *one = run_course(1, 1, alone), *many = run_course(size, 1, more);
    const double difference = relative_difference(many->gradients[0], one->gradients[0], one->gradient_count);
    check_same_everywhere(many, size);
    CHECK_NEAR(many->report[0].loss / one->report[0].loss, 1, 1e-5);
    CHECK(many->report[0].images == one->report[0].images && many->per_epoch == one->per_epoch);
    for (int rank = 0; rank < size; rank++) {
        CHECK(memcmp(many->buffers[rank], many->buffers[0], (size_t)many->buffer_count * sizeof(float)) == 0);
        CHECK_NEAR(relative_difference(many->buffers[rank], one->buffers[0], one->buffer_count), 0, 1e-6);
    }
    free_course(one);
    free_course(many);
    return difference;
}

/*
 * The gradients of the whole batch, to rounding. A ReLU or a maximum whose inputs are within rounding of each other may fall to the other side, and then moves
 * the gradient by more than rounding does: that is no fault, but rare, so it may happen for some seeds and not for all.
 */
static void test_whole_batch(void)
{
    enum { SEEDS = 4 };
    struct course *plain = run_course(1, 1, "train.batch_size=8"), *alone = run_course(1, 1, "train.batch_size=8 distributed.bn_sync=yes"),
                  *own = run_course(2, 1, "train.batch_size=4");
    CHECK(memcmp(alone->values[0], plain->values[0], sizeof plain->values[0]) == 0); /* alone the key changes nothing */
    CHECK(relative_difference(own->gradients[0], plain->gradients[0], plain->gradient_count) > 1e-2); /* the test would see statistics of each rank by itself */
    free_course(plain);
    free_course(alone);
    free_course(own);
    for (int size = 2; size <= RANKS_MOST; size *= 2) {
        double difference[SEEDS];
        int close = 0;
        for (int seed = 0; seed < SEEDS; seed++) {
            difference[seed] = compare_with_one(size, seed + 1, "");
            printf("%d ranks, seed %d: gradients differ by %.2e\n", size, seed + 1, difference[seed]);
            close += difference[seed] <= 1e-5;
            CHECK_NEAR(difference[seed], 0, 1e-2);
        }
        CHECK(close >= SEEDS / 2);
    }
}

/* Losses on pairs find their pairs and strangers among all ranks' places; a learned temperature has all their gradient. */
static void test_pairs(void)
{
    static const char *const losses[] = {" loss.info_nce=1 loss.info_nce_learn=yes loss.pair_features=joint", " loss.triplet=1 loss.soft_margin=0.5", " loss.contrastive=1"};
    enum { SEEDS = 3 };
    for (size_t l = 0; l < sizeof losses / sizeof *losses; l++)
        for (int size = 2; size <= RANKS_MOST; size *= 2) {
            int close = 0;
            for (int seed = 1; seed <= SEEDS; seed++) {
                const double difference = compare_with_one(size, seed, losses[l]);
                printf("%d ranks, seed %d,%s: gradients differ by %.2e\n", size, seed, losses[l], difference);
                close += difference <= 1e-5;
                CHECK_NEAR(difference, 0, 1e-2);
            }
            CHECK(close >= SEEDS / 2);
        }
}

/* Each rank's own statistics: one rank that accumulates the ranks' batches has the same. */
static void test_own_statistics(void)
{
    for (int size = 2; size <= RANKS_MOST; size *= 2) {
        char more[128];
        snprintf(more, sizeof more, "train.batch_size=2 train.accumulate=%d", size);
        struct course *one = run_course(1, 1, more), *many = run_course(size, 1, "train.batch_size=2"),
                      *rounded = run_course(size, 1, "train.batch_size=2 distributed.gradients=bf16");
        check_same_everywhere(many, size);
        check_same_everywhere(rounded, size);
        for (int64_t i = 0; i < one->gradient_count; i++) one->gradients[0][i] /= (float)size; /* a sum over the parts: the update divides it */
        CHECK_NEAR(relative_difference(many->gradients[0], one->gradients[0], one->gradient_count), 0, 1e-6);
        CHECK_NEAR(relative_difference(many->values[0], one->values[0], one->value_count), 0, 1e-6);
        const double rounding = relative_difference(rounded->gradients[0], many->gradients[0], many->gradient_count);
        CHECK(rounding > 1e-4 && rounding < 4e-3);
        free_course(one);
        free_course(many);
        free_course(rounded);
    }
    /* Ranks that accumulate too. */
    struct course *one = run_course(1, 1, "train.batch_size=2 train.accumulate=8"), *many = run_course(4, 1, "train.batch_size=2 train.accumulate=2");
    check_same_everywhere(many, 4);
    CHECK_NEAR(relative_difference(many->values[0], one->values[0], one->value_count), 0, 1e-6);
    free_course(one);
    free_course(many);
}

/* Each rank's images and dropout, and they agree all the same on averages and clipping. */
static void test_agreement(void)
{
    struct course *many = run_course(4, 3, "train.batch_size=2 model.dropout=0.5 train.ema=0.5 optimizer.clip_norm=0.1 distributed.check_every=1");
    check_same_everywhere(many, 4);
    free_course(many);
}

/* Ranks whose parameters are no longer the same are found at the next comparison, and the first of them is named. */
static void test_divergence(void)
{
    for (int poisoned = 1; poisoned < 3; poisoned++) {
        struct course *course = new_course(3, "train.batch_size=2 distributed.check_every=3");
        char says[32];
        snprintf(says, sizeof says, "rank %d", poisoned);
        course->poisoned = poisoned, course->want = SKY_PEER, course->says = says;
        ranks_run(3, train, course);
        free_course(course);
    }
}

/* Settings that several ranks cannot have. */
static void test_refused(void)
{
    static const struct {
        const char *more, *says;
        sky_status want;
    } cases[] = {{"train.batch_size=2 device.backend=ref distributed.bn_sync=yes", "ranks", SKY_UNSUPPORTED},
                 {"train.batch_size=2 device.backend=ref loss.triplet=1", "ranks", SKY_UNSUPPORTED},
                 {"train.batch_size=9", "tree", SKY_DATA},
                 {"train.batch_size=2 debug.record=recorded", "debug.record", SKY_CONFIG}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct course *course = new_course(0, cases[i].more);
        course->want = cases[i].want, course->says = cases[i].says;
        ranks_run(2, train, course);
        free_course(course);
    }
}

static struct course *run_part(int size, int steps, const char *run, bool resume, const char *kind)
{
    struct course *course = new_course(steps, "train.batch_size=2 model.dropout=0.5 train.keep_checkpoints=9");
    char folder_name[64];
    snprintf(folder_name, sizeof folder_name, "%s-%s", run, kind);
    snprintf(course->more[course->more_count++], 64, "optimizer.kind=%s", kind);
    course->run = in_folder(folder_name), course->resume = resume;
    ranks_run(size, train, course);
    return course;
}

static void test_resume(const char *kind)
{
    struct course *whole = run_part(2, 7, "whole", false, kind), *half = run_part(2, 3, "half", false, kind), *rest = run_part(2, 4, "half", true, kind);
    static const char last_name[] = "checkpoints/step-000000007.safetensors";
    char name[96];
    CHECK(whole->next_step == 7 && rest->next_step == 7 && whole->per_epoch == 4);
    check_same_everywhere(rest, 2);
    CHECK(memcmp(whole->values[0], rest->values[0], (size_t)whole->value_count * sizeof(float)) == 0);
    CHECK(memcmp(whole->momentum[0], rest->momentum[0], (size_t)whole->value_count * sizeof(float)) == 0);
    CHECK(memcmp(whole->squares[0], rest->squares[0], (size_t)whole->value_count * sizeof(float)) == 0);
    CHECK(whole->report[0].loss == rest->report[0].loss);
    char *a = NULL, *b = NULL;
    size_t a_bytes = 0, b_bytes = 0;
    snprintf(name, sizeof name, "whole-%s/%s", kind, last_name);
    CHECK_OK(sky_file_read(in_folder(name), 1 << 26, &a, &a_bytes));
    snprintf(name, sizeof name, "half-%s/%s", kind, last_name);
    CHECK_OK(sky_file_read(in_folder(name), 1 << 26, &b, &b_bytes));
    CHECK(a_bytes > 0 && a_bytes == b_bytes && memcmp(a, b, a_bytes) == 0); /* running statistics too: they are rank 0's */
    free(a);
    free(b);
    free_course(whole);
    free_course(half);
    free_course(rest);
}

/* Two ranks make 3 steps of 4 places; one goes on behind 12 places, in steps of 2: step 6 of 8; four then behind the first epoch's 16, in steps of 8. */
static void test_other_ranks(void)
{
    free_course(run_part(2, 3, "changed", false, "sgd"));
    struct course *one = run_part(1, 2, "changed", true, "sgd");
    CHECK(one->per_epoch == 8 && one->next_step == 5 && one->report[0].epoch == 0 && one->report[0].step == 4 && one->step_count == 24 - 3);
    struct course *four = run_part(4, 2, "changed", true, "sgd");
    check_same_everywhere(four, 4);
    CHECK(four->per_epoch == 2 && four->next_step == 7 && four->report[0].epoch == 1 && four->report[0].step == 6 && four->step_count == 6 + 3);
    struct course *last = run_part(4, 2, "changed", true, "sgd");
    CHECK(last->next_step == 9 && last->next_step == last->step_count && last->report[0].epoch == 2);
    free_course(one);
    free_course(four);
    free_course(last);
}

int main(void)
{
    folder_make();
    make_tree();
    test_whole_batch();
    test_pairs();
    test_own_statistics();
    test_agreement();
    test_divergence();
    test_refused();
    test_resume("sgd");
    test_resume("adamw");
    test_other_ranks();
    folder_remove(folder);
    return check_done();
}
