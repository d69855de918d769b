// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Operations on tiles of tokens, out of which every pass is made. One side, x, has a result a token and lies in lanes;
// the other, y, is summed over. Forward: x = queries, y = keys. Gradient by keys: x = keys, y = queries. Each side has
// prepared rows and a payload (v, or the output's gradient); `extra` is one more payload column, which carries the
// denominator (math: the ones column).
#ifndef LINATTN_CPU_TILES_HPP
#define LINATTN_CPU_TILES_HPP

#include <linattn/core/config.hpp>
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
};

/// sum_y phi(y) payload^T, in panels of feature_dim rows, and sum_y phi(y) extra.
template <class Real>
struct running_state {
  Real* kv = nullptr;
  Real* k_sum = nullptr;
  Real* local_kv = nullptr;  // set while a segment of a long sequence is summed by itself
  Real* local_k_sum = nullptr;
  Real* base_kv = nullptr;
  Real* base_k_sum = nullptr;
  bool zero = true;  // nothing has been added yet
};

/// The lanes of x that see any token of y, in whole vectors.
struct lane_range {
  int first;
  int last;
};

template <class Real>
lane_range visible_lanes(visibility sees, operand<Real> const& x, operand<Real> const& y) noexcept {
  constexpr int width = simd<Real>::width;
  std::int64_t const distance = y.begin - x.begin;
  if (sees == visibility::past) {
    return {(std::max)(0, static_cast<int>(distance)) / width * width, x.lanes()};
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
  copy_rows(source, tile.begin, tile.count, tile.lanes(), 0, columns, buffers.staging, columns);
  transpose_rows(buffers.staging, columns, tile.lanes(), map.head_dim, tile.rows, tile.stride);
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

/// Zeroes what is not seen on the tile's diagonal, in each row from the lane of the same token on.
template <class Real>
LINATTN_NEVER_INLINE void mask_pairs(visibility sees, operand<Real> const& x, operand<Real> const& y, lane_range range,
                                     Real* pairs) {
  using vector = simd<Real>;
  for (int row = 0; sees != visibility::all && row < y.count; ++row) {
    for (int lane = range.first; lane < range.last; lane += vector::width) {
      int const diagonal = static_cast<int>(y.begin + row - x.begin) - lane;
      Real* const at = pairs + row * x.stride + lane;
      if (sees == visibility::past && diagonal > 0) {
        keep_from(vector::load(at), diagonal).store(at);
      } else if (sees == visibility::future && diagonal + 1 < vector::width) {
        keep_below(vector::load(at), diagonal + 1).store(at);
      }
    }
  }
}

/// sums[x] += sum_y weights[y][x] extra[y].
template <class Real>
LINATTN_NEVER_INLINE void sum_pairs(operand<Real> const& x, operand<Real> const& y, lane_range range,
                                    Real const* weights, Real* sums) {
  using vector = simd<Real>;
  for (int lane = range.first; lane < range.last; lane += vector::width) {
    vector sum(Real(0));
    for (int row = 0; row < y.count; ++row) {
      sum = multiply_add(vector::load(weights + row * x.stride + lane), vector(y.extra[row]), sum);
    }
    (vector::load(sums + lane) + sum).store(sums + lane);
  }
}

/// weights[y][x] = score(<x', y'>), 0 where y is not seen. Adds to buffers.sums if there is an extra column.
template <class Real>
void weigh_pairs(map_ref<Real> const& map, visibility sees, operand<Real> const& x, operand<Real> const& y,
                 tile_buffers<Real> const& buffers) {
  lane_range const range = visible_lanes(sees, x, y);
  int const lanes = range.last - range.first;
  Real* const weights = buffers.weights + range.first;
  multiply<a_order::depth_major, Real>(y.count, lanes, map.head_dim, {y.rows, y.stride}, x.rows + range.first,
                                       x.stride, {weights, x.stride});
  map.score(map.self, weights, x.stride, y.count, lanes);
  mask_pairs(sees, x, y, range, buffers.weights);
  if (y.extra != nullptr) {
    sum_pairs(x, y, range, buffers.weights, buffers.sums);
  }
}

/// The same without the sums, and weight_grads = (payload_y . payload_x + extra_y extra_x) * score'(s).
template <class Real>
void weigh_pairs_backward(map_ref<Real> const& map, visibility sees, value_columns const& columns,
                          operand<Real> const& x, operand<Real> const& y, tile_buffers<Real> const& buffers) {
  lane_range const range = visible_lanes(sees, x, y);
  int const lanes = range.last - range.first;
  Real* const weights = buffers.weights + range.first;
  Real* const grads = buffers.weight_grads + range.first;
  multiply<a_order::depth_major, Real>(y.count, lanes, map.head_dim, {y.rows, y.stride}, x.rows + range.first,
                                       x.stride, {weights, x.stride});
  columns.for_each_panel([&](int column, int width) {
    multiply<a_order::row_major, Real>(y.count, lanes, width,
                                       {y.payload + static_cast<std::ptrdiff_t>(column) * y.stride, width},
                                       x.payload_t + static_cast<std::ptrdiff_t>(column) * x.stride + range.first,
                                       x.stride, {grads, x.stride, column > 0});
  });
  if (x.extra != nullptr) {
    multiply<a_order::row_major, Real>(y.count, lanes, 1, {y.extra, 1}, x.extra + range.first, x.stride,
                                       {grads, x.stride, true});
  }
  map.score_backward(map.self, weights, grads, x.stride, y.count, lanes);
  mask_pairs(sees, x, y, range, buffers.weights);
  mask_pairs(sees, x, y, range, buffers.weight_grads);
}

/// values[x] += sum_y weights[y][x] payload[y]. Works row tile by row tile, each over the y tokens that it sees.
template <class Real>
void add_pair_values(visibility sees, value_columns const& columns, operand<Real> const& x, operand<Real> const& y,
                     tile_buffers<Real> const& buffers) {
  int const distance = static_cast<int>(y.begin - x.begin);
  lane_range const range = visible_lanes(sees, x, y);
  int const end = (std::min)(x.count, range.last);
  for (int row = range.first; row < end; row += tile_rows) {
    int const rows = (std::min)(tile_rows, end - row);
    int const first = sees == visibility::future ? (std::max)(0, row - distance) : 0;
    int const last = sees == visibility::past ? (std::min)(y.count, row + rows - distance) : y.count;
    if (first >= last) {
      continue;
    }
    columns.for_each_panel([&](int column, int width) {
      multiply<a_order::depth_major, Real>(
          rows, width, last - first, {buffers.weights + first * x.stride + row, x.stride},
          y.payload + static_cast<std::ptrdiff_t>(column) * y.stride + first * width, width,
          {buffers.values + static_cast<std::ptrdiff_t>(column) * x.stride + row * width, width, true});
    });
  }
}

/// grads[x] += sum_y weight_grads[y][x] y'.
template <class Real>
void add_pair_grads(map_ref<Real> const& map, visibility sees, operand<Real> const& x, operand<Real> const& y,
                    tile_buffers<Real> const& buffers) {
  lane_range const range = visible_lanes(sees, x, y);
  multiply<a_order::row_major, Real>(map.head_dim, range.last - range.first, y.count, {y.rows, y.stride},
                                     buffers.weight_grads + range.first, x.stride,
                                     {buffers.grads + range.first, x.stride, true});
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

/// k_sum[n] += sum_t phi[n][t] extra[t]; a vector's worth of features is summed at once, by a transpose.
template <class Real>
LINATTN_NEVER_INLINE void update_state_sums(Real const* phi, std::ptrdiff_t stride, int lanes, int features,
                                            Real const* extra, matrix_c<Real> const& k_sum) {
  using vector = simd<Real>;
  constexpr int width = vector::width;
  for (int n = 0; n < features; n += width) {
    array_of<vector, width> partial;
    for (int i = 0; i < width; ++i) {
      partial[i] = vector(Real(0));
      for (int t = 0; n + i < features && t < lanes; t += width) {
        partial[i] = multiply_add(vector::load(phi + (n + i) * stride + t), vector::load(extra + t), partial[i]);
      }
    }
    transpose<Real>(partial);
    vector total[1][1] = {{partial[0]}};
    for (int i = 1; i < width; ++i) {
      total[0][0] = total[0][0] + partial[i];
    }
    finish_tile(total, k_sum, n);
  }
}

/// values[x] += phi(x)^T kv and sums[x] += phi(x) . k_sum.
template <class Real>
void read_state(map_ref<Real> const& map, value_columns const& columns, operand<Real> const& x, running_state<Real> const& state,
                tile_buffers<Real> const& buffers, row_prefetcher* prefetch) {
  for (int first = 0; first < map.feature_dim; first += feature_block) {
    int const last = (std::min)(first + feature_block, map.feature_dim);
    map.features(map.self, x.rows, x.stride, x.lanes(), first, last, buffers.features, x.stride);
    if (state.k_sum != nullptr) {
      add_state_sums(buffers.features, x.stride, x.lanes(), last - first, state.k_sum + first, buffers.sums);
    }
    columns.for_each_panel([&](int column, int width) {
      multiply<a_order::depth_major, Real>(
          x.count, width, last - first, {buffers.features, x.stride},
          state.kv + static_cast<std::ptrdiff_t>(column) * map.feature_dim + first * width, width,
          {buffers.values + static_cast<std::ptrdiff_t>(column) * x.stride, width, true}, prefetch);
    });
  }
}

/// kv += sum_y phi(y) payload^T and k_sum += sum_y phi(y) extra: the tile is summed from zero, then added once.
template <class Real>
void update_state(map_ref<Real> const& map, value_columns const& columns, operand<Real> const& y, running_state<Real>& state,
                  tile_buffers<Real> const& buffers, row_prefetcher* prefetch) {
  auto const offset = [](Real* base, std::ptrdiff_t by) { return base != nullptr ? base + by : nullptr; };
  for (int first = 0; first < map.feature_dim; first += feature_block) {
    int const last = (std::min)(first + feature_block, map.feature_dim);
    map.features(map.self, y.rows, y.stride, y.lanes(), first, last, buffers.features, y.stride);
    if (state.k_sum != nullptr) {
      update_state_sums(buffers.features, y.stride, y.lanes(), last - first, y.extra,
                        matrix_c<Real>{state.k_sum + first, 0, true, offset(state.local_k_sum, first),
                                       offset(state.base_k_sum, first)});
    }
    columns.for_each_panel([&](int column, int width) {
      std::ptrdiff_t const at = static_cast<std::ptrdiff_t>(column) * map.feature_dim + first * width;
      multiply<a_order::row_major, Real>(
          last - first, width, y.count, {buffers.features, y.stride},
          y.payload + static_cast<std::ptrdiff_t>(column) * y.stride, width,
          {state.kv + at, width, true, offset(state.local_kv, at), offset(state.base_kv, at)}, prefetch);
    });
  }
  state.zero = false;
}

/// grads[x] += the gradient through the state: dphi(x) = kv payload_x + k_sum extra_x.
template <class Real>
void add_state_grads(map_ref<Real> const& map, value_columns const& columns, operand<Real> const& x,
                     running_state<Real> const& state, tile_buffers<Real> const& buffers) {
  using vector = simd<Real>;
  for (int first = 0; first < map.feature_dim; first += feature_block) {
    int const last = (std::min)(first + feature_block, map.feature_dim);
    columns.for_each_panel([&](int column, int width) {
      multiply<a_order::row_major, Real>(
          last - first, x.lanes(), width,
          {state.kv + static_cast<std::ptrdiff_t>(column) * map.feature_dim + first * width, width},
          x.payload_t + static_cast<std::ptrdiff_t>(column) * x.stride, x.stride,
          {buffers.features, x.stride, column > 0});
    });
    for (int n = first; state.k_sum != nullptr && n < last; ++n) {
      Real* const row = buffers.features + (n - first) * x.stride;
      for (int t = 0; t < x.lanes(); t += vector::width) {
        multiply_add(vector(state.k_sum[n]), vector::load(x.extra + t), vector::load(row + t)).store(row + t);
      }
    }
    map.feature_backward(map.self, x.rows, x.stride, x.lanes(), first, last, buffers.features, x.stride, buffers.grads);
  }
}

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_ISA

#endif
