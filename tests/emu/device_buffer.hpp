// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// An array in device memory, for tests that run both emulated and on a GPU.
#ifndef LINATTN_TESTS_EMU_DEVICE_BUFFER_HPP
#define LINATTN_TESTS_EMU_DEVICE_BUFFER_HPP

#include <linattn/simt/runtime.hpp>

#include <cstddef>
#include <cstring>
#include <stdexcept>
#include <vector>
#if defined(LINATTN_SIMT_EMULATED)
#include "emu/executor.hpp"
#endif

namespace linattn_test {

inline void require(linattn::simt::status const& outcome) {
  if (!outcome.ok()) {
    throw std::runtime_error(outcome.text());
  }
}

template <class T>
class device_buffer {
 public:
  /// `count` elements that nobody wrote.
  explicit device_buffer(std::size_t count) : count_(count) {
    void* memory = nullptr;
    require(linattn::simt::allocate(&memory, bytes(), nullptr));
    data_ = static_cast<T*>(memory);
  }
  explicit device_buffer(std::vector<T> const& values) : device_buffer(values.size()) { upload(values); }
  device_buffer(device_buffer const&) = delete;
  device_buffer& operator=(device_buffer const&) = delete;
  ~device_buffer() { static_cast<void>(linattn::simt::release(data_, nullptr).ok()); }

  [[nodiscard]] T* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t size() const noexcept { return count_; }
  [[nodiscard]] std::size_t bytes() const noexcept { return count_ * sizeof(T); }

#if defined(LINATTN_SIMT_EMULATED)
  void upload(std::vector<T> const& values) {
    std::memcpy(static_cast<void*>(data_), values.data(), bytes());
    linattn::emu::mark_initialised(data_, bytes());
  }
  [[nodiscard]] std::vector<T> download() const {
    std::vector<T> values(count_);
    std::memcpy(static_cast<void*>(values.data()), data_, bytes());
    return values;
  }
#else
  void upload(std::vector<T> const& values) {
    require(linattn::simt::status(cudaMemcpy(data_, values.data(), bytes(), cudaMemcpyHostToDevice)));
  }
  [[nodiscard]] std::vector<T> download() const {
    std::vector<T> values(count_);
    require(linattn::simt::status(cudaMemcpy(values.data(), data_, bytes(), cudaMemcpyDeviceToHost)));
    return values;
  }
#endif

 private:
  T* data_ = nullptr;
  std::size_t count_;
};

}  // namespace linattn_test

#endif
