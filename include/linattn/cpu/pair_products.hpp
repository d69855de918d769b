// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Products of a tile of keys with a tile of queries: the weights of their pairs, what these add to values, and the
// gradients of both.
#ifndef LINATTN_CPU_PAIR_PRODUCTS_HPP
#define LINATTN_CPU_PAIR_PRODUCTS_HPP

#include <linattn/cpu/microkernel.hpp>
#include <linattn/cpu/tiles.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_ISA {

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

/// grads[y] (=, +=) sum_x weight_grads[y][x] x', in rows of whole vectors.
template <class Real>
void add_pair_grads_of_y(map_ref<Real> const& map, visibility sees, operand<Real> const& x, operand<Real> const& y,
                         tile_buffers<Real> const& buffers, bool add, Real* grads) {
  lane_range const range = visible_lanes(sees, x, y);
  int const columns = whole_vectors<Real>(map.head_dim);
  product<Real> p{{buffers.weight_grads + range.first, x.stride},
                  buffers.x_rows + std::ptrdiff_t{range.first} * columns,
                  columns,
                  (std::min)(x.count, range.last) - range.first};
  if (sees == visibility::future) {
    p.band_last = static_cast<int>(y.begin - x.begin) - range.first + 1;
  }
  matrix_c<Real> const sums = add ? added_to(grads, columns) : matrix_c<Real>{grads, columns};
  multiply<a_order::row_major>(y.count, columns, sums, nullptr, p);
}

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_ISA

#endif
