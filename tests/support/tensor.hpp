// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// tensor: a guarded buffer with one of the memory orders that callers have, filled from and gathered into the oracle's
// dense (batch, head, time, channel) order.
#ifndef LINATTN_TESTS_SUPPORT_TENSOR_HPP
#define LINATTN_TESTS_SUPPORT_TENSOR_HPP

#include "support/call.hpp"
#include "support/guarded_buffer.hpp"

#include <linattn/core/element.hpp>

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

class tensor {
 public:
  tensor(linattn::element_kind kind, memory_order order, std::int64_t batch, std::int64_t heads, std::int64_t time,
         std::int64_t channels);

  /// Of `channels` channels; a tensor of one number a row has one.
  [[nodiscard]] raw_tensor view();

  void fill(std::vector<double> const& dense);
  [[nodiscard]] std::vector<double> gather() const;

  [[nodiscard]] guarded_buffer& memory() { return memory_; }
  [[nodiscard]] guarded_buffer const& memory() const { return memory_; }
  [[nodiscard]] bool canaries_intact() const { return memory_.canaries_intact(); }
  [[nodiscard]] bool untouched() const { return memory_.untouched(); }
  /// From the buffer's begin.
  [[nodiscard]] std::int64_t offset(std::int64_t b, std::int64_t h, std::int64_t t, std::int64_t c) const {
    return origin_ + b * strides_[0] + h * strides_[1] + t * strides_[2] + c * strides_[3];
  }

 private:
  /// f(offset), in the order of the oracle's tensors.
  template <class F>
  void visit(F&& f) const {
    for (std::int64_t b = 0; b < extents_[0]; ++b) {
      for (std::int64_t h = 0; h < extents_[1]; ++h) {
        for (std::int64_t t = 0; t < extents_[2]; ++t) {
          for (std::int64_t c = 0; c < extents_[3]; ++c) {
            f(offset(b, h, t, c));
          }
        }
      }
    }
  }

  std::array<std::int64_t, 4> extents_;
  std::array<std::int64_t, 4> strides_{};
  std::int64_t origin_ = 0;
  guarded_buffer memory_;
};

}  // namespace linattn_test

#endif
