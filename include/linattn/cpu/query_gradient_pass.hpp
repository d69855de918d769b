// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The gradient pass by queries: x = queries with the output's gradient, y = keys, the state runs forward.
#ifndef LINATTN_CPU_QUERY_GRADIENT_PASS_HPP
#define LINATTN_CPU_QUERY_GRADIENT_PASS_HPP

#include <linattn/cpu/gradient_pass.hpp>
#include <linattn/cpu/pair_products.hpp>
#include <linattn/cpu/state_products.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_ISA {

/// grad_q, and the row factors for the pass by keys. Leaves out what that pass does by itself.
template <class Real>
class query_gradient_pass : public gradient_pass_base<Real> {
  using base = gradient_pass_base<Real>;
  using base::columns_, base::id_, base::m_, base::p_, base::prefetch_, base::tokens_, base::values_;

 public:
  static constexpr bool reversed = false;
  using base::base;

  [[nodiscard]] state_slot<Real const> initial_state() const noexcept {
    return slot_of(p_.initial_state, id_.sequence, id_.kv_head);
  }
  [[nodiscard]] state_slot<Real> final_state() const noexcept { return {}; }
  [[nodiscard]] bool wants_final_state() const noexcept { return false; }
  void end_segment(std::int64_t segment) { base::save_partials(0, p_.shape.group(), segment); }

  void accumulate(std::int64_t begin, std::int64_t end) {
    int const step = p_.plan.template y_tile<Real>(base::length());
    for (std::int64_t at = begin; at < end; at += step) {
      place_keys(at, (std::min<std::int64_t>)(step, end - at));
      update_state(p_.map, columns_, m_.y, m_.state, m_.buffers, &prefetch_);
    }
  }

  void emit(std::int64_t begin, std::int64_t end) {
    if (p_.one_pass(base::length())) {
      return;
    }
    int const step = p_.plan.template x_tile<Real>(base::length());
    if (p_.shape.group() > 0) {
      std::int64_t const head = p_.shape.query_head(id_.kv_head, 0);
      row_source const out = p_.saved() ? p_.out.source(tokens_.batch, head) : row_source{};
      base::prefetch_chunk(end, head, out, p_.grad_q.source(tokens_.batch, head));
    }
    for (int member = 0; member < p_.shape.group(); ++member) {
      std::int64_t const head = p_.shape.query_head(id_.kv_head, member);
      for (std::int64_t at = begin; at < end; at += step) {
        base::place(m_.x, at, (std::min<std::int64_t>)(step, end - at));
        base::load_queries(m_.x, head);
        base::clear_x_results();
        if (p_.saved()) {
          base::find_saved_row_factors(m_.x, head, m_.buffers.values);
        } else if (p_.normalizer.needs_denominator) {
          compute_forward(begin, end);
          base::find_row_factors(m_.x, head, m_.buffers.values);
        }
        base::scale_payload(m_.x, head);
        base::transpose_x_payload();
        for_each_key_tile(begin, end, [&](visibility sees) {
          weigh_pairs_backward(p_.map, sees, columns_, m_.x, m_.y, m_.buffers);
          add_pair_grads(p_.map, sees, m_.x, m_.y, m_.buffers);
        });
        if (!m_.state.zero) {
          add_state_grads(p_.map, columns_, m_.x, m_.state, m_.buffers, &prefetch_);
        }
        base::write_x_grads(role::query, head, member, p_.grad_q);
      }
    }
  }

 private:
  void place_keys(std::int64_t begin, std::int64_t count) {
    if (!base::placed(m_.y, begin, count)) {
      base::place(m_.y, begin, count);
      base::load_keys(m_.y);
    }
  }

  /// f on each tile of keys of the block [begin, end) that the x tile sees.
  template <class F>
  void for_each_key_tile(std::int64_t begin, std::int64_t end, F&& f) {
    if (!p_.shape.causal && !p_.plan.whole(base::length())) {
      return;
    }
    int const step = p_.plan.template y_tile<Real>(base::length());
    visibility const sees = p_.shape.causal ? visibility::past : visibility::all;
    std::int64_t const seen_end = p_.shape.causal ? m_.x.begin - tokens_.begin + m_.x.count : end;
    for (std::int64_t key = begin; key < seen_end; key += step) {
      place_keys(key, (std::min<std::int64_t>)(step, end - key));
      f(sees);
    }
  }

  /// num and den once more, in buffers.values and buffers.sums.
  void compute_forward(std::int64_t begin, std::int64_t end) {
    values_.start();
    for_each_key_tile(begin, end, [&](visibility sees) {
      weigh_pairs(p_.map, sees, m_.x, m_.y, m_.buffers);
      values_.add_pairs(sees);
      values_.flush(columns_, m_.x, m_.y, nullptr);  // the next tile of keys takes the place of this one
    });
    row_target const nowhere{};
    values_.finish(columns_, m_.x, m_.y, m_.state, nowhere, nullptr, []() -> Real const* { return nullptr; });
  }
};

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_ISA

#endif
