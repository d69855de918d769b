// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// group_sums: where the warps that share the features of 16 rows and 16 value columns leave their shares of the outputs
// (and denominators), each lane's where the same lane of another warp finds it. Barriers are the caller's.
#ifndef LINATTN_CUDA_TILE_GROUP_SUMS_HPP
#define LINATTN_CUDA_TILE_GROUP_SUMS_HPP

#include <linattn/cuda/tile/operand.hpp>
#include <linattn/cuda/tile/rows.hpp>
#include <linattn/simt/simt.hpp>

#include <cstddef>

namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS {

/// Outputs; one place for each of a chunk's steps.
template <class Real, int Groups, int Steps, int ValueWarps>
struct group_outputs {
  using piece = element_piece<Real>;
  static constexpr int pieces = 8 / piece::size;

  piece out[std::size_t{Groups}][std::size_t{Steps}][std::size_t{ValueWarps}][std::size_t{pieces}][32];

  LINATTN_DEVICE void put(int group, int step, int value_warp, Real const (&x)[2][4]) {
    LINATTN_SIMT_UNROLL
    for (int i = 0; i < pieces; ++i) {
      piece p;
      LINATTN_SIMT_UNROLL
      for (int n = 0; n < piece::size; ++n) {
        int const at = i * piece::size + n;
        p.e[n] = x[at / 4][at % 4];
      }
      simt::store(&out[group][step][value_warp][i][simt::lane()], p);
    }
  }

  /// Adds the share of a group.
  LINATTN_DEVICE void add_group(Real (&x)[2][4], int group, int step, int value_warp) const {
    LINATTN_SIMT_UNROLL
    for (int i = 0; i < pieces; ++i) {
      piece const p = simt::load(&out[group][step][value_warp][i][simt::lane()]);
      LINATTN_SIMT_UNROLL
      for (int n = 0; n < piece::size; ++n) {
        int const at = i * piece::size + n;
        x[at / 4][at % 4] += p.e[n];
      }
    }
  }
  /// Adds the shares of all groups, in their order.
  LINATTN_DEVICE void add(Real (&x)[2][4], int step, int value_warp) const {
    LINATTN_SIMT_UNROLL
    for (int group = 0; group < Groups; ++group) {
      add_group(x, group, step, value_warp);
    }
  }
};

/// One group keeps its outputs.
template <class Real, int Steps, int ValueWarps>
struct group_outputs<Real, 1, Steps, ValueWarps> {};

/// Outputs and denominators.
template <class Real, int Groups, int Steps, int ValueWarps>
struct group_sums : group_outputs<Real, Groups, Steps, ValueWarps> {
  using outputs = group_outputs<Real, Groups, Steps, ValueWarps>;

  real_pair<Real> den[std::size_t{Groups}][std::size_t{Steps}][std::size_t{ValueWarps}][32];

  LINATTN_DEVICE void put(int group, int step, int value_warp, Real const (&x)[2][4], Real const (&y)[2]) {
    outputs::put(group, step, value_warp, x);
    simt::store(&den[group][step][value_warp][simt::lane()], real_pair<Real>{y[0], y[1]});
  }

  /// Adds the shares of all groups, in their order.
  LINATTN_DEVICE void add(Real (&x)[2][4], Real (&y)[2], int step, int value_warp) const {
    LINATTN_SIMT_UNROLL
    for (int group = 0; group < Groups; ++group) {
      outputs::add_group(x, group, step, value_warp);
      real_pair<Real> const p = simt::load(&den[group][step][value_warp][simt::lane()]);
      y[0] += p.low;
      y[1] += p.high;
    }
  }
};

/// One group keeps its sums.
template <class Real, int Steps, int ValueWarps>
struct group_sums<Real, 1, Steps, ValueWarps> {};

}  // namespace linattn::inline LINATTN_ABI::detail::inline LINATTN_SIMT_NS

#endif
