// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What the forward pass and the gradient passes share: how a sequence is cut into tiles, blocks and segments, the
// memory of a worker, states in and out of user memory, and the driver that runs a pass over all streams. A stream is
// one (sequence, key head, range of value columns): the unit that owns a state.
#ifndef LINATTN_CPU_PASS_HPP
#define LINATTN_CPU_PASS_HPP

#include <linattn/cpu/executor.hpp>
#include <linattn/cpu/problem.hpp>
#include <linattn/cpu/tiles.hpp>
#include <linattn/tuning/cpu.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_ISA {

/// How sequences are executed. Inside a block all pairs of tokens are weighed; between blocks the state stands for
/// them. Sequences shorter than `crossover` are one block: the parallel form.
struct schedule {
  int chunk = 1;
  std::int64_t crossover = 0;

  [[nodiscard]] bool whole(std::int64_t length) const noexcept { return length < crossover || length <= chunk; }
  /// The longest of the sequences of up to `longest` tokens that are one block.
  [[nodiscard]] std::int64_t longest_whole(std::int64_t longest) const noexcept {
    return (std::min)(longest, (std::max<std::int64_t>)(chunk, crossover - 1));
  }
  [[nodiscard]] std::int64_t block(std::int64_t length) const noexcept {
    return whole(length) ? (std::max<std::int64_t>)(length, 1) : chunk;
  }
  /// Tokens that are summed by themselves before they join the state, so that threads can share a long sequence.
  [[nodiscard]] std::int64_t segment(std::int64_t length) const noexcept {
    return whole(length) ? (std::max<std::int64_t>)(length, 1)
                         : (std::max<std::int64_t>)(1, cpu_tuning::segment_tokens / chunk) * chunk;
  }
  [[nodiscard]] std::int64_t segments(std::int64_t length) const noexcept {
    return (std::max<std::int64_t>)(1, (length + segment(length) - 1) / segment(length));
  }
  /// Tokens of an x tile, and of a y tile.
  template <class Real>
  [[nodiscard]] int x_tile(std::int64_t length) const noexcept {
    return whole_vectors<Real>((std::min<std::int64_t>)(block(length), cpu_tuning::x_tile_tokens));
  }
  template <class Real>
  [[nodiscard]] int y_tile(std::int64_t length) const noexcept {
    return whole_vectors<Real>((std::min<std::int64_t>)(block(length), cpu_tuning::y_tile_tokens));
  }
};

/// What a pass keeps beside the tiles and the state.
struct pass_needs {
  bool gradients = false;
  bool denominator = false;
  bool pairs = false;           // products with the state take pairs
  std::int64_t query_rows = 0;  // whose gradients the pass by keys gathers
};

/// The buffers of one worker, cut from an arena.
template <class Real>
struct worker_memory {
  operand<Real> x;
  operand<Real> y;
  tile_buffers<Real> buffers;
  running_state<Real> state;
  running_state<Real> segment;  // local_*: lent to state.local_*; the others: the state before a segment
  Real* query_grads = nullptr;  // [query_rows][whole vectors of head_dim]: gradients by prepared queries
  Real* partials = nullptr;     // [group + 1][gradient_size][width]: parameter gradients, lane by lane
  Real* row_scale = nullptr;
  Real* row_scale_grad = nullptr;

  worker_memory(arena& memory, map_ref<Real> const& map, schedule const& plan, std::int64_t longest, int padded_columns,
                int group, pass_needs const& needs) {
    x.stride = plan.x_tile<Real>(longest);
    y.stride = plan.y_tile<Real>(longest);
    if (plan.crossover > 0 && !plan.whole(longest)) {  // both forms may occur: room for the larger tiles
      x.stride = (std::max)(x.stride, whole_vectors<Real>(cpu_tuning::x_tile_tokens));
      y.stride = (std::max)(y.stride, whole_vectors<Real>(cpu_tuning::y_tile_tokens));
    }
    int const head_columns = whole_vectors<Real>(map.head_dim);
    int const widest = (std::max)(x.stride, y.stride);
    for (operand<Real>* side : {&x, &y}) {
      bool const is_x = side == &x;
      side->rows = memory.take<Real>(std::int64_t{head_columns} * side->stride);
      if (needs.gradients || !is_x) {
        side->payload = memory.take<Real>(std::int64_t{padded_columns} * side->stride);
      }
      if (needs.gradients && is_x) {
        side->raw = memory.take<Real>(std::int64_t{head_columns} * side->stride);
        side->payload_t = memory.take<Real>(std::int64_t{padded_columns} * side->stride);
      }
      if (needs.denominator && (needs.gradients || !is_x)) {
        side->extra = memory.take<Real>(side->stride);
      }
    }
    std::int64_t const weights = std::int64_t{x.stride} * y.stride;
    int const features = (std::min)(feature_block, map.feature_dim);
    buffers.staging = memory.take<Real>(std::int64_t{(std::max)(head_columns, padded_columns)} * widest);
    buffers.weights = memory.take<Real>(weights);
    buffers.values = memory.take<Real>(std::int64_t{padded_columns} * x.stride);
    buffers.sums = memory.take<Real>(x.stride);
    buffers.features = memory.take<Real>(std::int64_t{features} * widest);
    if (has_bf16_products<Real> && needs.pairs) {
      buffers.feature_pairs = memory.take<bf16_pair>(
          (std::max)((features + 1) / 2 * std::int64_t{x.stride}, features * std::int64_t{pair_stride(y)}));
      buffers.value_pairs =
          memory.take<bf16_pair>(((std::max)(features, y.stride) + 1) / 2 * std::int64_t{panel_columns<Real>});
    }
    row_scale = memory.take<Real>(widest);
    row_scale_grad = memory.take<Real>(widest);
    if (needs.gradients) {
      buffers.weight_grads = memory.take<Real>(weights);
      buffers.grads = memory.take<Real>(std::int64_t{head_columns} * x.stride);
      if (needs.query_rows > 0) {
        buffers.x_rows = memory.take<Real>(std::int64_t{head_columns} * x.stride);
        query_grads = memory.take<Real>(needs.query_rows * head_columns);
      }
      partials = memory.take<Real>(std::int64_t{group + 1} * map.gradient_size * simd<Real>::width);
    }
    auto const take_state = [&](Real*& kv, Real*& k_sum) {
      kv = memory.take<Real>(std::int64_t{padded_columns} * map.feature_dim);
      k_sum = needs.denominator ? memory.take<Real>(whole_vectors<Real>(map.feature_dim)) : nullptr;
    };
    take_state(state.kv, state.k_sum);
    if (plan.segments(longest) > 1) {
      take_state(segment.local_kv, segment.local_k_sum);
      take_state(segment.kv, segment.k_sum);
    }
  }
};

/// From user memory to panels; an absent state is zero.
template <class Real>
void load_state(int features, state_slot<Real const> const& slot, value_columns const& columns, Real* kv, Real* k_sum) {
  columns.for_each_panel([&](int column, int width) {
    Real* panel = kv + static_cast<std::ptrdiff_t>(column) * features;
    for (int n = 0; n < features; ++n, panel += width) {
      for (int c = 0; c < width; ++c) {
        int const at = columns.begin + column + c;
        panel[c] = slot.kv != nullptr && at < columns.end ? slot.kv[n * slot.feature_stride + at * slot.value_stride]
                                                          : Real(0);
      }
    }
  });
  for (int n = 0; k_sum != nullptr && n < whole_vectors<Real>(features); ++n) {
    k_sum[n] = slot.k_sum != nullptr && n < features ? slot.k_sum[n * slot.k_sum_stride] : Real(0);
  }
}

/// From panels to user memory; the first range of columns also writes the sums.
template <class Real>
void store_state(int features, state_slot<Real> const& slot, value_columns const& columns, Real const* kv,
                 Real const* k_sum) {
  columns.for_each_panel([&](int column, int width) {
    Real const* panel = kv + static_cast<std::ptrdiff_t>(column) * features;
    for (int n = 0; slot.kv != nullptr && n < features; ++n, panel += width) {
      for (int c = 0; c < width && columns.begin + column + c < columns.end; ++c) {
        slot.kv[n * slot.feature_stride + (columns.begin + column + c) * slot.value_stride] = panel[c];
      }
    }
  });
  for (int n = 0; slot.k_sum != nullptr && k_sum != nullptr && columns.begin == 0 && n < features; ++n) {
    slot.k_sum[n * slot.k_sum_stride] = k_sum[n];
  }
}

/// One (sequence, key head, value columns).
struct stream_id {
  std::int64_t sequence;
  std::int64_t kv_head;
  int range;
};

/// All streams of a call, and how the value columns are divided.
template <class Real>
struct stream_set {
  std::int64_t sequences = 0;
  std::int64_t kv_heads = 0;
  int ranges = 1;
  int value_dim = 0;
  int range_columns = 0;  // of every range but the last; whole vectors

  static stream_set make(call_shape const& shape, int wanted_ranges) noexcept {
    constexpr int least = 2 * simd<Real>::width;
    int const padded = (std::max)(simd<Real>::width, whole_vectors<Real>(shape.value_dim));
    int const ranges = std::clamp(wanted_ranges, 1, (std::max)(1, padded / least));
    int const columns = whole_vectors<Real>((padded + ranges - 1) / ranges);
    return {shape.sequences, shape.kv_heads, (padded + columns - 1) / columns, shape.value_dim, columns};
  }

  [[nodiscard]] std::int64_t size() const noexcept { return sequences * kv_heads * ranges; }
  [[nodiscard]] stream_id operator[](std::int64_t i) const noexcept {
    return {i / ranges / kv_heads, i / ranges % kv_heads, static_cast<int>(i % ranges)};
  }
  [[nodiscard]] value_columns columns(int range) const noexcept {
    int const begin = range * range_columns;
    int const end = (std::min)(value_dim, begin + range_columns);
    return {begin, end, (std::max)(simd<Real>::width, whole_vectors<Real>(end - begin)), panel_columns<Real>};
  }
};

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_ISA

#endif
