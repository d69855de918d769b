// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What differs between compilers, as macros. Nothing else in linattn asks which compiler it is.
#ifndef LINATTN_CORE_CONFIG_HPP
#define LINATTN_CORE_CONFIG_HPP

#include <linattn/version.hpp>

// A function that both a CPU and a CUDA kernel may call.
#if defined(__CUDACC__)
#define LINATTN_HOST_DEVICE __host__ __device__
#else
#define LINATTN_HOST_DEVICE
#endif

// Register tiles live in arrays of vectors: they stay in registers only if everything around them is inlined.
#if defined(__GNUC__) || defined(__clang__)
#define LINATTN_ALWAYS_INLINE inline __attribute__((always_inline))
#define LINATTN_NEVER_INLINE __attribute__((noinline))
#define LINATTN_RESTRICT __restrict__
#else
#define LINATTN_ALWAYS_INLINE inline
#define LINATTN_NEVER_INLINE
#define LINATTN_RESTRICT __restrict
#endif

// nvcc knows none of these pragmas: CPU engines called from a .cu file are right, but slower.
#if defined(__CUDACC__)
#define LINATTN_UNROLL
#define LINATTN_UNROLL_2
#elif defined(__clang__)
#define LINATTN_UNROLL _Pragma("clang loop unroll(full)")
#define LINATTN_UNROLL_2 _Pragma("clang loop unroll_count(2)")
#elif defined(__GNUC__)
#define LINATTN_UNROLL _Pragma("GCC unroll 64")
#define LINATTN_UNROLL_2 _Pragma("GCC unroll 2")
#else
#define LINATTN_UNROLL
#define LINATTN_UNROLL_2
#endif

#if defined(_MSC_VER) && !defined(__clang__)
#define LINATTN_NO_UNIQUE_ADDRESS [[msvc::no_unique_address]]
#else
#define LINATTN_NO_UNIQUE_ADDRESS [[no_unique_address]]
#endif

// -fno-exceptions selects the same behaviour as the user's own LINATTN_NO_EXCEPTIONS: print the message, terminate.
#if !defined(LINATTN_NO_EXCEPTIONS) && !defined(__cpp_exceptions) && !defined(_CPPUNWIND)
#define LINATTN_NO_EXCEPTIONS 1
#endif

#endif
