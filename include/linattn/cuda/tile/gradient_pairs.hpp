// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The pairs of 16 rows and as many of the other side, in a sweep of gradients.
#ifndef LINATTN_CUDA_TILE_GRADIENT_PAIRS_HPP
#define LINATTN_CUDA_TILE_GRADIENT_PAIRS_HPP

#include <linattn/cuda/tile/gradient_chunk.hpp>
#include <linattn/cuda/tile/shared_tile.hpp>
#include <linattn/simt/simt.hpp>

#include <cstddef>

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS {

/// Rows x and y of `now` from `row` on, `left` of which are there, and 16 of their values from `column` on: grads +=
/// dS Y, dS = score'(X Y^T) (x_values y_values^T + c) up to the diagonal; of keys also values += score(X Y^T)
/// y_values. c is left out unless this warp `owns_sums`.
template <class Operand, bool OfKeys, int Halves, class Map, class Stage>
LINATTN_DEVICE void add_gradient_pairs(Map const& map, Stage const& now,
                                       typename Operand::real (&grads)[2 * std::size_t{Halves}][4],
                                       typename Operand::real (&values)[2][4],
                                       typename Operand::word const (&x_values)[4], int row, int column, int left,
                                       bool owns_sums) {
  using real = typename Operand::real;
  using word = typename Operand::word;
  constexpr int halves = Halves;
  int const g = simt::lane() / 4;
  int const t = simt::lane() % 4;
  word x[std::size_t{halves}][4];
  word y[std::size_t{halves}][4];
  word y_values[4];
  LINATTN_SIMT_UNROLL
  for (int h = 0; h < halves; ++h) {
    load_a<Operand>(x[h], now.x, row, 16 * h);
    load_b_transposed<Operand>(y[h], now.y, row, 16 * h);
  }
  load_b_transposed<Operand>(y_values, now.y_values, row, column);
  word weights[4];
  word scores[4];
  LINATTN_SIMT_UNROLL
  for (int n = 0; n < 2; ++n) {
    real score[4] = {};
    LINATTN_SIMT_UNROLL
    for (int h = 0; h < halves; ++h) {
      Operand::mma(score, x[h], y[h][2 * n], y[h][2 * n + 1]);
    }
    real d[4] = {};
    Operand::mma(d, x_values, y_values[2 * n], y_values[2 * n + 1]);
    LINATTN_SIMT_UNROLL
    for (int e = 0; e < 4; ++e) {
      int const of_x = g + e / 2 * 8;
      int const of_y = 8 * n + 2 * t + e % 2;
      bool const sees = OfKeys ? of_y >= of_x : of_y <= of_x;
      real const c = owns_sums ? now.weights[row + (OfKeys ? of_y : of_x)] : real(0);
      bool const counts = sees && of_y < left;
      d[e] = counts ? (d[e] + c) * map.score_grad(score[e]) : real(0);
      score[e] = counts ? map.score(score[e]) : real(0);
    }
    scores[2 * n] = Operand::pack(score[0], score[1]);
    scores[2 * n + 1] = Operand::pack(score[2], score[3]);
    weights[2 * n] = Operand::pack(d[0], d[1]);
    weights[2 * n + 1] = Operand::pack(d[2], d[3]);
  }
  if constexpr (OfKeys) {
    load_b<Operand>(y_values, now.y_values, row, column);
    LINATTN_SIMT_UNROLL
    for (int n = 0; n < 2; ++n) {
      Operand::mma(values[n], scores, y_values[2 * n], y_values[2 * n + 1]);
    }
  }
  LINATTN_SIMT_UNROLL
  for (int h = 0; h < halves; ++h) {
    word b[4];
    load_b<Operand>(b, now.y, row, 16 * h);
    LINATTN_SIMT_UNROLL
    for (int n = 0; n < 2; ++n) {
      Operand::mma(grads[2 * h + n], weights, b[2 * n], b[2 * n + 1]);
    }
  }
}

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS

#endif
