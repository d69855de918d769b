// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// gradient_state: a state in the registers of a warp, as gradients read it: 16 value columns, the features of one group
// in rotation octets, in the accumulators of phi(Y)^T V. Packed, these are B of V S^T, the gradient by features, and
// that becomes the gradient by the rows octet by octet, without leaving the registers. Packed and transposed, they are
// B of phi(X) S, the gradient by values.
#ifndef LINATTN_CUDA_TILE_GRADIENT_STATE_HPP
#define LINATTN_CUDA_TILE_GRADIENT_STATE_HPP

#include <linattn/cuda/problem.hpp>
#include <linattn/cuda/tile/group_rows.hpp>
#include <linattn/cuda/tile/octet_shares.hpp>
#include <linattn/cuda/tile/operand.hpp>
#include <linattn/cuda/tile/register_sums.hpp>
#include <linattn/simt/simt.hpp>

#include <cstddef>

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS {

template <class Map, class Operand>
struct gradient_state : group_rows<Map, Operand> {
  using list = octet_list<Map>;
  using shares = octet_shares<Map>;
  using sums_type = register_sums<Map, Operand>;
  using real = typename Operand::real;
  using word = typename Operand::word;
  static constexpr int octets = (shares::octets + 1) / 2 * 2;  // products take two at a time
  static constexpr int blocks = shares::blocks;
  static constexpr int halves = sums_type::halves;
  static_assert(!Operand::narrow_range,
                "linattn::gradient_state: an operand format of a narrow range; "
                "bf16 or wider; nothing scales the sums");

  // [m][v][e]: feature g of octet 2 m + e / 2, value 8 v + 2 t + e % 2
  real kv[std::size_t{octets / 2}][2][4];
  sums_type sums;

  /// grads += the gradient through the state, for 16 rows x with the values v: token 8 i + g, dims 2 t, + 1 of block b
  /// in grads[b][i].
  LINATTN_DEVICE void add_grads(real (&grads)[std::size_t{blocks}][2][2], word const (&x)[std::size_t{halves}][4],
                                word const (&v)[4]) const {
    if constexpr (shares::linear_octets > 0) {
      LINATTN_SIMT_UNROLL
      for (int n = shares::pair_octets; n < shares::pair_octets + shares::linear_octets; ++n) {
        real d[4] = {};
        by_octet(d, v, n);
        LINATTN_SIMT_UNROLL
        for (int e = 0; e < 4; ++e) {
          grads[shares::at(n).a][e / 2][e % 2] += d[e];
        }
      }
    }
    LINATTN_SIMT_UNROLL
    for (int b = 0; shares::pair_octets > 0 && b < blocks; ++b) {
      add_pairs_with(grads, x, v, b);
    }
  }

  /// out += phi(X) S for 16 rows x: token 8 (e / 2) + g, value 8 v + 2 t + e % 2 in out[v][e].
  LINATTN_DEVICE void query(real (&out)[2][4], word const (&x)[std::size_t{halves}][4]) const {
    word turned[2 * std::size_t{blocks}][5];
    this->turn_rows(turned, x);
    LINATTN_SIMT_UNROLL
    for (int m = 0; m < octets / 2; ++m) {
      word phi[4];
      this->multiply_rows(phi, x, turned, 2 * m);
      LINATTN_SIMT_UNROLL
      for (int v = 0; v < 2; ++v) {
        Operand::mma(out[v], phi, Operand::transpose(Operand::pack(kv[m][v][0], kv[m][v][1])),
                     Operand::transpose(Operand::pack(kv[m][v][2], kv[m][v][3])));
      }
    }
  }

  /// S += phi(Y)^T V for 16 rows: yt their fragments, v those of their values as B. Weighed: the sums take them times
  /// `weights`, of the rows 8 i + 2 t, + 1.
  template <bool Weighed>
  LINATTN_DEVICE void add_rows(word const (&yt)[std::size_t{halves}][4], word const (&v)[4], word const (&weights)[2]) {
    typename group_rows<Map, Operand>::key_factors keys;
    this->weigh_keys(keys, yt, real(1));
    LINATTN_SIMT_UNROLL
    for (int m = 0; m < octets / 2; ++m) {
      word phi[4];  // A: octets 2 m and 2 m + 1 by 16 rows
      LINATTN_SIMT_UNROLL
      for (int e = 0; e < 4; ++e) {
        phi[e] = keys.octet_of(shares::at(2 * m + e % 2), e / 2);
      }
      Operand::mma(kv[m][0], phi, v[0], v[1]);
      Operand::mma(kv[m][1], phi, v[2], v[3]);
    }
    word rows[4];
    LINATTN_SIMT_UNROLL
    for (int i = 0; i < 4; ++i) {
      rows[i] = Weighed ? Operand::multiply(keys.once[i], weights[i / 2]) : keys.once[i];
    }
    sums.add_keys(yt, rows, keys.linear, weights);
  }

  /// From the map's packed order; the columns of this warp begin at `column`.
  LINATTN_DEVICE void load(device_slot<real const> const& from, int column, int value_dim) {
    int const g = simt::lane() / 4;
    int const t = simt::lane() % 4;
    LINATTN_SIMT_UNROLL
    for (int i = 0; i < 8 * octets / 2; ++i) {
      int const n = i / 8 * 2 + i % 4 / 2;
      int const value = column + i % 8 / 4 * 8 + 2 * t + i % 2;
      if (n >= shares::octets) {
        continue;
      }
      packed_place const at = list::place(shares::of(this->group, n), g);
      if (at.index >= 0 && value < value_dim) {
        kv[i / 8][i % 8 / 4][i % 4] = simt::load(from.kv + at.index * from.feature_stride + value * from.value_stride) *
                                      static_cast<real>(at.factor);
      }
    }
    sums.load(from, this->group, real(1));
  }

 private:
  /// The gradient by octet n: token 8 (e / 2) + g, feature 2 t + e % 2.
  LINATTN_DEVICE void by_octet(real (&d)[4], word const (&v)[4], int n) const {
    int const e = n % 2 * 2;
    Operand::mma(d, v, Operand::pack(kv[n / 2][0][e], kv[n / 2][0][e + 1]),
                 Operand::pack(kv[n / 2][1][e], kv[n / 2][1][e + 1]));
  }

  /// All octets whose second block is b. Its share comes at the places of the first factor: place p of shift r is dim p
  /// + r. From the largest shift down, even and odd ones apart, the sums are turned on the way, so that few are alive.
  LINATTN_DEVICE void add_pairs_with(real (&grads)[std::size_t{blocks}][2][2], word const (&x)[std::size_t{halves}][4],
                                     word const (&v)[4], int b) const {
    int const lane = simt::lane();
    int const before = lane / 4 * 4 + (lane + 3) % 4;
    word turned[2][5];
    LINATTN_SIMT_UNROLL
    for (int i = 0; i < 2; ++i) {
      this->turn_row(turned[i], x[b / 2][b % 2 * 2 + i], b);
    }
    real share[2][2];
    LINATTN_SIMT_UNROLL
    for (int odd = 0; odd < 2; ++odd) {
      real back[2][2] = {};
      LINATTN_SIMT_UNROLL
      for (int shift = 4 - odd; shift >= 0; shift -= 2) {
        LINATTN_SIMT_UNROLL
        for (int e = 0; e < 4 && shift + 2 <= 4; ++e) {
          back[e / 2][e % 2] = simt::shuffle(back[e / 2][e % 2], before);
        }
        LINATTN_SIMT_UNROLL
        for (int a = 0; a < blocks; ++a) {
          int const n = shares::number(a, b, shift);
          if (n < 0) {
            continue;
          }
          real d[4] = {};
          by_octet(d, v, n);
          LINATTN_SIMT_UNROLL
          for (int e = 0; e < 4; ++e) {
            grads[a][e / 2][e % 2] += d[e] * part(turned[e / 2][shift], e % 2);
            back[e / 2][e % 2] += d[e] * part(x[a / 2][a % 2 * 2 + e / 2], e % 2);
          }
        }
      }
      LINATTN_SIMT_UNROLL
      for (int i = 0; i < 2; ++i) {
        real const by_one = odd != 0 ? simt::shuffle(back[i][1], before) : back[i][0];
        share[i][0] = odd != 0 ? share[i][0] + by_one : by_one;
        share[i][1] = odd != 0 ? share[i][1] + back[i][0] : back[i][1];
      }
    }
    LINATTN_SIMT_UNROLL
    for (int i = 0; i < 2; ++i) {
      real const by_one[2] = {b == 2 ? simt::shuffle(share[i][1], before) : real(0), share[i][0]};
      bool const turns = b == 2 && shares::third_turn(this->group) != 0;
      grads[b][i][0] += turns ? by_one[0] : share[i][0];
      grads[b][i][1] += turns ? by_one[1] : share[i][1];
    }
  }
  static LINATTN_DEVICE real part(word w, int e) { return e == 0 ? Operand::low(w) : Operand::high(w); }
};

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS

#endif
