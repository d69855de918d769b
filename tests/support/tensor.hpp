// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// tensor: a guarded buffer with one of the memory orders that callers have, filled from and gathered into the oracle's
// dense (batch, head, time, channel) order.
#ifndef LINATTN_TESTS_SUPPORT_TENSOR_HPP
#define LINATTN_TESTS_SUPPORT_TENSOR_HPP

#include "support/guarded_buffer.hpp"
#include "support/random.hpp"

#include <linattn/core/tensor_view.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace linattn_test {

enum class memory_order {
  bthd,       // (batch, time, head, channel); with a batch of 1, packed (time, head, channel)
  bhtd,       // (batch, head, time, channel)
  sliced,     // bthd cut out of a wider, misaligned row: a slice of a fused tensor
  reversed,   // bhtd with time running backwards
  broadcast   // one head's memory seen by all heads: inputs only
};

template <class E>
class tensor {
 public:
  tensor(memory_order order, std::int64_t batch, std::int64_t heads, std::int64_t time, std::int64_t channels)
      : extents_{batch, heads, time, channels} {
    std::int64_t const slice = heads * channels + channels + 3;
    std::int64_t size = batch * heads * time * channels;
    switch (order) {
      case memory_order::bthd: strides_ = {time * heads * channels, channels, heads * channels, 1}; break;
      case memory_order::bhtd: strides_ = {heads * time * channels, time * channels, channels, 1}; break;
      case memory_order::sliced:
        strides_ = {time * slice, channels, slice, 1};
        origin_ = 3;
        size = batch * time * slice + origin_;
        break;
      case memory_order::reversed:
        strides_ = {heads * time * channels, time * channels, -channels, 1};
        origin_ = time > 0 ? (time - 1) * channels : 0;
        break;
      case memory_order::broadcast:
        strides_ = {time * channels, 0, channels, 1};
        size = batch * time * channels;
        break;
    }
    memory_ = guarded_buffer<E>(static_cast<std::size_t>(size));
    visit([&](std::int64_t offset) { memory_.own(offset); });
  }

  [[nodiscard]] linattn::tensor_view<E, 4> view() {
    return {memory_.data() + origin_,
            {extents_[0], extents_[1], extents_[2], extents_[3]},
            {strides_[0], strides_[1], strides_[2], strides_[3]}};
  }
  /// Without the channel: one number a row.
  [[nodiscard]] linattn::tensor_view<E, 3> row_view() {
    return {memory_.data() + origin_,
            {extents_[0], extents_[1], extents_[2]},
            {strides_[0], strides_[1], strides_[2]}};
  }

  void fill(std::vector<double> const& dense) {
    std::size_t i = 0;
    visit([&](std::int64_t offset) { memory_.data()[offset] = from_double<E>(dense.at(i++)); });
  }
  [[nodiscard]] std::vector<double> gather() const {
    std::vector<double> dense;
    visit([&](std::int64_t offset) { dense.push_back(to_double(memory_.data()[offset])); });
    return dense;
  }
  [[nodiscard]] bool canaries_intact() const { return memory_.canaries_intact(); }
  [[nodiscard]] bool untouched() const { return memory_.untouched(); }

 private:
  /// f(offset from the buffer's begin), in the order of the oracle's tensors.
  template <class F>
  void visit(F&& f) const {
    for (std::int64_t b = 0; b < extents_[0]; ++b) {
      for (std::int64_t h = 0; h < extents_[1]; ++h) {
        for (std::int64_t t = 0; t < extents_[2]; ++t) {
          for (std::int64_t c = 0; c < extents_[3]; ++c) {
            f(origin_ + b * strides_[0] + h * strides_[1] + t * strides_[2] + c * strides_[3]);
          }
        }
      }
    }
  }

  std::array<std::int64_t, 4> extents_;
  std::array<std::int64_t, 4> strides_{};
  std::int64_t origin_ = 0;
  guarded_buffer<E> memory_;
};

}  // namespace linattn_test

#endif
