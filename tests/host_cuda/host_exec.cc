/*
 * The fibers, barriers and shared memory behind host_exec.h. One launch at a time; everything lives in one object for the whole process, since kernels reach it
 * through free functions.
 */
#include "launch.cuh"

#include "host_order.h"

#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

#ifndef __SANITIZE_ADDRESS__
#define __SANITIZE_ADDRESS__ 0
#endif
#if defined(__has_feature)
#define HAS_ADDRESS_SANITIZER (__has_feature(address_sanitizer) || __SANITIZE_ADDRESS__)
#else
#define HAS_ADDRESS_SANITIZER __SANITIZE_ADDRESS__
#endif
#if defined(__x86_64__)
/* Saves the caller's registers on its stack, notes where, and goes on where `to` was noted: a system call less than swapcontext makes. */
extern "C" void host_exec_switch(void **from, void *to);
asm(".text\n.globl host_exec_switch\n.type host_exec_switch, @function\nhost_exec_switch:\n"
    "pushq %rbp\npushq %rbx\npushq %r12\npushq %r13\npushq %r14\npushq %r15\n"
    "movq %rsp, (%rdi)\nmovq %rsi, %rsp\n"
    "popq %r15\npopq %r14\npopq %r13\npopq %r12\npopq %rbx\npopq %rbp\nret\n"
    ".size host_exec_switch, .-host_exec_switch\n");
constexpr int FRAME_WORDS = 8, RETURN_WORD = 6; /* six registers, where to return to, and what a call would have left behind that */
#elif defined(__aarch64__)
extern "C" void host_exec_switch(void **from, void *to);
asm(".text\n.globl host_exec_switch\n.type host_exec_switch, @function\nhost_exec_switch:\n"
    "sub sp, sp, #160\nstp x19, x20, [sp]\nstp x21, x22, [sp, #16]\nstp x23, x24, [sp, #32]\nstp x25, x26, [sp, #48]\nstp x27, x28, [sp, #64]\n"
    "stp x29, x30, [sp, #80]\nstp d8, d9, [sp, #96]\nstp d10, d11, [sp, #112]\nstp d12, d13, [sp, #128]\nstp d14, d15, [sp, #144]\n"
    "mov x9, sp\nstr x9, [x0]\nmov sp, x1\n"
    "ldp x19, x20, [sp]\nldp x21, x22, [sp, #16]\nldp x23, x24, [sp, #32]\nldp x25, x26, [sp, #48]\nldp x27, x28, [sp, #64]\n"
    "ldp x29, x30, [sp, #80]\nldp d8, d9, [sp, #96]\nldp d10, d11, [sp, #112]\nldp d12, d13, [sp, #128]\nldp d14, d15, [sp, #144]\n"
    "add sp, sp, #160\nret\n.size host_exec_switch, .-host_exec_switch\n");
constexpr int FRAME_WORDS = 20, RETURN_WORD = 11;
#else
#error "host_exec switches stacks by hand: say here how this processor does it"
#endif

#if HAS_ADDRESS_SANITIZER
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#else
static void __sanitizer_start_switch_fiber(void **, const void *, size_t) {}
static void __sanitizer_finish_switch_fiber(void *, const void **, size_t *) {}
static void __asan_poison_memory_region(const volatile void *, size_t) {}
static void __asan_unpoison_memory_region(const volatile void *, size_t) {}
#endif

namespace host_exec
{
namespace
{

constexpr size_t STACK_BYTES = 256 << 10;
constexpr size_t FREE_SHARED = 48 << 10; /* more needs a kernel attribute, which no launcher here sets */

struct fiber {
    void *at = nullptr;    /* its stack pointer while it does not run */
    void *stack = nullptr; /* a guard page below */
    uint3 index;
    int number = 0; /* within the block */
    barrier waits = barrier::none;
    const char *call = nullptr; /* the name of what it waits at */
    bool done = false;
    unsigned mask = 0;
    uint64_t value = 0;
    void *fake_stack = nullptr;
};

struct executor {
    std::vector<fiber> fibers; /* the first `threads` take part */
    size_t threads = 0;
    std::vector<int> order;
    fiber *current = nullptr;
    void *scheduler = nullptr; /* the scheduler's stack pointer while a fiber runs */
    void *scheduler_fake_stack = nullptr;
    const void *scheduler_stack = nullptr;
    size_t scheduler_bytes = 0;
    const std::function<void()> *body = nullptr;
    place where{};
    dim3 grid, block;
    uint3 block_at{};
    unsigned char *shared_pages = nullptr; /* FREE_SHARED rounded up, then a guard page */
    size_t shared_room = 0, shared_bytes = 0;
    uint64_t total = 0;
    uint64_t seed = 0, state = 0;
    cudaError_t error = cudaSuccess;
};

executor &self()
{
    static executor only;
    return only;
}

/* Names the thread that runs, or the one given. */
[[noreturn]] void fail(const char *what, const fiber *who = nullptr)
{
    const executor &e = self();
    if (!who) who = e.current;
    fprintf(stderr, "host_exec: %s:%d: %s, block (%u,%u,%u)", e.where.file, e.where.line, e.where.kernel, e.block_at.x, e.block_at.y, e.block_at.z);
    if (who) fprintf(stderr, ", thread (%u,%u,%u)", who->index.x, who->index.y, who->index.z);
    fprintf(stderr, ": %s\n", what);
    abort();
}

bool waits_alike(const fiber &a, const fiber &b) { return a.waits == b.waits && a.mask == b.mask && !strcmp(a.call, b.call); }

/* No thread can go on: shows what each group of threads waits at, by its first thread. */
[[noreturn]] void fail_stuck()
{
    const executor &e = self();
    for (size_t i = 0; i < e.threads; i++) {
        const fiber &f = e.fibers[i];
        size_t before = 0, alike = 0;
        for (size_t k = 0; k < e.threads && !f.done; k++)
            if (!e.fibers[k].done && waits_alike(f, e.fibers[k])) k < i ? before++ : alike++;
        if (!alike || before) continue;
        fprintf(stderr, "host_exec: %zu threads from (%u,%u,%u) wait at %s, mask %08x\n", alike, f.index.x, f.index.y, f.index.z, f.call, f.mask);
    }
    fail("threads wait at barriers that can never open");
}

size_t page() { return (size_t)sysconf(_SC_PAGESIZE); }

/* Pages with one behind (or before) them that traps. */
unsigned char *guarded(size_t bytes, bool guard_first)
{
    void *pages = mmap(nullptr, bytes + page(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) fail("no memory");
    unsigned char *start = static_cast<unsigned char *>(pages);
    mprotect(guard_first ? start : start + bytes, page(), PROT_NONE);
    return guard_first ? start + page() : start;
}

uint32_t random_below(uint32_t limit)
{
    executor &e = self();
    e.state = e.state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((e.state >> 33) % limit);
}

/* Back to the scheduler, until it resumes this fiber. */
void yield()
{
    executor &e = self();
    fiber &f = *e.current;
    __sanitizer_start_switch_fiber(&f.fake_stack, e.scheduler_stack, e.scheduler_bytes);
    host_exec_switch(&f.at, e.scheduler);
    __sanitizer_finish_switch_fiber(f.fake_stack, &e.scheduler_stack, &e.scheduler_bytes);
}

/* A fiber's whole life: one thread after another. */
void fiber_main()
{
    executor &e = self();
    __sanitizer_finish_switch_fiber(nullptr, &e.scheduler_stack, &e.scheduler_bytes);
    for (;;) {
        (*e.body)();
        e.current->done = true;
        yield();
    }
}

void resume(fiber &f)
{
    executor &e = self();
    e.current = &f;
    __sanitizer_start_switch_fiber(&e.scheduler_fake_stack, f.stack, STACK_BYTES);
    host_exec_switch(&e.scheduler, f.at);
    __sanitizer_finish_switch_fiber(e.scheduler_fake_stack, nullptr, nullptr);
    e.current = nullptr;
}

/*
 * Whether all lanes that `f` waits for are there. A lane may first pass barriers of other masks, so another mask is wrong only where two lanes wait for each
 * other: then neither can go on.
 */
bool warp_is_complete(const fiber &f, size_t first, size_t last)
{
    executor &e = self();
    bool complete = true;
    for (size_t k = 0; k < 32; k++) {
        if (!(f.mask >> k & 1)) continue;
        if (first + k >= last || e.fibers[first + k].done) fail("a warp barrier's mask names a lane that is not there", &f);
        const fiber &other = e.fibers[first + k];
        const bool mutual = other.waits == barrier::warp && other.mask >> (f.number % 32) & 1;
        if (mutual && other.mask != f.mask) fail("lanes come to one warp barrier with different masks", &f);
        if (mutual && strcmp(other.call, f.call)) fail("lanes of one mask come to different calls", &f);
        complete = complete && mutual;
    }
    return complete;
}

/* Opens a warp's barrier when each lane of its mask waits there. */
bool open_warp(size_t first, size_t last)
{
    executor &e = self();
    bool any = false;
    for (size_t i = first; i < last; i++) {
        const fiber &f = e.fibers[i];
        if (f.done || f.waits != barrier::warp || !warp_is_complete(f, first, last)) continue;
        const unsigned mask = f.mask;
        for (size_t k = 0; k < 32; k++)
            if (mask >> k & 1) e.fibers[first + k].waits = barrier::none;
        any = true;
    }
    return any;
}

bool open_block()
{
    executor &e = self();
    const fiber *any = nullptr;
    for (size_t i = 0; i < e.threads; i++) {
        const fiber &f = e.fibers[i];
        if (f.done) continue;
        if (f.waits != barrier::block || (any && strcmp(any->call, f.call))) return false;
        any = &f;
    }
    e.total = 0;
    for (size_t i = 0; i < e.threads; i++) {
        fiber &f = e.fibers[i];
        if (!f.done) e.total += f.value, f.waits = barrier::none;
    }
    return any != nullptr;
}

void run_block()
{
    executor &e = self();
    for (;;) {
        size_t done = 0;
        if (e.seed)
            for (size_t i = e.order.size(); i > 1; i--) std::swap(e.order[i - 1], e.order[random_below((uint32_t)i)]);
        for (int i : e.order) {
            fiber &f = e.fibers[(size_t)i];
            if (!f.done && f.waits == barrier::none) resume(f);
            done += f.done;
        }
        if (done == e.threads) return;
        bool opened = false;
        for (size_t first = 0; first < e.threads; first += 32) opened |= open_warp(first, std::min(first + 32, e.threads));
        if (!opened && !open_block()) fail_stuck();
    }
}

void start_fiber(fiber &f)
{
    executor &e = self();
    const unsigned i = (unsigned)f.number;
    f.waits = barrier::none, f.done = false;
    f.index = {i % e.block.x, i / e.block.x % e.block.y, i / (e.block.x * e.block.y)};
    if (f.stack) return;
    f.stack = guarded(STACK_BYTES, true);
    void **top = reinterpret_cast<void **>(static_cast<unsigned char *>(f.stack) + STACK_BYTES) - FRAME_WORDS;
    memset(top, 0, FRAME_WORDS * sizeof *top);
    top[RETURN_WORD] = reinterpret_cast<void *>(fiber_main);
    f.at = top;
}

} // namespace

const uint3 &thread_index() { return self().current->index; }
const uint3 &block_index() { return self().block_at; }
const dim3 &block_size() { return self().block; }
const dim3 &grid_size() { return self().grid; }
int lane() { return self().current->number % 32; }
uint64_t block_total() { return self().total; }
bool exact_bounds() { return HAS_ADDRESS_SANITIZER; }

/* Placed so that its end is the guard page, 16-byte aligned. */
void *dynamic_shared()
{
    const executor &e = self();
    return e.shared_pages + e.shared_room - (e.shared_bytes + 15) / 16 * 16;
}

uint64_t lane_value(int lane, unsigned mask)
{
    const executor &e = self();
    if (lane < 0 || lane > 31 || !(mask >> lane & 1)) return UINT64_MAX;
    return e.fibers[(size_t)(e.current->number / 32 * 32 + lane)].value;
}

void bring(uint64_t mine) { self().current->value = mine; }

void wait(barrier what, const char *call, unsigned mask)
{
    executor &e = self();
    fiber &f = *e.current;
    if (what == barrier::warp && !(mask >> lane() & 1)) fail("a lane is not in the mask it brings to a warp barrier");
    f.waits = what, f.call = call, f.mask = mask;
    yield();
}

/* The limits of all devices since compute capability 3.0. */
static bool is_launchable(dim3 grid, dim3 block)
{
    const bool grid_fits = grid.x >= 1 && grid.y >= 1 && grid.z >= 1 && grid.x <= INT32_MAX && grid.y <= 65535 && grid.z <= 65535;
    const bool block_fits = block.x >= 1 && block.y >= 1 && block.z >= 1 && block.x <= 1024 && block.y <= 1024 && block.z <= 64;
    return grid_fits && block_fits && block.x * block.y * block.z <= 1024;
}

void launch(const place &where, dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()> &body)
{
    executor &e = self();
    e.where = where;
    if (!is_launchable(grid, block) || shared_bytes > FREE_SHARED) {
        e.error = cudaErrorInvalidConfiguration;
        return;
    }
    if (!e.shared_pages) {
        e.shared_room = (FREE_SHARED + page() - 1) / page() * page();
        e.shared_pages = guarded(e.shared_room, false);
    }
    e.grid = grid, e.block = block, e.body = &body, e.shared_bytes = shared_bytes;
    if (e.fibers.empty()) e.fibers.resize(1024); /* they stay where they are: their stacks know */
    e.threads = (size_t)block.x * block.y * block.z;
    e.order.resize(e.threads);
    for (size_t i = 0; i < e.threads; i++) e.fibers[i].number = e.order[i] = (int)i;
    __asan_poison_memory_region(e.shared_pages, e.shared_room);
    __asan_unpoison_memory_region(dynamic_shared(), shared_bytes);
    const uint64_t blocks = (uint64_t)grid.x * grid.y * grid.z, range = std::min<uint64_t>(blocks, INT32_MAX);
    uint64_t stride = 1, shift = 0; /* every block once, as the stride has no divisor in common with their number */
    if (e.seed) {
        shift = random_below((uint32_t)range);
        do stride = 1 + random_below((uint32_t)range);
        while (std::gcd(stride, blocks) != 1);
    }
    for (uint64_t b = 0; b < blocks; b++) {
        const uint64_t at = (b * stride + shift) % blocks;
        e.block_at = {(unsigned)(at % grid.x), (unsigned)(at / grid.x % grid.y), (unsigned)(at / ((uint64_t)grid.x * grid.y))};
        memset(dynamic_shared(), 0xFF, shared_bytes); /* NaN as float: reads before writes show */
        for (size_t i = 0; i < e.threads; i++) start_fiber(e.fibers[i]);
        run_block();
    }
}

} // namespace host_exec

extern "C" void host_exec_order(unsigned seed)
{
    host_exec::self().seed = seed;
    host_exec::self().state = seed * 0x9E3779B97F4A7C15u + 1;
}

/* The run time's functions that launchers call. */
extern "C" cudaError_t cudaGetLastError()
{
    const cudaError_t error = host_exec::self().error;
    host_exec::self().error = cudaSuccess;
    return error;
}

extern "C" const char *cudaGetErrorString(cudaError_t error)
{
    return error == cudaErrorInvalidConfiguration ? "invalid configuration of a launch" : "an error";
}
