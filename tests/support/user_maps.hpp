// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Maps as a user writes them, outside the library and for float alone: a derived one, a generic one and a forward-only one.
#ifndef LINATTN_TESTS_SUPPORT_USER_MAPS_HPP
#define LINATTN_TESTS_SUPPORT_USER_MAPS_HPP

#include <linattn/core/concepts.hpp>
#include <linattn/feature/elementwise.hpp>

#include <cmath>
#include <cstdint>

namespace linattn_test::user {

/// One function of one's own, and its derivative.
template <int HeadDim>
struct elu_plus_one : linattn::elementwise_map<HeadDim> {
  LINATTN_HOST_DEVICE void prepare(float* x, linattn::role, int /*head*/) const {
    for (int i = 0; i < HeadDim; ++i) { x[i] = x[i] > 0 ? x[i] + 1 : std::exp(x[i]); }
  }
  LINATTN_HOST_DEVICE void prepare_backward(float const* x, float* grad, linattn::role, int, float*) const {
    for (int i = 0; i < HeadDim; ++i) { grad[i] = x[i] > 0 ? grad[i] : grad[i] * std::exp(x[i]); }
  }
};

/// Forward only, with rows that depend on their neighbours: (cos x0, sin x0, cos x2, sin x2, ...).
template <int HeadDim>
struct cos_sin : linattn::elementwise_map<HeadDim> {
  LINATTN_HOST_DEVICE void prepare(float* x, linattn::role, int) const {
    for (int i = 0; i < HeadDim; i += 2) {
      float const angle = x[i];
      x[i] = std::cos(angle);
      if (i + 1 < HeadDim) {
        x[i + 1] = std::sin(angle);
      }
    }
  }
};

/// score(s) = s^3 with all d^3 products as features. No base class, no coefficients: the generic way.
template <int HeadDim>
struct cubic {
  static constexpr char const* name = "cubic";
  static constexpr int head_dim = HeadDim;
  static constexpr int feature_dim = HeadDim * HeadDim * HeadDim;
  static constexpr bool all_heads = false;
  static constexpr bool vectorized = false;
  static constexpr int gradient_size = 0;
  using gradients = linattn::no_gradients;

  LINATTN_HOST_DEVICE void prepare(float*, linattn::role, int) const {}
  LINATTN_HOST_DEVICE float score(float s) const { return s * s * s; }
  LINATTN_HOST_DEVICE float feature(float const* x, int n) const { return x[first(n)] * x[second(n)] * x[third(n)]; }
  LINATTN_HOST_DEVICE float score_grad(float s) const { return 3 * s * s; }
  LINATTN_HOST_DEVICE void feature_backward(float const* x, int n, float g, float* grad) const {
    grad[first(n)] += g * x[second(n)] * x[third(n)];
    grad[second(n)] += g * x[first(n)] * x[third(n)];
    grad[third(n)] += g * x[first(n)] * x[second(n)];
  }
  LINATTN_HOST_DEVICE void prepare_backward(float const*, float*, linattn::role, int, float*) const {}
  LINATTN_HOST_DEVICE void accumulate(gradients const&, linattn::role, int, int, float) const {}
  void check_gradients(gradients const&, linattn::diagnostic&, std::int64_t, std::int64_t) const noexcept {}
  void check(linattn::diagnostic&, std::int64_t, std::int64_t) const noexcept {}

 private:
  LINATTN_HOST_DEVICE static int first(int n) { return n / (HeadDim * HeadDim); }
  LINATTN_HOST_DEVICE static int second(int n) { return n / HeadDim % HeadDim; }
  LINATTN_HOST_DEVICE static int third(int n) { return n % HeadDim; }
};

}  // namespace linattn_test::user

#endif
