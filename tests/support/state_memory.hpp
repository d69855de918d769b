// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// state_memory: the states of a problem in guarded memory, in either layout, alone or as scattered slots of a pool.
#ifndef LINATTN_TESTS_SUPPORT_STATE_MEMORY_HPP
#define LINATTN_TESTS_SUPPORT_STATE_MEMORY_HPP

#include "support/call.hpp"
#include "support/guarded_buffer.hpp"

#include <linattn/core/element.hpp>
#include <linattn/state.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace linattn_test {

class state_memory {
 public:
  state_memory(linattn::element_kind kind, int feature_dim, std::int64_t sequences, std::int64_t kv_heads,
               std::int64_t value_dim, linattn::state_layout layout, bool pool);

  [[nodiscard]] raw_state view();

  /// In the oracle's order, (sequence, key head, feature, value) and (sequence, key head, feature).
  void fill(std::vector<double> const& kv, std::vector<double> const& k_sum);
  [[nodiscard]] std::vector<double> kv() const;
  [[nodiscard]] std::vector<double> k_sum() const;

  [[nodiscard]] bool canaries_intact() const { return kv_.canaries_intact() && k_sum_.canaries_intact(); }
  [[nodiscard]] bool untouched() const { return kv_.untouched() && k_sum_.untouched(); }
  friend bool operator==(state_memory const& a, state_memory const& b) { return a.kv_ == b.kv_ && a.k_sum_ == b.k_sum_; }

 private:
  /// f(offset) on the rows, or the numbers, that belong to sequences.
  template <class F>
  void visit_rows(F&& f) const {
    for (std::int64_t slot : own_) {
      for (std::int64_t row = slot * kv_heads_ * features_; row < (slot + 1) * kv_heads_ * features_; ++row) {
        f(row);
      }
    }
  }
  template <class F>
  void visit(F&& f) const {
    bool const feature_major = layout_ == linattn::state_layout::feature_major;
    visit_rows([&](std::int64_t row) {
      for (std::int64_t e = 0; e < value_dim_; ++e) {
        f(feature_major ? row * value_dim_ + e : (row / features_ * value_dim_ + e) * features_ + row % features_);
      }
    });
  }

  std::int64_t kv_heads_, features_, value_dim_;
  linattn::state_layout layout_;
  std::int64_t slot_count_ = 0;
  std::vector<std::int64_t> own_;
  std::vector<std::int32_t> slots_;
  guarded_buffer kv_, k_sum_;
};

}  // namespace linattn_test

#endif
