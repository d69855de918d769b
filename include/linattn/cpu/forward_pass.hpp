// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The forward pass over one stream: x = queries, y = keys, the state runs forward in time.
#ifndef LINATTN_CPU_FORWARD_PASS_HPP
#define LINATTN_CPU_FORWARD_PASS_HPP

#include <linattn/cpu/pass.hpp>
#include <linattn/cpu/value_sum.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_ISA {

template <class Real>
struct forward_problem {
  map_ref<Real> map;
  normalizer_ref<Real> normalizer;
  call_shape shape;
  schedule plan;
  tensor_rows q, k, v, out, denominator;
  state_tensors<Real const> initial_state;
  state_tensors<Real> final_state;

  [[nodiscard]] bool needs_sums() const noexcept {
    return normalizer.needs_denominator || denominator.present() || final_state.k_sum.present();
  }
};

template <class Real>
class forward_pass {
 public:
  static constexpr bool reversed = false;

  forward_pass(forward_problem<Real> const& problem, worker_memory<Real>& memory)
      : p_(problem), m_(memory), values_(problem.map, memory.buffers) {}

  void bind(std::int64_t /*stream*/, stream_id const& id, value_columns const& columns) {
    id_ = id;
    columns_ = columns;
    tokens_ = p_.shape.sequence(id.sequence);
    keys_ = p_.k.source(tokens_.batch, id.kv_head);
    key_values_ = p_.v.source(tokens_.batch, id.kv_head);
    forget_keys();
  }

  [[nodiscard]] std::int64_t length() const noexcept { return tokens_.size(); }
  [[nodiscard]] state_slot<Real const> initial_state() const noexcept {
    return slot_of(p_.initial_state, id_.sequence, id_.kv_head);
  }
  [[nodiscard]] state_slot<Real> final_state() const noexcept {
    return slot_of(p_.final_state, id_.sequence, id_.kv_head);
  }
  [[nodiscard]] bool wants_final_state() const noexcept { return p_.final_state.present(); }
  /// Whether the outputs need the sum over the whole sequence before the first of them.
  [[nodiscard]] bool state_first() const noexcept { return !p_.shape.causal && !p_.plan.whole(length()); }
  [[nodiscard]] running_state<Real>& state() noexcept { return m_.state; }
  void end_segment(std::int64_t /*segment*/) noexcept {}

  /// Adds tokens [begin, end) of the sequence to the state.
  void accumulate(std::int64_t begin, std::int64_t end) {
    int const step = p_.plan.template y_tile<Real>(length());
    for (std::int64_t at = begin; at < end; at += step) {
      load_keys(at, (std::min<std::int64_t>)(step, end - at));
      update_state(p_.map, columns_, m_.y, m_.state, m_.buffers, &prefetch_);
    }
  }

  /// Writes the outputs of [begin, end), one block. Causal: only this block's keys and the state before it.
  void emit(std::int64_t begin, std::int64_t end) {
    bool const pairs = p_.shape.causal || p_.plan.whole(length());
    visibility const sees = p_.shape.causal ? visibility::past : visibility::all;
    int const x_step = p_.plan.template x_tile<Real>(length());
    int const y_step = p_.plan.template y_tile<Real>(length());
    for (int member = 0; member < p_.shape.group(); ++member) {
      std::int64_t const head = p_.shape.query_head(id_.kv_head, member);
      for (std::int64_t at = begin; at < end; at += x_step) {
        load_queries(head, at, static_cast<int>((std::min<std::int64_t>)(x_step, end - at)));
        std::int64_t const seen_end = sees == visibility::past ? at + m_.x.count : end;
        for (std::int64_t key = begin; pairs && key < seen_end; key += y_step) {
          values_.flush(columns_, m_.x, m_.y, &prefetch_);
          load_keys(key, (std::min<std::int64_t>)(y_step, end - key));
          weigh_pairs(p_.map, sees, m_.x, m_.y, m_.buffers);
          values_.add_pairs(sees);
        }
        write_outputs(head);
      }
    }
  }

 private:
  void forget_keys() noexcept { m_.y.count = 0; }

  void load_keys(std::int64_t begin, std::int64_t count) {
    if (m_.y.count == static_cast<int>(count) && m_.y.begin == tokens_.begin + begin) {
      return;
    }
    m_.y.begin = tokens_.begin + begin;
    m_.y.count = static_cast<int>(count);
    load_rows(p_.map, role::key, static_cast<int>(id_.kv_head), keys_, m_.buffers, m_.y);
    load_panels(key_values_, m_.y.begin, m_.y.count, columns_, m_.y.stride, m_.y.payload);
    fill_extra(m_.y, Real(1));
    prefetch_next_keys();
  }

  void prefetch_next_keys() noexcept {
    std::int64_t const next = m_.y.begin + m_.y.count;
    std::int64_t const rows = (std::min<std::int64_t>)(m_.y.stride, tokens_.end - next);
    // About as many calls come before those rows are read: from the outputs' products, then from the state's.
    constexpr int between = row_prefetcher::depth_between;
    bool const whole = p_.plan.whole(length());
    std::int64_t const tiles = p_.plan.template x_tile<Real>(length()) / tile_rows;
    std::int64_t const features = p_.map.feature_dim;
    std::int64_t const calls = whole ? tiles * (m_.y.stride / between)
                                     : tiles * (features / between) + features / tile_rows * (m_.y.stride / between);
    prefetch_.restart(rows, calls * columns_.panels());
    if (rows <= 0) {
      return;  // there is no such row, and its address may not exist
    }
    int const values = columns_.end - columns_.begin;
    prefetch_rows(prefetch_, keys_, next, 0, p_.map.head_dim);
    prefetch_rows(prefetch_, key_values_, next, columns_.begin, values);
    if (whole || p_.shape.group() == 0) {
      return;  // the next queries are not beside the next keys
    }
    std::int64_t const head = p_.shape.query_head(id_.kv_head, 0);
    prefetch_rows(prefetch_, p_.q.source(tokens_.batch, head), next, 0, p_.map.head_dim);
    prefetch_rows(prefetch_, p_.out.source(tokens_.batch, head), next, columns_.begin, values);
  }

  void load_queries(std::int64_t head, std::int64_t begin, int count) {
    m_.x.begin = tokens_.begin + begin;
    m_.x.count = count;
    load_rows(p_.map, role::query, static_cast<int>(head), p_.q.source(tokens_.batch, head), m_.buffers, m_.x);
    std::fill(m_.buffers.sums, m_.buffers.sums + m_.x.stride, Real(0));
    values_.start();
  }

  void write_outputs(std::int64_t head) {
    values_.finish(columns_, m_.x, m_.y, m_.state, p_.out.target(tokens_.batch, head), &prefetch_,
                   [&] { return row_scale(); });
    if (p_.denominator.present() && columns_.begin == 0) {
      write_rows(p_.denominator.target(tokens_.batch, head), m_.x.begin, m_.x.count, 0, 1, m_.buffers.sums, 1);
    }
  }

  [[nodiscard]] Real const* row_scale() {
    if (!p_.normalizer.needs_denominator) {
      return nullptr;
    }
    p_.normalizer.apply(p_.normalizer.self, m_.buffers.sums, m_.row_scale, m_.row_scale_grad, m_.x.count);
    return m_.row_scale;
  }

  forward_problem<Real> const& p_;
  worker_memory<Real>& m_;
  stream_id id_{};
  value_columns columns_{};
  token_range tokens_{};
  row_source keys_{};
  row_source key_values_{};
  row_prefetcher prefetch_{};
  value_sum<Real> values_;
};

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_ISA

#endif
