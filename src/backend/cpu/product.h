/*
 * Matrix products with few rows (a batch of features) and matrices so large that reading them once is the cost: what linear and SE layers need. One thread a
 * call, each output summed by one thread in one order; callers split the outputs over threads. Row-major throughout.
 */
#ifndef SKY_BACKEND_CPU_PRODUCT_H
#define SKY_BACKEND_CPU_PRODUCT_H

#include <stdbool.h>
#include <stdint.h>

/* y [rows,outputs] (row length ldy) = x [rows,depth] w^T + bias, w [outputs,depth]; bias may be NULL. */
void sky_product_nt(const float *x, const float *w, const float *bias, int64_t rows, int64_t outputs, int64_t depth, float *y, int64_t ldy);

/* y [rows,columns] = g [rows,depth] w, w [depth,columns]; rows of y, and of w, are `width` apart: columns are a slice of them. */
void sky_product_nn(const float *g, const float *w, int64_t rows, int64_t columns, int64_t depth, int64_t width, float *y);

/* dw [outputs,columns] = or += g^T x, x [rows,columns]; the outputs' columns of g lie side by side in rows of ldg. */
void sky_product_tn(const float *g, int64_t ldg, const float *x, int64_t rows, int64_t outputs, int64_t columns, bool accumulate, float *dw);

/* out[first .. first + columns - 1] = or += the sums of those columns over the rows, each in double and in row order: the gradient of a bias. rows
 * [count,width]; out may be NULL. */
void sky_column_sums(const float *rows, int64_t count, int64_t width, int64_t first, int64_t columns, bool accumulate, float *out);

#endif
