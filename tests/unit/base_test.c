/*
 * Status, log, memory, files, checksums, dtypes, the clock and the ordered worker pool.
 */
#include "check.h"
#include "folder.h"

#include "base/clock.h"
#include "base/crc32c.h"
#include "base/dtype.h"
#include "base/fs.h"
#include "base/memory.h"
#include "base/signals.h"
#include "base/threads.h"
#include "skygem/log.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void test_status(void)
{
    CHECK(sky_fail(SKY_DATA, "a.jpg", "has %d bytes", 3) == SKY_DATA);
    CHECK(!strcmp(sky_error_last()->where, "a.jpg") && !strcmp(sky_error_last()->what, "has 3 bytes") && !*sky_error_last()->hint);
    CHECK(sky_hint("remove %s", "it") == SKY_DATA);
    CHECK(!strcmp(sky_error_last()->hint, "remove it"));
    sky_fail(SKY_IO, sky_error_last()->where, "again: %s", sky_error_last()->what); /* arguments that point into the record itself */
    CHECK(!strcmp(sky_error_last()->where, "a.jpg") && !strcmp(sky_error_last()->what, "again: has 3 bytes") && !*sky_error_last()->hint);
    const struct sky_error kept = *sky_error_last();
    sky_fail(SKY_USAGE, "x", "y");
    CHECK(sky_error_set(&kept) == SKY_IO && !strcmp(sky_error_last()->what, kept.what));
    errno = ENOSPC;
    CHECK(sky_fail_errno("disk", "cannot write") == SKY_NOSPACE);
    CHECK(sky_status_exit_code(SKY_CONFIG) == 2 && sky_status_exit_code(SKY_INTERRUPTED) == 75 && sky_status_exit_code(SKY_OK) == 0);
    CHECK(!strcmp(sky_status_name(SKY_INTERNAL), "internal") && !strcmp(sky_status_name((sky_status)99), "unknown"));
}

static void count_line(void *context, enum sky_log_level level, const char *line)
{
    int *seen = context;
    if (level == SKY_LOG_WARNING && !strcmp(line, "7 images skipped")) (*seen)++;
    else *seen += 100;
}

static void test_log(void)
{
    int seen = 0;
    sky_log(SKY_LOG_ERROR, "no sink: dropped");
    sky_log_set_sink(count_line, &seen, SKY_LOG_WARNING);
    sky_log(SKY_LOG_INFO, "below the level");
    sky_log(SKY_LOG_WARNING, "%d images skipped", 7);
    sky_log_set_sink(NULL, NULL, SKY_LOG_INFO);
    CHECK(seen == 1);
}

static void test_memory(void)
{
    int *items = NULL;
    int64_t capacity = 0;
    size_t product = 0;
    CHECK_OK(sky_alloc(&items, 100, sizeof *items, "items"));
    int sum = 0;
    for (int i = 0; i < 100; i++) sum |= items[i];
    CHECK(sum == 0);
    free(items);
    items = NULL;
    CHECK_FAILS(sky_alloc(&items, SIZE_MAX / 2, 8, "the gallery"), SKY_NOMEM, "the gallery");
    CHECK(items == NULL);
    for (int i = 0; i < 1000; i++) {
        if (sky_grow(&items, i, &capacity, sizeof *items, "items") != SKY_OK) break;
        items[i] = i;
    }
    CHECK(capacity >= 1000 && items[999] == 999 && items[0] == 0);
    free(items);
    CHECK(sky_multiply_size(1u << 20, 1u << 20, &product) && product == (size_t)1 << 40);
    CHECK(!sky_multiply_size(SIZE_MAX, 2, &product));

    static const size_t sizes[] = {0, 1, 4096, 4097, (2u << 20) - 1, 2u << 20, (5u << 20) + 3};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        void *block = NULL;
        if (!CHECK_OK(sky_block_alloc(&block, sizes[i], "arena"))) continue;
        CHECK((uintptr_t)block % (2u << 20) == 0);
        const unsigned char *bytes = block;
        unsigned any = 0;
        for (size_t at = 0; at < sizes[i]; at += 1000) any |= bytes[at];
        CHECK(any == 0);
        memset(block, 1, sizes[i]);
        sky_block_free(block, sizes[i]);
    }
    void *block = NULL;
    CHECK_FAILS(sky_block_alloc(&block, SIZE_MAX - 5, "arena"), SKY_NOMEM, "arena");
    CHECK_FAILS(sky_block_alloc(&block, (size_t)1 << 60, "arena"), SKY_NOMEM, "arena");
    sky_block_free(NULL, 10);
    CHECK(sky_memory_peak_bytes() > 100 * 1024 && sky_memory_peak_bytes() < (size_t)1 << 40);
}

/* Half a line is written before the limit on a file's size ends the rest: the half is taken back. */
static void append_over_a_limit(const char *path)
{
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    struct rlimit before, small;
    struct sigaction action;
    char *text = NULL;
    size_t count = 0;
    const int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    CHECK_OK(sky_file_append_line(fd, path, "whole"));
    sigaction(SIGXFSZ, &ignore, &action);
    getrlimit(RLIMIT_FSIZE, &before);
    small = before, small.rlim_cur = 10;
    setrlimit(RLIMIT_FSIZE, &small);
    CHECK_FAILS(sky_file_append_line(fd, path, "a line that is too long"), SKY_IO, path);
    setrlimit(RLIMIT_FSIZE, &before);
    sigaction(SIGXFSZ, &action, NULL);
    CHECK_OK(sky_file_append_line(fd, path, "next"));
    close(fd);
    CHECK_OK(sky_file_read(path, 100, &text, &count));
    CHECK(text && !strcmp(text, "whole\nnext\n"));
    free(text);
}

static void test_files(void)
{
    char *text = NULL;
    size_t count = 0;
    const char *path = in_folder("a.txt");
    CHECK_OK(sky_file_write_atomic(path, "hello\n", 6));
    CHECK_OK(sky_file_read(path, 6, &text, &count));
    CHECK(text && count == 6 && !strcmp(text, "hello\n"));
    free(text);
    text = NULL;
    CHECK_FAILS(sky_file_read(path, 5, &text, &count), SKY_FORMAT, "larger than 5");
    CHECK_FAILS(sky_file_read(in_folder("none"), 5, &text, &count), SKY_IO, "No such file");
    CHECK_FAILS(sky_file_read(folder, 5, &text, &count), SKY_IO, "cannot read");
    CHECK_FAILS(sky_file_read("/dev/zero", 100000, &text, &count), SKY_FORMAT, "larger than");
    CHECK(text == NULL);
    CHECK_OK(sky_file_read("/proc/self/status", 1 << 20, &text, &count)); /* claims no size */
    CHECK(text && count > 100 && strlen(text) == count);
    free(text);
    text = NULL;

    struct sky_atomic_file file = {0};
    struct sky_listing list = {0};
    CHECK_OK(sky_atomic_open(&file, path));
    CHECK_OK(sky_atomic_write(&file, "half", 4));
    sky_atomic_abort(&file);
    sky_atomic_abort(&file);
    CHECK_OK(sky_file_read(path, 100, &text, &count));
    CHECK(text && !strcmp(text, "hello\n")); /* the old content survives */
    free(text);
    CHECK_OK(sky_folder_list(folder, &list));
    CHECK(list.count == 1); /* and no temporary file stays */
    sky_listing_free(&list);
    CHECK_FAILS(sky_file_write_atomic(in_folder("none/b"), "x", 1), SKY_IO, "none/b");
    CHECK_OK(sky_folder_make(in_folder("target")));
    CHECK_FAILS(sky_file_write_atomic(in_folder("target"), "x", 1), SKY_IO, "is a folder"); /* before anything is written */
    CHECK_FAILS(sky_file_write_atomic("", "x", 1), SKY_IO, "path is empty");
    CHECK_OK(mkfifo(in_folder("pipe"), 0600) ? SKY_IO : SKY_OK);
    CHECK_FAILS(sky_file_write_atomic(in_folder("pipe"), "x", 1), SKY_IO, "is no regular file"); /* a device would be gone for everybody */
    CHECK(unlink(in_folder("pipe")) == 0);
    CHECK_OK(sky_atomic_probe(in_folder("a.txt")));
    CHECK_OK(sky_atomic_probe(in_folder("new")));
    CHECK_FAILS(sky_atomic_probe(in_folder("none/b")), SKY_IO, "none/b");
    CHECK_OK(sky_folder_list(folder, &list));
    CHECK(list.count == 2);
    sky_listing_free(&list);
    if (!access("/dev/full", W_OK)) {
        const int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
        CHECK_FAILS(sky_file_append_line(full, "/dev/full", "line"), SKY_NOSPACE, "/dev/full");
        close(full);
    }

    path = in_folder("lines");
    const int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    CHECK_OK(sky_file_append_line(fd, path, "one"));
    CHECK_OK(sky_file_append_line(fd, path, ""));
    close(fd);
    CHECK_OK(sky_file_read(path, 100, &text, &count));
    CHECK(text && !strcmp(text, "one\n\n"));
    free(text);
    append_over_a_limit(in_folder("limited"));

    struct sky_map map = {0};
    CHECK_OK(sky_map_open(&map, path));
    CHECK(map.count == 5 && !memcmp(map.bytes, "one\n\n", 5));
    sky_map_close(&map);
    sky_map_close(&map);
    CHECK_OK(sky_file_write_atomic(in_folder("empty"), "", 0));
    CHECK_OK(sky_map_open(&map, in_folder("empty")));
    CHECK(map.count == 0 && map.bytes);
    sky_map_close(&map);
    CHECK_FAILS(sky_map_open(&map, folder), SKY_IO, "not a regular file");
    CHECK_FAILS(sky_map_open(&map, in_folder("none")), SKY_IO, "No such file");
    CHECK_OK(sky_free_bytes(folder, &count));
    CHECK_FAILS(sky_free_bytes(in_folder("none"), &count), SKY_IO, "free space");
}

static void test_folders(void)
{
    struct sky_listing list = {0};
    CHECK_OK(sky_folder_make(in_folder("deep//a/b/")));
    CHECK_OK(sky_folder_make(in_folder("deep/a/b")));
    CHECK(sky_path_is_folder(in_folder("deep/a/b")));
    CHECK_OK(sky_file_write_atomic(in_folder("deep/a/file"), "", 0));
    CHECK(sky_path_is_file(in_folder("deep/a/file")) && !sky_path_is_file(in_folder("deep/a")) && !sky_path_is_folder(in_folder("nowhere")));
    CHECK_FAILS(sky_folder_make(in_folder("deep/a/file/x")), SKY_IO, "deep/a/file");
    CHECK(!symlink("b", in_folder("deep/a/link")) && !symlink("nowhere", in_folder("deep/a/dangling")));
    CHECK_OK(sky_folder_make(in_folder("deep/a/B")));
    if (CHECK_OK(sky_folder_list(in_folder("deep/a"), &list)) && CHECK(list.count == 5)) {
        static const char *const names[] = {"B", "b", "dangling", "file", "link"};
        for (int i = 0; i < 5; i++) CHECK(!strcmp(list.entries[i].name, names[i]));
        CHECK(list.entries[0].is_folder && !list.entries[0].is_file && list.entries[3].is_file && list.entries[4].is_folder);
        CHECK(!list.entries[2].is_file && !list.entries[2].is_folder);
    }
    sky_listing_free(&list);
    CHECK_FAILS(sky_folder_list(in_folder("nowhere"), &list), SKY_IO, "nowhere");
}

static int joins_to(const char *first, const char *name, const char *want)
{
    char *path = NULL;
    const int good = sky_path_join(&path, first, name) == SKY_OK && !strcmp(path, want);
    free(path);
    return good;
}

static int folder_is(const char *path, const char *want)
{
    char *out = NULL;
    const int good = sky_path_folder(&out, path) == SKY_OK && !strcmp(out, want);
    free(out);
    return good;
}

static void test_paths(void)
{
    CHECK(joins_to("a", "b", "a/b") && joins_to("a/", "b", "a/b") && joins_to("/", "b", "/b") && joins_to("a", "/b", "/b") && joins_to("", "b", "b"));
    CHECK(folder_is("a/b", "a") && folder_is("a", ".") && folder_is("/a", "/") && folder_is("/", "/") && folder_is("a/b/", "a") && folder_is("a//b", "a"));
    CHECK(!strcmp(sky_path_base("a/b.ini"), "b.ini") && !strcmp(sky_path_base("b.ini"), "b.ini"));
}

static void test_lock(void)
{
    struct sky_lock lock = {0}, second = {0};
    char pid[32];
    snprintf(pid, sizeof pid, "process %ld", (long)getpid());
    CHECK_OK(sky_lock_take(&lock, folder));
    CHECK_FAILS(sky_lock_take(&second, folder), SKY_USAGE, pid);
    CHECK(second.fd_plus_one == 0);
    sky_lock_release(&lock);
    CHECK_OK(sky_lock_take(&second, folder));
    sky_lock_release(&second);
    sky_lock_release(&second);
    CHECK_FAILS(sky_lock_take(&lock, in_folder("none")), SKY_IO, "run.lock");
}

static void test_crc32c(void)
{
    unsigned char bytes[4096];
    int wrong = 0;
    CHECK(sky_crc32c(0, "123456789", 9) == 0xe3069283u);
    CHECK(sky_crc32c(0, "", 0) == 0);
    memset(bytes, 0, 32);
    CHECK(sky_crc32c(0, bytes, 32) == 0x8a9136aau); /* RFC 3720, B.4 */
    memset(bytes, 0xff, 32);
    CHECK(sky_crc32c(0, bytes, 32) == 0x62a8ab43u);
    for (int i = 0; i < 32; i++) bytes[i] = (unsigned char)i;
    CHECK(sky_crc32c(0, bytes, 32) == 0x46dd794eu);
    for (int i = 0; i < 32; i++) bytes[i] = (unsigned char)(31 - i);
    CHECK(sky_crc32c(0, bytes, 32) == 0x113fdb5cu);
    for (int i = 0; i < 4096; i++) bytes[i] = (unsigned char)(i * 131 + i / 7);
    const uint32_t whole = sky_crc32c(0, bytes, 4096);
    for (size_t cut = 0; cut < 64; cut++) wrong += sky_crc32c(sky_crc32c(0, bytes, cut), bytes + cut, 4096 - cut) != whole;
    CHECK(wrong == 0);
}

/* ---- the pool ---- */

struct pool_case {
    int64_t values[8]; /* [window] */
    int64_t fail_at;
    int uneven;
};

static sky_status square(void *context, int worker, int64_t job, int slot)
{
    struct pool_case *c = context;
    (void)worker;
    if (c->uneven) usleep((unsigned)(job * 7919 % 5) * 100);
    if (job == c->fail_at) return sky_fail(SKY_DATA, "image 13", "is broken");
    c->values[slot] = job * job;
    return SKY_OK;
}

static void test_pool_order(void)
{
    static const int worker_counts[] = {1, 2, 5}, windows[] = {1, 3, 8};
    for (int i = 0; i < 9; i++) {
        struct sky_pool *pool = NULL;
        struct pool_case c = {.fail_at = -1, .uneven = 1};
        int64_t job = 0, expected = 5;
        int slot = -1, wrong = 0;
        const int window = windows[i / 3];
        if (!CHECK_OK(sky_pool_create(&pool, worker_counts[i % 3], window, 5, 60, square, &c))) continue;
        while (sky_pool_next(pool, &job, &slot) == SKY_OK && job >= 0) {
            wrong += job != expected || slot != (int)(job % window) || c.values[slot] != job * job;
            expected++;
            sky_pool_release(pool, slot);
        }
        CHECK(expected == 65 && wrong == 0);
        CHECK_OK(sky_pool_next(pool, &job, &slot));
        CHECK(job == -1);
        sky_pool_destroy(pool);
    }
}

static void test_pool_failure(void)
{
    struct sky_pool *pool = NULL;
    struct pool_case c = {.fail_at = 13};
    int64_t job = 0;
    int slot = 0, seen = 0, failures = 0;
    CHECK_OK(sky_pool_create(&pool, 2, 4, 0, 20, square, &c));
    for (;;) {
        const sky_status status = sky_pool_next(pool, &job, &slot);
        if (status != SKY_OK) { /* in its turn, with the worker's message; the rest goes on */
            CHECK(status == SKY_DATA && seen == 13 && !strcmp(sky_error_last()->where, "image 13"));
            failures++;
            continue;
        }
        if (job < 0) break;
        seen++;
        sky_pool_release(pool, slot);
    }
    CHECK(seen == 19 && failures == 1);
    sky_pool_destroy(pool);
}

static void test_pool_stop(void)
{
    struct sky_pool *pool = NULL;
    struct pool_case c = {.fail_at = -1};
    int64_t job = 0;
    int slot = 0;
    for (int taken = 0; taken < 4; taken++) { /* destroyed at once, early, with slots still taken */
        CHECK_OK(sky_pool_create(&pool, 3, 4, 0, 1000, square, &c));
        for (int i = 0; i < taken; i++) CHECK_OK(sky_pool_next(pool, &job, &slot));
        sky_pool_destroy(pool);
    }
    sky_pool_destroy(NULL);
    CHECK_OK(sky_pool_create(&pool, 2, 2, 0, 0, square, &c));
    CHECK_OK(sky_pool_next(pool, &job, &slot));
    CHECK(job == -1);
    sky_pool_destroy(pool);
    CHECK_FAILS(sky_pool_create(&pool, 0, 2, 0, 1, square, &c), SKY_INTERNAL, "0 workers");
    CHECK(sky_thread_count_default() >= 1);
}

/* In a child, because a handler is for the whole process. */
static void test_signals(void)
{
    int code = 0;
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        if (sky_signals_install() != SKY_OK || sky_signal_received()) _exit(1);
        raise(SIGTERM);
        if (sky_signal_received() != SIGTERM) _exit(2);
        raise(SIGINT); /* a second request: at once */
        _exit(3);
    }
    CHECK(child > 0 && waitpid(child, &code, 0) == child);
    CHECK(WIFEXITED(code) && WEXITSTATUS(code) == 130);
}

int main(void)
{
    folder_make();
    test_status();
    test_log();
    test_memory();
    test_files();
    test_folders();
    test_paths();
    test_lock();
    test_crc32c();
    test_pool_order();
    test_pool_failure();
    test_pool_stop();
    test_signals();
    CHECK(sky_dtype_bytes(SKY_F64) == 8 && sky_dtype_bytes(SKY_BF16) == 2 && !strcmp(sky_dtype_name(SKY_I64), "i64"));
    const double before = sky_now();
    usleep(2000);
    CHECK_NEAR(sky_now() - before, 0.002, 0.5);
    CHECK(sky_now() - before >= 0.002);
    folder_remove(folder);
    CHECK(!sky_path_is_folder(folder));
    return check_done();
}
