/*
 * The bias of linear layers: a row repeated, and rows summed in order. Small tensors [heads, rows, columns]; one thread a column.
 */
#include "device.cuh"
#include "kernels.h"

using namespace sky;

constexpr int THREADS = 128;

__global__ void repeat_rows_kernel(const float *row /* [P,K] */, float *y /* [P,N,K] */, int64_t rows, int64_t columns, int64_t count)
{
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += (int64_t)gridDim.x * blockDim.x)
        y[i] = row[i / (rows * columns) * columns + i % columns];
}

__global__ void sum_rows_kernel(const float *x /* [P,N,K] */, float *sum /* [P,K] */, int64_t rows, int64_t columns, int64_t count, bool accumulate)
{
    const int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; /* of P*K */
    if (i >= count) return;
    const float *column = x + i / columns * rows * columns + i % columns;
    double total = accumulate ? (double)sum[i] : 0;
    for (int64_t n = 0; n < rows; n++) total += (double)column[n * columns];
    sum[i] = (float)total;
}

int sky_cuda_repeat_rows(sky_stream stream, const float *row, float *y, int64_t heads, int64_t rows, int64_t columns)
{
    const int64_t count = heads * rows * columns;
    SKY_LAUNCH(repeat_rows_kernel, grid_of(count, THREADS), THREADS, 0, stream, row, y, rows, columns, count);
    return (int)cudaGetLastError();
}

int sky_cuda_sum_rows(sky_stream stream, const float *x, float *sum, int64_t heads, int64_t rows, int64_t columns, bool accumulate)
{
    const int64_t count = heads * columns;
    SKY_LAUNCH(sum_rows_kernel, (unsigned)div_up(count, THREADS), THREADS, 0, stream, x, sum, rows, columns, count, accumulate);
    return (int)cudaGetLastError();
}
