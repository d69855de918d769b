// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// register_state: the state of a polynomial map with head_dim up to 32 in the registers of a warp: 16 value columns,
// the features of one group in rotation octets, and the group's share of what denominators need. kernel_fused.hpp says
// which lane holds what.
#ifndef LINATTN_CUDA_TILE_REGISTER_STATE_HPP
#define LINATTN_CUDA_TILE_REGISTER_STATE_HPP

#include <linattn/core/math.hpp>
#include <linattn/cuda/problem.hpp>
#include <linattn/cuda/tile/group_rows.hpp>
#include <linattn/cuda/tile/octet_shares.hpp>
#include <linattn/cuda/tile/operand.hpp>
#include <linattn/cuda/tile/register_sums.hpp>
#include <linattn/simt/simt.hpp>

#include <cstddef>

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS {

template <class Map, class Operand>
struct register_state : group_rows<Map, Operand> {
  using list = octet_list<Map>;
  using shares = octet_shares<Map>;
  using sums_type = register_sums<Map, Operand>;
  using real = typename Operand::real;
  using word = typename Operand::word;
  static constexpr int octets = (shares::octets + 1) / 2 * 2;  // products take two at a time
  static constexpr int blocks = shares::blocks;
  static constexpr int halves = (blocks + 1) / 2;  // of 16 columns: the fragments of a row

  // Multiplied by `scale`: value 8 (e / 2) + g, feature 2 t + e % 2 of the octet.
  real kv[std::size_t{octets}][4];
  sums_type sums;
  real scale;

  /// out += phi(Q) S, den += phi(Q) z (this lane's columns), for 16 queries and the group's features.
  LINATTN_DEVICE void query(real (&out)[2][4], real (&den)[2], word const (&q)[std::size_t{halves}][4]) const {
    query_operands(
        out, den, *this, q, sums.count, detail::reciprocal(scale), [this](int n, int i) { return operand(n, i); },
        [this](int n) { return sums.operand(n); });
  }
  /// The same, of a state given as operands: kv(n, i) and z(n) are what `operand` and sums.operand would return.
  template <class Values, class Sums>
  static LINATTN_DEVICE void query_operands(real (&out)[2][4], real (&den)[2], group_rows<Map, Operand> const& rows,
                                            word const (&q)[std::size_t{halves}][4], real count, real unscale,
                                            Values&& kv, Sums&& z) {
    sums_type::add_denominators(den, q, rows.group, count, unscale, z);
    word turned[2 * std::size_t{blocks}][5];
    rows.turn_rows(turned, q);
    LINATTN_SIMT_UNROLL
    for (int n = 0; n < octets; n += 2) {
      word phi[4];
      rows.multiply_rows(phi, q, turned, n);
      LINATTN_SIMT_UNROLL
      for (int i = 0; i < 2; ++i) {
        Operand::mma(out[i], phi, kv(n, i), kv(n + 1, i));
      }
    }
    if constexpr (Operand::narrow_range) {
      LINATTN_SIMT_UNROLL
      for (int i = 0; i < 8; ++i) {
        out[i / 4][i % 4] *= unscale;
      }
    }
  }
  /// B of octet n for the values 8 i + g.
  [[nodiscard]] LINATTN_DEVICE word operand(int n, int i) const {
    return Operand::pack(kv[n][2 * i], kv[n][2 * i + 1]);
  }

  /// S^T += V^T phi(K), and the denominators' sums, for 16 keys, `valid` of which are there; the others are zero.
  LINATTN_DEVICE void update(word const (&kt)[std::size_t{halves}][4], word const (&v)[4], int valid) {
    typename group_rows<Map, Operand>::key_factors keys;
    this->weigh_keys(keys, kt, scale);
    LINATTN_SIMT_UNROLL
    for (int n = 0; n < shares::octets; ++n) {
      octet const o = shares::at(n);
      word b[2];  // the octet of keys 0..7 and 8..15
      LINATTN_SIMT_UNROLL
      for (int i = 0; i < 2; ++i) {
        b[i] = keys.octet_of(o, i);  // the values of keys that are not there are zero
      }
      Operand::mma(kv[n], v, b[0], b[1]);
    }
    word const one = Operand::pack(real(1), real(1));
    word const ones[2] = {one, one};
    sums.add_keys(kt, keys.once, keys.linear, ones);
    sums.count += static_cast<real>(valid);
  }

  /// From the map's packed order; the columns of this warp begin at `column`.
  LINATTN_DEVICE void load(device_slot<real const> const& from, int column, int value_dim) {
    visit(from.kv, column, value_dim, [&](real& x, int feature, int value, real factor, bool /*second*/) {
      x = simt::load(from.kv + feature * from.feature_stride + value * from.value_stride) * factor * scale;
    });
    sums.load(from, this->group, scale);
  }
  LINATTN_DEVICE void store(device_slot<real> const& to, int column, int value_dim) {
    real const unscale = real(1) / scale;
    visit(to.kv, column, value_dim, [&](real& x, int feature, int value, real factor, bool second) {
      if (!second) {
        simt::store(to.kv + feature * to.feature_stride + value * to.value_stride, x / factor * unscale);
      }
    });
    if (column == 0) {
      sums.store(to, this->group, unscale);
    }
  }

 private:
  /// f(number, packed feature, value, factor, second) for what this lane holds of kv. Two octets at a time, whose places
  /// are computed anew: those of all would not fit into the registers.
  template <class F>
  LINATTN_DEVICE void visit(real const* kv_memory, int column, int value_dim, F&& f) {
    LINATTN_SIMT_UNROLL
    for (int n = 0; n < shares::octets; ++n) {
      if (n % 2 == 0) {
        simt::warp_sync();
      }
      int const lane = simt::anew(simt::lane(), kv_memory + n);
      int const g = lane / 4;
      int const t = lane % 4;
      LINATTN_SIMT_UNROLL
      for (int e = 0; e < 4; ++e) {
        packed_place const at = list::place(shares::of(this->group, n), 2 * t + e % 2);
        int const value = column + e / 2 * 8 + g;
        if (at.index >= 0 && value < value_dim) {
          f(kv[n][e], at.index, value, static_cast<real>(at.factor), at.second);
        }
      }
    }
  }
};

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS

#endif
