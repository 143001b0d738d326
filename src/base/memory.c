/*
 * Heap memory and large blocks behind memory.h. Callers own what they get; nothing is kept here.
 */
#include "memory.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { HUGE_PAGE_BYTES = 2 << 20 };

int sky_multiply_size(size_t a, size_t b, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}

sky_status sky_alloc(void *out, size_t count, size_t size, const char *what)
{
    size_t bytes;
    void *block = sky_multiply_size(count, size, &bytes) && bytes <= PTRDIFF_MAX ? calloc(bytes ? bytes : 1, 1) : NULL;
    if (!block) return sky_fail(SKY_NOMEM, what, "cannot allocate %zu x %zu bytes", count, size);
    memcpy(out, &block, sizeof block); /* *out is a pointer of any type */
    return SKY_OK;
}

sky_status sky_grow(void *array, int64_t count, int64_t *capacity, size_t size, const char *what)
{
    void *block;
    size_t bytes;
    if (count < *capacity) return SKY_OK;
    const int64_t wanted = *capacity < 8 ? 8 : *capacity * 2; /* counts of things in memory: far below 2^62 */
    memcpy(&block, array, sizeof block);
    if (!sky_multiply_size((size_t)wanted, size, &bytes) || !(block = realloc(block, bytes)))
        return sky_fail(SKY_NOMEM, what, "cannot grow to %lld x %zu bytes", (long long)wanted, size);
    memcpy(array, &block, sizeof block);
    *capacity = wanted;
    return SKY_OK;
}

static size_t round_to_pages(size_t bytes)
{
    const size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    return ((bytes ? bytes : 1) + page_bytes - 1) / page_bytes * page_bytes;
}

sky_status sky_block_alloc(void **out, size_t bytes, const char *what)
{
    const size_t block_bytes = round_to_pages(bytes);
    if (bytes > SIZE_MAX / 2) return sky_fail(SKY_NOMEM, what, "cannot allocate a block of %zu bytes", bytes);
    const size_t mapped_bytes = block_bytes + HUGE_PAGE_BYTES;
    unsigned char *mapped = mmap(NULL, mapped_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) return sky_fail(SKY_NOMEM, what, "cannot allocate a block of %zu bytes", bytes);
    /* The kernel places maps at page boundaries: take what is needed from the next 2 MiB boundary on, give back both ends. */
    const size_t before = (HUGE_PAGE_BYTES - (uintptr_t)mapped % HUGE_PAGE_BYTES) % HUGE_PAGE_BYTES, after = HUGE_PAGE_BYTES - before;
    if (before) munmap(mapped, before);
    munmap(mapped + before + block_bytes, after);
    madvise(mapped + before, block_bytes, MADV_HUGEPAGE); /* a wish: kernels without huge pages give small ones */
    *out = mapped + before;
    return SKY_OK;
}

void sky_block_free(void *block, size_t bytes)
{
    if (block) munmap(block, round_to_pages(bytes));
}

/* A small file of /proc or /sys as text; false when it cannot be read. */
static bool read_small(const char *path, char text[4096])
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    const ssize_t count = read(fd, text, 4095);
    close(fd);
    if (count <= 0) return false;
    text[count] = 0;
    return true;
}

/* Not getrusage: its ru_maxrss survives execve, so a child of a large shell or Python would report its parent's peak. */
size_t sky_memory_peak_bytes(void)
{
    char text[4096];
    unsigned long long kib = 0;
    if (!read_small("/proc/self/status", text)) return 0;
    const char *line = strstr(text, "VmHWM:");
    return line && sscanf(line, "VmHWM: %llu", &kib) == 1 ? (size_t)kib * 1024 : 0;
}

/* A container sees its own group as the root, so its limit stands in these files. */
size_t sky_memory_available_bytes(void)
{
    char text[4096];
    unsigned long long kib = 0, limit = 0, used = 0, cached = 0;
    if (!read_small("/proc/meminfo", text)) return 0;
    const char *line = strstr(text, "MemAvailable:");
    if (!line || sscanf(line, "MemAvailable: %llu", &kib) != 1) return 0;
    size_t available = (size_t)kib * 1024;
    if (!read_small("/sys/fs/cgroup/memory.max", text) || sscanf(text, "%llu", &limit) != 1) return available; /* "max": no limit */
    if (!read_small("/sys/fs/cgroup/memory.current", text) || sscanf(text, "%llu", &used) != 1) return available;
    line = read_small("/sys/fs/cgroup/memory.stat", text) ? strstr(text, "\nfile ") : NULL;
    if (line) sscanf(line, "\nfile %llu", &cached);
    const size_t room = limit > used - cached ? (size_t)(limit - (used - cached)) : 0;
    return room < available ? room : available;
}
