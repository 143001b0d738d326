/*
 * The ordered worker pool behind threads.h. One mutex guards everything; work runs outside it. The pool owns its threads and its slot
 * table, not the buffers the slots stand for. Workers block all signals, so Ctrl-C is always the main thread's.
 */
#define _GNU_SOURCE /* sched_getaffinity */
#include "threads.h"

#include "memory.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum slot_state { SLOT_FREE, SLOT_WORKING, SLOT_READY, SLOT_TAKEN };

struct slot {
    enum slot_state state;
    sky_status status;
    struct sky_error error; /* when status is not SKY_OK */
};

struct worker {
    struct sky_pool *pool;
    int index;
    pthread_t thread;
};

struct sky_pool {
    pthread_mutex_t lock;
    pthread_cond_t slot_ready, slot_freed;
    int window, started; /* threads to join */
    int64_t next_job, next_result, end_job;
    bool stop;
    sky_pool_work work;
    void *context;
    struct slot *slots;      /* [window] */
    struct worker *workers;  /* [workers] */
};

static struct slot *slot_of(struct sky_pool *pool, int64_t job)
{
    return &pool->slots[job % pool->window];
}

/* Waits for a job whose slot is free; -1 when there is nothing more to do. Called with the lock held. */
static int64_t take_job(struct sky_pool *pool)
{
    while (!pool->stop && pool->next_job < pool->end_job && slot_of(pool, pool->next_job)->state != SLOT_FREE)
        pthread_cond_wait(&pool->slot_freed, &pool->lock);
    if (pool->stop || pool->next_job >= pool->end_job) return -1;
    slot_of(pool, pool->next_job)->state = SLOT_WORKING;
    return pool->next_job++;
}

static void *worker_main(void *argument)
{
    const struct worker *worker = argument;
    struct sky_pool *pool = worker->pool;
    pthread_mutex_lock(&pool->lock);
    for (int64_t job; (job = take_job(pool)) >= 0;) {
        struct slot *slot = slot_of(pool, job);
        pthread_mutex_unlock(&pool->lock);
        const sky_status status = pool->work(pool->context, worker->index, job, (int)(job % pool->window));
        pthread_mutex_lock(&pool->lock);
        slot->status = status;
        if (status != SKY_OK) slot->error = *sky_error_last();
        slot->state = SLOT_READY;
        if (job == pool->next_result) pthread_cond_signal(&pool->slot_ready);
    }
    pthread_cond_broadcast(&pool->slot_freed); /* the others see the end as well */
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

static sky_status start_workers(struct sky_pool *pool, int workers)
{
    sigset_t all, previous;
    int code = 0;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &previous);
    for (int i = 0; i < workers && !code; i++) {
        pool->workers[i].pool = pool;
        pool->workers[i].index = i;
        code = pthread_create(&pool->workers[i].thread, NULL, worker_main, &pool->workers[i]);
        if (!code) pool->started++;
    }
    pthread_sigmask(SIG_SETMASK, &previous, NULL);
    return code ? sky_fail(SKY_NOMEM, "worker threads", "cannot start thread %d of %d: %s", pool->started + 1, workers, strerror(code)) : SKY_OK;
}

sky_status sky_pool_create(struct sky_pool **out, int workers, int window, int64_t first_job, int64_t job_count, sky_pool_work work, void *context)
{
    struct sky_pool *pool = NULL;
    sky_status status = SKY_OK;
    int64_t end_job;
    if (workers < 1 || window < 1 || first_job < 0 || job_count < 0 || __builtin_add_overflow(first_job, job_count, &end_job))
        return sky_fail(SKY_INTERNAL, "worker threads", "%d workers, a window of %d, %lld jobs from %lld", workers, window, (long long)job_count,
                        (long long)first_job);
    SKY_TRY(sky_alloc(&pool, 1, sizeof *pool, "worker pool"));
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->slot_ready, NULL);
    pthread_cond_init(&pool->slot_freed, NULL);
    pool->window = window;
    pool->next_job = pool->next_result = first_job;
    pool->end_job = end_job;
    pool->work = work;
    pool->context = context;
    SKY_TRY_DONE(sky_alloc(&pool->slots, (size_t)window, sizeof *pool->slots, "worker pool's window"));
    SKY_TRY_DONE(sky_alloc(&pool->workers, (size_t)workers, sizeof *pool->workers, "worker pool's threads"));
    SKY_TRY_DONE(start_workers(pool, workers));
    *out = pool;
    pool = NULL;
done:
    sky_pool_destroy(pool);
    return status;
}

sky_status sky_pool_next(struct sky_pool *pool, int64_t *job, int *slot_index)
{
    sky_status status = SKY_OK;
    pthread_mutex_lock(&pool->lock);
    if (pool->next_result >= pool->end_job) {
        *job = -1;
    } else {
        struct slot *slot = slot_of(pool, pool->next_result);
        while (slot->state != SLOT_READY) pthread_cond_wait(&pool->slot_ready, &pool->lock);
        const int64_t taken = pool->next_result++;
        status = slot->status;
        if (status == SKY_OK) {
            slot->state = SLOT_TAKEN;
            *job = taken;
            *slot_index = (int)(taken % pool->window);
        } else { /* nothing to hand out: the slot goes back to the workers */
            sky_error_set(&slot->error);
            slot->state = SLOT_FREE;
            pthread_cond_broadcast(&pool->slot_freed);
        }
    }
    pthread_mutex_unlock(&pool->lock);
    return status;
}

void sky_pool_release(struct sky_pool *pool, int slot)
{
    pthread_mutex_lock(&pool->lock);
    pool->slots[slot].state = SLOT_FREE;
    pthread_cond_broadcast(&pool->slot_freed);
    pthread_mutex_unlock(&pool->lock);
}

void sky_pool_destroy(struct sky_pool *pool)
{
    if (!pool) return;
    pthread_mutex_lock(&pool->lock);
    pool->stop = true;
    pthread_cond_broadcast(&pool->slot_freed);
    pthread_mutex_unlock(&pool->lock);
    for (int i = 0; i < pool->started; i++) pthread_join(pool->workers[i].thread, NULL);
    pthread_cond_destroy(&pool->slot_freed);
    pthread_cond_destroy(&pool->slot_ready);
    pthread_mutex_destroy(&pool->lock);
    free(pool->workers);
    free(pool->slots);
    free(pool);
}

int sky_thread_count_default(void)
{
    int count = 0;
    for (int processors = 1024; processors <= 1 << 20 && !count; processors *= 2) { /* EINVAL: the kernel's mask is longer */
        cpu_set_t *mask = CPU_ALLOC((size_t)processors);
        if (!mask) break;
        const size_t mask_bytes = CPU_ALLOC_SIZE((size_t)processors);
        if (!sched_getaffinity(0, mask_bytes, mask)) count = CPU_COUNT_S(mask_bytes, mask);
        else if (errno != EINVAL) processors = 1 << 20;
        CPU_FREE(mask);
    }
    return count > 0 ? count : 1;
}
