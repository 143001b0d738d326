/*
 * The board: memory that the ranks of one machine and the process that started them share. A seat a rank says what that rank is doing, so that messages can
 * name it, and how it ended; boxes carry the data of local ranks. A rank writes its own seat; once its process is dead, the one that started it does.
 * Everything is lock-free: any process may die at any instruction.
 */
#ifndef SKY_COMM_BOARD_H
#define SKY_COMM_BOARD_H

#include "skygem/status.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SKY_MAX_RANKS = 65536, SKY_PHASE_BYTES = 24, SKY_COLLECTIVE_BYTES = 40 };

enum sky_seat_state {
    SKY_SEAT_EMPTY,  /* has not come yet */
    SKY_SEAT_OPEN,
    SKY_SEAT_CLOSED, /* came to its end in order */
    SKY_SEAT_FAILED, /* ends with `error` */
    SKY_SEAT_GONE    /* its process has ended otherwise; `error` tells how */
};

struct sky_seat {
    _Atomic uint32_t state;
    _Atomic int32_t process; /* id; 0 before it comes */
    _Atomic uint64_t arrived; /* exchanges that this rank has come to (local ranks) */
    _Atomic uint64_t beat;    /* moves whenever the rank says what it does */
    _Atomic int64_t step;     /* -1: not in a step */
    _Atomic uint64_t phase[SKY_PHASE_BYTES / 8], collective[SKY_COLLECTIVE_BYTES / 8]; /* texts by words: a reader may see two mixed, never an unfinished one */
    struct sky_error error;   /* complete before state becomes FAILED or GONE */
};

struct sky_board_memory; /* board.c */

/* A process's view of the board. */
struct sky_board {
    struct sky_board_memory *memory;
    size_t memory_bytes;
    int size; /* seats */
    size_t box_bytes;
};

/* Bytes of a box that carries one exchange between `size` local ranks. */
size_t sky_local_box_bytes(int size);

/* New memory for `size` ranks, zeroed. With boxes (box_bytes > 0) *descriptor is an inheritable memfd that ranks map; descriptor NULL: inherited by fork alone. */
sky_status sky_board_create(struct sky_board **out, int size, size_t box_bytes, int *descriptor);
/* The board behind an inherited descriptor. SKY_USAGE when that is none of ours, or one of another version. */
sky_status sky_board_map(struct sky_board **out, int descriptor);
void sky_board_free(struct sky_board *board); /* unmaps; NULL is fine */

struct sky_seat *sky_board_seat(const struct sky_board *board, int rank);
unsigned char *sky_board_box(const struct sky_board *board, int rank, int which /* 0, 1 */); /* [box_bytes], 64-byte aligned */

/* The bell wakes everyone who waits: read it, look at the seats, then wait for it to move on (at most `seconds`). */
uint32_t sky_board_bell(const struct sky_board *board);
void sky_board_ring(const struct sky_board *board);
void sky_board_wait(const struct sky_board *board, uint32_t bell, double seconds);

void sky_seat_set(struct sky_seat *seat, const char *phase, int64_t step); /* what the rank does */
void sky_seat_enter(struct sky_seat *seat, const char *collective);        /* "" when it leaves */
/* Says how a rank ends and wakes the others. An end that was said stays. Returns false when one was. */
bool sky_seat_end(const struct sky_board *board, int rank, enum sky_seat_state state, const struct sky_error *error);

/* "in train, step 120, at gradients": what a rank does, as far as is known here. At least 128 bytes. */
void sky_seat_describe(const struct sky_seat *seat, char *out, size_t out_bytes);

#endif
