/*
 * Joining two tensors along a dimension and splitting the gradient: copies of rows into and out of longer rows, in units of 16 bytes where rows allow it, else
 * of one element.
 */
#include "device.cuh"
#include "kernels.h"

using namespace sky;

enum { THREADS = 256 };

/* One thread a unit of the whole. */
template <class U, bool JOIN>
__global__ void __launch_bounds__(THREADS)
    concat_kernel(U *a /* [rows,first] */, U *b /* [rows,second] */, U *whole, int64_t rows, int64_t first, int64_t second)
{
    const int64_t length = first + second;
    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < rows * length; i += (int64_t)gridDim.x * THREADS) {
        const int64_t row = rows > 1 ? i / length : 0, column = i - row * length;
        U *part = column < first ? a + row * first + column : b + row * second + column - first;
        if (JOIN) whole[i] = *part;
        else *part = whole[i];
    }
}

template <class U> static void launch(sky_stream stream, bool join, void *a, void *b, void *whole, int64_t rows, int64_t first_bytes, int64_t second_bytes)
{
    const int64_t first = first_bytes / (int64_t)sizeof(U), second = second_bytes / (int64_t)sizeof(U);
    const unsigned grid = grid_of(rows * (first + second), THREADS);
    if (join) SKY_LAUNCH((concat_kernel<U, true>), grid, THREADS, 0, stream, (U *)a, (U *)b, (U *)whole, rows, first, second);
    else SKY_LAUNCH((concat_kernel<U, false>), grid, THREADS, 0, stream, (U *)a, (U *)b, (U *)whole, rows, first, second);
}

static int copy_rows(sky_stream stream, bool join, void *a, void *b, void *whole, int64_t rows, int64_t first_bytes, int64_t second_bytes)
{
    const int64_t odd = first_bytes | second_bytes | (int64_t)((uintptr_t)a | (uintptr_t)b | (uintptr_t)whole);
    if (odd % 16 == 0) launch<uint4>(stream, join, a, b, whole, rows, first_bytes, second_bytes);
    else if (odd % 4 == 0) launch<uint32_t>(stream, join, a, b, whole, rows, first_bytes, second_bytes);
    else launch<uint16_t>(stream, join, a, b, whole, rows, first_bytes, second_bytes);
    return (int)cudaGetLastError();
}

int sky_cuda_concat(sky_stream stream, const void *a, const void *b, void *y, int64_t rows, int64_t first_bytes, int64_t second_bytes)
{
    return copy_rows(stream, true, const_cast<void *>(a), const_cast<void *>(b), y, rows, first_bytes, second_bytes);
}

int sky_cuda_split(sky_stream stream, const void *y, void *a, void *b, int64_t rows, int64_t first_bytes, int64_t second_bytes)
{
    return copy_rows(stream, false, a, b, const_cast<void *>(y), rows, first_bytes, second_bytes);
}
