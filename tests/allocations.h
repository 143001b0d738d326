/*
 * Counts a test program's allocations with a malloc of its own in front of the C library's, and tells those of a neural network library (and of the C++ library
 * it uses) and of clang's OpenMP run time apart. Include it in one file, first, with _GNU_SOURCE defined. Under the address sanitizer nothing is counted: it has its own malloc.
 */
#ifndef SKY_TESTS_ALLOCATIONS_H
#define SKY_TESTS_ALLOCATIONS_H

#include <dlfcn.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum { ALLOCATIONS_KEPT = 8192 };
static struct {
    bool on;
    int seen;
    const void *callers[ALLOCATIONS_KEPT];
} allocations;

static inline void allocations_start(void)
{
    allocations.seen = 0;
    allocations.on = true;
}

static inline void allocations_stop(void) { allocations.on = false; }

static inline void allocations_note(const void *caller)
{
    if (!allocations.on) return;
    if (allocations.seen < ALLOCATIONS_KEPT) allocations.callers[allocations.seen] = caller;
    allocations.seen++;
}

#if defined(__SANITIZE_ADDRESS__)
#define ALLOCATIONS_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ALLOCATIONS_SANITIZED 1
#endif
#endif

#if defined(ALLOCATIONS_SANITIZED)
enum { ALLOCATIONS_COUNTED = 0 };
#else
enum { ALLOCATIONS_COUNTED = 1 };
extern void *__libc_malloc(size_t bytes);
extern void *__libc_calloc(size_t count, size_t bytes);
extern void *__libc_realloc(void *block, size_t bytes);
void *malloc(size_t bytes) { return allocations_note(__builtin_return_address(0)), __libc_malloc(bytes); }
void *calloc(size_t count, size_t bytes) { return allocations_note(__builtin_return_address(0)), __libc_calloc(count, bytes); }
void *realloc(void *block, size_t bytes) { return allocations_note(__builtin_return_address(0)), __libc_realloc(block, bytes); }
#endif

/* Of the calls seen, those that came from anywhere else. */
static inline int allocations_own(void)
{
    int own = 0;
    for (int i = 0; i < allocations.seen && i < ALLOCATIONS_KEPT; i++) {
        Dl_info info;
        const bool known = dladdr(allocations.callers[i], &info) && info.dli_fname;
        own += !known || (!strstr(info.dli_fname, "libdnnl") && !strstr(info.dli_fname, "libstdc++") && !strstr(info.dli_fname, "libomp"));
    }
    return own + (allocations.seen > ALLOCATIONS_KEPT);
}

#endif
