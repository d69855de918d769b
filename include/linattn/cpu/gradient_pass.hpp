// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What the gradient passes over a stream, by queries and by keys, have in common. The ones column makes the two mirror
// images (docs/math.md): scaled gradients G = g scale(den), and one more column c = (g . num) scale'(den) beside them,
// against a 1 beside v.
#ifndef LINATTN_CPU_GRADIENT_PASS_HPP
#define LINATTN_CPU_GRADIENT_PASS_HPP

#include <linattn/cpu/pass.hpp>
#include <linattn/cpu/value_sum.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_ISA {

template <class Real>
struct gradient_problem {
  map_ref<Real> map;
  normalizer_ref<Real> normalizer;
  call_shape shape;
  schedule plan;
  tensor_rows q, k, v, out, denominator, grad_out;
  tensor_rows grad_q, grad_k, grad_v;
  state_tensors<Real const> initial_state;
  state_tensors<Real const> grad_final_state;
  state_tensors<Real> grad_initial_state;
  /// (batch, head, time, 2), contiguous: scale(den) and c of each row.
  Real* row_factors = nullptr;
  /// (stream, segment): [group + 1][gradient_size], the parameter gradients of each segment, by the group's queries,
  /// then by the keys; zero on entry.
  Real* partials = nullptr;
  std::int64_t segments = 1;  // of the longest sequence

  [[nodiscard]] std::int64_t partial_size() const noexcept {
    return std::int64_t{shape.group() + 1} * map.gradient_size;
  }
  [[nodiscard]] Real* partial(std::int64_t stream, std::int64_t segment) const noexcept {
    return partials + (stream * segments + segment) * partial_size();
  }
  [[nodiscard]] Real* factors(std::int64_t batch, std::int64_t head, std::int64_t time) const noexcept {
    return row_factors + ((batch * shape.heads + head) * shape.time + time) * 2;
  }
  [[nodiscard]] bool saved() const noexcept { return out.present() && denominator.present(); }

  /// Whether the pass by keys finds the gradients by queries too, from the same pairs: a sequence of this length is one
  /// block, nothing goes through a state, and the row factors need no forward. Without queries there is none to find.
  [[nodiscard]] bool one_pass(std::int64_t length) const noexcept {
    return shape.group() > 0 && plan.whole(length) && !initial_state.present() && !grad_final_state.present() &&
           !grad_initial_state.present() && (saved() || !normalizer.needs_denominator);
  }
};

/// What both passes do alike: where the stream is, loading of tiles, the gradient of a tile's rows.
template <class Real>
class gradient_pass_base {
 public:
  gradient_pass_base(gradient_problem<Real> const& problem, worker_memory<Real>& memory)
      : p_(problem), m_(memory), values_(problem.map, memory.buffers) {}

  void bind(std::int64_t stream, stream_id const& id, value_columns const& columns) {
    stream_ = stream;
    id_ = id;
    columns_ = columns;
    tokens_ = p_.shape.sequence(id.sequence);
    m_.y.count = 0;
    std::fill(m_.partials, m_.partials + p_.partial_size() * simd<Real>::width, Real(0));
  }

  [[nodiscard]] std::int64_t length() const noexcept { return tokens_.size(); }
  [[nodiscard]] running_state<Real>& state() noexcept { return m_.state; }
  [[nodiscard]] bool state_first() const noexcept { return !p_.shape.causal && !p_.plan.whole(length()); }

 protected:
  /// Hands over the parameter gradients of a segment, summed over lanes, of the members [first, last) of the group; the
  /// keys are the last member.
  void save_partials(int first, int last, std::int64_t segment) {
    constexpr int width = simd<Real>::width;
    Real* const to = p_.partial(stream_, segment);
    for (std::int64_t i = std::int64_t{first} * p_.map.gradient_size; i < std::int64_t{last} * p_.map.gradient_size;
         ++i) {
      to[i] = sum_of_lanes(simd<Real>::load(m_.partials + i * width));
    }
    std::fill(m_.partials, m_.partials + p_.partial_size() * width, Real(0));
  }

  void place(operand<Real>& tile, std::int64_t begin, std::int64_t count) const noexcept {
    tile.begin = tokens_.begin + begin;
    tile.count = static_cast<int>(count);
  }
  [[nodiscard]] bool placed(operand<Real> const& tile, std::int64_t begin, std::int64_t count) const noexcept {
    return tile.count == static_cast<int>(count) && tile.begin == tokens_.begin + begin;
  }

  void load_keys(operand<Real>& tile) {
    load_rows(p_.map, role::key, static_cast<int>(id_.kv_head), p_.k.source(tokens_.batch, id_.kv_head), m_.buffers,
              tile);
    load_panels(p_.v.source(tokens_.batch, id_.kv_head), tile.begin, tile.count, columns_, tile.stride, tile.payload);
    fill_extra(tile, Real(1));
  }

  /// Rows of queries, and of the output's gradient as it is.
  void load_queries(operand<Real>& tile, std::int64_t head) {
    load_rows(p_.map, role::query, static_cast<int>(head), p_.q.source(tokens_.batch, head), m_.buffers, tile);
    load_panels(p_.grad_out.source(tokens_.batch, head), tile.begin, tile.count, columns_, tile.stride, tile.payload);
  }

  /// scale(den) and c = (g . num) scale'(den) of a tile of queries, whose denominators are in buffers.sums. `values`,
  /// in panels as the payload, is num, or what forward saved: num scale(den).
  void find_row_factors(operand<Real> const& tile, std::int64_t head, Real const* values) {
    p_.normalizer.apply(p_.normalizer.self, m_.buffers.sums, m_.row_scale, m_.row_scale_grad, tile.count);
    Real* const factors = p_.factors(tokens_.batch, head, tile.begin);
    for (int t = 0; t < tile.count; ++t) {
      simd<Real> sum(Real(0));
      columns_.for_each_panel([&](int column, int width) {
        std::ptrdiff_t const row = static_cast<std::ptrdiff_t>(column) * tile.stride + t * width;
        for (int c = 0; c < width; c += simd<Real>::width) {
          sum = multiply_add(simd<Real>::load(values + row + c), simd<Real>::load(tile.payload + row + c), sum);
        }
      });
      factors[2 * t] = m_.row_scale[t];
      factors[2 * t + 1] = sum_of_lanes(sum) * m_.row_scale_grad[t] / (p_.saved() ? m_.row_scale[t] : Real(1));
    }
  }

  /// The same from what forward saved. The panels go to `scratch`.
  void find_saved_row_factors(operand<Real> const& tile, std::int64_t head, Real* scratch) {
    if (!p_.normalizer.needs_denominator) {
      return;
    }
    copy_rows(p_.denominator.source(tokens_.batch, head), tile.begin, tile.count, tile.count, 0, 1, m_.buffers.sums, 1);
    load_panels(p_.out.source(tokens_.batch, head), tile.begin, tile.count, columns_, tile.stride, scratch);
    find_row_factors(tile, head, scratch);
  }

  /// payload = g * scale, extra = c, from the row factors.
  void scale_payload(operand<Real>& tile, std::int64_t head) {
    fill_extra(tile, Real(0));
    if (!p_.normalizer.needs_denominator) {
      return;
    }
    Real const* const factors = p_.factors(tokens_.batch, head, tile.begin);
    for (int t = 0; t < tile.count; ++t) {
      tile.extra[t] = factors[2 * t + 1];
    }
    columns_.for_each_panel([&](int column, int width) {
      Real* row = tile.payload + static_cast<std::ptrdiff_t>(column) * tile.stride;
      for (int t = 0; t < tile.count; ++t, row += width) {
        simd<Real> const scale(factors[2 * t]);
        for (int c = 0; c < width; c += simd<Real>::width) {
          (simd<Real>::load(row + c) * scale).store(row + c);
        }
      }
    });
  }

  /// Idle lanes of the transposed payload repeat the last row, so that they hold ordinary numbers.
  void transpose_x_payload() {
    columns_.for_each_panel([&](int column, int width) {
      Real* const panel = m_.x.payload + static_cast<std::ptrdiff_t>(column) * m_.x.stride;
      for (int t = m_.x.count; t < m_.x.lanes(); ++t) {
        std::copy_n(panel + static_cast<std::ptrdiff_t>(m_.x.count - 1) * width, width,
                    panel + static_cast<std::ptrdiff_t>(t) * width);
      }
    });
    transpose_payload(columns_, m_.x);
  }

  void clear_x_results() {
    std::fill(m_.buffers.sums, m_.buffers.sums + m_.x.stride, Real(0));
    std::fill(m_.buffers.grads, m_.buffers.grads + std::ptrdiff_t{p_.map.head_dim} * m_.x.stride, Real(0));
  }

  /// From the gradient by the prepared rows of x to the gradient by the rows themselves, into the user's tensor.
  void write_x_grads(role r, std::int64_t head, int member, tensor_rows const& target) {
    int const lanes = m_.x.lanes();
    for (int i = 0; i < p_.map.head_dim; ++i) {  // idle lanes add nothing to the parameters
      std::fill(m_.buffers.grads + i * m_.x.stride + m_.x.count, m_.buffers.grads + i * m_.x.stride + lanes, Real(0));
    }
    p_.map.prepare_backward(
        p_.map.self, r, static_cast<int>(head), m_.x.raw, m_.buffers.grads, m_.x.stride, lanes,
        m_.partials + static_cast<std::ptrdiff_t>(member) * p_.map.gradient_size * simd<Real>::width);
    int const columns = whole_vectors<Real>(p_.map.head_dim);
    transpose_rows(m_.buffers.grads, m_.x.stride, columns, lanes, m_.buffers.staging, columns);
    write_rows(target.target(tokens_.batch, head), m_.x.begin, m_.x.count, 0, p_.map.head_dim, m_.buffers.staging,
               columns);
  }

  /// Starts to fetch what both passes use of the chunk at `next`, and the rows of two more tensors.
  void prefetch_chunk(std::int64_t next, std::int64_t head, row_source const& more,
                      row_source const& grad_rows) noexcept {
    bool const there = !p_.plan.whole(length()) && next >= 0 && next < length();
    std::int64_t const rows = there ? (std::min)(p_.plan.block(length()), length() - next) : 0;
    // About as many calls come before those rows are read: from the state's products, and those of its gradient.
    std::int64_t const calls = std::int64_t{p_.map.feature_dim} / tile_rows *
                               (m_.y.stride * columns_.panels() + columns_.padded) / row_prefetcher::depth_between;
    prefetch_.restart(rows, calls);
    if (rows == 0) {
      return;
    }
    std::int64_t const time = tokens_.begin + next;
    int const values = columns_.end - columns_.begin;
    prefetch_rows(prefetch_, p_.k.source(tokens_.batch, id_.kv_head), time, 0, p_.map.head_dim);
    prefetch_rows(prefetch_, p_.v.source(tokens_.batch, id_.kv_head), time, columns_.begin, values);
    prefetch_rows(prefetch_, p_.q.source(tokens_.batch, head), time, 0, p_.map.head_dim);
    prefetch_rows(prefetch_, p_.grad_out.source(tokens_.batch, head), time, columns_.begin, values);
    prefetch_rows(prefetch_, more, time, columns_.begin, values);
    prefetch_rows(prefetch_, grad_rows, time, 0, p_.map.head_dim);
  }

  gradient_problem<Real> const& p_;
  worker_memory<Real>& m_;
  value_sum<Real> values_;
  row_prefetcher prefetch_{};
  std::int64_t stream_ = 0;
  stream_id id_{};
  value_columns columns_{};
  token_range tokens_{};
};

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_ISA

#endif
