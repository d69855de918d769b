// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What the host asks of the device runtime: a stream, the outcome of a call, memory. Nothing here synchronises.
#ifndef LINATTN_SIMT_RUNTIME_HPP
#define LINATTN_SIMT_RUNTIME_HPP

#include <linattn/simt/emulation.hpp>
#include <linattn/simt/types.hpp>

#include <cstddef>
#if defined(LINATTN_SIMT_PTX)
#include <cuda_runtime.h>
#endif

namespace linattn::inline LINATTN_ABI::simt::inline LINATTN_SIMT_NS {

#if defined(LINATTN_SIMT_PTX)

using stream_t = cudaStream_t;

/// The outcome of a call to the runtime.
class [[nodiscard]] status {
 public:
  status() = default;
  explicit status(cudaError_t code) noexcept : code_(code) {}

  [[nodiscard]] bool ok() const noexcept { return code_ == cudaSuccess; }
  [[nodiscard]] char const* text() const noexcept { return cudaGetErrorString(code_); }
  [[nodiscard]] cudaError_t code() const noexcept { return code_; }

 private:
  cudaError_t code_ = cudaSuccess;
};

/// Memory in stream order. Members of simt too.
inline namespace memory {
LINATTN_SIMT_HIDDEN inline status allocate(void** p, std::size_t bytes, stream_t stream) {
  return status(cudaMallocAsync(p, bytes, stream));
}
LINATTN_SIMT_HIDDEN inline status release(void* p, stream_t stream) { return status(cudaFreeAsync(p, stream)); }
LINATTN_SIMT_HIDDEN inline status set_zero(void* p, std::size_t bytes, stream_t stream) {
  return status(cudaMemsetAsync(p, 0, bytes, stream));
}
}  // namespace memory

#else

using stream_t = void*;

/// Emulated calls succeed or throw, but for a query that the tests make fail.
class [[nodiscard]] status {
 public:
  status() = default;
  explicit status(char const* refusal) noexcept : refusal_(refusal) {}

  [[nodiscard]] bool ok() const noexcept { return refusal_ == nullptr; }
  [[nodiscard]] char const* text() const noexcept { return ok() ? "no error" : refusal_; }

 private:
  char const* refusal_ = nullptr;
};

inline namespace memory {
inline status allocate(void** p, std::size_t bytes, stream_t /*stream*/) {
  *p = emu::allocate(bytes);
  return {};
}
inline status release(void* p, stream_t /*stream*/) {
  emu::release(p);
  return {};
}
inline status set_zero(void* p, std::size_t bytes, stream_t /*stream*/) {
  emu::set_zero(p, bytes);
  return {};
}
}  // namespace memory

#endif

}  // namespace linattn::inline LINATTN_ABI::simt::inline LINATTN_SIMT_NS

#endif
