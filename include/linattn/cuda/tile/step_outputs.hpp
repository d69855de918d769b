// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// step_outputs: the outputs of 16 queries and 16 value columns in the accumulators of a warp, and their denominators:
// the pairs with 16 keys of a chunk, and the way to memory. kernel_fused.hpp says which lane holds what.
#ifndef LINATTN_CUDA_TILE_STEP_OUTPUTS_HPP
#define LINATTN_CUDA_TILE_STEP_OUTPUTS_HPP

#include <linattn/cuda/problem.hpp>
#include <linattn/cuda/tile/rows.hpp>
#include <linattn/cuda/tile/shared_tile.hpp>
#include <linattn/simt/simt.hpp>

#include <cstddef>
#include <cstdint>

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS {

/// Where a lane writes: its first row of a piece, and of that its first value.
template <class Element, class Real>
struct output_place {
  Element* values;
  std::int64_t stride;
  Real* denominators;  // of the warp whose columns are the first, if they are asked for
  std::int64_t denominator_stride;
  int columns;  // from the warp's first to the end of the row
  bool vectors;

  LINATTN_DEVICE output_place(device_rows<Element> const& to, device_rows<Real> const& den, std::int64_t batch,
                              int head, std::int64_t begin, int column, int value_dim)
      : values(to.row(batch, head, begin + simt::lane() / 4) + column + simt::lane() % 4 * 2),
        stride(to.time_stride),
        denominators(den.data != nullptr && column == 0 ? den.row(batch, head, begin + simt::lane() / 4) : nullptr),
        denominator_stride(den.time_stride),
        columns(value_dim - column),
        vectors(to.vectors) {}
};

template <class Real>
struct step_outputs {
  Real out[2][4];  // token 8 (e / 2) + g, value 8 n + 2 t + e % 2
  Real den[2];     // this lane's share

  /// out += P V, den += P 1, P = score(Q K^T), for the keys from row `key` of a chunk on and the values from column
  /// `column` on. Diagonal: the keys are those of the queries' own tokens, up to the diagonal.
  template <bool Diagonal, class Operand, std::size_t Halves, class Map, class Chunk>
  LINATTN_DEVICE void attend(typename Operand::word const (&q)[Halves][4], Map const& map, Chunk const& chunk, int key,
                             int column) {
    using word = typename Operand::word;
    int const g = simt::lane() / 4;
    int const t = simt::lane() % 4;
    word k[Halves][4];
    LINATTN_SIMT_UNROLL
    for (int h = 0; h < static_cast<int>(Halves); ++h) {
      load_b_transposed<Operand>(k[h], chunk.k, key, 16 * h);
    }
    word v[4];
    load_a_transposed<Operand>(v, chunk.v, key, column);
    word weights[4];
    LINATTN_SIMT_UNROLL
    for (int n = 0; n < 2; ++n) {
      Real w[4] = {};
      LINATTN_SIMT_UNROLL
      for (int h = 0; h < static_cast<int>(Halves); ++h) {
        Operand::mma(w, q[h], k[h][2 * n], k[h][2 * n + 1]);
      }
      LINATTN_SIMT_UNROLL
      for (int e = 0; e < 4; ++e) {
        bool const sees = !Diagonal || 8 * n + 2 * t + e % 2 <= g + e / 2 * 8;
        w[e] = sees ? map.score(w[e]) : Real(0);
        den[e / 2] += w[e];
      }
      weights[2 * n] = Operand::pack(w[0], w[1]);
      weights[2 * n + 1] = Operand::pack(w[2], w[3]);
    }
    LINATTN_SIMT_UNROLL
    for (int n = 0; n < 2; ++n) {
      Operand::mma(out[n], weights, v[n], v[2 + n]);
    }
  }

  /// The first `left` rows, normalised.
  template <class Norm, class Element>
  LINATTN_DEVICE void write(Norm const& normalizer, output_place<Element, Real> const& place, int row, int left) const {
    bool const whole = left >= 16 && place.vectors && place.columns >= 16;
    LINATTN_SIMT_UNROLL
    for (int half = 0; half < 2; ++half) {
      Real sum = den[half];
      sum += simt::shuffle_xor(sum, 1);
      sum += simt::shuffle_xor(sum, 2);
      Real scale = Real(1);
      if constexpr (Norm::needs_denominator) {
        scale = normalizer.scale(sum);
      }
      std::int64_t const time = row + half * 8;
      bool const there = half * 8 + simt::lane() / 4 < left;
      if (place.denominators != nullptr && there && simt::lane() % 4 == 0) {
        simt::store(place.denominators + time * place.denominator_stride, sum);
      }
      Element* const to = place.values + time * place.stride;
      LINATTN_SIMT_UNROLL
      for (int n = 0; n < 2; ++n) {
        Real const low = out[n][2 * half] * scale;
        Real const high = out[n][2 * half + 1] * scale;
        if (whole) {
          simt::store(reinterpret_cast<element_pair<Element>*>(to + 8 * n), pair_of<Element>(low, high));
        } else if (there) {
          write_pair(to + 8 * n, 0, place.columns - 8 * n - simt::lane() % 4 * 2, place.vectors, low, high);
        }
      }
    }
  }
};

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS

#endif
