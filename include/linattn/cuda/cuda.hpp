// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The CUDA backend: its executor and engines. Under a plain C++ compiler, kernels run on the host executor of the tests.
#ifndef LINATTN_CUDA_CUDA_HPP
#define LINATTN_CUDA_CUDA_HPP

#include <linattn/cuda/engine_automatic.hpp>
#include <linattn/cuda/engine_chunkwise.hpp>
#include <linattn/cuda/engine_parallel.hpp>
#include <linattn/cuda/engine_recurrent.hpp>
#include <linattn/cuda/error.hpp>
#include <linattn/cuda/executor.hpp>
#include <linattn/tuning/cuda.hpp>

#endif
