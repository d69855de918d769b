// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The forward pass over one stream: x = queries, y = keys, the state runs forward in time.
#ifndef LINATTN_CPU_FORWARD_PASS_HPP
#define LINATTN_CPU_FORWARD_PASS_HPP

#include <linattn/cpu/pass.hpp>

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
      : p_(problem), m_(memory) {}

  void bind(std::int64_t /*stream*/, stream_id const& id, value_columns const& columns) {
    id_ = id;
    columns_ = columns;
    tokens_ = p_.shape.sequence(id.sequence);
    keys_ = p_.k.source(tokens_.batch, id.kv_head);
    values_ = p_.v.source(tokens_.batch, id.kv_head);
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
          load_keys(key, (std::min<std::int64_t>)(y_step, end - key));
          weigh_pairs(p_.map, sees, m_.x, m_.y, m_.buffers);
          add_pair_values(sees, columns_, m_.x, m_.y, m_.buffers);
        }
        if (!m_.state.zero) {
          read_state(p_.map, columns_, m_.x, m_.state, m_.buffers, &prefetch_);
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
    load_panels(values_, m_.y.begin, m_.y.count, columns_, m_.y.stride, m_.y.payload);
    fill_extra(m_.y, Real(1));
    prefetch_next_keys();
  }

  void prefetch_next_keys() noexcept {
    std::int64_t const next = m_.y.begin + m_.y.count;
    prefetch_.rows_left = static_cast<int>((std::min<std::int64_t>)(m_.y.stride, tokens_.end - next));
    prefetch_.clear_streams();
    if (prefetch_.rows_left <= 0) {
      return;  // there is no such row, and its address may not exist
    }
    int stream = 0;
    auto const add = [&](row_source const& source, int column, int columns) {
      if (columns <= 0 || source.data == nullptr) {
        return;  // an empty tensor may be null
      }
      int const bytes = element_bytes(source.kind);
      prefetch_.streams[stream++] = {static_cast<char const*>(source.data) + (next * source.stride + column) * bytes,
                                     source.stride * bytes, std::ptrdiff_t{columns} * bytes};
    };
    add(keys_, 0, p_.map.head_dim);
    add(values_, columns_.begin, columns_.end - columns_.begin);
    if (p_.shape.group() == 0) {
      return;
    }
    std::int64_t const head = p_.shape.query_head(id_.kv_head, 0);
    add(p_.q.source(tokens_.batch, head), 0, p_.map.head_dim);
    add(p_.out.source(tokens_.batch, head), columns_.begin, columns_.end - columns_.begin);
  }

  void load_queries(std::int64_t head, std::int64_t begin, int count) {
    m_.x.begin = tokens_.begin + begin;
    m_.x.count = count;
    load_rows(p_.map, role::query, static_cast<int>(head), p_.q.source(tokens_.batch, head), m_.buffers, m_.x);
    std::fill(m_.buffers.values, m_.buffers.values + std::ptrdiff_t{columns_.padded} * m_.x.stride, Real(0));
    std::fill(m_.buffers.sums, m_.buffers.sums + m_.x.stride, Real(0));
  }

  void write_outputs(std::int64_t head) {
    int const count = m_.x.count;
    if (p_.normalizer.needs_denominator) {
      p_.normalizer.apply(p_.normalizer.self, m_.buffers.sums, m_.row_scale, m_.row_scale_grad, count);
      columns_.for_each_panel([&](int column, int width) {
        Real* row = m_.buffers.values + static_cast<std::ptrdiff_t>(column) * m_.x.stride;
        for (int t = 0; t < count; ++t, row += width) {
          simd<Real> const scale(m_.row_scale[t]);
          for (int c = 0; c < width; c += simd<Real>::width) {
            (simd<Real>::load(row + c) * scale).store(row + c);
          }
        }
      });
    }
    store_panels(p_.out.target(tokens_.batch, head), m_.x.begin, count, columns_, m_.x.stride, m_.buffers.values);
    if (p_.denominator.present() && columns_.begin == 0) {
      write_rows(p_.denominator.target(tokens_.batch, head), m_.x.begin, count, 0, 1, m_.buffers.sums, 1);
    }
  }

  forward_problem<Real> const& p_;
  worker_memory<Real>& m_;
  stream_id id_{};
  value_columns columns_{};
  token_range tokens_{};
  row_source keys_{};
  row_source values_{};
  row_prefetcher prefetch_{};
};

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_ISA

#endif
