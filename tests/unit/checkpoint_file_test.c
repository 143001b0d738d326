/*
 * The checkpoint protocol: any truncation and any changed byte is noticed, the newest whole file is found among damaged ones and the others are named, pruning
 * never removes the last whole one, a process killed while writing leaves a whole newest one, and a full or read-only disk fails with its message.
 */
#define _GNU_SOURCE /* unshare */
#include "check.h"

#include "base/rng.h"
#include "io/checkpoint_file.h"
#include "skygem/log.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WEIGHTS = 60000, BIASES = 7 };

static char folder[] = "/tmp/skygem-checkpoint-XXXXXX";
static struct sky_rng rng;
static char logged[4096];
static int logged_lines;

static void keep_line(void *context, enum sky_log_level level, const char *line)
{
    (void)context;
    if (level != SKY_LOG_WARNING) return;
    logged_lines++;
    strncat(logged, line, sizeof logged - strlen(logged) - 1);
}

static void forget_log(void)
{
    logged[0] = 0;
    logged_lines = 0;
}

/* What a checkpoint of a step holds is a function of the step. */
static float value_of(int64_t step, int64_t i) { return (float)((step * 131 + i * 7) % 65536); }

static sky_status write_step(const char *where, int64_t name_step, int64_t step, int64_t weights)
{
    static float values[WEIGHTS];
    static int64_t biases[BIASES];
    char *path = NULL, text[32];
    for (int64_t i = 0; i < weights; i++) values[i] = value_of(step, i);
    for (int64_t i = 0; i < BIASES; i++) biases[i] = step + i;
    snprintf(text, sizeof text, "%lld", (long long)step);
    const struct sky_file_tensor tensors[] = {{"weights", SKY_F32, 2, {weights / 10, 10}, values, 0}, {"biases", SKY_I64, 1, {BIASES}, biases, 0}};
    const struct sky_file_text texts[] = {{"format", "skygem checkpoint 1"}, {"step", text}, {"config", "[train]\nepochs = 3\n"}};
    SKY_TRY(sky_checkpoint_path(&path, where, name_step));
    const sky_status status = sky_checkpoint_write(path, tensors, 2, texts, 3);
    free(path);
    return status;
}

static bool holds_step(const struct sky_safetensors *file, int64_t step, int64_t weights)
{
    const struct sky_file_tensor *w = sky_safetensors_find(file, "weights"), *b = sky_safetensors_find(file, "biases");
    const char *text = sky_safetensors_text(file, "step"), *config = sky_safetensors_text(file, "config");
    if (!w || !b || w->dtype != SKY_F32 || b->dtype != SKY_I64 || w->bytes != (size_t)weights * 4 || w->rank != 2 || w->dim[1] != 10) return false;
    for (int64_t i = 0; i < weights; i++) {
        float value;
        memcpy(&value, (const char *)w->data + 4 * i, sizeof value);
        if (value != value_of(step, i)) return false;
    }
    for (int64_t i = 0; i < BIASES; i++) {
        int64_t bias;
        memcpy(&bias, (const char *)b->data + 8 * i, sizeof bias);
        if (bias != step + i) return false;
    }
    return text && atoll(text) == step && config && !strcmp(config, "[train]\nepochs = 3\n");
}

static void path_of(char out[512], const char *where, int64_t step) { snprintf(out, 512, "%s/step-%09lld.safetensors", where, (long long)step); }

static bool is_there(const char *where, int64_t step)
{
    char path[512];
    path_of(path, where, step);
    return access(path, F_OK) == 0;
}

static void write_file(const char *path, const void *bytes, size_t count)
{
    unlink(path);
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(bytes, 1, count, file) != count) CHECK(!"the test can write its file");
    if (file) fclose(file);
}

static void empty_folder(const char *where)
{
    struct sky_listing listing = {0};
    CHECK_OK(sky_folder_list(where, &listing));
    for (int64_t i = 0; i < listing.count; i++) {
        char *path = NULL;
        CHECK_OK(sky_path_join(&path, where, listing.entries[i].name));
        if (path && unlink(path)) rmdir(path);
        free(path);
    }
    sky_listing_free(&listing);
}

static int64_t newest(const char *where, int64_t weights)
{
    struct sky_safetensors file = {0};
    int64_t step = -1;
    if (sky_checkpoint_find_newest(&file, where, &step) != SKY_OK) return -1;
    CHECK(holds_step(&file, step, weights));
    sky_safetensors_close(&file);
    return step;
}

/* ---- damage ---- */

static void test_one_file(void)
{
    struct sky_safetensors file = {0};
    char path[512];
    size_t count = 0;
    char *bytes = NULL;
    path_of(path, folder, 42);
    CHECK_OK(write_step(folder, 42, 42, 40));
    CHECK_OK(sky_checkpoint_open(&file, path));
    CHECK(holds_step(&file, 42, 40));
    sky_safetensors_close(&file);
    CHECK_OK(sky_file_read(path, 1 << 20, &bytes, &count));
    int missed = 0, other = 0;
    for (size_t length = 0; length < count; length++) { /* every truncation */
        write_file(path, bytes, length);
        const sky_status status = sky_checkpoint_open(&file, path);
        missed += status == SKY_OK;
        other += status != SKY_OK && status != SKY_FORMAT;
        sky_safetensors_close(&file);
    }
    CHECK(missed == 0 && other == 0);
    int harmless = 0;
    for (size_t at = 0; at < count; at++) { /* every bit */
        for (int bit = 0; bit < 8; bit++) {
            bytes[at] = (char)(bytes[at] ^ 1 << bit);
            write_file(path, bytes, count);
            const sky_status status = sky_checkpoint_open(&file, path);
            bytes[at] = (char)(bytes[at] ^ 1 << bit);
            if (status == SKY_OK) { /* only where nothing that counts is changed: the name of the header's sum itself */
                harmless++;
                missed += !holds_step(&file, 42, 40);
            }
            other += status != SKY_OK && status != SKY_FORMAT;
            sky_safetensors_close(&file);
        }
    }
    CHECK(missed == 0 && other == 0 && harmless <= 8 * 13);
    char *longer = calloc(count + 1, 1);
    memcpy(longer, bytes, count);
    write_file(path, longer, count + 1);
    CHECK_FAILS(sky_checkpoint_open(&file, path), SKY_FORMAT, "longer than its tensors");
    bytes[count - 1] ^= 1;
    write_file(path, bytes, count);
    CHECK_FAILS(sky_checkpoint_open(&file, path), SKY_FORMAT, "its data are damaged");
    bytes[count - 1] ^= 1;
    char *epochs = memmem(bytes, count, "epochs = 3", 10);
    if (CHECK(epochs != NULL)) epochs[9] = '4';
    write_file(path, bytes, count);
    CHECK_FAILS(sky_checkpoint_open(&file, path), SKY_FORMAT, "its header is damaged");
    write_file(path, "", 0);
    CHECK_FAILS(sky_checkpoint_open(&file, path), SKY_FORMAT, "shorter than a safetensors header");
    CHECK_OK(sky_safetensors_write(path, NULL, 0, NULL, 0));
    CHECK_FAILS(sky_checkpoint_open(&file, path), SKY_FORMAT, "no checksum");
    free(longer);
    free(bytes);
    empty_folder(folder);
}

static void damage(int64_t step, long at)
{
    char path[512];
    path_of(path, folder, step);
    FILE *file = fopen(path, "r+b");
    if (!CHECK(file != NULL)) return;
    fseek(file, at, at < 0 ? SEEK_END : SEEK_SET);
    const int byte = fgetc(file);
    fseek(file, -1, SEEK_CUR);
    fputc(byte ^ 0x10, file);
    fclose(file);
}

static void test_find_newest(void)
{
    struct sky_safetensors file = {0};
    int64_t step = -1;
    char path[512];
    CHECK_FAILS(sky_checkpoint_find_newest(&file, folder, &step), SKY_FORMAT, "there is no checkpoint here");
    for (int64_t s = 10; s <= 80; s += 10) CHECK_OK(write_step(folder, s, s, 100));
    CHECK(newest(folder, 100) == 80);
    damage(80, -5);  /* a weight */
    damage(70, 300); /* the header */
    path_of(path, folder, 60);
    CHECK(truncate(path, 400) == 0);
    path_of(path, folder, 50);
    write_file(path, "", 0);
    path_of(path, folder, 40);
    CHECK_OK(sky_safetensors_write(path, NULL, 0, NULL, 0)); /* another kind of file */
    CHECK_OK(write_step(folder, 30, 20, 100));               /* a copy under another name */
    path_of(path, folder, 90);
    CHECK(mkdir(path, 0777) == 0); /* and things that are no checkpoints at all */
    snprintf(path, sizeof path, "%s/step-000000095.safetensors.tmp-1", folder);
    write_file(path, "half", 4);
    snprintf(path, sizeof path, "%s/step-x.safetensors", folder);
    write_file(path, "?", 1);
    forget_log();
    CHECK(newest(folder, 100) == 20);
    CHECK(logged_lines == 6);
    const char *const named[] = {"80.safetensors: its data are damaged",
                                 "70.safetensors: ",
                                 "60.safetensors: ",
                                 "50.safetensors: shorter than",
                                 "40.safetensors: it has no checksum",
                                 "30.safetensors: it is the checkpoint of step 20"};
    for (int i = 0; i < 6; i++)
        if (!CHECK(strstr(logged, named[i]) != NULL)) printf("not named: %s\nin %s\n", named[i], logged);
    damage(20, -5);
    damage(10, -5);
    CHECK_FAILS(sky_checkpoint_find_newest(&file, folder, &step), SKY_FORMAT, "none of its 8 checkpoints is whole");
    empty_folder(folder);
    CHECK_OK(write_step(folder, 999999999, 999999999, 100)); /* one digit more sorts before it by name */
    CHECK_OK(write_step(folder, 1000000000, 1000000000, 100));
    CHECK(newest(folder, 100) == 1000000000);
    empty_folder(folder);
    CHECK_FAILS(sky_checkpoint_find_newest(&file, "/nowhere/at/all", &step), SKY_IO, "/nowhere/at/all");
}

static void test_prune(void)
{
    char stale[128], own[128], alive[128], foreign[128];
    const pid_t child = fork();
    if (child == 0) _exit(0);
    waitpid(child, NULL, 0); /* a number that surely belongs to nobody now */
    for (int64_t s = 1; s <= 6; s++) CHECK_OK(write_step(folder, s, s, 100));
    snprintf(stale, sizeof stale, "%s/step-000000007.safetensors.tmp-%ld", folder, (long)child);
    snprintf(own, sizeof own, "%s/step-000000008.safetensors.tmp-%ld", folder, (long)getpid());
    snprintf(alive, sizeof alive, "%s/step-000000009.safetensors.tmp-%ld", folder, (long)getppid());
    snprintf(foreign, sizeof foreign, "%s/notes.tmp-%ld", folder, (long)child);
    write_file(stale, "x", 1);
    write_file(own, "x", 1);
    write_file(alive, "x", 1);
    write_file(foreign, "x", 1);
    CHECK_OK(sky_checkpoint_prune(folder, 3));
    for (int64_t s = 1; s <= 6; s++) CHECK(is_there(folder, s) == (s > 3));
    CHECK(access(stale, F_OK) != 0 && access(own, F_OK) == 0 && access(alive, F_OK) == 0 && access(foreign, F_OK) == 0);
    damage(6, -5); /* the newest is damaged: it stays as evidence and does not count */
    CHECK_OK(sky_checkpoint_prune(folder, 2));
    CHECK(is_there(folder, 4) && is_there(folder, 5) && is_there(folder, 6));
    CHECK_OK(sky_checkpoint_prune(folder, 1));
    CHECK(!is_there(folder, 4) && is_there(folder, 5) && is_there(folder, 6) && newest(folder, 100) == 5);
    CHECK_OK(sky_checkpoint_prune(folder, 0)); /* never the last whole one */
    CHECK(newest(folder, 100) == 5);
    damage(5, -5);
    CHECK_FAILS(sky_checkpoint_prune(folder, 1), SKY_FORMAT, "000000006.safetensors");
    CHECK(is_there(folder, 5) && is_there(folder, 6));
    empty_folder(folder);
    CHECK_OK(sky_checkpoint_prune(folder, 1)); /* nothing there is nothing to do */
}

/* ---- kill -9 ---- */

/* Writes and prunes without end, telling through the pipe each step that is written. */
static void write_until_killed(int pipe_end, int64_t first)
{
    for (int64_t step = first;; step++) {
        if (write_step(folder, step, step, WEIGHTS) != SKY_OK || write(pipe_end, &step, sizeof step) != sizeof step ||
            sky_checkpoint_prune(folder, 2) != SKY_OK)
            _exit(3);
    }
}

static void test_kill(int rounds)
{
    int64_t last = 0;
    int bad = 0, stale = 0;
    for (int round = 0; round < rounds; round++) {
        int ends[2], state = 0;
        int64_t told, step;
        if (!CHECK(pipe(ends) == 0)) return;
        const pid_t child = fork();
        if (child == 0) write_until_killed(ends[1], last + 1);
        close(ends[1]);
        usleep((useconds_t)sky_rng_below(&rng, 60000));
        kill(child, SIGKILL);
        waitpid(child, &state, 0);
        bad += !WIFSIGNALED(state);
        int64_t written = last;
        while (read(ends[0], &told, sizeof told) == (ssize_t)sizeof told) written = told;
        close(ends[0]);
        forget_log();
        step = newest(folder, WEIGHTS);         /* whole, what it should be, and no older than what was said to be written */
        if (step < 0 && written == 0) step = 0; /* killed before the very first was there */
        bad += step < written || step > written + 1 || logged_lines;
        last = step;
    }
    CHECK(bad == 0 && last > 0);
    CHECK_OK(sky_checkpoint_prune(folder, 2));
    struct sky_listing listing = {0};
    CHECK_OK(sky_folder_list(folder, &listing));
    for (int64_t i = 0; i < listing.count; i++) stale += strstr(listing.entries[i].name, ".tmp-") != NULL;
    CHECK(stale == 0 && listing.count <= 2);
    sky_listing_free(&listing);
    printf("%d kills, %lld checkpoints written\n", rounds, (long long)last);
    empty_folder(folder);
}

/* ---- disks ---- */

static void test_full_disk(const char *disk)
{
    static float block[1 << 18]; /* 1 MiB: half the disk */
    struct sky_safetensors file = {0};
    char path[512], other[512];
    CHECK_OK(write_step(disk, 1, 1, 100));
    path_of(path, disk, 2);
    const struct sky_file_tensor large[] = {{"large", SKY_F32, 1, {1 << 20}, NULL, 0}};
    float *values = calloc(1 << 20, sizeof *values);
    struct sky_file_tensor tensor = large[0];
    tensor.data = values;
    CHECK_FAILS(sky_checkpoint_write(path, &tensor, 1, NULL, 0), SKY_NOSPACE, "MiB left, a checkpoint takes 5.0 MiB");
    CHECK_FAILS(sky_safetensors_write(path, &tensor, 1, NULL, 0), SKY_NOSPACE, "No space left"); /* fills up half-way */
    CHECK(!is_there(disk, 2) && newest(disk, 100) == 1);
    snprintf(other, sizeof other, "%s/other", disk);
    write_file(other, block, sizeof block);
    CHECK_FAILS(write_step(disk, 2, 2, 100), SKY_NOSPACE, "left, a checkpoint takes");
    struct sky_listing listing = {0};
    CHECK_OK(sky_folder_list(disk, &listing));
    CHECK(listing.count == 2); /* step 1 and the other file: nothing half-written */
    sky_listing_free(&listing);
    unlink(other);
    CHECK_OK(write_step(disk, 2, 2, 100));
    CHECK(newest(disk, 100) == 2);
    path_of(path, disk, 2);
    CHECK_OK(sky_checkpoint_open(&file, path));
    sky_safetensors_close(&file);
    free(values);
}

static void test_read_only(const char *disk)
{
    CHECK_FAILS(write_step(disk, 3, 3, 100), SKY_IO, "Read-only file system");
    CHECK(newest(disk, 100) == 2);
    CHECK_FAILS(sky_checkpoint_prune(disk, 1), SKY_IO, "Read-only file system");
    CHECK(is_there(disk, 1) && is_there(disk, 2));
}

/* A small disk of our own, in a name space of our own, so that nothing is left behind. */
static void test_disks(void)
{
    char disk[128];
    snprintf(disk, sizeof disk, "%s/disk", folder);
    CHECK(mkdir(disk, 0777) == 0);
    if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) || mount("disk", disk, "tmpfs", 0, "size=2m")) {
        check_skip("full and read-only disk", "this user may not mount a small disk");
    } else {
        test_full_disk(disk);
        CHECK(mount("disk", disk, "tmpfs", MS_REMOUNT | MS_RDONLY, "size=2m") == 0);
        test_read_only(disk);
        umount(disk);
    }
    rmdir(disk);
    if (geteuid() == 0) { /* permissions do not stop root */
        check_skip("read-only folder", "running as root");
        return;
    }
    CHECK(chmod(folder, 0555) == 0);
    CHECK_FAILS(write_step(folder, 1, 1, 100), SKY_IO, "Permission denied");
    CHECK(chmod(folder, 0777) == 0);
}

int main(void)
{
    if (!mkdtemp(folder)) return 1;
    rng = sky_rng_make(13, SKY_RNG_TEST, 5, 0);
    sky_log_set_sink(keep_line, NULL, SKY_LOG_WARNING);
    test_one_file();
    test_find_newest();
    test_prune();
    test_kill(50);
    test_disks();
    empty_folder(folder);
    rmdir(folder);
    return check_done();
}
