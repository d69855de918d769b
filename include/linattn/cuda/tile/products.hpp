// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The products of the kernels that weigh pairs of tokens: a warp's rows by the rows of a tile, and what becomes of it
// times the columns of a tile.
#ifndef LINATTN_CUDA_TILE_PRODUCTS_HPP
#define LINATTN_CUDA_TILE_PRODUCTS_HPP

#include <linattn/cuda/tile/shared_tile.hpp>
#include <linattn/simt/simt.hpp>

#include <cstddef>

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS {

/// c += A B^T: this warp's 16 rows of `a` by the 64 rows of `b`. Row g (e >= 2: g + 8), column 8 n + 2 t + e % 2.
template <class Operand, class A, class B>
LINATTN_DEVICE void multiply_by_rows(typename Operand::real (&c)[8][4], A const& a, B const& b) {
  static_assert(A::columns == B::columns && B::rows == 64,
                "linattn::multiply_by_rows: tiles that do not match; rows of one length, 64 of them in b; pad them");
  using word = typename Operand::word;
  LINATTN_SIMT_UNROLL
  for (int i = 0; i < A::columns; i += 16) {
    word rows[4];
    load_a<Operand>(rows, a, simt::warp() * 16, i);
    LINATTN_SIMT_UNROLL
    for (int n = 0; n < 8; n += 2) {
      word others[4];
      load_b_transposed<Operand>(others, b, 8 * n, i);
      Operand::mma(c[n], rows, others[0], others[1]);
      Operand::mma(c[n + 1], rows, others[2], others[3]);
    }
  }
}

/// c += W B: weights of 16 rows by 64, as multiply_by_rows leaves them, packed in place to operands; the first 8 N
/// columns of `b`.
template <class Operand, std::size_t N, class B>
LINATTN_DEVICE void multiply_weights(typename Operand::real (&c)[N][4], typename Operand::real const (&w)[8][4],
                                     B const& b) {
  using word = typename Operand::word;
  LINATTN_SIMT_UNROLL
  for (int n = 0; n < 8; n += 2) {
    word const weights[4] = {Operand::pack(w[n][0], w[n][1]), Operand::pack(w[n][2], w[n][3]),
                             Operand::pack(w[n + 1][0], w[n + 1][1]), Operand::pack(w[n + 1][2], w[n + 1][3])};
    LINATTN_SIMT_UNROLL
    for (int m = 0; m < static_cast<int>(N); m += 2) {
      word columns[4];
      load_b<Operand>(columns, b, 8 * n, 8 * m);
      Operand::mma(c[m], weights, columns[0], columns[1]);
      Operand::mma(c[m + 1], weights, columns[2], columns[3]);
    }
  }
}

/// c += A B^T: 16 columns of `b` from `column`, of its 8 N rows from `row`; blocks of 16 rows share what is loaded.
template <class Operand, std::size_t Blocks, std::size_t N, class B>
LINATTN_DEVICE void multiply_block_rows(typename Operand::real (&c)[Blocks][N][4],
                                        typename Operand::word const (&a)[Blocks][4], B const& b, int row, int column) {
  LINATTN_SIMT_UNROLL
  for (int n = 0; n < static_cast<int>(N); n += 2) {
    typename Operand::word others[4];
    load_b_transposed<Operand>(others, b, row + 8 * n, column);
    LINATTN_SIMT_UNROLL
    for (int i = 0; i < static_cast<int>(Blocks); ++i) {
      Operand::mma(c[i][n], a[i], others[0], others[1]);
      Operand::mma(c[i][n + 1], a[i], others[2], others[3]);
    }
  }
}

/// c += A B: 16 rows of `b` from `row`, the first 8 N columns of it.
template <class Operand, std::size_t Blocks, std::size_t N, class B>
LINATTN_DEVICE void multiply_blocks(typename Operand::real (&c)[Blocks][N][4],
                                    typename Operand::word const (&a)[Blocks][4], B const& b, int row) {
  LINATTN_SIMT_UNROLL
  for (int n = 0; n < static_cast<int>(N); n += 2) {
    typename Operand::word columns[4];
    load_b<Operand>(columns, b, row, 8 * n);
    LINATTN_SIMT_UNROLL
    for (int i = 0; i < static_cast<int>(Blocks); ++i) {
      Operand::mma(c[i][n], a[i], columns[0], columns[1]);
      Operand::mma(c[i][n + 1], a[i], columns[2], columns[3]);
    }
  }
}

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS

#endif
