// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// group_rows: the blocks of a row that a warp's group of octets needs (octet_shares.hpp), as fragments, and
// the factors of octets made of them.
#ifndef LINATTN_CUDA_TILE_GROUP_ROWS_HPP
#define LINATTN_CUDA_TILE_GROUP_ROWS_HPP

#include <linattn/cuda/tile/octet_shares.hpp>
#include <linattn/cuda/tile/shared_tile.hpp>
#include <linattn/simt/simt.hpp>

#include <cstddef>

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS {

template <class Map, class Operand>
struct group_rows {
  using shares = octet_shares<Map>;
  using real = typename Operand::real;
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

  /// A word of block b of a row that is A, turned by 0 to 4 places; odd ones are halves of two even ones.
  LINATTN_DEVICE void turn_row(word (&turned)[5], word x, int b) const {
    int const lane = simt::lane();
    int const next = lane / 4 * 4 + (lane + 1) % 4;
    if (b == 2) {
      word const by_one = Operand::straddle(x, Operand::shuffle(x, next));
      x = shares::third_turn(group) == 0 ? x : by_one;
    }
    turned[0] = x;
    turned[2] = Operand::shuffle(x, next);
    turned[4] = Operand::shuffle(x, lane / 4 * 4 + (lane + 2) % 4);
    turned[1] = Operand::straddle(turned[0], turned[2]);
    turned[3] = Operand::straddle(turned[2], turned[4]);
  }

  /// All blocks of 16 rows x that are A, turned.
  LINATTN_DEVICE void turn_rows(word (&turned)[2 * std::size_t{blocks}][5],
                                word const (&x)[std::size_t{halves}][4]) const {
    LINATTN_SIMT_UNROLL
    for (int i = 0; shares::pair_octets > 0 && i < 2 * blocks; ++i) {
      turn_row(turned[i], x[i / 4][i % 4], i / 2);
    }
  }
  /// A: 16 rows by octets n and n + 1.
  static LINATTN_DEVICE void multiply_rows(word (&phi)[4], word const (&x)[std::size_t{halves}][4],
                                           word const (&turned)[2 * std::size_t{blocks}][5], int n) {
    LINATTN_SIMT_UNROLL
    for (int e = 0; e < 4; ++e) {
      octet const o = shares::at(n + e / 2);
      switch (o.kind) {
        case octet_kind::pairs:
          phi[e] = Operand::multiply(x[0][2 * o.a + e % 2], turned[2 * o.b + e % 2][o.shift]);
          break;
        case octet_kind::linear:
          phi[e] = x[o.a / 2][2 * (o.a % 2) + e % 2];
          break;
        case octet_kind::constant:
          phi[e] = Operand::pack(simt::lane() % 4 == 0 ? real(1) : real(0), real(0));
          break;
        default:
          phi[e] = Operand::pack(real(0), real(0));
      }
    }
  }

  /// Both factors of the octets of 16 transposed rows, the first ones with the weights of the key's side.
  struct key_factors {
    word once[4];                          // c2, of the group's first two blocks
    word twice[4];                         // 2 c2
    word linear[4 * std::size_t{halves}];  // c1
    word turned[4 * std::size_t{halves}][5];
    word constant;  // c0; of both rows

    /// Octet o of the rows 8 i + 2 t, + 1.
    [[nodiscard]] LINATTN_DEVICE word octet_of(octet o, int i) const {
      switch (o.kind) {
        case octet_kind::pairs:
          return Operand::multiply(o.once() ? twice[2 * i + o.a] : once[2 * i + o.a],
                                   turned[o.b / 2 * 4 + 2 * i + o.b % 2][o.shift]);
        case octet_kind::linear:
          return linear[o.a / 2 * 4 + 2 * i + o.a % 2];
        case octet_kind::constant:
          return constant;
        default:
          return Operand::pack(real(0), real(0));
      }
    }
  };
  /// `scale` is 1 where the range is not narrow.
  LINATTN_DEVICE void weigh_keys(key_factors& f, word const (&xt)[std::size_t{halves}][4], real scale) const {
    real const one = simt::lane() < 4 && group == 0 ? static_cast<real>(Map::c0) * scale : real(0);
    f.constant = Operand::pack(one, one);
    LINATTN_SIMT_UNROLL
    for (int i = 0; i < 4 * halves; ++i) {
      int const b = i / 4 * 2 + i % 2;
      word const x = xt[i / 4][i % 4];
      if (i < 4) {
        f.once[i] = times(x, Map::c2, scale);
        f.twice[i] = times(x, 2 * Map::c2, scale);
      }
      if (i < 4 || !shares::shared) {
        f.linear[i] = times(x, Map::c1, scale);
      }
      f.turned[i][0] = x;
      LINATTN_SIMT_UNROLL
      for (int r = b == 2 ? 0 : 1; r <= shares::largest_shift(b); ++r) {
        if (shares::pair_octets > 0 && b < blocks) {
          f.turned[i][r] =
              Operand::shuffle(x, (simt::lane() + 4 * (r + (b == 2 ? shares::third_turn(group) : 0))) % 32);
        }
      }
    }
  }

 private:
  static LINATTN_DEVICE word times(word x, double weight, real scale) {
    if (!Operand::narrow_range && weight == 1) {
      return x;
    }
    real const factor = static_cast<real>(weight) * scale;
    return Operand::multiply(x, Operand::pack(factor, factor));
  }

  /// Where the group's block 2 h begins in a row, and how far behind it block 2 h + 1.
  LINATTN_DEVICE int first_column(int h) const { return 8 * shares::block(group, 2 * h); }
  LINATTN_DEVICE int right_by(int h) const {
    return 8 * (shares::block(group, 2 * h + 1) - shares::block(group, 2 * h));
  }
};

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS

#endif
