/*
 * The order in which host_exec runs the threads of a block (and warps, and blocks): 0 as they are numbered, else shuffled by the seed. For C.
 */
#ifndef SKY_TESTS_HOST_ORDER_H
#define SKY_TESTS_HOST_ORDER_H

#ifdef __cplusplus
extern "C" {
#endif

void host_exec_order(unsigned seed);

#ifdef __cplusplus
}
#endif

#endif
