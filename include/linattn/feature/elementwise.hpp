// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// elementwise_map: the base of maps that only change each coordinate: score(s) = s, feature(x', n) = x'[n]. A map that
// derives from it writes prepare() and, for backward, prepare_backward().
#ifndef LINATTN_FEATURE_ELEMENTWISE_HPP
#define LINATTN_FEATURE_ELEMENTWISE_HPP

#include <linattn/core/concepts.hpp>
#include <linattn/core/config.hpp>
#include <linattn/core/error.hpp>
#include <linattn/feature/packed_features.hpp>

#include <cstdint>

namespace linattn::inline LINATTN_ABI {

template <int HeadDim>
struct elementwise_map {
  static_assert(HeadDim >= 1, "linattn::elementwise_map: head_dim below 1; a positive head_dim; name the row's size");
  static constexpr char const* name = "elementwise";
  static constexpr int head_dim = HeadDim;
  static constexpr int feature_dim = HeadDim;
  static constexpr bool all_heads = false;
  static constexpr bool vectorized = false;
  using packed = detail::packed_polynomial<HeadDim, std::ratio<0>, std::ratio<1>, std::ratio<0>>;
  using packed_owner = elementwise_map;
  static constexpr double c0 = 0, c1 = 1, c2 = 0;

  template <class T>
  LINATTN_HOST_DEVICE T score(T s) const {
    return s;
  }
  template <class T>
  LINATTN_HOST_DEVICE T feature(T const* x, int n) const {
    return x[n];
  }

  using gradients = no_gradients;
  static constexpr int gradient_size = 0;
  template <class T>
  LINATTN_HOST_DEVICE T score_grad(T /*s*/) const {
    return T(1);
  }
  template <class T>
  LINATTN_HOST_DEVICE void feature_backward(T const* /*x*/, int n, T g, T* grad) const {
    grad[n] = grad[n] + g;
  }
  template <class T>
  LINATTN_HOST_DEVICE void accumulate(gradients const&, role, int /*head*/, int /*n*/, T /*sum*/) const {}
  void check_gradients(gradients const&, diagnostic&, std::int64_t, std::int64_t) const noexcept {}
  void check(diagnostic&, std::int64_t /*heads*/, std::int64_t /*kv_heads*/) const noexcept {}
};

}  // namespace linattn::inline LINATTN_ABI

#endif
