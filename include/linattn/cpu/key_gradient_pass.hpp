// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The gradient pass by keys: x = keys with their values, y = queries with the output's gradient, the state
// sum phi(q) g^T runs backward.
#ifndef LINATTN_CPU_KEY_GRADIENT_PASS_HPP
#define LINATTN_CPU_KEY_GRADIENT_PASS_HPP

#include <linattn/cpu/gradient_pass.hpp>
#include <linattn/cpu/pair_products.hpp>
#include <linattn/cpu/state_products.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_ISA {

/// grad_k, grad_v, and the gradient of the initial state; where gradient_problem::one_pass() holds, grad_q too: each
/// tile of pairs is then weighed once, and its share of the gradients by queries is added to working memory.
template <class Real>
class key_gradient_pass : public gradient_pass_base<Real> {
  using base = gradient_pass_base<Real>;
  using base::columns_, base::id_, base::m_, base::p_, base::prefetch_, base::tokens_, base::values_;

 public:
  static constexpr bool reversed = true;
  using base::base;

  [[nodiscard]] state_slot<Real const> initial_state() const noexcept {
    return slot_of(p_.grad_final_state, id_.sequence, id_.kv_head);
  }
  [[nodiscard]] state_slot<Real> final_state() const noexcept {
    return slot_of(p_.grad_initial_state, id_.sequence, id_.kv_head);
  }
  [[nodiscard]] bool wants_final_state() const noexcept { return p_.grad_initial_state.present(); }
  void end_segment(std::int64_t segment) {
    int const keys = p_.shape.group();
    base::save_partials(with_queries() ? 0 : keys, keys + 1, segment);
  }

  void accumulate(std::int64_t begin, std::int64_t end) {
    int const step = p_.plan.template y_tile<Real>(base::length());
    for (int member = 0; member < p_.shape.group(); ++member) {
      for (std::int64_t at = begin; at < end; at += step) {
        place_queries(member, at, (std::min<std::int64_t>)(step, end - at), false);
        update_state(p_.map, columns_, m_.y, m_.state, m_.buffers, &prefetch_);
      }
    }
  }

  void emit(std::int64_t begin, std::int64_t end) {
    bool const pairs = p_.shape.causal || p_.plan.whole(base::length());
    visibility const sees = p_.shape.causal ? visibility::future : visibility::all;
    int const x_step = p_.plan.template x_tile<Real>(base::length());
    int const y_step = p_.plan.template y_tile<Real>(base::length());
    if (p_.shape.group() > 0) {
      base::prefetch_chunk(begin - p_.plan.block(base::length()), p_.shape.query_head(id_.kv_head, 0),
                           p_.grad_v.source(tokens_.batch, id_.kv_head),
                           p_.grad_k.source(tokens_.batch, id_.kv_head));
    }
    for (std::int64_t at = begin; at < end; at += x_step) {
      base::place(m_.x, at, (std::min<std::int64_t>)(x_step, end - at));
      base::load_keys(m_.x);
      base::transpose_x_payload();
      if (with_queries()) {
        transpose_keys();
      }
      base::clear_x_results();
      values_.start();
      if (!m_.state.zero) {
        add_state_grads(p_.map, columns_, m_.x, m_.state, m_.buffers, &prefetch_);
      }
      std::int64_t const seen_begin = p_.shape.causal ? begin + (at - begin) / y_step * y_step : begin;
      for (int member = 0; pairs && member < p_.shape.group(); ++member) {
        for (std::int64_t query = seen_begin; query < end; query += y_step) {
          values_.flush(columns_, m_.x, m_.y, nullptr);
          place_queries(member, query, (std::min<std::int64_t>)(y_step, end - query), with_queries() && at == begin);
          weigh_pairs_backward(p_.map, sees, columns_, m_.x, m_.y, m_.buffers);
          values_.add_pairs(sees);
          add_pair_grads(p_.map, sees, m_.x, m_.y, m_.buffers);
          if (with_queries()) {
            add_pair_grads_of_y(p_.map, sees, m_.x, m_.y, m_.buffers, at > begin, query_grads(member, query));
          }
        }
      }
      values_.finish(columns_, m_.x, m_.y, m_.state, p_.grad_v.target(tokens_.batch, id_.kv_head), &prefetch_,
                     []() -> Real const* { return nullptr; });
      base::write_x_grads(role::key, id_.kv_head, p_.shape.group(), p_.grad_k);
    }
    for (int member = 0; with_queries() && member < p_.shape.group(); ++member) {
      for (std::int64_t at = begin; at < end; at += x_step) {
        write_query_grads(member, at, (std::min<std::int64_t>)(x_step, end - at));
      }
    }
  }

 private:
  [[nodiscard]] bool with_queries() const noexcept { return p_.one_pass(base::length()); }

  /// Rows of head_columns numbers: gradients by the prepared queries of a member, from `time` on.
  [[nodiscard]] Real* query_grads(int member, std::int64_t time) const noexcept {
    std::ptrdiff_t const row = std::ptrdiff_t{member} * whole_vectors<Real>(base::length()) + time;
    return m_.query_grads + row * whole_vectors<Real>(p_.map.head_dim);
  }

  /// buffers.x_rows: the prepared rows of x, token by token.
  void transpose_keys() noexcept {
    int const columns = whole_vectors<Real>(p_.map.head_dim);
    Real* const unused = m_.x.rows + std::ptrdiff_t{p_.map.head_dim} * m_.x.stride;
    std::fill(unused, m_.x.rows + std::ptrdiff_t{columns} * m_.x.stride, Real(0));
    transpose_rows(m_.x.rows, m_.x.stride, columns, m_.x.lanes(), m_.buffers.x_rows, columns);
  }

  /// From the gradients by the prepared queries to those by the queries, as an x tile's.
  void write_query_grads(int member, std::int64_t begin, std::int64_t count) {
    std::int64_t const head = p_.shape.query_head(id_.kv_head, member);
    base::place(m_.x, begin, count);
    gather_rows(p_.map, p_.q.source(tokens_.batch, head), m_.buffers, m_.x, m_.x.raw);
    transpose_rows(query_grads(member, begin), whole_vectors<Real>(p_.map.head_dim), m_.x.lanes(), p_.map.head_dim,
                   m_.buffers.grads, m_.x.stride);
    base::write_x_grads(role::query, head, member, p_.grad_q);
  }

  void place_queries(int member, std::int64_t begin, std::int64_t count, bool first_time) {
    if (!base::placed(m_.y, begin, count) || member != placed_member_) {
      placed_member_ = member;
      std::int64_t const head = p_.shape.query_head(id_.kv_head, member);
      base::place(m_.y, begin, count);
      base::load_queries(m_.y, head);
      if (first_time) {
        base::find_saved_row_factors(m_.y, head, m_.buffers.staging);
      }
      base::scale_payload(m_.y, head);
    }
  }

  int placed_member_ = -1;
};

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_ISA

#endif
