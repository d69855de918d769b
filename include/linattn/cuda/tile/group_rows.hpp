// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// group_rows: the blocks of a row that a warp's group of octets needs (feature/rotation_octets.hpp), as fragments.
#ifndef LINATTN_CUDA_TILE_GROUP_ROWS_HPP
#define LINATTN_CUDA_TILE_GROUP_ROWS_HPP

#include <linattn/cuda/tile/shared_tile.hpp>
#include <linattn/feature/rotation_octets.hpp>
#include <linattn/simt/simt.hpp>

#include <cstddef>

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS {

template <class Map, class Operand>
struct group_rows {
  using shares = octet_groups<Map>;
  using word = typename Operand::word;
  static constexpr int blocks = shares::blocks;
  static constexpr int halves = (blocks + 1) / 2;  // of 16 columns: the fragments of a row

  int group;

  /// 16 rows, as A: block b in x[b / 2][b % 2 * 2 + i].
  template <class Tile>
  LINATTN_DEVICE void load_rows(word (&x)[std::size_t{halves}][4], Tile const& tile, int row) const {
    LINATTN_SIMT_UNROLL
    for (int h = 0; h < halves; ++h) {
      load_a<Operand>(x[h], tile, row, first_column(h), right_by(h));
    }
  }
  /// The same of the transposed tile: block b in xt[b / 2][2 * i + b % 2].
  template <class Tile>
  LINATTN_DEVICE void load_transposed(word (&xt)[std::size_t{halves}][4], Tile const& tile, int row) const {
    LINATTN_SIMT_UNROLL
    for (int h = 0; h < halves; ++h) {
      load_a_transposed<Operand>(xt[h], tile, row, first_column(h), right_by(h));
    }
  }

 private:
  /// Where the group's block 2 h begins in a row, and how far behind it block 2 h + 1.
  LINATTN_DEVICE int first_column(int h) const { return 8 * shares::block(group, 2 * h); }
  LINATTN_DEVICE int right_by(int h) const {
    return 8 * (shares::block(group, 2 * h + 1) - shares::block(group, 2 * h));
  }
};

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS

#endif
