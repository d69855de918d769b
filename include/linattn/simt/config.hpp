// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Which body the device primitives have in this translation unit, and the few things that must be macros.
//   nvcc                   LINATTN_SIMT_PTX: each primitive is one PTX instruction or one CUDA intrinsic
//   g++, clang++ alone     LINATTN_SIMT_EMULATED: each primitive calls a host executor, which the tests bring along
#ifndef LINATTN_SIMT_CONFIG_HPP
#define LINATTN_SIMT_CONFIG_HPP

#include <linattn/core/config.hpp>

#if defined(__CUDACC__)
#define LINATTN_SIMT_PTX 1
#define LINATTN_DEVICE __device__ __forceinline__
#define LINATTN_SIMT_UNROLL _Pragma("unroll")
#define LINATTN_SIMT_NO_UNROLL _Pragma("unroll 1")
#else
#define LINATTN_SIMT_EMULATED 1
#define LINATTN_DEVICE inline
#define LINATTN_SIMT_UNROLL
#define LINATTN_SIMT_NO_UNROLL
#endif

// Two shared libraries in one process may both hold linattn's kernels: neither may call the other's launchers.
#if defined(__GNUC__) || defined(__clang__)
#define LINATTN_SIMT_HIDDEN __attribute__((visibility("hidden")))
#else
#define LINATTN_SIMT_HIDDEN
#endif

// The inline namespace of all that runs or launches device code. Objects compiled for different architectures must not
// share inline launchers, or one would launch a kernel that the other's device code does not have.
#if defined(LINATTN_SIMT_EMULATED)
#define LINATTN_SIMT_NS emulated
#elif defined(__CUDA_ARCH_LIST__)
#define LINATTN_SIMT_JOIN_1(name, a) name##_##a
#define LINATTN_SIMT_JOIN_2(name, a, ...) LINATTN_SIMT_JOIN_1(name##_##a, __VA_ARGS__)
#define LINATTN_SIMT_JOIN_3(name, a, ...) LINATTN_SIMT_JOIN_2(name##_##a, __VA_ARGS__)
#define LINATTN_SIMT_JOIN_4(name, a, ...) LINATTN_SIMT_JOIN_3(name##_##a, __VA_ARGS__)
#define LINATTN_SIMT_JOIN_5(name, a, ...) LINATTN_SIMT_JOIN_4(name##_##a, __VA_ARGS__)
#define LINATTN_SIMT_JOIN_6(name, a, ...) LINATTN_SIMT_JOIN_5(name##_##a, __VA_ARGS__)
#define LINATTN_SIMT_JOIN_7(name, a, ...) LINATTN_SIMT_JOIN_6(name##_##a, __VA_ARGS__)
#define LINATTN_SIMT_JOIN_8(name, a, ...) LINATTN_SIMT_JOIN_7(name##_##a, __VA_ARGS__)
#define LINATTN_SIMT_JOIN_9(name, a, ...) LINATTN_SIMT_JOIN_8(name##_##a, __VA_ARGS__)
#define LINATTN_SIMT_JOIN_10(name, a, ...) LINATTN_SIMT_JOIN_9(name##_##a, __VA_ARGS__)
#define LINATTN_SIMT_JOIN_11(name, a, ...) LINATTN_SIMT_JOIN_10(name##_##a, __VA_ARGS__)
#define LINATTN_SIMT_JOIN_12(name, a, ...) LINATTN_SIMT_JOIN_11(name##_##a, __VA_ARGS__)
#define LINATTN_SIMT_PICK(a, b, c, d, e, f, g, h, i, j, k, l, join, ...) join
#define LINATTN_SIMT_JOIN(...)                                                                          \
  LINATTN_SIMT_PICK(__VA_ARGS__, LINATTN_SIMT_JOIN_12, LINATTN_SIMT_JOIN_11, LINATTN_SIMT_JOIN_10,      \
                    LINATTN_SIMT_JOIN_9, LINATTN_SIMT_JOIN_8, LINATTN_SIMT_JOIN_7, LINATTN_SIMT_JOIN_6, \
                    LINATTN_SIMT_JOIN_5, LINATTN_SIMT_JOIN_4, LINATTN_SIMT_JOIN_3, LINATTN_SIMT_JOIN_2, \
                    LINATTN_SIMT_JOIN_1, )                                                              \
  (sm, __VA_ARGS__)
#define LINATTN_SIMT_NS LINATTN_SIMT_JOIN(__CUDA_ARCH_LIST__)
#else
#define LINATTN_SIMT_NS sm_unknown
#endif

#endif
