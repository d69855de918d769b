// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The device's memory as tests see it: that of the host executor, or under nvcc that of a GPU.
#ifndef LINATTN_TESTS_CUDA_DEVICE_HPP
#define LINATTN_TESTS_CUDA_DEVICE_HPP

#include <linattn/simt/config.hpp>

#if defined(LINATTN_SIMT_PTX)
#include <cuda_runtime.h>

#include <stdexcept>
#include <string>
#else
#include "emu/executor.hpp"

#include <cstring>
#endif

#include <cstddef>

namespace linattn_test::device {

#if defined(LINATTN_SIMT_PTX)

inline constexpr std::size_t guard_bytes = 256;  // on either side of a buffer, to see what is written there

inline void check(cudaError_t status) {
  if (status != cudaSuccess) {
    throw std::runtime_error(std::string("CUDA: ") + cudaGetErrorString(status));
  }
}
inline void* allocate(std::size_t bytes) {
  void* p = nullptr;
  check(cudaMalloc(&p, bytes));
  return p;
}
inline void release(void* p) { static_cast<void>(cudaFree(p)); }
inline void copy_to_device(void* to, void const* from, std::size_t bytes) {
  check(cudaMemcpy(to, from, bytes, cudaMemcpyHostToDevice));
}
/// Waits for what runs on the device.
inline void copy_to_host(void* to, void const* from, std::size_t bytes) {
  check(cudaDeviceSynchronize());
  check(cudaMemcpy(to, from, bytes, cudaMemcpyDeviceToHost));
}
/// What a kernel may read, and buffers that it may not write: the host executor checks it, a GPU does not.
inline void mark_initialised(void* /*p*/, std::size_t /*bytes*/) {}
inline void mark_readonly(void* /*p*/) {}

#else

inline constexpr std::size_t guard_bytes = 0;  // the executor knows where a buffer begins and ends

inline void* allocate(std::size_t bytes) { return linattn::emu::allocate(bytes); }
inline void release(void* p) { linattn::emu::release(p); }
inline void copy_to_device(void* to, void const* from, std::size_t bytes) { std::memcpy(to, from, bytes); }
inline void copy_to_host(void* to, void const* from, std::size_t bytes) { std::memcpy(to, from, bytes); }
inline void mark_initialised(void* p, std::size_t bytes) { linattn::emu::mark_initialised(p, bytes); }
inline void mark_readonly(void* p) { linattn::emu::mark_readonly(p, true); }

#endif

}  // namespace linattn_test::device

#endif
