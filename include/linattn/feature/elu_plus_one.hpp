// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// elu(x) + 1, the positive map of the first linear transformers.
#ifndef LINATTN_FEATURE_ELU_PLUS_ONE_HPP
#define LINATTN_FEATURE_ELU_PLUS_ONE_HPP

#include <linattn/feature/elementwise.hpp>

#include <cmath>
#include <concepts>

namespace linattn::inline LINATTN_ABI {

/// x' = x + 1 for x > 0, exp(x) otherwise; score(s) = s. Source: Transformers are RNNs, arXiv:2006.16236.
template <int HeadDim>
struct elu_plus_one : elementwise_map<HeadDim> {
  static constexpr char const* name = "elu_plus_one";

  template <std::floating_point T>
  LINATTN_HOST_DEVICE void prepare(T* x, role, int /*head*/) const {
    for (int i = 0; i < HeadDim; ++i) {
      x[i] = x[i] > 0 ? x[i] + 1 : std::exp(x[i]);
    }
  }
  template <std::floating_point T>
  LINATTN_HOST_DEVICE void prepare_backward(T const* x, T* grad, role, int /*head*/, T* /*partial*/) const {
    for (int i = 0; i < HeadDim; ++i) {
      grad[i] = x[i] > 0 ? grad[i] : grad[i] * std::exp(x[i]);
    }
  }
};

}  // namespace linattn::inline LINATTN_ABI

#endif
