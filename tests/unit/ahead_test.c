/*
 * Steps started before the last one's results are read: the same reports, errors and bits as one after another, with steps that are left out (under both
 * policies, alone, in a row, around an epoch's end), a moving loss scale, accumulation, a stop in the middle and a resume from there. The device is the CPU
 * with a staging that does everything as late as it may: batches arrive when they are taken, results when they are waited for, and until then there is rubbish
 * in their place.
 */
#include "data_tree.h"

#include "train/parameters.h"
#include "train/trainer_state.h"

#include <math.h>

enum { PLACES = 12, MOST_STEPS = 32, MOST_COPIES = 8, SLOTS = 2, ALL = 1000 };

/* ---- the late device ---- */

struct copy {
    void *to;
    const void *from; /* of a batch: the loader's; of a result: a snapshot, owned */
    size_t bytes;
};
struct queue {
    struct copy copy[MOST_COPIES];
    int count;
};

static struct {
    struct sky_backend backend;
    const struct sky_backend *base;
    struct sky_operation operations[SKY_OP_COUNT];
    struct queue batch[SLOTS], open, result[SLOTS];
    int filling, waiting, most_waiting;
    int64_t step, parts;     /* that the device is at */
    const int64_t *bad;      /* steps whose gradients are broken, ended by -1 */
} late;

static void put(struct queue *queue, void *to, const void *from, size_t bytes)
{
    if (queue->count == MOST_COPIES) abort();
    queue->copy[queue->count++] = (struct copy){to, from, bytes};
    memset(to, 0xFF, bytes);
}

static void deliver(struct queue *queue)
{
    for (int i = 0; i < queue->count; i++) memcpy(queue->copy[i].to, queue->copy[i].from, queue->copy[i].bytes);
}

static void drop_results(struct queue *queue)
{
    for (int i = 0; i < queue->count; i++) free((void *)queue->copy[i].from);
    queue->count = 0;
}

static sky_status late_pin(struct sky_device *device, void *host, size_t bytes) { return (void)device, (void)host, (void)bytes, SKY_OK; }
static void late_unpin(struct sky_device *device, void *host) { (void)device, (void)host; }

static sky_status late_begin(struct sky_device *device, int slot)
{
    (void)device;
    late.filling = slot, late.batch[slot].count = 0;
    return SKY_OK;
}

static sky_status late_copy(struct sky_device *device, void *to, const void *from, size_t bytes)
{
    (void)device;
    put(&late.batch[late.filling], to, from, bytes);
    return SKY_OK;
}

static sky_status late_slot(struct sky_device *device, int slot) { return (void)device, (void)slot, SKY_OK; }

static sky_status late_take(struct sky_device *device, int slot)
{
    (void)device;
    deliver(&late.batch[slot]);
    return SKY_OK;
}

static sky_status late_read(struct sky_device *device, void *to, const void *from, size_t bytes)
{
    (void)device;
    void *snapshot = malloc(bytes);
    if (!snapshot) abort();
    memcpy(snapshot, from, bytes);
    put(&late.open, to, snapshot, bytes);
    return SKY_OK;
}

static sky_status late_read_end(struct sky_device *device, int slot)
{
    (void)device;
    drop_results(&late.result[slot]);
    late.result[slot] = late.open, late.open.count = 0;
    late.waiting |= 1 << slot;
    if (late.waiting == 3) late.most_waiting = 2;
    return SKY_OK;
}

static sky_status late_read_wait(struct sky_device *device, int slot)
{
    (void)device;
    deliver(&late.result[slot]);
    late.waiting &= ~(1 << slot);
    return SKY_OK;
}

static const struct sky_staging staging = {.pin = late_pin,
                                           .unpin = late_unpin,
                                           .begin = late_begin,
                                           .copy = late_copy,
                                           .end = late_slot,
                                           .take = late_take,
                                           .release = late_slot,
                                           .read = late_read,
                                           .read_end = late_read_end,
                                           .read_wait = late_read_wait};

/* The scalars tell which step comes. */
static sky_status spy_copy_in(struct sky_device *device, void *to, const void *from, size_t bytes)
{
    if (bytes == sizeof(struct sky_scalars)) late.step = (int64_t)((const struct sky_scalars *)from)->step / late.parts;
    return late.base->copy_in(device, to, from, bytes);
}

static sky_status broken_wgrad(const struct sky_kernel *kernel, const struct sky_run *run)
{
    SKY_TRY(late.base->operations[SKY_OP_CONV_WGRAD].run(kernel, run));
    for (const int64_t *bad = late.bad; *bad >= 0; bad++)
        if (*bad == late.step) ((float *)run->out[0])[0] = INFINITY;
    return SKY_OK;
}

/* The trainer's own device, with gradients broken at some steps and, if wanted, late. */
static void replace_device(struct sky_trainer *trainer, const int64_t *bad, bool is_late)
{
    memset(&late, 0, sizeof late);
    late.base = trainer->executor.device.backend, late.backend = *late.base;
    memcpy(late.operations, late.base->operations, sizeof late.operations);
    late.operations[SKY_OP_CONV_WGRAD].run = broken_wgrad;
    late.backend.operations = late.operations, late.backend.copy_in = spy_copy_in, late.backend.staging = is_late ? &staging : NULL;
    late.bad = bad, late.parts = trainer->config->train.accumulate;
    trainer->executor.device.backend = &late.backend;
}

static void close_trainer(struct sky_trainer *trainer)
{
    sky_trainer_close(trainer);
    for (int slot = 0; slot < SLOTS; slot++) drop_results(&late.result[slot]);
}

/* ---- runs ---- */

struct plan {
    const char *name;
    const char *policy;
    int64_t accumulate, stop_after; /* reports, ALL: none */
    double scale;                   /* 1: fixed */
    int64_t bad[8];
    const char *more; /* NULL, or one more setting */
};

struct course {
    struct sky_step_report report[MOST_STEPS];
    int64_t reports, next_step;
    sky_status status;
    char what[2048];
    struct sky_tensor_list state[4]; /* the last of AdamW alone */
};

static void read_config(struct sky_config *config, const struct plan *plan)
{
    char root[512], policy[64], accumulate[64];
    const char *overrides[] = {"data.image_size=32", "data.workers=2",   "augment.pad=2",     "model.backbone=resnet18", "model.width=0.125", "model.partition=none",
                               "model.embedding=8", "train.batch_size=2", "device.threads=1", "optimizer.lr=0.01", "model.dropout=0.5", "train.epochs=3",
                               "train.ema=0.9",      root,               policy,              accumulate,                plan->more};
    snprintf(root, sizeof root, "data.root=%s", in_folder("tree"));
    snprintf(policy, sizeof policy, "train.on_nonfinite=%s", plan->policy);
    snprintf(accumulate, sizeof accumulate, "train.accumulate=%lld", (long long)plan->accumulate);
    CHECK_OK(sky_config_read(config, NULL, overrides, sizeof overrides / sizeof *overrides - !plan->more));
}

static void collect_state(struct sky_trainer *trainer, struct course *course)
{
    static const enum sky_arena arenas[] = {SKY_ARENA_PARAMS, SKY_ARENA_MOMENTUM, SKY_ARENA_EMA, SKY_ARENA_SQUARES};
    for (int a = 0; a < 3 + (trainer->executor.arena[SKY_ARENA_SQUARES] != NULL); a++)
        CHECK_OK(sky_parameters_collect(&trainer->model, &trainer->executor, arenas[a], "", &course->state[a]));
}

/* Steps to the end, or to a stop after some of them, where a checkpoint is written. */
static void walk(struct sky_trainer *trainer, const struct plan *plan, bool is_late, struct course *course)
{
    const int64_t count = sky_trainer_step_count(trainer);
    sky_trainer_look_ahead(trainer, is_late);
    while (sky_trainer_next_step(trainer) < count && course->reports < MOST_STEPS) {
        course->status = sky_trainer_step(trainer, &course->report[course->reports]);
        if (course->status != SKY_OK) {
            snprintf(course->what, sizeof course->what, "%s", sky_error_last()->what);
            break;
        }
        course->reports++;
        if (course->reports < plan->stop_after) continue;
        if (sky_trainer_is_ahead(trainer)) CHECK_FAILS(sky_trainer_save(trainer), SKY_USAGE, "under way");
        sky_trainer_look_ahead(trainer, false);
        if (!sky_trainer_is_ahead(trainer)) break;
    }
    course->next_step = sky_trainer_next_step(trainer);
    if (plan->stop_after < ALL) CHECK_OK(sky_trainer_save(trainer));
    collect_state(trainer, course);
}

static bool run(const struct plan *plan, bool is_late, const char *folder_name, bool resume, struct course *course)
{
    struct sky_config config = {0};
    struct sky_trainer *trainer = NULL;
    memset(course, 0, sizeof *course);
    read_config(&config, plan);
    const bool opened = CHECK_OK(sky_trainer_open(&trainer, &config, folder_name ? in_folder(folder_name) : NULL, resume));
    if (opened) {
        if (plan->scale > 1) trainer->scale = (struct sky_loss_scale){.value = plan->scale, .moves = true};
        replace_device(trainer, plan->bad, is_late);
        walk(trainer, plan, is_late, course);
        CHECK(late.most_waiting == (is_late ? 2 : 0)); /* a step was under way when another's results were read */
        close_trainer(trainer);
    }
    sky_config_free(&config);
    return opened;
}

static void course_free(struct course *course)
{
    for (int a = 0; a < 4; a++) sky_tensor_list_free(&course->state[a]);
}

static bool same_numbers(const struct sky_step_report *a, const struct sky_step_report *b)
{
    const double left[] = {a->loss, a->loss_ce, a->loss_kl, a->lr_backbone, a->lr_head, a->lr_gem, a->gradient_norm},
                 right[] = {b->loss, b->loss_ce, b->loss_kl, b->lr_backbone, b->lr_head, b->lr_gem, b->gradient_norm};
    return memcmp(left, right, sizeof left) == 0 && a->step == b->step && a->epoch == b->epoch && a->images == b->images && a->update_skipped == b->update_skipped &&
           a->skipped_updates == b->skipped_updates && a->skipped_images == b->skipped_images && a->clamped == b->clamped;
}

static bool same_state(const struct course *a, const struct course *b)
{
    for (int s = 0; s < 4; s++) {
        if (a->state[s].count != b->state[s].count || (s < 3 && a->state[s].count < 10)) return false;
        for (int64_t i = 0; i < a->state[s].count; i++)
            if (memcmp(a->state[s].tensors[i].data, b->state[s].tensors[i].data, sky_file_tensor_bytes(&a->state[s].tensors[i])) != 0) return false;
    }
    return true;
}

static void test_plan(const struct plan *plan, int64_t steps, int64_t skipped, sky_status end)
{
    struct course plain, ahead;
    if (!run(plan, false, NULL, false, &plain) || !run(plan, true, NULL, false, &ahead)) return;
    const bool same = plain.reports == ahead.reports && plain.next_step == ahead.next_step && plain.status == ahead.status && !strcmp(plain.what, ahead.what);
    int64_t different = 0;
    for (int64_t i = 0; i < plain.reports && i < ahead.reports; i++) different += !same_numbers(&plain.report[i], &ahead.report[i]);
    if (!same || different)
        printf("%s: %lld and %lld reports, %lld differ, \"%s\" and \"%s\"\n", plan->name, (long long)plain.reports, (long long)ahead.reports,
               (long long)different, plain.what, ahead.what);
    CHECK(same && different == 0);
    CHECK(same_state(&plain, &ahead));
    CHECK(plain.reports == steps && plain.status == end && (steps == 0 || plain.report[steps - 1].skipped_updates == skipped));
    CHECK(steps == 0 || isfinite(plain.report[0].loss));
    course_free(&plain);
    course_free(&ahead);
}

/* Stopped in the middle of an epoch with a step under way, which is then reported too; goes on from the checkpoint, late again. */
static void test_stop_and_resume(const char *more, const char *folder_name)
{
    const struct plan whole = {"whole", "skip", 1, ALL, 1, {3, -1}, more}, first = {"first", "skip", 1, 2, 1, {3, -1}, more};
    struct course plain, begin, rest;
    if (!run(&whole, false, NULL, false, &plain)) return;
    if (!run(&first, true, folder_name, false, &begin) || !run(&whole, true, folder_name, true, &rest)) return;
    CHECK(begin.reports == 3 && begin.next_step == 3); /* two, and the one under way */
    CHECK(rest.reports == plain.reports - 3 && rest.report[0].step == 3);
    for (int64_t i = 0; i < plain.reports; i++) CHECK(same_numbers(&plain.report[i], i < 3 ? &begin.report[i] : &rest.report[i - 3]));
    CHECK(same_state(&plain, &rest));
    course_free(&plain);
    course_free(&begin);
    course_free(&rest);
}

int main(void)
{
    folder_make();
    for (uint32_t place = 0; place < PLACES; place++) {
        char name[128];
        snprintf(name, sizeof name, "tree/train/satellite/%04u/tile.png", place);
        tree_picture(name, place);
        snprintf(name, sizeof name, "tree/train/drone/%04u/image-01.jpeg", place);
        tree_picture(name, 100 + place);
    }
    test_plan(&(struct plan){"plain", "stop", 1, ALL, 1, {-1}, NULL}, 18, 0, SKY_OK);
    test_plan(&(struct plan){"left out", "skip", 1, ALL, 1, {1, 3, 4, 5, 6, 17, -1}, NULL}, 18, 6, SKY_OK); /* 6 steps an epoch */
    test_plan(&(struct plan){"stop", "stop", 1, ALL, 1, {3, -1}, NULL}, 3, 0, SKY_NUMERIC);
    test_plan(&(struct plan){"stop at an epoch's end", "stop", 1, ALL, 1, {5, -1}, NULL}, 5, 0, SKY_NUMERIC);
    test_plan(&(struct plan){"scale", "stop", 1, ALL, 8, {2, 7, 8, -1}, NULL}, 18, 3, SKY_OK);
    test_plan(&(struct plan){"scale runs out", "stop", 1, ALL, 2, {2, 3, -1}, NULL}, 3, 1, SKY_NUMERIC);
    test_plan(&(struct plan){"left out, AdamW", "skip", 1, ALL, 1, {1, 3, 4, 5, 6, 17, -1}, "optimizer.kind=adamw"}, 18, 6, SKY_OK);
    test_plan(&(struct plan){"scale, AdamW", "stop", 1, ALL, 8, {2, 7, 8, -1}, "optimizer.kind=adamw"}, 18, 3, SKY_OK);
    test_plan(&(struct plan){"in parts", "skip", 2, ALL, 1, {1, 4, -1}, NULL}, 9, 2, SKY_OK);
    test_plan(&(struct plan){"in parts, stop", "stop", 2, ALL, 1, {4, -1}, NULL}, 4, 0, SKY_NUMERIC);
    test_stop_and_resume(NULL, "run");
    test_stop_and_resume("optimizer.kind=adamw", "run-adamw");
    folder_remove(folder);
    return check_done();
}
