// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// register_sums: what denominators need of a polynomial map with head_dim up to 32, in the registers of a warp: the
// sums of weighted keys and of their products, a group's share of them (octet_shares.hpp). kernel_fused.hpp
// says which lane holds what.
#ifndef LINATTN_CUDA_TILE_REGISTER_SUMS_HPP
#define LINATTN_CUDA_TILE_REGISTER_SUMS_HPP

#include <linattn/cuda/problem.hpp>
#include <linattn/cuda/tile/octet_shares.hpp>
#include <linattn/cuda/tile/operand.hpp>
#include <linattn/simt/simt.hpp>

#include <cstddef>

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS {

template <class Map, class Operand>
struct register_sums {
  using shares = octet_shares<Map>;
  using packed = typename Map::packed;
  using real = typename Operand::real;
  using word = typename Operand::word;
  static constexpr int blocks = shares::blocks;
  static constexpr int halves = (blocks + 1) / 2;  // of 16 columns: the fragments of a row
  static constexpr int pair_blocks = shares::shared ? 2 : blocks;
  static constexpr int column_blocks = shares::shared ? 2 : 1;  // from one column block of K^T K to the next
  static constexpr int linear_blocks = shares::shared ? 1 : blocks;
  static constexpr int linear_halves = (linear_blocks + 1) / 2;
  static constexpr bool has_pairs = Map::c2 > 0;
  static constexpr bool has_linear = Map::c1 > 0;
  static constexpr bool has_constant = Map::c0 > 0;

  // Everything but `count` is multiplied by the state's scale. Rows and columns are those of the group's blocks; the
  // groups' shares of K^T K make up the whole: rows of blocks a and a + 1, columns of a and a + 2.
  real pairs[2][4];  // c2 K^T K: row 8 (e / 2) + g, column 8 n + 2 t + e % 2; packed it is B, transposed
  real linear[2 * std::size_t{linear_halves}][4];  // c1 (sum of k): row 0, column 8 n + 2 t + e
  real count;                                      // of keys

  /// The sums as B, word by word: those of pairs, two a block of columns, then the linear ones.
  static constexpr int pair_words = has_pairs ? 2 * pair_blocks : 0;
  static constexpr int words = pair_words + (has_linear ? 2 * linear_halves : 0);
  [[nodiscard]] LINATTN_DEVICE word operand(int n) const {
    return n < pair_words ? narrow(&pairs[n % 2][n / 2 * 2]) : narrow(&linear[n - pair_words][0]);
  }

  /// den += phi(Q) z (this lane's columns), for 16 queries and the group's share; z(n) is operand(n), count the keys.
  template <class Sums>
  static LINATTN_DEVICE void add_denominators(real (&den)[2], word const (&q)[std::size_t{halves}][4], int group,
                                              real count, real unscale, Sums&& z) {
    if constexpr (has_pairs) {
      word const first_and_third[4] = {q[0][0], q[0][1], q[halves - 1][0], q[halves - 1][1]};
      word const(&columns)[4] = shares::shared ? first_and_third : q[0];
      LINATTN_SIMT_UNROLL
      for (int n = 0; n < pair_blocks; ++n) {
        real y[4] = {};
        Operand::mma(y, columns, z(2 * n), z(2 * n + 1));
        den[0] += (y[0] * Operand::low(q[0][2 * n]) + y[1] * Operand::high(q[0][2 * n])) * unscale;
        den[1] += (y[2] * Operand::low(q[0][2 * n + 1]) + y[3] * Operand::high(q[0][2 * n + 1])) * unscale;
      }
    }
    if constexpr (has_linear) {
      real y[4] = {};
      LINATTN_SIMT_UNROLL
      for (int h = 0; h < linear_halves; ++h) {
        Operand::mma(y, q[h], z(pair_words + 2 * h), z(pair_words + 2 * h + 1));
      }
      den[0] += (y[0] + y[1]) * unscale;
      den[1] += (y[2] + y[3]) * unscale;
    }
    if constexpr (has_constant) {
      real const own = simt::lane() % 4 == 0 && group == 0 ? static_cast<real>(Map::c0) * count : real(0);
      den[0] += own;
      den[1] += own;
    }
  }

  /// grads += weight d(z . phi(x)) / dx for 16 rows x, weights[half] of this lane's rows g and g + 8.
  LINATTN_DEVICE void add_grads(real (&grads)[std::size_t{blocks}][2][2], word const (&x)[std::size_t{halves}][4],
                                real const (&weights)[2]) const {
    if constexpr (has_pairs) {
      word const first_and_third[4] = {x[0][0], x[0][1], x[halves - 1][0], x[halves - 1][1]};
      word const(&columns)[4] = shares::shared ? first_and_third : x[0];
      LINATTN_SIMT_UNROLL
      for (int n = 0; n < pair_blocks; ++n) {
        real y[4] = {};
        Operand::mma(y, columns, narrow(&pairs[0][2 * n]), narrow(&pairs[1][2 * n]));
        LINATTN_SIMT_UNROLL
        for (int e = 0; e < 4; ++e) {
          grads[n][e / 2][e % 2] += 2 * weights[e / 2] * y[e];
        }
      }
    }
    if constexpr (has_linear) {
      LINATTN_SIMT_UNROLL
      for (int i = 0; i < 2 * linear_blocks; ++i) {
        real const sum = simt::shuffle(linear[i / 2][i % 2], simt::lane() % 4);
        grads[i / 2][0][i % 2] += weights[0] * sum;
        grads[i / 2][1][i % 2] += weights[1] * sum;
      }
    }
  }

  /// Adds 16 keys: kt their fragments; `rows` those of the group's first two blocks times c2, `linear_keys` times c1;
  /// and `ones` what the keys 8 i + 2 t, + 1 count.
  LINATTN_DEVICE void add_keys(word const (&kt)[std::size_t{halves}][4], word const (&rows)[4],
                               word const (&linear_keys)[4 * std::size_t{halves}], word const (&ones)[2]) {
    if constexpr (has_pairs) {
      LINATTN_SIMT_UNROLL
      for (int n = 0; n < pair_blocks; ++n) {
        int const b = n * column_blocks;
        Operand::mma(pairs[n], rows, kt[b / 2][b % 2], kt[b / 2][2 + b % 2]);
      }
    }
    if constexpr (has_linear) {
      word const zero = Operand::pack(real(0), real(0));
      bool const row_0 = simt::lane() < 4;
      word const a[4] = {row_0 ? ones[0] : zero, zero, row_0 ? ones[1] : zero, zero};
      LINATTN_SIMT_UNROLL
      for (int n = 0; n < linear_blocks; ++n) {
        Operand::mma(linear[n], a, linear_keys[n / 2 * 4 + n % 2], linear_keys[n / 2 * 4 + 2 + n % 2]);
      }
    }
  }

  /// From the map's packed order.
  LINATTN_DEVICE void load(device_slot<real const> const& from, int group, real scale) {
    if (from.k_sum != nullptr) {
      visit(group, [&](real& x, int feature, real factor, bool /*second*/, bool scaled) {
        x = simt::load(from.k_sum + feature * from.k_sum_stride) * factor * (scaled ? scale : real(1));
      });
    }
  }
  LINATTN_DEVICE void store(device_slot<real> const& to, int group, real unscale) {
    if (to.k_sum != nullptr) {
      visit(group, [&](real& x, int feature, real factor, bool second, bool scaled) {
        if (!second) {
          simt::store(to.k_sum + feature * to.k_sum_stride, x / factor * (scaled ? unscale : real(1)));
        }
      });
    }
  }

 private:
  static LINATTN_DEVICE word narrow(real const* pair) { return Operand::pack(pair[0], pair[1]); }

  /// f(number, packed feature, factor, second, scaled) for what this lane holds.
  template <class F>
  LINATTN_DEVICE void visit(int group, F&& f) {
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
