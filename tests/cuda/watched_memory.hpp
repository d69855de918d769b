// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// watched_memory: memory of the device that shows whether anything was written to it.
#ifndef LINATTN_TESTS_CUDA_WATCHED_MEMORY_HPP
#define LINATTN_TESTS_CUDA_WATCHED_MEMORY_HPP

#include "device.hpp"

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

namespace linattn_test {

class watched_memory {
 public:
  explicit watched_memory(std::size_t bytes) : size_(bytes), memory_(static_cast<std::byte*>(device::allocate(bytes))) {
    std::vector<std::byte> const fill(bytes, std::byte{0xff});  // a NaN in any type
    device::copy_to_device(memory_, fill.data(), bytes);
  }
  watched_memory(watched_memory const&) = delete;
  watched_memory& operator=(watched_memory const&) = delete;
  ~watched_memory() { device::release(memory_); }

  [[nodiscard]] std::span<std::byte> from(std::size_t begin) const { return {memory_ + begin, size_ - begin}; }
  [[nodiscard]] bool written() const {
    std::vector<std::byte> now(size_);
    device::copy_to_host(now.data(), memory_, size_);
    return !std::ranges::all_of(now, [](std::byte b) { return b == std::byte{0xff}; });
  }

 private:
  std::size_t size_;
  std::byte* memory_;
};

}  // namespace linattn_test

#endif
