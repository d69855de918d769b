// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// shared_tile: the rows of a matrix in shared memory, and how a warp reads operand fragments from it.
#ifndef LINATTN_CUDA_TILE_SHARED_TILE_HPP
#define LINATTN_CUDA_TILE_SHARED_TILE_HPP

#include <linattn/cuda/tile/operand.hpp>
#include <linattn/simt/simt.hpp>

#include <cstddef>
#include <cstdint>

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS {

/// Rows are padded by 16 bytes: the eight rows of a matrix lie in distinct banks, at 16-byte boundaries.
template <class T, int Rows, int Columns>
struct shared_tile {
  static_assert(Columns % 8 == 0,
                "linattn::shared_tile: columns that are no multiple of 8; fragments take 8; pad them");
  using element = T;
  static constexpr int rows = Rows;
  static constexpr int columns = Columns;
  static constexpr int stride = Columns + 16 / static_cast<int>(sizeof(T));

  alignas(16) T data[std::size_t{Rows} * stride];

  LINATTN_DEVICE T* row(int r) { return data + r * stride; }
  LINATTN_DEVICE T const* row(int r) const { return data + r * stride; }
};

/// Which way the second of four 8 x 8 matrices lies from the first.
enum class second_matrix : std::uint8_t { below, beside };

/// Four 8 x 8 matrices of a tile, the first at (row, column), as fragments; the right-hand ones begin `right_by`
/// columns further. Transposed: the pairs of a word lie in neighbouring rows instead of neighbouring columns.
template <class Operand, bool Transposed, second_matrix Second, class Tile>
LINATTN_DEVICE void load_matrices(typename Operand::word (&r)[4], Tile const& tile, int row, int column, int right_by) {
  int const lane = simt::lane();
  if constexpr (sizeof(typename Operand::element) == 2) {
    bool const odd = lane / 8 % 2 != 0;
    bool const upper = lane >= 16;
    bool const down = Second == second_matrix::below ? odd : upper;
    bool const right = Second == second_matrix::below ? upper : odd;
    auto const address = simt::to_shared(tile.row(row + lane % 8 + (down ? 8 : 0)) + column + (right ? right_by : 0));
    if constexpr (Transposed) {
      simt::ldmatrix_trans(r, address);
    } else {
      simt::ldmatrix(r, address);
    }
  } else {
    int const g = lane / 4;
    int const t = lane % 4;
    LINATTN_SIMT_UNROLL
    for (int m = 0; m < 4; ++m) {
      int const down = Second == second_matrix::below ? m % 2 * 8 : m / 2 * 8;
      int const right = Second == second_matrix::below ? m / 2 * right_by : m % 2 * right_by;
      if constexpr (Transposed) {
        r[m] = {simt::load(tile.row(row + down + 2 * t) + column + right + g),
                simt::load(tile.row(row + down + 2 * t + 1) + column + right + g)};
      } else {
        r[m] = simt::load(
            reinterpret_cast<typename Operand::word const*>(tile.row(row + down + g) + column + right + 2 * t));
      }
    }
  }
}

/// A: 16 rows of the tile by 16 columns.
template <class Operand, class Tile>
LINATTN_DEVICE void load_a(typename Operand::word (&a)[4], Tile const& tile, int row, int column, int right_by = 8) {
  load_matrices<Operand, false, second_matrix::below>(a, tile, row, column, right_by);
}

/// A of the transposed tile: 16 columns of it are the rows, 16 of its rows are summed over.
template <class Operand, class Tile>
LINATTN_DEVICE void load_a_transposed(typename Operand::word (&a)[4], Tile const& tile, int row, int column,
                                      int right_by = 8) {
  load_matrices<Operand, true, second_matrix::beside>(a, tile, row, column, right_by);
}

/// B for two products: 16 rows of the tile are summed over; b[0], b[1] serve its columns from `column`, b[2], b[3] the
/// next eight.
template <class Operand, class Tile>
LINATTN_DEVICE void load_b(typename Operand::word (&b)[4], Tile const& tile, int row, int column) {
  load_matrices<Operand, true, second_matrix::below>(b, tile, row, column, 8);
}

/// B of the transposed tile for two products: 16 columns are summed over; b[0], b[1] serve the rows from `row`, b[2],
/// b[3] the next eight.
template <class Operand, class Tile>
LINATTN_DEVICE void load_b_transposed(typename Operand::word (&b)[4], Tile const& tile, int row, int column) {
  load_matrices<Operand, false, second_matrix::beside>(b, tile, row, column, 8);
}

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS

#endif
