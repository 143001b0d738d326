/*
 * Runs a function as several ranks: one forked process each, over the shared memory that `skygem launch` gives its ranks. Results come back through memory that
 * parent and children share. The parent itself never computes: OpenMP does not survive a fork.
 */
#ifndef SKY_TESTS_RANKS_H
#define SKY_TESTS_RANKS_H

#include "check.h"

#include "comm/board.h"
#include "comm/comm.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RANKS_MOST = 4 };

typedef void (*ranks_body)(struct sky_comm *comm, void *shared);

/* Set by a body whose collectives were meant to fail: the ranks then do not end together. */
static bool ranks_broken;

/* Memory that the ranks write and the parent reads. */
static inline void *ranks_shared(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory != MAP_FAILED) return memory;
    perror("shared memory");
    exit(1);
}

static inline int ranks_child(int rank, int size, struct sky_board *board, ranks_body body, void *shared)
{
    const struct sky_comm_place place = {
        .kind = SKY_COMM_LOCAL, .rank = rank, .size = size, .local_rank = rank, .local_size = size, .threads = 1, .board = board, .timeout_seconds = 60};
    struct sky_comm *comm = NULL;
    check_passed = check_failed = check_skipped = 0;
    if (!CHECK_OK(sky_comm_open(&comm, &place))) return 1;
    body(comm, shared);
    if (check_failed || ranks_broken) sky_comm_abort(comm, sky_error_last());
    else CHECK_OK(sky_comm_close(comm));
    return check_failed != 0;
}

/* Every check that fails in a rank is printed there and counts as one failure here. */
static inline void ranks_run(int size, ranks_body body, void *shared)
{
    pid_t children[RANKS_MOST];
    struct sky_board *board = NULL;
    CHECK_OK(sky_board_create(&board, size, sky_local_box_bytes(size), NULL));
    fflush(stdout);
    for (int rank = 0; rank < size; rank++) {
        children[rank] = fork();
        if (children[rank] != 0) continue;
        const int code = ranks_child(rank, size, board, body, shared);
        fflush(stdout);
        _exit(code);
    }
    for (int rank = 0; rank < size; rank++) {
        int state = -1;
        CHECK(waitpid(children[rank], &state, 0) == children[rank]);
        char detail[64];
        snprintf(detail, sizeof detail, "(rank %d of %d ended with state %#x)", rank, size, (unsigned)state);
        check_that(state == 0, "a rank ends well", __FILE__, __LINE__, detail);
    }
    sky_board_free(board);
}

#endif
