// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// linattn.hpp and the CUDA backend. The one public header that needs nvcc.
#ifndef LINATTN_CUDA_CUH
#define LINATTN_CUDA_CUH

#if !defined(__CUDACC__)
#error "linattn::cuda.cuh: compiled without nvcc; a .cu file; include <linattn/linattn.hpp> for the CPU alone"
#endif

#include <linattn/cuda/cuda.hpp>
#include <linattn/linattn.hpp>

#endif
