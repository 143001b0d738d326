/*
 * The executor itself: kernels with known results, and planted faults that it must see (each in a process of its own, since they abort).
 */
#include "check.h"
#include "device.cuh"
#include "host_order.h"

#include <csignal>
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

enum fault { DIVERGENT, WRONG_MASK, ABSENT_LANE, OVERRUN, NO_FAULT };

__global__ void faulty_kernel(int fault, int *out)
{
    SKY_DYNAMIC_SHARED(int, scratch);
    if (fault == DIVERGENT && threadIdx.x < 32) __syncwarp();
    else if (fault == DIVERGENT && threadIdx.x < 40) __syncwarp(0xffu << 10);
    else __syncthreads();
    if (fault == WRONG_MASK) __syncwarp(threadIdx.x % 32 < 16 ? 0xffffffffu : 0xffff0000u);
    if (fault == ABSENT_LANE && threadIdx.x == 3) return;
    if (fault == ABSENT_LANE) __syncwarp();
    scratch[fault == OVERRUN ? 64 : threadIdx.x] = 1;
    out[threadIdx.x] = scratch[threadIdx.x];
}

/* Whether the kernel ends the process by a signal or with a report. */
static bool is_seen(int fault)
{
    fflush(nullptr);
    const pid_t child = fork();
    if (child == 0) {
        int out[64];
        if (!freopen("/dev/null", "w", stderr)) _exit(0);
        for (int number : {SIGABRT, SIGSEGV}) signal(number, SIG_DFL);
        SKY_LAUNCH(faulty_kernel, 1, 64, 64 * sizeof(int), nullptr, fault, out);
        _exit(0);
    }
    int status = 0;
    return child > 0 && waitpid(child, &status, 0) == child && !(WIFEXITED(status) && WEXITSTATUS(status) == 0);
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

    CHECK(cudaGetLastError() == cudaSuccess);
    SKY_LAUNCH(count_kernel, 1, 2048, 0, nullptr, numbers.data());
    CHECK(cudaGetLastError() == cudaErrorInvalidConfiguration);
    SKY_LAUNCH(count_kernel, 1, 64, 100000, nullptr, numbers.data());
    CHECK(cudaGetLastError() == cudaErrorInvalidConfiguration);

    CHECK(!is_seen(NO_FAULT));
    CHECK(is_seen(DIVERGENT));
    CHECK(is_seen(WRONG_MASK));
    CHECK(is_seen(ABSENT_LANE));
    CHECK(is_seen(OVERRUN));
    return check_done();
}
