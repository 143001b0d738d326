/*
 * A fixed pool of worker threads that take numbered jobs from a bounded window, for the loader and other ordered pipelines.
 * Jobs may finish in any order; the consumer takes results in job order. Stops cleanly at any time.
 */
#ifndef SKY_BASE_THREADS_H
#define SKY_BASE_THREADS_H

#include "skygem/status.h"

#include <stdint.h>

struct sky_pool;

/*
 * Runs work(context, worker, job, slot) for job = first_job, first_job + 1, ... on `workers` threads, at most `window` jobs ahead of the
 * consumer; slot = job % window is the consumer's buffer for it. A job's failure is kept and returned when its turn comes.
 */
typedef sky_status (*sky_pool_work)(void *context, int worker, int64_t job, int slot);
sky_status sky_pool_create(struct sky_pool **out, int workers, int window, int64_t first_job, int64_t job_count, sky_pool_work work, void *context);

/* Waits for the next job in order: *job and its slot. Past the last job: *job = -1. The slot stays the consumer's until _release. */
sky_status sky_pool_next(struct sky_pool *pool, int64_t *job, int *slot);
void sky_pool_release(struct sky_pool *pool, int slot);
void sky_pool_destroy(struct sky_pool *pool); /* stops and joins; NULL is fine */

int sky_thread_count_default(void); /* processors in this process's affinity mask */

#endif
