/*
 * Shared memory, seats and the bell behind board.h. Owns the mapping of its own process; the memory itself goes when the last process that maps it ends.
 */
#define _GNU_SOURCE /* memfd_create, syscall */
#include "board.h"

#include "base/memory.h"

#include <limits.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { LINE = 64, LAYOUT = 1 }; /* raise LAYOUT whenever struct sky_seat or this file's layout changes */
static const char magic[8] = "skyboard";

struct sky_board_memory {
    char magic[8];
    uint32_t layout, size;
    uint64_t box_bytes;
    _Atomic uint32_t bell;
};

static size_t aligned(size_t bytes)
{
    return (bytes + LINE - 1) / LINE * LINE;
}

static size_t seats_offset(void)
{
    return aligned(sizeof(struct sky_board_memory));
}

static size_t boxes_offset(int size)
{
    return seats_offset() + (size_t)size * aligned(sizeof(struct sky_seat));
}

static size_t bytes_of(int size, size_t box_bytes)
{
    return boxes_offset(size) + (size_t)size * 2 * aligned(box_bytes);
}

/* ---- memory ---- */

static sky_status make_descriptor(size_t bytes, int *out)
{
    const int descriptor = memfd_create("skygem-ranks", 0); /* without CLOEXEC: the ranks inherit it */
    if (descriptor < 0) return sky_fail_errno("ranks", "cannot make shared memory");
    if (ftruncate(descriptor, (off_t)bytes)) {
        const sky_status status = sky_fail_errno("ranks", "cannot make shared memory");
        close(descriptor);
        return status;
    }
    *out = descriptor;
    return SKY_OK;
}

static sky_status map(struct sky_board **out, int descriptor, size_t bytes)
{
    struct sky_board *board = NULL;
    SKY_TRY(sky_alloc(&board, 1, sizeof *board, "the ranks' board"));
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, descriptor < 0 ? MAP_SHARED | MAP_ANONYMOUS : MAP_SHARED, descriptor, 0);
    if (memory == MAP_FAILED) {
        free(board);
        return sky_fail_errno("ranks", "cannot map shared memory");
    }
    board->memory = memory, board->memory_bytes = bytes;
    *out = board;
    return SKY_OK;
}

sky_status sky_board_create(struct sky_board **out, int size, size_t box_bytes, int *descriptor)
{
    const size_t bytes = bytes_of(size, box_bytes);
    struct sky_board *board = NULL;
    int made = -1;
    if (descriptor) SKY_TRY(make_descriptor(bytes, &made));
    const sky_status status = map(&board, made, bytes);
    if (status != SKY_OK) {
        if (made >= 0) close(made);
        return status;
    }
    memcpy(board->memory->magic, magic, sizeof magic);
    board->memory->layout = LAYOUT, board->memory->size = (uint32_t)size, board->memory->box_bytes = box_bytes;
    board->size = size, board->box_bytes = box_bytes;
    if (descriptor) *descriptor = made;
    *out = board;
    return SKY_OK;
}

sky_status sky_board_map(struct sky_board **out, int descriptor)
{
    struct stat about;
    struct sky_board *board = NULL;
    if (fstat(descriptor, &about) || !S_ISREG(about.st_mode) || (size_t)about.st_size < sizeof(struct sky_board_memory)) {
        sky_fail(SKY_USAGE, "ranks", "descriptor %d is not the launcher's shared memory", descriptor);
        return sky_hint("start ranks with: skygem launch -n N COMMAND; the variables SKYGEM_RANK, SKYGEM_SIZE and SKYGEM_CHANNEL are the launcher's alone");
    }
    SKY_TRY(map(&board, descriptor, (size_t)about.st_size));
    const struct sky_board_memory *memory = board->memory;
    const bool ours = !memcmp(memory->magic, magic, sizeof magic);
    if (!ours || memory->layout != LAYOUT || memory->size < 1 || memory->size > SKY_MAX_RANKS || bytes_of((int)memory->size, memory->box_bytes) != board->memory_bytes) {
        sky_board_free(board);
        sky_fail(SKY_USAGE, "ranks", "descriptor %d is not the shared memory of this version's launcher", descriptor);
        return sky_hint("use the same skygem for the launcher and for the command it starts");
    }
    board->size = (int)memory->size, board->box_bytes = memory->box_bytes;
    *out = board;
    return SKY_OK;
}

void sky_board_free(struct sky_board *board)
{
    if (!board) return;
    munmap(board->memory, board->memory_bytes);
    free(board);
}

struct sky_seat *sky_board_seat(const struct sky_board *board, int rank)
{
    return (struct sky_seat *)((unsigned char *)board->memory + seats_offset() + (size_t)rank * aligned(sizeof(struct sky_seat)));
}

unsigned char *sky_board_box(const struct sky_board *board, int rank, int which)
{
    return (unsigned char *)board->memory + boxes_offset(board->size) + ((size_t)rank * 2 + (size_t)which) * aligned(board->box_bytes);
}

/* ---- the bell ---- */

uint32_t sky_board_bell(const struct sky_board *board)
{
    return atomic_load_explicit(&board->memory->bell, memory_order_acquire);
}

void sky_board_ring(const struct sky_board *board)
{
    atomic_fetch_add_explicit(&board->memory->bell, 1, memory_order_acq_rel);
    syscall(SYS_futex, &board->memory->bell, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

void sky_board_wait(const struct sky_board *board, uint32_t bell, double seconds)
{
    struct timespec limit = {.tv_sec = (time_t)seconds, .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};
    syscall(SYS_futex, &board->memory->bell, FUTEX_WAIT, bell, &limit, NULL, 0); /* early returns are fine: the caller looks again */
}

/* ---- seats ---- */

static void put_text(_Atomic uint64_t *to, size_t bytes, const char *text)
{
    char copy[SKY_COLLECTIVE_BYTES] = {0};
    uint64_t word;
    snprintf(copy, bytes, "%s", text);
    for (size_t i = 0; i < bytes / sizeof word; i++) {
        memcpy(&word, copy + i * sizeof word, sizeof word);
        atomic_store_explicit(&to[i], word, memory_order_relaxed);
    }
}

static void get_text(char *to, size_t bytes, const _Atomic uint64_t *from)
{
    for (size_t i = 0; i < bytes / sizeof(uint64_t); i++) {
        const uint64_t word = atomic_load_explicit(&from[i], memory_order_relaxed);
        memcpy(to + i * sizeof word, &word, sizeof word);
    }
    to[bytes - 1] = 0;
}

void sky_seat_set(struct sky_seat *seat, const char *phase, int64_t step)
{
    put_text(seat->phase, SKY_PHASE_BYTES, phase);
    atomic_store_explicit(&seat->step, step, memory_order_relaxed);
    atomic_fetch_add_explicit(&seat->beat, 1, memory_order_relaxed);
}

void sky_seat_enter(struct sky_seat *seat, const char *collective)
{
    put_text(seat->collective, SKY_COLLECTIVE_BYTES, collective);
    atomic_fetch_add_explicit(&seat->beat, 1, memory_order_relaxed);
}

bool sky_seat_end(const struct sky_board *board, int rank, enum sky_seat_state state, const struct sky_error *error)
{
    struct sky_seat *seat = sky_board_seat(board, rank);
    const uint32_t old = atomic_load_explicit(&seat->state, memory_order_acquire);
    if (old != SKY_SEAT_EMPTY && old != SKY_SEAT_OPEN) return false;
    if (error) seat->error = *error;
    atomic_store_explicit(&seat->state, (uint32_t)state, memory_order_release);
    sky_board_ring(board);
    return true;
}

void sky_seat_describe(const struct sky_seat *seat, char *out, size_t out_bytes)
{
    char phase[SKY_PHASE_BYTES], collective[SKY_COLLECTIVE_BYTES], step[32] = "";
    const int64_t number = atomic_load_explicit(&seat->step, memory_order_relaxed);
    get_text(phase, sizeof phase, seat->phase);
    get_text(collective, sizeof collective, seat->collective);
    if (!*phase) snprintf(phase, sizeof phase, "start-up"), snprintf(step, sizeof step, "%s", "");
    else if (number >= 0) snprintf(step, sizeof step, ", step %lld", (long long)number);
    snprintf(out, out_bytes, "in %s%s, %s%s", phase, step, *collective ? "at " : "between collectives", collective);
}
