// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Operations on tiles of tokens, out of which every pass is made. One side, x, has a result a token and lies in lanes;
// the other, y, is summed over. Forward: x = queries, y = keys. Gradient by keys: x = keys, y = queries. Each side has
// prepared rows and a payload (v, or the output's gradient); `extra` is one more payload column, which carries the
// denominator (math: the ones column).
#ifndef LINATTN_CPU_TILES_HPP
#define LINATTN_CPU_TILES_HPP

#include <linattn/core/config.hpp>
#include <linattn/cpu/bf16_pairs.hpp>
#include <linattn/cpu/executor.hpp>
#include <linattn/cpu/map_ref.hpp>
#include <linattn/cpu/microkernel.hpp>
#include <linattn/cpu/rows.hpp>
#include <linattn/cpu/simd.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_ISA {

/// Features are expanded in blocks of at most this many, so that a block stays in the first-level cache.
inline constexpr int feature_block = 160;

template <class Real>
constexpr int whole_vectors(std::int64_t count) noexcept {
  return static_cast<int>(round_up(count, simd<Real>::width));
}

/// A tile of tokens [begin, begin + count). Buffers have room for `stride` tokens, a multiple of the vector width.
template <class Real>
struct operand {
  Real* rows = nullptr;       // [head_dim][stride], prepared
  Real* raw = nullptr;        // [head_dim][stride], before; where a gradient by the rows is wanted
  Real* payload = nullptr;    // panels of `stride` rows
  Real* payload_t = nullptr;  // [padded columns][stride]
  Real* extra = nullptr;      // [stride], 0 beyond count; null: no denominator
  int stride = 0;
  std::int64_t begin = 0;
  int count = 0;

  [[nodiscard]] int lanes() const noexcept { return whole_vectors<Real>(count); }
};

/// Which y tokens an x token sees.
enum class visibility { past, future, all };

/// The scratch of one worker that no tile owns.
template <class Real>
struct tile_buffers {
  Real* staging = nullptr;       // rows on their way in or out
  Real* weights = nullptr;       // [y stride][x stride]
  Real* weight_grads = nullptr;  // the same
  Real* values = nullptr;        // panels of x stride rows: sum_y w payload
  Real* sums = nullptr;          // [x stride]: sum_y w extra
  Real* grads = nullptr;         // [head_dim][x stride]: gradient by the prepared x rows
  Real* features = nullptr;      // [feature_block][stride]
  // Where products with the state take pairs: those of features, and of the payload or the state. Else null.
  bf16_pair* feature_pairs = nullptr;
  bf16_pair* value_pairs = nullptr;

  [[nodiscard]] bool in_pairs() const noexcept { return feature_pairs != nullptr; }
};

/// From a row of feature pairs to the next, where the tokens of a tile are the depth.
template <class Real>
std::ptrdiff_t pair_stride(operand<Real> const& tile) noexcept {
  return whole_vectors<Real>((tile.stride + 1) / 2);
}

/// sum_y phi(y) payload^T, in panels of feature_dim rows, and sum_y phi(y) extra.
template <class Real>
struct running_state {
  Real* kv = nullptr;
  Real* k_sum = nullptr;
  Real* local_kv = nullptr;  // set while a segment of a long sequence is summed by itself
  Real* local_k_sum = nullptr;
  Real* base_kv = nullptr;
  Real* base_k_sum = nullptr;
  bool zero = true;  // nothing has been added yet, and kv and k_sum may be unset
};

/// The lanes of x that see any token of y, in whole vectors. Where these are the last lanes, none is missing from the
/// register tile that the first of them is in.
struct lane_range {
  int first;
  int last;
};

template <class Real>
lane_range visible_lanes(visibility sees, operand<Real> const& x, operand<Real> const& y) noexcept {
  constexpr int width = simd<Real>::width;
  std::int64_t const distance = y.begin - x.begin;
  if (sees == visibility::past) {
    int const first = (std::max)(0, static_cast<int>(distance)) / tile_rows * tile_rows;
    return {first / width * width, x.lanes()};
  }
  if (sees == visibility::future) {
    return {0, (std::min)(x.lanes(), whole_vectors<Real>((std::max<std::int64_t>)(0, distance + y.count)))};
  }
  return {0, x.lanes()};
}

/// Loads and prepares rows of q or k.
template <class Real>
void load_rows(map_ref<Real> const& map, role r, int head, row_source const& source, tile_buffers<Real> const& buffers,
               operand<Real>& tile) {
  int const columns = whole_vectors<Real>(map.head_dim);
  if (source.kind == element_kind_of<Real> && columns == map.head_dim && tile.count == tile.lanes()) {
    auto const* const rows = static_cast<Real const*>(source.data) + tile.begin * source.stride;
    transpose_rows(rows, source.stride, tile.count, columns, tile.rows, tile.stride);
  } else {
    copy_rows(source, tile.begin, tile.count, tile.lanes(), 0, columns, buffers.staging, columns);
    transpose_rows(buffers.staging, columns, tile.lanes(), map.head_dim, tile.rows, tile.stride);
  }
  if (tile.raw != nullptr) {
    std::memcpy(tile.raw, tile.rows, sizeof(Real) * static_cast<std::size_t>(map.head_dim * tile.stride));
  }
  map.prepare(map.self, r, head, tile.rows, tile.stride, tile.lanes());
}

/// Sets `extra` to a value for the tile's tokens, 0 for the idle lanes.
template <class Real>
void fill_extra(operand<Real>& tile, Real value) noexcept {
  if (tile.extra != nullptr) {
    std::fill(tile.extra, tile.extra + tile.count, value);
    std::fill(tile.extra + tile.count, tile.extra + tile.stride, Real(0));
  }
}

/// payload_t [column][token] from payload panels.
template <class Real>
void transpose_payload(value_columns const& columns, operand<Real> const& tile) {
  columns.for_each_panel([&](int column, int width) {
    transpose_rows(tile.payload + static_cast<std::ptrdiff_t>(column) * tile.stride, width, tile.lanes(), width,
                   tile.payload_t + static_cast<std::ptrdiff_t>(column) * tile.stride, tile.stride);
  });
}

/// The pairs of y's tokens with x's lanes from `first_lane` on that are seen.
template <class Real>
pair_mask mask_of(visibility sees, operand<Real> const& x, operand<Real> const& y, int first_lane) noexcept {
  int const diagonal = static_cast<int>(y.begin - x.begin) - first_lane;  // the lane of y's first token
  switch (sees) {
    case visibility::past:
      return {diagonal, pair_mask::none};
    case visibility::future:
      return {-pair_mask::none, diagonal + 1};
    default:
      return {};
  }
}

/// weights[y][x] = score(<x', y'>), 0 where y is not seen. Adds to buffers.sums if there is an extra column.
template <class Real>
void weigh_pairs(map_ref<Real> const& map, visibility sees, operand<Real> const& x, operand<Real> const& y,
                 tile_buffers<Real> const& buffers) {
  lane_range const range = visible_lanes(sees, x, y);
  int const lanes = range.last - range.first;
  Real* const weights = buffers.weights + range.first;
  multiply<a_order::depth_major, Real>(y.count, lanes, map.head_dim, {y.rows, y.stride}, x.rows + range.first, x.stride,
                                       {weights, x.stride});
  map.score(map.self, weights, x.stride, y.count, lanes, mask_of(sees, x, y, range.first), y.extra,
            buffers.sums + range.first);
}

/// The same without the sums, and weight_grads = (payload_y . payload_x + extra_y extra_x) * score'(s).
template <class Real>
void weigh_pairs_backward(map_ref<Real> const& map, visibility sees, value_columns const& columns,
                          operand<Real> const& x, operand<Real> const& y, tile_buffers<Real> const& buffers) {
  lane_range const range = visible_lanes(sees, x, y);
  int const lanes = range.last - range.first;
  Real* const weights = buffers.weights + range.first;
  Real* const grads = buffers.weight_grads + range.first;
  multiply<a_order::depth_major, Real>(y.count, lanes, map.head_dim, {y.rows, y.stride}, x.rows + range.first, x.stride,
                                       {weights, x.stride});
  columns.for_each_panel([&](int column, int width) {
    multiply<a_order::row_major, Real>(
        y.count, lanes, width, {y.payload + static_cast<std::ptrdiff_t>(column) * y.stride, width},
        x.payload_t + static_cast<std::ptrdiff_t>(column) * x.stride + range.first, x.stride,
        column > 0 ? added_to(grads, x.stride) : matrix_c<Real>{grads, x.stride});
  });
  if (x.extra != nullptr) {
    multiply<a_order::row_major, Real>(y.count, lanes, 1, {y.extra, 1}, x.extra + range.first, x.stride,
                                       added_to(grads, x.stride));
  }
  map.score_backward(map.self, weights, grads, x.stride, y.count, lanes, mask_of(sees, x, y, range.first));
}

/// The rows [first, ...) of sum_y weights[y][x] payload[y], in the panel at `column`.
template <class Real>
product<Real> pair_product(visibility sees, operand<Real> const& x, operand<Real> const& y,
                           tile_buffers<Real> const& buffers, int first, int column, int width) noexcept {
  product<Real> p{
      {buffers.weights + first, x.stride}, y.payload + static_cast<std::ptrdiff_t>(column) * y.stride, width, y.count};
  int const diagonal = first - static_cast<int>(y.begin - x.begin);  // the y token of row `first`
  if (sees == visibility::past) {
    p.band_last = diagonal + 1;
  } else if (sees == visibility::future) {
    p.band_first = diagonal;
  }
  return p;
}

/// Calls f with the product phi(x)^T kv over the features [first, last), which are in buffers.features, in the panel at
/// `column`.
template <class Real, class F>
LINATTN_ALWAYS_INLINE void with_state_product(map_ref<Real> const& map, operand<Real> const& x,
                                              running_state<Real> const& state, tile_buffers<Real> const& buffers,
                                              int first, int last, int column, int width, F&& f) {
  Real const* const kv = state.kv + static_cast<std::ptrdiff_t>(column) * map.feature_dim + first * width;
  if constexpr (has_bf16_products<Real>) {
    if (buffers.in_pairs()) {
      pair_rows(kv, width, last - first, width, buffers.value_pairs, width);
      f(product<bf16_pair>{{buffers.feature_pairs, x.stride}, buffers.value_pairs, width, (last - first + 1) / 2});
      return;
    }
  }
  f(product<Real>{{buffers.features, x.stride}, kv, width, last - first});
}

/// Calls f with the product sum_y phi(y) payload^T, the same way.
template <class Real, class F>
LINATTN_ALWAYS_INLINE void with_update_product(operand<Real> const& y, tile_buffers<Real> const& buffers, int column,
                                               int width, F&& f) {
  Real const* const payload = y.payload + static_cast<std::ptrdiff_t>(column) * y.stride;
  if constexpr (has_bf16_products<Real>) {
    if (buffers.in_pairs()) {
      pair_rows(payload, width, y.count, width, buffers.value_pairs, width);
      f(product<bf16_pair>{{buffers.feature_pairs, pair_stride(y)}, buffers.value_pairs, width, (y.count + 1) / 2});
      return;
    }
  }
  f(product<Real>{{buffers.features, y.stride}, payload, width, y.count});
}

/// values[x] += sum_y weights[y][x] payload[y]. Works row tile by row tile, each over the y tokens that it sees.
template <class Real>
void add_pair_values(visibility sees, value_columns const& columns, operand<Real> const& x, operand<Real> const& y,
                     tile_buffers<Real> const& buffers, row_prefetcher* prefetch) {
  lane_range const range = visible_lanes(sees, x, y);
  int const rows = (std::min)(x.count, range.last) - range.first;
  columns.for_each_panel([&](int column, int width) {
    Real* const values = buffers.values + static_cast<std::ptrdiff_t>(column) * x.stride + range.first * width;
    multiply<a_order::depth_major>(rows, width, added_to(values, width), prefetch,
                                   pair_product(sees, x, y, buffers, range.first, column, width));
  });
}

/// grads[x] += sum_y weight_grads[y][x] y'.
template <class Real>
void add_pair_grads(map_ref<Real> const& map, visibility sees, operand<Real> const& x, operand<Real> const& y,
                    tile_buffers<Real> const& buffers) {
  lane_range const range = visible_lanes(sees, x, y);
  multiply<a_order::row_major, Real>(map.head_dim, range.last - range.first, y.count, {y.rows, y.stride},
                                     buffers.weight_grads + range.first, x.stride,
                                     added_to(buffers.grads + range.first, x.stride));
}

/// sums[x] += sum_n phi[n][x] k_sum[n].
template <class Real>
LINATTN_NEVER_INLINE void add_state_sums(Real const* phi, std::ptrdiff_t stride, int lanes, int features,
                                         Real const* k_sum, Real* sums) {
  using vector = simd<Real>;
  for (int lane = 0; lane < lanes; lane += vector::width) {
    vector partial[4] = {vector(Real(0)), vector(Real(0)), vector(Real(0)), vector(Real(0))};
    int n = 0;
    for (; n + 4 <= features; n += 4) {
      LINATTN_UNROLL
      for (int i = 0; i < 4; ++i) {
        partial[i] = multiply_add(vector(k_sum[n + i]), vector::load(phi + (n + i) * stride + lane), partial[i]);
      }
    }
    for (; n < features; ++n) {
      partial[0] = multiply_add(vector(k_sum[n]), vector::load(phi + n * stride + lane), partial[0]);
    }
    vector const sum = (partial[0] + partial[1]) + (partial[2] + partial[3]);
    (vector::load(sums + lane) + sum).store(sums + lane);
  }
}

/// k_sum[n] += sum_t phi[n][t] extra[t].
template <class Real>
LINATTN_NEVER_INLINE void update_state_sums(Real const* phi, std::ptrdiff_t stride, int lanes, int features,
                                            Real const* extra, matrix_c<Real> const& k_sum) {
  using vector = simd<Real>;
  constexpr int width = vector::width;
  for (int n = 0; n < features; n += width) {
    array_of<vector, width> partial;
    int const last = features - 1 - n;  // sums beyond it are never used
    LINATTN_UNROLL
    for (int i = 0; i < width; ++i) {
      Real const* const row = phi + (n + (std::min)(i, last)) * stride;
      partial[i] = vector::load(row) * vector::load(extra);
      for (int t = width; t < lanes; t += width) {
        partial[i] = multiply_add(vector::load(row + t), vector::load(extra + t), partial[i]);
      }
    }
    vector total[1][1] = {{sums_of_lanes<Real>(partial)}};
    finish_tile(total, k_sum, 0, n);
  }
}

/// The features [first, last) of x into buffers.features, also in pairs, and sums[x] += phi(x) . k_sum over them.
template <class Real>
void load_features(map_ref<Real> const& map, operand<Real> const& x, running_state<Real> const& state,
                   tile_buffers<Real> const& buffers, int first, int last) {
  map.features(map.self, x.rows, x.stride, x.lanes(), first, last, buffers.features, x.stride);
  if constexpr (has_bf16_products<Real>) {
    if (buffers.in_pairs()) {
      pair_rows(buffers.features, x.stride, last - first, x.lanes(), buffers.feature_pairs, x.stride);
    }
  }
  if (state.k_sum != nullptr) {
    add_state_sums(buffers.features, x.stride, x.lanes(), last - first, state.k_sum + first, buffers.sums);
  }
}

/// kv += sum_y phi(y) payload^T and k_sum += sum_y phi(y) extra: the tile is summed from zero, then added once.
template <class Real>
void update_state(map_ref<Real> const& map, value_columns const& columns, operand<Real> const& y,
                  running_state<Real>& state, tile_buffers<Real> const& buffers, row_prefetcher* prefetch) {
  // A segment has its sum by itself (local) and beside it the state that it began with (base). What is zero may be
  // unset.
  auto const target = [&](Real* data, Real* local, Real* base, std::ptrdiff_t at, std::ptrdiff_t stride) {
    if (local != nullptr) {
      return matrix_c<Real>{data + at, stride, base + at, stride, local + at};
    }
    return state.zero ? matrix_c<Real>{data + at, stride} : added_to(data + at, stride);
  };
  for (int first = 0; first < map.feature_dim; first += feature_block) {
    int const last = (std::min)(first + feature_block, map.feature_dim);
    map.features(map.self, y.rows, y.stride, y.lanes(), first, last, buffers.features, y.stride);
    if (state.k_sum != nullptr) {
      update_state_sums(buffers.features, y.stride, y.lanes(), last - first, y.extra,
                        target(state.k_sum, state.local_k_sum, state.base_k_sum, first, 0));
    }
    if constexpr (has_bf16_products<Real>) {
      if (buffers.in_pairs()) {
        pair_columns(buffers.features, y.stride, last - first, y.lanes(), buffers.feature_pairs, pair_stride(y));
      }
    }
    columns.for_each_panel([&](int column, int width) {
      std::ptrdiff_t const at = static_cast<std::ptrdiff_t>(column) * map.feature_dim + first * width;
      matrix_c<Real> const kv = target(state.kv, state.local_kv, state.base_kv, at, width);
      with_update_product(y, buffers, column, width, [&](auto const& update) {
        multiply<a_order::row_major>(last - first, width, kv, prefetch, update);
      });
    });
  }
  state.zero = false;
}

/// grads[x] += the gradient through the state: dphi(x) = kv payload_x + k_sum extra_x.
template <class Real>
void add_state_grads(map_ref<Real> const& map, value_columns const& columns, operand<Real> const& x,
                     running_state<Real> const& state, tile_buffers<Real> const& buffers, row_prefetcher* prefetch) {
  for (int first = 0; first < map.feature_dim; first += feature_block) {
    int const last = (std::min)(first + feature_block, map.feature_dim);
    columns.for_each_panel([&](int column, int width) {
      bool const with_sums = column == 0 && state.k_sum != nullptr;
      product<Real> const by_values{
          {state.kv + static_cast<std::ptrdiff_t>(column) * map.feature_dim + first * width, width},
          x.payload_t + static_cast<std::ptrdiff_t>(column) * x.stride,
          x.stride,
          width};
      product<Real> const by_sums{{with_sums ? state.k_sum + first : nullptr, 1}, x.extra, x.stride, with_sums ? 1 : 0};
      multiply<a_order::row_major>(
          last - first, x.lanes(),
          column > 0 ? added_to(buffers.features, x.stride) : matrix_c<Real>{buffers.features, x.stride}, prefetch,
          by_values, by_sums);
    });
    map.feature_backward(map.self, x.rows, x.stride, x.lanes(), first, last, buffers.features, x.stride, buffers.grads);
  }
}

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_ISA

#endif
