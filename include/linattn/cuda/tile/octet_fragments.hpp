// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Rotation octets of rows of any length, made in registers from a shared tile: the products of two blocks are one
// multiplication of two fragments, of which one is turned within its warp. No weights: who sums the features of keys
// multiplies the sums.
#ifndef LINATTN_CUDA_TILE_OCTET_FRAGMENTS_HPP
#define LINATTN_CUDA_TILE_OCTET_FRAGMENTS_HPP

#include <linattn/core/concepts.hpp>
#include <linattn/cuda/tile/shared_tile.hpp>
#include <linattn/feature/rotation_octets.hpp>
#include <linattn/simt/simt.hpp>

#include <cstdint>

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS {

/// Two octets side by side; the same for all lanes of a warp.
template <PolynomialMap Map, class Operand>
struct octet_fragments {
  using list = octet_list<Map>;
  using real = typename Operand::real;
  using word = typename Operand::word;

  octet first;
  octet second;

  /// An octet in a register, to be handed from lane to lane.
  static LINATTN_DEVICE std::uint32_t coded(octet o) {
    return static_cast<std::uint32_t>(o.kind) | static_cast<std::uint32_t>(o.shift) << 4U |
           static_cast<std::uint32_t>(o.a) << 8U | static_cast<std::uint32_t>(o.b) << 20U;
  }
  static LINATTN_DEVICE octet decoded(std::uint32_t code) {
    return {static_cast<octet_kind>(code & 15U), static_cast<int>(code >> 8U & 4095U), static_cast<int>(code >> 20U),
            static_cast<int>(code >> 4U & 15U)};
  }

  /// A: 16 rows of the tile by the two octets.
  template <class Tile, class Other>
  LINATTN_DEVICE void load_rows(word (&phi)[4], Tile const& tile, Other const&, int row) const {
    load_a<Operand>(phi, tile, row, 8 * first.a, 8 * (second.a - first.a));
    word factors[4] = {};
    if (some_pairs()) {
      load_a<Operand>(factors, tile, row, 8 * first.b, 8 * (second.b - first.b));
      turn_rows(factors[0], factors[1], first.shift);
      turn_rows(factors[2], factors[3], second.shift);
    }
    if (!all_pairs()) {
      replace(phi, factors, simt::lane() % 4 == 0 ? real(1) : real(0), real(0));
    }
    multiply(phi, factors);
  }

  /// A of the transposed tile: the two octets by 16 of its rows.
  template <class Tile, class Other>
  LINATTN_DEVICE void load_transposed(word (&phi)[4], Tile const& tile, Other const&, int row) const {
    word x[4];
    load_a_transposed<Operand>(x, tile, row, 8 * first.a, 8 * (second.a - first.a));
    word ordered[4] = {x[0], x[2], x[1], x[3]};  // octet by octet; the matrices alternate
    word factors[4] = {};
    if (some_pairs()) {
      load_a_transposed<Operand>(x, tile, row, 8 * first.b, 8 * (second.b - first.b));
      LINATTN_SIMT_UNROLL
      for (int e = 0; e < 4; ++e) {
        int const shift = e < 2 ? first.shift : second.shift;
        factors[e] = Operand::shuffle(x[e % 2 * 2 + e / 2], (simt::lane() + 4 * shift) % 32);
      }
    }
    if (!all_pairs()) {
      real const one = simt::lane() < 4 ? real(1) : real(0);
      replace(ordered, factors, one, one);
    }
    multiply(ordered, factors);
    phi[0] = ordered[0];
    phi[1] = ordered[2];
    phi[2] = ordered[1];
    phi[3] = ordered[3];
  }

 private:
  [[nodiscard]] LINATTN_DEVICE bool all_pairs() const {
    return list::pair_octets > 0 && first.kind == octet_kind::pairs && second.kind == octet_kind::pairs;
  }
  [[nodiscard]] LINATTN_DEVICE bool some_pairs() const {
    return list::pair_octets > 0 && (first.kind == octet_kind::pairs || second.kind == octet_kind::pairs);
  }

  /// Words of a block of two times eight rows, turned so many places.
  static LINATTN_DEVICE void turn_rows(word& upper, word& lower, int shift) {
    int const lane = simt::lane();
    int const from = lane / 4 * 4 + (lane + shift / 2) % 4;
    word const even[2] = {Operand::shuffle(upper, from), Operand::shuffle(lower, from)};
    if (shift % 2 != 0) {
      int const next = lane / 4 * 4 + (lane + shift / 2 + 1) % 4;
      upper = Operand::straddle(even[0], Operand::shuffle(upper, next));
      lower = Operand::straddle(even[1], Operand::shuffle(lower, next));
    } else {
      upper = even[0];
      lower = even[1];
    }
  }

  static LINATTN_DEVICE void multiply(word (&x)[4], word const (&factors)[4]) {
    if constexpr (list::pair_octets > 0) {
      LINATTN_SIMT_UNROLL
      for (int e = 0; e < 4; ++e) {
        x[e] = Operand::multiply(x[e], factors[e]);
      }
    }
  }

  /// Octets that are no products of two numbers: rows, or what stands for them, by ones.
  LINATTN_DEVICE void replace(word (&x)[4], word (&factors)[4], real one, real beside) const {
    LINATTN_SIMT_UNROLL
    for (int e = 0; e < 4; ++e) {
      octet_kind const kind = e < 2 ? first.kind : second.kind;
      if (kind != octet_kind::pairs) {
        factors[e] = Operand::pack(real(1), real(1));
      }
      if (kind == octet_kind::constant) {
        x[e] = Operand::pack(one, beside);
      } else if (kind == octet_kind::none) {
        x[e] = Operand::pack(real(0), real(0));
      }
    }
  }
};

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS

#endif
