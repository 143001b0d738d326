/*
 * What every fuzz target is: one function that gives bytes to one reader and asks for nothing but that it returns. libFuzzer's driver calls it (run.sh), or
 * mutate.c where there is none.
 */
#ifndef SKY_TESTS_FUZZ_H
#define SKY_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

/* The bytes as a file in memory, for readers that want a path; *file is for fuzz_file_end. */
static inline const char *fuzz_file(const uint8_t *bytes, size_t count, int *file)
{
    static char path[64];
    *file = memfd_create("fuzz", 0);
    if (*file < 0 || (count && write(*file, bytes, count) != (ssize_t)count)) abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", *file);
    return path;
}

static inline void fuzz_file_end(int file) { close(file); }

#endif
