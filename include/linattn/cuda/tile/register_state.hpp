// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// register_state: the state of a polynomial map with head_dim up to 32 in the registers of a warp: 16 value columns,
// the features of one group in rotation octets, and the group's share of what denominators need. kernel_fused.hpp says
// which lane holds what.
#ifndef LINATTN_CUDA_TILE_REGISTER_STATE_HPP
#define LINATTN_CUDA_TILE_REGISTER_STATE_HPP

#include <linattn/cuda/problem.hpp>
#include <linattn/cuda/tile/operand.hpp>
#include <linattn/cuda/tile/shared_tile.hpp>
#include <linattn/feature/rotation_octets.hpp>
#include <linattn/simt/simt.hpp>

#include <cstddef>

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS {

template <class Map, class Operand>
struct register_state {
  using list = octet_list<Map>;
  using shares = octet_groups<Map>;
  using packed = typename Map::packed;
  using real = typename Operand::real;
  using word = typename Operand::word;
  static constexpr int octets = (shares::octets + 1) / 2 * 2;  // products take two at a time
  static constexpr int blocks = shares::blocks;
  static constexpr int halves = (blocks + 1) / 2;  // of 16 columns: the fragments of a row
  static constexpr int pair_blocks = shares::shared ? 2 : blocks;
  static constexpr int column_blocks = shares::shared ? 2 : 1;  // from one column block of K^T K to the next
  static constexpr int linear_blocks = shares::shared ? 1 : blocks;
  static constexpr bool has_pairs = Map::c2 > 0;
  static constexpr bool has_linear = Map::c1 > 0;
  static constexpr bool has_constant = Map::c0 > 0;

  // Everything but `count` is multiplied by `scale`. Rows and columns are those of the group's blocks; the groups'
  // shares of K^T K make up the whole: rows of blocks a and a + 1, columns of a and a + 2.
  real kv[std::size_t{octets}][4];  // value 8 (e / 2) + g, feature 2 t + e % 2 of the octet
  real pairs[2][4];                 // c2 K^T K: row 8 (e / 2) + g, column 8 n + 2 t + e % 2; packed it is B, transposed
  real linear[2][4];                // c1 (sum of k): row 0, column 8 n + 2 t + e
  real count;                       // of keys
  real scale;
  int group;

  /// The group's blocks of 16 rows, as A: block b in q[b / 2][b % 2 * 2 + i].
  template <class Tile>
  LINATTN_DEVICE void load_queries(word (&q)[std::size_t{halves}][4], Tile const& tile, int row) const {
    LINATTN_SIMT_UNROLL
    for (int h = 0; h < halves; ++h) {
      load_a<Operand>(q[h], tile, row, first_column(h), right_by(h));
    }
  }
  /// The same of the transposed tile: block b in kt[b / 2][2 * i + b % 2].
  template <class Tile>
  LINATTN_DEVICE void load_keys(word (&kt)[std::size_t{halves}][4], Tile const& tile, int row) const {
    LINATTN_SIMT_UNROLL
    for (int h = 0; h < halves; ++h) {
      load_a_transposed<Operand>(kt[h], tile, row, first_column(h), right_by(h));
    }
  }

  /// out += phi(Q) S, den += phi(Q) z (this lane's columns), for 16 queries and the group's features.
  LINATTN_DEVICE void query(real (&out)[2][4], real (&den)[2], word const (&q)[std::size_t{halves}][4]) const {
    int const lane = simt::lane();
    real const unscale = real(1) / scale;
    if constexpr (has_pairs) {
      word const first_and_third[4] = {q[0][0], q[0][1], q[halves - 1][0], q[halves - 1][1]};
      word const(&columns)[4] = shares::shared ? first_and_third : q[0];
      LINATTN_SIMT_UNROLL
      for (int n = 0; n < pair_blocks; ++n) {
        real y[4] = {};
        Operand::mma(y, columns, narrow(&pairs[0][2 * n]), narrow(&pairs[1][2 * n]));
        den[0] += (y[0] * Operand::low(q[0][2 * n]) + y[1] * Operand::high(q[0][2 * n])) * unscale;
        den[1] += (y[2] * Operand::low(q[0][2 * n + 1]) + y[3] * Operand::high(q[0][2 * n + 1])) * unscale;
      }
    }
    if constexpr (has_linear) {
      real y[4] = {};
      Operand::mma(y, q[0], narrow(&linear[0][0]), narrow(&linear[1][0]));
      den[0] += (y[0] + y[1]) * unscale;
      den[1] += (y[2] + y[3]) * unscale;
    }
    if constexpr (has_constant) {
      real const own = lane % 4 == 0 && group == 0 ? static_cast<real>(Map::c0) * count : real(0);
      den[0] += own;
      den[1] += own;
    }
    word turned[2 * std::size_t{blocks}][5];  // by 0 to 4 places; odd ones are halves of two even ones
    LINATTN_SIMT_UNROLL
    for (int i = 0; has_pairs && i < 2 * blocks; ++i) {
      word x = q[i / 4][i % 4];
      if (i / 2 == 2) {
        word const next = Operand::straddle(x, Operand::shuffle(x, lane / 4 * 4 + (lane + 1) % 4));
        x = shares::third_turn(group) == 0 ? x : next;
      }
      turned[i][0] = x;
      turned[i][2] = Operand::shuffle(x, lane / 4 * 4 + (lane + 1) % 4);
      turned[i][4] = Operand::shuffle(x, lane / 4 * 4 + (lane + 2) % 4);
      turned[i][1] = Operand::straddle(turned[i][0], turned[i][2]);
      turned[i][3] = Operand::straddle(turned[i][2], turned[i][4]);
    }
    LINATTN_SIMT_UNROLL
    for (int n = 0; n < octets; n += 2) {
      word phi[4];  // A: 16 queries by octets n and n + 1
      LINATTN_SIMT_UNROLL
      for (int e = 0; e < 4; ++e) {
        octet const o = shares::at(n + e / 2);
        switch (o.kind) {
          case octet_kind::pairs:
            phi[e] = Operand::multiply(q[0][2 * o.a + e % 2], turned[2 * o.b + e % 2][o.shift]);
            break;
          case octet_kind::linear: phi[e] = q[0][2 * o.a + e % 2]; break;
          case octet_kind::constant: phi[e] = Operand::pack(lane % 4 == 0 ? real(1) : real(0), real(0)); break;
          default: phi[e] = Operand::pack(real(0), real(0));
        }
      }
      LINATTN_SIMT_UNROLL
      for (int i = 0; i < 2; ++i) {
        Operand::mma(out[i], phi, narrow(&kv[n][2 * i]), narrow(&kv[n + 1][2 * i]));
      }
    }
    if constexpr (Operand::narrow_range) {
      LINATTN_SIMT_UNROLL
      for (int i = 0; i < 8; ++i) {
        out[i / 4][i % 4] *= unscale;
      }
    }
  }

  /// S^T += V^T phi(K), and the denominators' sums, for 16 keys, `valid` of which are there; the others are zero.
  LINATTN_DEVICE void update(word const (&kt)[std::size_t{halves}][4], word const (&v)[4], int valid) {
    int const lane = simt::lane();
    word once[4];
    word twice[4];
    word weighed[4];
    word turned[4 * std::size_t{halves}][5];
    LINATTN_SIMT_UNROLL
    for (int i = 0; i < 4 * halves; ++i) {
      int const block = i / 4 * 2 + i % 2;
      word const x = kt[i / 4][i % 4];
      if (i < 4) {
        once[i] = weigh(x, Map::c2);
        twice[i] = weigh(x, 2 * Map::c2);
        weighed[i] = weigh(x, Map::c1);
      }
      turned[i][0] = x;
      LINATTN_SIMT_UNROLL
      for (int r = block == 2 ? 0 : 1; r <= shares::largest_shift(block); ++r) {
        if (has_pairs && block < blocks) {
          turned[i][r] = Operand::shuffle(x, (lane + 4 * (r + (block == 2 ? shares::third_turn(group) : 0))) % 32);
        }
      }
    }
    LINATTN_SIMT_UNROLL
    for (int n = 0; n < shares::octets; ++n) {
      octet const o = shares::at(n);
      word b[2];  // the octet of keys 0..7 and 8..15
      LINATTN_SIMT_UNROLL
      for (int i = 0; i < 2; ++i) {
        switch (o.kind) {
          case octet_kind::pairs:
            b[i] = Operand::multiply(o.once() ? twice[2 * i + o.a] : once[2 * i + o.a],
                                     turned[o.b / 2 * 4 + 2 * i + o.b % 2][o.shift]);
            break;
          case octet_kind::linear: b[i] = weighed[2 * i + o.a]; break;
          default: {
            real const one = lane < 4 && group == 0 ? static_cast<real>(Map::c0) * scale : real(0);
            b[i] = Operand::pack(one, one);  // the values of keys that are not there are zero
          }
        }
      }
      Operand::mma(kv[n], v, b[0], b[1]);
    }
    if constexpr (has_pairs) {
      LINATTN_SIMT_UNROLL
      for (int n = 0; n < pair_blocks; ++n) {
        int const b = n * column_blocks;
        Operand::mma(pairs[n], once, kt[b / 2][b % 2], kt[b / 2][2 + b % 2]);
      }
    }
    if constexpr (has_linear) {
      word const zero = Operand::pack(real(0), real(0));
      real const one = lane < 4 ? real(1) : real(0);
      word const ones[4] = {Operand::pack(one, one), zero, Operand::pack(one, one), zero};  // row 0
      LINATTN_SIMT_UNROLL
      for (int n = 0; n < linear_blocks; ++n) {
        Operand::mma(linear[n], ones, weighed[n], weighed[2 + n]);
      }
    }
    count += static_cast<real>(valid);
  }

  /// From the map's packed order; the columns of this warp begin at `column`.
  LINATTN_DEVICE void load(device_slot<real const> const& from, int column, int value_dim) {
    visit(column, value_dim, [&](real& x, int feature, int value, real factor, bool /*second*/) {
      x = simt::load(from.kv + feature * from.feature_stride + value * from.value_stride) * factor * scale;
    });
    if (from.k_sum != nullptr) {
      visit_sums([&](real& x, int feature, real factor, bool /*second*/, bool scaled) {
        x = simt::load(from.k_sum + feature * from.k_sum_stride) * factor * (scaled ? scale : real(1));
      });
    }
  }
  LINATTN_DEVICE void store(device_slot<real> const& to, int column, int value_dim) {
    real const unscale = real(1) / scale;
    visit(column, value_dim, [&](real& x, int feature, int value, real factor, bool second) {
      if (!second) {
        simt::store(to.kv + feature * to.feature_stride + value * to.value_stride, x / factor * unscale);
      }
    });
    if (to.k_sum != nullptr && column == 0) {
      visit_sums([&](real& x, int feature, real factor, bool second, bool scaled) {
        if (!second) {
          simt::store(to.k_sum + feature * to.k_sum_stride, x / factor * (scaled ? unscale : real(1)));
        }
      });
    }
  }

 private:
  /// Where the group's block 2 h begins in a row, and how far behind it block 2 h + 1.
  LINATTN_DEVICE int first_column(int h) const { return 8 * shares::block(group, 2 * h); }
  LINATTN_DEVICE int right_by(int h) const {
    return 8 * (shares::block(group, 2 * h + 1) - shares::block(group, 2 * h));
  }

  static LINATTN_DEVICE word narrow(real const* pair) { return Operand::pack(pair[0], pair[1]); }

  LINATTN_DEVICE word weigh(word x, double weight) const {
    if (!Operand::narrow_range && weight == 1) {
      return x;
    }
    real const factor = static_cast<real>(weight) * scale;
    return Operand::multiply(x, Operand::pack(factor, factor));
  }

  /// f(number, packed feature, value, factor, second) for what this lane holds of kv.
  template <class F>
  LINATTN_DEVICE void visit(int column, int value_dim, F&& f) {
    int const g = simt::lane() / 4;
    int const t = simt::lane() % 4;
    LINATTN_SIMT_UNROLL
    for (int n = 0; n < shares::octets; ++n) {
      LINATTN_SIMT_UNROLL
      for (int e = 0; e < 4; ++e) {
        packed_place const at = list::place(shares::of(group, n), 2 * t + e % 2);
        int const value = column + e / 2 * 8 + g;
        if (at.index >= 0 && value < value_dim) {
          f(kv[n][e], at.index, value, static_cast<real>(at.factor), at.second);
        }
      }
    }
  }

  /// f(number, packed feature, factor, second, scaled) for what this lane holds of the denominators' sums.
  template <class F>
  LINATTN_DEVICE void visit_sums(F&& f) {
    constexpr int dim = Map::head_dim;
    int const g = simt::lane() / 4;
    int const t = simt::lane() % 4;
    LINATTN_SIMT_UNROLL
    for (int i = 0; has_pairs && i < 4 * pair_blocks; ++i) {
      int const row = 8 * shares::block(group, i % 4 / 2) + g;
      int const column = 8 * shares::block(group, i / 4 * column_blocks) + 2 * t + i % 2;
      int const low = row < column ? row : column;
      int const high = row < column ? column : row;
      if (high < dim) {
        int const index = packed::pairs_begin + low * dim - low * (low - 1) / 2 + high - low;
        real const factor = static_cast<real>(row == column ? packed::square : 0.5 * packed::product);
        f(pairs[i / 4][i % 4], index, factor, row > column, true);
      }
    }
    LINATTN_SIMT_UNROLL
    for (int i = 0; has_linear && i < 2 * linear_blocks; ++i) {
      int const at = 8 * shares::block(group, i / 2) + 2 * t + i % 2;
      if (g == 0 && at < dim) {
        f(linear[i / 2][i % 2], packed::linear_begin + at, static_cast<real>(packed::root1), false, true);
      }
    }
    if constexpr (has_constant) {  // every lane holds the count
      if (group == 0) {
        f(count, 0, static_cast<real>(1 / packed::root0), simt::lane() != 0, false);
      }
    }
  }
};

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS

#endif
