// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Sums, maxima and scans over a warp or a block. The order of the additions is fixed: same input, same bits.
#ifndef LINATTN_SIMT_REDUCE_HPP
#define LINATTN_SIMT_REDUCE_HPP

#include <linattn/simt/primitives_emulated.hpp>
#include <linattn/simt/primitives_ptx.hpp>

#include <cstddef>

namespace linattn::inline LINATTN_ABI::simt::inline LINATTN_SIMT_NS {

/// Over all lanes of the warp; every lane gets the result.
template <class T>
LINATTN_DEVICE T warp_sum(T value) {
  LINATTN_SIMT_UNROLL
  for (int lanes = warp_size / 2; lanes > 0; lanes /= 2) {
    value += shuffle_xor(value, lanes);
  }
  return value;
}

template <class T>
LINATTN_DEVICE T warp_max(T value) {
  LINATTN_SIMT_UNROLL
  for (int lanes = warp_size / 2; lanes > 0; lanes /= 2) {
    T const other = shuffle_xor(value, lanes);
    value = value < other ? other : value;
  }
  return value;
}

/// Lane n gets the sum over the lanes 0 to n.
template <class T>
LINATTN_DEVICE T warp_inclusive_sum(T value) {
  int const me = lane();
  LINATTN_SIMT_UNROLL
  for (int lanes = 1; lanes < warp_size; lanes *= 2) {
    T const other = shuffle_up(value, lanes);
    value = me >= lanes ? value + other : value;
  }
  return value;
}

/// Over all threads of a block of Warps warps; every thread gets the result. `scratch` is shared memory, free for other
/// use before and after the call.
template <class T, std::size_t Warps>
LINATTN_DEVICE T block_sum(T value, T (&scratch)[Warps]) {
  value = warp_sum(value);
  block_sync();  // whoever used the scratch is done
  if (lane() == 0) {
    scratch[warp()] = value;
  }
  block_sync();
  T sum = scratch[0];
  LINATTN_SIMT_UNROLL
  for (std::size_t i = 1; i < Warps; ++i) {
    sum += scratch[i];
  }
  block_sync();
  return sum;
}

}  // namespace linattn::inline LINATTN_ABI::simt::inline LINATTN_SIMT_NS

#endif
