// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// device_mirror: the memory behind a call, copied to the device, and back after the verb. A view of any strides takes all
// bytes from its lowest to its highest element along, gaps too. Views that share memory on the host share it on the
// device, and addresses keep their remainder by 16.
#ifndef LINATTN_TESTS_CUDA_DEVICE_MIRROR_HPP
#define LINATTN_TESTS_CUDA_DEVICE_MIRROR_HPP

#include "support/call.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace linattn_test {

/// Bytes of an element of the tensors, and of the states, denominators and parameters.
struct element_sizes {
  std::size_t narrow, wide;
};

class device_mirror {
 public:
  /// What the verb reads is marked as initialised, element by element, and what it only reads as read-only: the host
  /// executor faults when a kernel reads a gap or an output, or writes an input.
  device_mirror(verb_kind verb, call const& on_host, element_sizes sizes);
  ~device_mirror();
  device_mirror(device_mirror const&) = delete;
  device_mirror& operator=(device_mirror const&) = delete;

  /// The call with the addresses of the copies.
  [[nodiscard]] call const& arguments() const { return call_; }

  /// All bytes of buffers with an output go back to the host, also those between its elements.
  /// Throws    std::runtime_error if anything else has changed.
  void copy_back() const;

 private:
  enum class use { input, output, both };
  /// An address in call_ that gets replaced, and the elements behind it.
  struct view {
    raw_tensor elements;
    std::size_t bytes;
    use how;
    std::span<std::int32_t const> slots;  // the rows of the first dimension that belong to the call; empty: all
    std::function<void(std::byte*)> replace;
  };
  /// A range of host memory that is one buffer on the device.
  struct buffer {
    std::byte* begin;
    std::byte* end;
    bool written;
    void* memory = nullptr;
    std::byte* copy = nullptr;  // of begin

    [[nodiscard]] std::size_t size() const { return static_cast<std::size_t>(end - begin); }
  };

  void add(raw_tensor& tensor, std::size_t bytes, use how, std::span<std::int32_t const> slots = {});
  void add(raw_state& state, std::size_t bytes, use how);
  void add(raw_parameters& parameters, std::size_t bytes, use how);
  template <class T>
  void add(std::span<T const>& numbers);
  void list_views(verb_kind verb, element_sizes sizes);
  void list_buffers();
  void copy_to_device();
  void release();

  call call_;
  std::vector<view> views_;
  std::vector<buffer> buffers_;
};

}  // namespace linattn_test

#endif
