// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// state_memory: the states of a problem in guarded memory, in either layout, alone or as scattered slots of a pool.
#ifndef LINATTN_TESTS_SUPPORT_STATE_MEMORY_HPP
#define LINATTN_TESTS_SUPPORT_STATE_MEMORY_HPP

#include "support/guarded_buffer.hpp"
#include "support/random.hpp"

#include <linattn/state.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace linattn_test {

template <class Map, class Real>
class state_memory {
 public:
  state_memory(std::int64_t sequences, std::int64_t kv_heads, std::int64_t value_dim, linattn::state_layout layout,
               bool pool)
      : sequences_(sequences), kv_heads_(kv_heads), value_dim_(value_dim), layout_(layout) {
    std::int64_t const slots = pool ? 2 * sequences + 1 : sequences;
    for (std::int64_t n = 0; n < sequences; ++n) {
      std::int64_t const slot = pool ? 2 * (sequences - n) - 1 : n;  // odd ones, last first
      own_.push_back(slot);
      if (pool) {
        slots_.push_back(static_cast<std::int32_t>(slot));
      }
    }
    slot_count_ = slots;
    std::int64_t const rows = slots * kv_heads * Map::feature_dim;
    kv_ = guarded_buffer<Real>(static_cast<std::size_t>(rows * value_dim));
    k_sum_ = guarded_buffer<Real>(static_cast<std::size_t>(rows));
    auto const v = view();
    visit([&](std::int64_t n, std::int64_t g, std::int64_t f, std::int64_t e) {
      kv_.own(&v.kv(own_[static_cast<std::size_t>(n)], g, f, e) - kv_.data());
    });
    visit_rows([&](std::int64_t n, std::int64_t g, std::int64_t f) {
      k_sum_.own(&v.k_sum(own_[static_cast<std::size_t>(n)], g, f) - k_sum_.data());
    });
  }

  [[nodiscard]] linattn::state_view<Map, Real> view() {
    auto v = linattn::view_state<Map>(kv_.data(), k_sum_.data(), slot_count_, kv_heads_, value_dim_, layout_);
    v.slots = slots_;
    return v;
  }

  void fill(std::vector<double> const& kv, std::vector<double> const& k_sum) {
    auto const v = view();
    std::size_t i = 0;
    visit([&](std::int64_t n, std::int64_t g, std::int64_t f, std::int64_t e) {
      v.kv(own_[static_cast<std::size_t>(n)], g, f, e) = static_cast<Real>(kv.at(i++));
    });
    i = 0;
    visit_rows([&](std::int64_t n, std::int64_t g, std::int64_t f) {
      v.k_sum(own_[static_cast<std::size_t>(n)], g, f) = static_cast<Real>(k_sum.at(i++));
    });
  }

  [[nodiscard]] std::vector<double> kv() {
    std::vector<double> dense;
    auto const v = view();
    visit([&](std::int64_t n, std::int64_t g, std::int64_t f, std::int64_t e) {
      dense.push_back(to_double(v.kv(own_[static_cast<std::size_t>(n)], g, f, e)));
    });
    return dense;
  }
  [[nodiscard]] std::vector<double> k_sum() {
    std::vector<double> dense;
    auto const v = view();
    visit_rows([&](std::int64_t n, std::int64_t g, std::int64_t f) {
      dense.push_back(to_double(v.k_sum(own_[static_cast<std::size_t>(n)], g, f)));
    });
    return dense;
  }
  [[nodiscard]] bool canaries_intact() const { return kv_.canaries_intact() && k_sum_.canaries_intact(); }
  [[nodiscard]] bool untouched() const { return kv_.untouched() && k_sum_.untouched(); }

 private:
  template <class F>
  void visit_rows(F&& f) const {
    for (std::int64_t n = 0; n < sequences_; ++n) {
      for (std::int64_t g = 0; g < kv_heads_; ++g) {
        for (std::int64_t feature = 0; feature < Map::feature_dim; ++feature) {
          f(n, g, feature);
        }
      }
    }
  }
  template <class F>
  void visit(F&& f) const {
    visit_rows([&](std::int64_t n, std::int64_t g, std::int64_t feature) {
      for (std::int64_t e = 0; e < value_dim_; ++e) {
        f(n, g, feature, e);
      }
    });
  }

  std::int64_t sequences_, kv_heads_, value_dim_;
  linattn::state_layout layout_;
  std::int64_t slot_count_ = 0;
  std::vector<std::int64_t> own_;
  std::vector<std::int32_t> slots_;
  guarded_buffer<Real> kv_, k_sum_;
};

}  // namespace linattn_test

#endif
