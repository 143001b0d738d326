/*
 * The executor itself: kernels with known results, and planted faults that it must see (each in a process of its own, since they abort).
 */
#include "check.h"
#include "device.cuh"
#include "host_order.h"

#include <csignal>
#include <numeric>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

using namespace sky;

__global__ void block_total_kernel(const float *x, float *out, int count)
{
    SKY_DYNAMIC_SHARED(float, scratch);
    float sum = 0;
    for (int i = threadIdx.x; i < count; i += blockDim.x) sum += x[i];
    sum = block_sum(sum, scratch);
    if (threadIdx.x == 0) out[blockIdx.x] = sum;
}

/* A tree in shared memory; `careless` leaves the barriers out. */
__global__ void tree_kernel(const int *x, int *out, bool careless)
{
    SKY_DYNAMIC_SHARED(int, scratch);
    scratch[threadIdx.x] = x[threadIdx.x];
    if (!careless) __syncthreads();
    for (int stride = blockDim.x / 2; stride > 0; stride /= 2) {
        if ((int)threadIdx.x < stride) scratch[threadIdx.x] += scratch[threadIdx.x + stride];
        if (!careless) __syncthreads();
    }
    if (threadIdx.x == 0) *out = scratch[0];
}

/* Reads its lower neighbour's value with no barrier between: right as long as threads run as they are numbered. */
__global__ void lower_neighbour_kernel(int *out)
{
    SKY_DYNAMIC_SHARED(int, scratch);
    scratch[threadIdx.x] = (int)threadIdx.x;
    out[threadIdx.x] = threadIdx.x > 0 ? scratch[threadIdx.x - 1] : -1;
}

__global__ void shuffles_kernel(int *out /* [6][32] */)
{
    const int lane = threadIdx.x;
    out[lane] = __shfl_xor_sync(0xffffffffu, lane, 5);
    out[32 + lane] = __shfl_down_sync(0xffffffffu, lane, 3);
    out[64 + lane] = __shfl_up_sync(0xffffffffu, lane, 3);
    out[96 + lane] = __shfl_sync(0xffffffffu, lane, 7);
    out[128 + lane] = (int)__ballot_sync(0xffffffffu, lane % 3 == 0);
    out[160 + lane] = (int)__shfl_down_sync(0xffffffffu, (double)lane, 1, 8);
}

__global__ void where_kernel(int *out, dim3 grid)
{
    const int block = (int)(blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z));
    const int thread = (int)(threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z));
    if (gridDim.x == grid.x) out[block * 24 + thread] += 1;
}

__global__ void count_kernel(int *out)
{
    const int odd = __syncthreads_count(threadIdx.x % 2);
    if (threadIdx.x == 0) out[0] = odd;
    atomicAdd(&out[1], 1);
}

/* Each half of the warp has a barrier of its own before the common one, and reads a lane outside its mask: allowed, and the value is open. */
__global__ void halves_kernel(unsigned *out, bool upper)
{
    if ((threadIdx.x >= 16) == upper) {
        const unsigned mask = upper ? 0xffff0000u : 0xffffu;
        out[threadIdx.x] = __shfl_sync(mask, 7u, upper ? 0 : 31);
    }
    __syncwarp();
}

__global__ void block_order_kernel(int *out, int *next)
{
    if (threadIdx.x == 0) out[(*next)++] = (int)blockIdx.x;
}

enum fault { NO_FAULT, STUCK, TWO_BLOCK_CALLS, TWO_WARP_CALLS, NOT_IN_MASK, TWO_MASKS, ABSENT_LANE, OVERRUN, ONE_BEYOND, ONE_BEFORE };

/* For one block of 64 threads with 61 bytes of shared memory. */
__global__ void faulty_kernel(int fault, int *out)
{
    SKY_DYNAMIC_SHARED(char, scratch);
    const int lane = threadIdx.x % 32;
    const bool low = lane < 16;
    if (fault == STUCK && threadIdx.x == 5) __syncwarp();
    if (fault == TWO_BLOCK_CALLS && low) out[0] = __syncthreads_count(1);
    else __syncthreads();
    if (fault == TWO_WARP_CALLS) out[threadIdx.x] = low ? __shfl_xor_sync(0xffffffffu, lane, 16) : (int)__ballot_sync(0xffffffffu, 1);
    if (fault == NOT_IN_MASK) __syncwarp(0xffffu);
    if (fault == TWO_MASKS) __syncwarp(low ? 0xffffffffu : 0xffff8000u); /* lane 15 and the upper half name each other */
    if (fault == ABSENT_LANE && threadIdx.x == 3) return;
    if (fault == ABSENT_LANE) __syncwarp();
    const int at = fault == OVERRUN ? 64 : fault == ONE_BEYOND ? 61 : fault == ONE_BEFORE ? -1 : 0;
    if (threadIdx.x == 0) scratch[at] = 1;
    __syncthreads();
    out[threadIdx.x] = scratch[0];
}

/* How the kernel ends in a process of its own: what it reports, or "signal N", or "end". */
static std::string ending(int fault)
{
    int ends[2];
    char part[256];
    std::string report;
    fflush(nullptr);
    if (pipe(ends)) return "no pipe";
    const pid_t child = fork();
    if (child == 0) {
        int out[64];
        dup2(ends[1], STDERR_FILENO);
        for (int number : {SIGABRT, SIGSEGV, SIGBUS}) signal(number, SIG_DFL);
        SKY_LAUNCH(faulty_kernel, 1, 64, 61, nullptr, fault, out);
        _exit(0);
    }
    close(ends[1]);
    for (ssize_t got; (got = read(ends[0], part, sizeof part)) > 0;) report.append(part, (size_t)got);
    close(ends[0]);
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child) return "no child";
    if (WIFSIGNALED(status)) report += " signal " + std::to_string(WTERMSIG(status));
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? "end" : report;
}

/* Whether the kernel is stopped for this reason; shows the report otherwise. */
static bool is_stopped(int fault, const char *reason)
{
    const std::string how = ending(fault);
    const bool good = how != "end" && how.find(reason) != std::string::npos;
    if (!good) printf("fault %d ends so: %s\n", fault, how.c_str());
    return good;
}

int main()
{
    std::vector<float> x(1000);
    std::vector<int> numbers(256), shuffled(192), where(60 * 24, 0);
    for (int i = 0; i < 1000; i++) x[(size_t)i] = (float)i;
    for (int i = 0; i < 256; i++) numbers[(size_t)i] = i;
    int wrong_without_barriers = 0;
    for (unsigned order = 0; order < 20; order++) {
        float total[3] = {0, 0, 0};
        int tree = 0, careless = 0, counted[2] = {0, 0};
        host_exec_order(order);
        SKY_LAUNCH(block_total_kernel, 3, 1024, 32 * sizeof(float), nullptr, x.data(), total, 1000);
        CHECK(total[0] == 499500 && total[1] == 499500 && total[2] == 499500);
        SKY_LAUNCH(tree_kernel, 1, 256, 256 * sizeof(int), nullptr, numbers.data(), &tree, false);
        CHECK(tree == 255 * 128);
        SKY_LAUNCH(tree_kernel, 1, 256, 256 * sizeof(int), nullptr, numbers.data(), &careless, true);
        wrong_without_barriers += careless != tree;
        SKY_LAUNCH(count_kernel, 2, 96, 0, nullptr, counted);
        CHECK(counted[0] == 48 && counted[1] == 192);
        SKY_LAUNCH(where_kernel, dim3(3, 4, 5), dim3(2, 3, 4), 0, nullptr, where.data(), dim3(3, 4, 5));
    }
    CHECK(wrong_without_barriers > 0);
    for (int once : where) CHECK(once == 20);

    SKY_LAUNCH(shuffles_kernel, 1, 32, 0, nullptr, shuffled.data());
    for (int lane = 0; lane < 32; lane++) {
        CHECK(shuffled[(size_t)lane] == (lane ^ 5));
        CHECK(shuffled[(size_t)(32 + lane)] == (lane + 3 < 32 ? lane + 3 : lane));
        CHECK(shuffled[(size_t)(64 + lane)] == (lane >= 3 ? lane - 3 : lane));
        CHECK(shuffled[(size_t)(96 + lane)] == 7);
        CHECK((unsigned)shuffled[(size_t)(128 + lane)] == 0x49249249u);
        CHECK(shuffled[(size_t)(160 + lane)] == (lane % 8 < 7 ? lane + 1 : lane));
    }

    for (bool upper : {false, true}) {
        std::vector<unsigned> outside(32, 1);
        SKY_LAUNCH(halves_kernel, 1, 32, 0, nullptr, outside.data(), upper);
        for (int lane = 0; lane < 32; lane++) CHECK(outside[(size_t)lane] == ((lane >= 16) == upper ? 0xffffffffu : 1u));
    }

    int neighbours = 0, orders_that_show_it = 0;
    for (unsigned order = 0; order < 20; order++) {
        std::vector<int> blocks(12, -1), all(12), lower(64);
        int next = 0;
        std::iota(all.begin(), all.end(), 0);
        host_exec_order(order);
        SKY_LAUNCH(block_order_kernel, 12, 2, 0, nullptr, blocks.data(), &next);
        CHECK(next == 12 && (order > 0 || blocks == all));
        for (size_t i = 1; i < 12; i++) neighbours += order > 0 && blocks[i] == blocks[i - 1] + 1;
        SKY_LAUNCH(lower_neighbour_kernel, 1, 64, 64 * sizeof(int), nullptr, lower.data());
        int wrong = 0;
        for (int i = 0; i < 64; i++) wrong += lower[(size_t)i] != i - 1;
        CHECK(order > 0 || wrong == 0);
        orders_that_show_it += wrong > 0;
        std::sort(blocks.begin(), blocks.end());
        CHECK(blocks == all);
    }
    CHECK(neighbours < 19 * 6); /* a mere rotation has 10 of 11 */
    CHECK(orders_that_show_it == 19);

    host_exec_order(0); /* reports name the first thread in fault */
    CHECK(cudaGetLastError() == cudaSuccess);
    SKY_LAUNCH(count_kernel, 1, 2048, 0, nullptr, numbers.data());
    CHECK(cudaGetLastError() == cudaErrorInvalidConfiguration);
    SKY_LAUNCH(count_kernel, 1, 64, 100000, nullptr, numbers.data());
    CHECK(cudaGetLastError() == cudaErrorInvalidConfiguration);

    SKY_LAUNCH(count_kernel, 1, dim3(32, 33), 0, nullptr, numbers.data());
    CHECK(cudaGetLastError() == cudaErrorInvalidConfiguration);
    SKY_LAUNCH(count_kernel, 1, dim3(1, 1, 65), 0, nullptr, numbers.data());
    CHECK(cudaGetLastError() == cudaErrorInvalidConfiguration);

    CHECK(ending(NO_FAULT) == "end");
    CHECK(is_stopped(STUCK, "1 threads from (5,0,0) wait at __syncwarp") && is_stopped(STUCK, "can never open"));
    CHECK(is_stopped(TWO_BLOCK_CALLS, "wait at __syncthreads_count") && is_stopped(TWO_BLOCK_CALLS, "can never open"));
    CHECK(is_stopped(TWO_WARP_CALLS, "different calls"));
    CHECK(is_stopped(NOT_IN_MASK, "thread (16,0,0): a lane is not in the mask"));
    CHECK(is_stopped(TWO_MASKS, "different masks"));
    CHECK(is_stopped(ABSENT_LANE, "names a lane that is not there"));
    CHECK(is_stopped(OVERRUN, "signal"));
    if (host_exec::exact_bounds()) {
        CHECK(is_stopped(ONE_BEYOND, "AddressSanitizer"));
        CHECK(is_stopped(ONE_BEFORE, "AddressSanitizer"));
    } else {
        check_skip("shared memory's exact bounds", "needs AddressSanitizer");
    }
    return check_done();
}
