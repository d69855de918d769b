// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// value_sum: what an x tile gets from all y tokens, sum_y w(x, y) payload(y), made of tiles of pairs and the state's
// share. Forward: the outputs; gradient by keys: the gradient of the values.
#ifndef LINATTN_CPU_VALUE_SUM_HPP
#define LINATTN_CPU_VALUE_SUM_HPP

#include <linattn/cpu/pair_products.hpp>
#include <linattn/cpu/state_products.hpp>

#include <algorithm>
#include <cstddef>

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_ISA {

/// Tiles of pairs are added one by one. The last of them waits for the state's share: both are then summed in the same
/// registers, scaled, and stored straight to the rows where the result belongs.
template <class Real>
class value_sum {
 public:
  value_sum(map_ref<Real> const& map, tile_buffers<Real> const& buffers) noexcept : map_(map), buffers_(buffers) {}

  /// A new x tile.
  void start() noexcept {
    stored_ = false;
    waiting_ = false;
  }

  /// Adds the pairs that buffers.weights holds. While they wait, neither the weights nor y may change, so `flush` comes
  /// before the next weights.
  void add_pairs(visibility sees) noexcept {
    sees_ = sees;
    waiting_ = true;
  }

  /// Adds the pairs that wait to buffers.values.
  void flush(value_columns const& columns, operand<Real> const& x, operand<Real> const& y, row_prefetcher* prefetch) {
    if (!waiting_) {
      return;
    }
    if (!stored_) {
      std::fill(buffers_.values, buffers_.values + std::ptrdiff_t{columns.padded} * x.stride, Real(0));
      stored_ = true;
    }
    add_pair_values(sees_, columns, x, y, buffers_, prefetch);
    waiting_ = false;
  }

  /// Adds the state's share and stores the rows of x, each times a factor; columns that `to` does not have stay in
  /// buffers.values. `row_scale()` is called once, after the last of buffers.sums; it returns a factor a row, or null.
  template <class RowScale>
  void finish(value_columns const& columns, operand<Real> const& x, operand<Real> const& y,
              running_state<Real> const& state, row_target const& to, row_prefetcher* prefetch, RowScale&& row_scale) {
    int const features = state.zero ? 0 : map_.feature_dim;
    int first = 0;
    do {
      int const last = (std::min)(first + feature_block, features);
      if (first < last) {
        load_features(map_, x, state, buffers_, first, last);
      }
      bool const done = last == features;
      Real const* const scale = done ? row_scale() : nullptr;
      columns.for_each_panel([&](int column, int width) {
        Real* const values = buffers_.values + static_cast<std::ptrdiff_t>(column) * x.stride;
        Real* const rows = done ? rows_of(to, columns, x, column, width) : nullptr;
        matrix_c<Real> const target{rows != nullptr ? rows : values,
                                    rows != nullptr ? to.stride : width,
                                    stored_ ? values : nullptr,
                                    width,
                                    nullptr,
                                    scale};
        product<Real> const nothing{{nullptr, 0}, nullptr, 0, 0};
        product<Real> const pairs = waiting_ ? pair_product(sees_, x, y, buffers_, 0, column, width) : nothing;
        with_state_product(map_, x, state, buffers_, first, last, column, width, [&](auto const& shares) {
          multiply<a_order::depth_major>(x.count, width, target, prefetch, pairs, shares);
        });
        if (done && rows == nullptr) {
          write_rows(to, x.begin, x.count, columns.begin + column, width, values, width);
        }
      });
      stored_ = true;
      waiting_ = false;
      first = last;
    } while (first < features);
  }

 private:
  /// The user's rows of the x tile, if a panel can be stored there as it is.
  static Real* rows_of(row_target const& to, value_columns const& columns, operand<Real> const& x, int column,
                       int width) noexcept {
    bool const whole = columns.begin + column + width <= to.channels;
    return whole && to.kind == element_kind_of<Real>
               ? static_cast<Real*>(to.data) + x.begin * to.stride + columns.begin + column
               : nullptr;
  }

  map_ref<Real> const& map_;
  tile_buffers<Real> const& buffers_;
  visibility sees_ = visibility::all;
  bool stored_ = false;   // buffers.values holds a sum
  bool waiting_ = false;  // a tile of pairs waits
};

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_ISA

#endif
