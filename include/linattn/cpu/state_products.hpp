// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Products of a tile with the running state: reading it, adding to it, and the gradients through it.
#ifndef LINATTN_CPU_STATE_PRODUCTS_HPP
#define LINATTN_CPU_STATE_PRODUCTS_HPP

#include <linattn/core/config.hpp>
#include <linattn/cpu/bf16_pairs.hpp>
#include <linattn/cpu/microkernel.hpp>
#include <linattn/cpu/tiles.hpp>

#include <algorithm>
#include <cstddef>

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_ISA {

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
  auto const target = [&](Real* data, Real* local, std::ptrdiff_t at, std::ptrdiff_t stride) {
    if (state.zero) {
      return matrix_c<Real>{data + at, stride};  // what is zero may be unset
    }
    matrix_c<Real> c = added_to(data + at, stride);
    c.local = local != nullptr ? local + at : nullptr;
    return c;
  };
  for (int first = 0; first < map.feature_dim; first += feature_block) {
    int const last = (std::min)(first + feature_block, map.feature_dim);
    map.features(map.self, y.rows, y.stride, y.lanes(), first, last, buffers.features, y.stride);
    if (state.k_sum != nullptr) {
      update_state_sums(buffers.features, y.stride, y.lanes(), last - first, y.extra,
                        target(state.k_sum, state.local_k_sum, first, 0));
    }
    if constexpr (has_bf16_products<Real>) {
      if (buffers.in_pairs()) {
        pair_columns(buffers.features, y.stride, last - first, y.lanes(), buffers.feature_pairs, pair_stride(y));
      }
    }
    columns.for_each_panel([&](int column, int width) {
      std::ptrdiff_t const at = static_cast<std::ptrdiff_t>(column) * map.feature_dim + first * width;
      matrix_c<Real> const kv = target(state.kv, state.local_kv, at, width);
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
