// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The identity: plain linear attention, out_t = sum_j <q_t, k_j> v_j.
#ifndef LINATTN_FEATURE_IDENTITY_HPP
#define LINATTN_FEATURE_IDENTITY_HPP

#include <linattn/feature/elementwise.hpp>

namespace linattn::inline LINATTN_ABI {

/// score(s) = s on the rows as they are. Weights can be negative: use with the `unnormalized` normalizer.
template <int HeadDim>
struct identity : elementwise_map<HeadDim> {
  static constexpr char const* name = "identity";
  static constexpr bool vectorized = true;

  template <class T>
  LINATTN_HOST_DEVICE void prepare(T* /*x*/, role, int /*head*/) const {}
  template <class T>
  LINATTN_HOST_DEVICE void prepare_backward(T const* /*x*/, T* /*grad*/, role, int /*head*/, T* /*partial*/) const {}
};

}  // namespace linattn::inline LINATTN_ABI

#endif
