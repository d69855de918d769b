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
    if (!all_pairs()) {
      replace(phi, simt::lane() % 4 == 0 ? real(1) : real(0), real(0));
    }
    if (any_pairs()) {
      word y[4];
      load_a<Operand>(y, tile, row, 8 * first.b, 8 * (second.b - first.b));
      int const lane = simt::lane();
      LINATTN_SIMT_UNROLL
      for (int o = 0; o < 2; ++o) {
        octet const& own = o == 0 ? first : second;
        if (own.kind != octet_kind::pairs) {
          continue;
        }
        int const from = lane / 4 * 4;
        int const next = own.shift / 2 + lane;
        LINATTN_SIMT_UNROLL
        for (int e = 2 * o; e < 2 * o + 2; ++e) {
          word turned = Operand::shuffle(y[e], from + next % 4);
          if (own.shift % 2 != 0) {
            turned = Operand::straddle(turned, Operand::shuffle(y[e], from + (next + 1) % 4));
          }
          phi[e] = Operand::multiply(phi[e], turned);
        }
      }
    }
  }

  /// A of the transposed tile: the two octets by 16 of its rows.
  template <class Tile, class Other>
  LINATTN_DEVICE void load_transposed(word (&phi)[4], Tile const& tile, Other const&, int row) const {
    load_a_transposed<Operand>(phi, tile, row, 8 * first.a, 8 * (second.a - first.a));
    // Octet by octet, as load_rows has them: here the octets alternate.
    if (!all_pairs()) {
      word ordered[4] = {phi[0], phi[2], phi[1], phi[3]};
      real const one = simt::lane() < 4 ? real(1) : real(0);
      replace(ordered, one, one);
      phi[0] = ordered[0];
      phi[1] = ordered[2];
      phi[2] = ordered[1];
      phi[3] = ordered[3];
    }
    if (any_pairs()) {
      word y[4];
      load_a_transposed<Operand>(y, tile, row, 8 * first.b, 8 * (second.b - first.b));
      LINATTN_SIMT_UNROLL
      for (int o = 0; o < 2; ++o) {
        octet const& own = o == 0 ? first : second;
        if (own.kind != octet_kind::pairs) {
          continue;
        }
        int const from = (simt::lane() + 4 * own.shift) % 32;
        LINATTN_SIMT_UNROLL
        for (int e = o; e < 4; e += 2) {
          phi[e] = Operand::multiply(phi[e], Operand::shuffle(y[e], from));
        }
      }
    }
  }

 private:
  [[nodiscard]] LINATTN_DEVICE bool all_pairs() const {
    return first.kind == octet_kind::pairs && second.kind == octet_kind::pairs;
  }
  [[nodiscard]] LINATTN_DEVICE bool any_pairs() const {
    return first.kind == octet_kind::pairs || second.kind == octet_kind::pairs;
  }

  /// What stands for the rows in octets that are no products of two numbers.
  LINATTN_DEVICE void replace(word (&x)[4], real one, real beside) const {
    LINATTN_SIMT_UNROLL
    for (int e = 0; e < 4; ++e) {
      octet_kind const kind = e < 2 ? first.kind : second.kind;
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
