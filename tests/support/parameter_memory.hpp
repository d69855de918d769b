// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// parameter_memory: one learnable parameter of a map and its gradient in guarded memory, rank 1 or 2.
#ifndef LINATTN_TESTS_SUPPORT_PARAMETER_MEMORY_HPP
#define LINATTN_TESTS_SUPPORT_PARAMETER_MEMORY_HPP

#include "support/call.hpp"
#include "support/guarded_buffer.hpp"
#include "support/recipe.hpp"

#include <linattn/core/element.hpp>

#include <cstddef>
#include <vector>

namespace linattn_test {

class parameter_memory {
 public:
  /// `dense` is (heads, head_dim), or empty if the map has no such parameter. The gradient starts at `start`.
  parameter_memory(linattn::element_kind kind, std::vector<double> const& dense, parameter_plan const& plan,
                   int head_dim, double start);

  [[nodiscard]] raw_parameter view() { return make(value_); }
  [[nodiscard]] raw_parameter grad_view() { return make(grad_); }
  [[nodiscard]] bool canaries_intact() const { return value_.canaries_intact() && grad_.canaries_intact(); }
  [[nodiscard]] std::size_t size() const { return value_.size(); }
  /// The gradient.
  [[nodiscard]] std::vector<double> gather() const;
  friend bool operator==(parameter_memory const& a, parameter_memory const& b) { return a.grad_ == b.grad_; }

 private:
  raw_parameter make(guarded_buffer& buffer) const;

  int head_dim_;
  int rank_;
  guarded_buffer value_, grad_;
};

}  // namespace linattn_test

#endif
